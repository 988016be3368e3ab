//! The journal: the list of facts on disk, and the only truth.
//!
//! Facts are appended in batches, each one transaction and one flush; what [`Journal::append`] has acknowledged
//! survives the death of the process and the loss of power. Every row is hash-chained, and a high-water mark stands
//! beside the database, so that a journal that was changed or shortened is noticed when it is opened, and nothing is
//! enforced from it. One process has it at a time.
//!
//! Now and then a snapshot of the books is kept, from which opening begins; facts that are older than any late news and
//! that two snapshots have in them are let go.
//!
//! Left out: it is not noticed when the directory lies on a network file system, whose locks and flushes may lie.

use std::path::{Path, PathBuf};

use almoner_ledger::{Entry, Fact, Ledger};
use almoner_units::{CallId, Timestamp};
use rusqlite::{Connection, ErrorCode, Transaction};

use crate::ballast::Ballast;
use crate::chain::{Chain, Link};
use crate::error::{AppendError, OpenError};
use crate::files::Files;
use crate::hwm::{self, Found, HighWater, Mark};
use crate::lock::{Lock, LockError};
use crate::scan::{Head, Identity, Reach, Scan, scan};
use crate::snapshot::Snapshots;
use crate::sqlite::{self, Header};
use crate::{assumed, private, snapshot, trim, wire};

/// The journal of one ledger, open for this process alone.
#[derive(Debug)]
pub struct Journal {
    pub(crate) connection: Connection,
    files: Files,
    identity: Identity,
    head: Head,
    pub(crate) high_water: HighWater,
    ballast: Ballast,
    snapshots: Snapshots,
    /// How a write failed, where one did.
    broken: Option<String>,
    _lock: Lock,
}

/// What an opened journal says.
#[derive(Debug)]
pub struct Recovered {
    /// The books, folded from every fact.
    pub ledger: Ledger,
    /// The holds that were open when the journal ended, oldest first. Nobody can tell what became of these calls, so
    /// the caller assumes them.
    pub open_holds: Vec<CallId>,
}

impl Journal {
    /// Opens the journal in `dir`, made where it is not there, and reads its latest snapshot and every fact since.
    ///
    /// # Errors
    /// [`OpenError`], which says what is wrong and what to do. Nothing is changed then, a damaged log included.
    pub fn open(dir: &Path) -> Result<(Self, Recovered), OpenError> {
        sqlite::check_version()?;
        let files = Files::of(dir);
        private::make_dir(dir).map_err(|error| OpenError::unreadable(dir, error))?;
        let mut lock = take_lock(&files)?;
        let found = look(&files)?;
        let connection = connect(&files)?;
        let mut scan = scan(&connection, &files, found, Reach::Tail, |_| Ok(()));
        if let Some(fault) = scan.fault {
            return Err(fault);
        }
        let epoch = scan.identity.map_or(0, |identity| identity.epoch);
        lock.sign(epoch).map_err(|error| OpenError::unreadable(&files.lock, error))?;
        let open_holds = scan.ledger.holds().iter().map(|hold| hold.id).collect();
        let ledger = std::mem::take(&mut scan.ledger);
        Ok((Self::of_sound(files, lock, connection, &scan)?, Recovered { ledger, open_holds }))
    }

    /// The journal of a database that was found sound: from now on its log is folded in when it is closed, and the mark
    /// says how far it goes.
    fn of_sound(files: Files, lock: Lock, mut connection: Connection, scan: &Scan) -> Result<Self, OpenError> {
        let (Some(identity), Some(head)) = (scan.identity, scan.head) else {
            unreachable!("a journal without a fault has an identity and a head")
        };
        let latest = scan.latest.as_ref();
        sqlite::fold_log_on_close(&connection)
            .and_then(|()| sqlite::upgrade(&mut connection))
            .and_then(|()| sqlite::run(&mut connection, |batch| snapshot::remove_unfinished(batch, latest)))
            .map_err(|source| OpenError::Sqlite { file: files.db.clone(), source })?;
        let unmarked = |error| OpenError::unreadable(&files.high_water, error);
        let mut high_water = HighWater::open(files.high_water.clone()).map_err(unmarked)?;
        high_water.write(mark(identity, head)).and_then(|()| high_water.flush()).map_err(unmarked)?;
        private::sync_dir(&files.dir).map_err(|error| OpenError::unreadable(&files.dir, error))?;
        let ballast = Ballast::at(files.ballast.clone());
        let snapshots = Snapshots::after(latest);
        Ok(Self { connection, files, identity, head, high_water, ballast, snapshots, broken: None, _lock: lock })
    }

