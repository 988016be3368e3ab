//! The naive twin: a list of all calls, from which every number is counted anew each time it is asked for.
//!
//! It shares no code with the ledger: exact windows instead of rings, its own calendar, its own levels, its own caps.

use almoner_ledger::{AccountId, Hold, LimitView};
use almoner_units::{
    AccountKey, Ask, Budget, CalendarUnit, CallId, Charge, Level, Limit, Meter, Mode, Priority, Window,
};

/// How a call stands. Each end has the number of the event that brought it about, and its time.
#[derive(Clone, Debug)]
pub enum End {
    Open,
    Settled { by: u64, at: u64, spent: Charge },
    Released { by: u64, at: u64, spent: Charge },
    Assumed { by: u64, at: u64 },
    Corrected { assumed_by: u64, assumed_at: u64, by: u64, at: u64, spent: Charge },
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
    pub level: Level,
}

#[derive(Clone, Debug)]
pub struct Account {
    pub id: AccountId,
    pub key: AccountKey,
    pub mode: Mode,
    pub limits: Vec<CountedLimit>,
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
        let limit = |limit: &Limit| CountedLimit { limit: limit.clone(), born, reset: born.0, level: Level::None };
        let limits = budget.limits.iter().map(limit).collect();
        self.accounts.push(Account { id, key, mode: budget.mode, limits });
    }

    /// Other limits: those of the same meter and window go on, the others are born now.
    pub fn change(&mut self, budget: &Budget) {
        let born = (self.event, self.now);
        for account in self.accounts.iter_mut().filter(|account| account.key.budget == budget.name) {
            let before = std::mem::take(&mut account.limits);
            account.mode = budget.mode;
            for limit in &budget.limits {
                let same = |old: &&CountedLimit| old.limit.meter == limit.meter && old.limit.window == limit.window;
                account.limits.push(match before.iter().find(same) {
                    Some(old) => CountedLimit { limit: limit.clone(), ..old.clone() },
                    None => CountedLimit { limit: limit.clone(), born, reset: born.0, level: Level::None },
                });
            }
        }
    }

    pub fn reset(&mut self, id: AccountId) {
        let event = self.event;
        if let Some(account) = self.account_mut(id) {
            account.limits.iter_mut().for_each(|limit| limit.reset = event);
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
            match call.end {
                End::Open => counts.held += amount,
                End::Settled { by, at, spent } | End::Released { by, at, spent } if by > counted.reset => {
                    add(&mut counts.spent, at, spent[meter]);
                }
                End::Assumed { by, at } if by > counted.reset => add(&mut counts.assumed, at, amount),
                End::Corrected { assumed_by, assumed_at, by, at, spent } if by > counted.reset => {
                    if assumed_by > counted.reset {
                        add(&mut counts.spent, assumed_at, spent[meter].min(amount));
                    }
                    add(&mut counts.spent, at, spent[meter].saturating_sub(amount));
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
            match call.end {
                End::Open => held += amount,
                End::Settled { by, spent: truth, .. } | End::Released { by, spent: truth, .. }
                    if by > counted.reset =>
                {
                    spent += truth[meter];
                }
                End::Assumed { by, .. } if by > counted.reset => assumed += amount,
                End::Corrected { assumed_by, by, spent: truth, .. } if by > counted.reset => {
                    let excess = truth[meter].saturating_sub(amount);
                    spent += if assumed_by > counted.reset { truth[meter] } else { excess };
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
    let in_flight_then = |call: &&&Call| match call.end {
        _ if call.by > born => false,
        End::Open => true,
        End::Settled { by, .. } | End::Released { by, .. } | End::Assumed { by, .. } => by > born,
        End::Corrected { assumed_by, .. } => assumed_by > born,
    };
    let mut open = calls.iter().filter(in_flight_then).map(|call| call.by).min().map(|by| (by, end(window, born_at)));
    for call in calls.iter().filter(|call| call.by > born) {
        if open.is_none_or(|(_, ends_at)| ends_at.is_some_and(|end| call.at >= end)) {
            open = Some((call.by, end(window, call.at)));
        }
    }
    open.filter(|(_, ends_at)| ends_at.is_none_or(|end| now < end))
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
