//! Tokens as they travel: what lets somebody ask the server over the network. A key of an agent is none.

use serde::{Deserialize, Serialize};

/// What a token is to be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    /// What people call it, unique among the tokens that are good; changes made with it carry this name.
    pub name: String,
    /// `viewer`, `operator` or `admin`.
    pub role: String,
    /// When it ends by itself: a span such as `90d`, a date, or `never`.
    pub expires: String,
    /// What it is for, for people who read the list.
    pub note: String,
    /// Who asks, for the audit.
    pub by: String,
}

/// A token that was just made. This is the only time that its secret is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShownToken {
    /// What it is called.
    pub name: String,
    /// What it may do.
    pub role: String,
    /// The token itself.
    pub secret: String,
    /// When it ends by itself, RFC 3339.
    pub expires_at: Option<String>,
    /// Where the server takes it.
    pub listen: String,
}

/// A token, without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenInfo {
    /// What it is called.
    pub name: String,
    /// What it may do.
    pub role: String,
    /// `good`, `expired` or `revoked`.
    pub state: String,
    /// When it was made, RFC 3339; none for the one that stands in the state folder.
    pub created_at: Option<String>,
    /// Who made it.
    pub created_by: String,
    /// When it ends by itself.
    pub expires_at: Option<String>,
    /// When it was revoked.
    pub revoked_at: Option<String>,
    /// What it is for.
    pub note: String,
}
