//! Decisions as they travel: what was said to calls, one after another.

use serde::{Deserialize, Serialize};

/// Which decisions are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DecisionQuery {
    /// Only these: `admitted`, `slow-down`, `refused`, `rejected` or `booked`; empty: all.
    pub decisions: Vec<String>,
    /// Only those that this budget decided.
    pub budget: Option<String>,
    /// Only calls with these labels.
    pub labels: Vec<(String, String)>,
    /// From when: an instant, a date in UTC, or a span such as `7d`, which is so long ago.
    pub from: Option<String>,
    /// Until when, likewise; that moment itself is not in it.
    pub to: Option<String>,
    /// Go on behind what an answer before this one ended with; that answer's `next`.
    pub cursor: Option<String>,
    /// How many at most; none: 100. More than 1000 are never given at once.
    pub limit: Option<u32>,
}

/// One decision in short; `explain` tells all of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecisionInfo {
    /// The call.
    pub id: String,
    /// When it was decided, RFC 3339.
    pub at: String,
    /// What was decided: `admitted`, `slow-down`, `refused`, `rejected` or `booked`.
    pub decision: String,
    /// Why, in words.
    pub because: String,
    /// The budget that decided; of an admitted call the fullest that it touches.
    pub budget: Option<String>,
    /// The account of that budget.
    pub account: Option<String>,
    /// The provider that the call was for.
    pub provider: Option<String>,
    /// The model that the call was for.
    pub model: Option<String>,
    /// Its labels.
    pub labels: Vec<(String, String)>,
    /// How long it had waited, in milliseconds.
    pub waited_ms: u64,
    /// How it ended: `settled`, `released`, `assumed`, `corrected` or `added`; none while it runs, or if it did not go.
    pub outcome: Option<String>,
    /// The HTTP status of its answer.
    pub status: Option<u16>,
    /// What is charged for it, in tokens.
    pub tokens: Option<u64>,
    /// What is charged for it, in nano-dollars.
    pub cost_nano: Option<u64>,
}
