//! `cargo xtask coverage`: how many of the lines of the pure crates their own tests run, and that it is enough.
//!
//! Each crate is judged by itself, so that a large one cannot hide a small one. Only the pure crates are measured: what
//! they promise is arithmetic and rules, where a line that no test runs is a case that nobody has thought of. What the
//! rim promises is shown by processes that are killed, which no count of lines sees.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::{Outcome, list, root, run};

/// The crates that are measured.
const CRATES: [&str; 6] = ["units", "policy", "ledger", "meter", "api", "rehearsal"];
/// How many of a hundred lines must have run.
const FLOOR: u64 = 90;
const TARPAULIN_VERSION: &str = "0.37.5";
const REPORT: &str = "tarpaulin-report.json";

/// The lines of one crate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Lines {
    run: u64,
    all: u64,
}

impl Lines {
    fn is_enough(self) -> bool {
        self.all > 0 && self.run * 100 >= self.all * FLOOR
    }
}

pub(crate) fn run(_: &[String]) -> Outcome {
    let is_there = run::program("cargo", &["tarpaulin", "--version"]).output().is_ok_and(|said| said.status.success());
    if !is_there {
        return Err(format!("run `cargo install --locked cargo-tarpaulin --version {TARPAULIN_VERSION}` first"));
    }
    let dir = dir();
    measure(&dir)?;
    let report = std::fs::read(dir.join(REPORT)).map_err(|why| format!("there is no report: {why}"))?;
    let report: Value = serde_json::from_slice(&report).map_err(|why| format!("the report cannot be read: {why}"))?;
    let found = CRATES.map(|name| (name, lines_of(&report, name)));
    print!("{}", table(&found));
    let problems: Vec<String> = found.iter().filter_map(|found| judge(*found)).collect();
    if problems.is_empty() { Ok(()) } else { Err(list(&problems)) }
}

/// Where what is built for this lies: apart, because it is built with flags of its own.
fn dir() -> PathBuf {
    #[allow(clippy::disallowed_methods, reason = "cargo's own variable, which says where it builds")]
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    target.join("coverage")
}

/// Runs the tests of the crates and leaves the report in `dir`.
fn measure(dir: &Path) -> Outcome {
    let mut command = run::cargo(&["tarpaulin", "--engine", "llvm", "--skip-clean", "--out", "Json"]);
    command.arg("--output-dir").arg(dir).arg("--target-dir").arg(dir);
    // A test that says nothing for a minute is only slow.
    command.args(["--timeout", "900"]);
    command.args(CRATES.iter().flat_map(|name| ["--package".to_owned(), format!("almoner-{name}")]));
    // Lines are run by the first cases already; the others are for what happens in them.
    command.env("PROPTEST_CASES", "16");
    let mut said = Vec::new();
    let outcome = run::line_by_line(&mut command, |line| said.push(line.to_owned()));
    if outcome.is_err() {
        said.iter().for_each(|line| println!("{line}"));
    }
    outcome
}

/// The lines of a crate's own files.
fn lines_of(report: &Value, name: &str) -> Lines {
    let files = report["files"].as_array().map(Vec::as_slice).unwrap_or_default();
    let own = ["crates", name, "src"];
    let is_own = |file: &&Value| {
        let path: Vec<&str> = file["path"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        path.windows(own.len()).any(|part| part == own)
    };
    let count = |file: &Value, what: &str| file[what].as_u64().unwrap_or(0);
    files.iter().filter(is_own).fold(Lines::default(), |sum, file| Lines {
        run: sum.run + count(file, "covered"),
        all: sum.all + count(file, "coverable"),
    })
}

/// What is wrong with a crate, if anything.
fn judge((name, lines): (&str, Lines)) -> Option<String> {
    let Lines { run, all } = lines;
    (!lines.is_enough()).then(|| format!("{name}: {run} of {all} lines have run, and {FLOOR} of a hundred must"))
}

fn table(found: &[(&str, Lines)]) -> String {
    let permille = |lines: &Lines| lines.run * 1000 / lines.all.max(1);
    let line = |(name, lines): &(&str, Lines)| {
        let part = permille(lines);
        format!("| {name} | {} | {} | {}.{} % |\n", lines.run, lines.all, part / 10, part % 10)
    };
    let rows: String = found.iter().map(line).collect();
    format!("| crate | lines run | of | part |\n|---|---|---|---|\n{rows}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &[&str], covered: u64, coverable: u64) -> Value {
        serde_json::json!({ "path": path, "covered": covered, "coverable": coverable })
    }

    #[test]
    fn a_crate_below_the_floor_fails_whatever_the_others_have() {
        let report = serde_json::json!({ "files": [
            file(&["/", "x", "crates", "units", "src", "money.rs"], 85, 100),
            file(&["/", "x", "crates", "units", "src", "deep", "time.rs"], 4, 10),
            file(&["/", "x", "crates", "units", "examples", "all.rs"], 500, 500),
            file(&["/", "x", "crates", "policy", "src", "lib.rs"], 90, 100),
        ] });
        let units = lines_of(&report, "units");
        assert_eq!(units, Lines { run: 89, all: 110 });
        assert_eq!(judge(("units", units)).unwrap(), "units: 89 of 110 lines have run, and 90 of a hundred must");
        assert_eq!(judge(("policy", lines_of(&report, "policy"))), None);
        assert!(judge(("meter", lines_of(&report, "meter"))).is_some(), "a crate that was not measured has not passed");
    }

    #[test]
    fn the_table_rounds_nobody_up() {
        let table = table(&[("units", Lines { run: 8999, all: 10000 })]);
        assert!(table.ends_with("| units | 8999 | 10000 | 89.9 % |\n"), "{table}");
        assert!(!Lines { run: 8999, all: 10000 }.is_enough() && Lines { run: 9000, all: 10000 }.is_enough());
    }

    #[test]
    fn the_gate_measures_and_can() {
        let gate = std::fs::read_to_string(root().join(".ci/run")).unwrap();
        let install = format!("cargo-tarpaulin --version {TARPAULIN_VERSION}\n");
        assert!(gate.contains("cargo xtask coverage ") && gate.contains(&install), "{gate}");
        for name in CRATES {
            assert!(root().join("crates").join(name).is_dir(), "{name}");
        }
    }
}
