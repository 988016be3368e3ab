//! Every chore of this repository: `cargo xtask help` lists them.
//!
//! A chore is a file, and this one only knows their names. Nothing here is part of Almoner, and nothing here decides
//! whether a promise holds: that is what the tests and the proofs do, and a chore runs them.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a chore speaks to the person who started it")]

mod arrows;
mod bench;
mod clients;
mod coverage;
mod fuzz;
mod lint;
mod observers;
mod openapi;
mod prices;
mod proofs;
mod requirements;
mod run;
mod schema;
mod test;
mod threats;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// How a chore ends: well, or with what to tell the person who started it.
type Outcome = Result<(), String>;

struct Chore {
    usage: &'static str,
    does: &'static str,
    run: fn(&[String]) -> Outcome,
}

impl Chore {
    /// The first word of the usage.
    fn name(&self) -> &'static str {
        self.usage.split(' ').next().unwrap_or_default()
    }
}

const CHORES: [Chore; 15] = [
    Chore { usage: "test [CARGO-TEST-ARGS]", does: "every test, with the proofs small", run: test::run },
    Chore { usage: "lint", does: "format, clippy, docs, cargo deny, and the five checks below", run: lint::run },
    Chore { usage: "tidy", does: "the text of the repository: line lengths, links, decision pages", run: tidy::run },
    Chore { usage: "arrows", does: "which crate may know which, and what only one may name", run: arrows::run },
    Chore {
        usage: "requirements",
        does: "docs/requirements.md: what is called done has a test",
        run: requirements_page,
    },
    Chore { usage: "threats", does: "the page of threats: every test that it names is there", run: threats::run },
    Chore { usage: "prove [NAME]", does: "the proofs at full size, as a table", run: proofs::prove },
    Chore { usage: "coverage", does: "how many lines of the pure crates their tests run", run: coverage::run },
    Chore {
        usage: "bench [NAME…]",
        does: "how fast everything is, beside nginx or peers, as a table",
        run: bench::run,
    },
    Chore { usage: "fuzz [TARGET] [--seconds N]", does: "what strangers send, changed without end", run: fuzz::run },
    Chore { usage: "clients", does: "real agents and SDKs against a scripted provider", run: clients::run },
    Chore { usage: "schema [ARGS]", does: "schemathesis against a real server's document", run: schema::run },
    Chore { usage: "observers", does: "traces and metrics, read by their own libraries", run: observers::run },
    Chore { usage: "openapi", does: "write docs/openapi.json anew", run: openapi::run },
    Chore { usage: "prices convert FILE", does: "print the price book made from a published table", run: price_book },
];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (name, args) = match args.split_first() {
        Some((name, args)) => (name.as_str(), args),
        None => ("help", &[][..]),
    };
    if matches!(name, "help" | "--help" | "-h") {
        print!("{}", help());
        return ExitCode::SUCCESS;
    }
    let outcome = match CHORES.iter().find(|chore| chore.name() == name) {
        Some(chore) => (chore.run)(args),
        None => Err(format!("`{name}` is no chore; these are:\n{}", help())),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("xtask {name}: {why}");
            ExitCode::FAILURE
        }
    }
}

fn help() -> String {
    let line = |chore: &Chore| format!("  cargo xtask {:<30}{}\n", chore.usage, chore.does);
    CHORES.iter().map(line).collect()
}

/// The directory of the workspace.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask stands inside the workspace").to_owned()
}

fn requirements_page(_: &[String]) -> Outcome {
    match requirements::check(&root()) {
        Ok(summary) => {
            println!("{summary}");
            Ok(())
        }
        Err(problems) => Err(list(&problems)),
    }
}

fn price_book(args: &[String]) -> Outcome {
    let [verb, file] = args else { return Err("write `cargo xtask prices convert FILE`".to_owned()) };
    if verb != "convert" {
        return Err(format!("`{verb}` is nothing to do with prices; write `cargo xtask prices convert FILE`"));
    }
    let table = std::fs::read_to_string(file).map_err(|why| format!("{file} cannot be read: {why}"))?;
    print!("{}", prices::convert(&table)?);
    Ok(())
}

/// Problems as people read them: a count, then one on each line.
fn list<P: ToString>(problems: &[P]) -> String {
    let lines: String = problems.iter().map(|problem| format!("\n  {}", problem.to_string())).collect();
    format!("{} {}{lines}", problems.len(), if problems.len() == 1 { "problem" } else { "problems" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_names_every_chore_once() {
        let help = help();
        for chore in &CHORES {
            assert_eq!(help.matches(&format!("xtask {} ", chore.name())).count(), 1, "{help}");
        }
    }
}
