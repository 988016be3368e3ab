//! Ledger time: it never goes back, and a forward jump of the wall clock does not reset a budget.
//!
//! A wall clock that is set to tomorrow and back would otherwise open a new day for whoever can set it. So a jump is
//! believed only when the clock has kept its new course for ten minutes; until then ledger time stands still, which can
//! only count too much. While the process is down nobody watches the clock: a long gap at the start is believed.

use almoner_units::{Span, Timestamp};

/// How far the wall clock may run ahead of the steady clock between two looks.
const JUMP: Span = Span::from_secs(300);
/// How long a clock that jumped must keep its course before it is believed.
const STABLE: Span = Span::from_secs(600);

/// Two clocks read at the same moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The wall clock, which people and time servers set.
    pub wall: Timestamp,
    /// A clock that nobody sets and that runs on through suspend, from any start.
    pub steady: Span,
}

/// Makes ledger time out of readings of the two clocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clock {
    now: Timestamp,
    last: Reading,
    /// Since when, on the steady clock, a jumped wall clock has kept its course.
    suspect_since: Option<Span>,
}

impl Clock {
    /// Starts from the latest time in the journal and a first reading.
    #[must_use]
    pub fn new(journaled: Timestamp, first: Reading) -> Self {
        Self { now: journaled.max(first.wall), last: first, suspect_since: None }
    }

    /// Ledger time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Whether ledger time stands still because the wall clock jumped forward.
    #[must_use]
    pub fn is_suspect(&self) -> bool {
        self.suspect_since.is_some()
    }

    /// Takes a reading, and gives ledger time.
    pub fn tick(&mut self, reading: Reading) -> Timestamp {
        let passed = Span::from_ms(reading.steady.ms().saturating_sub(self.last.steady.ms()));
        let expected = self.last.wall.after(passed);
        let jumped = reading.wall.since(expected).max(expected.since(reading.wall)) > JUMP;
        self.last = reading;
        if jumped {
            self.suspect_since = Some(reading.steady);
        }
        // Back on the old course, or long enough on the new one: either way the clock tells the time again.
        let on_course = reading.wall.since(self.now) <= JUMP;
        let stable = |since: Span| reading.steady.ms().saturating_sub(since.ms()) >= STABLE.ms();
        if on_course || self.suspect_since.is_some_and(stable) {
            self.suspect_since = None;
        }
        if self.suspect_since.is_none() {
            self.now = self.now.max(reading.wall);
        }
        self.now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: u64 = 1_764_000_000_000;
    const MINUTE: u64 = 60_000;

    fn reading(wall: u64, steady: u64) -> Reading {
        Reading { wall: Timestamp::from_ms(START + wall), steady: Span::from_ms(steady) }
    }

    fn clock() -> Clock {
        Clock::new(Timestamp::from_ms(0), reading(0, 0))
    }

    #[test]
    fn time_follows_the_wall_clock_and_never_goes_back() {
        let mut clock = clock();
        assert_eq!(clock.tick(reading(10, 10)), Timestamp::from_ms(START + 10));
        assert_eq!(clock.tick(reading(5, 20)), Timestamp::from_ms(START + 10));
        assert_eq!(clock.tick(reading(30, 30)), Timestamp::from_ms(START + 30));
    }

    #[test]
    fn tomorrow_is_not_believed_and_the_way_back_is() {
        let mut clock = clock();
        let tomorrow = 1440 * MINUTE;
        assert_eq!(clock.tick(reading(tomorrow, MINUTE)), Timestamp::from_ms(START));
        assert!(clock.is_suspect());
        assert_eq!(clock.tick(reading(tomorrow + 8 * MINUTE, 9 * MINUTE)), Timestamp::from_ms(START));
        // Set back: the time that really passed is the time again.
        assert_eq!(clock.tick(reading(10 * MINUTE, 10 * MINUTE)), Timestamp::from_ms(START));
        assert_eq!(clock.tick(reading(21 * MINUTE, 21 * MINUTE)), Timestamp::from_ms(START + 21 * MINUTE));
        assert!(!clock.is_suspect());
    }

    #[test]
    fn a_clock_that_keeps_its_new_course_for_ten_minutes_is_believed() {
        let mut clock = clock();
        let day = 1440 * MINUTE;
        clock.tick(reading(day, MINUTE));
        assert!(clock.is_suspect());
        clock.tick(reading(day + 5 * MINUTE, 6 * MINUTE));
        assert_eq!(clock.tick(reading(day + 10 * MINUTE, 11 * MINUTE)), Timestamp::from_ms(START + day + 10 * MINUTE));
    }

    #[test]
    fn a_gap_while_nobody_watched_is_believed() {
        let mut clock = Clock::new(Timestamp::from_ms(START), reading(1440 * MINUTE, 0));
        assert_eq!(clock.now(), Timestamp::from_ms(START + 1440 * MINUTE));
        assert_eq!(clock.tick(reading(1440 * MINUTE + 1, 1)), Timestamp::from_ms(START + 1440 * MINUTE + 1));
    }

    #[test]
    fn a_machine_that_slept_did_not_jump() {
        let mut clock = clock();
        let night = 480 * MINUTE;
        assert_eq!(clock.tick(reading(night, night)), Timestamp::from_ms(START + night));
    }
}