    /// Writes facts, all or none, in one transaction and one flush. When this returns they last.
    ///
    /// # Errors
    /// [`AppendError::Full`] where the disk is full: nothing of the batch was kept, and the same batch may be tried
    /// again. After [`AppendError::Io`] the process must end.
    ///
    /// # Panics
    /// Where the facts do not follow the journal's last one.
    pub fn append(&mut self, entries: &[Entry]) -> Result<(), AppendError> {
        if entries.is_empty() {
            return Ok(());
        }
        let head = self.head;
        // A piece of a snapshot rides along, so that it costs no flush of its own; what room a full disk has left is
        // not for it.
        let has_room = self.has_ballast();
        let (head, written) = self.with_snapshots(|batch, snapshots| {
            let head = write_all(batch, head, entries, snapshots)?;
            Ok((head, if has_room { snapshots.write_next(batch)? } else { None }))
        })?;
        self.head = head;
        self.snapshots.wrote(written, &self.identity);
        entries.iter().filter_map(snapshot_noted).for_each(|upto| self.snapshots.is_in_force(upto));
        let mark = mark(self.identity, self.head);
        self.high_water.write(mark).map_err(|error| AppendError::io(&self.high_water.path, error))
    }

    /// Whether so many facts follow the latest snapshot that there should be another.
    #[must_use]
    pub fn is_snapshot_due(&self) -> bool {
        self.snapshots.is_due(self.head)
    }

    /// Takes a snapshot of books whose every fact is in the journal. It is written along with what follows.
    ///
    /// # Panics
    /// Where the books have other facts than the journal.
    pub fn begin_snapshot(&mut self, ledger: &Ledger) {
        self.snapshots.begin(ledger, self.head);
    }

    /// A snapshot that is written as a whole by now, told once: the number of its last fact, and its digest. From the
    /// fact that says so on, opening begins at it.
    pub fn kept_snapshot(&mut self) -> Option<(u64, [u8; 16])> {
        self.snapshots.tell()
    }

    /// Keeps a snapshot of the books now, all of it, dated `now`. Where the disk is full it is put off.
    ///
    /// # Errors
    /// As [`Journal::append`].
    ///
    /// # Panics
    /// Where the books have other facts than the journal.
    pub fn snapshot_now(&mut self, ledger: &mut Ledger, now: Timestamp) -> Result<(), AppendError> {
        self.begin_snapshot(ledger);
        while self.has_ballast() && self.snapshots.has_more() {
            match self.write_piece() {
                Err(AppendError::Full { .. }) => {}
                written => written?,
            }
        }
        if let Some((upto, digest)) = self.kept_snapshot() {
            ledger.note_snapshot(upto, digest, now);
        }
        let noted = ledger.take_facts();
        match self.append(&noted) {
            // The first try gave back the room that is kept for what must be written.
            Err(AppendError::Full { .. }) => self.append(&noted),
            written => written,
        }
    }

    fn write_piece(&mut self) -> Result<(), AppendError> {
        let written = self.with_snapshots(|batch, snapshots| snapshots.write_next(batch))?;
        self.snapshots.wrote(written, &self.identity);
        Ok(())
    }

