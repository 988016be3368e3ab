//! History: what was decided, used and throttled, for people and their SQL.
//!
//! It stands in a file of its own, `history.db`, may lag behind the journal and may be lost; the promise never depends
//! on it. Other processes read it while the server runs. It holds numbers and labels, never prompts or answers.
//!
//! The tables and views that people already query by name, `throttle_events`, `usage_history` and `token_budget`, have
//! the columns that they ask for. Times are UTC text such as `2026-11-23 08:00:00`, which compares with what SQLite's
//! `datetime('now', '-1 day')` gives; money is in dollars where the column is `cost`, and exact in `cost_nano`.

mod calls;
mod keys;
mod record;
mod schema;
mod throttle;
mod token_budget;

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use almoner_ledger::AccountView;
use almoner_units::{CallId, Timestamp};
use rusqlite::{Connection, OpenFlags, Transaction};

pub use keys::KeyUsed;
pub use record::{
    BoundPart, CallRecord, Decision, HistoryEvent, Outcome, OutcomeRecord, ThrottleAction, ThrottleRecord,
    VerdictRecord,
};

use crate::error::ReadError;
use crate::{private, sqlite};

/// How long a flush waits for another process that writes.
const PATIENCE: Duration = Duration::from_secs(2);

/// Why history could not be opened or written. Events may be dropped then; nothing else is touched.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The file cannot be used.
    #[error("cannot use {}: {source}; check its owner and permissions. Budgets are enforced without it", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// SQLite failed.
    #[error("{} cannot be written: {source}. Budgets are enforced without it", .path.display())]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
}

/// The history of one ledger, open to write.
#[derive(Debug)]
pub struct History {
    connection: Connection,
    path: PathBuf,
    moved: Option<PathBuf>,
}

impl History {
    /// Opens the history in `dir`, made where it is not there. One that cannot be read is moved aside, for it may be
    /// lost; [`History::moved`] says where to.
    ///
    /// # Errors
    /// [`HistoryError`] where no history can be written at all.
    pub fn open(dir: &Path) -> Result<Self, HistoryError> {
        let path = dir.join("history.db");
        private::make_dir(dir).map_err(|source| HistoryError::Unreadable { path: dir.to_owned(), source })?;
        let unreadable = |source| HistoryError::Unreadable { path: path.clone(), source };
        private::open_file(&path).map_err(unreadable)?;
        if let Ok(connection) = schema::open(&path) {
            return Ok(Self { connection, path, moved: None });
        }
        let moved = move_aside(dir, &path).map_err(unreadable)?;
        private::open_file(&path).map_err(unreadable)?;
        let connection = schema::open(&path).map_err(|source| HistoryError::Sqlite { path: path.clone(), source })?;
        Ok(Self { connection, path, moved: Some(moved) })
    }

    /// Where the history that could not be read was moved to, when it was opened.
    #[must_use]
    pub fn moved(&self) -> Option<&Path> {
        self.moved.as_deref()
    }

    /// Writes events, all or none, in one transaction.
    ///
    /// # Errors
    /// [`HistoryError`]; none of the events is kept then.
    pub fn flush(&mut self, events: &[HistoryEvent]) -> Result<(), HistoryError> {
        self.transact(|batch| {
            let mut calls = calls::Writer::new(batch)?;
            let ends = ends_of_decided(events);
            events.iter().try_for_each(|event| write(batch, &mut calls, &ends, event))
        })
    }

    /// Replaces `token_budget` by what the accounts look like at `at`, in one transaction.
    ///
    /// # Errors
    /// [`HistoryError`]; the table stays as it was then.
    pub fn put_token_budget(&mut self, views: &[AccountView], at: Timestamp) -> Result<(), HistoryError> {
        self.transact(|batch| token_budget::put(batch, views, at))
    }

    /// Forgets calls and throttle events older than `before`; says how many rows.
    ///
    /// # Errors
    /// [`HistoryError`]; nothing is forgotten then.
    pub fn prune(&mut self, before: Timestamp) -> Result<usize, HistoryError> {
        let before = clip(before.ms());
        self.transact(|batch| {
            let calls = batch.execute("DELETE FROM calls WHERE at_ms < ?1", [before])?;
            Ok(calls + batch.execute("DELETE FROM throttle_events WHERE at_ms < ?1", [before])?)
        })
    }

    /// What is known about a call: what was decided, from which numbers, and what it came to.
    ///
    /// # Errors
    /// [`ReadError`] where the row cannot be read.
    pub fn explain(&self, id: CallId) -> Result<Option<CallRecord>, ReadError> {
        calls::explain(&self.connection, &self.path, id)
    }

    /// What is known about a call, from a history that another process may be writing; `None` where there is none.
    ///
    /// # Errors
    /// [`ReadError`] where there is no readable history in `dir`.
    pub fn explain_in(dir: &Path, id: CallId) -> Result<Option<CallRecord>, ReadError> {
        let path = dir.join("history.db");
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&path, flags)
            .map_err(|source| ReadError::Sqlite { file: path.clone(), source })?;
        calls::explain(&connection, &path, id)
    }

    fn transact<T>(&mut self, work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>) -> Result<T, HistoryError> {
        sqlite::run(&mut self.connection, work)
            .map_err(|source| HistoryError::Sqlite { path: self.path.clone(), source })
    }
}

/// How calls ended that were decided in the same batch, until they are written with that.
type Ends<'e> = HashMap<CallId, Option<&'e OutcomeRecord>>;

fn ends_of_decided(events: &[HistoryEvent]) -> Ends<'_> {
    let mut ends = Ends::new();
    for event in events {
        match event {
            HistoryEvent::Verdict(verdict) => drop(ends.insert(verdict.id, None)),
            HistoryEvent::Outcome(outcome) => {
                // The first is written with the verdict; what comes later changes that row.
                ends.entry(outcome.id).and_modify(|end| *end = end.or(Some(&**outcome)));
            }
            HistoryEvent::Throttle(_) | HistoryEvent::TokenBudget { .. } => {}
        }
    }
    ends
}

fn write<'e>(
    batch: &Transaction<'_>,
    calls: &mut calls::Writer<'_>,
    ends: &Ends<'e>,
    event: &'e HistoryEvent,
) -> rusqlite::Result<()> {
    match event {
        HistoryEvent::Verdict(verdict) => match ends.get(&verdict.id) {
            Some(Some(outcome)) => calls.both(verdict, outcome),
            _ => calls.verdict(verdict),
        },
        HistoryEvent::Outcome(outcome) => match ends.get(&outcome.id) {
            Some(Some(written)) if std::ptr::eq::<OutcomeRecord>(*written, &**outcome) => Ok(()),
            _ => calls.outcome(outcome),
        },
        HistoryEvent::Throttle(throttle) => throttle::record(batch, throttle),
        HistoryEvent::TokenBudget { views, at } => token_budget::put(batch, views, *at),
    }
}

/// Moves a history that cannot be read to a name that is free, with its log.
fn move_aside(dir: &Path, path: &Path) -> std::io::Result<PathBuf> {
    let free = private::free_name(dir, "history.lost", "db");
    fs::rename(path, &free)?;
    for log in ["-wal", "-shm"] {
        let from = private::beside(path, log);
        if from.exists() {
            fs::rename(from, private::beside(&free, log))?;
        }
    }
    Ok(free)
}

/// SQLite's numbers have a sign; a count that large is as good as the largest.
fn clip(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// What was clipped, or written by hand, back as a count.
fn count(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
