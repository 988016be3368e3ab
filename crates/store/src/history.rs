//! History: what was decided, used and throttled, for people and their SQL.
//!
//! It stands in a file of its own, `history.db`, may lag behind the journal and may be lost; the promise never depends
//! on it. Other processes read it while the server runs. It holds numbers and labels, never prompts or answers.
//!
//! The tables and views that people already query by name, `throttle_events`, `usage_history` and `token_budget`, have
//! the columns that they ask for. Times are UTC text such as `2026-11-23 08:00:00`, which compares with what SQLite's
//! `datetime('now', '-1 day')` gives; money is in dollars where the column is `cost`, and exact in `cost_nano`.

mod calls;
mod events;
mod keys;
mod reader;
mod record;
pub(crate) mod schema;
mod sums;
mod throttle;
mod token_budget;

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use almoner_ledger::AccountView;
use almoner_units::{CallId, Timestamp};
use rusqlite::{Connection, ErrorCode, Transaction};

pub use events::{Event, Events};
pub use keys::KeyUsed;
pub use reader::{DecisionAsk, DecisionRow, HistoryReader, Interrupt, Recent, UsageAsk, UsageGroup, Usages};
pub use record::{
    BoundPart, CallRecord, Decision, EventKind, EventRecord, HistoryEvent, Outcome, OutcomeRecord, ThrottleAction,
    ThrottleRecord, VerdictRecord,
};
pub use sums::UsageSums;

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
    sets: sums::KnownSets,
    /// The number of the last event that was written.
    last_event: u64,
}

/// How many rows of each table one step of pruning removes at most.
const PRUNED_MAX: i64 = 2000;

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
        let failed = |source| HistoryError::Sqlite { path: path.clone(), source };
        match schema::open(&path) {
            Ok(connection) => return Self::of(connection, path.clone(), None).map_err(failed),
            // It is whole, and another has it or there is no room: it must not be lost for that.
            Err(error) if is_passing(&error) => return Err(failed(error)),
            Err(_) => {}
        }
        let moved = move_aside(dir, &path).map_err(unreadable)?;
        private::open_file(&path).map_err(unreadable)?;
        let connection = schema::open(&path).map_err(failed)?;
        Self::of(connection, path.clone(), Some(moved)).map_err(failed)
    }

    fn of(connection: Connection, path: PathBuf, moved: Option<PathBuf>) -> rusqlite::Result<Self> {
        let last_event = events::last(&connection)?;
        Ok(Self { connection, path, moved, sets: sums::KnownSets::default(), last_event })
    }

    /// The number of the last event that was written.
    #[must_use]
    pub fn last_event(&self) -> u64 {
        self.last_event
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
        let mut sets = std::mem::take(&mut self.sets);
        let written = self.transact(|batch| {
            let mut calls = calls::Writer::new(batch)?;
            let mut adder = sums::Adder::new(batch)?;
            let ends = ends_of_decided(events);
            let mut last = None;
            for event in events {
                last = write(batch, &mut calls, (&mut adder, &mut sets), &ends, event)?.or(last);
            }
            adder.write()?;
            Ok(last)
        });
        let last = written?;
        // What was not kept has no number, so only those that were are remembered.
        self.sets = sets;
        self.last_event = last.map_or(self.last_event, count);
        Ok(())
    }

    /// Replaces `token_budget` by what the accounts look like at `at`, in one transaction.
    ///
    /// # Errors
    /// [`HistoryError`]; the table stays as it was then.
    pub fn put_token_budget(&mut self, views: &[AccountView], at: Timestamp) -> Result<(), HistoryError> {
        self.transact(|batch| token_budget::put(batch, views, at))
    }

    /// Forgets some of what is older than `before`; says how many rows. It takes a step at a time, so that whoever
    /// writes and reads is never held up for long: call it until nothing is left to forget.
    ///
    /// # Errors
    /// [`HistoryError`]; nothing is forgotten then.
    pub fn prune(&mut self, before: Timestamp) -> Result<usize, HistoryError> {
        let before = clip(before.ms());
        let removed = self.transact(|batch| {
            let calls = "DELETE FROM calls WHERE id IN (SELECT id FROM calls WHERE at_ms < ?1 ORDER BY at_ms LIMIT ?2)";
            let throttled = "DELETE FROM throttle_events WHERE id IN
                (SELECT id FROM throttle_events WHERE at_ms < ?1 ORDER BY at_ms LIMIT ?2)";
            let events = "DELETE FROM events WHERE id IN (SELECT id FROM events ORDER BY id LIMIT ?2) AND at_ms < ?1";
            let minutes = "DELETE FROM usage_minutes WHERE (minute, label_set) IN
                (SELECT minute, label_set FROM usage_minutes WHERE minute < ?1 / 60000 ORDER BY minute LIMIT ?2)";
            let mut removed = 0;
            for table in [calls, throttled, events, minutes] {
                removed += batch.execute(table, [before, PRUNED_MAX])?;
            }
            Ok(removed)
        })?;
        Ok(removed)
    }

    /// Forgets some of the oldest calls, throttle events and events where the history takes more than `bytes`; says how
    /// many rows. What they add up to stays, and so does the audit up to its own bound. Like [`History::prune`] it
    /// takes a step at a time.
    ///
    /// # Errors
    /// [`HistoryError`]; nothing is forgotten then.
    pub fn shrink(&mut self, bytes: u64) -> Result<usize, HistoryError> {
        let used = bytes_of(&self.connection, &self.path)?;
        if used <= bytes {
            return Ok(0);
        }
        self.transact(|batch| {
            let mut removed = 0;
            for table in ["calls", "throttle_events"] {
                let oldest =
                    format!("DELETE FROM {table} WHERE id IN (SELECT id FROM {table} ORDER BY at_ms LIMIT ?1)");
                removed += batch.execute(&oldest, [PRUNED_MAX])?;
            }
            Ok(removed + events::shrink(batch, PRUNED_MAX)?)
        })
    }

    /// Forgets sets of labels of which nothing is known any more.
    ///
    /// # Errors
    /// [`HistoryError`]; nothing is forgotten then.
    pub fn forget_labels(&mut self) -> Result<usize, HistoryError> {
        let gone = self.transact(|batch| {
            batch.execute("DELETE FROM label_sets WHERE id NOT IN (SELECT label_set FROM usage_minutes)", [])
        })?;
        self.sets.forget();
        Ok(gone)
    }

    /// What is known about a call: what was decided, from which numbers, and what it came to.
    ///
    /// # Errors
    /// [`ReadError`] where the row cannot be read.
    pub fn explain(&self, id: CallId) -> Result<Option<CallRecord>, ReadError> {
        calls::explain(&self.connection, &self.path, id)
    }

    /// What is known about a call, from a history that another process may be writing.
    ///
    /// # Errors
    /// [`ReadError`] where there is no readable history in `dir`.
    pub fn explain_in(dir: &Path, id: CallId) -> Result<Option<CallRecord>, ReadError> {
        HistoryReader::open(dir)?.explain(id)
    }

    /// What is known of one key, or of all of them, from a history that another process may be writing.
    ///
    /// # Errors
    /// [`ReadError`] where there is no readable history in `dir`.
    pub fn keys_in(dir: &Path, key: Option<&str>) -> Result<Vec<KeyUsed>, ReadError> {
        HistoryReader::open(dir)?.keys(key)
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
            HistoryEvent::Throttle(_) | HistoryEvent::Event(_) | HistoryEvent::TokenBudget { .. } => {}
        }
    }
    ends
}

