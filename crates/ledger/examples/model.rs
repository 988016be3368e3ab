//! The ledger against its naive twin at full size, and the planted bugs: what, n, seeds, differences, worst case.
//!
//! `cargo run --release -p almoner-ledger --example model -- --steps 1000000 --seed 0`

#![allow(clippy::print_stdout)]

#[path = "../tests/it/world/mod.rs"]
mod world;

use std::process::ExitCode;

use world::snapshots::Flaw;
use world::{Mutant, Seen, run, run_flawed};

const STEPS_PER_SEED: u64 = 400;
const SEEDS_PER_MUTANT: u64 = 1000;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (Some(steps), Some(first)) = (number(&arguments, "--steps", 1_000_000), number(&arguments, "--seed", 0)) else {
        println!("usage: model [--steps N] [--seed S]");
        return ExitCode::FAILURE;
    };
    let clean = model(steps, first);
    let caught = mutants(first);
    if clean && caught { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn number(arguments: &[String], name: &str, default: u64) -> Option<u64> {
    match arguments.iter().position(|argument| argument == name) {
        Some(at) => arguments.get(at + 1)?.parse().ok(),
        None => Some(default),
    }
}

fn model(steps: u64, first: u64) -> bool {
    let seeds = steps.div_ceil(STEPS_PER_SEED);
    let (mut seen, mut differences) = (Seen::default(), 0);
    for seed in first..first + seeds {
        match run(seed, STEPS_PER_SEED, None) {
            Ok(more) => seen.add(&more),
            Err(difference) => {
                differences += 1;
                println!("difference: {difference}");
            }
        }
    }
    println!(
        "model: n {} steps, seeds {first}..{}, differences {differences}, worst case {} in a seed, sliding windows at \
         most 1/120 late; {} admitted, {} waited, {} refused, {} replays",
        seen.steps,
        first + seeds,
        differences.min(1),
        seen.admitted,
        seen.waited,
        seen.refused,
        seen.replays
    );
    differences == 0
}

fn mutants(first: u64) -> bool {
    let mut worst = 0;
    for mutant in Mutant::ALL {
        let found = (first..first + SEEDS_PER_MUTANT).find(|seed| run(*seed, STEPS_PER_SEED, Some(mutant)).is_err());
        let Some(found) = found else {
            println!("planted bug {mutant:?}: not found in {SEEDS_PER_MUTANT} seeds");
            return false;
        };
        worst = worst.max(found - first + 1);
    }
    std::panic::set_hook(Box::new(|_| {}));
    for flaw in Flaw::ALL {
        let found = (first..first + SEEDS_PER_MUTANT).find(|seed| run_flawed(*seed, STEPS_PER_SEED, flaw).is_err());
        let Some(found) = found else {
            println!("snapshot without {flaw:?}: not found in {SEEDS_PER_MUTANT} seeds");
            return false;
        };
        worst = worst.max(found - first + 1);
    }
    drop(std::panic::take_hook());
    println!("planted bugs: n {}, each found, worst case after {worst} seeds", Mutant::ALL.len() + Flaw::ALL.len());
    true
}
