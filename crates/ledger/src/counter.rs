//! One limit of one account: what is spent, assumed and held in its window.

use std::borrow::Cow;

use almoner_units::{Charge, Level, LevelMarks, Limit, Timestamp, Window};

use crate::calendar;
use crate::ring::Ring;
use crate::snapshot::{CounterSnapshot, WindowSnapshot};

/// What is counted against one limit.
///
/// Whether a hold belongs to the window that is open now is told by its number, not its time: a window remembers the
/// number of the first fact it counted, and older holds belong to windows that are over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Counter {
    held: u64,
    /// The number of the fact that made or last reset this counter; what was assumed before it, it does not count.
    reset_by: u64,
    pub(crate) level: Level,
    state: State,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// Lifetime, fixed and calendar windows.
    Plain {
        spent: u64,
        assumed: u64,
        open: Option<Open>,
    },
    Sliding(Box<Ring>),
}

/// A window that has counted something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Open {
    /// The number of the first fact that it counted.
    since: u64,
    ends_at: Option<Timestamp>,
}

impl Counter {
    /// A counter that fact `seq` makes.
    pub(crate) fn new(window: &Window, seq: u64, now: Timestamp) -> Self {
        let state = match window {
            Window::Sliding(span) => State::Sliding(Box::new(Ring::new(*span, now))),
            _ => State::Plain { spent: 0, assumed: 0, open: None },
        };
        Self { held: 0, reset_by: seq, level: Level::None, state }
    }

    pub(crate) fn spent(&self) -> u64 {
        match &self.state {
            State::Plain { spent, .. } => *spent,
            State::Sliding(ring) => ring.spent(),
        }
    }

    pub(crate) fn assumed(&self) -> u64 {
        match &self.state {
            State::Plain { assumed, .. } => *assumed,
            State::Sliding(ring) => ring.assumed(),
        }
    }

    pub(crate) fn held(&self) -> u64 {
        self.held
    }

    /// What will still be charged when every open hold is gone.
    pub(crate) fn settled(&self) -> u64 {
        self.spent().saturating_add(self.assumed())
    }

    /// Spent, assumed and held.
    pub(crate) fn charged(&self) -> u64 {
        self.settled().saturating_add(self.held)
    }

    /// Whether a hold of `amount` can be counted. What was held is taken away again, so that its sum must be exact;
    /// what was spent is never taken away, and may stop at the largest number there is.
    pub(crate) fn can_hold(&self, amount: u64) -> bool {
        self.held.checked_add(self.assumed()).and_then(|sum| sum.checked_add(amount)).is_some()
    }

