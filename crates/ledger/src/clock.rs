//! Ledger time: it never goes back, and a forward jump of the wall clock does not reset a budget.
//!
//! A wall clock that is set to tomorrow and back would otherwise open a new day for whoever can set it. So the wall
//! clock is held against a steady one: where it leaves the course on which it was last believed, by one jump or by many
//! small steps, ledger time stands still, which can only count too much, until the clock is back on that course or has
//! kept its new one for ten minutes. While the process is down nobody watches the clock: a long gap at the start is
//! believed.

use almoner_units::{Span, Timestamp};

/// How far the wall clock may stray from the course that the steady clock keeps.
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

impl Reading {
    /// Whether `later` is what a wall clock that keeps its course from here would show.
    fn leads_to(&self, later: &Self) -> bool {
        let passed = Span::from_ms(later.steady.ms().saturating_sub(self.steady.ms()));
        let expected = self.wall.after(passed);
        later.wall.since(expected).max(expected.since(later.wall)) <= JUMP
    }
}

/// Makes ledger time out of readings of the two clocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clock {
    now: Timestamp,
    /// Where the course begins that the wall clock is believed to keep.
    trusted: Reading,
    /// Where the course begins that it keeps instead.
    suspect: Option<Reading>,
}

impl Clock {
    /// Starts from the latest time in the journal and a first reading.
    #[must_use]
    pub fn new(journaled: Timestamp, first: Reading) -> Self {
        Self { now: journaled.max(first.wall), trusted: first, suspect: None }
    }

    /// Ledger time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Whether ledger time stands still because the wall clock left its course.
    #[must_use]
    pub fn is_suspect(&self) -> bool {
        self.suspect.is_some()
    }

    /// Takes a reading, and gives ledger time.
    pub fn tick(&mut self, reading: Reading) -> Timestamp {
        self.suspect = if self.trusted.leads_to(&reading) { None } else { self.suspect_course(reading) };
        if self.suspect.is_none() {
            self.now = self.now.max(reading.wall);
        }
        self.now
    }

    /// Where the new course of a wall clock that left the old one begins; `None` once it has kept it long enough.
    fn suspect_course(&mut self, reading: Reading) -> Option<Reading> {
        let begins = self.suspect.filter(|begins| begins.leads_to(&reading)).unwrap_or(reading);
        if reading.steady.ms().saturating_sub(begins.steady.ms()) < STABLE.ms() {
            return Some(begins);
        }
        self.trusted = reading;
        None
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
        assert_eq!(clock.tick(reading(10 * MINUTE, 10 * MINUTE)), Timestamp::from_ms(START + 10 * MINUTE));
        assert!(!clock.is_suspect());
    }

    #[test]
    fn a_day_in_small_steps_is_not_believed_either() {
        let mut clock = clock();
        for step in 1..=300 {
            // Every second, somebody sets the clock four minutes forward.
            clock.tick(reading(step * 4 * MINUTE, step * 1000));
        }
        assert!(clock.is_suspect() && clock.now() <= Timestamp::from_ms(START + 10 * MINUTE), "{}", clock.now());
    }

    #[test]
    fn a_clock_that_was_set_back_waits_until_it_has_caught_up() {
        let mut clock = clock();
        clock.tick(reading(120 * MINUTE, 120 * MINUTE));
        for minute in 121..=180 {
            let now = clock.tick(reading((minute - 60) * MINUTE, minute * MINUTE));
            assert_eq!(now, Timestamp::from_ms(START + 120 * MINUTE));
        }
        assert_eq!(clock.tick(reading(121 * MINUTE, 181 * MINUTE)), Timestamp::from_ms(START + 121 * MINUTE));
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
