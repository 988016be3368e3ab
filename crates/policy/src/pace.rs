//! A pace: how many requests and tokens may go to one place in a minute.
//!
//! It promises that in no 60 s more than R requests are let go nor more than T tokens are used, and errs to the safe
//! side everywhere: what went counts by the whole second, and a second longer than a minute, because two calls need not
//! be equally long on their way. A call that may go and has not been sent counts as well, so that calls that are held
//! up elsewhere and go all at once are no burst. Tokens are set aside until the answer is in, at what the call can use;
//! then what it did use counts for a minute. No bucket and no GCRA: both let twice as much pass in some minute.
//!
//! Time is an argument, on a clock that nobody sets back. A check looks at two sums; the ring takes a kilobyte.

mod adapt;
pub mod hours;
mod room;
mod rule;
#[cfg(test)]
mod tests;

pub use adapt::Told;
pub use room::{Asked, Grant, Look, Order, PacedBy, Paces, Slow, WaiterId};
pub use rule::{PaceRule, Rates};

use adapt::Learned;
use almoner_units::{Span, Timestamp};
use hours::{Hours, Profile};

/// How long a second's slot counts: the second itself, the minute after it, and one second for the way.
const SLOTS: usize = 62;
const SLOTS_U64: u64 = SLOTS as u64;
const SLOT_MS: u64 = 1000;

/// Requests and tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Requests.
    pub requests: u64,
    /// Tokens.
    pub tokens: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    requests: u32,
    tokens: u64,
}

/// What went in each second that still counts.
#[derive(Clone, Debug)]
struct Ring {
    newest: u64,
    requests: u64,
    tokens: u64,
    slots: [Slot; SLOTS],
}

impl Ring {
    const fn new() -> Self {
        Self { newest: 0, requests: 0, tokens: 0, slots: [Slot { requests: 0, tokens: 0 }; SLOTS] }
    }

    /// Lets every second that has passed by count no longer.
    fn advance(&mut self, now: Timestamp) {
        let newest = now.ms() / SLOT_MS;
        let passed = newest.saturating_sub(self.newest).min(SLOTS_U64);
        for number in newest - passed + 1..=newest {
            let gone = std::mem::take(&mut self.slots[index(number)]);
            self.requests -= u64::from(gone.requests);
            self.tokens = self.tokens.saturating_sub(gone.tokens);
        }
        self.newest = self.newest.max(newest);
    }

    fn add(&mut self, requests: u32, tokens: u64, now: Timestamp) {
        self.advance(now);
        let slot = &mut self.slots[index(self.newest)];
        let more = requests.min(u32::MAX - slot.requests);
        slot.requests += more;
        self.requests += u64::from(more);
        // A sum that cannot be counted is counted as the most that can.
        let more = tokens.min(u64::MAX / 128 - slot.tokens);
        slot.tokens += more;
        self.tokens += more;
    }

    /// The requests of a minute that goes on as the last has gone since its first call: one that has just begun to send
    /// much is not taken for slow.
    fn rate(&self) -> u64 {
        let oldest = (self.newest + 1).saturating_sub(SLOTS_U64);
        let first = (oldest..=self.newest).find(|number| self.slots[index(*number)].requests > 0);
        let seconds = first.map_or(SLOTS_U64, |first| self.newest - first + 1).min(60);
        self.requests.saturating_mul(60) / seconds
    }

    /// The first instant at which no more than `most` of what is counted now still counts.
    fn falls_to(&self, most: u64, count: impl Fn(&Slot) -> u64, all: u64) -> Timestamp {
        let mut left = all;
        for number in (self.newest + 1).saturating_sub(SLOTS_U64)..=self.newest {
            if left <= most {
                break;
            }
            left = left.saturating_sub(count(&self.slots[index(number)]));
            if left <= most {
                return Timestamp::from_ms((number + SLOTS_U64) * SLOT_MS);
            }
        }
        Timestamp::from_ms(self.newest * SLOT_MS)
    }
}

/// Where the slot of a second lies.
fn index(number: u64) -> usize {
    // A remainder of 62 fits every usize.
    #[allow(clippy::cast_possible_truncation)]
    let index = (number % SLOTS_U64) as usize;
    index
}

/// Why a pace lets a call not go yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Short {
    /// As many requests went as may.
    Requests {
        /// How many may go in a minute.
        of: u64,
    },
    /// As many tokens are used or set aside as may be.
    Tokens {
        /// How many may be used in a minute.
        of: u64,
    },
    /// Its provider said to wait.
    Closed,
    /// This hour is a learned peak hour, in which calls of priority low leave half of it to others.
    Peak,
}

