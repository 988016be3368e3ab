//! Reading the journal: every link is checked, every fact is folded, and the first fault ends it.
//!
//! Opening begins at the latest snapshot, and reads the facts since. Verifying and repairing begin at the first fact
//! that there is, and look at the snapshots on their way: each must be what the facts before it add up to.

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
use crate::snapshot::{self, Kept};
use crate::{sqlite, trim, wire};

/// Up to which size every page of the database is looked at when it is opened.
const PAGES_CHECKED: u64 = 64 << 20;

/// How much of a journal is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// The latest snapshot and the facts since.
    Tail,
    /// Every fact that there is, and every snapshot.
    Whole,
}

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
    /// The fact before the first one that there is, where some were let go.
    pub(crate) trimmed: Option<Head>,
    /// The latest snapshot.
    pub(crate) latest: Option<Kept>,
    /// Why nothing may be enforced from it.
    pub(crate) fault: Option<OpenError>,
}

impl Scan {
    /// Not a row could be read.
    pub(crate) fn nothing(fault: OpenError) -> Self {
        Self { identity: None, ledger: Ledger::new(), head: None, trimmed: None, latest: None, fault: Some(fault) }
    }
}

/// Reads a journal and compares it with its high-water mark; `each` sees every good row that is read.
pub(crate) fn scan(
    connection: &Connection,
    files: &Files,
    found: Found,
    reach: Reach,
    mut each: impl FnMut(&Good<'_>) -> rusqlite::Result<()>,
) -> Scan {
    let file = &files.db;
    let mut past = match identify(connection, file).and_then(|identity| Past::look(connection, file, identity)) {
        Ok(past) => past,
        Err(fault) => return Scan::nothing(fault),
    };
    let unread = past.unread.take();
    let mut reader = Reader::new(connection, file, &past, reach, u64::MAX);
    let result = match unread {
        Some(fault) if reach == Reach::Tail => Err(fault),
        unread => {
            reader.bad_snapshot = unread;
            reader.begin(found.mark()).and_then(|start| reader.read(start, found.mark(), &mut each))
        }
    };
    let result = result
        .and_then(|()| reader.compare(found, files))
        .and_then(|()| reader.check_pages())
        .and_then(|()| reader.check_snapshots());
    if reader.is_half_folded && reach == Reach::Whole {
        reader.fold_again();
    }
    let (ledger, head, fault) = (reader.ledger, reader.head, result.err());
    let latest = past.snapshots.into_iter().next();
    Scan { identity: Some(past.identity), ledger, head, trimmed: past.trimmed, latest, fault }
}

fn identify(connection: &Connection, file: &Path) -> Result<Identity, OpenError> {
    let reading = |error| OpenError::reading(file, 1, error);
    let found = sqlite::form(connection).map_err(reading)?;
    let known = [sqlite::FORM, sqlite::FORM_WITHOUT_NAMED_KEYS, sqlite::FORM_WITHOUT_SNAPSHOTS];
    if !known.contains(&found) {
        return Err(OpenError::Newer { file: file.to_owned(), found, known: sqlite::FORM });
    }
    let (ledger, epoch) = connection
        .query_row("SELECT id, epoch FROM ledger", [], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?)))
        .map_err(reading)?;
    let negative = |_| OpenError::Corrupt { file: file.to_owned(), seq: 1, what: "its epoch is negative".to_owned() };
    let epoch = u64::try_from(epoch).map_err(negative)?;
    Ok(Identity { ledger, epoch })
}

/// Where a journal may be read from.
struct Past {
    identity: Identity,
    /// The newest first.
    snapshots: Vec<Kept>,
    trimmed: Option<Head>,
    /// Why the list of snapshots cannot be read.
    unread: Option<OpenError>,
}

impl Past {
    fn look(connection: &Connection, file: &Path, identity: Identity) -> Result<Self, OpenError> {
        let reading = |error| OpenError::reading(file, 1, error);
        if sqlite::form(connection).map_err(reading)? == sqlite::FORM_WITHOUT_SNAPSHOTS {
            return Ok(Self { identity, snapshots: Vec::new(), trimmed: None, unread: None });
        }
        let trimmed = trim::trimmed(connection).map_err(reading)?;
        let (snapshots, unread) = match snapshot::kept(connection) {
            Ok(snapshots) => (snapshots, None),
            Err(error) => (Vec::new(), Some(OpenError::reading(file, 1, error))),
        };
        Ok(Self { identity, snapshots, trimmed, unread })
    }

