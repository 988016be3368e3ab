//! Naive books: every amount is kept as a record by itself, and added up anew whenever somebody asks.
//!
//! Nothing of the ledger's arithmetic is used: no ring, no running sum, no calendar.

use almoner_units::{CalendarUnit, CallId, Charge, Limit, Window};

const HOUR: u64 = 3_600_000;
const DAY: u64 = 24 * HOUR;
const HALF: u64 = HOUR / 2;
/// Keeps local times above 0, and is a whole number of days.
const FAR_WEST: u64 = DAY;

/// 2026-03-29T01:00Z and 2026-10-25T01:00Z: the summer of Berlin.
pub(crate) const BERLIN: (u64, u64) = (1_774_746_000_000, 1_792_890_000_000);
/// 2026-03-08T07:00Z and 2026-11-01T06:00Z: the summer of New York.
pub(crate) const NEW_YORK: (u64, u64) = (1_772_953_200_000, 1_793_512_800_000);
/// 2026-04-04T15:00Z and 2026-10-03T15:30Z: the winter of Lord Howe.
pub(crate) const LORD_HOWE: (u64, u64) = (1_775_314_800_000, 1_791_041_400_000);

/// What has become of an amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Held,
    Spent,
    Assumed,
    /// Assumed, and forgotten by a reset.
    Forgotten,
}

#[derive(Clone, Copy, Debug)]
struct Record {
    call: CallId,
    amount: u64,
    state: State,
    at: u64,
}

/// What is counted against one limit, as records.
#[derive(Clone, Debug)]
pub(crate) struct Count {
    pub(crate) limit: Limit,
    records: Vec<Record>,
    /// When the window began and ends that is open now.
    open: Option<(u64, u64)>,
}

/// What a limit shows at one moment. A sliding window may count an amount for up to a slot longer, and no shorter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sums {
    pub(crate) held: u64,
    pub(crate) spent: (u64, u64),
    pub(crate) assumed: (u64, u64),
}

impl Sums {
    /// Spent, assumed and held, at least.
    pub(crate) fn charged(&self) -> u64 {
        self.held + self.spent.0 + self.assumed.0
    }
}

impl Count {
    pub(crate) fn new(limit: Limit) -> Self {
        Self { limit, records: Vec::new(), open: None }
    }

    /// When the window began that is open at `now`; `None` where none is.
    pub(crate) fn begun(&self, now: u64) -> Option<u64> {
        self.open.filter(|(_, end)| now < *end).map(|(begin, _)| begin)
    }

    /// When the window ends that is open at `now`, where it ends at once.
    pub(crate) fn ends_at(&self, now: u64) -> Option<u64> {
        self.open.map(|(_, end)| end).filter(|end| now < *end && *end < u64::MAX)
    }

    fn part(&self, charge: &Charge) -> u64 {
        charge[self.limit.meter]
    }

    /// Forgets what can count no more.
    pub(crate) fn roll(&mut self, now: u64) {
        match self.limit.window {
            Window::Sliding(span) => {
                self.records.retain(|it| it.state == State::Held || it.at + late(span.ms()) > now);
            }
            _ if self.open.is_some_and(|(_, end)| now >= end) => {
                self.records.clear();
                self.open = None;
            }
            _ => {}
        }
    }

    fn begin(&mut self, now: u64) {
        let end = match &self.limit.window {
            Window::Sliding(_) => return,
            Window::Lifetime => u64::MAX,
            Window::Fixed(span) => now + span.ms(),
            Window::Calendar(unit, zone) => next(*unit, zone.name(), now),
        };
        self.open.get_or_insert((now, end));
    }

    pub(crate) fn hold(&mut self, call: CallId, charge: &Charge, now: u64) {
        self.begin(now);
        self.records.push(Record { call, amount: self.part(charge), state: State::Held, at: now });
    }

    fn find(&mut self, call: CallId, state: State) -> Option<&mut Record> {
        self.records.iter_mut().find(|it| it.call == call && it.state == state)
    }

    pub(crate) fn settle(&mut self, call: CallId, spent: &Charge, now: u64) {
        let amount = self.part(spent);
        if let Some(record) = self.find(call, State::Held) {
            *record = Record { call, amount, state: State::Spent, at: now };
        }
    }

    pub(crate) fn assume(&mut self, call: CallId, now: u64) {
        if let Some(record) = self.find(call, State::Held) {
            (record.state, record.at) = (State::Assumed, now);
        }
    }

