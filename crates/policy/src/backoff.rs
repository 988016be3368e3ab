//! How long a call waits before it is sent once more to a provider that was too busy for it.
//!
//! Time and chance are arguments. The waits double from one second up to a minute. Half of each is certain and half is
//! by the dice: whoever was turned away at the same moment does not come back at the same moment, and still nobody
//! comes back at once, as a wait that is all dice would let some. What the provider tells is obeyed instead, and no
//! call waits longer than it may: one that would have to is over.

use almoner_units::Span;

/// The first wait, and the longest.
const WAIT_MS: [u64; 2] = [1_000, 60_000];
/// Into how many parts the half of a wait is cut of which the dice choose one.
const PARTS: u64 = 1 << 16;

/// How often a call is tried again, and how long it waits for that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The most times that it is tried again.
    pub retries_max: u32,
    /// The most that all its waits together may take.
    pub wait_max: Span,
}

/// Why a call is not tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GiveUp {
    /// It was, as often as it may be.
    #[error("it was tried again {0} times")]
    Often(u32),
    /// It would wait longer than it may.
    #[error("it would have to wait {0}")]
    Long(Span),
}

impl Backoff {
    /// How long to wait before the next try of a call that was tried again `retries` times, after waits of `waited` in
    /// all. `told` is the wait that its provider asks for.
    ///
    /// # Errors
    /// [`GiveUp`] where it is not tried again.
    pub fn next(&self, retries: u32, waited: Span, told: Option<Span>, dice: u64) -> Result<Span, GiveUp> {
        if retries >= self.retries_max {
            return Err(GiveUp::Often(retries));
        }
        let wait = match told {
            // Never before its time; a little after it, because others were told the same.
            Some(told) => Span::from_ms(told.ms().saturating_add(jittered(schedule(0), dice).ms())),
            None => jittered(schedule(retries), dice),
        };
        if waited.ms().saturating_add(wait.ms()) > self.wait_max.ms() {
            return Err(GiveUp::Long(wait));
        }
        Ok(wait)
    }
}

/// The longest wait after so many tries in vain.
const fn schedule(retries: u32) -> Span {
    let [first, longest] = WAIT_MS;
    // Past this many doublings any wait is the longest.
    let doublings = if retries < 16 { retries } else { 16 };
    let wait = first << doublings;
    Span::from_ms(if wait < longest { wait } else { longest })
}

/// Half of a wait, and of the other half what the dice say.
fn jittered(wait: Span, dice: u64) -> Span {
    let half = wait.ms() / 2;
    Span::from_ms(half + (wait.ms() - half) * (dice % PARTS + 1) / PARTS)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Backoff = Backoff { retries_max: 9, wait_max: Span::from_secs(3600) };
    /// The dice for the longest wait and for the shortest.
    const HIGH: u64 = u64::MAX;
    const LOW: u64 = 0;

    #[test]
    fn the_waits_double_from_a_second_to_a_minute() {
        let waits: Vec<Span> = (0..9).map(|tries| LONG.next(tries, Span::default(), None, HIGH).unwrap()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60].map(Span::from_secs));
        assert_eq!(schedule(u32::MAX), Span::from_secs(60));
    }

    #[test]
    fn half_of_a_wait_is_certain_and_half_is_by_the_dice() {
        for tries in 0..9 {
            let wait = |dice| LONG.next(tries, Span::default(), None, dice).unwrap().ms();
            let whole = schedule(tries).ms();
            assert!((whole / 2..=whole / 2 + 1).contains(&wait(LOW)) && wait(HIGH) == whole, "{tries}");
            assert!((whole * 7 / 10..whole * 8 / 10).contains(&wait(PARTS / 2)), "{tries}: about in the middle");
        }
    }

    #[test]
    fn a_call_is_tried_again_as_often_as_it_may_be() {
        let five = Backoff { retries_max: 5, ..LONG };
        assert!(five.next(4, Span::default(), None, LOW).is_ok());
        assert_eq!(five.next(5, Span::default(), None, LOW), Err(GiveUp::Often(5)));
        assert_eq!(five.next(5, Span::default(), Some(Span::default()), LOW), Err(GiveUp::Often(5)));
        let never = Backoff { retries_max: 0, ..LONG };
        assert_eq!(never.next(0, Span::default(), None, LOW), Err(GiveUp::Often(0)));
    }

    #[test]
    fn what_the_provider_tells_is_obeyed() {
        let told = |ms, dice| LONG.next(3, Span::default(), Some(Span::from_ms(ms)), dice).unwrap().ms();
        assert_eq!((told(7_000, LOW), told(7_000, HIGH)), (7_500, 8_000), "never before its time");
        assert_eq!(told(90_000, LOW), 90_500, "also where that is longer than any wait of ours");
        assert_eq!(told(0, LOW), 500, "whoever says `at once` is not asked without end");
    }

    #[test]
    fn who_would_wait_longer_than_it_may_does_not_begin_to() {
        let brief = Backoff { retries_max: 5, wait_max: Span::from_secs(10) };
        let next = |retries, waited, told: Option<u64>| {
            brief.next(retries, Span::from_secs(waited), told.map(Span::from_secs), HIGH)
        };
        assert_eq!(next(0, 0, Some(9)), Ok(Span::from_secs(10)));
        assert_eq!(next(0, 0, Some(10)), Err(GiveUp::Long(Span::from_secs(11))));
        assert_eq!(next(0, 1, Some(9)), Err(GiveUp::Long(Span::from_secs(10))));
        assert_eq!(next(2, 6, None), Ok(Span::from_secs(4)));
        assert_eq!(next(3, 7, None), Err(GiveUp::Long(Span::from_secs(8))));
        let endless = Some(Span::from_ms(u64::MAX));
        assert_eq!(LONG.next(0, Span::from_ms(u64::MAX), endless, HIGH), Err(GiveUp::Long(Span::from_ms(u64::MAX))));
    }

    #[test]
    fn five_retries_almost_always_fit_into_the_usual_wait() {
        let usual = Backoff { retries_max: 5, wait_max: Span::from_secs(30) };
        // A linear congruential generator is dice enough.
        let mut dice = 1_u64;
        let mut all_five = 0;
        for _ in 0..1000 {
            let mut waited = Span::default();
            let tries = (0..5).take_while(|tries| {
                dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let wait = usual.next(*tries, waited, None, dice >> 32);
                waited = Span::from_ms(waited.ms() + wait.map_or(0, Span::ms));
                wait.is_ok()
            });
            all_five += usize::from(tries.count() == 5);
        }
        assert!(all_five > 980, "{all_five}");
    }
}
