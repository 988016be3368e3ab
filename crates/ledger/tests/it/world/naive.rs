//! The naive twin: a list of all calls, from which every number is counted anew each time it is asked for.
//!
//! It shares no code with the ledger: exact windows instead of rings, its own calendar, its own levels, its own caps.

use almoner_ledger::{AccountId, Hold, LimitView};
use almoner_units::{
    AccountKey, Ask, Budget, BudgetName, CalendarUnit, CallId, Charge, Level, Limit, Meter, Mode, Priority, Window,
};

/// How a call stands. Each end has the number of the event that brought it about, and its time.
#[derive(Clone, Debug)]
pub enum End {
    Open,
    Settled { by: u64, at: u64, spent: Charge },
    Released { by: u64, at: u64, spent: Charge },
    Assumed { by: u64, at: u64 },
    Corrected { assumed_by: u64, assumed_at: u64, by: u64, at: u64, spent: Charge, told: Vec<Told> },
}

/// One of the corrections of a call: when it was, and what it brought beyond what was known before.
#[derive(Clone, Debug)]
pub struct Told {
    pub by: u64,
    pub at: u64,
    pub more: Charge,
}

#[derive(Clone, Debug)]
pub struct Call {
    pub id: CallId,
    pub accounts: Vec<AccountId>,
    /// The number of the event that admitted it.
    pub by: u64,
    pub at: u64,
    pub amount: Charge,
    pub end: End,
    /// The hold and the facts that made and assumed it, as a store would keep them for a correction.
    pub kept: Option<(Hold, u64, u64)>,
}

#[derive(Clone, Debug)]
pub struct CountedLimit {
    pub limit: Limit,
    /// The event that made it, and its time.
    pub born: (u64, u64),
    /// The event that made or last reset it.
    pub reset: u64,
    /// Every event that reset it, and its time: fixed windows begin anew.
    pub resets: Vec<(u64, u64)>,
    pub level: Level,
}

impl CountedLimit {
    fn new(limit: &Limit, born: (u64, u64)) -> Self {
        Self { limit: limit.clone(), born, reset: born.0, resets: Vec::new(), level: Level::None }
    }

    fn is_like(&self, limit: &Limit) -> bool {
        self.limit.meter == limit.meter && self.limit.window == limit.window
    }
}

#[derive(Clone, Debug)]
pub struct Account {
    pub id: AccountId,
    pub key: AccountKey,
    pub mode: Mode,
    pub limits: Vec<CountedLimit>,
    /// Limits that it had once.
    pub retired: Vec<CountedLimit>,
}

impl Account {
    /// Other limits: those of the same meter and window as one that it has or had go on, the others are born now.
    fn change(&mut self, limits: &[Limit], born: (u64, u64)) {
        let mut known = std::mem::take(&mut self.limits);
        known.append(&mut self.retired);
        for limit in limits {
            self.limits.push(match known.iter().find(|old| old.is_like(limit)) {
                Some(old) => CountedLimit { limit: limit.clone(), ..old.clone() },
                None => CountedLimit::new(limit, born),
            });
        }
        for old in known {
            if !limits.iter().any(|limit| old.is_like(limit)) && !self.retired.iter().any(|it| it.is_like(&old.limit)) {
                self.retired.push(old);
            }
        }
    }
}

/// A number that a sliding window may have: exact, or as much as a window longer by a 120th holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub held: u64,
    pub spent: (u64, u64),
    pub assumed: (u64, u64),
    pub ends_at: Option<u64>,
}

#[derive(Clone, Debug, Default)]
pub struct Naive {
    /// The number of the latest event.
    pub event: u64,
    pub now: u64,
    pub accounts: Vec<Account>,
    /// Accounts whose budget is gone.
    pub dormant: Vec<Account>,
    pub calls: Vec<Call>,
}

impl Naive {
    pub fn account(&self, id: AccountId) -> Option<&Account> {
        self.accounts.iter().find(|account| account.id == id)
    }

    pub fn account_mut(&mut self, id: AccountId) -> Option<&mut Account> {
        self.accounts.iter_mut().find(|account| account.id == id)
    }