    pub(crate) fn correct(&mut self, call: CallId, held: &Charge, truth: &Charge, now: u64) {
        let (held, truth) = (self.part(held), self.part(truth));
        let excess = truth.saturating_sub(held);
        let is_sliding = matches!(self.limit.window, Window::Sliding(_));
        if let Some(record) = self.find(call, State::Assumed) {
            record.state = State::Spent;
            record.amount = if is_sliding { truth.min(held) } else { truth };
        } else if let Some(record) = self.find(call, State::Forgotten) {
            (record.state, record.amount) = (State::Spent, excess);
        }
        if is_sliding && excess > 0 {
            self.records.push(Record { call, amount: excess, state: State::Spent, at: now });
        }
    }

    pub(crate) fn add(&mut self, call: CallId, spent: &Charge, now: u64) {
        self.begin(now);
        self.records.push(Record { call, amount: self.part(spent), state: State::Spent, at: now });
    }

    /// Forgets what was spent; a fixed window begins anew, at once or, where no call is in flight, with the next.
    pub(crate) fn reset(&mut self, is_idle: bool, now: u64) {
        self.roll(now);
        match self.limit.window {
            // Its window is over, and with it all news of its calls.
            Window::Fixed(_) if is_idle => return *self = Self::new(self.limit.clone()),
            Window::Fixed(span) => self.open = self.open.map(|(begin, _)| (begin, now + span.ms())),
            _ => {}
        }
        let is_sliding = matches!(self.limit.window, Window::Sliding(_));
        self.records.retain(|it| it.state == State::Held || (it.state != State::Spent && !is_sliding));
        for record in self.records.iter_mut().filter(|it| it.state == State::Assumed) {
            record.state = State::Forgotten;
        }
    }

    pub(crate) fn sums(&self, now: u64) -> Sums {
        let mut sums = Sums::default();
        if self.open.is_some_and(|(_, end)| now >= end) {
            return sums;
        }
        for record in &self.records {
            let (counts, may_count) = match (record.state, &self.limit.window) {
                (State::Spent | State::Assumed, Window::Sliding(span)) => {
                    (record.at + span.ms() > now, record.at + late(span.ms()) > now)
                }
                _ => (true, true),
            };
            let (least, most) = (if counts { record.amount } else { 0 }, if may_count { record.amount } else { 0 });
            match record.state {
                State::Held => sums.held += record.amount,
                State::Spent => sums.spent = (sums.spent.0 + least, sums.spent.1 + most),
                State::Assumed => sums.assumed = (sums.assumed.0 + least, sums.assumed.1 + most),
                State::Forgotten => {}
            }
        }
        sums
    }
}

/// How long an amount may count in a sliding window: a hundred-and-twentieth longer than the window.
fn late(span: u64) -> u64 {
    span.div_ceil(120) * 121
}

/// When the window of a zone's calendar ends that contains `now`: the first half hour in which the zone's clock shows
/// another one. Every offset, and every change of one, is a whole number of half hours.
fn next(unit: CalendarUnit, zone: &str, now: u64) -> u64 {
    let shown = window_shown(unit, zone, now);
    let mut at = (now / HALF + 1) * HALF;
    while window_shown(unit, zone, at) == shown {
        at += HALF;
    }
    at
}

/// A number for the window that a zone's clock shows at an instant, and the offset where windows end with that.
fn window_shown(unit: CalendarUnit, zone: &str, at: u64) -> (u64, u64) {
    let minutes = offset(zone, at);
    let local = (at + FAR_WEST).saturating_add_signed(minutes * 60_000);
    match unit {
        CalendarUnit::Hour => (local / HOUR, minutes.unsigned_abs()),
        CalendarUnit::Day => (local / DAY, 0),
        // The first of January 1970 was a Thursday.
        CalendarUnit::Week => ((local - FAR_WEST + 3 * DAY) / (7 * DAY), 0),
        CalendarUnit::Month => unreachable!("no budget of the false world counts by months"),
    }
}

/// How many minutes a zone is ahead of UTC, from late in 2025 to late in 2026, by hand.
fn offset(zone: &str, at: u64) -> i64 {
    let summer = |begins: u64, ends: u64| (begins..ends).contains(&at);
    match zone {
        "Europe/Berlin" => 60 + if summer(BERLIN.0, BERLIN.1) { 60 } else { 0 },
        "America/New_York" => -300 + if summer(NEW_YORK.0, NEW_YORK.1) { 60 } else { 0 },
        // South of the equator the year ends in summer.
        "Australia/Lord_Howe" => 630 + if summer(LORD_HOWE.0, LORD_HOWE.1) { 0 } else { 30 },
        "Asia/Kolkata" => 330,
        _ => 0,
    }
}
