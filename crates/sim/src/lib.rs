//! The false world: clients, a provider that keeps the truth, a disk and clocks that fail, around the real desk and
//! ledger, in one thread and from one seed.
//!
//! A history has two phases. In the first anything may go wrong at any moment: the process dies between any two steps,
//! a commit is torn, lost, or comes back after it had failed, or takes a minute, the disk is full, the clock jumps,
//! budgets are changed, removed and set again, clocks are put forward and back for the summer, usage is lost, late,
//! told twice or beyond its bound. Nothing may ever be charged less than the provider bills. In the second the faults
//! stop, and everything must come to rest: every call answered in its time, every hold ended, what is left exactly the
//! limit less what was spent.
//!
//! After every step an auditor, who does its own arithmetic, compares the books with the truth. That the auditor would
//! notice is shown by [`Mutant`]s: known bugs that a history may be given.
//!
//! Left out: HTTP, threads, and real files. The kill loop and the store's own tests have those.

mod auditor;
mod cast;
mod dice;
mod disk;
mod mutant;
mod naive;
mod tally;
mod truth;
mod world;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

pub use mutant::Mutant;
pub use tally::Tally;
use world::World;

/// How many steps the phase has in which things go wrong.
pub const STEPS: u32 = 240;

/// What went wrong in a history that must not.
#[derive(Clone, Debug)]
pub struct Violation {
    /// The seed, from which the whole history follows.
    pub seed: u64,
    /// Which promise was broken, by its number in the list of invariants.
    pub rule: &'static str,
    /// What was seen.
    pub what: String,
    /// The last things that happened before.
    pub before: Vec<String>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed {}: {}: {}", self.seed, self.rule, self.what)
    }
}

/// A broken promise, before it is known in which history.
#[derive(Debug)]
pub(crate) struct Broken {
    pub(crate) rule: &'static str,
    pub(crate) what: String,
}

/// What a step gives.
pub(crate) type Checked = Result<(), Broken>;

/// Fails with a rule and what was seen, unless the condition holds.
macro_rules! ensure {
    ($holds:expr, $rule:literal, $($what:tt)+) => {
        if !$holds {
            return Err($crate::Broken { rule: $rule, what: format!($($what)+) });
        }
    };
}
pub(crate) use ensure;

/// Lives through the history of a seed, with or without a known bug.
///
/// # Errors
/// The [`Violation`], where a promise was broken.
pub fn run(seed: u64, mutant: Option<Mutant>) -> Result<Tally, Violation> {
    history(seed, mutant, false).0
}

/// As [`run`], and gives everything that happened, in words.
pub fn tell(seed: u64, mutant: Option<Mutant>) -> (Result<Tally, Violation>, Vec<String>) {
    history(seed, mutant, true)
}

fn history(seed: u64, mutant: Option<Mutant>, told: bool) -> (Result<Tally, Violation>, Vec<String>) {
    let mut world = World::new(seed, mutant, told);
    // The ledger asserts its own promises; such an assertion ends a real process, and here it ends the history.
    let lived = catch_unwind(AssertUnwindSafe(|| world.live()));
    let broken = match lived {
        Ok(Ok(())) => return (Ok(world.tally), world.story),
        Ok(Err(broken)) => broken,
        Err(panic) => Broken { rule: "an assertion", what: message(&*panic) },
    };
    let before = world.story.iter().rev().take(40).rev().cloned().collect();
    (Err(Violation { seed, rule: broken.rule, what: broken.what, before }), world.story)
}

fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("a panic without words").to_owned()
}
