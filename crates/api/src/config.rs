//! Configurations as they travel.

use serde::{Deserialize, Serialize};

/// Which configuration file a process has read: enough to tell whether another one is the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigInfo {
    /// Its path from the root.
    pub path: String,
    /// The SHA-256 of what it held, in hexadecimal digits.
    pub sha256: String,
}
