//! The auditor: reads the journal as it lasts, does its own sums, and compares them with the ledger and with the truth.

use std::collections::{BTreeMap, BTreeSet};

use almoner_ledger::{Entry, Fact, Hold, Ledger, LimitView};
use almoner_units::{AccountKey, Budget, CallId, Charge, Limit, Meter, Timestamp, Window};

use crate::naive::{Count, Sums};
use crate::truth::Truth;
use crate::{Checked, ensure};

/// A hold as the journal has it.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) hold: Hold,
    pub(crate) held_at: u64,
    pub(crate) ended: Option<Ended>,
}

/// How a hold ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    Settled(Charge),
    Released,
    Assumed,
    Corrected(Charge),
}

#[derive(Debug)]
struct Account {
    key: AccountKey,
    counts: Vec<Count>,
    /// Whether its budget was removed.
    is_hidden: bool,
}

/// What the world has said about a call, against which its facts are held.
#[derive(Clone, Debug, Default)]
pub(crate) struct Said {
    pub(crate) accounts: Vec<AccountKey>,
    pub(crate) ask: Option<almoner_units::Ask>,
    pub(crate) settled: Option<Charge>,
    pub(crate) assumed: bool,
    pub(crate) corrected: Option<Charge>,
}

#[derive(Debug, Default)]
pub(crate) struct Auditor {
    /// How many facts it has read.
    pub(crate) read: usize,
    now: u64,
    accounts: BTreeMap<u32, Account>,
    pub(crate) holds: BTreeMap<CallId, Known>,
    pub(crate) truth: Truth,
    /// What the world has said, by call.
    pub(crate) said: BTreeMap<CallId, Said>,
    /// The budgets in force, as far as it lasts.
    budgets: Vec<Budget>,
    /// Every budget that the operator ever asked for.
    wanted: Vec<Budget>,
    /// The most that a limit ever was, and whether it always refused.
    most: BTreeMap<(String, usize), (u64, bool)>,
    /// The accounts that were ever reset.
    reset: BTreeSet<AccountKey>,
}

impl Auditor {
    /// The operator wants this budget in force.
    pub(crate) fn want(&mut self, budget: &Budget) {
        for (at, limit) in budget.limits.iter().enumerate() {
            let most = self.most.entry((budget.name.to_string(), at)).or_insert((0, true));
            *most = (most.0.max(limit.amount), most.1 && budget.mode.is_hard());
        }
        self.wanted.push(budget.clone());
    }

    /// A budget is in force, in the words in which the operator asked for it.
    fn in_force(&mut self, set: &Budget) {
        let Some(budget) = self.wanted.iter().rfind(|wanted| is_same(wanted, set)).cloned() else { return };
        for account in self.accounts.values_mut().filter(|account| account.key.budget == budget.name) {
            account.is_hidden = false;
            let limits = account.counts.iter_mut().zip(&budget.limits);
            limits.for_each(|(count, limit)| count.limit = limit.clone());
        }
        self.budgets.retain(|known| known.name != budget.name);
        self.budgets.push(budget);
    }

    /// Reads what has come to last since it last looked.
    pub(crate) fn read(&mut self, rows: &[Entry]) -> Checked {
        ensure!(rows.len() >= self.read, "I7", "{} facts lasted, and now there are {}", self.read, rows.len());
        for entry in &rows[self.read..] {
            let next = self.read as u64 + 1;
            ensure!(entry.seq == next, "I7", "fact {} stands where fact {next} should", entry.seq);
            ensure!(entry.at.ms() >= self.now, "I8", "fact {} is dated {} before {}", entry.seq, entry.at, self.now);
            (self.read, self.now) = (self.read + 1, entry.at.ms());
            self.fact(entry)?;
        }
        Ok(())
    }

