//! What the calls of each key have used, for people who look at a list of keys.

use almoner_units::Timestamp;
use rusqlite::Connection;

use super::count;

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
    SELECT key, max(last_ms), sum(calls), sum(refused), sum(tokens + assumed_tokens), sum(cost_nano), sum(assumed_nano)
      FROM usage_minutes JOIN label_sets ON label_sets.id = label_set
     WHERE key IS NOT NULL AND (?1 IS NULL OR key = ?1)
     GROUP BY key";

/// What is known of one key, or of all of them.
pub(super) fn used(connection: &Connection, key: Option<&str>) -> rusqlite::Result<Vec<KeyUsed>> {
    connection.prepare(USED)?.query_map([key], of_key)?.collect()
}

fn of_key(row: &rusqlite::Row<'_>) -> rusqlite::Result<KeyUsed> {
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
