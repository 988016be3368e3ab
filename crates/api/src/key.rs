//! Virtual keys as they travel.

use serde::{Deserialize, Serialize};

use crate::{AccountInfo, BudgetInfo};

/// What a key is to be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewKey {
    /// What people call it, unique among the keys that are good; none for the key of one command.
    pub name: Option<String>,
    /// The labels that it gives to every call.
    pub labels: Vec<(String, String)>,
    /// The limits of a budget of its own: `$5 / day`, `100k tokens`; empty: it has none.
    pub limits: Vec<String>,
    /// The mode of that budget; none: the usual one.
    pub mode: Option<String>,
    /// Patterns of the models that it may use; empty: every model.
    pub models: Vec<String>,
    /// How many requests may go with it in a minute; none: as many as others let go.
    #[serde(default)]
    pub rpm: Option<u64>,
    /// How many tokens may be used with it in a minute.
    #[serde(default)]
    pub tpm: Option<u64>,
    /// The highest priority that its calls may have; none: the usual one.
    pub priority_max: Option<String>,
    /// When it ends by itself: a span such as `90d`, a date, or `never`.
    pub expires: String,
    /// What it is for, for people who read the list.
    pub note: String,
    /// Who asks, for the audit.
    pub by: String,
}

/// A key that was just made, or given another secret. This is the only time that its secret is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShownKey {
    /// What it is called in labels.
    pub id: String,
    /// What people call it.
    pub name: Option<String>,
    /// The key itself.
    pub secret: String,
    /// When it ends by itself, RFC 3339.
    pub expires_at: Option<String>,
    /// Until when the secret before this one stays good, RFC 3339; none where it is good no longer, or there was none.
    pub old_until: Option<String>,
    /// The name of its own budget.
    pub budget: Option<String>,
    /// Where clients reach the server.
    pub listen: String,
    /// Whether whoever has no key is turned away.
    pub require_key: bool,
    /// The providers for which the server has a credential of its own; for the others the client brings one.
    pub credentials: Vec<String>,
    /// The dialects that some provider of its config speaks.
    pub dialects: Vec<String>,
    /// The budgets that may count its calls beside its own.
    pub budgets: Vec<BudgetInfo>,
    /// The configuration file that the server read when it started.
    pub config: Option<crate::ConfigInfo>,
}

/// A key, without its secret, which nobody has any more but whoever was shown it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyInfo {
    /// What it is called in labels.
    pub id: String,
    /// What people call it.
    pub name: Option<String>,
    /// `good`, `expired` or `revoked`.
    pub state: String,
    /// The labels that it gives to every call.
    pub labels: Vec<(String, String)>,
    /// The models that it may use, as patterns; empty: every model.
    pub models: Vec<String>,
    /// How many requests may go with it in a minute.
    #[serde(default)]
    pub rpm: Option<u64>,
    /// How many tokens may be used with it in a minute.
    #[serde(default)]
    pub tpm: Option<u64>,
    /// The highest priority that its calls may have.
    pub priority_max: String,
    /// When it was made, RFC 3339.
    pub created_at: String,
    /// When it ends by itself.
    pub expires_at: Option<String>,
    /// When it was revoked.
    pub revoked_at: Option<String>,
    /// When it was last used, as far as history knows.
    pub last_used_at: Option<String>,
    /// Until when secrets are good that others have taken the place of.
    pub old_secrets_until: Vec<String>,
    /// What it is for.
    pub note: String,
    /// Its own budget, with what is left; none where it has none, or has ended.
    pub account: Option<AccountInfo>,
    /// What its calls have used, as far back as history goes.
    pub used: KeyUse,
    /// What was done to it, the oldest first.
    pub changes: Vec<KeyChangeInfo>,
}

/// What the calls of a key have used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyUse {
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
}

/// Something that was done to a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyChangeInfo {
    /// When, RFC 3339.
    pub at: String,
    /// By whom.
    pub by: String,
    /// What, in words.
    pub what: String,
}