    fn fact(&mut self, entry: &Entry) -> Checked {
        let now = entry.at.ms();
        self.accounts.values_mut().flat_map(|account| &mut account.counts).for_each(|count| count.roll(now));
        match &entry.fact {
            Fact::AccountOpened { account, key, .. } => {
                let budget = self.budgets.iter().find(|budget| budget.name == key.budget);
                let counts = budget.into_iter().flat_map(|budget| &budget.limits).cloned().map(Count::new);
                self.accounts
                    .insert(account.0, Account { key: key.clone(), counts: counts.collect(), is_hidden: false });
                Ok(())
            }
            Fact::AccountDropped { account } => self.dropped(account.0, now),
            Fact::Held(hold) => self.held(hold, now),
            Fact::Settled { id, spent } => self.settled(*id, spent, now),
            Fact::Released { id, reason } => {
                let known = self.end(*id, Ended::Released)?;
                self.each_count(&known, |count| count.settle(*id, &reason.charge(), now));
                Ok(())
            }
            Fact::Assumed { hold, .. } => self.assumed(hold, now),
            Fact::Corrected { assumed, spent, .. } => self.corrected(&assumed.hold, spent, now),
            Fact::Added { id, accounts, spent, .. } => {
                ensure!(self.said.get(id).is_some_and(|said| said.ask.is_none()), "I5", "nobody booked {id}");
                for account in accounts {
                    let Some(account) = self.accounts.get_mut(&account.0) else { continue };
                    account.counts.iter_mut().for_each(|count| count.add(*id, spent, now));
                    let key = std::slice::from_ref(&account.key);
                    self.truth.bill(*id, key, *spent, *spent, (now, now));
                }
                self.truth.told(*id);
                Ok(())
            }
            Fact::Reset { account, .. } => {
                let is_its = |known: &Known| known.ended.is_none() && known.hold.accounts.contains(account);
                let is_idle = !self.holds.values().any(is_its);
                let Some(account) = self.accounts.get_mut(&account.0) else { return Ok(()) };
                account.counts.iter_mut().for_each(|count| count.reset(is_idle, now));
                self.reset.insert(account.key.clone());
                let holds = &self.holds;
                self.truth.forgive(&account.key, |id| holds.get(&id).is_some_and(|known| known.ended.is_none()));
                Ok(())
            }
            Fact::BudgetSet { budget, .. } => {
                self.in_force(budget);
                Ok(())
            }
            Fact::BudgetRemoved { name, .. } => {
                self.budgets.retain(|known| known.name != *name);
                // They count on out of sight, for the day on which the budget comes back.
                let its = self.accounts.values_mut().filter(|account| account.key.budget == *name);
                its.for_each(|account| account.is_hidden = true);
                Ok(())
            }
            Fact::LevelChanged { .. } | Fact::Snapshot { .. } => Ok(()),
        }
    }

    fn each_count(&mut self, hold: &Hold, mut with: impl FnMut(&mut Count)) {
        for id in &hold.accounts {
            self.accounts.get_mut(&id.0).into_iter().flat_map(|it| &mut it.counts).for_each(&mut with);
        }
    }

    fn dropped(&mut self, id: u32, now: u64) -> Checked {
        let Some(account) = self.accounts.remove(&id) else { return Ok(()) };
        for count in &account.counts {
            let sums = count.sums(now);
            ensure!(sums.charged() == 0, "I3", "account {} is dropped with {sums:?}", account.key);
            let billed = self.truth.billed(&account.key, &count.limit, count.begun(now), now).all;
            ensure!(billed == 0, "I2", "account {} is dropped, and {billed} was billed on it", account.key);
        }
        Ok(())
    }

    fn held(&mut self, hold: &Hold, now: u64) -> Checked {
        let id = hold.id;
        ensure!(!self.holds.contains_key(&id), "I5", "call {id} is held a second time");
        let said = self.said.get(&id).cloned().unwrap_or_default();
        let mut keys: Vec<AccountKey> = Vec::new();
        for account in &hold.accounts {
            let account = self.accounts.get(&account.0);
            keys.extend(account.map(|account| account.key.clone()));
        }
        keys.sort();
        let mut asked = said.accounts.clone();
        asked.sort();
        ensure!(said.ask.is_some(), "I5", "call {id} is held, and nobody asked for it");
        ensure!(keys == asked, "I4", "call {id} is held on {keys:?}, it asked for {asked:?}");
        let ask = said.ask.expect("it was asked");
        let most = worst_case(&ask, hold.cap);
        ensure!(hold.amount == most, "I2", "call {id} may cost {most:?}, {:?} is held", hold.amount);
        let may = ask.cap_floor..=ask.cap_asked;
        ensure!(may.contains(&hold.cap), "I1", "call {id} asked for {may:?}, and its cap is {}", hold.cap);
        self.each_count(hold, |count| count.hold(id, &hold.amount, now));
        for account in &hold.accounts {
            let Some(account) = self.accounts.get(&account.0) else { continue };
            let budget = self.budgets.iter().find(|budget| budget.name == account.key.budget);
            if !budget.is_some_and(|budget| budget.mode.is_hard()) {
                continue;
            }
            for count in account.counts.iter().filter(|count| hold.amount[count.limit.meter] > 0) {
                let (charged, limit) = (count.sums(now).charged(), &count.limit);
                let key = &account.key;
                ensure!(charged <= limit.amount, "I1", "call {id} leaves {charged} charged of `{limit}` on {key}");
            }
        }
        self.holds.insert(id, Known { hold: hold.clone(), held_at: now, ended: None });
        Ok(())
    }