    /// The fact before the first one that there is.
    fn first(&self) -> Head {
        self.trimmed.unwrap_or(Head { seq: 0, chain: Chain::origin(&self.identity.ledger) })
    }
}

struct Reader<'a> {
    connection: &'a Connection,
    file: &'a Path,
    past: &'a Past,
    reach: Reach,
    ledger: Ledger,
    head: Option<Head>,
    chain_at_mark: Option<Chain>,
    /// Where to stop.
    last: u64,
    /// Whether the ledger panicked in the middle of a fact, which leaves its books between two facts.
    is_half_folded: bool,
    /// Snapshots for which a fact has vouched.
    vouched: Vec<(u64, [u8; 16])>,
    /// What is wrong with a snapshot, where the facts are whole.
    bad_snapshot: Option<OpenError>,
}

impl<'a> Reader<'a> {
    fn new(connection: &'a Connection, file: &'a Path, past: &'a Past, reach: Reach, last: u64) -> Self {
        Self {
            connection,
            file,
            past,
            reach,
            ledger: Ledger::new(),
            head: None,
            chain_at_mark: None,
            last,
            is_half_folded: false,
            vouched: Vec::new(),
            bad_snapshot: None,
        }
    }

    /// Takes up the books to begin from; gives the row to begin behind.
    fn begin(&mut self, mark: Option<Mark>) -> Result<Head, OpenError> {
        let first = self.past.first();
        match (self.reach, self.past.snapshots.first()) {
            (Reach::Tail, Some(latest)) => {
                self.ledger = self.load(latest)?;
                self.before(latest.last, mark)
            }
            _ if first.seq == 0 => Ok(first),
            // The facts before the oldest snapshot that is whole are checked, and not folded.
            _ => {
                let snapshots = || self.past.snapshots.iter().rev();
                let whole = snapshots().find_map(|kept| self.load(kept).ok());
                // Closed calls are kept once for both, and the books are right without them.
                let without = |kept: &Kept| kept.load_without_closed(self.connection, &self.past.identity).ok();
                let lost = || self.corrupt(first.seq + 1, "the facts before it were let go, and no snapshot has them");
                self.ledger = whole.or_else(|| snapshots().find_map(without)).ok_or_else(lost)?;
                Ok(first)
            }
        }
    }

    fn load(&self, kept: &Kept) -> Result<Ledger, OpenError> {
        let fault = |what| self.bad_snapshot(kept, what);
        kept.load(self.connection, &self.past.identity).map_err(fault)
    }

    fn bad_snapshot(&self, kept: &Kept, what: impl Into<String>) -> OpenError {
        OpenError::Snapshot { file: self.file.to_owned(), seq: kept.last.seq, what: what.into() }
    }

    /// The row behind which to begin so that both `last` and the mark lie on the way: a loss of power may have set the
    /// mark back.
    fn before(&self, last: Head, mark: Option<Mark>) -> Result<Head, OpenError> {
        let Some(mark) = mark.filter(|mark| mark.seq < last.seq) else { return Ok(last) };
        let first = self.past.first();
        if mark.seq <= first.seq {
            return Ok(first);
        }
        let seq = i64::try_from(mark.seq).unwrap_or(i64::MAX);
        let chain = self
            .connection
            .query_row("SELECT chain FROM journal WHERE seq = ?1", [seq], |row| row.get(0))
            .map_err(|error| OpenError::reading(self.file, mark.seq, error))?;
        Ok(Head { seq: mark.seq, chain: Chain::from_bytes(chain) })
    }

    /// Folds the rows up to the last good one anew.
    fn fold_again(&mut self) {
        let last = self.head.map_or(0, |head| head.seq);
        let mut again = Reader::new(self.connection, self.file, self.past, self.reach, last);
        let start = again.begin(None);
        let good_before = start.and_then(|start| again.read(start, None, &mut |_| Ok(())));
        assert!(good_before.is_ok(), "rows that were good a moment ago are not: {good_before:?}");
        self.ledger = again.ledger;
    }

