//! What each hour of the day has borne: at which rate a pace that follows its provider begins an hour, and which hours
//! are so busy that calls of priority low leave room for others.
//!
//! Hours are those of UTC: a provider is as busy as its customers all over the world are, and UTC has no hour twice. An
//! hour is known by its number since 1970, an argument like every time here. What was noted fades by the day and is
//! forgotten after a month; a day counts for no more than `A_DAY` lets it, so that one bad day is no pattern.

use almoner_units::Timestamp;

use super::{COUNTS_MAX, Load, Rates};

/// The hours of a day.
pub const HOURS: usize = 24;
const HOURS_U64: u64 = HOURS as u64;
/// After so many days without news an hour is forgotten.
const FORGOTTEN_DAYS: u64 = 30;
/// What is counted is counted in sixteenths, so that it can fade.
const ONE: u32 = 16;
/// The most that one day counts for, in refusals and in waits.
const A_DAY: (u32, u32) = (30, 300);
/// As many waits are as bad as one refusal.
const WAITS: u32 = 10;
/// A learned hour has had trouble on so many days at least.
const DAYS_MIN: u32 = 2;
/// The least trouble of a peak hour: two refusals that have not faded.
const TROUBLE_MIN: u64 = (2 * ONE * WAITS) as u64;
const MINUTE_MS: u64 = 60_000;

/// What is remembered of one hour of the day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hour {
    /// The day on which it was noted last, since 1970.
    pub day: u64,
    /// The most that went in a minute of it without a refusal.
    pub borne: Load,
    /// How often its provider refused, in sixteenths, fading by a quarter a day.
    pub refusals: u32,
    /// How many calls waited for it, the same way.
    pub waits: u32,
    /// On how many days there was either, at most a month of them.
    pub days: u32,
}

impl Hour {
    /// The same, so many days later as it is now.
    fn on(mut self, day: u64) -> Self {
        // What was noted in the future was noted by a clock that was wrong, or by nobody.
        let Some(passed) = day.checked_sub(self.day).filter(|passed| *passed < FORGOTTEN_DAYS) else {
            return Self::default();
        };
        for _ in 0..passed {
            self.refusals -= self.refusals.div_ceil(4);
            self.waits -= self.waits.div_ceil(4);
            if !self.is_limited() {
                self.borne.requests -= self.borne.requests.div_ceil(8);
                self.borne.tokens -= self.borne.tokens.div_ceil(8);
            }
        }
        if self.trouble() == 0 {
            self.days = 0;
        }
        self
    }

    /// Whether its provider refused in it of late, so that what it bore is as much as it bears.
    const fn is_limited(&self) -> bool {
        self.refusals > 0
    }

    fn trouble(&self) -> u64 {
        u64::from(self.refusals) * u64::from(WAITS) + u64::from(self.waits)
    }

    /// What it is to begin with when it comes again.
    fn start(&self) -> Option<Start> {
        let some = |count: u64| Some(count).filter(|count| *count > 0);
        let rates = Rates { rpm: some(self.borne.requests), tpm: some(self.borne.tokens) };
        (!rates.is_free()).then_some(Start { rates, is_limit: self.is_limited() })
    }
}

/// What an hour is begun with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Start {
    /// What it has borne.
    pub(super) rates: Rates,
    /// Whether it did not bear more; else nobody tried.
    pub(super) is_limit: bool,
}

/// What an hour that lasts has seen.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    refusals: u32,
    waits: u32,
    borne: Load,
    /// What the last refusal left.
    left: Option<Load>,
}

/// The hours of a day, as one pace knows them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profile {
    /// From 0 to 1 in UTC, and so on.
    pub hours: [Hour; HOURS],
}

/// A profile that is learned.
#[derive(Clone, Debug, Default)]
pub(super) struct Hours {
    profile: Profile,
    /// The hour that lasts, since 1970.
    hour: Option<u64>,
    seen: Seen,
    /// The minute that lasts, by the other clock, and the most that counted in it and in the one before.
    minute: u64,
    minutes: [Load; 2],
    /// From when on nothing counts any more that went in the hour before.
    own_from: Timestamp,
    is_peak: bool,
}

/// Where an hour lies in the day.
fn index(hour: u64) -> usize {
    // A remainder of 24 fits every usize.
    #[allow(clippy::cast_possible_truncation)]
    let index = (hour % HOURS_U64) as usize;
    index
}

fn larger(one: Load, other: Load) -> Load {
    Load { requests: one.requests.max(other.requests), tokens: one.tokens.max(other.tokens) }
}

fn between(one: Load, other: Load) -> Load {
    Load { requests: one.requests.midpoint(other.requests), tokens: one.tokens.midpoint(other.tokens) }
}

