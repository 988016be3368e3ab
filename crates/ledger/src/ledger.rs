//! The ledger itself: commands in, replies and facts out.

use almoner_units::{AccountKey, Budget, BudgetName, CallId, Charge, LabelName, LabelValue, Timestamp};

use crate::account::{Account, AccountId, AccountView};
use crate::books::Books;
use crate::closed::ClosedCall;
use crate::decide;
use crate::fact::{AssumedHold, Entry, Fact, Hold, ReleaseReason, Who};
use crate::snapshot::{Snapshot, Unfit};
use crate::verdict::{
    Admission, Closed, Contradiction, CorrectError, Patience, Reserve, ReserveError, SettleError, Settlement, Verdict,
};

/// How many accounts one call may touch.
pub const MAX_TOUCHED: usize = 16;
/// How many accounts of one budget the calls of one key may open; further label values share one account.
pub const MAX_ACCOUNTS_PER_KEY: u32 = 10_000;

/// The ledger. Each command changes the books by facts alone, which [`Ledger::take_facts`] hands to the journal.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    books: Books,
    facts: Vec<Entry>,
    /// The latest time anybody told. Looking closes windows without a fact, so no later command may be dated before it.
    seen: Timestamp,
}

impl Ledger {
    /// Empty books.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Folds one fact of the journal into the books, as it was folded when it happened.
    ///
    /// # Panics
    /// Where the fact is out of order or breaks the promise: such a journal is not this ledger's.
    pub fn replay(&mut self, entry: &Entry) {
        self.books.fold(entry);
    }

