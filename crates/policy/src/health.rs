//! Whether a provider can be expected to answer, by what its calls came to.
//!
//! Nobody asks it for that alone: calls that were made anyway tell. After a few failures in a row, or many among its
//! last calls, it counts as down, and calls that can go elsewhere do. Then one real call at a time tries it again,
//! after a wait that doubles from one second to a minute. Time is an argument.

use almoner_units::{Span, Timestamp};

/// How many failures in a row bring a provider down.
const IN_A_ROW_MAX: u32 = 3;
/// Among how many calls of the last minute half of them failing brings it down.
const CALLS_MIN: u32 = 20;
/// The first wait before it is tried again, and the longest.
const WAIT_MS: [u64; 2] = [1_000, 60_000];
/// How long a try may go without news before another is made.
const TRY_MAX: Span = Span::from_secs(60);
/// The parts of the last minute, each of ten seconds.
const SLOTS: usize = 6;
const SLOT_MS: u64 = 10_000;

/// What is known of a provider's health.
#[derive(Clone, Debug, Default)]
pub struct Health {
    state: State,
    in_a_row: u32,
    /// Whose call failed last.
    failed_last: Option<u64>,
    slots: [Slot; SLOTS],
    last: Option<(Timestamp, String)>,
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    #[default]
    Up,
    /// Nobody tries it before `again_at`.
    Down { since: Timestamp, tries: u32, again_at: Timestamp },
    /// One call tries it.
    Tried { since: Timestamp, tries: u32, until: Timestamp },
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    number: u64,
    calls: u32,
    failed: u32,
}

impl Health {
    /// Whether a call may go there; one that is to try it has it for itself from now on.
    pub fn claim(&mut self, now: Timestamp) -> bool {
        let (since, tries) = match self.state {
            State::Up => return true,
            State::Down { again_at, .. } if now < again_at => return false,
            State::Tried { until, .. } if now < until => return false,
            State::Down { since, tries, .. } | State::Tried { since, tries, .. } => (since, tries),
        };
        self.state = State::Tried { since, tries, until: now.after(TRY_MAX) };
        true
    }

    /// The call that was to try it did not go there after all.
    pub fn give_back(&mut self) {
        if let State::Tried { since, tries, .. } = self.state {
            self.state = State::Down { since, tries, again_at: since };
        }
    }

    /// It answered.
    pub fn well(&mut self, now: Timestamp) {
        self.count(now, 0);
        self.in_a_row = 0;
        if !matches!(self.state, State::Up) {
            self.state = State::Up;
            self.slots = [Slot::default(); SLOTS];
        }
    }

    /// It did not answer, or failed, for this reason. `by` is whose call that was, where the call may have been the
    /// cause: one that fails again and again counts once, so that nobody alone brings a provider down for all others.
    pub fn failed(&mut self, why: &str, by: Option<u64>, now: Timestamp) {
        self.last = Some((now, why.chars().take(200).collect()));
        let is_same = by.is_some() && self.failed_last == by;
        self.failed_last = by.or(self.failed_last);
        if is_same && matches!(self.state, State::Up) {
            return;
        }
        self.count(now, 1);
        self.in_a_row = self.in_a_row.saturating_add(1);
        self.state = match self.state {
            State::Up if self.is_ill(now) => State::Down { since: now, tries: 0, again_at: now.after(wait(0)) },
            State::Tried { since, tries, .. } => {
                let tries = tries.saturating_add(1);
                State::Down { since, tries, again_at: now.after(wait(tries)) }
            }
            // One that was on its way when it went down is no try.
            as_it_was => as_it_was,
        };
    }

    /// Since when it is down.
    #[must_use]
    pub const fn down_since(&self) -> Option<Timestamp> {
        match self.state {
            State::Up => None,
            State::Down { since, .. } | State::Tried { since, .. } => Some(since),
        }
    }

    /// When it last failed, and why.
    #[must_use]
    pub fn last_failure(&self) -> Option<(Timestamp, &str)> {
        self.last.as_ref().map(|(at, why)| (*at, why.as_str()))
    }

    fn is_ill(&self, now: Timestamp) -> bool {
        let recent = self.slots.iter().filter(|slot| slot.number + (SLOTS as u64) > number(now));
        let (calls, failed) = recent.fold((0, 0), |(calls, failed), slot| (calls + slot.calls, failed + slot.failed));
        self.in_a_row >= IN_A_ROW_MAX || (calls >= CALLS_MIN && failed * 2 >= calls)
    }

