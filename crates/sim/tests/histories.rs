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

/// Histories that once broke a promise, and the fault that they showed. The tests of the desk show each by itself.
const ONCE_BROKEN: [(u64, &str); 8] = [
    (2, "a repeated question was refused, because it would have ended its hold later"),
    (7, "a wall clock that was set back kept calls waiting"),
    (14, "the account of a call that waited was swept away"),
    (31, "a hold's time ran while its call still waited"),
    (58, "a full disk took the hold from a call on its way, when its question was repeated"),
    (7842, "an id that was made by a clock that ran ahead was new once it was forgotten"),
    (27834, "a correction that a full disk did not take for a day could be made once more"),
    (725, "a yes that one of two askers did not hear gave back the hold of both"),
];

#[test]
fn what_was_broken_once_holds() {
    for (seed, fault) in ONCE_BROKEN {
        let lived = run(seed, None);
        assert!(lived.is_ok(), "{fault}, again: {lived:?}");
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
