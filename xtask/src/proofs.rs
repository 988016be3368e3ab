//! `cargo xtask prove`: the programs that measure a promise, and what they found.
//!
//! Such a program is an example of the crate whose promise it measures, `crates/*/examples/NAME.rs`. A proof ends in
//! success only where the promise held, and prints a line for each figure, which becomes a row of the table; what else
//! it prints is passed on:
//!
//! ```text
//! model: n 1000000 steps, seeds 0..2500, worst case 3 permille late, differences 0
//! ```

use crate::{Outcome, root, run};

/// A program that measures, by its crate's directory and its own name.
#[derive(Clone, Copy)]
pub(crate) struct Program {
    dir: &'static str,
    name: &'static str,
    /// What makes it short enough for `cargo xtask test`; nothing where an ordinary test does the same at small size.
    small: Option<&'static [&'static str]>,
    /// What must be built beside it, because it runs that: arguments of `cargo build`.
    needs: &'static [&'static [&'static str]],
}

const SERVER: &[&str] = &["--package", "almoner"];
/// Servers that are wrong on purpose. What is shipped is built without the feature.
const BAD_SERVER: &[&str] = &["--package", "almoner-daemon", "--features", "known-bad", "--example", "known_bad"];

/// The proofs, in the order in which one should be believed before the next: add a new one here.
const PROOFS: [Program; 6] = [
    Program { dir: "ledger", name: "model", small: None, needs: &[] },
    Program { dir: "sim", name: "simulate", small: Some(&["--seeds", "500"]), needs: &[] },
    Program {
        dir: "testkit",
        name: "kill_loop",
        small: Some(&["--kills", "20", "--bad-kills", "60"]),
        needs: &[SERVER, BAD_SERVER],
    },
    Program { dir: "testkit", name: "overshoot", small: Some(&["--rounds", "2"]), needs: &[SERVER] },
    Program { dir: "testkit", name: "detour", small: Some(&["--rounds", "1"]), needs: &[SERVER] },
    // At a size at which it takes a minute; how long good calls took then says nothing.
    Program {
        dir: "testkit",
        name: "abuse",
        small: Some(&["--seconds", "1", "--rate", "20", "--size", "3"]),
        needs: &[SERVER],
    },
];

const COLUMNS: [&str; 5] = ["proof", "n", "seeds", "worst", "result"];
type Row = [String; 5];

/// The proofs that exist and have a small size of their own.
pub(crate) fn small() -> impl Iterator<Item = Program> {
    PROOFS.into_iter().filter(|program| program.small.is_some() && program.exists())
}

/// Whether there is a proof of this name.
pub(crate) fn is_one(name: &str) -> bool {
    PROOFS.iter().any(|program| program.name == name && program.exists())
}

pub(crate) fn prove(args: &[String]) -> Outcome {
    let (mut rows, mut failures) = (Vec::new(), Vec::new());
    for program in chosen(&PROOFS, args)? {
        // Optimised, because full size takes hours otherwise.
        let (found, outcome) = program.figures(&["--release"], &[]);
        rows.extend(found);
        failures.extend(outcome.err());
    }
    print!("\n{}", markdown(&rows));
    if failures.is_empty() { Ok(()) } else { Err(failures.join("; ")) }
}

/// Those that exist, or of them the ones with this name or of this crate.
fn chosen(programs: &[Program], args: &[String]) -> Result<Vec<Program>, String> {
    let is_meant = |program: &Program| args.iter().all(|arg| arg == program.dir || arg == program.name);
    let chosen: Vec<Program> = programs.iter().copied().filter(|it| it.exists() && is_meant(it)).collect();
    if chosen.is_empty() { Err(format!("there is no {} yet", args.join(" "))) } else { Ok(chosen) }
}

impl std::fmt::Display for Program {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.dir, self.name)
    }
}

impl Program {
    pub(crate) const fn new(dir: &'static str, name: &'static str) -> Self {
        Self { dir, name, small: None, needs: &[] }
    }

    fn exists(&self) -> bool {
        root().join(format!("crates/{}/examples/{}.rs", self.dir, self.name)).is_file()
    }

