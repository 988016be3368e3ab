//! Making a damaged ledger one that can be enforced from again, without letting anybody spend twice.
//!
//! Everything up to the last fact that can be trusted is kept; the damaged files are moved aside. What the lost facts
//! had spent nobody knows, so in the mode [`RepairMode::ChargeGap`] all of it is assumed: the holds that were open, and
//! what was left of every hard limit, until its window ends or somebody corrects or resets it.
//!
//! Left out: accounts whose first fact is among the lost ones and cannot be read any more. The report names the budgets
//! that may have had such accounts.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use almoner_ledger::{AccountView, Fact, Ledger, Who};
use almoner_units::{AccountKey, BudgetName, CallId, Charge, Timestamp};
use rusqlite::Connection;

use crate::chain::{Chain, hash};
use crate::error::OpenError;
use crate::files::Files;
use crate::hwm::{Found, HighWater};
use crate::journal::{follow_up, look, mark, signed, take_lock, write_all};
use crate::scan::{Head, Identity, Reach, Scan, scan};
use crate::snapshot::Snapshots;
use crate::{hwm, keys, private, sqlite, trim, wire};

/// What to do about spending that was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RepairMode {
    /// Count what was left of every hard limit as spent: safe, whatever was lost.
    ChargeGap,
    /// Count nothing but the holds that were open: whoever asks for this takes the loss upon themselves.
    AcceptLoss,
}

/// What a repair did.
#[derive(Debug)]
pub struct RepairReport {
    /// How many facts were kept.
    pub kept: u64,
    /// How many are known to be lost; `None` where the high-water mark cannot tell.
    pub lost: Option<u64>,
    /// The epoch from now on.
    pub epoch: u64,
    /// Where the damaged database is now; its log and its mark are beside it.
    pub moved_to: PathBuf,
    /// The holds that were open, and are assumed now.
    pub assumed: Vec<CallId>,
    /// What was added to each account to fill its hard limits.
    pub charged: Vec<(AccountKey, Charge)>,
    /// Budgets with one account for each label value: an account that was opened only in the lost part begins anew.
    pub may_have_lost_accounts: Vec<BudgetName>,
}

/// Why a ledger was not repaired. It is as it was.
#[derive(Debug, thiserror::Error)]
pub enum RepairError {
    /// Nothing is wrong with it.
    #[error("{} is sound, so there is nothing to repair", .0.display())]
    Sound(PathBuf),
    /// Not one budget can be read any more, so there is nothing to which the gap could be charged.
    #[error(
        "nothing in {} can be read any more, so there is no account to charge. Put a backup of the directory back; or \
         begin anew with `almoner ledger repair --accept-loss`, after which every budget begins unspent",
        .0.display()
    )]
    NothingKnown(PathBuf),
    /// It cannot be opened for another reason than damage.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A file could not be written or moved.
    #[error("{} cannot be repaired: {source}; run the repair again", .file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The new database could not be written.
    #[error("{} cannot be written: {source}; run the repair again", .file.display())]
    Sqlite {
        /// The file.
        file: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
}

/// Repairs the ledger in `dir`, dated `now`.
///
/// # Errors
/// [`RepairError`]; the ledger is still as it was, or refused as half repaired until the repair is run again.
pub fn repair(dir: &Path, mode: RepairMode, now: Timestamp) -> Result<RepairReport, RepairError> {
    let files = Files::of(dir);
    if !dir.is_dir() {
        return Err(OpenError::unreadable(dir, io::ErrorKind::NotFound.into()).into());
    }
    let _lock = take_lock(&files)?;
    let found = hwm::read(&files.high_water).map_err(|error| OpenError::unreadable(&files.high_water, error))?;
    let fresh = dir.join("ledger.repaired.db");
    let (rescued, report) = rescue(&files, &fresh, found, mode, now).inspect_err(|_| drop(fs::remove_file(&fresh)))?;
    let failed = |source| RepairError::Io { file: files.db.clone(), source };
    let moved_to = swap(&files, &fresh).map_err(failed)?;
    HighWater::open(files.high_water.clone())
        .and_then(|mut high_water| high_water.write(rescued).and_then(|()| high_water.flush()))
        .and_then(|()| private::sync_dir(dir))
        .map_err(failed)?;
    Ok(RepairReport { moved_to, ..report })
}

