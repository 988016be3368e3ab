//! Reading the journal from its first row: every link is checked, every fact is folded, and the first fault ends it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use almoner_ledger::{Entry, Fact, Ledger};
use almoner_units::Timestamp;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row};

use crate::chain::{Chain, Link};
use crate::error::OpenError;
use crate::files::Files;
use crate::hwm::{Found, Mark};
use crate::{sqlite, wire};

/// How far the journal goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) seq: u64,
    pub(crate) chain: Chain,
}

/// Which ledger it is, and how often it was repaired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) ledger: [u8; 16],
    pub(crate) epoch: u64,
}

/// A row whose link holds, with its fact.
pub(crate) struct Good<'r> {
    pub(crate) link: Link<'r>,
    pub(crate) chain: Chain,
    pub(crate) entry: Entry,
}

impl<'r> Good<'r> {
    /// The row as a fact, if it is the one that follows `head`; else what is wrong with it.
    fn after(head: Head, row: &'r Row<'_>) -> Result<Self, String> {
        let (link, stored) = columns(row).ok_or("its columns are not those of a fact")?;
        if link.seq != head.seq + 1 {
            return Err(format!("fact {} comes after fact {}", link.seq, head.seq));
        }
        let chain = head.chain.next(&link);
        if chain.bytes()[..] != *stored {
            return Err("its hash does not fit; it, or a fact before it, was changed".to_owned());
        }
        let fact = wire::decode(link.kind, link.id, link.body).map_err(|error| error.to_string())?;
        // Each account was opened by a fact of its own, so a greater number is nonsense that would only eat memory.
        if matches!(&fact, Fact::AccountOpened { account, .. } if u64::from(account.0) >= link.seq) {
            return Err("its account has a number that cannot be".to_owned());
        }
        Ok(Self { link, chain, entry: Entry { seq: link.seq, at: Timestamp::from_ms(link.at_ms), fact } })
    }
}

/// What reading the journal came to.
pub(crate) struct Scan {
    pub(crate) identity: Option<Identity>,
    /// The books after the last good row.
    pub(crate) ledger: Ledger,
    /// The last good row.
    pub(crate) head: Option<Head>,
    /// Why nothing may be enforced from it.
    pub(crate) fault: Option<OpenError>,
}

impl Scan {
    /// Not a row could be read.
    pub(crate) fn nothing(fault: OpenError) -> Self {
        Self { identity: None, ledger: Ledger::new(), head: None, fault: Some(fault) }
    }
}

/// Reads a whole journal and compares it with its high-water mark; `each` sees every good row.
pub(crate) fn scan(
    connection: &Connection,
    files: &Files,
    found: Found,
    mut each: impl FnMut(&Good<'_>) -> rusqlite::Result<()>,
) -> Scan {
    let mut reader = Reader::new(&files.db, u64::MAX);
    let identity = match reader.identify(connection) {
        Ok(identity) => identity,
        Err(fault) => return reader.ended(None, Some(fault)),
    };
    let result = reader
        .read(connection, &identity, found.mark(), &mut each)
        .and_then(|()| reader.compare(&identity, found, files))
        .and_then(|()| reader.check_pages(connection));
    if reader.is_half_folded {
        reader.fold_again(connection, &identity);
    }
    reader.ended(Some(identity), result.err())
}

struct Reader<'a> {
    file: &'a Path,
    ledger: Ledger,
    head: Option<Head>,
    chain_at_mark: Option<Chain>,
    /// Where to stop.
    last: u64,
    /// Whether the ledger panicked in the middle of a fact, which leaves its books between two facts.
    is_half_folded: bool,
}

impl<'f> Reader<'f> {
    fn new(file: &'f Path, last: u64) -> Self {
        Self { file, ledger: Ledger::new(), head: None, chain_at_mark: None, last, is_half_folded: false }
    }

    /// Folds the rows up to the last good one anew.
    fn fold_again(&mut self, connection: &Connection, identity: &Identity) {
        let mut again = Reader::new(self.file, self.head.map_or(0, |head| head.seq));
        let good_before = again.read(connection, identity, None, &mut |_| Ok(()));
        assert!(good_before.is_ok(), "rows that were good a moment ago are not: {good_before:?}");
        self.ledger = again.ledger;
    }

