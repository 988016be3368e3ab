//! The books: what the facts add up to. Only [`Books::fold`] writes them, and it decides nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use almoner_units::{AccountKey, Budget, BudgetName, CallId, Charge, Limit, Timestamp};

use crate::account::{Account, AccountId};
use crate::closed::{ClosedIds, Ended};
use crate::counter::{Counter, Was, part};
use crate::fact::{AssumedHold, Entry, Fact, Hold};

/// An open hold, with the number of the fact that made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OpenHold {
    pub(crate) by: u64,
    pub(crate) hold: Hold,
}

/// How many accounts are remembered whose budget is gone; the first that left go first.
const DORMANT_MOST: usize = 100_000;

/// What the facts add up to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Books {
    pub(crate) seq: u64,
    pub(crate) now: Timestamp,
    pub(crate) budgets: BTreeMap<BudgetName, Arc<Budget>>,
    /// By number; the numbers of accounts that are forgotten are not used again.
    pub(crate) accounts: Vec<Option<Box<Account>>>,
    pub(crate) numbers: HashMap<AccountKey, AccountId>,
    /// The accounts of each budget in force, so that whoever changes one of thousands looks at its own alone.
    pub(crate) of_budget: HashMap<BudgetName, BTreeSet<AccountId>>,
    pub(crate) opened_by: HashMap<(BudgetName, String), u32>,
    /// Accounts whose budget is gone, in case it comes back, with the number of the fact that removed it.
    pub(crate) dormant: BTreeMap<AccountKey, (u64, AccountId)>,
    pub(crate) holds: HashMap<CallId, OpenHold>,
    pub(crate) closed: ClosedIds,
}

impl Books {
    /// An account whose budget is in force.
    pub(crate) fn account(&self, id: AccountId) -> Option<&Account> {
        self.accounts.get(id.0 as usize)?.as_deref().filter(|account| account.left_by.is_none())
    }

    /// An account whose budget is in force.
    pub(crate) fn account_mut(&mut self, id: AccountId) -> Option<&mut Account> {
        self.any_mut(id).filter(|account| account.left_by.is_none())
    }

    /// An account, whether or not its budget is in force.
    pub(crate) fn any_mut(&mut self, id: AccountId) -> Option<&mut Account> {
        self.accounts.get_mut(id.0 as usize)?.as_deref_mut()
    }

    /// Writes one fact down.
    ///
    /// # Panics
    /// Where the fact is out of order or breaks the promise: such books must not be used to say yes.
    pub(crate) fn fold(&mut self, entry: &Entry) {
        assert_eq!(entry.seq, self.seq + 1, "fact {} follows fact {}; one is missing or repeated", entry.seq, self.seq);
        assert!(entry.at >= self.now, "fact {} is dated {}, before {}", entry.seq, entry.at, self.now);
        self.seq = entry.seq;
        self.now = entry.at;
        match &entry.fact {
            Fact::BudgetSet { budget, keeps_past, .. } => self.set_budget(budget, *keeps_past),
            Fact::BudgetRemoved { name, keeps_past, .. } => self.remove_budget(name, *keeps_past),
            Fact::AccountOpened { account, key, opener } => self.open(*account, key, opener),
            Fact::AccountDropped { account } => self.drop_account(*account),
            Fact::Held(hold) => self.hold(hold),
            Fact::Settled { id, spent } => self.settle(*id, spent, false),
            Fact::Released { id, reason } => self.settle(*id, &reason.charge(), true),
            Fact::Assumed { hold, held_by, .. } => self.assume(hold, *held_by),
            Fact::Corrected { assumed, spent, .. } => self.correct(assumed, spent),
            Fact::Added { id, accounts, spent, .. } => self.add(*id, accounts, spent),
            Fact::Reset { account, restarts, .. } => self.reset(*account, *restarts),
            Fact::Snapshot { .. } => {}
            Fact::LevelChanged { account, limit, to, .. } => {
                if let Some(counter) = self.counter_mut(*account, *limit) {
                    counter.level = *to;
                }
            }
        }
    }