    pub fn open(&mut self, id: AccountId, key: AccountKey, budget: &Budget) {
        let born = (self.event, self.now);
        let limits = budget.limits.iter().map(|limit| CountedLimit::new(limit, born)).collect();
        self.accounts.push(Account { id, key, mode: budget.mode, limits, retired: Vec::new() });
    }

    pub fn change(&mut self, budget: &Budget) {
        let born = (self.event, self.now);
        for account in self.accounts.iter_mut().filter(|account| account.key.budget == budget.name) {
            account.mode = budget.mode;
            account.change(&budget.limits, born);
        }
    }

    /// A budget is gone; its accounts may come back.
    pub fn remove(&mut self, name: &BudgetName) {
        let born = (self.event, self.now);
        let (gone, stay) = std::mem::take(&mut self.accounts).into_iter().partition(|it| it.key.budget == *name);
        self.accounts = stay;
        let mut gone: Vec<Account> = gone;
        gone.iter_mut().for_each(|account| account.change(&[], born));
        self.dormant.append(&mut gone);
    }

    /// The accounts of a budget that is set are back, as far as `is_back` says so; the others that have its labels had
    /// nothing to remember.
    pub fn wake(&mut self, budget: &Budget, is_back: impl Fn(&Account) -> bool) -> Result<(), String> {
        let born = (self.event, self.now);
        for mut account in std::mem::take(&mut self.dormant) {
            let is_its = account.key.budget == budget.name && account.key.per.iter().map(|it| &it.0).eq(&budget.per);
            if is_back(&account) {
                account.mode = budget.mode;
                account.change(&budget.limits, born);
                self.accounts.push(account);
            } else if !is_its {
                self.dormant.push(account);
            } else if self.remembers(&account, |(exact, _)| exact) {
                return Err(format!("{} is back without its past", account.key));
            }
        }
        Ok(())
    }

    /// Whether an account counts anything, by the exact window or by the longest that it may be.
    pub fn remembers(&self, account: &Account, of: impl Fn((u64, u64)) -> u64) -> bool {
        let counts = |limit: &CountedLimit| {
            let counts = self.count(account.id, limit);
            counts.held + of(counts.spent) + of(counts.assumed) > 0
        };
        self.holds_on(account.id) > 0 || account.limits.iter().chain(&account.retired).any(counts)
    }

    pub fn reset(&mut self, id: AccountId) {
        let (event, now) = (self.event, self.now);
        if let Some(account) = self.account_mut(id) {
            for limit in account.limits.iter_mut().chain(&mut account.retired) {
                limit.reset = event;
                limit.resets.push((event, now));
            }
        }
    }

    pub fn open_calls(&self) -> impl Iterator<Item = &Call> {
        self.calls.iter().filter(|call| matches!(call.end, End::Open))
    }

    pub fn holds_on(&self, id: AccountId) -> usize {
        self.open_calls().filter(|call| call.accounts.contains(&id)).count()
    }

    /// Counts one limit of one account anew.
    pub fn count(&self, id: AccountId, counted: &CountedLimit) -> Counts {
        let calls: Vec<&Call> = self.calls.iter().filter(|call| call.accounts.contains(&id)).collect();
        match &counted.limit.window {
            Window::Sliding(span) => self.count_sliding(&calls, counted, span.ms()),
            window => self.count_window(&calls, counted, window),
        }
    }

    fn count_sliding(&self, calls: &[&Call], counted: &CountedLimit, span: u64) -> Counts {
        let meter = counted.limit.meter;
        let mut counts = Counts::default();
        let late = span + span / 120;
        let now = self.now;
        let add = |sum: &mut (u64, u64), at: u64, amount: u64| {
            sum.0 += if at + span > now { amount } else { 0 };
            sum.1 += if at + late > now { amount } else { 0 };
        };
        for call in calls {
            let amount = call.amount[meter];
            match &call.end {
                End::Open => counts.held += amount,
                End::Settled { by, at, spent } | End::Released { by, at, spent } if *by > counted.reset => {
                    add(&mut counts.spent, *at, spent[meter]);
                }
                End::Assumed { by, at } if *by > counted.reset => add(&mut counts.assumed, *at, amount),
                End::Corrected { assumed_by, assumed_at, at, spent, .. } if *assumed_by > counted.reset => {
                    add(&mut counts.spent, *assumed_at, spent[meter].min(amount));
                    add(&mut counts.spent, *at, spent[meter].saturating_sub(amount));
                }
                // After a reset the truth only adds.
                End::Corrected { told, .. } => {
                    for told in told.iter().filter(|told| told.by > counted.reset) {
                        add(&mut counts.spent, told.at, told.more[meter]);
                    }
                }
                _ => {}
            }
        }
        counts
    }

