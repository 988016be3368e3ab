//! Random commands and clock moves against the naive twin; the full size is `examples/model.rs`.

use crate::world::snapshots::Flaw;
use crate::world::{Mutant, Seen, facts, run, run_flawed};

const STEPS: u64 = 400;

#[test]
fn no_history_parts_the_ledger_from_its_naive_twin() {
    let mut seen = Seen::default();
    for seed in 0..150 {
        seen.add(&run(seed, STEPS, None).unwrap());
    }
    assert_eq!(seen.steps, 150 * STEPS);
    // A world in which everything is refused, or nothing, would prove little.
    assert!(
        seen.admitted > seen.steps / 20 && seen.refused > seen.steps / 50 && seen.waited > seen.steps / 200,
        "{seen:?}"
    );
}

#[test]
fn every_planted_bug_is_found() {
    for mutant in Mutant::ALL {
        let found = (0..1000).find(|seed| run(*seed, STEPS, Some(mutant)).is_err());
        assert!(found.is_some(), "{mutant:?} was not found in 1,000 seeds");
    }
}

#[test]
fn the_same_commands_give_the_same_facts() {
    for seed in 0..20 {
        let same = facts(seed, STEPS, true) == facts(seed, STEPS, true);
        assert!(same, "seed {seed} gives other facts the second time");
    }
}

#[test]
fn a_ledger_from_a_snapshot_goes_on_as_one_from_every_fact() {
    for seed in 0..60 {
        assert!(facts(seed, STEPS, true) == facts(seed, STEPS, false), "seed {seed}");
    }
}

#[test]
fn whatever_a_snapshot_forgets_is_found() {
    // That the facts since break a promise of books from which something is missing is one way to find it.
    let seeds = |flaw| (0..1000).find(|seed| run_flawed(*seed, STEPS, flaw).is_err());
    let missed: Vec<Flaw> = Flaw::ALL.into_iter().filter(|flaw| seeds(*flaw).is_none()).collect();
    assert_eq!(missed, []);
}
