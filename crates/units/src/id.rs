//! Names and ids.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::Timestamp;

/// The id of one call, and of its hold: a UUID of version 7, so that an id carries the time at which it was made.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(u128);

impl CallId {
    /// The id made at `at` from ten random bytes.
    #[must_use]
    pub fn new(at: Timestamp, random: [u8; 10]) -> Self {
        Self(uuid::Builder::from_unix_timestamp_millis(at.ms(), &random).into_uuid().as_u128())
    }

    /// The id with these bits, as a journal keeps it.
    #[must_use]
    pub const fn from_bits(bits: u128) -> Self {
        Self(bits)
    }

    /// The bits of the id.
    #[must_use]
    pub const fn bits(self) -> u128 {
        self.0
    }

    /// When the id was made.
    #[must_use]
    pub const fn made_at(self) -> Timestamp {
        // The first 48 of the 128 bits are the milliseconds, so the shift leaves no more than a u64 holds.
        #[allow(clippy::cast_possible_truncation)]
        Timestamp::from_ms((self.0 >> 80) as u64)
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        uuid::Uuid::from_u128(self.0).fmt(f)
    }
}

impl fmt::Debug for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for CallId {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let bad =
            |_| NameError { what: "call id", text: text.to_owned(), rule: "a UUID such as an answer's header has" };
        uuid::Uuid::try_parse(text).map(|id| Self(id.as_u128())).map_err(bad)
    }
}

/// A text that cannot be a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is no {what}; it must be {rule}", text.escape_debug())]
pub struct NameError {
    what: &'static str,
    text: String,
    rule: &'static str,
}

/// The name of a budget, as its config gives it: one line of at most 128 characters, none of them a control character.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BudgetName(Arc<str>);

impl BudgetName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BudgetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for BudgetName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if text.trim() != text || text.is_empty() || text.chars().count() > 128 || text.chars().any(char::is_control) {
            let rule = "one line of 1 to 128 characters without space around it";
            return Err(NameError { what: "name of a budget", text: text.chars().take(128).collect(), rule });
        }
        Ok(Self(text.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_carries_its_time_and_survives_text() {
        let id = CallId::new(Timestamp::from_ms(1_764_000_000_123), [7; 10]);
        assert_eq!(id.made_at(), Timestamp::from_ms(1_764_000_000_123));
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!("nonsense".parse::<CallId>().is_err());
    }

    #[test]
    fn a_budget_name_is_one_clean_line() {
        assert!("each session".parse::<BudgetName>().is_ok());
        for bad in ["", " x", "a\u{1b}[31m", "a\nb", &"x".repeat(129)] {
            assert!(bad.parse::<BudgetName>().is_err(), "{bad:?}");
        }
    }
}