    /// Whether nothing is counted at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.charged() == 0
    }

    /// Closes a window that is over, and lets what has slid out count no longer.
    pub(crate) fn roll(&mut self, now: Timestamp) {
        match &mut self.state {
            State::Sliding(ring) => ring.advance(now),
            State::Plain { spent, assumed, open } => {
                if open.and_then(|open| open.ends_at).is_some_and(|end| now >= end) {
                    (*spent, *assumed, *open) = (0, 0, None);
                    self.held = 0;
                }
            }
        }
    }

    /// This counter as it is at `now`; a copy only where the time since it was rolled has changed it.
    pub(crate) fn at(&self, now: Timestamp) -> Cow<'_, Self> {
        let is_over = match &self.state {
            State::Sliding(ring) => ring.is_behind(now),
            State::Plain { open, .. } => open.and_then(|open| open.ends_at).is_some_and(|end| now >= end),
        };
        let mut counter = Cow::Borrowed(self);
        if is_over {
            counter.to_mut().roll(now);
        }
        counter
    }

    /// The level that `limit` is at; where nothing is settled there is none, whatever was before.
    pub(crate) fn level_now(&self, limit: &Limit, marks: &LevelMarks) -> Level {
        match self.settled() {
            0 => Level::None,
            settled => marks.level(settled, limit.amount, self.level),
        }
    }

    /// Sets `amount` aside by the fact with number `seq`.
    pub(crate) fn hold(&mut self, window: &Window, amount: u64, seq: u64, now: Timestamp) {
        self.begin(window, seq, now);
        self.held = self.held.saturating_add(amount);
    }

    /// Ends a hold that fact `seq` made: `held` is free again, `spent` is spent.
    pub(crate) fn settle(&mut self, seq: u64, held: u64, spent: u64, now: Timestamp) {
        if self.owns(seq) {
            self.held = self.held.saturating_sub(held);
            self.spend(spent, now);
        }
    }

    /// Ends a hold that fact `seq` made without news: what was held is assumed to be spent.
    pub(crate) fn assume(&mut self, seq: u64, held: u64, now: Timestamp) {
        if !self.owns(seq) {
            return;
        }
        self.held = self.held.saturating_sub(held);
        match &mut self.state {
            State::Plain { assumed, .. } => *assumed = assumed.saturating_add(held),
            State::Sliding(ring) => ring.assume(held, now),
        }
    }

    /// Turns what was assumed, or was corrected before, into `truth`; what this counter no longer counts is not taken
    /// from it, so that after a reset the truth only adds.
    pub(crate) fn correct(&mut self, was: &Was, truth: u64, now: Timestamp) {
        let forgotten = was.assumed_by < self.reset_by;
        let more = truth.saturating_sub(was.corrected.map_or(was.amount, |(spent, _)| spent));
        let owns = self.owns(was.held_by);
        match (&mut self.state, was.corrected) {
            (State::Sliding(ring), _) if forgotten => ring.spend(more, now),
            (State::Sliding(ring), None) => ring.correct(was.amount, was.at, truth, now),
            (State::Sliding(ring), Some((spent, at))) => {
                ring.correct_again((was.amount, was.at), (spent, at), truth, now);
            }
            (State::Plain { spent, .. }, _) if owns && forgotten => *spent = spent.saturating_add(more),
            (State::Plain { spent, assumed, .. }, None) if owns => {
                *assumed = assumed.saturating_sub(was.amount);
                *spent = spent.saturating_add(truth);
            }
            (State::Plain { spent, .. }, Some((before, _))) if owns => {
                *spent = spent.saturating_sub(before).saturating_add(truth);
            }
            (State::Plain { .. }, _) => {}
        }
    }

    /// Counts usage that had no hold.
    pub(crate) fn add(&mut self, window: &Window, amount: u64, seq: u64, now: Timestamp) {
        self.begin(window, seq, now);
        self.spend(amount, now);
    }

    /// Begins a fixed window anew: with the next call, or now where calls are in flight.
    pub(crate) fn restart(&mut self, window: &Window, is_idle: bool, now: Timestamp) {
        let (State::Plain { open: open @ Some(_), .. }, Window::Fixed(span)) = (&mut self.state, window) else {
            return;
        };
        *open = if is_idle { None } else { open.map(|open| Open { ends_at: Some(now.after(*span)), ..open }) };
    }

    /// Forgets, by fact `seq`, what was spent and assumed; what is held stays held.
    pub(crate) fn reset(&mut self, seq: u64) {
        self.reset_by = seq;
        match &mut self.state {
            State::Plain { spent, assumed, .. } => (*spent, *assumed) = (0, 0),
            State::Sliding(ring) => ring.clear(),
        }
    }

    /// The first instant at which no more than `most` is settled, as far as time alone brings it about.
    pub(crate) fn falls_to(&self, most: u64) -> Option<Timestamp> {
        match &self.state {
            State::Plain { open, .. } => open.and_then(|open| open.ends_at),
            State::Sliding(ring) => Some(ring.falls_to(most)),
        }
    }

    /// The first instant at which no more than `most` is charged, should every call in flight stay in flight; `None`
    /// where these leave too little by themselves.
    pub(crate) fn frees_to(&self, most: u64) -> Option<Timestamp> {
        match &self.state {
            // Calls in flight stay behind in the window that admitted them.
            State::Plain { .. } => self.falls_to(most),
            State::Sliding(_) => self.falls_to(most.checked_sub(self.held)?),
        }
    }

    /// When the window that is open now ends, where it ends at once.
    pub(crate) fn ends_at(&self) -> Option<Timestamp> {
        match &self.state {
            State::Plain { open, .. } => open.and_then(|open| open.ends_at),
            State::Sliding(_) => None,
        }
    }

    pub(crate) fn snapshot(&self) -> CounterSnapshot {
        let window = match &self.state {
            State::Plain { open, .. } => WindowSnapshot::Plain(open.map(|open| (open.since, open.ends_at))),
            State::Sliding(ring) => ring.snapshot(),
        };
        let (held, reset_by, level) = (self.held, self.reset_by, self.level);
        CounterSnapshot { held, reset_by, level, spent: self.spent(), assumed: self.assumed(), window }
    }

    /// The counter of a limit with this window; `None` where the snapshot is of one with another.
    pub(crate) fn of(window: &Window, snapshot: &CounterSnapshot) -> Option<Self> {
        let CounterSnapshot { held, reset_by, level, spent, assumed, window: kept } = snapshot;
        let state = match (window, kept) {
            (Window::Sliding(span), WindowSnapshot::Sliding { newest, slots }) => {
                State::Sliding(Box::new(Ring::of(*span, *newest, (*spent, *assumed), slots)?))
            }
            (Window::Sliding(_), _) | (_, WindowSnapshot::Sliding { .. }) => return None,
            (_, WindowSnapshot::Plain(open)) => {
                let open = open.map(|(since, ends_at)| Open { since, ends_at });
                State::Plain { spent: *spent, assumed: *assumed, open }
            }
        };
        Some(Self { held: *held, reset_by: *reset_by, level: *level, state })
    }

    fn owns(&self, seq: u64) -> bool {
        match &self.state {
            State::Plain { open, .. } => open.is_some_and(|open| seq >= open.since),
            State::Sliding(_) => true,
        }
    }

    fn spend(&mut self, amount: u64, now: Timestamp) {
        match &mut self.state {
            State::Plain { spent, .. } => *spent = spent.saturating_add(amount),
            State::Sliding(ring) => ring.spend(amount, now),
        }
    }

    /// Opens the window where none is open.
    fn begin(&mut self, window: &Window, seq: u64, now: Timestamp) {
        let State::Plain { open: open @ None, .. } = &mut self.state else { return };
        let ends_at = match window {
            Window::Fixed(span) => Some(now.after(*span)),
            Window::Calendar(unit, zone) => Some(calendar::ends_at(*unit, zone, now)),
            Window::Lifetime | Window::Sliding(_) => None,
        };
        *open = Some(Open { since: seq, ends_at });
    }
}

