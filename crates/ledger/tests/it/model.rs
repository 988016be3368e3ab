//! Random commands and clock moves against the naive twin; the full size is `examples/model.rs`.

use crate::world::{Mutant, Seen, facts, run};

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
        assert!(facts(seed, STEPS) == facts(seed, STEPS), "seed {seed} gives other facts the second time");
    }
}
