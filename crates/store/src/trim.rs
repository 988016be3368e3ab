//! Letting go of old facts, a few at a time.
//!
//! A fact goes when two snapshots have it in them and it is older than any late news may be about. The journal then
//! begins behind it: `trimmed` keeps the number and the hash of the last fact that went, so that the rest of the chain
//! can still be checked from there.

use almoner_units::{Span, Timestamp};
use rusqlite::{Connection, OptionalExtension};

use crate::assumed;
use crate::chain::Chain;
use crate::journal::signed;
use crate::scan::Head;

/// How long facts are kept, so that a call can be explained and late news be booked.
const KEPT: Span = assumed::KEPT;
/// How many facts are kept at most, whatever their age.
const KEPT_MOST: u64 = 10_000_000;
/// How many facts go at once.
const STEP: u64 = 4_000;

/// The last fact that was let go; `None` where every fact is there.
pub(crate) fn trimmed(connection: &Connection) -> rusqlite::Result<Option<Head>> {
    let head = |row: &rusqlite::Row<'_>| {
        let seq = u64::try_from(row.get::<_, i64>(0)?).unwrap_or(u64::MAX);
        Ok(Head { seq, chain: Chain::from_bytes(row.get(1)?) })
    };
    connection.query_row("SELECT seq, chain FROM trimmed", [], head).optional()
}

/// Notes the last fact that was let go.
pub(crate) fn note(batch: &Connection, last: Head) -> rusqlite::Result<()> {
    batch.execute("DELETE FROM trimmed", [])?;
    batch.execute("INSERT INTO trimmed VALUES (?1, ?2)", (signed(last.seq)?, &last.chain.bytes()[..])).map(drop)
}

/// The last fact that may go now, where one may.
pub(crate) fn due(connection: &Connection, now: Timestamp) -> rusqlite::Result<Option<u64>> {
    let oldest = "SELECT seq FROM snapshot ORDER BY seq DESC LIMIT 1 OFFSET 1";
    let oldest = connection.query_row(oldest, [], |row| row.get::<_, i64>(0)).optional()?;
    let Some(oldest) = oldest.and_then(|oldest| u64::try_from(oldest).ok()) else { return Ok(None) };
    let first = connection
        .query_row("SELECT seq FROM journal ORDER BY seq LIMIT 1", [], |row| row.get::<_, i64>(0))
        .optional()?;
    let Some(first) = first.and_then(|first| u64::try_from(first).ok()) else { return Ok(None) };
    let last = oldest.min(first.saturating_add(STEP - 1));
    let too_many = oldest.saturating_sub(first) >= KEPT_MOST;
    // Where there are too many, age is no reason to keep them.
    let before = if too_many { u64::MAX >> 1 } else { now.ms().saturating_sub(KEPT.ms()) };
    // Facts are dated in order, so the first one that is too young ends the look.
    let young = "SELECT seq FROM journal WHERE seq <= ?1 AND at_ms >= ?2 ORDER BY seq LIMIT 1";
    let young = connection.query_row(young, (signed(last)?, signed(before)?), |row| row.get::<_, i64>(0)).optional()?;
    let last = young.and_then(|young| u64::try_from(young).ok()).map_or(last, |young| young - 1);
    Ok(Some(last).filter(|last| *last >= first))
}

/// Lets the facts up to `last` go.
pub(crate) fn trim(batch: &Connection, last: u64) -> rusqlite::Result<()> {
    let seq = signed(last)?;
    let chain = batch.query_row("SELECT chain FROM journal WHERE seq = ?1", [seq], |row| row.get(0))?;
    note(batch, Head { seq: last, chain: Chain::from_bytes(chain) })?;
    batch.execute("DELETE FROM journal WHERE seq <= ?1", [seq]).map(drop)
}
