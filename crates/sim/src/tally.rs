//! What histories contained: a proof that nothing went wrong is worth what was tried.

/// How often things happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Steps, of both phases.
    pub steps: u64,
    /// Questions asked.
    pub asked: u64,
    /// Calls that heard yes.
    pub admitted: u64,
    /// Calls that heard no.
    pub refused: u64,
    /// Calls that had to wait.
    pub waited: u64,
    /// Calls that the provider billed.
    pub billed: u64,
    /// Calls that went on after a refusal of the provider's: there again, or elsewhere.
    pub went_on: u64,
    /// Deaths of the process.
    pub crashes: u64,
    /// Starts from a snapshot and the facts since.
    pub snapshots: u64,
    /// Commits that failed and were not there after the crash.
    pub torn: u64,
    /// Commits that failed and were there all the same.
    pub ghosts: u64,
    /// Times at which the disk was full.
    pub full: u64,
    /// Jumps of the clock.
    pub jumps: u64,
    /// Limits changed in flight.
    pub changes: u64,
    /// Budgets removed in flight.
    pub removals: u64,
    /// Commits that took long.
    pub stalls: u64,
    /// Calls corrected by late truth.
    pub corrections: u64,
    /// Bills beyond their bound.
    pub overruns: u64,
    /// Milliseconds that passed in the false world.
    pub lived_ms: u64,
}

impl Tally {
    /// Adds another history's.
    pub fn add(&mut self, other: &Self) {
        let Self { steps, asked, admitted, refused, waited, billed, crashes, torn, ghosts, full, .. } = *other;
        self.steps += steps;
        self.asked += asked;
        self.admitted += admitted;
        self.refused += refused;
        self.waited += waited;
        self.billed += billed;
        self.went_on += other.went_on;
        self.crashes += crashes;
        self.snapshots += other.snapshots;
        self.torn += torn;
        self.ghosts += ghosts;
        self.full += full;
        self.jumps += other.jumps;
        self.changes += other.changes;
        self.removals += other.removals;
        self.stalls += other.stalls;
        self.corrections += other.corrections;
        self.overruns += other.overruns;
        self.lived_ms += other.lived_ms;
    }
}
