//! What a call may cost at most, as a function of how much output it is allowed.

use crate::{Charge, Meter, NanoUsd, PicoUsdPerToken};

/// What a call may cost at most: a fixed part, and a price for each token of output it is allowed.
///
/// The ledger chooses the output cap in the same step in which it sets the money aside, so that no other call can come
/// between the question how much is left and its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ask {
    /// What it costs at most before its first token of output: all input at the dearest tier it can reach, server
    /// tools, the request itself.
    pub fixed: Charge,
    /// How many tokens of output may come for each token of the cap: the choices (`n`) asked for.
    pub choices: u64,
    /// The dearest price of a token of output.
    pub output_price: PicoUsdPerToken,
    /// The cap the caller would have: the least of what it asked for, what the model can and what the config allows.
    pub cap_asked: u64,
    /// From this cap on the call goes at once; never above `cap_asked`.
    pub cap_comfortable: u64,
    /// Below this cap the call is not worth sending; never above `cap_comfortable`.
    pub cap_floor: u64,
}

impl Ask {
    /// The largest cap that goes at once wherever it fits: 8,192 tokens.
    pub const COMFORTABLE: u64 = 8_192;
    /// The smallest cap worth sending where more was asked for: 4,096 tokens.
    pub const FLOOR: u64 = 4_096;

    /// The ask for a call that costs `fixed` and then `output_price` for each token of at most `cap_asked`, in each of
    /// `choices` choices.
    #[must_use]
    pub fn new(fixed: Charge, choices: u64, output_price: PicoUsdPerToken, cap_asked: u64) -> Self {
        let cap_comfortable = cap_asked.min(Self::COMFORTABLE);
        Self { fixed, choices, output_price, cap_asked, cap_comfortable, cap_floor: cap_asked.min(Self::FLOOR) }
    }

    /// What the call costs at most when its output is capped at `cap`; `None` where a meter overflows.
    #[must_use]
    pub fn charge_at(&self, cap: u64) -> Option<Charge> {
        let output = cap.checked_mul(self.choices)?;
        let mut more = Charge::ZERO;
        more[Meter::Tokens] = output;
        more[Meter::UncachedTokens] = output;
        more[Meter::OutputTokens] = output;
        more[Meter::Usd] = NanoUsd::from_pico(NanoUsd::pico(self.output_price, output))?.get();
        self.fixed.checked_add(&more)
    }

    /// The largest cap of at most `most` that costs no more than `room` of one meter; `None` where even a cap of 0
    /// costs more.
    #[must_use]
    pub fn cap_within(&self, meter: Meter, room: u64, most: u64) -> Option<u64> {
        let room = room.checked_sub(self.fixed[meter])?;
        let cap = match meter {
            Meter::InputTokens | Meter::Requests => return Some(most),
            Meter::Usd => {
                let each = u128::from(self.output_price.get()) * u128::from(self.choices);
                (u128::from(room) * 1000).checked_div(each)
            }
            Meter::Tokens | Meter::UncachedTokens | Meter::OutputTokens => {
                u128::from(room).checked_div(u128::from(self.choices))
            }
        };
        // A price of nothing bounds nothing.
        Some(cap.map_or(most, |cap| u64::try_from(cap).map_or(most, |cap| cap.min(most))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(fixed_usd: u64, pico: u64, choices: u64) -> Ask {
        let mut fixed = Charge::ZERO;
        fixed[Meter::Usd] = fixed_usd;
        fixed[Meter::Tokens] = 100;
        Ask::new(fixed, choices, PicoUsdPerToken::new(pico), 128_000)
    }

    #[test]
    fn the_cap_within_a_room_is_the_largest_that_fits() {
        for (room, pico, choices) in [(1_000_000, 15_000_000, 1), (999_999, 333, 3), (10, 1, 7)] {
            let ask = ask(0, pico, choices);
            let cap = ask.cap_within(Meter::Usd, room, u64::MAX).unwrap();
            assert!(ask.charge_at(cap).unwrap()[Meter::Usd] <= room);
            assert!(ask.charge_at(cap + 1).unwrap()[Meter::Usd] > room);
        }
    }

    #[test]
    fn a_fixed_part_above_the_room_leaves_no_cap() {
        assert_eq!(ask(11, 1, 1).cap_within(Meter::Usd, 10, 5), None);
        assert_eq!(ask(0, 1, 1).cap_within(Meter::Tokens, 99, 5), None);
        assert_eq!(ask(0, 1, 2).cap_within(Meter::Tokens, 110, 50), Some(5));
    }

    #[test]
    fn a_free_model_is_bounded_by_what_it_asked() {
        assert_eq!(ask(0, 0, 1).cap_within(Meter::Usd, 0, 4096), Some(4096));
    }
}
