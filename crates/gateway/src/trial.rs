//! The one call that tries a provider which is down. Whatever keeps it from being sent (a pace, a budget, a level, its
//! client that hangs up) leaves the try to the next: it has told nothing of the provider.

use std::sync::{Arc, Mutex, PoisonError};

use almoner_policy::Health;

/// That a call is such a one. Dropped before it was sent, it gives the try back.
pub(crate) struct Trial(Option<Arc<Mutex<Health>>>);

impl Trial {
    pub(crate) const fn new(health: Arc<Mutex<Health>>) -> Self {
        Self(Some(health))
    }

    /// It goes, and what comes of it tells how the provider is.
    pub(crate) fn sent(mut self) {
        self.0 = None;
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        if let Some(health) = self.0.take() {
            health.lock().unwrap_or_else(PoisonError::into_inner).give_back();
        }
    }
}
