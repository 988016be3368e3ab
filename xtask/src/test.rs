//! `cargo xtask test`: every test there is, then every proof at its small size, then real clients, and one line that
//! adds them up.
//!
//! Where something new hooks in:
//! - a test, in any crate, written anywhere cargo looks (unit, integration or documentation): here by itself;
//! - the arrows, the requirements page and the tidiness of the text: tests of this crate, so here as well;
//! - a proof: a row of `PROOFS` in `proofs.rs`, run here at the small size that the row names;
//! - a real client: a script in `crates/testkit/clients`, run here by `clients.rs` where npm and Python can install the
//!   clients, and left out with a line that says so where they cannot;
//! - something that servers tell of themselves: a check in `crates/testkit/observers`, run here by `observers.rs`.

use std::fmt;

use crate::{Outcome, clients, observers, proofs, run};

/// How many passed and how many did not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tally {
    passed: usize,
    failed: usize,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)
    }
}

/// With arguments, these go to `cargo test` instead of `--workspace`, and the proofs are left out.
pub(crate) fn run(args: &[String]) -> Outcome {
    let mut cargo_args = vec!["test", "--no-fail-fast"];
    match args {
        // Without --all-targets, because that leaves the documentation's tests out; examples are built either way.
        [] => cargo_args.push("--workspace"),
        _ => cargo_args.extend(args.iter().map(String::as_str)),
    }
    let mut closing = Vec::new();
    let tests = run::line_by_line(&mut run::cargo(&cargo_args), |line| {
        println!("{line}");
        closing.extend(line.starts_with("test result: ").then(|| line.to_owned()));
    });
    let mut tally = closing.iter().map(|line| tally(line)).fold(Tally::default(), add);
    let mut failures: Vec<String> = tests.err().into_iter().collect();
    if args.is_empty() {
        for proof in proofs::small() {
            let outcome = proof.run_small();
            tally = add(tally, Tally { passed: outcome.is_ok().into(), failed: outcome.is_err().into() });
            failures.extend(outcome.err());
        }
        for outcome in [clients::run_where_possible(), observers::run_where_possible()].into_iter().flatten() {
            tally = add(tally, Tally { passed: outcome.is_ok().into(), failed: outcome.is_err().into() });
            failures.extend(outcome.err());
        }
    }
    println!();
    closing.iter().filter(|line| self::tally(line) != Tally::default()).for_each(|line| println!("{line}"));
    println!("{tally}");
    if failures.is_empty() { Ok(()) } else { Err(failures.join("; ")) }
}

fn add(one: Tally, other: Tally) -> Tally {
    Tally { passed: one.passed + other.passed, failed: one.failed + other.failed }
}

/// What a closing line of the test runner counts: `test result: ok. 12 passed; 0 failed; …`.
fn tally(line: &str) -> Tally {
    let words: Vec<&str> = line.split([' ', ';']).collect();
    let before = |name| {
        let at = words.iter().position(|word| *word == name)?;
        words[..at].last()?.parse().ok()
    };
    Tally { passed: before("passed").unwrap_or(0), failed: before("failed").unwrap_or(0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_lines_add_up() {
        let lines = [
            "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 3 filtered out; finished in 0.01s",
            "test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.20s",
        ];
        let sum = lines.map(tally).into_iter().fold(Tally::default(), add);
        assert_eq!(sum.to_string(), "15 passed, 2 failed");
    }

    #[test]
    fn a_line_that_counts_nothing_counts_nothing() {
        assert_eq!(tally("test result: none passed"), Tally::default());
    }
}