    fn count_window(&self, calls: &[&Call], counted: &CountedLimit, window: &Window) -> Counts {
        let meter = counted.limit.meter;
        let Some((since, ends_at)) = current_window(calls, counted, window, self.now) else { return Counts::default() };
        let (mut held, mut spent, mut assumed) = (0, 0, 0);
        for call in calls.iter().filter(|call| call.by >= since) {
            let amount = call.amount[meter];
            match &call.end {
                End::Open => held += amount,
                End::Settled { by, spent: truth, .. } | End::Released { by, spent: truth, .. }
                    if *by > counted.reset =>
                {
                    spent += truth[meter];
                }
                End::Assumed { by, .. } if *by > counted.reset => assumed += amount,
                End::Corrected { assumed_by, spent: truth, .. } if *assumed_by > counted.reset => spent += truth[meter],
                End::Corrected { told, .. } => {
                    let since = told.iter().filter(|told| told.by > counted.reset);
                    spent += since.map(|told| told.more[meter]).sum::<u64>();
                }
                _ => {}
            }
        }
        Counts { held, spent: (spent, spent), assumed: (assumed, assumed), ends_at }
    }
}

/// The first event that the window of now counts, and the window's end; found by going through all calls in order.
fn current_window(calls: &[&Call], counted: &CountedLimit, window: &Window, now: u64) -> Option<(u64, Option<u64>)> {
    let (born, born_at) = counted.born;
    let mut open = calls
        .iter()
        .filter(|call| in_flight_at(call, born))
        .map(|call| call.by)
        .min()
        .map(|by| (by, end(window, born_at)));
    let is_open = |open: Option<(u64, Option<u64>)>, at: u64| open.filter(|(_, end)| end.is_none_or(|end| at < end));
    // Calls and resets in the order in which they happened.
    let admitted = calls.iter().map(|call| (call.by, call.at, true));
    let resets = counted.resets.iter().map(|(by, at)| (*by, *at, false));
    let mut events: Vec<_> = admitted.chain(resets).filter(|(by, ..)| *by > born).collect();
    events.sort_unstable();
    for (by, at, is_call) in events {
        open = is_open(open, at);
        if is_call {
            open = open.or_else(|| Some((by, end(window, at))));
        } else if matches!(window, Window::Fixed(_)) {
            let is_idle = !calls.iter().any(|call| in_flight_at(call, by));
            open = open.filter(|_| !is_idle).map(|(since, _)| (since, end(window, at)));
        }
    }
    is_open(open, now)
}

/// Whether a call was in flight after an event.
fn in_flight_at(call: &Call, event: u64) -> bool {
    match call.end {
        _ if call.by > event => false,
        End::Open => true,
        End::Settled { by, .. } | End::Released { by, .. } | End::Assumed { by, .. } => by > event,
        End::Corrected { assumed_by, .. } => assumed_by > event,
    }
}

const HOUR: u64 = 3_600_000;
const DAY: u64 = 24 * HOUR;

/// The end of the window that opens at `at`, in UTC or in Kolkata, where clocks never change.
fn end(window: &Window, at: u64) -> Option<u64> {
    match window {
        Window::Lifetime | Window::Sliding(_) => None,
        Window::Fixed(span) => Some(at + span.ms()),
        Window::Calendar(unit, zone) => {
            let ahead = if zone.name() == "Asia/Kolkata" { 5 * HOUR + HOUR / 2 } else { 0 };
            Some(calendar_end(*unit, at + ahead) - ahead)
        }
    }
}

fn calendar_end(unit: CalendarUnit, at: u64) -> u64 {
    let day = at / DAY;
    match unit {
        CalendarUnit::Hour => (at / HOUR + 1) * HOUR,
        CalendarUnit::Day => (day + 1) * DAY,
        // The first of January 1970 was a Thursday.
        CalendarUnit::Week => ((day + 3) / 7 * 7 + 4) * DAY,
        CalendarUnit::Month => {
            let mut months = (1970..).flat_map(|year: u64| (1..=12).map(move |month| days_in(year, month)));
            let mut first = 0;
            while first <= day {
                first += months.next().expect("there is always another month");
            }
            first * DAY
        }
    }
}