    /// Runs it for seconds, unoptimised, so that every check of arithmetic is on.
    pub(crate) fn run_small(&self) -> Outcome {
        let (rows, outcome) = self.figures(&[], self.small.unwrap_or_default());
        rows.iter().for_each(|row| println!("proof {}", row.join(" | ")));
        outcome
    }

    /// The figures it printed, and how it ended.
    fn figures(&self, cargo_args: &[&str], args: &[&str]) -> (Vec<Row>, Outcome) {
        let mut rows = Vec::new();
        let mut run = || {
            run::line_by_line(&mut self.command(cargo_args, args), |line| match figure(line) {
                Some(row) => rows.push(row),
                None => println!("{line}"),
            })
        };
        let outcome = self.build_needs(cargo_args).and_then(|()| run());
        if outcome.is_err() {
            rows.push([self.name, "-", "-", "-", "FAILED"].map(str::to_owned));
        }
        (rows, outcome)
    }

    /// Builds what it runs, where that is looked for: beside it.
    fn build_needs(&self, cargo_args: &[&str]) -> Outcome {
        let build = |what: &&[&str]| run::to_end(run::cargo(&["build", "--quiet"]).args(cargo_args).args(*what));
        self.needs.iter().try_for_each(build)
    }

    /// Builds and runs it.
    pub(crate) fn command(&self, cargo_args: &[&str], args: &[&str]) -> std::process::Command {
        let package = format!("almoner-{}", self.dir);
        let mut command = run::cargo(&["run", "--quiet", "--package", &package, "--example", self.name]);
        command.args(cargo_args).arg("--").args(args);
        command
    }
}

/// The row that a line makes, if it is a figure: a name, then what was counted, divided by commas.
fn figure(line: &str) -> Option<Row> {
    let (name, figures) = line.split_once(": ").filter(|(_, figures)| figures.starts_with("n "))?;
    let mut parts: Vec<&str> = figures.split([',', ';']).map(str::trim).collect();
    let mut take = |word: &str| {
        let at = parts.iter().position(|part| part.starts_with(word))?;
        Some(parts.remove(at)[word.len()..].to_owned())
    };
    let [n, seeds, worst] = ["n ", "seeds ", "worst case "].map(|word| take(word).unwrap_or_else(|| "-".to_owned()));
    Some([name.to_owned(), n, seeds, worst, parts.join(", ")])
}

fn markdown(rows: &[Row]) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let head = line(&COLUMNS.map(str::to_owned)) + "|---|---|---|---|---|\n";
    rows.iter().map(|row| line(row)).fold(head, |table, row| table + &row)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, row: Option<[&str; 5]>) {
        assert_eq!(figure(line), row.map(|row| row.map(str::to_owned)));
    }

    #[test]
    fn a_figure_becomes_a_row() {
        check(
            "model: n 10 steps, seeds 0..2, differences 0, worst case 3 permille; 7 waited, 2 replays",
            Some(["model", "10 steps", "0..2", "3 permille", "differences 0, 7 waited, 2 replays"]),
        );
        check("planted bugs: n 14, each found", Some(["planted bugs", "14", "-", "-", "each found"]));
    }

    #[test]
    fn what_is_no_figure_is_passed_on() {
        check("", None);
        check("difference: seed 3: left", None);
    }

    #[test]
    fn figures_print_as_a_table() {
        let rows = [figure("model: n 10, seeds 0..1, worst case 0, held").expect("a figure")];
        let table = "| proof | n | seeds | worst | result |\n|---|---|---|---|---|\n| model | 10 | 0..1 | 0 | held |\n";
        assert_eq!(markdown(&rows), table);
    }

    #[test]
    fn every_run_of_the_tests_kills_servers_and_sends_a_crowd() {
        let names: Vec<&str> = small().map(|program| program.name).collect();
        for name in ["simulate", "kill_loop", "overshoot", "detour", "abuse"] {
            assert!(names.contains(&name), "{name} is not among {names:?}");
        }
    }
}
