//! The keeper as the gateway's purse.

use std::path::Path;

use almoner_gateway::{Decision, DeskError, End, Purse, Question};
use almoner_units::{Budget, CallId, Span, Timestamp};

use crate::keeper::Keeper;
use crate::serve::{self, ServeError};
use crate::{clock, prepare_state_dir};

/// The ledger in a state folder with these budgets, kept by this process and without a server in front of it.
/// `committed` is told how many facts each commit wrote.
///
/// # Errors
/// [`ServeError`] where the ledger cannot be opened.
pub fn open_purse(
    state_dir: &Path,
    budgets: Vec<Budget>,
    mut committed: impl FnMut(usize) + Send + 'static,
) -> Result<impl Purse, ServeError> {
    prepare_state_dir(state_dir)?;
    let (journal, ledger) = serve::open_in(state_dir, budgets)?;
    let (keeper, _) = Keeper::start(ledger, journal, move |entries, _, _| committed(entries.len()), serve::die)?;
    Ok(keeper)
}

impl Purse for Keeper {
    fn new_call(&self) -> CallId {
        CallId::new(clock::read().wall, clock::dice())
    }

    fn now(&self) -> Timestamp {
        clock::read().wall
    }

    fn steady(&self) -> Span {
        clock::read().steady
    }

    async fn reserve(&self, question: Question) -> Result<Decision, DeskError> {
        Self::reserve(self, question).await
    }

    fn end(&self, id: CallId, end: End) {
        Self::end(self, id, end);
    }

    fn is_closed(&self) -> bool {
        Self::is_closed(self)
    }
}