    /// Runs `work` in a transaction, with the snapshots as they are before it.
    fn with_snapshots<T>(
        &mut self,
        work: impl FnOnce(&Transaction<'_>, &Snapshots) -> rusqlite::Result<T>,
    ) -> Result<T, AppendError> {
        let snapshots = std::mem::take(&mut self.snapshots);
        let done = self.transact(|batch| work(batch, &snapshots));
        self.snapshots = snapshots;
        done
    }

    /// What must be done now and then: flushes the high-water mark, takes the ballast again when there is space, goes
    /// on with a snapshot, and lets facts go that are old at `now`. Call it about once a second by a clock that never
    /// stands still; how much may be lost with the power, and how long a full disk keeps calls out, hangs on it.
    ///
    /// # Errors
    /// [`AppendError`] as of [`Journal::append`].
    pub fn tick(&mut self, now: Timestamp) -> Result<(), AppendError> {
        self.ballast.make();
        self.high_water.flush().map_err(|error| AppendError::io(&self.high_water.path, error))?;
        if self.has_ballast() && self.snapshots.has_more() {
            self.write_piece()?;
        }
        let due = trim::due(&self.connection, now).map_err(|error| self.judge(error))?;
        due.map_or(Ok(()), |last| self.transact(|batch| trim::trim(batch, last)))
    }

    /// Whether the spare space is there. It is gone after the disk was full, and admission stays closed until it is
    /// back.
    #[must_use]
    pub fn has_ballast(&self) -> bool {
        self.ballast.is_there()
    }

    /// The number and the hash of the last fact. Kept elsewhere, they show whether the whole journal was rewritten.
    #[must_use]
    pub fn head(&self) -> (u64, Chain) {
        (self.head.seq, self.head.chain)
    }

    /// Which ledger this is: 16 bytes chosen when it was made.
    #[must_use]
    pub fn ledger_id(&self) -> [u8; 16] {
        self.identity.ledger
    }

    /// How often the ledger was repaired, counted from 1.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.identity.epoch
    }

    /// The database file, for messages.
    #[must_use]
    pub fn file(&self) -> PathBuf {
        self.files.db.clone()
    }

    /// Reads the whole journal again, row by row, and gives the books it adds up to. Snapshots are compared with it.
    ///
    /// # Errors
    /// [`OpenError`] where it is no longer sound.
    pub fn replay(&self) -> Result<Ledger, OpenError> {
        let found = Found::Mark(mark(self.identity, self.head));
        let scan = scan(&self.connection, &self.files, found, Reach::Whole, |_| Ok(()));
        scan.fault.map_or(Ok(scan.ledger), Err)
    }

    /// Makes the disk full, as far as this journal can tell, once it has so many pages.
    #[cfg(test)]
    pub(crate) fn limit_pages(&self, pages: u32) {
        self.connection.pragma_update(None, "max_page_count", pages).unwrap();
    }

    /// Makes snapshots come after so many facts.
    #[cfg(test)]
    pub(crate) fn snapshot_every(&mut self, facts: u64) {
        self.snapshots.every = Some(facts);
    }