    fn identify(&self, connection: &Connection) -> Result<Identity, OpenError> {
        let reading = |error| OpenError::reading(self.file, 1, error);
        let found = sqlite::form(connection).map_err(reading)?;
        if found != sqlite::FORM {
            return Err(OpenError::Newer { file: self.file.to_owned(), found, known: sqlite::FORM });
        }
        let (ledger, epoch) = connection
            .query_row("SELECT id, epoch FROM ledger", [], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?)))
            .map_err(reading)?;
        let epoch = u64::try_from(epoch).map_err(|_| self.corrupt(1, "its epoch is negative"))?;
        Ok(Identity { ledger, epoch })
    }

    fn read(
        &mut self,
        connection: &Connection,
        identity: &Identity,
        mark: Option<Mark>,
        each: &mut impl FnMut(&Good<'_>) -> rusqlite::Result<()>,
    ) -> Result<(), OpenError> {
        let file = self.file;
        let failed = |seq| move |error| OpenError::reading(file, seq, error);
        let mut head = Head { seq: 0, chain: Chain::origin(&identity.ledger) };
        self.arrive(head, mark);
        let mut rows = connection
            .prepare("SELECT seq, at_ms, kind, id, body, chain FROM journal ORDER BY seq")
            .map_err(failed(1))?;
        let mut rows = rows.query([]).map_err(failed(1))?;
        while head.seq < self.last
            && let Some(row) = rows.next().map_err(failed(head.seq + 1))?
        {
            let good = Good::after(head, row).map_err(|what| self.corrupt(head.seq + 1, what))?;
            self.fold(&good.entry)?;
            each(&good).map_err(|source| OpenError::Sqlite { file: file.to_owned(), source })?;
            head = Head { seq: good.entry.seq, chain: good.chain };
            self.arrive(head, mark);
        }
        Ok(())
    }

    fn arrive(&mut self, head: Head, mark: Option<Mark>) {
        self.head = Some(head);
        if mark.is_some_and(|mark| mark.seq == head.seq) {
            self.chain_at_mark = Some(head.chain);
        }
    }

    /// Folds a fact. The ledger panics where a fact breaks its promises; from such books nothing may be enforced.
    fn fold(&mut self, entry: &Entry) -> Result<(), OpenError> {
        let ledger = &mut self.ledger;
        catch_unwind(AssertUnwindSafe(|| ledger.replay(entry))).map_err(|panic| {
            self.is_half_folded = true;
            self.corrupt(entry.seq, panic_text(panic.as_ref()))
        })
    }

    /// Whether the journal goes as far as its mark says, by the same way.
    fn compare(&self, identity: &Identity, found: Found, files: &Files) -> Result<(), OpenError> {
        let seq = self.head.map_or(0, |head| head.seq);
        let file = files.db.clone();
        let mark = match found {
            Found::Mark(mark) => mark,
            // The mark of a new ledger is written after its tables.
            Found::Missing | Found::Damaged if seq == 0 => return Ok(()),
            Found::Missing | Found::Damaged => {
                let missing = found == Found::Missing;
                return Err(OpenError::NoMark { file: files.high_water.clone(), missing, found: seq });
            }
        };
        // Of a ledger that was never used nothing can be lost.
        if (mark.seq, seq) == (0, 0) {
            return Ok(());
        }
        if mark.ledger != identity.ledger || mark.epoch > identity.epoch {
            return Err(OpenError::Replaced { file, seq: seq.min(mark.seq) });
        }
        if mark.epoch < identity.epoch {
            return Err(OpenError::Interrupted { file });
        }
        if mark.seq > seq {
            return Err(OpenError::Shortened { file, marked: mark.seq, found: seq });
        }
        if self.chain_at_mark != Some(mark.chain) {
            return Err(OpenError::Replaced { file, seq: mark.seq });
        }
        Ok(())
    }

    /// SQLite's own check: rows may be whole where the tree above them is not, and the next row would then land in the
    /// wrong place.
    fn check_pages(&self, connection: &Connection) -> Result<(), OpenError> {
        let found = self.head.map_or(0, |head| head.seq);
        let what = match sqlite::check_pages(connection, "quick_check") {
            Ok(faults) if faults.is_empty() => return Ok(()),
            Ok(faults) => faults.join("; "),
            Err(error) => match OpenError::reading(self.file, found, error) {
                OpenError::Corrupt { what, .. } => what,
                other => return Err(other),
            },
        };
        Err(OpenError::Pages { file: self.file.to_owned(), found, what })
    }

    fn corrupt(&self, seq: u64, what: impl Into<String>) -> OpenError {
        OpenError::Corrupt { file: self.file.to_owned(), seq, what: what.into() }
    }

    fn ended(self, identity: Option<Identity>, fault: Option<OpenError>) -> Scan {
        Scan { identity, ledger: self.ledger, head: self.head, fault }
    }
}

/// The columns of a row, if they have the types they were written with.
fn columns<'r>(row: &'r Row<'_>) -> Option<(Link<'r>, &'r [u8])> {
    let value = |at| row.get_ref(at).ok();
    let number = |at| match value(at)? {
        ValueRef::Integer(number) => u64::try_from(number).ok(),
        _ => None,
    };
    let text = |at| value(at)?.as_str().ok();
    let bytes = |at| value(at)?.as_blob().ok();
    Some((Link { seq: number(0)?, at_ms: number(1)?, kind: text(2)?, id: bytes(3)?, body: text(4)? }, bytes(5)?))
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("it breaks the books").to_owned()
}
