//! What the journal says about one call.

use almoner_ledger::Entry;
use almoner_units::{CallId, Span, Timestamp};

use crate::chain::Link;
use crate::error::ReadError;
use crate::journal::{Journal, signed};
use crate::wire;

/// How long before its first fact a call's id may have been made.
const SLACK: Span = Span::from_secs(600);

impl Journal {
    /// The facts about a call, in order. There is no index: the search begins at the time that the id carries.
    ///
    /// # Errors
    /// [`ReadError`] where a row cannot be read.
    pub fn facts_of(&self, id: CallId) -> Result<Vec<Entry>, ReadError> {
        let read = || {
            let from = self.first_since(Timestamp::from_ms(id.made_at().ms().saturating_sub(SLACK.ms())))?;
            let mut rows = self
                .connection
                .prepare("SELECT seq, at_ms, kind, id, body FROM journal WHERE seq >= ?1 AND id = ?2 ORDER BY seq")?;
            let rows = rows.query_map((signed(from)?, &id.bits().to_be_bytes()[..]), |row| row.try_into())?;
            rows.collect::<rusqlite::Result<Vec<(i64, i64, String, Vec<u8>, String)>>>()
        };
        let rows = read().map_err(|source| ReadError::Sqlite { file: self.file(), source })?;
        rows.iter()
            .map(|(seq, at_ms, kind, id, body)| {
                let (seq, at_ms) = (u64::try_from(*seq).unwrap_or(0), u64::try_from(*at_ms).unwrap_or(0));
                self.entry(&Link { seq, at_ms, kind, id, body })
            })
            .collect()
    }

    fn entry(&self, row: &Link<'_>) -> Result<Entry, ReadError> {
        let fact = wire::decode(row.kind, row.id, row.body).map_err(|error| ReadError::Damaged {
            file: self.file(),
            table: "journal",
            row: row.seq.to_string(),
            what: error.to_string(),
        })?;
        Ok(Entry { seq: row.seq, at: Timestamp::from_ms(row.at_ms), fact })
    }

    /// The number of the first fact at or after an instant, by halves: ledger time never goes back.
    fn first_since(&self, instant: Timestamp) -> rusqlite::Result<u64> {
        let instant = signed(instant.ms())?;
        let mut at = self.connection.prepare("SELECT at_ms FROM journal WHERE seq = ?1")?;
        let first = "SELECT coalesce(min(seq), 1) FROM journal";
        let first: i64 = self.connection.query_row(first, [], |row| row.get(0))?;
        let (mut low, mut high) = (u64::try_from(first).unwrap_or(1), self.head().0 + 1);
        while low < high {
            let middle = u64::midpoint(low, high);
            if at.query_row([signed(middle)?], |row| row.get::<_, i64>(0))? < instant {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }
}
