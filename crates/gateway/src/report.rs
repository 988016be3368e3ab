//! What the gateway reports of each call it decided: numbers and labels, never prompts or answers.

use std::time::Duration;

use crate::dialect::Dialect;
use crate::pacing::Paced;
use crate::trace::TraceParent;
use almoner_ledger::{AccountView, Refusal};
use almoner_units::{Ask, BudgetName, CallId, Charge, Labels, NanoUsd, Priority, Span, Timestamp, Usage};

/// What there is to tell about one call when it was decided.
#[derive(Clone, Debug)]
pub struct Report {
    /// The call.
    pub id: CallId,
    /// When it was decided.
    pub at: Timestamp,
    /// The route it came by, such as `POST /v1/messages`.
    pub route: &'static str,
    /// In whose words it speaks.
    pub dialect: Dialect,
    /// The labels it had.
    pub labels: Labels,
    /// How urgent it was.
    pub priority: Priority,
    /// The provider it was for.
    pub provider: String,
    /// The model it asked for.
    pub model: String,
    /// What was decided.
    pub verdict: Verdict,
    /// The accounts it touches, as they were when it was decided, before it.
    pub seen: Vec<AccountView>,
    /// How long it waited for its turn.
    pub waited: Span,
    /// Which paces it waited for, and for how long each.
    pub paced: Vec<Paced>,
    /// The bound, part by part.
    pub bound: Vec<(String, u64)>,
    /// What it asked of the ledger.
    pub ask: Option<Ask>,
    /// The version of the prices it was bounded and charged by.
    pub price_version: String,
    /// What about it could not be bounded.
    pub unbounded: Vec<String>,
    /// Which of its headers for us were not heeded, and why.
    pub warnings: Vec<String>,
    /// Whether the client's own login paid, so that the cost is what the list price would have been.
    pub subscription: bool,
    /// Which stop of which route this is, of a call that takes one.
    pub stop: Option<StopNote>,
    /// What its client was told, where it may not go.
    pub said: Option<Said>,
    /// The span of the client that it is part of, where the client says so.
    pub parent: Option<TraceParent>,
}

/// What a client is told whose call may not go.
#[derive(Clone, Debug)]
pub struct Said {
    /// The status that it saw.
    pub status: u16,
    /// In words.
    pub message: String,
}

/// One stop of a call on its route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StopNote {
    /// The route; `None` where the call is at home.
    pub route: Option<String>,
    /// Why the call is not at the stop before.
    pub because: Option<String>,
    /// The call that it was at the stop before.
    pub continues: Option<CallId>,
    /// The budgets that do not count it here, because they refused it before.
    pub spared: Vec<BudgetName>,
}

/// What was decided.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// It went, with so much output and so much held.
    Admitted {
        /// The output cap.
        cap: u64,
        /// What the caller had asked for.
        asked: Option<u64>,
        /// What was held.
        held: Charge,
    },
    /// It went without a hold: it touches no budget.
    Unbudgeted,
    /// The ledger said no.
    Refused(Box<Refusal>),
    /// It was refused before the ledger was asked, for this reason.
    Rejected(String),
}

/// How a call ended.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// The status that the client saw.
    pub status: u16,
    /// In a word: `settled`, `released`, `assumed`, `refused`, `unmetered`.
    pub word: &'static str,
    /// Why, where a word is not enough.
    pub note: String,
    /// The model that the provider said it used, where it said so.
    pub model: Option<String>,
    /// What the provider said was used.
    pub usage: Usage,
    /// What it cost, where that is known.
    pub cost: Option<NanoUsd>,
    /// What is charged for it.
    pub charge: Charge,
    /// What it cost beyond its hold.
    pub overrun: Charge,
    /// Whether the call goes on elsewhere, so that this is not its end for whoever sent it.
    pub goes_on: bool,
    /// What could not be bounded, and came to light only as it ended.
    pub unbounded: Vec<String>,
    /// From the decision to the last byte.
    pub took: Span,
    /// From when it was handed over to its provider to the first byte of the answer, where one came.
    pub first_byte: Option<Duration>,
    /// From when it had come whole to when it was handed over, without what it waited for its turn; of a first try.
    pub added: Option<Duration>,
}

impl Outcome {
    /// Of a call that did not go.
    pub(crate) fn refused(said: &Said) -> Self {
        Self { status: said.status, word: "refused", note: said.message.clone(), ..Self::default() }
    }
}