    /// Runs `work` in a transaction of its own, flushed when this returns.
    pub(crate) fn transact<T>(
        &mut self,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, AppendError> {
        // What the disk kept of a write that failed is unknown until the journal is read again, so nothing follows it.
        if let Some(why) = &self.broken {
            return Err(AppendError::io(&self.files.db, why.clone()));
        }
        let result = sqlite::run(&mut self.connection, work);
        let result = if self.connection.is_autocommit() {
            result.map_err(|error| self.judge(error))
        } else {
            let error = "a failed transaction could not be taken back";
            Err(AppendError::io(&self.files.db, error))
        };
        if let Err(AppendError::Io { source, .. }) = &result {
            self.broken = Some(source.to_string());
        }
        result
    }

    fn judge(&mut self, error: rusqlite::Error) -> AppendError {
        let file = self.files.db.clone();
        if error.sqlite_error_code() == Some(ErrorCode::DiskFull) {
            self.ballast.drop_off();
            return AppendError::Full { file };
        }
        AppendError::io(&file, error)
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        // The mark was written; that it is not flushed only matters if the power fails now.
        let _ = self.high_water.flush();
    }
}

pub(crate) fn mark(identity: Identity, head: Head) -> Mark {
    Mark { ledger: identity.ledger, epoch: identity.epoch, seq: head.seq, chain: head.chain }
}

pub(crate) fn take_lock(files: &Files) -> Result<Lock, OpenError> {
    Lock::take(&files.lock).map_err(|error| match error {
        LockError::Taken(pid) => OpenError::InUse { pid, dir: files.dir.clone() },
        LockError::Io(source) => OpenError::unreadable(&files.lock, source),
    })
}

/// Looks at the files without touching them: whether there is a ledger, and how far it had come.
pub(crate) fn look(files: &Files) -> Result<Found, OpenError> {
    let found = hwm::read(&files.high_water).map_err(|error| OpenError::unreadable(&files.high_water, error))?;
    let header = sqlite::header(&files.db).map_err(|error| OpenError::unreadable(&files.db, error))?;
    let file = files.db.clone();
    match (header, found.mark()) {
        (Header::Ours, _) | (Header::Empty, None) => Ok(found),
        (Header::Empty, Some(mark)) if mark.seq == 0 => Ok(found),
        (Header::Empty, Some(mark)) => Err(OpenError::Shortened { file, marked: mark.seq, found: 0 }),
        (Header::Other, None) => Err(OpenError::Foreign { file }),
        // A mark of ours stands beside it, so it was a ledger once.
        (Header::Other, Some(_)) => Err(OpenError::Corrupt { file, seq: 1, what: "its header is damaged".to_owned() }),
    }
}

/// Opens the database, made where it is empty.
fn connect(files: &Files) -> Result<Connection, OpenError> {
    let is_new = private::open_file(&files.db)
        .and_then(|file| file.metadata())
        .map_err(|error| OpenError::unreadable(&files.db, error))?
        .len()
        == 0;
    let connect = || {
        let connection = sqlite::open(&files.db)?;
        if is_new {
            sqlite::create(&connection, None, 1)?;
        }
        sqlite::use_log(&connection)?;
        Ok(connection)
    };
    connect().map_err(|error| OpenError::reading(&files.db, 1, error))
}

/// Writes facts behind `head`, with what else must change together with them; gives the new head.
pub(crate) fn write_all(
    batch: &Transaction<'_>,
    mut head: Head,
    entries: &[Entry],
    snapshots: &Snapshots,
) -> rusqlite::Result<Head> {
    let mut insert = batch.prepare_cached("INSERT INTO journal VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?;
    for entry in entries {
        assert_eq!(entry.seq, head.seq + 1, "fact {} cannot follow fact {} in the journal", entry.seq, head.seq);
        let row = wire::encode(&entry.fact).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
        let link = Link { seq: entry.seq, at_ms: entry.at.ms(), kind: row.kind, id: &row.id, body: &row.body };
        let chain = head.chain.next(&link);
        let (seq, at_ms) = (signed(link.seq)?, signed(link.at_ms)?);
        insert.execute((seq, at_ms, link.kind, link.id, link.body, &chain.bytes()[..]))?;
        follow_up(batch, entry)?;
        if let Fact::Snapshot { upto, digest } = &entry.fact {
            snapshots.put_in_force(batch, *upto, digest)?;
        }
        head = Head { seq: entry.seq, chain };
    }
    Ok(head)
}

/// Keeps what is assumed at hand, until the truth comes.
pub(crate) fn follow_up(batch: &Connection, entry: &Entry) -> rusqlite::Result<()> {
    match &entry.fact {
        Fact::Assumed { hold, held_by, .. } => assumed::keep(batch, hold, *held_by, entry),
        Fact::Corrected { assumed, spent, .. } => assumed::correct(batch, assumed, spent, entry.at),
        _ => Ok(()),
    }
}

/// The snapshot for which a fact vouches.
fn snapshot_noted(entry: &Entry) -> Option<u64> {
    match &entry.fact {
        Fact::Snapshot { upto, .. } => Some(*upto),
        _ => None,
    }
}

/// SQLite's numbers have a sign.
pub(crate) fn signed(number: u64) -> rusqlite::Result<i64> {
    i64::try_from(number).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}
