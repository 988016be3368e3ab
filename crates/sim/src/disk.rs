//! A disk that fails as the dice say, and the journal on it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use almoner_ledger::{AppendFailed, AssumedHold, ClosedCall, Entry, Fact, Journal, Ledger, Snapshot};
use almoner_units::CallId;

/// What happens to the next commit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is written and flushed.
    #[default]
    Good,
    /// There is no room; nothing is kept.
    Full,
    /// It fails half-way, and what was written of it is no whole transaction.
    Torn,
    /// It is said to fail, and yet it is there when the journal is read again.
    Ghost,
}

/// How a bad journal acknowledges what does not last yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lag {
    /// Until the next commit.
    NextCommit,
    /// Until everybody was told.
    Told,
    /// For ever, where the disk is full.
    WhenFull,
    /// Until the next commit, where this one takes long.
    WhenSlow,
}

/// After how many facts a snapshot is taken.
const SNAPSHOT_EVERY: u64 = 40;
/// How many commits it takes to write one.
const SNAPSHOT_COMMITS: u64 = 3;

#[derive(Debug, Default)]
pub(crate) struct Disk {
    /// The rows that last.
    pub(crate) rows: Vec<Entry>,
    /// The rows that were acknowledged or given up without lasting; whether a crash keeps them is the disk's affair.
    tail: Vec<Entry>,
    tail_is_whole: bool,
    pub(crate) fate: Fate,
    pub(crate) lag: Option<Lag>,
    /// Whether the next commit takes long.
    pub(crate) is_slow: bool,
    pub(crate) commits: u64,
    /// Snapshots by their last fact, and their closed calls. One counts where a fact that lasts says so.
    snapshots: BTreeMap<u64, (Snapshot, Vec<ClosedCall>)>,
    /// The one that is being written, and after which commit it is whole.
    making: Option<(u64, u64)>,
}

impl Disk {
    pub(crate) fn with_lag(lag: Option<Lag>) -> Self {
        Self { lag, ..Self::default() }
    }

    fn append(&mut self, entries: &[Entry]) -> Result<(), AppendFailed> {
        self.commits += 1;
        match self.fate {
            Fate::Good => self.keep(entries),
            Fate::Full if self.lag == Some(Lag::WhenFull) => {}
            Fate::Full => return Err(AppendFailed::Full),
            Fate::Torn | Fate::Ghost => {
                let is_whole = self.fate == Fate::Ghost;
                let written = if is_whole { entries } else { &entries[..entries.len() / 2] };
                self.tail = written.to_vec();
                self.tail_is_whole = is_whole;
                self.fate = Fate::Good;
                return Err(AppendFailed::Io("the disk failed".to_owned()));
            }
        }
        Ok(())
    }

    fn keep(&mut self, entries: &[Entry]) {
        match self.lag {
            Some(Lag::NextCommit | Lag::Told) => {
                self.flush();
                self.tail = entries.to_vec();
            }
            Some(Lag::WhenSlow) => {
                self.flush();
                let kept = if self.is_slow { &mut self.tail } else { &mut self.rows };
                kept.extend_from_slice(entries);
            }
            _ => self.rows.extend_from_slice(entries),
        }
    }

    /// Makes what was acknowledged last.
    pub(crate) fn flush(&mut self) {
        self.rows.append(&mut self.tail);
    }

    /// Reads the disk after a crash: a transaction is there as a whole or not at all.
    pub(crate) fn recover(&mut self) {
        if std::mem::take(&mut self.tail_is_whole) {
            self.flush();
        }
        self.tail.clear();
        self.making = None;
    }

    fn look(&mut self, ledger: &Ledger) {
        let latest = self.snapshots.keys().next_back().copied().unwrap_or(0);
        if self.making.is_none() && ledger.seq() >= latest + SNAPSHOT_EVERY {
            self.snapshots.insert(ledger.seq(), (ledger.snapshot(), ledger.closed_since(0).collect()));
            self.making = Some((ledger.seq(), self.commits + SNAPSHOT_COMMITS));
        }
    }

    fn kept_snapshot(&mut self) -> Option<u64> {
        let commits = self.commits;
        self.making.take_if(|(_, whole_at)| *whole_at <= commits).map(|(upto, _)| upto)
    }

    /// The latest snapshot of which a fact says that it is whole.
    pub(crate) fn latest_snapshot(&self) -> Option<&(Snapshot, Vec<ClosedCall>)> {
        let noted = |entry: &Entry| match &entry.fact {
            Fact::Snapshot { upto, .. } => self.snapshots.get(upto),
            _ => None,
        };
        self.rows.iter().rev().find_map(noted)
    }

    pub(crate) fn seq(&self) -> u64 {
        self.rows.last().map_or(0, |entry| entry.seq)
    }

    /// Whether the hold of a call lasts.
    pub(crate) fn has_hold(&self, id: CallId) -> bool {
        self.rows.iter().any(|entry| matches!(&entry.fact, Fact::Held(hold) if hold.id == id))
    }

    /// The assumed holds whose truth has not come.
    pub(crate) fn assumed(&self) -> Vec<AssumedHold> {
        let mut assumed = Vec::new();
        for entry in &self.rows {
            match &entry.fact {
                Fact::Assumed { hold, held_by, .. } => assumed.push(AssumedHold {
                    hold: hold.clone(),
                    held_by: *held_by,
                    assumed_by: entry.seq,
                    assumed_at: entry.at,
                    corrected: None,
                }),
                Fact::Corrected { assumed: known, .. } => assumed.retain(|it| it.hold.id != known.hold.id),
                _ => {}
            }
        }
        assumed
    }
}

/// The journal: one process's handle to the disk.
#[derive(Clone, Debug, Default)]
pub(crate) struct SimJournal(pub(crate) Rc<RefCell<Disk>>);

impl Journal for SimJournal {
    fn append(&mut self, entries: &[Entry]) -> Result<(), AppendFailed> {
        self.0.borrow_mut().append(entries)
    }

    fn look(&mut self, ledger: &Ledger) {
        self.0.borrow_mut().look(ledger);
    }

    fn kept_snapshot(&mut self) -> Option<(u64, [u8; 16])> {
        self.0.borrow_mut().kept_snapshot().map(|upto| (upto, [0; 16]))
    }
}
