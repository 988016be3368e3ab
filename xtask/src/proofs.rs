//! `cargo xtask prove` and `cargo xtask bench`: the programs that measure a promise, and the tables of what they found.
//!
//! Such a program is an example of the crate whose promise it measures, `crates/*/examples/NAME.rs`. It ends in success
//! only where the promise held, and prints one line for each figure, its cells between pipes:
//!
//! ```text
//! proof | n | seeds | worst | result
//! ```
//!
//! What else it prints is passed on. With `--small` it takes seconds; that is how `cargo xtask test` runs it.

use crate::{Outcome, root, run};

/// A program that measures, by its crate's directory and its own name.
#[derive(Clone, Copy)]
pub(crate) struct Program {
    dir: &'static str,
    name: &'static str,
}

/// The proofs, in the order in which one should be believed before the next: add a new one here.
pub(crate) const PROOFS: [Program; 1] = [Program { dir: "ledger", name: "model" }];

/// The measurements of speed: add a new one here.
const BENCHES: [Program; 1] = [Program { dir: "ledger", name: "throughput" }];

const COLUMNS: [&str; 5] = ["proof", "n", "seeds", "worst", "result"];

/// The proofs that exist, for a short run.
pub(crate) fn small() -> impl Iterator<Item = Program> {
    PROOFS.into_iter().filter(Program::exists)
}

pub(crate) fn prove(args: &[String]) -> Outcome {
    table(&PROOFS, args)
}

pub(crate) fn bench(args: &[String]) -> Outcome {
    table(&BENCHES, args)
}

/// Runs those that exist, or the one named, at full size, and prints their figures as a table.
fn table(programs: &[Program], args: &[String]) -> Outcome {
    let there: Vec<&Program> = programs.iter().filter(|program| program.exists()).collect();
    let chosen: Vec<&Program> = match args {
        [] => there,
        [name] => there.into_iter().filter(|program| program.name == name).collect(),
        _ => return Err("name one of them, or none for all".to_owned()),
    };
    if chosen.is_empty() {
        return Err("there is none of that name yet".to_owned());
    }
    let (mut rows, mut failures) = (Vec::new(), Vec::new());
    for program in chosen {
        // Optimised, because full size is about numbers that debug builds take hours for.
        let (found, outcome) = program.run(&["--release"], &[]);
        rows.extend(found);
        failures.extend(outcome.err());
    }
    print!("\n{}", markdown(&rows));
    if failures.is_empty() { Ok(()) } else { Err(failures.join("; ")) }
}

impl Program {
    fn exists(&self) -> bool {
        root().join(format!("crates/{}/examples/{}.rs", self.dir, self.name)).is_file()
    }

    /// Runs it for seconds, unoptimised, so that every check of arithmetic is on.
    pub(crate) fn run_small(self) -> Outcome {
        let (rows, outcome) = self.run(&[], &["--small"]);
        for row in rows {
            println!("proof {}", row.join(" | "));
        }
        outcome
    }

    /// The figures it printed, and how it ended.
    fn run(&self, cargo_args: &[&str], args: &[&str]) -> (Vec<[String; 5]>, Outcome) {
        let package = format!("almoner-{}", self.dir);
        let fixed = ["run", "--quiet", "--package", &package, "--example", self.name];
        let all: Vec<&str> = fixed.iter().chain(cargo_args).chain(&["--"]).chain(args).copied().collect();
        let mut rows = Vec::new();
        let outcome = run::line_by_line(&mut run::cargo(&all), |line| match row(line) {
            Some(row) => rows.push(row),
            None => println!("{line}"),
        });
        if rows.is_empty() {
            let result = if outcome.is_ok() { "held, without a figure" } else { "FAILED" };
            rows.push([self.name, "-", "-", "-", result].map(str::to_owned));
        }
        (rows, outcome)
    }
}

/// The five cells of a figure, if the line is one and not the head of a table.
fn row(line: &str) -> Option<[String; 5]> {
    let line = line.trim();
    let line = line.strip_prefix('|').unwrap_or(line);
    let line = line.strip_suffix('|').unwrap_or(line);
    let cells: Vec<String> = line.split('|').map(|cell| cell.trim().to_owned()).collect();
    let row: [String; 5] = cells.try_into().ok()?;
    let is_head = row == COLUMNS || row[0].chars().all(|c| matches!(c, '-' | ':'));
    (!is_head).then_some(row)
}

fn markdown(rows: &[[String; 5]]) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let head = line(&COLUMNS.map(str::to_owned)) + "|---|---|---|---|---|\n";
    rows.iter().map(|row| line(row)).fold(head, |table, row| table + &row)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_has_five_cells() {
        assert!(row("model | 1000000 | 50 | 0 differences | held").is_some());
        assert!(row("| model | 1000000 | 50 | 0 differences | held |").is_some());
        for other in ["", "seed 7", "a | b", "proof | n | seeds | worst | result", "|---|---|---|---|---|"] {
            assert_eq!(row(other), None, "{other}");
        }
    }

    #[test]
    fn figures_print_as_a_table() {
        let rows = [row("model | 10 | 1 | 0 | held").expect("five cells")];
        let table = "| proof | n | seeds | worst | result |\n|---|---|---|---|---|\n| model | 10 | 1 | 0 | held |\n";
        assert_eq!(markdown(&rows), table);
    }
}
