//! Money, in whole nano-dollars: one integer type, so that no sum in the ledger can round.
//!
//! Floats and text stop at the rim. There is no `Add`, on purpose: a caller decides on overflow.

use std::fmt;
use std::str::FromStr;

/// Nano-dollars in a dollar.
const NANO: u64 = 1_000_000_000;

/// An amount of US dollars that is never negative, in nano-dollars; a debt is another fact, not a sign.
///
/// The largest is about 18.4 billion dollars.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NanoUsd(u64);

impl NanoUsd {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// So many nano-dollars.
    #[must_use]
    pub const fn new(nano: u64) -> Self {
        Self(nano)
    }

    /// The amount in nano-dollars.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The sum, or `None` past the largest amount.
    #[must_use]
    pub const fn checked_add(self, other: Self) -> Option<Self> {
        match self.0.checked_add(other.0) {
            Some(sum) => Some(Self(sum)),
            None => None,
        }
    }

    /// What is left after `other` is taken away, never below nothing.
    #[must_use]
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// What `tokens` cost at `price`, in pico-dollars, so that a call's parts are added up before they are rounded.
    #[must_use]
    pub fn pico(price: PicoUsdPerToken, tokens: u64) -> u128 {
        u128::from(price.get()) * u128::from(tokens)
    }

    /// A sum of pico-dollars as money, rounded up; `None` past the largest amount.
    #[must_use]
    pub fn from_pico(pico: u128) -> Option<Self> {
        u64::try_from(pico.div_ceil(1000)).ok().map(Self)
    }
}

impl fmt::Display for NanoUsd {
    /// Dollars with at least two decimals and as many more as the amount has: `$1.25`, `$0.000000001`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        dollars(f, self.0 / NANO, self.0 % NANO, 9)
    }
}

/// Why a text is no amount of dollars.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// The text is not a decimal number.
    #[error("`{0}` is not an amount of dollars; write it like `$2` or `$0.25`")]
    NotANumber(String),
    /// The text has more decimals than the type can hold exactly.
    #[error("`{0}` has more than 9 decimals; the smallest amount is $0.000000001")]
    TooFine(String),
    /// The amount is larger than the ledger can count.
    #[error("`{0}` is more than the ledger can count, which is about 18.4 billion dollars")]
    TooLarge(String),
}

impl FromStr for NanoUsd {
    type Err = MoneyError;

    /// Reads `$1.25`, `1.25` or `0.000000001`; never a sign, an exponent or a separator.
    fn from_str(text: &str) -> Result<Self, MoneyError> {
        let digits = text.trim();
        let digits = digits.strip_prefix('$').unwrap_or(digits);
        decimal(digits, 9).map(Self).map_err(|fault| fault.about(text))
    }
}

/// A price in pico-dollars per token, so that $0.0375 per million tokens is the whole number 37,500.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PicoUsdPerToken(u64);

impl PicoUsdPerToken {
    /// Free of charge.
    pub const ZERO: Self = Self(0);

    /// So many pico-dollars per token.
    #[must_use]
    pub const fn new(pico: u64) -> Self {
        Self(pico)
    }

    /// The price in pico-dollars per token.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Reads a price in dollars per million tokens, as price pages print it: `3`, `$0.0375`.
    ///
    /// # Errors
    /// [`MoneyError`] where the text is no decimal, finer than 6 decimals or too large.
    pub fn per_million(text: &str) -> Result<Self, MoneyError> {
        let digits = text.trim();
        let digits = digits.strip_prefix('$').unwrap_or(digits);
        decimal(digits, 6).map(Self).map_err(|fault| fault.about(text))
    }
}

impl fmt::Display for PicoUsdPerToken {
    /// Dollars per million tokens: `$3.00`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        dollars(f, self.0 / 1_000_000, self.0 % 1_000_000, 6)
    }
}

/// Writes dollars with at least two decimals of the `places` that `fraction` has, and as many more as are not 0.
fn dollars(f: &mut fmt::Formatter<'_>, whole: u64, mut fraction: u64, mut places: usize) -> fmt::Result {
    while places > 2 && fraction.is_multiple_of(10) {
        (fraction, places) = (fraction / 10, places - 1);
    }
    match f.width().or(f.precision()) {
        None => write!(f, "${whole}.{fraction:0places$}"),
        Some(_) => f.pad(&format!("${whole}.{fraction:0places$}")),
    }
}

/// What is wrong with a decimal, before it is known whose text it was.
enum Fault {
    NotANumber,
    TooFine,
    TooLarge,
}

impl Fault {
    fn about(&self, text: &str) -> MoneyError {
        let text = text.trim().to_owned();
        match self {
            Self::NotANumber => MoneyError::NotANumber(text),
            Self::TooFine => MoneyError::TooFine(text),
            Self::TooLarge => MoneyError::TooLarge(text),
        }
    }
}

/// Reads `digits` as a whole number of 10^-`places`.
fn decimal(digits: &str, places: usize) -> Result<u64, Fault> {
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let only_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if (whole.is_empty() && fraction.is_empty()) || !only_digits(whole) || !only_digits(fraction) {
        return Err(Fault::NotANumber);
    }
    let fraction = fraction.trim_end_matches('0');
    if fraction.len() > places {
        return Err(Fault::TooFine);
    }
    format!("0{whole}{fraction:0<places$}").parse().map_err(|_| Fault::TooLarge)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, nano: u64, printed: &str) {
        let money: NanoUsd = text.parse().unwrap();
        assert_eq!(money.get(), nano, "{text}");
        assert_eq!(money.to_string(), printed, "{text}");
        assert_eq!(printed.parse(), Ok(money), "{text}");
    }

    #[test]
    fn money_reads_and_prints_every_nano_dollar() {
        check("$2", 2_000_000_000, "$2.00");
        check("0.25", 250_000_000, "$0.25");
        check(" $0.000000001 ", 1, "$0.000000001");
        check(".5", 500_000_000, "$0.50");
        check("1.50000000000", 1_500_000_000, "$1.50");
        check("18446744073.709551615", u64::MAX, "$18446744073.709551615");
    }

    #[test]
    fn money_says_what_is_wrong_with_a_text() {
        let fault = |text: &str| text.parse::<NanoUsd>().unwrap_err().to_string();
        assert!(fault("-1").contains("not an amount"));
        assert!(fault("").contains("not an amount"));
        assert!(fault("$").contains("not an amount"));
        assert!(fault("1e3").contains("not an amount"));
        assert!(fault("1,000").contains("not an amount"));
        assert!(fault("0.0000000001").contains("more than 9 decimals"));
        assert!(fault("18446744073.709551616").contains("18.4 billion"));
    }

    #[test]
    fn a_price_of_a_few_cents_a_million_is_a_whole_number() {
        assert_eq!(PicoUsdPerToken::per_million("0.0375").map(PicoUsdPerToken::get), Ok(37_500));
        assert_eq!(PicoUsdPerToken::per_million("$15").map(|price| price.to_string()), Ok("$15.00".to_owned()));
        assert!(PicoUsdPerToken::per_million("0.0000001").is_err());
    }

    #[test]
    fn parts_of_a_call_are_rounded_up_once_together() {
        let price = PicoUsdPerToken::new(100);
        let parts = NanoUsd::pico(price, 1) + NanoUsd::pico(price, 2);
        assert_eq!(NanoUsd::from_pico(parts), Some(NanoUsd::new(1)));
        assert_eq!(NanoUsd::from_pico(u128::from(u64::MAX) * 1000 + 1), None);
    }
}
