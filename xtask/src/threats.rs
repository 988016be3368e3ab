//! The check of docs/book/src/threats.md: every threat has a row, and every test and proof that a row names is there.
//!
//! It reads text and runs nothing, as the check of the requirements does.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::requirements::Tests;
use crate::{Outcome, list, proofs, root};

const PAGE: &str = "docs/book/src/threats.md";
/// How many threats there are, T1 and so on.
const THREATS: usize = 34;
/// What a row without a test says first.
const NONE: &str = "none: ";

pub(crate) fn run(_: &[String]) -> Outcome {
    let (rows, problems) = check(&root())?;
    if problems.is_empty() {
        println!("{rows} threats, every test that they name is there");
        return Ok(());
    }
    Err(list(&problems))
}

/// How many rows there are, and all that is wrong with them.
fn check(root: &Path) -> Result<(usize, Vec<String>), String> {
    let page = fs::read_to_string(root.join(PAGE)).map_err(|why| format!("{PAGE} cannot be read: {why}"))?;
    let tests = Tests::under(root).map_err(|why| format!("the sources cannot be read: {why}"))?;
    Ok(judge(&page, |test| tests.has(test), proofs::is_one))
}

fn judge(page: &str, is_test: impl Fn(&str) -> bool, is_proof: impl Fn(&str) -> bool) -> (usize, Vec<String>) {
    let rows: Vec<Vec<&str>> = page.lines().filter(|line| line.starts_with("| T")).map(cells).collect();
    let known: BTreeSet<&str> = rows.iter().filter_map(|row| row.first().copied()).collect();
    let ids = (1..=THREATS).map(|number| format!("T{number}"));
    let mut problems: Vec<String> =
        ids.filter(|id| !known.contains(id.as_str())).map(|id| format!("{id} has no row")).collect();
    if known.len() != rows.len() {
        problems.push("a threat has two rows".to_owned());
    }
    for row in &rows {
        let [id, _, _, named] = row[..] else {
            problems.push(format!("`{}` has {} cells, and a row has 4", row.join(" | "), row.len()));
            continue;
        };
        let mut count = 0;
        // Every second part of the text stands in backticks.
        for (before, quoted) in quoted(named) {
            let (is_there, what) =
                if before.ends_with("proof ") { (is_proof(quoted), "proof") } else { (is_test(quoted), "test") };
            count += usize::from(quoted.contains("::") || what == "proof");
            if !is_there && (what == "proof" || quoted.contains("::")) {
                problems.push(format!("{id} names the {what} `{quoted}`, which is not there"));
            }
        }
        if count == 0 && !(named.starts_with(NONE) && named.len() > NONE.len()) {
            problems.push(format!("{id} names no test; say `{NONE}` and why"));
        }
    }
    (rows.len(), problems)
}

fn cells(line: &str) -> Vec<&str> {
    line.trim().trim_matches('|').split('|').map(str::trim).collect()
}

/// What stands in backticks, each with the text before it.
fn quoted(text: &str) -> Vec<(&str, &str)> {
    let parts: Vec<&str> = text.split('`').collect();
    parts.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_row(row: &str, said: &str) {
        let others: String = (2..=THREATS).map(|number| format!("| T{number} | a | b | none: c |\n")).collect();
        let (_, problems) = judge(&format!("{row}\n{others}"), |test| test == "p::m::it", |proof| proof == "model");
        assert_eq!(problems.join("; "), said);
    }

    #[test]
    fn a_row_names_tests_that_are_there_or_says_why_not() {
        check_row("| T1 | a | b | `p::m::it`, proof `model` |", "");
        check_row("| T1 | a | b | `p::m::it`. It is `exec` that does it. |", "");
        check_row("| T1 | a | b | none: it comes later |", "");
        check_row("| T1 | a | b | `p::m::gone` |", "T1 names the test `p::m::gone`, which is not there");
        check_row("| T1 | a | b | proof `gone` |", "T1 names the proof `gone`, which is not there");
        check_row("| T1 | a | b | - |", "T1 names no test; say `none: ` and why");
        check_row("| T1 | a | b |", "`T1 | a | b` has 3 cells, and a row has 4");
        check_row("", "T1 has no row");
        check_row("| T1 | a | b | none: c |\n| T2 | a | b | none: c |", "a threat has two rows");
    }

    #[test]
    fn the_page_of_this_repository_holds() {
        assert_eq!(check(&root()), Ok((THREATS, Vec::new())));
    }
}
