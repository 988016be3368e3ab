//! What the calls of each key have used, for people who look at a list of keys.

use std::path::Path;

use almoner_units::Timestamp;
use rusqlite::{Connection, OpenFlags};

use super::{History, count};
use crate::error::ReadError;

/// What history knows of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyUsed {
    /// The value of the label `key`.
    pub key: String,
    /// When its latest call was decided.
    pub last_at: Timestamp,
    /// How many calls went.
    pub calls: u64,
    /// How many were refused.
    pub refused: u64,
    /// All tokens, cache reads included.
    pub tokens: u64,
    /// Settled cost, in nano-dollars.
    pub cost_nano: u64,
    /// Charged without news, in nano-dollars.
    pub assumed_nano: u64,
}

const USED: &str = "
    SELECT json_extract(labels, '$.key') AS key,
           max(at_ms),
           sum(verdict = 'admitted'),
           sum(verdict <> 'admitted'),
           sum(coalesce(tokens, 0)),
           sum(CASE WHEN outcome = 'assumed' THEN 0 ELSE coalesce(cost_nano, 0) END),
           sum(CASE WHEN outcome = 'assumed' THEN coalesce(cost_nano, 0) ELSE 0 END)
      FROM calls
     WHERE verdict IS NOT NULL AND key IS NOT NULL AND (?1 IS NULL OR key = ?1)
     GROUP BY key";

impl History {
    /// What is known of one key, or of all of them, from a history that another process may be writing.
    ///
    /// # Errors
    /// [`ReadError`] where there is no readable history in `dir`.
    pub fn keys_in(dir: &Path, key: Option<&str>) -> Result<Vec<KeyUsed>, ReadError> {
        let path = dir.join("history.db");
        let read = || {
            let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let connection = Connection::open_with_flags(&path, flags)?;
            let mut rows = connection.prepare(USED)?;
            rows.query_map([key], used)?.collect::<rusqlite::Result<Vec<_>>>()
        };
        read().map_err(|source| ReadError::Sqlite { file: path.clone(), source })
    }
}

fn used(row: &rusqlite::Row<'_>) -> rusqlite::Result<KeyUsed> {
    let number = |column| row.get::<_, i64>(column).map(count);
    Ok(KeyUsed {
        key: row.get(0)?,
        last_at: Timestamp::from_ms(number(1)?),
        calls: number(2)?,
        refused: number(3)?,
        tokens: number(4)?,
        cost_nano: number(5)?,
        assumed_nano: number(6)?,
    })
}