    /// What the facts so far add up to, but for the closed ids, which [`Ledger::closed_since`] tells.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::of(&self.books, self.seen)
    }

    /// The calls that were closed after the first `count` and are still remembered, in order.
    pub fn closed_since(&self, count: u64) -> impl Iterator<Item = ClosedCall> + '_ {
        self.books.closed.since(count)
    }

    /// The ledger of which `snapshot` was taken, ready for the facts that follow. `closed` are the closed calls that it
    /// remembers, in order; more may stand before them.
    ///
    /// # Errors
    /// [`Unfit`] where the parts do not fit together.
    pub fn restore(snapshot: Snapshot, closed: impl IntoIterator<Item = ClosedCall>) -> Result<Self, Unfit> {
        let seen = snapshot.seen;
        Ok(Self { books: snapshot.books(closed)?, facts: Vec::new(), seen })
    }

    /// Notes that a snapshot of the facts up to `upto` was kept, with this digest.
    pub fn note_snapshot(&mut self, upto: u64, digest: [u8; 16], now: Timestamp) {
        self.write(Fact::Snapshot { upto, digest }, now);
    }

    /// The facts since this was last asked, in order.
    pub fn take_facts(&mut self) -> Vec<Entry> {
        std::mem::take(&mut self.facts)
    }

    /// The number of the latest fact.
    #[must_use]
    pub fn seq(&self) -> u64 {
        self.books.seq
    }

    /// The time of the latest fact.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.books.now
    }

    /// Sets a budget: a new one, or other limits for one that is there, in flight or not.
    pub fn set_budget(&mut self, budget: Budget, by: Who, now: Timestamp) {
        let now = self.see(now);
        let name = budget.name.clone();
        if self.books.budgets.get(&name).is_some_and(|known| **known == budget) {
            return;
        }
        self.write(Fact::BudgetSet { budget, by, keeps_past: true }, now);
        self.books.accounts_of(&name).into_iter().for_each(|id| self.journal_levels(id, now));
    }

    /// Removes a budget. Should it come back, its accounts go on with what they have counted.
    pub fn remove_budget(&mut self, name: &BudgetName, by: Who, now: Timestamp) {
        self.end_budget(name, by, true, now);
    }

    /// Removes a budget that will not come back, and its accounts; calls in flight are no longer counted on them.
    pub fn forget_budget(&mut self, name: &BudgetName, by: Who, now: Timestamp) {
        self.end_budget(name, by, false, now);
    }

    fn end_budget(&mut self, name: &BudgetName, by: Who, keeps_past: bool, now: Timestamp) {
        let now = self.see(now);
        if self.books.budgets.contains_key(name) {
            self.write(Fact::BudgetRemoved { name: name.clone(), by, keeps_past }, now);
        }
    }

    /// The budgets in force, by name.
    pub fn budgets(&self) -> impl Iterator<Item = &Budget> {
        self.books.budgets.values().map(|budget| &**budget)
    }

    /// The budget of this name, where it is in force.
    #[must_use]
    pub fn budget(&self, name: &BudgetName) -> Option<&Budget> {
        self.books.budgets.get(name).map(|budget| &**budget)
    }

    /// The number of an account, opened where it is not open yet; `None` where its budget does not exist.
    ///
    /// `opener` is the key of the call that asks. Past [`MAX_ACCOUNTS_PER_KEY`] accounts of one budget, further label
    /// values of that key share one account, so that a flood of session ids cannot fill the memory. The shared accounts
    /// keep users apart until there are as many of those; then only keys and teams, which no client can make up.
    pub fn open(&mut self, key: &AccountKey, opener: &str, now: Timestamp) -> Option<AccountId> {
        let now = self.see(now);
        if let Some(id) = self.books.numbers.get(key) {
            return Some(*id);
        }
        if !self.books.budgets.contains_key(&key.budget) {
            return None;
        }
        if !self.is_flooded(&key.budget, opener) {
            return self.open_new(key.clone(), opener, now);
        }
        let shared = overflow(key, &["key", "team", "user"]);
        if self.books.numbers.contains_key(&shared) || !self.is_flooded(&key.budget, SHARED) {
            return self.open_new(shared, SHARED, now);
        }
        self.open_new(overflow(key, &["key", "team"]), SHARED, now)
    }

    fn is_flooded(&self, budget: &BudgetName, opener: &str) -> bool {
        let opened = self.books.opened_by.get(&(budget.clone(), opener.to_owned()));
        opened.is_some_and(|opened| *opened >= MAX_ACCOUNTS_PER_KEY)
    }

    fn open_new(&mut self, key: AccountKey, opener: &str, now: Timestamp) -> Option<AccountId> {
        if let Some(id) = self.books.numbers.get(&key) {
            return Some(*id);
        }
        let account = AccountId(u32::try_from(self.books.accounts.len()).ok()?);
        self.write(Fact::AccountOpened { account, key, opener: opener.to_owned() }, now);
        Some(account)
    }

    /// Judges a call, and holds its worst case on every account it touches where it may go.
    ///
    /// # Errors
    /// [`ReserveError`] where the question itself is wrong; nothing is held then.
    pub fn reserve(&mut self, call: &Reserve, patience: Patience, now: Timestamp) -> Result<Verdict, ReserveError> {
        let now = self.see(now);
        if let Some(known) = self.known(call)? {
            return Ok(Verdict::Admitted(known));
        }
        self.roll(&call.accounts, now).map_err(|account| ReserveError::NoSuchAccount { id: call.id, account })?;
        let verdict = decide::decide(&self.books, call, patience, now).ok_or(ReserveError::Uncountable(call.id))?;
        if let Verdict::Admitted(admission) = &verdict {
            self.write(Fact::Held(held(call, admission, now)), now);
        }
        Ok(verdict)
    }

    /// Replaces a hold by what the call really cost, in full, even where that is more than was held.
    ///
    /// # Errors
    /// [`SettleError`] where there is no such hold, or other news came before. The same news twice is no error.
    pub fn settle(&mut self, id: CallId, spent: Charge, now: Timestamp) -> Result<Settlement, SettleError> {
        let now = self.see(now);
        match self.books.closed.get(id) {
            Some(Closed::Settled(known)) if known.spent == spent => return Ok(known),
            Some(Closed::Settled(_)) => return Err(Contradiction { id, field: "spent" }.into()),
            Some(Closed::Released) => return Err(Contradiction { id, field: "outcome" }.into()),
            Some(Closed::Assumed) => return Err(SettleError::Assumed(id)),
            None => {}
        }
        let accounts = self.touched_by(id)?;
        self.write(Fact::Settled { id, spent }, now);
        self.journal_levels_of(&accounts, now);
        match self.books.closed.get(id) {
            Some(Closed::Settled(settlement)) => Ok(settlement),
            _ => Err(SettleError::Unknown(id)),
        }
    }

    /// Drops a hold, with proof that nothing was spent.
    ///
    /// # Errors
    /// [`SettleError`] where there is no such hold, or other news came before. The same news twice is no error.
    pub fn release(&mut self, id: CallId, reason: ReleaseReason, now: Timestamp) -> Result<(), SettleError> {
        let now = self.see(now);
        match self.books.closed.get(id) {
            Some(Closed::Released) => return Ok(()),
            Some(Closed::Settled(_)) => return Err(Contradiction { id, field: "outcome" }.into()),
            Some(Closed::Assumed) => return Err(SettleError::Assumed(id)),
            None => {}
        }
        let accounts = self.touched_by(id)?;
        self.write(Fact::Released { id, reason }, now);
        self.journal_levels_of(&accounts, now);
        Ok(())
    }

    /// Ends a hold without news: all of it is assumed to be spent, until [`Ledger::correct`] brings the truth.
    ///
    /// # Errors
    /// [`SettleError`] where there is no such hold, or news came before.
    pub fn assume(&mut self, id: CallId, cause: &str, now: Timestamp) -> Result<(), SettleError> {
        let now = self.see(now);
        match self.books.closed.get(id) {
            Some(Closed::Assumed) => return Ok(()),
            Some(_) => return Err(Contradiction { id, field: "outcome" }.into()),
            None => {}
        }
        let open = self.books.holds.get(&id).ok_or(SettleError::Unknown(id))?;
        let (hold, held_by) = (open.hold.clone(), open.by);
        let accounts = hold.accounts.clone();
        self.write(Fact::Assumed { hold, held_by, cause: cause.to_owned() }, now);
        self.journal_levels_of(&accounts, now);
        Ok(())
    }

    /// Turns what was assumed for a call into what it really cost, or what it was corrected to before. The last word
    /// counts. The store keeps the assumed hold with the last correction, and hands it in.
    ///
    /// The ledger remembers for a day what a call was corrected to; from then on it is the store that must hand in the
    /// last correction.
    ///
    /// # Errors
    /// [`CorrectError`] where the call was corrected otherwise before, is in flight, or ended in another way.
    pub fn correct(
        &mut self,
        assumed: AssumedHold,
        spent: Charge,
        by: Who,
        reason: String,
        now: Timestamp,
    ) -> Result<Settlement, CorrectError> {
        let now = self.see(now);
        let id = assumed.hold.id;
        let is_other = match (self.books.closed.get(id), &assumed.corrected) {
            (Some(Closed::Settled(known)), Some(before)) => known.spent != before.spent,
            (Some(Closed::Settled(_) | Closed::Released), _) => true,
            (Some(Closed::Assumed), before) => before.is_some(),
            (None, _) => false,
        };
        if is_other || self.books.holds.contains_key(&id) {
            return Err(CorrectError::NotAssumed(id));
        }
        let accounts = assumed.hold.accounts.clone();
        self.write(Fact::Corrected { assumed, spent, by, reason }, now);
        self.journal_levels_of(&accounts, now);
        match self.books.closed.get(id) {
            Some(Closed::Settled(settlement)) => Ok(settlement),
            _ => Err(CorrectError::NotAssumed(id)),
        }
    }

    /// Counts usage that did not pass us. The same id twice is counted once.
    ///
    /// # Errors
    /// [`Contradiction`] where the id is known with another amount.
    pub fn add(
        &mut self,
        id: CallId,
        accounts: Box<[AccountId]>,
        spent: Charge,
        by: Who,
        reason: String,
        now: Timestamp,
    ) -> Result<(), Contradiction> {
        let now = self.see(now);
        match self.books.closed.get(id) {
            Some(Closed::Settled(known)) if known.spent == spent => return Ok(()),
            Some(_) => return Err(Contradiction { id, field: "spent" }),
            None if self.books.holds.contains_key(&id) => return Err(Contradiction { id, field: "kind" }),
            None => {}
        }
        let touched = accounts.clone();
        // A window that is over must have cleared its level before anything counts in the next.
        self.journal_levels_of(&touched, now);
        self.write(Fact::Added { id, accounts, spent, by, reason }, now);
        self.journal_levels_of(&touched, now);
        Ok(())
    }

    /// Forgets what an account has spent and assumed, and begins its fixed windows anew; calls in flight stay held.
    /// Says whether there is such an account.
    pub fn reset(&mut self, key: &AccountKey, by: Who, reason: String, now: Timestamp) -> bool {
        let now = self.see(now);
        let Some(account) = self.books.numbers.get(key).copied() else { return false };
        self.write(Fact::Reset { account, by, reason, restarts: true }, now);
        self.journal_levels(account, now);
        true
    }

    /// Journals the levels that time alone has changed, and forgets accounts that count nothing any more.
    pub fn sweep(&mut self, now: Timestamp) {
        self.sweep_except(now, |_| false);
    }

    /// Sweeps, but keeps the accounts that somebody still needs, such as a call that waits.
    pub fn sweep_except(&mut self, now: Timestamp, is_needed: impl Fn(AccountId) -> bool) {
        let now = self.see(now);
        for id in self.open_accounts() {
            self.journal_levels(id, now);
            if self.books.account(id).is_some_and(Account::is_empty) && !is_needed(id) {
                self.write(Fact::AccountDropped { account: id }, now);
            }
        }
        let mut dormant: Vec<AccountId> = self.books.dormant.values().map(|(_, id)| *id).collect();
        dormant.sort_unstable();
        for id in dormant {
            let is_empty = self.books.any_mut(id).is_some_and(|account| {
                account.roll(now);
                account.is_empty()
            });
            if is_empty && !is_needed(id) {
                self.write(Fact::AccountDropped { account: id }, now);
            }
        }
    }

    /// The holds whose time is up at `now`, oldest first.
    #[must_use]
    pub fn due(&self, now: Timestamp) -> Vec<CallId> {
        let open = self.books.holds.values().filter(|open| open.hold.expires_at <= now);
        let mut due: Vec<_> = open.map(|open| (open.by, open.hold.id)).collect();
        due.sort_unstable();
        due.into_iter().map(|(_, id)| id).collect()
    }

    /// The number of the fact that made the open hold of a call.
    #[must_use]
    pub fn held_by(&self, id: CallId) -> Option<u64> {
        self.books.holds.get(&id).map(|open| open.by)
    }

    /// Every open hold, oldest first.
    #[must_use]
    pub fn holds(&self) -> Vec<&Hold> {
        let mut open: Vec<_> = self.books.holds.values().collect();
        open.sort_unstable_by_key(|open| open.by);
        open.into_iter().map(|open| &open.hold).collect()
    }

    /// The calls in flight on an account, oldest first.
    #[must_use]
    pub fn holds_on(&self, account: AccountId) -> Vec<CallId> {
        self.holds().into_iter().filter(|hold| hold.accounts.contains(&account)).map(|hold| hold.id).collect()
    }

    /// What an account looks like at `now`.
    #[must_use]
    pub fn view(&self, id: AccountId, now: Timestamp) -> Option<AccountView> {
        Some(self.books.account(id)?.view(now.max(self.books.now).max(self.seen)))
    }

    /// What every account looks like at `now`, by budget and labels.
    #[must_use]
    pub fn views(&self, now: Timestamp) -> Vec<AccountView> {
        let mut views: Vec<_> = self.open_accounts().into_iter().filter_map(|id| self.view(id, now)).collect();
        views.sort_unstable_by(|one, other| one.key.cmp(&other.key));
        views
    }

    /// The number of an open account.
    #[must_use]
    pub fn find(&self, key: &AccountKey) -> Option<AccountId> {
        self.books.numbers.get(key).copied()
    }

    /// The key of an open account.
    #[must_use]
    pub fn key_of(&self, id: AccountId) -> Option<&AccountKey> {
        self.books.account(id).map(|account| &account.key)
    }

    /// Whether two ledgers have the same books at `now`, whatever they were asked in between.
    #[must_use]
    pub fn agrees_with(&self, other: &Self, now: Timestamp) -> bool {
        let now = now.max(self.seen).max(other.seen);
        self.books.at(now) == other.books.at(now)
    }

    /// The time of a command: what its caller says, but never before what anybody said.
    fn see(&mut self, now: Timestamp) -> Timestamp {
        self.seen = self.seen.max(self.books.now).max(now);
        self.seen
    }

    /// The answer that this call had before, if it had one.
    fn known(&self, call: &Reserve) -> Result<Option<Admission>, ReserveError> {
        let id = call.id;
        if call.accounts.len() > MAX_TOUCHED {
            return Err(ReserveError::TooMany { id, touched: call.accounts.len() });
        }
        if let Some(how) = self.books.closed.get(id) {
            return Err(ReserveError::Over { id, how: how.word() });
        }
        if let Some(open) = self.books.holds.get(&id) {
            if let Some(field) = difference(&open.hold, call) {
                return Err(ReserveError::Differs { id, field });
            }
            return Ok(Some(Admission { cap: open.hold.cap, amount: open.hold.amount, level: self.level(call) }));
        }
        if self.books.closed.may_be_forgotten(id) {
            return Err(ReserveError::TooOld(id));
        }
        Ok(None)
    }

    fn level(&self, call: &Reserve) -> almoner_units::Level {
        call.accounts.iter().filter_map(|id| self.books.account(*id)).map(Account::level).max().unwrap_or_default()
    }

    /// Brings accounts up to `now`; the first that is not open, where one is not.
    fn roll(&mut self, accounts: &[AccountId], now: Timestamp) -> Result<(), AccountId> {
        for id in accounts {
            self.books.account_mut(*id).ok_or(*id)?.roll(now);
            self.journal_levels(*id, now);
        }
        Ok(())
    }

    fn touched_by(&self, id: CallId) -> Result<Box<[AccountId]>, SettleError> {
        self.books.holds.get(&id).map(|open| open.hold.accounts.clone()).ok_or(SettleError::Unknown(id))
    }

    fn open_accounts(&self) -> Vec<AccountId> {
        let mut open: Vec<_> = self.books.numbers.values().copied().collect();
        open.sort_unstable();
        open
    }

    fn journal_levels_of(&mut self, accounts: &[AccountId], now: Timestamp) {
        accounts.iter().for_each(|id| self.journal_levels(*id, now));
    }

    /// Writes down every limit of an account whose level is another than it was.
    fn journal_levels(&mut self, id: AccountId, now: Timestamp) {
        let Some(account) = self.books.account_mut(id) else { return };
        account.roll(now);
        let marks = account.budget.marks;
        let levels = account.limits().map(|(limit, counter)| (counter.level, counter.level_now(limit, &marks)));
        // The journal numbers 256 limits; whatever lies beyond, no config has, and it has no level.
        let changed: Vec<_> = (0..=u8::MAX).zip(levels).filter(|(_, (from, to))| from != to).collect();
        for (limit, (from, to)) in changed {
            self.write(Fact::LevelChanged { account: id, limit, from, to }, now);
        }
    }

    /// The only way to the books.
    fn write(&mut self, fact: Fact, now: Timestamp) {
        let entry = Entry { seq: self.books.seq + 1, at: self.see(now), fact };
        self.books.fold(&entry);
        self.facts.push(entry);
    }
}

