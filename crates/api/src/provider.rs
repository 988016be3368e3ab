//! Providers as they travel.

use serde::{Deserialize, Serialize};

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
