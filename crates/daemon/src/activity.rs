//! When the server was last used, so that one that `exec` started can end by itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use almoner_units::Span;

use crate::clock;

/// When the server was last used; cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Activity(Arc<AtomicU64>);

impl Activity {
    /// Notes that it is used now.
    pub(crate) fn note(&self) {
        self.0.store(clock::read().steady.ms(), Ordering::Relaxed);
    }

    /// How long it has not been used.
    pub(crate) fn idle(&self) -> Span {
        Span::from_ms(clock::read().steady.ms().saturating_sub(self.0.load(Ordering::Relaxed)))
    }
}