    /// Ends a hold, which must be open.
    fn end(&mut self, id: CallId, how: Ended) -> Result<Hold, crate::Broken> {
        let Some(known) = self.holds.get_mut(&id) else {
            ensure!(false, "I3", "call {id} ends, and has no hold");
            unreachable!("what is wrong was said");
        };
        ensure!(known.ended.is_none(), "I3", "call {id} ends again: {how:?} after {:?}", known.ended);
        known.ended = Some(how);
        Ok(known.hold.clone())
    }

    fn settled(&mut self, id: CallId, spent: &Charge, now: u64) -> Checked {
        let hold = self.end(id, Ended::Settled(*spent))?;
        let told = self.said.get(&id).and_then(|said| said.settled);
        ensure!(told == Some(*spent), "I3", "call {id} is settled at {spent:?}, and was told {told:?}");
        self.each_count(&hold, |count| count.settle(id, spent, now));
        self.truth.told(id);
        Ok(())
    }

    fn assumed(&mut self, hold: &Hold, now: u64) -> Checked {
        let known = self.end(hold.id, Ended::Assumed)?;
        ensure!(known == *hold, "I3", "call {} is assumed as {hold:?}, and was held as {known:?}", hold.id);
        let was_said = self.said.get(&hold.id).is_some_and(|said| said.assumed);
        let is_due = hold.expires_at.ms() <= now;
        ensure!(was_said || is_due, "I3", "call {} is assumed before its time, and nobody said so", hold.id);
        self.each_count(hold, |count| count.assume(hold.id, now));
        Ok(())
    }

    fn corrected(&mut self, hold: &Hold, spent: &Charge, now: u64) -> Checked {
        let id = hold.id;
        let Some(known) = self.holds.get_mut(&id) else {
            ensure!(false, "I3", "call {id} is corrected, and had no hold");
            return Ok(());
        };
        ensure!(known.ended == Some(Ended::Assumed), "I3", "call {id} is corrected, and was {:?}", known.ended);
        known.ended = Some(Ended::Corrected(*spent));
        let said = self.said.get(&id).and_then(|said| said.corrected);
        ensure!(said == Some(*spent), "I3", "call {id} is corrected to {spent:?}, and was told {said:?}");
        self.each_count(hold, |count| count.correct(id, &hold.amount, spent, now));
        self.truth.told(id);
        Ok(())
    }

    /// The truth is never more than what is charged, and never more than the limit.
    pub(crate) fn check_truth(&self, ledger: Option<&Ledger>, now: Timestamp) -> Checked {
        for account in self.accounts.values() {
            let view = ledger.and_then(|ledger| ledger.view(ledger.find(&account.key)?, now));
            for (at, count) in account.counts.iter().enumerate() {
                let (key, limit, ms) = (&account.key, &count.limit, now.ms().max(self.now));
                let billed = self.truth.billed(key, limit, count.begun(ms), ms);
                let charged = count.sums(ms).charged();
                ensure!(
                    billed.all <= charged,
                    "I2",
                    "{} was billed on {key} against `{limit}`, what lasts has {charged}",
                    billed.all
                );
                if let Some(charged) = view.as_ref().and_then(|view| view.limits.get(at)).map(LimitView::charged) {
                    let all = billed.at_least;
                    ensure!(all <= charged, "I2", "{all} was billed on {key} against `{limit}`, {charged} is charged");
                }
                let (most, hard) = self.most[&(key.budget.to_string(), at)];
                let known = billed.within_holds;
                ensure!(!hard || known <= most || self.has_adds(key), "I1", "{known} was billed on {key} of {limit}");
            }
        }
        Ok(())
    }

