//! The journal as the desk needs it.

use almoner_ledger::{AppendFailed, AssumedHold, Entry, Ledger};
use almoner_units::{CallId, Timestamp};

use crate::error::AppendError;
use crate::journal::Journal;

impl almoner_ledger::Journal for Journal {
    fn append(&mut self, entries: &[Entry]) -> Result<(), AppendFailed> {
        Self::append(self, entries).map_err(|error| match error {
            AppendError::Full { .. } => AppendFailed::Full,
            AppendError::Io { .. } => AppendFailed::Io(error.to_string()),
        })
    }

    fn tend(&mut self, now: Timestamp) {
        // A failure here is noticed by the next batch, which ends the process.
        drop(self.tick(now));
        drop(self.purge_assumed(now));
    }

    fn has_room(&self) -> bool {
        self.has_ballast()
    }

    fn look(&mut self, ledger: &Ledger) {
        if self.is_snapshot_due() {
            self.begin_snapshot(ledger);
        }
    }

    fn kept_snapshot(&mut self) -> Option<(u64, [u8; 16])> {
        Self::kept_snapshot(self)
    }

    fn assumed(&self, id: CallId) -> Option<AssumedHold> {
        // What cannot be read stays assumed, which can only count too much.
        Self::assumed(self, id).ok().flatten()
    }
}