/// Writes what can be trusted, and what the repair adds to it, into a fresh database.
fn rescue(
    files: &Files,
    fresh: &Path,
    found: Found,
    mode: RepairMode,
    now: Timestamp,
) -> Result<(hwm::Mark, RepairReport), RepairError> {
    let failed = |source| RepairError::Sqlite { file: fresh.to_owned(), source };
    let new = Fresh::begin(fresh).map_err(|source| RepairError::Io { file: fresh.to_owned(), source })?;
    let mut scan = match look(files) {
        Ok(_) => new.copy(files, found).map_err(failed)?,
        Err(fault) if fault.is_damage() => Scan::nothing(fault),
        Err(fault) => return Err(fault.into()),
    };
    let charges = match scan.fault.take() {
        None => return Err(RepairError::Sound(files.db.clone())),
        Some(fault) if !fault.is_damage() => return Err(fault.into()),
        // Where only the pages or a snapshot are damaged, no fact is lost.
        Some(fault) => {
            mode == RepairMode::ChargeGap && !matches!(fault, OpenError::Pages { .. } | OpenError::Snapshot { .. })
        }
    };
    if charges && scan.ledger.budgets().next().is_none() {
        return Err(RepairError::NothingKnown(files.db.clone()));
    }
    let before = scan.identity;
    let ledger_id = before.map(|known| known.ledger).or(found.mark().map(|mark| mark.ledger));
    let epoch = before.map_or(0, |known| known.epoch).max(found.mark().map_or(0, |mark| mark.epoch)) + 1;
    let identity =
        Identity { ledger: ledger_id.unwrap_or_else(|| hash(&[b"repaired", &now.ms().to_le_bytes()])), epoch };
    let head = scan.head.unwrap_or(Head { seq: 0, chain: Chain::origin(&identity.ledger) });

    let mut gap = Gap { ledger: scan.ledger, identity, now, charged: Vec::new() };
    let assumed = gap.assume_holds();
    if charges {
        new.openings_after(files, head.seq).iter().for_each(|key| gap.open(key));
        gap.charge();
    }
    let may_have_lost_accounts = if charges { gap.divided_budgets() } else { Vec::new() };
    let end = new.finish(head, &mut gap, scan.trimmed.is_some()).map_err(failed)?;
    let report = RepairReport {
        kept: head.seq,
        lost: found.mark().map(|mark| mark.seq.saturating_sub(head.seq)),
        epoch,
        moved_to: PathBuf::new(),
        assumed,
        charged: gap.charged,
        may_have_lost_accounts,
    };
    Ok((mark(identity, end), report))
}

/// The database that will take the damaged one's place.
struct Fresh {
    connection: Connection,
}

impl Fresh {
    fn begin(path: &Path) -> io::Result<Self> {
        if path.exists() {
            fs::remove_file(path)?;
        }
        private::open_file(path)?;
        let connect = || {
            let connection = sqlite::open(path)?;
            // Half a fresh database is thrown away, so there is nothing to roll back.
            connection.pragma_update(None, "journal_mode", "MEMORY")?;
            Ok::<_, rusqlite::Error>(connection)
        };
        Ok(Self { connection: connect().map_err(io::Error::other)? })
    }

    /// Copies every row that can be trusted, as it is.
    fn copy(&self, files: &Files, found: Found) -> rusqlite::Result<Scan> {
        sqlite::create(&self.connection, Some(&[0; 16]), 0)?;
        let old = sqlite::open(&files.db)?;
        let batch = self.connection.unchecked_transaction()?;
        let mut insert = batch.prepare("INSERT INTO journal VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?;
        let scan = scan(&old, files, found, Reach::Whole, |good| {
            let link = &good.link;
            let (seq, at_ms) = (signed(link.seq)?, signed(link.at_ms)?);
            insert.execute((seq, at_ms, link.kind, link.id, link.body, &good.chain.bytes()[..]))?;
            follow_up(&batch, &good.entry)
        });
        drop(insert);
        if let Some(trimmed) = scan.trimmed.filter(|_| scan.head.is_some()) {
            trim::note(&batch, trimmed)?;
        }
        for key in keys::all(&old, &files.db).unwrap_or_default() {
            keys::put(&batch, &key)?;
        }
        batch.commit()?;
        Ok(scan)
    }

    /// The accounts that facts after `seq` opened, as far as they can be read. Nothing vouches for these facts; an
    /// account too many only means that more is charged.
    fn openings_after(&self, files: &Files, seq: u64) -> Vec<AccountKey> {
        let read = || {
            let old = sqlite::open(&files.db)?;
            let mut rows = old.prepare("SELECT id, body FROM journal WHERE seq > ?1 AND kind = 'account-opened'")?;
            let mut rows = rows.query([signed(seq)?])?;
            let mut keys = Vec::new();
            while let Ok(Some(row)) = rows.next() {
                let (Ok(id), Ok(body)) = (row.get::<_, Vec<u8>>(0), row.get::<_, String>(1)) else { continue };
                if let Ok(Fact::AccountOpened { key, .. }) = wire::decode("account-opened", &id, &body) {
                    keys.push(key);
                }
            }
            Ok::<_, rusqlite::Error>(keys)
        };
        read().unwrap_or_default()
    }

    /// Adds the facts of the repair, and where it `needs_snapshot` one of the books after them, and makes the database
    /// last.
    fn finish(mut self, head: Head, gap: &mut Gap, needs_snapshot: bool) -> rusqlite::Result<Head> {
        let (identity, facts) = (gap.identity, gap.ledger.take_facts());
        if sqlite::form(&self.connection)? != sqlite::FORM {
            sqlite::create(&self.connection, Some(&identity.ledger), identity.epoch)?;
        }
        sqlite::run(&mut self.connection, |batch| {
            let epoch = signed(identity.epoch)?;
            batch.execute("UPDATE ledger SET id = ?1, epoch = ?2", (&identity.ledger[..], epoch))?;
            let mut snapshots = Snapshots::default();
            let head = write_all(batch, head, &facts, &snapshots)?;
            if !needs_snapshot {
                return Ok(head);
            }
            // Facts that were let go are in the snapshots alone, and those stay behind with the damaged file.
            snapshots.begin(&gap.ledger, head);
            while snapshots.has_more() {
                let written = snapshots.write_next(batch)?;
                snapshots.wrote(written, &identity);
            }
            if let Some((upto, digest)) = snapshots.tell() {
                gap.ledger.note_snapshot(upto, digest, gap.now);
            }
            write_all(batch, head, &gap.ledger.take_facts(), &snapshots)
        })
    }
}

/// The gap in the books, and what is charged for it.
struct Gap {
    ledger: Ledger,
    identity: Identity,
    now: Timestamp,
    charged: Vec<(AccountKey, Charge)>,
}

impl Gap {
    fn assume_holds(&mut self) -> Vec<CallId> {
        let open: Vec<CallId> = self.ledger.holds().iter().map(|hold| hold.id).collect();
        for id in &open {
            let news = self.ledger.assume(*id, "the journal was damaged while this call was in flight", self.now);
            assert!(news.is_ok(), "an open hold can be assumed");
        }
        open
    }

