//! Dice whose every throw follows from a seed, so that a chance failure can be had again.

/// SplitMix64: small, good enough to spread tests, and the same everywhere.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// The dice of this seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Dice for the `number`-th of many things that share a seed, whatever order they happen in.
    #[must_use]
    pub const fn of(seed: u64, number: u64) -> Self {
        Self(seed ^ number.wrapping_mul(0xd134_2543_de82_ef95))
    }

    /// The next throw.
    pub const fn throw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 to `most`, both included.
    pub const fn up_to(&mut self, most: u64) -> u64 {
        match most.checked_add(1) {
            Some(faces) => self.throw() % faces,
            None => self.throw(),
        }
    }

    /// Whether something happens that happens once in `times`.
    pub const fn once_in(&mut self, times: u64) -> bool {
        times > 0 && self.throw().is_multiple_of(times)
    }

    /// One of the choices; there must be one.
    pub fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        let last = u64::try_from(choices.len().saturating_sub(1)).unwrap_or(u64::MAX);
        &choices[usize::try_from(self.up_to(last)).unwrap_or(0)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_says_every_throw() {
        let throws = |mut dice: Dice| [dice.throw(), dice.throw()];
        assert_eq!(throws(Dice::new(7)), throws(Dice::new(7)));
        assert_ne!(throws(Dice::new(7)), throws(Dice::new(8)));
        assert_ne!(throws(Dice::of(7, 1)), throws(Dice::of(7, 2)));
        // The first throw of the published SplitMix64 for the seed 0.
        assert_eq!(Dice::new(0).throw(), 0xe220_a839_7b1d_cdaf);
    }

    #[test]
    fn throws_stay_in_their_bounds() {
        let mut dice = Dice::new(1);
        assert!((0..1000).all(|_| dice.up_to(5) <= 5));
        assert!((0..1000).all(|_| [1, 2, 3].contains(dice.pick(&[1, 2, 3]))));
        assert!((0..100).all(|_| !dice.once_in(0)));
    }
}
