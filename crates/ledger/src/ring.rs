//! A sliding window as a ring of 121 slots, all counted whole.
//!
//! The window is cut into 120 slots; the 121st is the one that has only partly slid out. Because it still counts whole,
//! the ring never counts less than the true sum of the window, and frees an amount at most 1/120 of the window late.

use almoner_units::{Span, Timestamp};

use crate::snapshot::WindowSnapshot;

/// Slots that can overlap the window that ends now.
const SLOTS: usize = 121;
const SLOTS_U64: u64 = SLOTS as u64;

/// What was spent and assumed in each slot of the window that ends at the latest instant the ring has seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ring {
    slot_ms: u64,
    /// The number of the newest slot, counted from the epoch.
    newest: u64,
    spent: u64,
    assumed: u64,
    slots: [Slot; SLOTS],
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Slot {
    spent: u64,
    assumed: u64,
}

impl Ring {
    pub(crate) fn new(window: Span, now: Timestamp) -> Self {
        let slot_ms = window.ms().div_ceil(SLOTS_U64 - 1).max(1);
        Self { slot_ms, newest: now.ms() / slot_ms, spent: 0, assumed: 0, slots: [Slot::default(); SLOTS] }
    }

    /// Settled usage in the window.
    pub(crate) fn spent(&self) -> u64 {
        self.spent
    }

    /// Assumed usage in the window.
    pub(crate) fn assumed(&self) -> u64 {
        self.assumed
    }

    /// Whether a slot has begun by `now` that the ring has not seen.
    pub(crate) fn is_behind(&self, now: Timestamp) -> bool {
        now.ms() / self.slot_ms > self.newest
    }

    /// Lets every slot that has slid out of the window by `now` count no longer.
    pub(crate) fn advance(&mut self, now: Timestamp) {
        let newest = now.ms() / self.slot_ms;
        if newest <= self.newest {
            return;
        }
        let passed = (newest - self.newest).min(SLOTS_U64);
        for number in newest - passed + 1..=newest {
            let gone = std::mem::take(&mut self.slots[index(number)]);
            self.forget(gone);
        }
        self.newest = newest;
    }

    fn forget(&mut self, gone: Slot) {
        self.assumed = self.assumed.saturating_sub(gone.assumed);
        self.spent = match self.spent {
            // The sum stopped at the largest number there is; only the slots know what is left of it.
            u64::MAX => self.slots.iter().fold(0, |sum, slot| sum.saturating_add(slot.spent)),
            sum => sum.saturating_sub(gone.spent),
        };
    }

    /// Counts `amount` as spent now.
    pub(crate) fn spend(&mut self, amount: u64, now: Timestamp) {
        self.advance(now);
        self.spend_in(self.newest, amount);
    }

    /// Counts `amount` as assumed now.
    pub(crate) fn assume(&mut self, amount: u64, now: Timestamp) {
        self.advance(now);
        let slot = &mut self.slots[index(self.newest)];
        slot.assumed = slot.assumed.saturating_add(amount);
        self.assumed = self.assumed.saturating_add(amount);
    }

    /// Turns `assumed`, which was counted at `then`, into `spent`: in its own slot where that still counts, and what
    /// is more than was assumed in the slot of now.
    pub(crate) fn correct(&mut self, assumed: u64, then: Timestamp, spent: u64, now: Timestamp) {
        self.advance(now);
        let number = then.ms() / self.slot_ms;
        if self.counts(number) {
            let slot = &mut self.slots[index(number)];
            slot.assumed = slot.assumed.saturating_sub(assumed);
            self.assumed = self.assumed.saturating_sub(assumed);
            self.spend_in(number, spent.min(assumed));
        }
        self.spend_in(self.newest, spent.saturating_sub(assumed));
    }

    /// Turns what was corrected to `before` into `truth`: up to what was assumed it counts where that counted, and what
    /// is beyond counts from when it was last told.
    pub(crate) fn correct_again(
        &mut self,
        (assumed, then): (u64, Timestamp),
        (before, told): (u64, Timestamp),
        truth: u64,
        now: Timestamp,
    ) {
        self.advance(now);
        self.unspend_in(then.ms() / self.slot_ms, before.min(assumed));
        self.unspend_in(told.ms() / self.slot_ms, before.saturating_sub(assumed));
        let number = then.ms() / self.slot_ms;
        if self.counts(number) {
            self.spend_in(number, truth.min(assumed));
        }
        self.spend_in(self.newest, truth.saturating_sub(assumed));
    }

    /// Forgets all that was spent and assumed.
    pub(crate) fn clear(&mut self) {
        self.slots = [Slot::default(); SLOTS];
        self.spent = 0;
        self.assumed = 0;
    }

    pub(crate) fn snapshot(&self) -> WindowSnapshot {
        let counts = |slot: &Slot| *slot != Slot::default();
        let slots = (0..=u8::MAX).zip(&self.slots).filter(|(_, slot)| counts(slot));
        let slots = slots.map(|(at, slot)| (at, slot.spent, slot.assumed)).collect();
        WindowSnapshot::Sliding { newest: self.newest, slots }
    }

