//! Dice whose every throw follows from a seed.

/// Xorshift64*: small, the same everywhere, good enough to roll histories.
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        // Neighbouring seeds must not begin alike, and a state of nothing would stay so.
        let mixed = (seed ^ 0x9e37_79b9_7f4a_7c15).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mut dice = Self((mixed ^ (mixed >> 31)).max(1));
        for _ in 0..4 {
            dice.throw();
        }
        dice
    }

    fn throw(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11
    }

    /// A number below `faces`, which must not be 0.
    pub(crate) fn below(&mut self, faces: u64) -> u64 {
        self.throw() % faces
    }

    /// A number from `least` to `most`, both included.
    pub(crate) fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.below(most - least + 1)
    }

    /// Whether something happens that happens once in `times`.
    pub(crate) fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// The place of one of `len` things; there must be one.
    pub(crate) fn place(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).unwrap_or(0)
    }

    /// One of the choices; there must be one.
    pub(crate) fn pick<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.place(choices.len())].clone()
    }

    /// Ten bytes for an id.
    pub(crate) fn bytes(&mut self) -> [u8; 10] {
        let (one, two) = (self.throw().to_le_bytes(), self.throw().to_le_bytes());
        [one[0], one[1], one[2], one[3], one[4], two[0], two[1], two[2], two[3], two[4]]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_says_every_throw_and_neighbours_differ() {
        let throws = |seed| (0..8).scan(Dice::new(seed), |dice, _| Some(dice.below(1000))).collect::<Vec<_>>();
        assert_eq!(throws(7), throws(7));
        assert_ne!(throws(7), throws(8));
        assert!((0..1000).all(|seed| (3..=5).contains(&Dice::new(seed).between(3, 5))));
    }
}