    /// Opens an account that the lost part had opened, so that it can be charged.
    fn open(&mut self, key: &AccountKey) {
        // `None` where the budget itself is lost: config sets it anew, and its accounts with it.
        let _ = self.ledger.open(key, "repair", self.now);
    }

    /// Fills every hard limit.
    fn charge(&mut self) {
        for view in self.ledger.views(self.now) {
            let spent = missing(&view);
            if view.mode.is_hard() && spent != Charge::ZERO {
                self.fill(&view.key, spent);
            }
        }
    }

    fn fill(&mut self, key: &AccountKey, spent: Charge) {
        let Some(account) = self.ledger.find(key) else { return };
        let (by, reason) = (Who("almoner ledger repair".to_owned()), "spending was lost with the journal".to_owned());
        let added = self.ledger.add(self.call_for(key), [account].into(), spent, by, reason, self.now);
        assert!(added.is_ok(), "the id of a repair is new");
        self.charged.push((key.clone(), spent));
    }

    /// An id that no other call has: it comes from what is repaired, since there are no dice here.
    fn call_for(&self, key: &AccountKey) -> CallId {
        let (epoch, seq) = (self.identity.epoch.to_le_bytes(), self.ledger.seq().to_le_bytes());
        let noise = hash(&[b"repair", &self.identity.ledger, &epoch, &seq, key.to_string().as_bytes()]);
        CallId::new(self.now, std::array::from_fn(|at| noise[at]))
    }

    fn divided_budgets(&self) -> Vec<BudgetName> {
        let divided = |budget: &&almoner_units::Budget| budget.mode.is_hard() && !budget.per.is_empty();
        let mut names: Vec<_> = self.ledger.budgets().filter(divided).map(|budget| budget.name.clone()).collect();
        names.sort_unstable();
        names
    }
}

/// What fills every limit of an account: in each meter the most that is left of any limit that counts it.
fn missing(view: &AccountView) -> Charge {
    let mut charge = Charge::ZERO;
    for limit in &view.limits {
        let meter = limit.limit.meter;
        charge[meter] = charge[meter].max(limit.left());
    }
    charge
}

/// Moves the damaged files aside and puts the fresh database in their place.
///
/// The log goes first: the fresh database must never find a log that is not its own. If this stops half-way, the mark
/// still tells of more facts than there are, so nothing is enforced until the repair is run again.
fn swap(files: &Files, fresh: &Path) -> io::Result<PathBuf> {
    let aside = private::free_name(&files.dir, "ledger.damaged", "db");
    if files.db.exists() && fs::hard_link(&files.db, &aside).is_err() {
        fs::copy(&files.db, &aside)?;
    }
    if files.high_water.exists() {
        fs::copy(&files.high_water, aside.with_extension("hwm"))?;
    }
    if files.wal.exists() {
        fs::rename(&files.wal, private::beside(&aside, "-wal"))?;
    }
    private::sync_dir(&files.dir)?;
    fs::rename(fresh, &files.db)?;
    private::sync_dir(&files.dir)?;
    if files.high_water.exists() {
        fs::remove_file(&files.high_water)?;
    }
    Ok(aside)
}
