//! Events as they travel: what happened, one after another, so that whoever looks away can go on where it stopped.

use serde::{Deserialize, Serialize};

/// The kinds of events, each with what it tells.
pub const EVENT_KINDS: &[(&str, &str)] = &[
    ("level_changed", "a limit of an account is at another level"),
    ("waited", "a call waited for money that others held"),
    ("refused", "a budget refused a call"),
    ("budget_set", "a budget is new or has other limits"),
    ("budget_removed", "a budget is gone"),
    ("budget_reset", "what an account had spent is forgotten"),
    ("usage_added", "usage that did not pass here was booked"),
    ("corrected", "the truth about a call came late"),
    ("overrun", "a call cost more than was held for it"),
    ("key_made", "there is a new key"),
    ("key_rotated", "a key has another secret"),
    ("key_revoked", "a key lets no further call in"),
    ("token_made", "there is a new token"),
    ("token_revoked", "a token lets nobody in any more"),
    ("provider_down", "calls that can go elsewhere leave this provider out"),
    ("provider_up", "a provider answers again"),
    ("config_reloaded", "another configuration is in force"),
    ("config_refused", "a configuration was not taken; the one before it stays in force"),
    ("started", "the server began"),
    ("stopping", "the server was told to stop"),
    ("call_decided", "a call was let go or refused; only where the configuration asks for events of calls"),
    ("call_ended", "a call came to its end; only where the configuration asks for events of calls"),
];

/// Which events are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EventQuery {
    /// Those behind this one, the oldest first; none: the latest.
    pub after: Option<u64>,
    /// Only these kinds; empty: all.
    pub kinds: Vec<String>,
    /// How many at most; none: 100. More than 1000 are never given at once, and 0 asks for `last` alone.
    pub limit: Option<u32>,
    /// How long to wait for one where there is none yet, in milliseconds; a minute at most.
    pub wait_ms: u64,
}

/// One event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventInfo {
    /// Its number. It grows, is never used twice and outlives the server; not every number is used.
    pub id: u64,
    /// When it happened, RFC 3339.
    pub at: String,
    /// Its kind; [`EVENT_KINDS`] has them all.
    pub kind: String,
    /// What happened, in words.
    pub message: String,
    /// The same for programs: names, numbers and labels, as they are for this kind.
    pub data: serde_json::Map<String, serde_json::Value>,
}
