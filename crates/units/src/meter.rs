//! Meters: which number of a call's usage a limit counts.

use std::fmt;
use std::str::FromStr;

/// Which number of usage a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Meter {
    /// Input, cache reads, cache writes and output.
    Tokens,
    /// Tokens without cache reads: an agent re-reads its whole prompt at every turn for a tenth of the price.
    UncachedTokens,
    /// Input of every kind.
    InputTokens,
    /// Output, reasoning included.
    OutputTokens,
    /// Attempts sent upstream; refusals, token counting and probes are none.
    Requests,
    /// Cost, in nano-dollars.
    Usd,
}

impl Meter {
    /// Every meter, in the order in which a [`crate::Charge`] keeps them.
    pub const ALL: [Self; 6] =
        [Self::Tokens, Self::UncachedTokens, Self::InputTokens, Self::OutputTokens, Self::Requests, Self::Usd];

    /// The name in config, messages and tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tokens => "tokens",
            Self::UncachedTokens => "uncached_tokens",
            Self::InputTokens => "input_tokens",
            Self::OutputTokens => "output_tokens",
            Self::Requests => "requests",
            Self::Usd => "usd",
        }
    }

    /// An amount of this meter as people read it: `$0.25`, `1200 tokens`.
    #[must_use]
    pub fn show(self, amount: u64) -> String {
        match self {
            Self::Usd => crate::NanoUsd::new(amount).to_string(),
            Self::Requests => crate::counted(amount, "request"),
            Self::Tokens => crate::counted(amount, "token"),
            meter => format!("{amount} {meter}"),
        }
    }
}

impl fmt::Display for Meter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A word that names no meter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no meter; the meters are tokens, uncached_tokens, input_tokens, output_tokens, requests and usd")]
pub struct UnknownMeter(pub String);

impl FromStr for Meter {
    type Err = UnknownMeter;

    fn from_str(text: &str) -> Result<Self, UnknownMeter> {
        Self::ALL.into_iter().find(|meter| meter.name() == text).ok_or_else(|| UnknownMeter(text.to_owned()))
    }
}
