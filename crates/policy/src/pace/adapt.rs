//! How a pace follows what its provider says: down by a part where it refuses, up by a little for each quiet minute,
//! and never above what is configured. Where nothing is, there is no pace until the provider says something.

use almoner_units::{Span, Timestamp};

use super::Rates;
use super::hours::Start;

/// Refusals so close to each other are one lesson.
const LESSON: Span = Span::from_secs(10);
/// By which part of itself a rate falls after a refusal.
const FALL: u64 = 4;
/// The least that a pace learns where nobody said one: who sends less is refused for another reason than its pace.
const LEARNED_MIN: u64 = 30;
/// By which part of itself a rate rises in a minute.
const RISE: u64 = 20;
/// After so long without a refusal what was learned from the last, or from the hour of the day, is forgotten.
const FORGOTTEN: Span = Span::from_secs(3_600);
/// The longest that a pace is closed by one word of its provider.
const CLOSED_MAX: Span = Span::from_secs(600);
const MINUTE: Span = Span::from_secs(60);

/// What a provider says of itself beside an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// How many requests may go in a minute.
    pub rpm: Option<u64>,
    /// How many tokens may be used in a minute.
    pub tpm: Option<u64>,
    /// How long to wait before the next request.
    pub wait: Option<Span>,
}

/// What was learned of a provider.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Learned {
    /// What it said of itself.
    told: Rates,
    /// What it bears.
    borne: Rates,
    refused_at: Option<Timestamp>,
    /// When it learned last, by a refusal or because an hour began.
    learned_at: Option<Timestamp>,
    raised_at: Timestamp,
    closed_until: Option<Timestamp>,
}

fn least(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    one.into_iter().chain(other).min()
}

impl Learned {
    /// The rates in force under those that are configured.
    pub(super) fn under(&self, configured: Rates) -> Rates {
        let rate = |configured, told, borne| least(least(configured, told), borne);
        Rates {
            rpm: rate(configured.rpm, self.told.rpm, self.borne.rpm),
            tpm: rate(configured.tpm, self.told.tpm, self.borne.tpm),
        }
    }

    /// Whether nothing that it said or did sets it apart from a provider that is not known yet.
    pub(super) fn is_nothing(&self) -> bool {
        self.told.is_free() && self.borne.is_free() && self.closed_until.is_none()
    }

    /// Until when nothing goes.
    pub(super) fn closed_until(&self, now: Timestamp) -> Option<Timestamp> {
        self.closed_until.filter(|until| *until > now)
    }

    /// It answered, and says this of itself.
    pub(super) fn told(&mut self, told: Told, now: Timestamp) {
        self.told.rpm = told.rpm.filter(|rpm| *rpm > 0).or(self.told.rpm);
        self.told.tpm = told.tpm.filter(|tpm| *tpm > 0).or(self.told.tpm);
        self.close(told.wait, now);
    }

    fn close(&mut self, wait: Option<Span>, now: Timestamp) {
        if let Some(wait) = wait {
            let until = now.after(wait.min(CLOSED_MAX));
            self.closed_until = self.closed_until.max(Some(until));
        }
    }

    /// It refused, while requests went at this rate a minute. Whether that is another lesson.
    pub(super) fn refused(&mut self, wait: Option<Span>, rate: u64, configured: Rates, now: Timestamp) -> bool {
        self.close(wait, now);
        if self.refused_at.is_some_and(|then| now.since(then) < LESSON) {
            return false;
        }
        self.refused_at = Some(now);
        let known = self.under(configured);
        let part = |rate: u64| (rate - rate.div_ceil(FALL)).max(1);
        self.borne.rpm = Some(known.rpm.map_or_else(|| part(rate).max(LEARNED_MIN), part));
        self.borne.tpm = known.tpm.map(part);
        (self.learned_at, self.raised_at) = (Some(now), now);
        true
    }

    /// An hour begins that has borne so much: where it did not bear more, no more goes; where nobody tried, what was
    /// learned in the hours before keeps it no lower.
    pub(super) fn begin(&mut self, start: Start, configured: Rates, now: Timestamp) {
        if start.is_limit {
            let known = self.under(configured);
            self.borne = Rates { rpm: start.rates.rpm, tpm: start.rates.tpm.filter(|_| known.tpm.is_some()) };
            (self.learned_at, self.raised_at) = (Some(now), now);
        } else {
            let raised = |borne: Option<u64>, to: Option<u64>| borne.map(|rate| rate.max(to.unwrap_or(0)));
            self.borne.rpm = raised(self.borne.rpm, start.rates.rpm);
            self.borne.tpm = raised(self.borne.tpm, start.rates.tpm);
        }
    }

    /// Raises what it bears by the minutes that have passed.
    pub(super) fn pass(&mut self, configured: Rates, now: Timestamp) {
        let Some(learned_at) = self.learned_at else { return };
        if now.since(learned_at) >= FORGOTTEN {
            (self.borne, self.refused_at, self.learned_at) = (Rates::default(), None, None);
            return;
        }
        while now.since(self.raised_at) >= MINUTE {
            self.raised_at = self.raised_at.after(MINUTE);
            let rise = |rate: u64, of: Option<u64>| rate.saturating_add((of.unwrap_or(rate) / RISE).max(1));
            let of = [least(configured.rpm, self.told.rpm), least(configured.tpm, self.told.tpm)];
            self.borne.rpm = self.borne.rpm.map(|rate| rise(rate, of[0]));
            self.borne.tpm = self.borne.tpm.map(|rate| rise(rate, of[1]));
        }
    }
}