    /// The ring of which `slots` are those that count anything; `None` where one of them lies outside of it.
    pub(crate) fn of(window: Span, newest: u64, sums: (u64, u64), slots: &[(u8, u64, u64)]) -> Option<Self> {
        let (spent, assumed) = sums;
        let mut ring = Self { newest, spent, assumed, ..Self::new(window, Timestamp::default()) };
        for (at, spent, assumed) in slots {
            *ring.slots.get_mut(usize::from(*at))? = Slot { spent: *spent, assumed: *assumed };
        }
        Some(ring)
    }

    /// The first instant at which no more than `most` of what is counted now still counts.
    pub(crate) fn falls_to(&self, most: u64) -> Timestamp {
        let mut left = self.spent.saturating_add(self.assumed);
        let oldest = self.newest.saturating_sub(SLOTS_U64 - 1);
        for number in oldest..=self.newest {
            if left <= most {
                return Timestamp::from_ms(number.saturating_add(SLOTS_U64 - 1).saturating_mul(self.slot_ms));
            }
            let slot = self.slots[index(number)];
            left = left.saturating_sub(slot.spent).saturating_sub(slot.assumed);
        }
        Timestamp::from_ms(self.newest.saturating_add(SLOTS_U64).saturating_mul(self.slot_ms))
    }

    fn counts(&self, number: u64) -> bool {
        number <= self.newest && self.newest - number < SLOTS_U64
    }

    fn unspend_in(&mut self, number: u64, amount: u64) {
        // A sum that stopped at the largest number there is says no more what is in it.
        if self.counts(number) && self.spent < u64::MAX {
            let slot = &mut self.slots[index(number)];
            let amount = amount.min(slot.spent);
            slot.spent -= amount;
            self.spent -= amount;
        }
    }

    fn spend_in(&mut self, number: u64, amount: u64) {
        let slot = &mut self.slots[index(number)];
        slot.spent = slot.spent.saturating_add(amount);
        self.spent = self.spent.saturating_add(amount);
    }
}

/// Where the slot with this number lies.
fn index(number: u64) -> usize {
    // A remainder of 121 fits every usize.
    #[allow(clippy::cast_possible_truncation)]
    let index = (number % SLOTS_U64) as usize;
    index
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Span = Span::from_secs(3600);

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_ms(1_764_000_000_000 + secs * 1000)
    }

    #[test]
    fn what_was_spent_counts_for_the_whole_window_and_half_a_minute_at_most_beyond() {
        let mut ring = Ring::new(HOUR, at(0));
        ring.spend(7, at(17));
        ring.advance(at(17 + 3600));
        assert_eq!(ring.spent(), 7);
        ring.advance(at(17 + 3600 + 30));
        assert_eq!(ring.spent(), 0);
    }

    #[test]
    fn the_ring_never_counts_less_than_the_window_holds() {
        let mut ring = Ring::new(HOUR, at(0));
        let mut log: Vec<(u64, u64)> = Vec::new();
        let mut now = 0;
        for step in 0..5000u64 {
            now += step * 7919 % 61;
            let amount = step * 104_729 % 97;
            ring.spend(amount, at(now));
            log.push((now, amount));
            let sum = |reach: u64| log.iter().filter(|(then, _)| then + reach > now).map(|(_, amount)| amount).sum();
            let (exact, late): (u64, u64) = (sum(3600), sum(3630));
            assert!(ring.spent() >= exact, "counts {} of {exact} at {now}", ring.spent());
            assert!(ring.spent() <= late, "counts {} beyond {late} at {now}", ring.spent());
        }
    }

    #[test]
    fn late_truth_lowers_the_slot_that_was_assumed_or_adds_the_excess_now() {
        let mut ring = Ring::new(HOUR, at(0));
        ring.assume(10, at(0));
        ring.correct(10, at(0), 4, at(60));
        assert_eq!((ring.spent(), ring.assumed()), (4, 0));
        ring.assume(10, at(60));
        ring.correct(10, at(60), 15, at(1800));
        assert_eq!((ring.spent(), ring.assumed()), (19, 0));
        ring.advance(at(3600 + 90));
        assert_eq!(ring.spent(), 5, "the excess entered when it was told");
        ring.correct(10, at(0), 12, at(8000));
        assert_eq!(ring.spent(), 2, "of a slot that slid out only the excess counts");
    }

    #[test]
    fn it_tells_when_enough_has_slid_out() {
        let mut ring = Ring::new(HOUR, at(0));
        ring.spend(5, at(0));
        ring.spend(5, at(600));
        let free = ring.falls_to(5);
        let mut later = ring.clone();
        later.advance(Timestamp::from_ms(free.ms() - 1));
        assert_eq!(later.spent(), 10);
        later.advance(free);
        assert_eq!(later.spent(), 5);
        assert!(ring.falls_to(10) <= at(600), "that much may stay: it is so already");
        later.advance(ring.falls_to(0));
        assert_eq!(later.spent(), 0);
    }
}
