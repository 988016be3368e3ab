//! What a call costs in every meter at once, so that each limit can count in its own.

use crate::{Meter, NanoUsd, Usage};
use std::ops::{Index, IndexMut};

/// An amount in each meter: tokens and requests as counts, `usd` in nano-dollars.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Charge([u64; 6]);

impl Charge {
    /// Nothing in any meter.
    pub const ZERO: Self = Self([0; 6]);

    /// The charge of one attempt that consumed `usage` and cost `cost`; what is unknown counts nothing.
    #[must_use]
    pub fn of(usage: &Usage, cost: NanoUsd) -> Self {
        let input = usage.input_total();
        let output = usage.output.unwrap_or(0);
        let tokens = input.saturating_add(output);
        let mut charge = Self::ZERO;
        charge[Meter::Tokens] = tokens;
        charge[Meter::UncachedTokens] = tokens - usage.cache_read.unwrap_or(0).min(tokens);
        charge[Meter::InputTokens] = input;
        charge[Meter::OutputTokens] = output;
        charge[Meter::Requests] = 1;
        charge[Meter::Usd] = cost.get();
        charge
    }

    /// The part that is money.
    #[must_use]
    pub fn usd(&self) -> NanoUsd {
        NanoUsd::new(self[Meter::Usd])
    }

    /// The sum in each meter, or `None` where one overflows.
    #[must_use]
    pub fn checked_add(&self, other: &Self) -> Option<Self> {
        self.zip(other, u64::checked_add)
    }

    /// This charge and `times` × `other`, or `None` where a meter overflows.
    #[must_use]
    pub fn checked_add_times(&self, other: &Self, times: u64) -> Option<Self> {
        self.zip(other, |one, each| each.checked_mul(times).and_then(|more| one.checked_add(more)))
    }

    /// What is left in each meter after `other` is taken away, never below nothing.
    #[must_use]
    pub fn saturating_sub(&self, other: &Self) -> Self {
        Self(std::array::from_fn(|at| self.0[at].saturating_sub(other.0[at])))
    }

    /// Every meter with its amount.
    pub fn iter(&self) -> impl Iterator<Item = (Meter, u64)> + '_ {
        Meter::ALL.into_iter().map(|meter| (meter, self[meter]))
    }

    fn zip(&self, other: &Self, add: impl Fn(u64, u64) -> Option<u64>) -> Option<Self> {
        let mut sum = Self::ZERO;
        for meter in Meter::ALL {
            sum[meter] = add(self[meter], other[meter])?;
        }
        Some(sum)
    }
}

impl Index<Meter> for Charge {
    type Output = u64;

    fn index(&self, meter: Meter) -> &u64 {
        &self.0[meter as usize]
    }
}

impl IndexMut<Meter> for Charge {
    fn index_mut(&mut self, meter: Meter) -> &mut u64 {
        &mut self.0[meter as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_meter_counts_its_own_part_of_a_call() {
        let usage = Usage {
            input: Some(10),
            cache_read: Some(100),
            cache_write_5m: Some(20),
            cache_write_1h: None,
            output: Some(5),
            reasoning: Some(3),
        };
        let charge = Charge::of(&usage, NanoUsd::new(7));
        let amounts: Vec<u64> = charge.iter().map(|(_, amount)| amount).collect();
        assert_eq!(amounts, [135, 35, 130, 5, 1, 7]);
    }

    #[test]
    fn sums_refuse_to_wrap() {
        let mut large = Charge::ZERO;
        large[Meter::Usd] = u64::MAX;
        assert_eq!(large.checked_add(&Charge::ZERO), Some(large));
        assert_eq!(large.checked_add(&large), None);
        assert_eq!(Charge::ZERO.checked_add_times(&large, 2), None);
    }
}
