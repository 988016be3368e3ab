//! Many histories of the false world, good ones and ones with a known bug.
//!
//! `cargo run --release -p almoner-sim --example simulate -- --seeds 10000 --from 0`; one history in words:
//! `… -- --seed 17 --verbose`, with `--mutant ForgetsTail` for a bad one.

#![allow(clippy::print_stdout)]

use std::process::ExitCode;

use almoner_sim::{Mutant, Tally, run, tell};

/// Each known bug must be found within so many histories.
const SEEDS_PER_MUTANT: u64 = 1000;

fn main() -> ExitCode {
    std::panic::set_hook(Box::new(|_| {}));
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mutant = word(&arguments, "--mutant");
    let mutant = mutant.and_then(|name| Mutant::ALL.into_iter().find(|mutant| format!("{mutant:?}") == name));
    if let Some(seed) = number(&arguments, "--seed") {
        return one(seed, mutant, arguments.iter().any(|argument| argument == "--verbose"));
    }
    let (from, seeds) = (number(&arguments, "--from").unwrap_or(0), number(&arguments, "--seeds").unwrap_or(10_000));
    let is_good = good(from, seeds);
    let is_found = bad(from);
    if is_good && is_found { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn word<'a>(arguments: &'a [String], name: &str) -> Option<&'a str> {
    let at = arguments.iter().position(|argument| argument == name)?;
    arguments.get(at + 1).map(String::as_str)
}

fn number(arguments: &[String], name: &str) -> Option<u64> {
    word(arguments, name)?.parse().ok()
}

/// One history in words.
fn one(seed: u64, mutant: Option<Mutant>, is_verbose: bool) -> ExitCode {
    let (lived, story) = tell(seed, mutant);
    if is_verbose {
        story.iter().for_each(|line| println!("{line}"));
    }
    match lived {
        Ok(tally) => println!("{tally:?}"),
        Err(violation) => {
            violation.before.iter().filter(|_| !is_verbose).for_each(|line| println!("{line}"));
            println!("violation: {violation}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn good(from: u64, seeds: u64) -> bool {
    let (mut tally, mut violations) = (Tally::default(), 0);
    for seed in from..from + seeds {
        match run(seed, None) {
            Ok(more) => tally.add(&more),
            Err(violation) => {
                violations += 1;
                println!("violation: {violation}");
            }
        }
    }
    println!(
        "simulator: n {} steps, seeds {from}..{}, worst case {violations} violations; {} hours, {} asked, {} waited, {} \
         billed, {} went on after a refusal, {} crashes, {} starts from a snapshot, {} torn and {} ghost commits, {} slow ones, {} full disks, {} clock \
         jumps, {} changed limits, {} removed budgets, {} corrections, {} overruns",
        tally.steps,
        from + seeds,
        tally.lived_ms / 3_600_000,
        tally.asked,
        tally.waited,
        tally.billed,
        tally.went_on,
        tally.crashes,
        tally.snapshots,
        tally.torn,
        tally.ghosts,
        tally.stalls,
        tally.full,
        tally.jumps,
        tally.changes,
        tally.removals,
        tally.corrections,
        tally.overruns,
    );
    violations == 0
}

fn bad(from: u64) -> bool {
    let (mut worst, mut missed) = (0, 0);
    for mutant in Mutant::ALL {
        match (from..from + SEEDS_PER_MUTANT).find_map(|seed| run(seed, Some(mutant)).err()) {
            Some(violation) => {
                worst = worst.max(violation.seed - from + 1);
                println!("planted bug {mutant:?} is found by {violation}");
            }
            None => {
                missed += 1;
                println!("planted bug {mutant:?} is not found in {SEEDS_PER_MUTANT} seeds");
            }
        }
    }
    let found = Mutant::ALL.len() - missed;
    println!("planted bugs: n {}, {found} found, worst case after {worst} seeds", Mutant::ALL.len());
    missed == 0
}