impl Hours {
    /// What was learned before.
    pub(super) fn of(profile: Profile) -> Self {
        Self { profile, ..Self::default() }
    }

    /// What is known of every hour, that which lasts included.
    pub(super) fn profile(&self) -> Profile {
        let mut profile = self.profile.clone();
        if let Some(hour) = self.hour {
            profile.hours[index(hour)] = self.noted(hour);
        }
        profile
    }

    /// What is to be remembered of the hour that lasts.
    fn noted(&self, hour: u64) -> Hour {
        let (day, seen) = (hour / HOURS_U64, self.seen);
        let before = self.profile.hours[index(hour)].on(day);
        let today = larger(seen.borne, seen.left.unwrap_or_default());
        let borne = match seen.left {
            // What it bears has changed, or this was one bad day.
            Some(_) if before.is_limited() => between(before.borne, today),
            Some(_) => today,
            None => larger(before.borne, today),
        };
        let add = |before: u32, news: u32, most: u32| before.saturating_add(news.min(most) * ONE).min(most * ONE * 4);
        let is_troubled = seen.refusals > 0 || seen.waits > 0;
        Hour {
            day,
            borne,
            refusals: add(before.refusals, seen.refusals, A_DAY.0),
            waits: add(before.waits, seen.waits, A_DAY.1),
            days: before.days.saturating_add(u32::from(is_troubled)).min(30),
        }
    }

    /// It is this hour now. When another has begun, this is what to begin it with.
    pub(super) fn begin(&mut self, hour: u64, now: Timestamp) -> Option<Start> {
        if self.hour == Some(hour) {
            return None;
        }
        if let Some(before) = self.hour {
            self.take_minutes();
            self.profile.hours[index(before)] = self.noted(before);
        }
        (self.hour, self.seen) = (Some(hour), Seen::default());
        self.own_from = now.after(COUNTS_MAX);
        self.is_peak = self.profile.is_peak(index(hour), hour / HOURS_U64);
        self.profile.hours[index(hour)].on(hour / HOURS_U64).start()
    }

    /// So much has gone in the last minute.
    pub(super) fn went(&mut self, used: Load, now: Timestamp) {
        if now < self.own_from {
            return;
        }
        let minute = now.ms() / MINUTE_MS;
        if minute != self.minute {
            self.seen.borne = larger(self.seen.borne, self.minutes[0]);
            // A refusal may come a moment late, so the last minute waits to be believed.
            self.minutes = [self.minutes[1], Load::default()];
            self.minute = minute;
        }
        self.minutes[1] = larger(self.minutes[1], used);
    }

    fn take_minutes(&mut self) {
        for minute in std::mem::take(&mut self.minutes) {
            self.seen.borne = larger(self.seen.borne, minute);
        }
    }

    /// Its provider refused, and so much may go from now on.
    pub(super) fn refused(&mut self, left: Rates) {
        self.minutes = [Load::default(); 2];
        self.seen.refusals = self.seen.refusals.saturating_add(1);
        self.seen.left = Some(Load { requests: left.rpm.unwrap_or(0), tokens: left.tpm.unwrap_or(0) });
    }

    /// A call waits for it.
    pub(super) fn waited(&mut self) {
        self.seen.waits = self.seen.waits.saturating_add(1);
    }

    /// Whether the hour that lasts is a learned peak hour.
    pub(super) const fn is_peak(&self) -> bool {
        self.is_peak
    }
}

impl Profile {
    /// Whether an hour is a peak hour, as seen on a day: it had trouble on several days, and at least twice as much as
    /// the hours have on average.
    #[must_use]
    pub fn is_peak(&self, hour: usize, day: u64) -> bool {
        let all: u64 = self.hours.iter().map(|hour| hour.on(day).trouble()).sum();
        let Some(hour) = self.hours.get(hour).map(|hour| hour.on(day)) else { return false };
        hour.days >= DAYS_MIN && hour.trouble() >= TROUBLE_MIN && hour.trouble() * HOURS_U64 >= 2 * all
    }

    /// Whether nothing is known on a day.
    #[must_use]
    pub fn is_empty(&self, day: u64) -> bool {
        self.hours.iter().all(|hour| hour.on(day) == Hour::default())
    }

    /// The same, with nothing in it that could not have been learned: what is read from a file may be anything.
    #[must_use]
    pub fn plausible(mut self) -> Self {
        for hour in &mut self.hours {
            hour.refusals = hour.refusals.min(A_DAY.0 * ONE * 4);
            hour.waits = hour.waits.min(A_DAY.1 * ONE * 4);
            hour.days = hour.days.min(30);
            hour.borne.requests = hour.borne.requests.min(u64::from(u32::MAX));
            hour.borne.tokens = hour.borne.tokens.min(u64::MAX / 128);
        }
        self
    }
}
