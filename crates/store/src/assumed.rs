//! The holds that ended without news, kept for as long as their truth may come: 35 days.
//!
//! They stand in a table beside the journal, written in the same transaction. The chain does not cover it, so each row
//! has a seal of its own: a hold with a flipped bit must not be corrected by the wrong amount.

use std::path::Path;

use almoner_ledger::{AssumedHold, Correction, Entry, Hold};
use almoner_units::{CallId, Charge, Span, Timestamp};
use rusqlite::{Connection, OptionalExtension};

use crate::chain::hash;
use crate::error::{AppendError, ReadError};
use crate::hex;
use crate::journal::{Journal, signed};
use crate::wire::AssumedWire;

/// How long late news about an assumed hold are taken.
pub(crate) const KEPT: Span = Span::from_secs(35 * 24 * 3600);

type Row = (Vec<u8>, String, Vec<u8>);

impl Journal {
    /// The assumed hold of a call, with what it was corrected to, while late news about it are still taken.
    ///
    /// # Errors
    /// [`ReadError`] where the row is damaged or cannot be read.
    pub fn assumed(&self, id: CallId) -> Result<Option<AssumedHold>, ReadError> {
        let bytes = id.bits().to_be_bytes();
        let row: Option<Row> = self
            .connection
            .query_row("SELECT id, body, seal FROM assumed WHERE id = ?1", [&bytes[..]], |row| row.try_into())
            .optional()
            .map_err(|source| self.unread(source))?;
        row.map(|row| unseal(row, &self.file())).transpose()
    }

    /// Every assumed hold whose truth has not come, in the order of their ids, which is that of their calls.
    ///
    /// # Errors
    /// [`ReadError`] where a row is damaged or cannot be read.
    pub fn assumed_list(&self) -> Result<Vec<AssumedHold>, ReadError> {
        let mut all = all(&self.connection, &self.file())?;
        all.retain(|assumed| assumed.corrected.is_none());
        Ok(all)
    }

    /// Forgets assumed holds older than 35 days; says how many. What they were charged stays charged.
    ///
    /// # Errors
    /// As [`Journal::append`].
    pub fn purge_assumed(&mut self, now: Timestamp) -> Result<usize, AppendError> {
        let oldest = Timestamp::from_ms(now.ms().saturating_sub(KEPT.ms()));
        // No call is assumed before it was made, and the rows lie in the order in which calls were: so only those are
        // looked at that may go.
        let made = CallId::new(oldest, [0; 10]).bits().to_be_bytes();
        let old = "DELETE FROM assumed WHERE id < ?1 AND at_ms < ?2";
        self.transact(|batch| batch.execute(old, (&made[..], signed(oldest.ms())?)))
    }

    fn unread(&self, source: rusqlite::Error) -> ReadError {
        ReadError::Sqlite { file: self.file(), source }
    }
}

/// Every row of the table.
pub(crate) fn all(connection: &Connection, file: &Path) -> Result<Vec<AssumedHold>, ReadError> {
    let rows = || {
        let mut rows = connection.prepare("SELECT id, body, seal FROM assumed ORDER BY id")?;
        rows.query_map([], |row| row.try_into())?.collect::<rusqlite::Result<Vec<Row>>>()
    };
    let rows = rows().map_err(|source| ReadError::Sqlite { file: file.to_owned(), source })?;
    rows.into_iter().map(|row| unseal(row, file)).collect()
}

fn unseal((id, body, seal): Row, file: &Path) -> Result<AssumedHold, ReadError> {
    let damaged =
        |what: String| ReadError::Damaged { file: file.to_owned(), table: "assumed", row: hex::of(&id), what };
    if hash(&[b"assumed", &id, body.as_bytes()])[..] != seal[..] {
        return Err(damaged("its seal does not fit".to_owned()));
    }
    let bits = id.as_slice().try_into().map_err(|_| damaged(format!("its id has {} bytes", id.len())))?;
    let wire: AssumedWire = serde_json::from_str(&body).map_err(|error| damaged(error.to_string()))?;
    wire.of(CallId::from_bits(u128::from_be_bytes(bits))).map_err(|error| damaged(error.to_string()))
}

/// Keeps the hold that `entry` assumes.
pub(crate) fn keep(batch: &Connection, hold: &Hold, held_by: u64, entry: &Entry) -> rusqlite::Result<()> {
    let (hold, assumed_by, assumed_at) = (hold.clone(), entry.seq, entry.at);
    put(batch, &AssumedHold { hold, held_by, assumed_by, assumed_at, corrected: None })
}

/// Keeps what an assumed hold was corrected to, in case somebody knows better still.
pub(crate) fn correct(
    batch: &Connection,
    assumed: &AssumedHold,
    spent: &Charge,
    at: Timestamp,
) -> rusqlite::Result<()> {
    put(batch, &AssumedHold { corrected: Some(Correction { spent: *spent, at }), ..assumed.clone() })
}

fn put(batch: &Connection, kept: &AssumedHold) -> rusqlite::Result<()> {
    let body = serde_json::to_string(&AssumedWire::from(kept))
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
    let id = kept.hold.id.bits().to_be_bytes();
    let seal = hash(&[b"assumed", &id, body.as_bytes()]);
    batch
        .execute(
            "INSERT OR REPLACE INTO assumed (id, at_ms, body, seal) VALUES (?1, ?2, ?3, ?4)",
            (&id[..], signed(kept.assumed_at.ms())?, body, &seal[..]),
        )
        .map(drop)
}