    fn read(
        &mut self,
        start: Head,
        mark: Option<Mark>,
        each: &mut impl FnMut(&Good<'_>) -> rusqlite::Result<()>,
    ) -> Result<(), OpenError> {
        let file = self.file;
        let failed = |seq| move |error| OpenError::reading(file, seq, error);
        let mut head = start;
        self.arrive(head, mark)?;
        let mut rows = self
            .connection
            .prepare("SELECT seq, at_ms, kind, id, body, chain FROM journal WHERE seq > ?1 ORDER BY seq")
            .map_err(failed(start.seq + 1))?;
        let mut rows = rows.query([i64::try_from(start.seq).unwrap_or(i64::MAX)]).map_err(failed(start.seq + 1))?;
        while head.seq < self.last
            && let Some(row) = rows.next().map_err(failed(head.seq + 1))?
        {
            let good = Good::after(head, row).map_err(|what| self.corrupt(head.seq + 1, what))?;
            self.fold(&good.entry)?;
            each(&good).map_err(|source| OpenError::Sqlite { file: file.to_owned(), source })?;
            head = Head { seq: good.entry.seq, chain: good.chain };
            self.arrive(head, mark)?;
        }
        Ok(())
    }

    fn arrive(&mut self, head: Head, mark: Option<Mark>) -> Result<(), OpenError> {
        self.head = Some(head);
        if mark.is_some_and(|mark| mark.seq == head.seq) {
            self.chain_at_mark = Some(head.chain);
        }
        let past = self.past;
        let Some(kept) = past.snapshots.iter().find(|kept| kept.last.seq == head.seq) else { return Ok(()) };
        if kept.last.chain != head.chain {
            return Err(self.corrupt(head.seq, "the snapshot of it belongs to another history"));
        }
        if self.reach == Reach::Whole {
            // On the way from the first fact the books come by themselves to what the snapshot says.
            let fault = match self.load(kept) {
                Ok(books) if books.agrees_with(&self.ledger, self.ledger.now()) => None,
                Ok(_) => Some(self.bad_snapshot(kept, "the facts add up to something else")),
                Err(fault) => Some(fault),
            };
            self.bad_snapshot = self.bad_snapshot.take().or(fault);
        }
        Ok(())
    }

    /// Whether every snapshot that was read is what it should be, and a fact has vouched for it.
    fn check_snapshots(&mut self) -> Result<(), OpenError> {
        if let Some(fault) = self.bad_snapshot.take() {
            return Err(fault);
        }
        let read = if self.reach == Reach::Tail { 1 } else { usize::MAX };
        let is_alone = |kept: &&Kept| !self.vouched.contains(&(kept.last.seq, kept.digest));
        let alone = self.past.snapshots.iter().take(read).find(is_alone);
        alone.map_or(Ok(()), |kept| Err(self.bad_snapshot(kept, "no fact vouches for it")))
    }

    /// Folds a fact. The ledger panics where a fact breaks its promises; from such books nothing may be enforced.
    fn fold(&mut self, entry: &Entry) -> Result<(), OpenError> {
        if let Fact::Snapshot { upto, digest } = &entry.fact {
            self.vouched.push((*upto, *digest));
        }
        if entry.seq <= self.ledger.seq() {
            return Ok(());
        }
        let ledger = &mut self.ledger;
        catch_unwind(AssertUnwindSafe(|| ledger.replay(entry))).map_err(|panic| {
            self.is_half_folded = true;
            self.corrupt(entry.seq, panic_text(panic.as_ref()))
        })
    }

    /// Whether the journal goes as far as its mark says, by the same way.
    fn compare(&self, found: Found, files: &Files) -> Result<(), OpenError> {
        let identity = self.past.identity;
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
    fn check_pages(&self) -> Result<(), OpenError> {
        let found = self.head.map_or(0, |head| head.seq);
        let look = || {
            if self.reach == Reach::Tail && sqlite::size(self.connection)? > PAGES_CHECKED {
                return sqlite::check_end(self.connection, found);
            }
            sqlite::check_pages(self.connection, "quick_check")
        };
        let what = match look() {
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
