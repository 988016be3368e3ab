//! `cargo xtask arrows`: which crate may know which, and what only one of them may name.
//!
//! The table below is the drawing in ARCHITECTURE.md. It is read against every manifest, and the words against every
//! source; tests, examples and what is needed only for them may know more.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::{Outcome, list, root};

/// A crate, and the crates of ours that it may know.
type Arrows = (&'static str, &'static [&'static str]);

const ARROWS: [Arrows; 16] = [
    ("units", &[]),
    ("policy", &["units"]),
    ("config", &["units", "policy"]),
    ("ledger", &["units"]),
    ("meter", &["units"]),
    ("schedule", &["units", "ledger"]),
    ("store", &["units", "ledger"]),
    ("gateway", &["units", "policy", "ledger", "meter"]),
    ("api", &["units"]),
    ("web", &["units", "api"]),
    ("rehearsal", &["units"]),
    (
        "daemon",
        &["units", "policy", "config", "ledger", "meter", "schedule", "store", "gateway", "api", "web", "rehearsal"],
    ),
    ("cli", &["units", "policy", "config", "meter", "api", "daemon"]),
    ("sim", &["units", "ledger"]),
    ("testkit", EVERYTHING),
    ("fuzzing", EVERYTHING),
];

/// The false world may know the whole real one; nothing real may know it.
const EVERYTHING: &[&str] = &[
    "units",
    "policy",
    "config",
    "ledger",
    "meter",
    "schedule",
    "store",
    "gateway",
    "api",
    "web",
    "rehearsal",
    "daemon",
];

/// Words that only some crates may have in their sources, or as the beginning of a dependency's name.
struct Reserved {
    words: &'static [&'static str],
    dependency: Option<&'static str>,
    only: &'static [&'static str],
    /// Single files that may, each for a reason that stands in it.
    except: &'static [&'static str],
    why: &'static str,
}

const RESERVED: [Reserved; 4] = [
    Reserved {
        words: &["SystemTime", "Instant::now", "Zoned::now", "Timestamp::now"],
        dependency: None,
        only: &["daemon"],
        except: &[],
        why: "time is an argument; only the daemon has a clock",
    },
    Reserved {
        words: &["env::var", "env::vars", "env::var_os"],
        dependency: None,
        only: &["config"],
        // `exec` hands its own environment on to the command, and sets nothing of ours from it.
        except: &["crates/cli/src/commands/exec.rs"],
        why: "only config reads the environment",
    },
    Reserved {
        words: &["rusqlite::"],
        dependency: Some("rusqlite"),
        only: &["store"],
        except: &[],
        why: "only the store opens the journal",
    },
    Reserved {
        words: &["hyper::", "hyper_util::", "http_body_util::"],
        dependency: Some("hyper"),
        only: &["gateway", "web", "daemon", "cli"],
        except: &[],
        why: "nothing below the gateway knows HTTP",
    },
];

/// One thing that is not as it is drawn.
#[derive(Debug, PartialEq, Eq)]
enum Problem {
    NotDrawn(String),
    WrongWay { from: String, to: String },
    Reserved { place: String, word: String, why: &'static str },
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotDrawn(name) => {
                write!(f, "`{name}` is in no drawing; add it to ARCHITECTURE.md and to the table in xtask")
            }
            Self::WrongWay { from, to } => write!(
                f,
                "`{from}` depends on `{to}`, and no arrow leads there; a value or an event is missing that would turn \
                 it round"
            ),
            Self::Reserved { place, word, why } => write!(f, "{place} names `{word}`: {why}"),
        }
    }
}

pub(crate) fn run(_: &[String]) -> Outcome {
    match check(&root()) {
        Ok((crates, problems)) if problems.is_empty() => {
            println!("{crates} crates, every arrow as drawn");
            Ok(())
        }
        Ok((_, problems)) => Err(list(&problems)),
        Err(why) => Err(format!("the crates cannot be read: {why}")),
    }
}

