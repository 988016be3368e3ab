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
    /// Limits that its budget no longer has. They count on, so that one that comes back finds its past.
    pub(crate) retired: Vec<Retired>,
    /// The number of the fact that removed its budget, where that is gone. Calls in flight still end on it.
    pub(crate) left_by: Option<u64>,
}

/// How many limits that its budget no longer has an account remembers.
const RETIRED_MOST: usize = 16;

/// A limit that the budget no longer has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Retired {
    pub(crate) limit: Limit,
    pub(crate) counter: Counter,
    /// The number of the fact by which it left.
    pub(crate) left_by: u64,
}

impl Retired {
    fn is_like(&self, limit: &Limit) -> bool {
        is_alike(&self.limit, limit)
    }
}

/// Whether two limits count the same.
fn is_alike(one: &Limit, other: &Limit) -> bool {
    one.meter == other.meter && one.window == other.window
}

impl Account {
    pub(crate) fn new(key: AccountKey, opener: String, budget: Arc<Budget>, seq: u64, now: Timestamp) -> Self {
        let counters = budget.limits.iter().map(|limit| Counter::new(&limit.window, seq, now)).collect();
        Self { key, opener, budget, counters, open_holds: 0, retired: Vec::new(), left_by: None }
    }

    /// Every limit with what is counted against it.
    pub(crate) fn limits(&self) -> impl Iterator<Item = (&Limit, &Counter)> {
        self.budget.limits.iter().zip(&self.counters)
    }

    /// Every limit that counts, those that its budget no longer has included.
    pub(crate) fn counting(&self) -> impl Iterator<Item = (&Limit, &Counter)> {
        self.limits().chain(self.retired.iter().map(|retired| (&retired.limit, &retired.counter)))
    }

    pub(crate) fn counting_mut(&mut self) -> impl Iterator<Item = (&Limit, &mut Counter)> {
        let retired = self.retired.iter_mut().map(|retired| (&retired.limit, &mut retired.counter));
        self.budget.limits.iter().zip(&mut self.counters).chain(retired)
    }

    pub(crate) fn roll(&mut self, now: Timestamp) {
        self.counting_mut().for_each(|(_, counter)| counter.roll(now));
    }

    /// What a limit like this has counted, whether it is in force or was once.
    pub(crate) fn counted_by(&self, limit: &Limit) -> Option<&Counter> {
        self.counting().find(|(known, _)| is_alike(known, limit)).map(|(_, counter)| counter)
    }

    /// Puts other limits in force, by the fact `seq`; those that leave are remembered where `keeps_past`.
    pub(crate) fn change(&mut self, budget: Arc<Budget>, counters: Vec<Counter>, keeps_past: bool, seq: u64) {
        let before = std::mem::replace(&mut self.budget, budget);
        let left = before.limits.iter().cloned().zip(std::mem::replace(&mut self.counters, counters));
        if keeps_past {
            for (limit, counter) in left {
                let is_new = !self.retired.iter().any(|known| known.is_like(&limit));
                self.retired.extend(is_new.then_some(Retired { limit, counter, left_by: seq }));
            }
        }
        let in_force = &self.budget.limits;
        self.retired.retain(|known| !in_force.iter().any(|limit| known.is_like(limit)));
        self.retired.sort_by_key(|known| known.left_by);
        let too_many = self.retired.len().saturating_sub(RETIRED_MOST);
        self.retired.drain(..too_many);
    }

    /// Leaves with its budget, by the fact `seq`: nothing is in force on it any more, and all of it counts on.
    pub(crate) fn leave(&mut self, seq: u64) {
        self.change(Arc::new(nothing_in_force(&self.key)), Vec::new(), true, seq);
        self.left_by = Some(seq);
    }

    /// The highest level of its limits.
    pub(crate) fn level(&self) -> Level {
        self.counters.iter().map(|counter| counter.level).max().unwrap_or_default()
    }

    /// Whether nothing would be lost by forgetting it.
    pub(crate) fn is_empty(&self) -> bool {
        self.open_holds == 0 && self.counting().all(|(_, counter)| counter.is_empty())
    }

    /// What it looks like at `now`.
    pub(crate) fn view(&self, now: Timestamp) -> AccountView {
        let view = |(limit, counter): (&Limit, &Counter)| {
            let counter = counter.at(now);
            LimitView {
                limit: limit.clone(),
                spent: counter.spent(),
                assumed: counter.assumed(),
                held: counter.held(),
                level: counter.level_now(limit, &self.budget.marks),
                resets_at: counter.ends_at(),
            }
        };
        let limits: Vec<_> = self.limits().map(view).collect();
        AccountView {
            key: self.key.clone(),
            mode: self.budget.mode,
            level: limits.iter().map(|limit| limit.level).max().unwrap_or_default(),
            open_holds: self.open_holds,
            limits,
        }
    }
}

/// The budget of an account whose own is gone.
pub(crate) fn nothing_in_force(key: &AccountKey) -> Budget {
    Budget {
        name: key.budget.clone(),
        filter: Vec::new(),
        per: Vec::new(),
        limits: Vec::new(),
        mode: almoner_units::Mode::Warn,
        marks: almoner_units::LevelMarks::default(),
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
