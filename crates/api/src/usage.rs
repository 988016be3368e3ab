//! Usage as it travels: what calls consumed, grouped by their labels and by time.

use serde::{Deserialize, Serialize};

/// What is asked of usage.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UsageQuery {
    /// The labels whose values get rows of their own, such as `session` or `tag.project`; empty: all in one.
    pub group_by: Vec<String>,
    /// `minute`, `hour`, `day` or `month`, each a row of its own; none: all time in one.
    pub bucket: Option<String>,
    /// The IANA zone in which hours, days and months begin; none: UTC.
    pub zone: Option<String>,
    /// From when: an instant, a date in UTC, or a span such as `7d`, which is so long ago; none: as far as history
    /// goes. The whole minute counts in which it lies.
    pub from: Option<String>,
    /// Until when, likewise; none: until now.
    pub to: Option<String>,
    /// Only calls with these labels.
    pub labels: Vec<(String, String)>,
}

/// What calls consumed: those that were decided in one bucket, with the same values of the labels that were asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageRow {
    /// When the bucket begins, RFC 3339; none where no buckets were asked for.
    pub begins_at: Option<String>,
    /// The labels that were asked for, in that order; `none` where calls have no such label.
    pub labels: Vec<(String, String)>,
    /// How many calls went.
    pub calls: u64,
    /// How many were refused.
    pub refused: u64,
    /// Input that was neither read from nor written to a cache.
    pub input: u64,
    /// Input read from a cache.
    pub cache_read: u64,
    /// Input written to a cache for five minutes.
    pub cache_write_5m: u64,
    /// Input written to a cache for an hour.
    pub cache_write_1h: u64,
    /// Output, reasoning included.
    pub output: u64,
    /// The part of the output that was reasoning.
    pub reasoning: u64,
    /// All tokens whose number is known.
    pub tokens: u64,
    /// The cost that is known, in nano-dollars.
    pub cost_nano: u64,
    /// How many calls are charged without news.
    pub assumed_calls: u64,
    /// What they are charged, in tokens.
    pub assumed_tokens: u64,
    /// What they are charged, in nano-dollars.
    pub assumed_nano: u64,
}