fn days_in(year: u64, month: u64) -> u64 {
    match month {
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// The level of `settled` out of `limit`, for a limit that was at `before`.
pub fn level(settled: u64, limit: u64, before: Level) -> Level {
    let marks = [(Level::Critical, 95), (Level::Hard, 90), (Level::Soft, 80), (Level::Warning, 70)];
    for (level, mark) in marks {
        let mark = if before >= level { mark - 5 } else { mark };
        if settled > 0 && settled * 100 >= limit * mark {
            return level;
        }
    }
    Level::None
}

/// What the naive twin says to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    Go { cap: u64 },
    Tighten,
    Waits,
    Refused,
}

/// What a call costs in one meter with so much output.
pub fn cost(ask: &Ask, meter: Meter, cap: u64) -> u64 {
    let output = cap * ask.choices;
    ask.fixed[meter]
        + match meter {
            Meter::Tokens | Meter::UncachedTokens | Meter::OutputTokens => output,
            Meter::InputTokens | Meter::Requests => 0,
            Meter::Usd => (output * ask.output_price.get()).div_ceil(1000),
        }
}

/// Judges a call by the numbers of the limits it touches.
pub fn judge(
    ask: &Ask,
    priority: Priority,
    can_tighten: bool,
    patient: u8,
    accounts: &[(Mode, Level, Vec<LimitView>)],
) -> Word {
    let hard = || accounts.iter().filter(|(mode, ..)| *mode != Mode::Warn).flat_map(|(.., limits)| limits);
    let at_floor = |view: &LimitView| cost(ask, view.limit.meter, ask.cap_floor);
    let never = hard().any(|view| at_floor(view) > view.limit.amount.saturating_sub(view.spent + view.assumed));
    let large = |view: &LimitView| {
        view.limit.meter != Meter::Requests
            && ask.fixed[view.limit.meter] > view.limit.amount.saturating_sub(view.charged()) / 10
    };
    if can_tighten && (never || hard().any(large)) {
        return Word::Tighten;
    }
    let throttles = || accounts.iter().filter(|(mode, ..)| *mode == Mode::Throttle).map(|(_, level, _)| *level);
    if never || throttles().any(|level| refused_at(level, priority)) {
        return Word::Refused;
    }
    let wait = if patient == 2 { Word::Refused } else { Word::Waits };
    if priority == Priority::Low && throttles().any(|level| level == Level::Soft) {
        return wait;
    }
    match largest_cap(ask, hard(), |_, room| room) {
        Some(most) if most >= ask.cap_floor => {}
        _ => return wait,
    }
    let share = |view: &LimitView, room: u64| {
        let fixed = ask.fixed[view.limit.meter];
        fixed + room.saturating_sub(fixed) / 4
    };
    let crowded = |view: &&LimitView| {
        view.held > 0 && largest_cap(ask, std::iter::once(*view), share).unwrap_or(0) < ask.cap_comfortable
    };
    if patient == 0 && hard().any(|view| crowded(&view)) {
        return wait;
    }
    Word::Go { cap: largest_cap(ask, hard(), share).unwrap_or(0).max(ask.cap_floor) }
}

fn refused_at(level: Level, priority: Priority) -> bool {
    match level {
        Level::Hard => priority <= Priority::Normal,
        Level::Critical => priority <= Priority::High,
        _ => false,
    }
}

/// The largest cap whose cost fits into what `rule` makes of every room, tried one by one from above.
fn largest_cap<'a>(
    ask: &Ask,
    limits: impl Iterator<Item = &'a LimitView>,
    rule: impl Fn(&LimitView, u64) -> u64,
) -> Option<u64> {
    let limits: Vec<_> = limits.collect();
    (0..=ask.cap_asked).rev().find(|cap| {
        limits.iter().all(|view| {
            let room = view.limit.amount.saturating_sub(view.charged());
            cost(ask, view.limit.meter, *cap) <= rule(view, room)
        })
    })
}
