//! Calls as they travel.

use serde::{Deserialize, Serialize};

/// What is known of one call: the decision with the numbers of that moment, and how it ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallInfo {
    /// The call.
    pub id: String,
    /// What history recorded, as one JSON object; its members are described in the book.
    pub record: serde_json::Value,
    /// What the journal says, where it still reaches: whether it agrees with history.
    pub journal: String,
}

/// What the calls of one key have used: the closing words of `almoner exec`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeySummary {
    /// How many calls went.
    pub calls: u64,
    /// How many were refused.
    pub refused: u64,
    /// All tokens, cache reads included.
    pub tokens: u64,
    /// Settled cost, in nano-dollars.
    pub cost_nano: u64,
    /// Charged without news, in nano-dollars.
    pub assumed_nano: u64,
    /// The accounts of the key's own budget, if it has one.
    pub accounts: Vec<crate::AccountInfo>,
}
