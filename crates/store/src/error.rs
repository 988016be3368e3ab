//! What can go wrong with a ledger's files, in words for the person who must do something about it.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};

use almoner_units::counted;
use rusqlite::ErrorCode;

/// Why a ledger cannot be opened. Nothing is enforced, and nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has the ledger.
    #[error("{} has the ledger in {}; stop it, use it, or choose another directory with --state", process(*.pid), .dir.display())]
    InUse {
        /// The process, where the lock says it.
        pid: Option<u32>,
        /// The state directory.
        dir: PathBuf,
    },
    /// A file or directory cannot be used at all.
    #[error("cannot use {}: {source}; check its owner and permissions, or choose another directory with --state", .path.display())]
    Unreadable {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The database is not a ledger.
    #[error("{} is no ledger of Almoner, so it was left alone; choose another directory with --state", .file.display())]
    Foreign {
        /// The database.
        file: PathBuf,
    },
    /// The ledger was written by a later version.
    #[error("{} has form {found}, this version knows form {known}; use the newer version of almoner that wrote it", .file.display())]
    Newer {
        /// The database.
        file: PathBuf,
        /// Its form.
        found: i64,
        /// The form that this version writes.
        known: i64,
    },
    /// A row is not what was written.
    #[error(
        "{} is damaged at fact {seq}: {what}. Nothing is enforced from a ledger that cannot be trusted: put a backup \
         of the directory back, or run `almoner ledger repair --charge-gap`, which keeps the {} before it",
        .file.display(), counted(.seq.saturating_sub(1), "fact")
    )]
    Corrupt {
        /// The database.
        file: PathBuf,
        /// The first fact that cannot be trusted.
        seq: u64,
        /// What is wrong with it.
        what: String,
    },
    /// Every fact is there, but the pages that hold them are not in order, so the next one might be lost.
    #[error(
        "{} holds all its {found} facts, but its pages are damaged: {what}. Run `almoner ledger repair --charge-gap`, \
         which copies the facts to a new file; nothing is charged, since none is lost",
        .file.display()
    )]
    Pages {
        /// The database.
        file: PathBuf,
        /// How many facts it has.
        found: u64,
        /// What is wrong.
        what: String,
    },
    /// Every fact since is there, but not the snapshot that they follow.
    #[error(
        "{} has a damaged snapshot of its first {seq} facts: {what}. Run `almoner ledger repair --charge-gap`, which \
         makes it anew from the one before it and the facts since; nothing is charged if those are whole",
        .file.display()
    )]
    Snapshot {
        /// The database.
        file: PathBuf,
        /// The last fact in it.
        seq: u64,
        /// What is wrong.
        what: String,
    },
    /// The journal has fewer facts than were once written.
    #[error(
        "{} ends at fact {found}, but fact {marked} had been written: {} lost. Nothing is enforced from a \
         ledger that forgot spending: put the newest files back, or run `almoner ledger repair --charge-gap`, which \
         counts what is left of every hard limit as spent until its window ends",
        .file.display(), counted(.marked.saturating_sub(*.found), "fact")
    )]
    Shortened {
        /// The database.
        file: PathBuf,
        /// How far it had come.
        marked: u64,
        /// How far it comes now.
        found: u64,
    },
    /// The journal and its high-water mark tell two histories.
    #[error(
        "{} tells another history than its high-water mark at fact {seq}: one of the two was put back from a backup. \
         Put both back from the same moment, or run `almoner ledger repair --charge-gap`",
        .file.display()
    )]
    Replaced {
        /// The database.
        file: PathBuf,
        /// The fact at which they part, as far as it can be told.
        seq: u64,
    },
    /// The high-water mark cannot be read, so nobody can tell whether the journal is whole.
    #[error(
        "{} is {}, so nobody can tell whether the {found} facts of the ledger are all there ever were; put it back, \
         or run `almoner ledger repair --charge-gap`",
        .file.display(), if *.missing { "missing" } else { "damaged" }
    )]
    NoMark {
        /// The file of the mark.
        file: PathBuf,
        /// Whether it is missing, or damaged.
        missing: bool,
        /// How many facts the journal has.
        found: u64,
    },
    /// A repair did not come to its end.
    #[error("the repair of {} was interrupted; run `almoner ledger repair --charge-gap` again", .file.display())]
    Interrupted {
        /// The database.
        file: PathBuf,
    },
    /// The SQLite inside has a known fault.
    #[error("the SQLite inside is {0}; versions before 3.51.3 can corrupt a journal, so build with the bundled one")]
    OldSqlite(&'static str),
    /// SQLite failed in a way that is not damage.
    #[error("{} cannot be opened: {source}; close whatever else has it open, and look at the disk", .file.display())]
    Sqlite {
        /// The database.
        file: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
}

fn process(pid: Option<u32>) -> String {
    pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
}

impl OpenError {
    pub(crate) fn unreadable(path: &Path, source: io::Error) -> Self {
        Self::Unreadable { path: path.to_owned(), source }
    }

    /// What a failure of SQLite means when fact `seq` was next: damage, unless it was the machine that failed.
    pub(crate) fn reading(file: &Path, seq: u64, source: rusqlite::Error) -> Self {
        let file = file.to_owned();
        match source.sqlite_error_code() {
            Some(
                ErrorCode::SystemIoFailure
                | ErrorCode::DiskFull
                | ErrorCode::OutOfMemory
                | ErrorCode::PermissionDenied
                | ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::ReadOnly,
            ) => Self::Sqlite { file, source },
            _ => Self::Corrupt { file, seq, what: source.to_string() },
        }
    }

    /// Whether a repair can help.
    #[must_use]
    pub const fn is_damage(&self) -> bool {
        matches!(
            self,
            Self::Corrupt { .. }
                | Self::Pages { .. }
                | Self::Snapshot { .. }
                | Self::Shortened { .. }
                | Self::Replaced { .. }
                | Self::NoMark { .. }
                | Self::Interrupted { .. }
        )
    }
}

/// Why facts could not be written.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// The disk is full. Nothing of this batch was kept and everything before it was; the same batch may be tried
    /// again.
    #[error("the disk is full: {} cannot grow, so no new call is admitted; every acknowledged fact is safe. Free some space", .file.display())]
    Full {
        /// The database.
        file: PathBuf,
    },
    /// Anything else. What reached the disk is unknown, so the process must end; opening the ledger again tells.
    #[error("{} cannot be written: {source}; the process must end, because nobody can tell what reached the disk", .file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// Why.
        source: Box<dyn Error + Send + Sync>,
    },
}

impl AppendError {
    pub(crate) fn io(file: &Path, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Io { file: file.to_owned(), source: source.into() }
    }
}

/// Why something could not be read from an open ledger or from history.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// SQLite could not read it.
    #[error("{} cannot be read: {source}", .file.display())]
    Sqlite {
        /// The database.
        file: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
    /// A row is not what was written.
    #[error("{} has a damaged row in table `{table}`, for `{row}`: {what}; run `almoner ledger verify`", .file.display())]
    Damaged {
        /// The database.
        file: PathBuf,
        /// The table.
        table: &'static str,
        /// The key of the row.
        row: String,
        /// What is wrong with it.
        what: String,
    },
}
