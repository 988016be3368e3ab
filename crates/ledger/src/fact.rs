//! Facts: what happened, in the order in which it happened. The journal is a list of these, and nothing else is truth.

use std::fmt;

use almoner_units::{AccountKey, Ask, Budget, BudgetName, CallId, Charge, Level, Priority, Timestamp};

use crate::AccountId;

/// A fact with its number and its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The number of the fact; the first is 1, and none is left out.
    pub seq: u64,
    /// Ledger time, which never goes back.
    pub at: Timestamp,
    /// What happened.
    pub fact: Fact,
}

/// Who changed something by hand: one line, shown in the audit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Who(pub String);

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// A budget is new, or has other limits, another mode or other marks.
    BudgetSet {
        /// The budget as it is from now on.
        budget: Budget,
        /// Who set it.
        by: Who,
        /// Whether limits and accounts that leave are kept, and those that come back find what they counted. Facts of
        /// the first versions forget it, and must go on to do so when they are read again.
        keeps_past: bool,
    },
    /// A budget is gone; calls in flight are no longer counted on it.
    BudgetRemoved {
        /// The budget.
        name: BudgetName,
        /// Who removed it.
        by: Who,
        /// Whether its accounts are kept in case it comes back.
        keeps_past: bool,
    },
    /// An account has a number, by which later facts name it.
    AccountOpened {
        /// The number, never used for another account.
        account: AccountId,
        /// The account.
        key: AccountKey,
        /// The value of the label `key` of the call that opened it, for the count of accounts per key.
        opener: String,
    },
    /// An account counted nothing any more and is forgotten.
    AccountDropped {
        /// The account.
        account: AccountId,
    },
    /// Money is set aside for a call.
    Held(Hold),
    /// A hold is replaced by the truth.
    Settled {
        /// The call.
        id: CallId,
        /// What it really cost.
        spent: Charge,
    },
    /// A hold is dropped, with proof that nothing was spent.
    Released {
        /// The call.
        id: CallId,
        /// The proof.
        reason: ReleaseReason,
    },
    /// A hold ended without news: all of it is assumed to be spent.
    Assumed {
        /// The hold as it was, so that the truth can be booked weeks later.
        hold: Hold,
        /// The number of the fact that made the hold.
        held_by: u64,
        /// Why there is no news, in words.
        cause: String,
    },
    /// The truth about an assumed hold came late.
    Corrected {
        /// The hold, when it was assumed, and what it was corrected to before, if it was.
        assumed: AssumedHold,
        /// What it really cost.
        spent: Charge,
        /// Who says so.
        by: Who,
        /// Why, in their words.
        reason: String,
    },
    /// Usage that did not pass us is counted.
    Added {
        /// The id under which it is counted, once.
        id: CallId,
        /// The accounts it touches.
        accounts: Box<[AccountId]>,
        /// What it cost.
        spent: Charge,
        /// Who says so.
        by: Who,
        /// Why, in their words.
        reason: String,
    },
    /// What an account had spent and assumed is forgotten.
    Reset {
        /// The account.
        account: AccountId,
        /// Who reset it.
        by: Who,
        /// Why, in their words.
        reason: String,
        /// Whether fixed windows begin anew too. Facts of the first versions let them run on.
        restarts: bool,
    },
    /// A snapshot of the books was kept. It changes nothing; it binds the snapshot to the chain of facts.
    Snapshot {
        /// The number of the last fact in it.
        upto: u64,
        /// The digest of what was kept.
        digest: [u8; 16],
    },
    /// A limit of an account is at another level.
    LevelChanged {
        /// The account.
        account: AccountId,
        /// Which of its budget's limits, counted from 0.
        limit: u8,
        /// The level before.
        from: Level,
        /// The level now.
        to: Level,
    },
}

/// What is set aside for one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// The call.
    pub id: CallId,
    /// The accounts on which it is held.
    pub accounts: Box<[AccountId]>,
    /// The question to which this hold is the answer.
    pub ask: Ask,
    /// How urgent the call is.
    pub priority: Priority,
    /// How much output the call may have.
    pub cap: u64,
    /// What is held in each meter: `ask` at `cap`.
    pub amount: Charge,
    /// When the hold ends if there is no news.
    pub expires_at: Timestamp,
}

/// A hold that ended without news, as the store keeps it until the truth comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssumedHold {
    /// The hold as it was.
    pub hold: Hold,
    /// The number of the fact that made it.
    pub held_by: u64,
    /// The number of the fact that assumed it.
    pub assumed_by: u64,
    /// When it was assumed.
    pub assumed_at: Timestamp,
    /// What it was corrected to last, where it was.
    pub corrected: Option<Correction>,
}

/// What was booked as the truth about a call that ended without news.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Correction {
    /// What it really cost.
    pub spent: Charge,
    /// When that was booked.
    pub at: Timestamp,
}

/// The proof that a call spent nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReleaseReason {
    /// Not one byte of it went upstream.
    NeverSent,
    /// The provider refused it with its own error and this status, and bills none of those.
    RefusedUpstream {
        /// The HTTP status, 400 or more.
        status: u16,
    },
}

impl ReleaseReason {
    /// What the call still counts: an attempt that reached the provider is a request.
    #[must_use]
    pub fn charge(self) -> Charge {
        let mut charge = Charge::ZERO;
        if let Self::RefusedUpstream { .. } = self {
            charge[almoner_units::Meter::Requests] = 1;
        }
        charge
    }
}