/// How much may go to one place in a minute, and what has gone there.
#[derive(Clone, Debug)]
pub struct Pace {
    configured: Rates,
    is_adaptive: bool,
    learned: Learned,
    /// What the hours of the day have borne, where it follows its provider.
    hours: Option<Box<Hours>>,
    /// What is in force: never above what is configured.
    rates: Rates,
    ring: Ring,
    /// The requests that may go and have not been sent, and the tokens of those that are not answered.
    open: Load,
}

impl Pace {
    /// A pace at which nothing has gone yet.
    #[must_use]
    pub fn new(rates: Rates) -> Self {
        Self {
            configured: rates,
            is_adaptive: false,
            learned: Learned::default(),
            hours: None,
            rates,
            ring: Ring::new(),
            open: Load { requests: 0, tokens: 0 },
        }
    }

    /// What is configured from now on, and whether it follows what its provider says.
    pub fn configure(&mut self, rates: Rates, is_adaptive: bool) {
        (self.configured, self.is_adaptive) = (rates, is_adaptive);
        if !is_adaptive {
            (self.learned, self.hours) = (Learned::default(), None);
        } else if self.hours.is_none() {
            self.hours = Some(Box::default());
        }
        self.rates = self.learned.under(rates);
    }

    /// What was learned of the hours of the day before, by a pace of this name.
    pub fn remember(&mut self, profile: Profile) {
        if self.is_adaptive {
            self.hours = Some(Box::new(Hours::of(profile)));
        }
    }

    /// What is known of the hours of the day.
    #[must_use]
    pub fn profile(&self) -> Option<Profile> {
        Some(self.hours.as_ref()?.profile())
    }

    /// It is this hour now, counted from 1970 in UTC. Where another has begun, it is begun with what it has borne.
    pub fn hour(&mut self, hour: u64, now: Timestamp) {
        if let Some(start) = self.hours.as_mut().and_then(|hours| hours.begin(hour, now)) {
            self.learned.pass(self.configured, now);
            self.learned.begin(start, self.configured, now);
            self.rates = self.learned.under(self.configured);
        }
    }

    /// Whether this hour is a learned peak hour.
    #[must_use]
    pub fn is_peak(&self) -> bool {
        self.hours.as_ref().is_some_and(|hours| hours.is_peak())
    }

    /// A call waits for it.
    pub fn waited(&mut self) {
        self.hours.iter_mut().for_each(|hours| hours.waited());
    }

    /// Its provider answered, and says this of itself.
    pub fn told(&mut self, told: Told, now: Timestamp) {
        if self.is_adaptive {
            self.learned.told(told, now);
            self.rates = self.learned.under(self.configured);
        }
    }

    /// Its provider refused, and said to wait so long.
    pub fn refused(&mut self, wait: Option<Span>, now: Timestamp) {
        if self.is_adaptive {
            self.ring.advance(now);
            let rate = self.ring.rate();
            let is_news = self.learned.refused(wait, rate, self.configured, now);
            self.rates = self.learned.under(self.configured);
            self.hours.iter_mut().filter(|_| is_news).for_each(|hours| hours.refused(self.rates));
        }
    }

    /// How much may go in a minute.
    #[must_use]
    pub const fn rates(&self) -> Rates {
        self.rates
    }

    /// Whether nothing that went or may go counts any more, and nothing was learned.
    pub fn is_idle(&mut self, now: Timestamp) -> bool {
        self.used(now) == Load::default() && self.learned.is_nothing()
    }

    /// What counts now.
    pub fn used(&mut self, now: Timestamp) -> Load {
        self.ring.advance(now);
        self.learned.pass(self.configured, now);
        self.rates = self.learned.under(self.configured);
        Load {
            requests: self.ring.requests + self.open.requests,
            tokens: self.ring.tokens.saturating_add(self.open.tokens),
        }
    }

    /// Whether a call that can use so many tokens may go. One that is larger than the whole pace may once nothing else
    /// counts, so that it is never starved.
    ///
    /// # Errors
    /// [`Short`] where it may not.
    pub fn fits(&mut self, tokens: u64, now: Timestamp) -> Result<(), Short> {
        self.used(now);
        self.fits_in(self.rates, tokens, now)
    }

    /// The same for a call of priority low, which leaves half of a pace to others in a peak hour.
    ///
    /// # Errors
    /// [`Short`] where it may not.
    pub fn fits_low(&mut self, tokens: u64, now: Timestamp) -> Result<(), Short> {
        self.fits(tokens, now)?;
        let of_low = self.rates_of_low();
        self.fits_in(of_low, tokens, now).map_err(|_| Short::Peak)
    }