    fn counter_mut(&mut self, account: AccountId, limit: u8) -> Option<&mut Counter> {
        self.account_mut(account)?.counters.get_mut(usize::from(limit))
    }

    fn set_budget(&mut self, budget: &Budget, keeps_past: bool) {
        let budget = Arc::new(budget.clone());
        self.budgets.insert(budget.name.clone(), Arc::clone(&budget));
        self.wake(&budget);
        for id in self.accounts_of(&budget.name) {
            self.change_limits(id.0 as usize, &budget, keeps_past);
        }
    }

    /// The accounts of a budget in force, by number.
    pub(crate) fn accounts_of(&self, budget: &BudgetName) -> Vec<AccountId> {
        self.of_budget.get(budget).into_iter().flatten().copied().collect()
    }

    /// Names an account in force by its key.
    pub(crate) fn number(&mut self, key: AccountKey, opener: String, id: AccountId) {
        self.of_budget.entry(key.budget.clone()).or_default().insert(id);
        *self.opened_by.entry((key.budget.clone(), opener)).or_default() += 1;
        self.numbers.insert(key, id);
    }

    /// Takes up again the accounts that a budget of this name and these labels had before it was removed.
    fn wake(&mut self, budget: &Budget) {
        // They lie in the order of their budgets.
        let first = AccountKey { budget: budget.name.clone(), per: Vec::new() };
        let of_budget = self.dormant.range(first..).take_while(|(key, _)| key.budget == budget.name);
        let has_labels = |key: &AccountKey| key.per.iter().map(|(name, _)| name).eq(&budget.per);
        let woken: Vec<_> = of_budget.filter(|(key, _)| has_labels(key)).map(|(key, it)| (key.clone(), it.1)).collect();
        for (key, id) in woken {
            self.dormant.remove(&key);
            let Some(account) = self.any_mut(id) else { continue };
            account.left_by = None;
            let opener = account.opener.clone();
            self.number(key, opener, id);
        }
    }

    /// Gives an account the limits of `budget`: one of the same meter and window as one that it has, or once had, goes
    /// on with what that has counted, and so does a second one like it; a new one begins with the calls in flight.
    fn change_limits(&mut self, at: usize, budget: &Arc<Budget>, keeps_past: bool) {
        let Some(mut account) = self.accounts[at].take() else { return };
        account.roll(self.now);
        let counter = |limit: &Limit| match account.counted_by(limit) {
            Some(counter) => counter.clone(),
            None => self.counter_of_calls_in_flight(at, limit),
        };
        let counters = budget.limits.iter().map(counter).collect();
        account.change(Arc::clone(budget), counters, keeps_past, self.seq);
        self.accounts[at] = Some(account);
    }

    fn counter_of_calls_in_flight(&self, at: usize, limit: &Limit) -> Counter {
        let mut counter = Counter::new(&limit.window, self.seq, self.now);
        let mut open: Vec<&OpenHold> = self.holds.values().filter(|open| touches(&open.hold, at)).collect();
        open.sort_by_key(|open| open.by);
        for OpenHold { by, hold } in open {
            counter.hold(&limit.window, part(limit, &hold.amount), *by, self.now);
        }
        counter
    }

    fn remove_budget(&mut self, name: &BudgetName, keeps_past: bool) {
        self.budgets.remove(name);
        for id in self.accounts_of(name) {
            self.leave(id.0 as usize, keeps_past);
        }
        if self.dormant.len() <= DORMANT_MOST {
            return;
        }
        let mut first: Vec<(u64, AccountId)> = self.dormant.values().copied().collect();
        first.sort_unstable();
        let too_many = first.len().saturating_sub(DORMANT_MOST);
        first.into_iter().take(too_many).for_each(|(_, id)| self.forget(id.0 as usize));
    }