    fn count(&mut self, now: Timestamp, failed: u32) {
        let number = number(now);
        let slot = &mut self.slots[usize::try_from(number % SLOTS as u64).unwrap_or(0)];
        if slot.number != number {
            *slot = Slot { number, ..Slot::default() };
        }
        slot.calls = slot.calls.saturating_add(1);
        slot.failed = slot.failed.saturating_add(failed);
    }
}

const fn number(now: Timestamp) -> u64 {
    now.ms() / SLOT_MS
}

/// How long nobody tries it after so many tries in vain.
fn wait(tries: u32) -> Span {
    let [first, longest] = WAIT_MS;
    Span::from_ms(first.checked_shl(tries.min(16)).unwrap_or(longest).min(longest))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEGIN: Timestamp = Timestamp::from_ms(1_795_500_000_000);

    /// `SECONDS EVENT [ANSWER]` a line: `well`, `failed` by another call each time, `provoked` by the same,
    /// `unreachable` for any, `back`, or `claim` with `yes` or `no`; then `up` or `down`.
    #[track_caller]
    fn check(script: &str) {
        let mut health = Health::default();
        let mut others = 0;
        for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let words: Vec<&str> = line.split_whitespace().collect();
            let now = BEGIN.after(Span::from_ms(words[0].parse::<u64>().unwrap() * 1000));
            let mut rest = &words[2..];
            match words[1] {
                "well" => health.well(now),
                "failed" => {
                    // Another's call each time.
                    others += 1;
                    health.failed("refused", Some(others), now);
                }
                "unreachable" => health.failed("refused", None, now),
                "provoked" => health.failed("answered 500", Some(0), now),
                "back" => health.give_back(),
                "claim" => {
                    assert_eq!(if health.claim(now) { "yes" } else { "no" }, rest[0], "{line}");
                    rest = &rest[1..];
                }
                other => panic!("{other}"),
            }
            if let [state] = rest {
                assert_eq!(if health.down_since().is_some() { "down" } else { "up" }, *state, "{line}");
            }
        }
    }

    #[test]
    fn three_failures_in_a_row_bring_it_down_and_one_answer_up_again() {
        check(
            "0 failed up\n 0 failed up\n 0 well up\n 0 failed up\n 0 failed up\n 0 failed down\n 0 claim no\n 0 well up",
        );
    }

    #[test]
    fn nobody_alone_brings_it_down() {
        let many = "0 provoked up\n".repeat(50);
        check(&format!("{many} 0 well\n {many} 0 failed up\n 0 provoked up\n 0 failed down"));
        check("0 provoked\n 0 failed\n 0 provoked down");
        check("0 unreachable up\n 0 unreachable up\n 0 unreachable down");
        // A try in vain is one, whoever made it.
        check("0 provoked\n 0 failed\n 0 provoked down\n 1 claim yes\n 1 provoked down\n 2 claim no\n 3 claim yes");
    }

    #[test]
    fn one_call_at_a_time_tries_it_again() {
        check(
            "0 failed\n 0 failed\n 0 failed down
             0 claim no
             1 claim yes
             1 claim no
             1 well up
             1 claim yes",
        );
    }

    #[test]
    fn each_try_in_vain_doubles_the_wait_up_to_a_minute() {
        let mut script = "0 failed\n 0 failed\n 0 failed down\n".to_owned();
        let mut at = 0;
        for wait in [1, 2, 4, 8, 16, 32, 60, 60] {
            script.push_str(&format!(
                "{} claim no\n {} claim yes\n {} failed down\n",
                at + wait - 1,
                at + wait,
                at + wait
            ));
            at += wait;
        }
        check(&script);
    }

    #[test]
    fn a_try_that_was_not_made_or_never_heard_of_is_made_by_another() {
        check("0 failed\n 0 failed\n 0 failed\n 1 claim yes\n 1 back down\n 1 claim yes\n 60 claim no\n 61 claim yes");
    }

    #[test]
    fn what_was_on_its_way_when_it_went_down_changes_nothing() {
        check("0 failed\n 0 failed\n 0 failed\n 0 failed\n 0 failed down\n 1 claim yes");
    }

    #[test]
    fn half_of_many_calls_in_a_minute_bring_it_down_and_old_ones_do_not_count() {
        let pair = |at: u64| format!("{at} well\n {at} failed\n");
        let nine: String = (0..9).map(|_| pair(0)).collect();
        check(&format!("{nine} 0 well\n 0 failed down"));
        check(&format!("{nine} 70 well\n 70 failed up"));
    }

    #[test]
    fn the_last_failure_is_told() {
        let mut health = Health::default();
        health.failed("refused", None, BEGIN);
        health.well(BEGIN);
        assert_eq!(health.last_failure(), Some((BEGIN, "refused")));
    }
}
