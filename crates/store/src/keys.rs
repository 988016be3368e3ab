//! Virtual keys as they are kept: the hashes of their secrets and what each key allows, never a secret itself.
//!
//! One row is all of a key, with the list of what was done to it, by whom and when. So no change of a key can last
//! without its trace, and none of the two can be lost without the other. The chain of the journal does not cover the
//! table; each row has a seal of its own, because a key must never get the labels of another.

use std::path::Path;

use almoner_units::{Labels, Limit, Mode, Priority, Timestamp};
use rusqlite::Connection;

use crate::chain::hash;
use crate::error::{AppendError, ReadError};
use crate::journal::Journal;
use crate::sqlite;
use crate::wire::{StoredKeyWire, labels_from_json};

/// The table since form 3.
pub(crate) const TABLE: &str = "
    CREATE TABLE keys (
        id   TEXT PRIMARY KEY,
        body TEXT NOT NULL,
        seal BLOB NOT NULL
    ) STRICT, WITHOUT ROWID;
";

/// A virtual key as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredKey {
    /// What it is called in labels and in the journal, for ever; no other key has or had the same.
    pub id: String,
    /// What people call it; none for the key of one command.
    pub name: Option<String>,
    /// Its secrets, the newest first: one, and those before it for as long as they stay good.
    pub secrets: Vec<StoredSecret>,
    /// The labels that every call with it has, `key` among them.
    pub labels: Labels,
    /// The limits of its own budget; empty: it has none.
    pub limits: Vec<Limit>,
    /// What happens at them.
    pub mode: Mode,
    /// The patterns of the models that it may use; empty: every model.
    pub models: Vec<String>,
    /// How many requests may go with it in a minute.
    pub rpm: Option<u64>,
    /// How many tokens may be used with it in a minute.
    pub tpm: Option<u64>,
    /// The highest priority that its calls may have.
    pub priority_max: Priority,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it stops working by itself.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
    /// What it is for, in words.
    pub note: String,
    /// What was done to it, the oldest first.
    pub changes: Vec<KeyChange>,
}

/// A secret of a key, by its hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredSecret {
    /// The hash; the secret itself is nowhere.
    pub hash: [u8; 32],
    /// Until when it is good, where another has taken its place.
    pub good_until: Option<Timestamp>,
}

/// Something that was done to a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyChange {
    /// When.
    pub at: Timestamp,
    /// By whom.
    pub by: String,
    /// What, in words.
    pub what: String,
}

impl Journal {
    /// Keeps a key, in place of one with the same id.
    ///
    /// # Errors
    /// As [`Journal::append`].
    pub fn keys_put(&mut self, key: &StoredKey) -> Result<(), AppendError> {
        self.transact(|batch| put(batch, key))
    }

    /// Every key that is kept, whatever has become of it, by id.
    ///
    /// # Errors
    /// [`ReadError`] where a row is damaged: a key must not get the labels of another.
    pub fn keys_all(&self) -> Result<Vec<StoredKey>, ReadError> {
        all(&self.connection, &self.file())
    }

    /// Forgets keys by their ids, all or none.
    ///
    /// # Errors
    /// As [`Journal::append`].
    pub fn keys_remove(&mut self, ids: &[String]) -> Result<(), AppendError> {
        if ids.is_empty() {
            return Ok(());
        }
        self.transact(|batch| {
            let mut remove = batch.prepare("DELETE FROM keys WHERE id = ?1")?;
            ids.iter().try_for_each(|id| remove.execute([id]).map(drop))
        })
    }
}

/// Keeps a key.
pub(crate) fn put(batch: &Connection, key: &StoredKey) -> rusqlite::Result<()> {
    let body = serde_json::to_string(&StoredKeyWire::from(key))
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
    let seal = seal(&key.id, &body);
    batch.execute("INSERT OR REPLACE INTO keys VALUES (?1, ?2, ?3)", (&key.id, body, &seal[..])).map(drop)
}