    /// Lets an account go with its budget; what it has counted, and what is in flight on it, is kept for its return.
    fn leave(&mut self, at: usize, keeps_past: bool) {
        if !keeps_past {
            return self.forget(at);
        }
        let (now, seq) = (self.now, self.seq);
        let Some(account) = &mut self.accounts[at] else { return };
        account.roll(now);
        account.leave(seq);
        let (key, opener) = (account.key.clone(), account.opener.clone());
        let Some(id) = self.numbers.remove(&key) else { return };
        self.no_longer_of(&key.budget, id);
        self.closed_by_opener(&key.budget, opener);
        self.dormant.insert(key, (seq, id));
    }

    fn open(&mut self, id: AccountId, key: &AccountKey, opener: &str) {
        let Some(budget) = self.budgets.get(&key.budget) else { return };
        let account = Account::new(key.clone(), opener.to_owned(), Arc::clone(budget), self.seq, self.now);
        let at = id.0 as usize;
        assert!(at >= self.accounts.len(), "account {id} is opened twice");
        self.accounts.resize_with(at, || None);
        self.accounts.push(Some(Box::new(account)));
        self.number(key.clone(), opener.to_owned(), id);
    }

    fn drop_account(&mut self, id: AccountId) {
        let now = self.now;
        let Some(account) = self.any_mut(id) else { return };
        // Whoever replays has not looked at it since its windows ended.
        account.roll(now);
        assert!(account.is_empty(), "account {id} is dropped while it counts something");
        self.forget(id.0 as usize);
    }

    fn forget(&mut self, at: usize) {
        let Some(account) = self.accounts[at].take() else { return };
        if account.left_by.is_some() {
            self.dormant.remove(&account.key);
            return;
        }
        if let Some(id) = self.numbers.remove(&account.key) {
            self.no_longer_of(&account.key.budget, id);
        }
        self.closed_by_opener(&account.key.budget, account.opener);
    }

    fn no_longer_of(&mut self, budget: &BudgetName, id: AccountId) {
        if let Some(of) = self.of_budget.get_mut(budget) {
            of.remove(&id);
            if of.is_empty() {
                self.of_budget.remove(budget);
            }
        }
    }

    fn closed_by_opener(&mut self, budget: &BudgetName, opener: String) {
        let opener = (budget.clone(), opener);
        if let Some(count) = self.opened_by.get_mut(&opener) {
            *count -= 1;
            if *count == 0 {
                self.opened_by.remove(&opener);
            }
        }
    }

    fn hold(&mut self, hold: &Hold) {
        let (seq, now) = (self.seq, self.now);
        for id in once(&hold.accounts) {
            let Some(account) = self.account_mut(id) else { continue };
            account.roll(now);
            account.open_holds += 1;
            for (limit, counter) in account.counting_mut() {
                counter.hold(&limit.window, part(limit, &hold.amount), seq, now);
            }
            account.assert_promise(hold);
        }
        let twice = self.holds.insert(hold.id, OpenHold { by: seq, hold: hold.clone() });
        assert!(twice.is_none(), "call {} is held twice", hold.id);
    }

    fn settle(&mut self, id: CallId, spent: &Charge, released: bool) {
        let Some(OpenHold { by, hold }) = self.holds.remove(&id) else {
            panic!("fact {} ends the hold of call {id}, which has none", self.seq);
        };
        let now = self.now;
        self.end_hold(&hold, |limit, counter| {
            counter.settle(by, part(limit, &hold.amount), part(limit, spent), now);
        });
        let settled = Ended::Settled { held: hold.amount, spent: *spent };
        let how = if released { Ended::Released } else { settled };
        self.closed.insert(id, how, now);
    }

