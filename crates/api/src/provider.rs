//! Providers as they travel.

use serde::{Deserialize, Serialize};

/// A pace: how much may go in a minute, and how much went or may go in the last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaceInfo {
    /// Its name; the pace of a provider has the provider's.
    pub pace: String,
    /// How many requests may go in a minute.
    pub rpm: Option<u64>,
    /// How many tokens may be used in a minute.
    pub tpm: Option<u64>,
    /// How many requests count now.
    pub requests: u64,
    /// How many tokens count now, those that are set aside for calls on their way included.
    pub tokens: u64,
    /// How many calls wait for it.
    pub waiting: u64,
}

/// How a provider is, by what its calls came to since the server began.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderInfo {
    /// Its name.
    pub provider: String,
    /// Whether calls that can go elsewhere do.
    pub down: bool,
    /// Since when it is down.
    pub down_since: Option<String>,
    /// When it last failed.
    pub failed_at: Option<String>,
    /// Why it last failed.
    pub failed_because: Option<String>,
}