/// How many crates there are, and what is wrong with them.
fn check(root: &Path) -> io::Result<(usize, Vec<Problem>)> {
    let mut crates = Vec::new();
    for entry in fs::read_dir(root.join("crates"))? {
        let dir = entry?.path();
        if dir.join("Cargo.toml").is_file() {
            crates.push(dir);
        }
    }
    crates.sort();
    let mut problems = Vec::new();
    for dir in &crates {
        let name = dir.file_name().unwrap_or_default().to_string_lossy();
        problems.extend(judge_manifest(&name, &fs::read_to_string(dir.join("Cargo.toml"))?));
        for file in rust_files(&dir.join("src"))? {
            let place = file.strip_prefix(root).unwrap_or(&file).display().to_string();
            problems.extend(judge_source(&name, &place, &fs::read_to_string(&file)?));
        }
    }
    Ok((crates.len(), problems))
}

fn judge_manifest(name: &str, manifest: &str) -> Vec<Problem> {
    let Some((_, may)) = ARROWS.iter().find(|(known, _)| *known == name) else {
        return vec![Problem::NotDrawn(name.to_owned())];
    };
    let mut problems = Vec::new();
    for dependency in dependencies(manifest) {
        match ours(dependency) {
            Some(to) if !may.contains(&to) => {
                problems.push(Problem::WrongWay { from: name.to_owned(), to: to.to_owned() });
            }
            Some(_) => {}
            None => {
                let is_it = |r: &&Reserved| r.dependency.is_some_and(|begins| dependency.starts_with(begins));
                if let Some(Reserved { why, .. }) = reserved_to_others(name).find(is_it) {
                    let place = format!("crates/{name}/Cargo.toml");
                    problems.push(Problem::Reserved { place, word: dependency.to_owned(), why });
                }
            }
        }
    }
    problems
}

/// The directory of a crate of ours, by its package's name.
fn ours(dependency: &str) -> Option<&str> {
    if dependency == "almoner" { Some("cli") } else { dependency.strip_prefix("almoner-") }
}

fn reserved_to_others(name: &str) -> impl Iterator<Item = &'static Reserved> {
    // The false world has clocks and providers of its own, and requests that no client sends.
    let is_false_world = matches!(name, "testkit" | "fuzzing");
    RESERVED.iter().filter(move |reserved| !is_false_world && !reserved.only.contains(&name))
}

/// The names under `[dependencies]` and `[build-dependencies]`, for every target, in any of their spellings.
fn dependencies(manifest: &str) -> Vec<&str> {
    let mut names = Vec::new();
    let mut in_table = false;
    for line in manifest.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
        if let Some(head) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            let parts: Vec<&str> = head.split('.').collect();
            let is_table = |part: &&str| matches!(*part, "dependencies" | "build-dependencies");
            in_table = parts.last().is_some_and(is_table);
            if let [.., table, name] = parts[..]
                && is_table(&table)
            {
                names.push(name);
            }
        } else if in_table && let Some((key, _)) = line.split_once('=') {
            names.push(key.split('.').next().unwrap_or(key).trim().trim_matches('"'));
        }
    }
    names
}

fn judge_source(name: &str, place: &str, source: &str) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (at, line) in source.lines().enumerate() {
        let code = line.split("//").next().unwrap_or_default();
        for Reserved { words, why, .. } in reserved_to_others(name).filter(|it| !it.except.contains(&place)) {
            if let Some(word) = words.iter().find(|word| names(code, word)) {
                let place = format!("{place}:{}", at + 1);
                problems.push(Problem::Reserved { place, word: (*word).to_owned(), why });
            }
        }
    }
    problems
}

/// Whether the code has the word itself, and not another that it is a part of.
fn names(code: &str, word: &str) -> bool {
    let goes_on = |c: char| c.is_alphanumeric() || c == '_';
    let is_path = word.ends_with("::");
    code.match_indices(word).any(|(start, _)| {
        let (before, after) = (&code[..start], &code[start + word.len()..]);
        !before.ends_with(goes_on) && (is_path || !after.starts_with(goes_on))
    })
}

fn is_test(path: &Path) -> bool {
    path.file_stem().is_some_and(|stem| stem == "tests") || path.iter().any(|part| part == "tests")
}