    fn assume(&mut self, hold: &Hold, by: u64) {
        assert!(self.holds.remove(&hold.id).is_some(), "fact {} assumes call {}, which has no hold", self.seq, hold.id);
        let now = self.now;
        self.end_hold(hold, |limit, counter| counter.assume(by, part(limit, &hold.amount), now));
        self.closed.insert(hold.id, Ended::Assumed, now);
    }

    /// Rolls every account of a hold that ends, and lets `end` take it from each counter.
    fn end_hold(&mut self, hold: &Hold, mut end: impl FnMut(&Limit, &mut Counter)) {
        let now = self.now;
        for id in once(&hold.accounts) {
            let Some(account) = self.any_mut(id) else { continue };
            account.roll(now);
            account.open_holds -= 1;
            account.counting_mut().for_each(|(limit, counter)| end(limit, counter));
        }
    }

    fn correct(&mut self, assumed: &AssumedHold, spent: &Charge) {
        let now = self.now;
        for id in once(&assumed.hold.accounts) {
            let Some(account) = self.any_mut(id) else { continue };
            account.roll(now);
            for (limit, counter) in account.counting_mut() {
                let was = Was {
                    amount: part(limit, &assumed.hold.amount),
                    at: assumed.assumed_at,
                    held_by: assumed.held_by,
                    assumed_by: assumed.assumed_by,
                    corrected: assumed.corrected.map(|known| (part(limit, &known.spent), known.at)),
                };
                counter.correct(&was, part(limit, spent), now);
            }
        }
        let how = Ended::Settled { held: assumed.hold.amount, spent: *spent };
        self.closed.insert(assumed.hold.id, how, now);
    }

    fn add(&mut self, call: CallId, accounts: &[AccountId], spent: &Charge) {
        let (seq, now) = (self.seq, self.now);
        for id in once(accounts) {
            let Some(account) = self.account_mut(id) else { continue };
            account.roll(now);
            for (limit, counter) in account.counting_mut() {
                counter.add(&limit.window, part(limit, spent), seq, now);
            }
        }
        // Nothing was held for it, and nothing was promised: that it cost something is no overrun.
        self.closed.insert(call, Ended::Settled { held: *spent, spent: *spent }, now);
    }

    fn reset(&mut self, id: AccountId, restarts: bool) {
        let (seq, now) = (self.seq, self.now);
        let Some(account) = self.account_mut(id) else { return };
        account.roll(now);
        let is_idle = account.open_holds == 0;
        for (limit, counter) in account.counting_mut() {
            counter.reset(seq);
            if restarts {
                counter.restart(&limit.window, is_idle, now);
            }
        }
    }
}

fn touches(hold: &Hold, account: usize) -> bool {
    hold.accounts.iter().any(|id| id.0 as usize == account)
}

/// Accounts in order, each once: a call that names an account twice is still one call.
fn once(accounts: &[AccountId]) -> impl Iterator<Item = AccountId> {
    accounts.iter().enumerate().filter(|(at, id)| !accounts[..*at].contains(id)).map(|(_, id)| *id)
}

impl Account {
    /// The promise itself: no hold leaves more charged than a limit that refuses. A hold that adds nothing to a limit,
    /// such as a free model's to a limit in dollars, may stand beside a debt that others left there.
    fn assert_promise(&self, hold: &Hold) {
        if !self.budget.mode.is_hard() {
            return;
        }
        for (limit, counter) in self.limits().filter(|(limit, _)| part(limit, &hold.amount) > 0) {
            let (id, charged) = (hold.id, counter.charged());
            assert!(charged <= limit.amount, "call {id} would leave {charged} charged of `{limit}` on {}", self.key);
        }
    }
}

impl Books {
    /// These books, brought up to `now`, so that two that differ only in when they were last looked at are equal.
    pub(crate) fn at(&self, now: Timestamp) -> Self {
        let mut books = self.clone();
        books.accounts.iter_mut().flatten().for_each(|account| account.roll(now.max(self.now)));
        books
    }
}
