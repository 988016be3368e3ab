//! The names of the files of a state directory that belong to the ledger.

use std::path::{Path, PathBuf};

/// Where the files of a ledger are.
#[derive(Clone, Debug)]
pub(crate) struct Files {
    pub(crate) dir: PathBuf,
    pub(crate) db: PathBuf,
    pub(crate) wal: PathBuf,
    pub(crate) high_water: PathBuf,
    pub(crate) lock: PathBuf,
    pub(crate) ballast: PathBuf,
}

impl Files {
    pub(crate) fn of(dir: &Path) -> Self {
        let at = |name: &str| dir.join(name);
        Self {
            dir: dir.to_owned(),
            db: at("ledger.db"),
            wal: at("ledger.db-wal"),
            high_water: at("ledger.hwm"),
            lock: at("ledger.lock"),
            ballast: at("ballast"),
        }
    }
}
