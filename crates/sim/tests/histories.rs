//! Some histories, good ones and bad ones; `cargo xtask prove` lives through ten thousand.

use almoner_sim::{Mutant, run};

#[test]
fn no_history_breaks_a_promise() {
    for seed in 0..120 {
        if let Err(violation) = run(seed, None) {
            panic!("{violation}\n  {}", violation.before.join("\n  "));
        }
    }
}

#[test]
fn every_known_bug_is_noticed() {
    for mutant in Mutant::ALL {
        let found = (0..60).find(|seed| run(*seed, Some(mutant)).is_err());
        assert!(found.is_some(), "{mutant:?} was not noticed in 60 histories");
    }
}

#[test]
fn a_history_follows_from_its_seed() {
    assert_eq!(run(7, None).ok(), run(7, None).ok());
    assert_ne!(run(7, None).ok(), run(8, None).ok());
}
