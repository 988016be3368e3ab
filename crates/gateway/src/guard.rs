//! The guard of a hold: whatever way a call ends, its hold ends too, and never to the provider's loss.
//!
//! A guard that is dropped before the call was sent releases; one that is dropped after it assumes, because nobody can
//! say any more what the provider bills. It is taken before the purse is asked: a client may go at any moment, also
//! between the yes of the purse and our hearing of it.

use std::sync::Arc;

use almoner_ledger::ReleaseReason;
use almoner_units::CallId;

use crate::port::{End, Purse};

/// Why nobody can say how a call ended.
pub(crate) const DROPPED: &str = "the call was dropped before its answer was read";

/// A hold that must end.
pub(crate) struct HoldGuard<P: Purse> {
    purse: Arc<P>,
    id: CallId,
    sent: bool,
    open: bool,
}

impl<P: Purse> HoldGuard<P> {
    /// Guards the hold that a call may get, and has not been sent with. To end a hold that was never made is no harm.
    pub(crate) fn new(purse: Arc<P>, id: CallId) -> Self {
        Self { purse, id, sent: false, open: true }
    }

    /// The purse said no: there is nothing to guard.
    pub(crate) fn has_none(&mut self) {
        self.open = false;
    }

    /// From now on bytes of the call may be with the provider.
    pub(crate) fn sent(&mut self) {
        self.sent = true;
    }

    /// How the hold ends where nobody says it.
    pub(crate) fn dropped(&self) -> End {
        if self.sent { End::Assumed(DROPPED.to_owned()) } else { End::Released(ReleaseReason::NeverSent) }
    }

    /// Ends the hold; the first end counts.
    pub(crate) fn end(&mut self, end: End) {
        if std::mem::take(&mut self.open) {
            self.purse.end(self.id, end);
        }
    }
}

impl<P: Purse> Drop for HoldGuard<P> {
    fn drop(&mut self) {
        self.end(self.dropped());
    }
}
