//! An account: one budget for one combination of its `per` labels, with a counter for each limit.

use std::fmt;
use std::sync::Arc;

use almoner_units::{AccountKey, Budget, Level, Limit, Timestamp};

use crate::counter::Counter;

/// The number of an account in the journal; never used for another account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountId(pub u32);

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) key: AccountKey,
    pub(crate) opener: String,
    pub(crate) budget: Arc<Budget>,
    pub(crate) counters: Vec<Counter>,
    pub(crate) open_holds: u32,
}

impl Account {
    pub(crate) fn new(key: AccountKey, opener: String, budget: Arc<Budget>, seq: u64, now: Timestamp) -> Self {
        let counters = budget.limits.iter().map(|limit| Counter::new(&limit.window, seq, now)).collect();
        Self { key, opener, budget, counters, open_holds: 0 }
    }

    /// Every limit with what is counted against it.
    pub(crate) fn limits(&self) -> impl Iterator<Item = (&Limit, &Counter)> {
        self.budget.limits.iter().zip(&self.counters)
    }

    pub(crate) fn limits_mut(&mut self) -> impl Iterator<Item = (&Limit, &mut Counter)> {
        self.budget.limits.iter().zip(&mut self.counters)
    }

    pub(crate) fn roll(&mut self, now: Timestamp) {
        self.counters.iter_mut().for_each(|counter| counter.roll(now));
    }

    /// The highest level of its limits.
    pub(crate) fn level(&self) -> Level {
        self.counters.iter().map(|counter| counter.level).max().unwrap_or_default()
    }

    /// Whether nothing would be lost by forgetting it.
    pub(crate) fn is_empty(&self) -> bool {
        self.open_holds == 0 && self.counters.iter().all(Counter::is_empty)
    }

    pub(crate) fn view(&self) -> AccountView {
        let limits = self.limits().map(|(limit, counter)| LimitView {
            limit: limit.clone(),
            spent: counter.spent(),
            assumed: counter.assumed(),
            held: counter.held(),
            level: counter.level,
            resets_at: counter.ends_at(),
        });
        AccountView {
            key: self.key.clone(),
            mode: self.budget.mode,
            level: self.level(),
            open_holds: self.open_holds,
            limits: limits.collect(),
        }
    }
}

/// What an account looks like from outside, at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountView {
    /// The account.
    pub key: AccountKey,
    /// What happens at its limits.
    pub mode: almoner_units::Mode,
    /// The highest level of its limits.
    pub level: Level,
    /// How many calls are in flight on it.
    pub open_holds: u32,
    /// Its limits, in the budget's order.
    pub limits: Vec<LimitView>,
}

/// What is counted against one limit, at one moment, in the unit of the limit's meter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitView {
    /// The limit.
    pub limit: Limit,
    /// Settled usage in the window.
    pub spent: u64,
    /// Usage charged without news.
    pub assumed: u64,
    /// What open holds set aside.
    pub held: u64,
    /// The level of this limit.
    pub level: Level,
    /// When the window ends at once; sliding windows and windows that have counted nothing have no such moment.
    pub resets_at: Option<Timestamp>,
}

impl LimitView {
    /// What is left: the limit less what is spent, assumed and held, never below nothing.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.limit.amount.saturating_sub(self.charged())
    }

    /// Spent, assumed and held.
    #[must_use]
    pub fn charged(&self) -> u64 {
        self.spent.saturating_add(self.assumed).saturating_add(self.held)
    }
}
