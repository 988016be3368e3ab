//! A cost as an upstream states it: an exact decimal, because a check of our prices must not round first.

use std::fmt;

use almoner_units::NanoUsd;

/// The most decimals kept; more is no price of anything.
const DECIMALS_MAX: u32 = 30;

/// A cost in US dollars, exactly as it was stated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReportedCost {
    units: u128,
    decimals: u32,
}

impl ReportedCost {
    /// A whole number of `10^-decimals` dollars.
    pub(crate) const fn from_units(units: u64, decimals: u32) -> Self {
        Self { units: units as u128, decimals }
    }

    /// Reads a JSON number: `0.25`, `7.39e-05`, `12`. A negative or overlong one is `None`.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let (number, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let digits = format!("{whole}{fraction}");
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let units: u128 = digits.parse().ok()?;
        let exponent: i64 = exponent.parse().ok()?;
        let decimals = i64::try_from(fraction.len()).ok()?.checked_sub(exponent)?;
        match u32::try_from(decimals) {
            Ok(decimals) if decimals <= DECIMALS_MAX => Some(Self { units, decimals }),
            Ok(_) => None,
            Err(_) => Some(Self { units: units.checked_mul(ten_to(decimals.checked_neg()?)?)?, decimals: 0 }),
        }
    }

    /// The cost in nano-dollars, rounded up; `None` past the largest amount.
    #[must_use]
    pub fn nano_usd_up(self) -> Option<NanoUsd> {
        let nano = match self.decimals.checked_sub(9) {
            Some(extra) => self.units.div_ceil(ten_to(i64::from(extra))?),
            None => self.units.checked_mul(ten_to(i64::from(9 - self.decimals))?)?,
        };
        u64::try_from(nano).ok().map(NanoUsd::new)
    }
}

fn ten_to(power: i64) -> Option<u128> {
    10_u128.checked_pow(u32::try_from(power).ok()?)
}

impl fmt::Display for ReportedCost {
    /// The decimal number, without an exponent or zeros at its end: `0.0000739`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let places = usize::try_from(self.decimals).unwrap_or(0);
        let digits = format!("{:0>width$}", self.units, width = places + 1);
        let (whole, fraction) = digits.split_at(digits.len() - places);
        match fraction.trim_end_matches('0') {
            "" => f.pad(whole),
            fraction => f.pad(&format!("{whole}.{fraction}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cost_is_read_exactly_and_rounded_up_only_as_money() {
        for (text, written, nano) in [
            ("0", "0", 0),
            ("0.25", "0.25", 250_000_000),
            ("7.39e-05", "0.0000739", 73_900),
            ("0.0004970133333333333", "0.0004970133333333333", 497_014),
            ("1E3", "1000", 1_000_000_000_000),
            ("1.50", "1.5", 1_500_000_000),
        ] {
            let cost = ReportedCost::read(text).unwrap();
            assert_eq!((cost.to_string().as_str(), cost.nano_usd_up()), (written, Some(NanoUsd::new(nano))), "{text}");
        }
    }

    #[test]
    fn ticks_are_ten_billionths() {
        assert_eq!(ReportedCost::from_units(739_000, 10).to_string(), "0.0000739");
    }

    #[test]
    fn what_is_no_cost_is_none() {
        for text in ["-1", "", "1e99", "1e-99", "abc", "1e", ".", "1e-9223372036854775808", "1e9223372036854775807"] {
            assert_eq!(ReportedCost::read(text), None, "{text}");
        }
        assert_eq!(ReportedCost::read("1e20").unwrap().nano_usd_up(), None);
    }
}