/// The sources under `dir`, without those of tests.
fn rust_files(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(rust_files(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") && !is_test(&path) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arrows_of_this_repository_lead_one_way() {
        let (_, problems) = check(&root()).unwrap();
        assert!(problems.is_empty(), "{}", list(&problems));
    }

    #[test]
    fn the_drawing_has_no_circle() {
        for (at, (name, may)) in ARROWS.iter().enumerate() {
            let before: Vec<&str> = ARROWS[..at].iter().map(|(name, _)| *name).collect();
            assert!(may.iter().all(|to| before.contains(to)), "{name} stands before something it may know");
        }
    }

    #[track_caller]
    fn check_manifest(name: &str, manifest: &str, said: &[&str]) {
        let problems: Vec<String> = judge_manifest(name, manifest).iter().map(Problem::to_string).collect();
        assert_eq!(problems.len(), said.len(), "{problems:?}");
        for (problem, said) in problems.iter().zip(said) {
            assert!(problem.contains(said), "{problem}");
        }
    }

    #[test]
    fn an_arrow_that_turns_round_is_found_in_every_spelling() {
        let wrong = ["`ledger` depends on `store`"];
        check_manifest("ledger", "[dependencies]\nalmoner-units.workspace = true\n", &[]);
        check_manifest("ledger", "[dependencies]\nalmoner-store.workspace = true\n", &wrong);
        check_manifest("ledger", "[dependencies]\nalmoner-store = { path = \"../store\" }\n", &wrong);
        check_manifest("ledger", "[dependencies.almoner-store]\npath = \"../store\"\n", &wrong);
        check_manifest("ledger", "[target.'cfg(unix)'.dependencies]\nalmoner-store.workspace = true\n", &wrong);
        check_manifest("ledger", "[build-dependencies]\nalmoner-store.workspace = true\n", &wrong);
        check_manifest("daemon", "[dependencies]\nalmoner.workspace = true\n", &["`daemon` depends on `cli`"]);
    }

    #[test]
    fn the_false_world_is_for_tests() {
        check_manifest("daemon", "[dev-dependencies]\nalmoner-testkit.workspace = true\n", &[]);
        check_manifest("daemon", "[dependencies]\nalmoner-testkit.workspace = true\n", &["`daemon` depends on"]);
    }

    #[test]
    fn a_crate_that_is_not_drawn_is_found() {
        check_manifest("oracle", "[dependencies]\n", &["`oracle` is in no drawing"]);
    }

    #[test]
    fn a_dependency_may_be_reserved() {
        check_manifest("store", "[dependencies]\nrusqlite.workspace = true\n", &[]);
        check_manifest("ledger", "[dependencies]\nrusqlite.workspace = true\n", &["only the store opens"]);
        check_manifest("meter", "[dependencies]\nhyper-util.workspace = true\n", &["nothing below the gateway"]);
        check_manifest("meter", "[dev-dependencies]\nhyper.workspace = true\n", &[]);
    }

    #[track_caller]
    fn check_source(name: &str, source: &str, said: &[&str]) {
        let problems: Vec<String> = judge_source(name, "x.rs", source).iter().map(Problem::to_string).collect();
        assert_eq!(problems, said);
    }

    #[test]
    fn a_word_may_be_reserved() {
        let clock = "x.rs:2 names `Instant::now`: time is an argument; only the daemon has a clock";
        check_source("ledger", "fn a() {\n    let now = Instant::now();\n}\n", &[clock]);
        check_source("daemon", "let now = Instant::now();\n", &[]);
        check_source("testkit", "let now = Instant::now();\n", &[]);
        check_source("ledger", "//! Never `Instant::now`.\nlet a = 1; // not SystemTime\n", &[]);
        check_source(
            "gateway",
            "use std::env::var;\n",
            &["x.rs:1 names `env::var`: only config reads the environment"],
        );
        assert_eq!(judge_source("cli", "crates/cli/src/commands/exec.rs", "let it = std::env::var_os(name);\n"), []);
        check_source("meter", "use superhyper::x;\nlet a = Instant::nowhere();\n", &[]);
        check_source("meter", "use hyper::x;\n", &["x.rs:1 names `hyper::`: nothing below the gateway knows HTTP"]);
    }
}
