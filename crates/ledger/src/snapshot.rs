//! A snapshot: what the facts up to one of them add up to, as a plain value, so that books can be rebuilt without them.
//!
//! It holds everything that any later answer depends on. Closed ids are the largest part and hardly change, so they
//! come beside it, piece by piece: each entry has a number, and only those since the last snapshot need be kept anew.

use std::sync::Arc;

use almoner_units::{AccountKey, Budget, Level, Limit, Timestamp};

use crate::account::{Account, AccountId, Retired, nothing_in_force};
use crate::books::{Books, OpenHold};
use crate::closed::{ClosedCall, ClosedIds};
use crate::counter::Counter;
use crate::fact::Hold;

/// What the facts up to `seq` add up to, but for the closed ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The number of the last fact in it.
    pub seq: u64,
    /// The time of that fact.
    pub at: Timestamp,
    /// The latest time that anybody had told by then. Windows may have ended since the last fact.
    pub seen: Timestamp,
    /// The budgets in force.
    pub budgets: Vec<Budget>,
    /// How many account numbers are used up.
    pub numbers: u32,
    /// The open accounts, by number.
    pub accounts: Vec<AccountSnapshot>,
    /// The open holds with the number of the fact that made each, oldest first.
    pub holds: Vec<(u64, Hold)>,
    /// How many calls were closed, ever.
    pub closed: u64,
    /// How many of them, the latest, are remembered.
    pub closed_kept: u64,
    /// Ids made at or before this instant may have been forgotten.
    pub closed_horizon: Timestamp,
}

/// An account as a snapshot has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountSnapshot {
    /// Its number.
    pub id: AccountId,
    /// Its budget and labels.
    pub key: AccountKey,
    /// The key of the call that opened it.
    pub opener: String,
    /// How many calls are in flight on it.
    pub open_holds: u32,
    /// What is counted against each limit, in the budget's order.
    pub counters: Vec<CounterSnapshot>,
    /// Limits that its budget no longer has, what they count, and the number of the fact by which each left.
    pub retired: Vec<(Limit, CounterSnapshot, u64)>,
    /// The number of the fact that removed its budget, where that is gone.
    pub left_by: Option<u64>,
}

/// What is counted against one limit, as a snapshot has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CounterSnapshot {
    /// What open holds set aside.
    pub held: u64,
    /// The number of the fact that made or last reset it.
    pub reset_by: u64,
    /// Its level.
    pub level: Level,
    /// Settled usage in the window.
    pub spent: u64,
    /// Usage charged without news.
    pub assumed: u64,
    /// The window as it stands.
    pub window: WindowSnapshot,
}

/// A window as a snapshot has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WindowSnapshot {
    /// A lifetime, fixed or calendar window: the number of the first fact it counted, and when it ends; nothing while
    /// none is open.
    Plain(Option<(u64, Option<Timestamp>)>),
    /// A sliding window.
    Sliding {
        /// The number of its newest slot, counted from the epoch.
        newest: u64,
        /// Where in the ring each slot lies that counts anything, and what was spent and assumed in it.
        slots: Vec<(u8, u64, u64)>,
    },
}

/// The parts of a snapshot do not fit together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unfit(pub String);

impl Snapshot {
    pub(crate) fn of(books: &Books, seen: Timestamp) -> Self {
        let retired = |it: &Retired| (it.limit.clone(), it.counter.snapshot(), it.left_by);
        let account = |(number, account): (usize, &Option<Box<Account>>)| {
            let account = account.as_ref()?;
            Some(AccountSnapshot {
                id: AccountId(u32::try_from(number).ok()?),
                key: account.key.clone(),
                opener: account.opener.clone(),
                open_holds: account.open_holds,
                counters: account.counters.iter().map(Counter::snapshot).collect(),
                retired: account.retired.iter().map(retired).collect(),
                left_by: account.left_by,
            })
        };
        let mut holds: Vec<_> = books.holds.values().map(|open| (open.by, open.hold.clone())).collect();
        holds.sort_unstable_by_key(|(by, _)| *by);
        let (closed, closed_kept, closed_horizon) = books.closed.extent();
        Self {
            seq: books.seq,
            at: books.now,
            seen: seen.max(books.now),
            budgets: books.budgets.values().map(|budget| Budget::clone(budget)).collect(),
            numbers: u32::try_from(books.accounts.len()).unwrap_or(u32::MAX),
            accounts: books.accounts.iter().enumerate().filter_map(account).collect(),
            holds,
            closed,
            closed_kept,
            closed_horizon,
        }
    }

    /// The books of which this is the snapshot; `closed` are its closed calls, in order, or more that came before.
    pub(crate) fn books(self, closed: impl IntoIterator<Item = ClosedCall>) -> Result<Books, Unfit> {
        let mut books = Books { seq: self.seq, now: self.at, ..Books::default() };
        books.budgets = self.budgets.into_iter().map(|budget| (budget.name.clone(), Arc::new(budget))).collect();
        books.accounts.resize_with(self.numbers as usize, || None);
        for account in self.accounts {
            put_account(&mut books, account)?;
        }
        for (by, hold) in self.holds {
            books.holds.insert(hold.id, OpenHold { by, hold });
        }
        books.closed = ClosedIds::of(closed, self.closed, self.closed_kept, self.closed_horizon)
            .ok_or_else(|| Unfit("some of its closed calls are missing".to_owned()))?;
        Ok(books)
    }
}

fn put_account(books: &mut Books, account: AccountSnapshot) -> Result<(), Unfit> {
    let AccountSnapshot { id, key, opener, open_holds, counters, retired, left_by } = account;
    let unfit = |what: &str| Unfit(format!("account {id} {what}"));
    let other_window = || unfit("has a window of another kind than its limit");
    let budget = match left_by {
        Some(_) => Some(Arc::new(nothing_in_force(&key))),
        None => books.budgets.get(&key.budget).cloned(),
    };
    let budget = budget.ok_or_else(|| unfit("is of a budget that is not there"))?;
    let place = books.accounts.get_mut(id.0 as usize).ok_or_else(|| unfit("has a number that cannot be"))?;
    if counters.len() != budget.limits.len() {
        return Err(unfit("counts other limits than its budget has"));
    }
    let both = budget.limits.iter().zip(&counters);
    let counters: Option<Vec<Counter>> = both.map(|(limit, counter)| Counter::of(&limit.window, counter)).collect();
    let counters = counters.ok_or_else(other_window)?;
    let retired = retired.into_iter().map(|(limit, counter, left_by)| {
        let counter = Counter::of(&limit.window, &counter)?;
        Some(Retired { limit, counter, left_by })
    });
    let retired = retired.collect::<Option<_>>().ok_or_else(other_window)?;
    let (named, opened_by) = (key.clone(), opener.clone());
    *place = Some(Box::new(Account { key, opener, budget, counters, open_holds, retired, left_by }));
    match left_by {
        Some(left_by) => drop(books.dormant.insert(named, (left_by, id))),
        None => books.number(named, opened_by, id),
    }
    Ok(())
}
