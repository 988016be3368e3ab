//! What was wrong with an answer, counted by kind: a fault never stops the meter, it says how far to trust the reading.

use std::collections::BTreeMap;
use std::fmt;

/// One kind of thing that was wrong with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Fault {
    /// An event or line was longer than [`crate::EVENT_MAX`], even with its strings cut, and was skipped.
    #[error("an event was longer than the meter keeps, and was skipped")]
    Oversize,
    /// A whole JSON answer was longer than [`crate::BODY_MAX`] and was not read.
    #[error("the answer was longer than the meter keeps, and was not read")]
    BodyTooLong,
    /// Something that should have been a JSON object was none.
    #[error("an event is not the JSON object that it should be")]
    Malformed,
    /// A member that matters stood twice in one object; the last one counted.
    #[error("an object has the same member twice; the last one counted")]
    RepeatedMember,
    /// A count was negative, fractional, too large or no number; it is unknown.
    #[error("`{0}` is not a whole number that fits; it counts as unknown")]
    NotACount(&'static str),
    /// A sum of counts left the range of a count; it is unknown.
    #[error("a sum of counts is too large; it counts as unknown")]
    SumTooLarge,
    /// A reported cost was no amount of dollars.
    #[error("the reported cost is not an amount of dollars")]
    NotACost,
    /// The compressed bytes do not decode; what came before them counted.
    #[error("the compressed bytes do not decode")]
    Encoding,
    /// The compressed bytes grew to far more than themselves, or past [`crate::DECODED_MAX`]; the rest was not read.
    #[error("the compressed bytes grow past what the meter decodes")]
    Bomb,
    /// More input was read from or written to the cache than there was input; the parts were cut to fit.
    #[error("the cached input is more than the input; it was cut to fit")]
    CacheExceedsInput,
    /// The input read from the cache and the input written to it overlap.
    #[error("cache reads and cache writes overlap; uncached input is what was not read")]
    CacheOverlap,
    /// The split of cache writes by lifetime does not add up to their sum.
    #[error("the cache writes by lifetime do not add up to their sum")]
    CacheSplit,
    /// More reasoning was told than output, of which it is a part.
    #[error("the reasoning is more than the output of which it is a part")]
    ReasoningExceedsOutput,
    /// The total has more tokens than its parts; the rest counted as output.
    #[error("the total is more than input and output; the rest counted as output")]
    TotalUnexplained,
    /// An earlier event told of reasoning that the last one leaves out.
    #[error("earlier events told of reasoning that the last one leaves out")]
    ReasoningWithdrawn,
}

impl Fault {
    /// Whether the provider's numbers contradict each other, so that another reading of them is possible.
    #[must_use]
    pub const fn is_contradiction(self) -> bool {
        matches!(
            self,
            Self::CacheExceedsInput
                | Self::CacheOverlap
                | Self::CacheSplit
                | Self::ReasoningExceedsOutput
                | Self::TotalUnexplained
                | Self::ReasoningWithdrawn
        )
    }
}

/// The faults of one answer, each with how often it was met.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults(BTreeMap<Fault, u64>);

impl Faults {
    pub(crate) fn note(&mut self, fault: Fault) {
        let times = self.0.entry(fault).or_default();
        *times = times.saturating_add(1);
    }

    /// Whether nothing was wrong.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How often this was met.
    #[must_use]
    pub fn times(&self, fault: Fault) -> u64 {
        self.0.get(&fault).copied().unwrap_or(0)
    }

    /// Each kind that was met, with how often.
    pub fn iter(&self) -> impl Iterator<Item = (Fault, u64)> + '_ {
        self.0.iter().map(|(fault, times)| (*fault, *times))
    }
}

impl fmt::Display for Faults {
    /// The faults in one line, with how often where that was more than once.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (fault, times)) in self.iter().enumerate() {
            f.write_str(if at == 0 { "" } else { "; " })?;
            fault.fmt(f)?;
            if times > 1 {
                write!(f, " ({times} times)")?;
            }
        }
        Ok(())
    }
}
