//! Accounts and holds as they travel.

use serde::{Deserialize, Serialize};

/// One account, at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountInfo {
    /// The account: the budget, and its labels where it is split.
    pub account: String,
    /// The budget.
    pub budget: String,
    /// The labels that set this account apart, with their values.
    pub per: Vec<(String, String)>,
    /// What happens at its limits.
    pub mode: String,
    /// The highest level of its limits.
    pub level: String,
    /// Whether anything was ever counted on it. A budget in force that has no account yet stands in the list with `*`
    /// for each value of its labels, and nothing used.
    pub open: bool,
    /// How many calls are in flight on it.
    pub open_holds: u32,
    /// Its limits.
    pub limits: Vec<LimitInfo>,
    /// Why more is charged than a limit allows, as far as that is known, where it is so.
    pub over_because: Option<String>,
}

/// One budget that is in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BudgetInfo {
    /// Its name.
    pub budget: String,
    /// What happens at its limits.
    pub mode: String,
    /// Its limits as they are written in a config.
    pub limits: Vec<String>,
    /// Which calls it counts: those whose labels fit all of these patterns.
    #[serde(default, rename = "where")]
    pub filter: Vec<(String, String)>,
    /// The labels that split it into accounts.
    #[serde(default)]
    pub per: Vec<String>,
}

/// One limit of an account, at one moment; amounts are in the unit of the meter, dollars in nano-dollars.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitInfo {
    /// The limit as it is written in a config: `$5.00 / day`.
    pub limit: String,
    /// What is counted: `usd`, `tokens` and so on.
    pub meter: String,
    /// The most that may be charged.
    pub amount: u64,
    /// Settled usage in the window.
    pub spent: u64,
    /// Usage charged without news.
    pub assumed: u64,
    /// What open holds set aside.
    pub held: u64,
    /// What is left.
    pub left: u64,
    /// How much is charged beyond the limit, which a lowered limit or a lying provider brings about.
    pub over: u64,
    /// The level of this limit.
    pub level: String,
    /// When the window ends, RFC 3339; none for windows that slide or have counted nothing.
    pub resets_at: Option<String>,
}

/// One open or assumed hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldInfo {
    /// The call.
    pub id: String,
    /// `open` or `assumed`.
    pub state: String,
    /// When it was made, or assumed.
    pub since: String,
    /// The accounts it stands on.
    pub accounts: Vec<String>,
    /// What is held, in nano-dollars.
    pub usd_nano: u64,
    /// What is held, in tokens.
    pub tokens: u64,
}
