//! Questions to the ledger and its answers; every answer comes with the numbers it was made from.

use almoner_units::{AccountKey, Ask, CallId, Charge, Level, Limit, Priority, Span, Timestamp};

use crate::AccountId;

/// The question whether a call may go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reserve {
    /// The call; asking twice with the same id and the same body gives the same answer.
    pub id: CallId,
    /// Every account that the call touches, at most [`crate::MAX_TOUCHED`].
    pub accounts: Box<[AccountId]>,
    /// What it may cost.
    pub ask: Ask,
    /// How urgent it is.
    pub priority: Priority,
    /// How long its hold stands, from the moment it is made, if there is no news.
    pub lasts: Span,
    /// Whether the caller can find a smaller bound if this one is large for what is left.
    pub can_tighten: bool,
}

/// How long a call has waited for others to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Patience {
    /// Not long: it would rather wait than take less than is comfortable.
    Fresh,
    /// Half its time: it takes the floor.
    Half,
    /// All of its time: it takes the floor or a refusal.
    Spent,
}

/// What the ledger says to a reserve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The call may go; its hold is made.
    Admitted(Admission),
    /// The call would fit once others end, or once the level falls. Nothing is held while it waits.
    Waits(Refusal),
    /// The bound is large for what is left, and the caller said it can find a smaller one. Nothing is held.
    Tighten,
    /// The call may not go.
    Refused(Refusal),
}

/// The hold of a call that may go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admission {
    /// How much output it may have.
    pub cap: u64,
    /// What is held for it.
    pub amount: Charge,
    /// The highest level of the accounts it touches, before it.
    pub level: Level,
}

/// Why a call may not go, or not yet, from the account that decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The account that decided.
    pub account: AccountKey,
    /// The limit that decided.
    pub limit: Limit,
    /// Settled usage in its window, in the unit of its meter.
    pub spent: u64,
    /// Usage charged without news.
    pub assumed: u64,
    /// What open holds set aside.
    pub held: u64,
    /// What this call may cost at least: its bound with the least output that is worth sending.
    pub asked: u64,
    /// The level of the account.
    pub level: Level,
    /// The priority of the call.
    pub priority: Priority,
    /// What stood in the way.
    pub reason: RefusalReason,
    /// When time alone lets this call pass; `None` where it does not, or cannot be told.
    pub changes_at: Option<Timestamp>,
}

/// What stood in the way of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalReason {
    /// Too little is left, whatever the calls in flight turn out to cost.
    Exhausted,
    /// The call may cost more than the whole limit.
    TooLarge,
    /// It would fit if the calls in flight cost less than is held for them.
    Held,
    /// The account is too full for a call of this priority.
    Level,
}

impl Refusal {
    /// What is left: the limit less what is spent, assumed and held.
    #[must_use]
    pub fn left(&self) -> u64 {
        let charged = self.spent.saturating_add(self.assumed).saturating_add(self.held);
        self.limit.amount.saturating_sub(charged)
    }
}

/// Why a reserve could not be judged at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReserveError {
    /// The same id was asked with another body before.
    #[error("call {id} was asked before with another `{field}`; a new call needs a new id")]
    Differs {
        /// The call.
        id: CallId,
        /// The first field that differs.
        field: &'static str,
    },
    /// The call is over.
    #[error("call {id} is over: it was {how}; a new call needs a new id")]
    Over {
        /// The call.
        id: CallId,
        /// How it ended, in a word.
        how: &'static str,
    },
    /// The id is so old that it may have been used before.
    #[error("call id {0} is too old to tell whether it was used; a new call needs a new id")]
    TooOld(CallId),
    /// The call touches too many accounts.
    #[error("call {id} touches {touched} accounts; at most 16 are allowed, so merge some budgets")]
    TooMany {
        /// The call.
        id: CallId,
        /// How many accounts it touches.
        touched: usize,
    },
    /// An account is not, or no longer, open.
    #[error("call {id} touches account {account}, which is not open; open it again")]
    NoSuchAccount {
        /// The call.
        id: CallId,
        /// The account.
        account: AccountId,
    },
    /// The bound cannot be counted.
    #[error("call {0} may cost more than can be counted; ask for less output")]
    Uncountable(CallId),
}

/// How a closed call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Closed {
    /// It was settled.
    Settled(Settlement),
    /// It was released.
    Released,
    /// It ended without news, and may yet be corrected.
    Assumed,
}

impl Closed {
    /// How the call ended, in a word.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Settled(_) => "settled",
            Self::Released => "released",
            Self::Assumed => "assumed",
        }
    }
}

/// What settling brought to light.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settlement {
    /// What the call cost.
    pub spent: Charge,
    /// What of its hold is free again.
    pub back: Charge,
    /// What it cost beyond its hold. A bound that holds makes this nothing.
    pub overrun: Charge,
}

/// Why news about a call could not be taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettleError {
    /// There is no such hold.
    #[error("no hold has the id {0}; `almoner holds list` shows the open ones")]
    Unknown(CallId),
    /// Other news came before.
    #[error(transparent)]
    Contradiction(#[from] Contradiction),
    /// The hold ended without news; late news is a correction.
    #[error("the hold of call {0} ended without news; book the truth with `almoner correct {0}`")]
    Assumed(CallId),
}

/// News that contradict what is known; what is known stays.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("call {id} is already known with another `{field}`; what was known first stays")]
pub struct Contradiction {
    /// The call.
    pub id: CallId,
    /// The field that differs.
    pub field: &'static str,
}

/// Why a correction could not be taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CorrectError {
    /// The hold was corrected before, or never assumed.
    #[error("call {0} has nothing assumed to correct")]
    NotAssumed(CallId),
}