/// Every row of the table, also of one that an earlier version wrote.
pub(crate) fn all(connection: &Connection, file: &Path) -> Result<Vec<StoredKey>, ReadError> {
    let unread = |source| ReadError::Sqlite { file: file.to_owned(), source };
    let rows = match sqlite::form(connection).map_err(unread)? {
        sqlite::FORM => rows(connection),
        _ => short_lived(connection),
    };
    let damaged = |(row, what)| ReadError::Damaged { file: file.to_owned(), table: "keys", row, what };
    rows.map_err(unread)?.into_iter().map(|row| row.map_err(damaged)).collect()
}

/// Gives a ledger of an earlier form the table of this one, with the keys that it had. One that is damaged is left out:
/// they were good for a week at most, and one that is gone lets nobody in.
pub(crate) fn upgrade(new: &Connection) -> rusqlite::Result<()> {
    let keys = short_lived(new)?;
    new.execute_batch("DROP TABLE keys")?;
    new.execute_batch(TABLE)?;
    keys.iter().flatten().try_for_each(|key| put(new, key))
}

/// A key, or its id and what is wrong with the row.
type Read = Result<StoredKey, (String, String)>;

fn rows(connection: &Connection) -> rusqlite::Result<Vec<Read>> {
    let mut rows = connection.prepare("SELECT id, body, seal FROM keys ORDER BY id")?;
    let rows =
        rows.query_map([], |row| Ok(open(row.get(0)?, &row.get::<_, String>(1)?, &row.get::<_, Vec<u8>>(2)?)))?;
    rows.collect()
}

fn open(id: String, body: &str, sealed: &[u8]) -> Read {
    if seal(&id, body)[..] != *sealed {
        return Err((id, "its seal does not fit".to_owned()));
    }
    let wire = serde_json::from_str::<StoredKeyWire>(body).map_err(|error| error.to_string());
    wire.and_then(|wire| wire.of(id.clone()).map_err(|error| error.to_string())).map_err(|what| (id, what))
}

fn seal(id: &str, body: &str) -> [u8; 16] {
    hash(&[b"key of form 3", id.as_bytes(), body.as_bytes()])
}

/// The columns of a key before form 3: those of single commands were all there were.
type ShortLived = (String, Vec<u8>, String, i64, i64, String, Vec<u8>);

/// The rows of a table that an earlier version wrote.
fn short_lived(connection: &Connection) -> rusqlite::Result<Vec<Read>> {
    let mut rows = connection
        .prepare("SELECT id, hash, labels, expires_at_ms, created_at_ms, note, seal FROM keys ORDER BY id")?;
    let rows = rows.query_map([], |row| ShortLived::try_from(row))?.collect::<rusqlite::Result<Vec<_>>>()?;
    Ok(rows.into_iter().map(open_short_lived).collect())
}

fn open_short_lived((id, digest, labels, expires_at_ms, created_at_ms, note, sealed): ShortLived) -> Read {
    let (expires, created) = (expires_at_ms.to_le_bytes(), created_at_ms.to_le_bytes());
    let parts = [b"key", id.as_bytes(), &digest, labels.as_bytes(), &expires, &created, note.as_bytes()];
    if hash(&parts)[..] != sealed[..] {
        return Err((id, "its seal does not fit".to_owned()));
    }
    let instant = |ms: i64| u64::try_from(ms).map(Timestamp::from_ms).map_err(|error| error.to_string());
    let open = || {
        let digest = digest.as_slice().try_into().map_err(|_| "its hash is not 32 bytes long".to_owned())?;
        Ok::<_, String>(StoredKey {
            id: id.clone(),
            name: None,
            secrets: vec![StoredSecret { hash: digest, good_until: None }],
            labels: labels_from_json(&labels).map_err(|error| error.to_string())?,
            limits: Vec::new(),
            mode: Mode::default(),
            models: Vec::new(),
            rpm: None,
            tpm: None,
            priority_max: Priority::High,
            created_at: instant(created_at_ms)?,
            expires_at: Some(instant(expires_at_ms)?),
            revoked_at: None,
            note: note.clone(),
            changes: Vec::new(),
        })
    };
    open().map_err(|what| (id.clone(), what))
}
