//! Chance with a seed: the same seed gives the same run on every machine.

/// Xorshift over 64 bits.
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    /// Dice for one run of a campaign. Neighbouring numbers are spread first, because xorshift begins slowly.
    pub(crate) fn new(seed: u64, run: u64) -> Self {
        let mixed = (seed ^ run.rotate_left(32)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mut dice = Self((mixed ^ run).max(1));
        dice.next();
        dice.next();
        dice
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below `end`; 0 where that is 0.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end).unwrap_or(u64::MAX).max(1);
        usize::try_from((self.next() >> 11) % end).unwrap_or(0)
    }

    /// One of these; they are not empty.
    pub(crate) fn one_of<'a, T>(&mut self, these: &'a [T]) -> &'a T {
        &these[self.below(these.len())]
    }

    pub(crate) fn byte(&mut self) -> u8 {
        self.next().to_be_bytes()[0]
    }
}
