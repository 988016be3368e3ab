//! `cargo xtask lint`: everything that is checked without running Almoner.
//!
//! All of it runs, so that one try finds everything, and the end names what failed.

use crate::{Outcome, arrows, requirements_page, run, threats, tidy};

const DENY_VERSION: &str = "0.20.2";

/// A check by its name.
type Check = (&'static str, fn() -> Outcome);

const CHECKS: [Check; 8] = [
    ("format", || run::to_end(&mut run::cargo(&["fmt", "--all", "--check"]))),
    ("tidy", || tidy::run(&[])),
    ("arrows", || arrows::run(&[])),
    ("requirements", || requirements_page(&[])),
    ("threats", || threats::run(&[])),
    ("deny", deny),
    ("clippy", || {
        run::to_end(&mut run::cargo(&["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"]))
    }),
    ("docs", || {
        let doc = &mut run::cargo(&["doc", "--quiet", "--no-deps", "--workspace"]);
        run::to_end(doc.env("RUSTDOCFLAGS", "-D warnings"))
    }),
];

pub(crate) fn run(_: &[String]) -> Outcome {
    let mut failed = Vec::new();
    for (name, check) in CHECKS {
        match check() {
            Ok(()) => println!("lint {name}: ok"),
            Err(why) => {
                println!("lint {name}: {why}");
                failed.push(name);
            }
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(format!("failed: {}", failed.join(", "))) }
}

fn deny() -> Outcome {
    let is_there = run::program("cargo", &["deny", "--version"]).output().is_ok_and(|said| said.status.success());
    if !is_there {
        return Err(format!("run `cargo install --locked cargo-deny --version {DENY_VERSION}` first"));
    }
    // The advisories need a database from the network; what else is asked stands in the lock file.
    run::to_end(&mut run::cargo(&["deny", "--log-level", "error", "check", "licenses", "bans", "sources"]))
}
