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

/// What came of reading the configuration again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reloaded {
    /// The configuration file that is in force now.
    pub config: Option<ConfigInfo>,
    /// What is another than before, in words; empty: nothing.
    pub changed: Vec<String>,
    /// What stays as it was until the server next starts, in words.
    pub needs_restart: Vec<String>,
    /// What is allowed and probably not meant.
    pub warnings: Vec<String>,
}

/// A reload that changed nothing, because the configuration is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReloadFailed {
    /// When it was tried.
    pub at: String,
    /// What is wrong.
    pub message: String,
}