    /// How much may have gone where a call of priority low goes.
    fn rates_of_low(&self) -> Rates {
        if self.is_peak() { self.rates.half() } else { self.rates }
    }

    fn fits_in(&mut self, rates: Rates, tokens: u64, now: Timestamp) -> Result<(), Short> {
        let used = self.used(now);
        if self.learned.closed_until(now).is_some() {
            return Err(Short::Closed);
        }
        if let Some(of) = rates.rpm.filter(|rpm| used.requests >= *rpm) {
            return Err(Short::Requests { of });
        }
        let fits = |tpm: u64| used.tokens == 0 || used.tokens.saturating_add(tokens) <= tpm;
        match rates.tpm {
            Some(of) if !fits(of) => Err(Short::Tokens { of }),
            _ => Ok(()),
        }
    }

    /// When it may go, if nothing else goes and nobody gives anything back; `None` where that depends on answers.
    pub fn opens_at(&mut self, tokens: u64, now: Timestamp) -> Option<Timestamp> {
        self.used(now);
        self.opens_in(self.rates, tokens, now)
    }

    /// The same for a call of priority low.
    pub fn opens_to_low_at(&mut self, tokens: u64, now: Timestamp) -> Option<Timestamp> {
        self.used(now);
        self.opens_in(self.rates_of_low(), tokens, now)
    }

    fn opens_in(&mut self, rates: Rates, tokens: u64, now: Timestamp) -> Option<Timestamp> {
        Some(self.requests_open_in(rates, now)?.max(self.tokens_open_in(rates, tokens, now)?))
    }

    /// When another request may go.
    fn requests_open_at(&mut self, now: Timestamp) -> Option<Timestamp> {
        self.used(now);
        self.requests_open_in(self.rates, now)
    }

    fn requests_open_in(&mut self, rates: Rates, now: Timestamp) -> Option<Timestamp> {
        let used = self.used(now);
        let open = self.learned.closed_until(now).unwrap_or(now);
        let Some(rpm) = rates.rpm.filter(|rpm| used.requests >= *rpm) else { return Some(open) };
        let most = rpm.checked_sub(self.open.requests + 1)?;
        Some(self.ring.falls_to(most, |slot| u64::from(slot.requests), self.ring.requests).max(open))
    }

    /// When so many tokens fit.
    fn tokens_open_in(&mut self, rates: Rates, tokens: u64, now: Timestamp) -> Option<Timestamp> {
        let used = self.used(now).tokens;
        let Some(tpm) = rates.tpm.filter(|tpm| used > 0 && used.saturating_add(tokens) > *tpm) else {
            return Some(now);
        };
        // What is larger than all of it waits until nothing counts.
        let most = tpm.saturating_sub(tokens).checked_sub(self.open.tokens)?;
        Some(self.ring.falls_to(most, |slot| slot.tokens, self.ring.tokens))
    }

    /// A call may go that can use so many tokens.
    pub fn begin(&mut self, tokens: u64) {
        self.open.requests += 1;
        self.open.tokens = self.open.tokens.saturating_add(tokens);
    }

    /// It goes.
    pub fn sent(&mut self, now: Timestamp) {
        self.open.requests -= 1;
        self.ring.add(1, 0, now);
        self.note(now);
    }

    /// It does not go after all.
    pub fn give_back(&mut self, tokens: u64) {
        self.open.requests -= 1;
        self.open.tokens = self.open.tokens.saturating_sub(tokens);
    }

    /// What it can use is less than was thought.
    pub fn lower(&mut self, from: u64, to: u64) {
        self.open.tokens = self.open.tokens.saturating_sub(from.saturating_sub(to));
    }

    /// It was answered, and used so many of the tokens that it could.
    pub fn settle(&mut self, tokens: u64, used: u64, now: Timestamp) {
        self.open.tokens = self.open.tokens.saturating_sub(tokens);
        self.ring.add(0, used, now);
        self.note(now);
    }

    /// Notes what went for the hour of the day.
    fn note(&mut self, now: Timestamp) {
        let went = Load { requests: self.ring.requests, tokens: self.ring.tokens };
        self.hours.iter_mut().for_each(|hours| hours.went(went, now));
    }
}

/// How long something lasts that counts, at most.
pub const COUNTS_MAX: Span = Span::from_ms(SLOTS_U64 * SLOT_MS);
