//! Two wrong ways to keep the ledger, with which the kill loop shows that it would find them.
//!
//! They can be chosen only where the feature `known-bad` is compiled in, which nothing that is shipped has.

/// What is done wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KnownBad {
    /// A call is let go before its hold is on disk.
    ReplyFirst,
    /// A hold that a crash left open is given back, although the provider may have been paid.
    ReleaseOnRecovery,
}

/// The journal as the desk has it.
#[cfg(not(feature = "known-bad"))]
pub(crate) type Filed = almoner_store::Journal;

/// Whether this is to be done wrong: never.
#[cfg(not(feature = "known-bad"))]
pub(crate) const fn is(_: KnownBad) -> bool {
    false
}

#[cfg(feature = "known-bad")]
pub use wrong::choose;
#[cfg(feature = "known-bad")]
pub(crate) use wrong::{Filed, is};

#[cfg(feature = "known-bad")]
mod wrong {
    use std::ops::{Deref, DerefMut};
    use std::sync::OnceLock;

    use almoner_ledger::{AppendFailed, AssumedHold, Entry, Ledger};
    use almoner_store::Journal;
    use almoner_units::{CallId, Span, Timestamp};

    use super::KnownBad;
    use crate::clock;

    /// How long facts wait before they are written.
    const LATE: Span = Span::from_ms(50);

    static CHOSEN: OnceLock<KnownBad> = OnceLock::new();

    /// Does this wrong for as long as the process lives; the first choice stands.
    pub fn choose(bad: KnownBad) {
        CHOSEN.get_or_init(|| bad);
    }

    /// Whether this is to be done wrong.
    pub(crate) fn is(bad: KnownBad) -> bool {
        CHOSEN.get() == Some(&bad)
    }

    /// A journal that says that facts last, and writes them a little later.
    pub(crate) struct Filed {
        journal: Journal,
        late: Vec<Entry>,
        since: Span,
    }

    impl From<Journal> for Filed {
        fn from(journal: Journal) -> Self {
            Self { journal, late: Vec::new(), since: Span::default() }
        }
    }

    impl Deref for Filed {
        type Target = Journal;

        fn deref(&self) -> &Journal {
            &self.journal
        }
    }

    impl DerefMut for Filed {
        fn deref_mut(&mut self) -> &mut Journal {
            &mut self.journal
        }
    }

    impl almoner_ledger::Journal for Filed {
        fn append(&mut self, entries: &[Entry]) -> Result<(), AppendFailed> {
            let now = clock::read().steady;
            if self.late.is_empty() {
                self.since = now;
            }
            self.late.extend_from_slice(entries);
            if is(KnownBad::ReplyFirst) && now.ms() < self.since.ms() + LATE.ms() {
                return Ok(());
            }
            almoner_ledger::Journal::append(&mut self.journal, &std::mem::take(&mut self.late))
        }

        fn tend(&mut self, now: Timestamp) {
            self.journal.tend(now);
        }

        fn has_room(&self) -> bool {
            self.journal.has_room()
        }

        fn look(&mut self, ledger: &Ledger) {
            // What is not written yet can stand in no snapshot.
            if self.late.is_empty() {
                self.journal.look(ledger);
            }
        }

        fn kept_snapshot(&mut self) -> Option<(u64, [u8; 16])> {
            self.journal.kept_snapshot()
        }

        fn assumed(&self, id: CallId) -> Option<AssumedHold> {
            almoner_ledger::Journal::assumed(&self.journal, id)
        }
    }
}