/// What a counter was told when a hold expired.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Was {
    pub(crate) amount: u64,
    /// When it was assumed.
    pub(crate) at: Timestamp,
    /// The number of the fact that made the hold.
    pub(crate) held_by: u64,
    /// The number of the fact that assumed it.
    pub(crate) assumed_by: u64,
    /// What it was corrected to before, and when.
    pub(crate) corrected: Option<(u64, Timestamp)>,
}

/// The part of a charge that a limit counts.
pub(crate) fn part(limit: &Limit, charge: &Charge) -> u64 {
    charge[limit.meter]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sliding_limit_takes_no_more_than_two_kibibytes() {
        assert!(size_of::<Counter>() + size_of::<Ring>() <= 2048, "{} and {}", size_of::<Counter>(), size_of::<Ring>());
    }

    #[test]
    fn a_limit_that_does_not_slide_takes_no_more_than_two_hundred_bytes() {
        assert!(size_of::<Counter>() <= 200, "{}", size_of::<Counter>());
    }

    #[test]
    fn where_nothing_is_settled_there_is_no_level_however_low_the_marks() -> Result<(), almoner_units::LevelMarksError>
    {
        let limit = Limit { meter: almoner_units::Meter::Tokens, amount: 100, window: Window::Lifetime };
        let marks = LevelMarks::new([3, 50, 60, 70])?;
        let mut counter = Counter::new(&limit.window, 1, Timestamp::from_ms(0));
        counter.level = Level::Warning;
        assert_eq!(counter.level_now(&limit, &marks), Level::None);
        counter.add(&limit.window, 1, 2, Timestamp::from_ms(0));
        assert_eq!(counter.level_now(&limit, &marks), Level::Warning, "left only five points lower, which is nothing");
        Ok(())
    }
}