/// Writes one event and adds it up; gives its number where it has one.
fn write<'e>(
    batch: &Transaction<'_>,
    calls: &mut calls::Writer<'_>,
    (adder, sets): (&mut sums::Adder<'_>, &mut sums::KnownSets),
    ends: &Ends<'e>,
    event: &'e HistoryEvent,
) -> rusqlite::Result<Option<i64>> {
    match event {
        HistoryEvent::Verdict(verdict) => {
            let labels = calls::labels_json(&verdict.labels)?;
            let end = ends.get(&verdict.id).copied().flatten();
            adder.decided(verdict, &labels, end, sets)?;
            match end {
                Some(outcome) => calls.both(verdict, &labels, outcome),
                None => calls.verdict(verdict, &labels),
            }
        }
        HistoryEvent::Outcome(outcome) if is_written(ends, outcome) => Ok(()),
        HistoryEvent::Outcome(outcome) => {
            // What the row says is taken back before it changes.
            adder.ended(outcome, sets)?;
            calls.outcome(outcome)
        }
        HistoryEvent::Throttle(throttle) => throttle::record(batch, throttle),
        HistoryEvent::Event(event) => return events::record(batch, event).map(Some),
        HistoryEvent::TokenBudget { views, at } => token_budget::put(batch, views, *at),
    }?;
    Ok(None)
}

/// Whether an end is the one that was written with the verdict of its call.
fn is_written(ends: &Ends<'_>, outcome: &OutcomeRecord) -> bool {
    matches!(ends.get(&outcome.id), Some(Some(written)) if std::ptr::eq::<OutcomeRecord>(*written, outcome))
}

/// Whether a fault has nothing to do with what the file holds.
fn is_passing(error: &rusqlite::Error) -> bool {
    let passing = [
        ErrorCode::DatabaseBusy,
        ErrorCode::DatabaseLocked,
        ErrorCode::DiskFull,
        ErrorCode::OutOfMemory,
        ErrorCode::ReadOnly,
        ErrorCode::SystemIoFailure,
    ];
    error.sqlite_error_code().is_some_and(|code| passing.contains(&code))
}

/// How many bytes a history takes, what is free in it left out.
fn bytes(connection: &Connection) -> rusqlite::Result<u64> {
    let ask = |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
    let pages = ask("page_count")?.saturating_sub(ask("freelist_count")?);
    Ok(count(pages.saturating_mul(ask("page_size")?)))
}

fn bytes_of(connection: &Connection, path: &Path) -> Result<u64, HistoryError> {
    bytes(connection).map_err(|source| HistoryError::Sqlite { path: path.to_owned(), source })
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
