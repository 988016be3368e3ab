//! Short-lived virtual keys: their hashes and labels, never the keys themselves.

use std::path::Path;

use almoner_units::{Labels, Timestamp};
use rusqlite::Connection;

use crate::chain::hash;
use crate::error::{AppendError, ReadError};
use crate::journal::{Journal, signed};
use crate::wire::{labels_from_json, labels_to_json};

/// A virtual key as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredKey {
    /// Its public name, shown in lists.
    pub id: String,
    /// The hash of the key; the key itself is nowhere.
    pub hash: [u8; 32],
    /// The labels that every call with it has.
    pub labels: Labels,
    /// When it stops working.
    pub expires_at: Timestamp,
    /// When it was made.
    pub created_at: Timestamp,
    /// What it is for, in words.
    pub note: String,
}

/// The columns of a row, with its seal.
struct Row {
    id: String,
    hash: Vec<u8>,
    labels: String,
    expires_at_ms: i64,
    created_at_ms: i64,
    note: String,
    seal: Vec<u8>,
}

impl Journal {
    /// Keeps a key, in place of one with the same id.
    ///
    /// # Errors
    /// As [`Journal::append`].
    pub fn keys_put(&mut self, key: &StoredKey) -> Result<(), AppendError> {
        self.transact(|batch| put(batch, key))
    }

    /// Every key that is kept, expired ones included, by id.
    ///
    /// # Errors
    /// [`ReadError`] where a row is damaged: a key must not get the labels of another.
    pub fn keys_all(&self) -> Result<Vec<StoredKey>, ReadError> {
        all(&self.connection, &self.file())
    }

    /// Forgets the keys that are expired at `now`; says how many.
    ///
    /// # Errors
    /// As [`Journal::append`].
    pub fn keys_remove_expired(&mut self, now: Timestamp) -> Result<usize, AppendError> {
        self.transact(|batch| batch.execute("DELETE FROM keys WHERE expires_at_ms <= ?1", [signed(now.ms())?]))
    }
}

/// Keeps a key.
pub(crate) fn put(batch: &Connection, key: &StoredKey) -> rusqlite::Result<()> {
    let row = Row::of(key)?;
    batch
        .execute(
            "INSERT OR REPLACE INTO keys VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            (row.id, row.hash, row.labels, row.expires_at_ms, row.created_at_ms, row.note, row.seal),
        )
        .map(drop)
}

/// Every row of the table.
pub(crate) fn all(connection: &Connection, file: &Path) -> Result<Vec<StoredKey>, ReadError> {
    let rows = || {
        let mut rows = connection
            .prepare("SELECT id, hash, labels, expires_at_ms, created_at_ms, note, seal FROM keys ORDER BY id")?;
        rows.query_map([], Row::read)?.collect::<rusqlite::Result<Vec<Row>>>()
    };
    let rows = rows().map_err(|source| ReadError::Sqlite { file: file.to_owned(), source })?;
    let damaged = |(row, what)| ReadError::Damaged { file: file.to_owned(), table: "keys", row, what };
    rows.into_iter().map(|row| row.open().map_err(damaged)).collect()
}

impl Row {
    fn of(key: &StoredKey) -> rusqlite::Result<Self> {
        let failed = |error: serde_json::Error| rusqlite::Error::ToSqlConversionFailure(error.into());
        let mut row = Self {
            id: key.id.clone(),
            hash: key.hash.to_vec(),
            labels: labels_to_json(&key.labels).map_err(failed)?,
            expires_at_ms: signed(key.expires_at.ms())?,
            created_at_ms: signed(key.created_at.ms())?,
            note: key.note.clone(),
            seal: Vec::new(),
        };
        row.seal = row.expected_seal().to_vec();
        Ok(row)
    }

    fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get(0)?,
            hash: row.get(1)?,
            labels: row.get(2)?,
            expires_at_ms: row.get(3)?,
            created_at_ms: row.get(4)?,
            note: row.get(5)?,
            seal: row.get(6)?,
        })
    }

    /// The key, or its id and what is wrong with the row.
    fn open(self) -> Result<StoredKey, (String, String)> {
        if self.expected_seal()[..] != self.seal[..] {
            return Err((self.id, "its seal does not fit".to_owned()));
        }
        let instant = |ms: i64| u64::try_from(ms).map(Timestamp::from_ms).map_err(|error| error.to_string());
        let open = || {
            Ok::<_, String>(StoredKey {
                id: self.id.clone(),
                hash: self.hash.as_slice().try_into().map_err(|_| "its hash is not 32 bytes long".to_owned())?,
                labels: labels_from_json(&self.labels).map_err(|error| error.to_string())?,
                expires_at: instant(self.expires_at_ms)?,
                created_at: instant(self.created_at_ms)?,
                note: self.note.clone(),
            })
        };
        open().map_err(|what| (self.id.clone(), what))
    }

    fn expected_seal(&self) -> [u8; 16] {
        hash(&[
            b"key",
            self.id.as_bytes(),
            &self.hash,
            self.labels.as_bytes(),
            &self.expires_at_ms.to_le_bytes(),
            &self.created_at_ms.to_le_bytes(),
            self.note.as_bytes(),
        ])
    }
}