fn held(call: &Reserve, admission: &Admission, now: Timestamp) -> Hold {
    Hold {
        id: call.id,
        accounts: call.accounts.clone(),
        ask: call.ask,
        priority: call.priority,
        cap: admission.cap,
        amount: admission.amount,
        expires_at: now.after(call.lasts),
    }
}

/// The first field in which a repeated reserve differs from the one that was admitted.
///
/// How long the hold stands is no part of the question, and counts from the first time it was asked.
fn difference(hold: &Hold, call: &Reserve) -> Option<&'static str> {
    let same = [
        ("accounts", hold.accounts == call.accounts),
        ("ask", hold.ask == call.ask),
        ("priority", hold.priority == call.priority),
    ];
    same.into_iter().find(|(_, same)| !same).map(|(field, _)| field)
}

/// Who opens the accounts that are shared once too many are open.
const SHARED: &str = "";

/// The account that stands in for `key` once too many are open: only the labels in `apart` stay apart.
fn overflow(key: &AccountKey, apart: &[&str]) -> AccountKey {
    let keeps = |name: &LabelName| apart.contains(&name.as_str());
    let value = |(name, value): &(LabelName, LabelValue)| {
        (name.clone(), if keeps(name) { value.clone() } else { LabelValue::overflow() })
    };
    AccountKey { budget: key.budget.clone(), per: key.per.iter().map(value).collect() }
}
