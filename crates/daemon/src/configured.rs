//! Which configuration file is in force.

use almoner_api::ConfigInfo;
use almoner_config::ConfigFile;
use sha2::{Digest, Sha256};

/// What tells a configuration file apart from others and from what it was before.
#[must_use]
pub fn config_info(file: &ConfigFile) -> ConfigInfo {
    let digest = Sha256::digest(file.text.as_bytes());
    ConfigInfo {
        path: file.full_path().display().to_string(),
        sha256: digest.iter().map(|byte| format!("{byte:02x}")).collect(),
    }
}
