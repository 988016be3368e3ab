//! The table `events`: what happened, under numbers that outlive the server.

use almoner_units::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, Transaction};
use serde_json::{Map, Value};

use super::record::{EventKind, EventRecord};
use super::{clip, count};

/// How many changes the audit keeps where history is too large for anything else.
const AUDIT_MAX: usize = 100_000;

/// An event, read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its number.
    pub id: u64,
    /// When it happened.
    pub at: Timestamp,
    /// Its kind, by its word.
    pub kind: String,
    /// What happened, in words.
    pub message: String,
    /// The same for programs.
    pub data: Map<String, Value>,
}

/// Events that were asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Events {
    /// The oldest first.
    pub events: Vec<Event>,
    /// The number of the last event that was looked at.
    pub last: u64,
    /// Whether some that were asked for are gone.
    pub gap: bool,
}

/// Writes an event, and gives its number.
pub(super) fn record(batch: &Transaction<'_>, event: &EventRecord) -> rusqlite::Result<i64> {
    let data =
        serde_json::to_string(&event.data).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
    batch.prepare_cached("INSERT INTO events (at_ms, kind, message, data) VALUES (?1, ?2, ?3, ?4)")?.execute((
        clip(event.at.ms()),
        event.kind.word(),
        &event.message,
        data,
    ))?;
    Ok(batch.last_insert_rowid())
}

/// The number of the last event there ever was.
pub(super) fn last(connection: &Connection) -> rusqlite::Result<u64> {
    let last = "SELECT seq FROM sqlite_sequence WHERE name = 'events'";
    Ok(connection.query_row(last, [], |row| row.get(0)).optional()?.map_or(0, count))
}

/// The events behind `after`, or the latest, at most `most` of these kinds.
pub(super) fn read(
    connection: &mut Connection,
    after: Option<u64>,
    kinds: &[EventKind],
    most: usize,
) -> rusqlite::Result<Events> {
    // One picture for all that is looked at.
    let connection = connection.transaction()?;
    let last = last(&connection)?;
    let Some(after) = after else {
        let mut events = select(&connection, 0, kinds, most, "DESC")?;
        events.reverse();
        return Ok(Events { events, last, gap: false });
    };
    if after > last {
        return Ok(Events { events: Vec::new(), last, gap: true });
    }
    let is_gap = after > 0 && is_gone(&connection, after, last, kinds)?;
    let events = select(&connection, after, kinds, most, "ASC")?;
    let last = events.last().filter(|_| events.len() >= most).map_or(last, |event| event.id);
    // Whoever asks from the very beginning asks for what there is.
    Ok(Events { events, last, gap: is_gap })
}

/// Whether some of what came behind `after` is gone. The audit may be there where other events of its time are not.
fn is_gone(connection: &Connection, after: u64, last: u64, kinds: &[EventKind]) -> rusqlite::Result<bool> {
    if !kinds.is_empty() && kinds.iter().all(|kind| kind.is_change()) {
        let oldest = connection.query_row("SELECT min(id) FROM events", [], |row| row.get::<_, Option<i64>>(0))?;
        return Ok(after + 1 < oldest.map_or(last + 1, count));
    }
    let left = "SELECT count(*) FROM events WHERE id > ?1";
    let left = connection.query_row(left, [clip(after)], |row| row.get(0)).map(count)?;
    Ok(left < last - after)
}

/// Forgets the oldest events at most `most`, and what is beyond the bound of the audit; says how many.
pub(super) fn shrink(batch: &Transaction<'_>, most: i64) -> rusqlite::Result<usize> {
    let changes = words(EventKind::ALL.iter().filter(|kind| kind.is_change()));
    let others = format!(
        "DELETE FROM events WHERE id IN (SELECT id FROM events WHERE kind NOT IN ({changes}) ORDER BY id LIMIT ?1)"
    );
    let audit = format!(
        "DELETE FROM events WHERE id IN
            (SELECT id FROM events WHERE kind IN ({changes}) ORDER BY id DESC LIMIT ?1 OFFSET {AUDIT_MAX})"
    );
    Ok(batch.execute(&others, [most])? + batch.execute(&audit, [most])?)
}

/// Kinds as a list in SQL. Their words are ours, and hold nothing that it could mistake.
fn words<'k>(kinds: impl Iterator<Item = &'k EventKind>) -> String {
    kinds.map(|kind| format!("'{}'", kind.word())).collect::<Vec<_>>().join(", ")
}

fn select(
    connection: &Connection,
    after: u64,
    kinds: &[EventKind],
    most: usize,
    order: &str,
) -> rusqlite::Result<Vec<Event>> {
    let only = if kinds.is_empty() { String::new() } else { format!("AND kind IN ({})", words(kinds.iter())) };
    let query =
        format!("SELECT id, at_ms, kind, message, data FROM events WHERE id > ?1 {only} ORDER BY id {order} LIMIT ?2");
    let mut rows = connection.prepare(&query)?;
    rows.query_map((clip(after), i64::try_from(most).unwrap_or(i64::MAX)), event)?.collect()
}

fn event(row: &Row<'_>) -> rusqlite::Result<Event> {
    Ok(Event {
        id: count(row.get(0)?),
        at: Timestamp::from_ms(count(row.get(1)?)),
        kind: row.get(2)?,
        message: row.get(3)?,
        // What is no object was written by somebody else, and says nothing to a program.
        data: serde_json::from_str(&row.get::<_, String>(4)?).unwrap_or_default(),
    })
}