    /// Whether somebody booked usage on this account that did not pass us, and that no limit could refuse.
    fn has_adds(&self, key: &AccountKey) -> bool {
        self.said.values().any(|said| said.ask.is_none() && said.accounts.contains(key))
    }

    /// The ledger shows what the journal adds up to. Only where everything it knows lasts.
    pub(crate) fn check_books(&self, ledger: &Ledger, now: Timestamp) -> Checked {
        let (views, shown) = (ledger.views(now), || self.accounts.values().filter(|account| !account.is_hidden));
        ensure!(views.len() == shown().count(), "I3", "{} accounts, should be {}", views.len(), shown().count());
        for account in shown() {
            let key = &account.key;
            let view = ledger.find(key).and_then(|id| ledger.view(id, now));
            let Some(view) = view else {
                ensure!(false, "I3", "account {key} is missing");
                continue;
            };
            for (shown, count) in view.limits.iter().zip(&account.counts) {
                self.check_limit(key, shown, count, now)?;
            }
        }
        let open: Vec<CallId> = ledger.holds().iter().map(|hold| hold.id).collect();
        for (id, known) in &self.holds {
            let is_open = open.contains(id);
            ensure!(is_open == known.ended.is_none(), "I3", "call {id} is open: {is_open}, and was {:?}", known.ended);
        }
        Ok(())
    }

    fn check_limit(&self, key: &AccountKey, shown: &LimitView, count: &Count, now: Timestamp) -> Checked {
        let limit: &Limit = &count.limit;
        ensure!(shown.limit.amount == limit.amount, "I1", "{key} has `{}` in force, should be `{limit}`", shown.limit);
        let Sums { held, spent, assumed } = count.sums(now.ms());
        let within = |(least, most): (u64, u64), amount| least <= amount && amount <= most;
        let (s, a, h) = (shown.spent, shown.assumed, shown.held);
        ensure!(
            within(spent, s) && within(assumed, a) && held == h,
            "I3",
            "{key} `{limit}` shows {s} spent, {a} assumed, {h} held, should be {spent:?}, {assumed:?}, {held}"
        );
        let (ends, should) = (shown.resets_at.map(Timestamp::ms), count.ends_at(now.ms()));
        let none = shown.resets_at.is_some_and(|at| at <= now);
        ensure!(none || ends == should, "I8", "{key} `{limit}` resets at {ends:?}, should at {should:?}");
        Ok(())
    }

    /// At rest, with all truth told, an account that was never reset has spent what was billed, and holds nothing.
    pub(crate) fn check_rest(&self, ledger: &Ledger, now: Timestamp) -> Checked {
        for account in self.accounts.values().filter(|account| !self.reset.contains(&account.key)) {
            let key = &account.key;
            let view = ledger.find(key).and_then(|id| ledger.view(id, now));
            let shown = view.iter().flat_map(|view| &view.limits).zip(&account.counts);
            for (shown, count) in shown.filter(|(_, count)| count.limit.window == Window::Lifetime) {
                let billed = self.truth.billed(key, &count.limit, None, now.ms()).all;
                let (spent, assumed, held) = (shown.spent, shown.assumed, shown.held);
                // A refused attempt is a request, though nobody bills it.
                let is_whole = if count.limit.meter == Meter::Requests { spent >= billed } else { spent == billed };
                ensure!(
                    is_whole && assumed + held == 0,
                    "I10",
                    "{key} shows {spent} spent, {assumed} assumed and {held} held at rest, {billed} was billed"
                );
            }
        }
        Ok(())
    }
}

/// Whether two budgets have the same name, mode and amounts.
pub(crate) fn is_same(one: &Budget, other: &Budget) -> bool {
    let amounts = |budget: &Budget| budget.limits.iter().map(|limit| limit.amount).collect::<Vec<_>>();
    one.name == other.name && one.mode == other.mode && amounts(one) == amounts(other)
}

/// The most that a call may cost at a cap, added up here.
fn worst_case(ask: &almoner_units::Ask, cap: u64) -> Charge {
    let output = cap * ask.choices;
    let mut most = ask.fixed;
    for meter in [Meter::Tokens, Meter::UncachedTokens, Meter::OutputTokens] {
        most[meter] += output;
    }
    most[Meter::Usd] += (ask.output_price.get() * output).div_ceil(1000);
    most
}
