//! Why accounts are charged beyond their limits, for the people who ask.
//!
//! No call brings an account beyond a hard limit while it is admitted; what can is a limit that was lowered, usage that
//! somebody booked, or a call that cost more than its bound. The journal has each of these; this is the short memory
//! of which it was, and it begins anew with the server.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use almoner_ledger::AccountView;
use almoner_units::{AccountKey, Mode};

use crate::describe::over;

/// How much each account that is over a limit is over, in the unit of each of its limits.
pub(crate) type Overs = BTreeMap<AccountKey, Vec<u64>>;

/// The accounts that are over a limit.
pub(crate) fn overs(views: &[AccountView]) -> Overs {
    let by = |view: &AccountView| (view.key.clone(), view.limits.iter().map(over).collect::<Vec<u64>>());
    views.iter().map(by).filter(|(_, by)| by.iter().any(|by| *by > 0)).collect()
}

/// What brought accounts over their limits; cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reasons(Arc<Mutex<BTreeMap<AccountKey, String>>>);

impl Reasons {
    /// Notes why accounts are over that were not, or by less, before. Those that are over no more are forgotten.
    pub(crate) fn note(&self, before: &Overs, after: &Overs, why: &str) {
        let mut reasons = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        reasons.retain(|key, _| after.contains_key(key));
        let is_news = |(key, by): &(&AccountKey, &Vec<u64>)| before.get(*key) != Some(by);
        for (key, _) in after.iter().filter(is_news) {
            reasons.insert(key.clone(), why.to_owned());
        }
    }

    /// Why an account is over.
    pub(crate) fn of(&self, view: &AccountView) -> String {
        if view.mode == Mode::Warn {
            return "its mode is `warn`, which lets calls go on".to_owned();
        }
        let reasons = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let unnoted = || "a call cost more than was held for it".to_owned();
        reasons.get(&view.key).cloned().unwrap_or_else(unnoted)
    }
}
