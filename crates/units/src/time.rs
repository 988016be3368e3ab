//! Instants and spans, in whole milliseconds. Nothing here asks what time it is.

use std::fmt;
use std::str::FromStr;

/// An instant: milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The instant so many milliseconds after the epoch.
    #[must_use]
    pub const fn from_ms(ms: u64) -> Self {
        Self(ms)
    }

    /// Milliseconds since the epoch.
    #[must_use]
    pub const fn ms(self) -> u64 {
        self.0
    }

    /// The instant `span` later; the end of time where that is out of range.
    #[must_use]
    pub const fn after(self, span: Span) -> Self {
        Self(self.0.saturating_add(span.ms()))
    }

    /// How long after `earlier` this is; nothing where it is not after it.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Span {
        Span::from_ms(self.0.saturating_sub(earlier.0))
    }

    /// The instant that a date in a header of HTTP names, such as `Mon, 23 Nov 2026 08:00:00 GMT`.
    #[must_use]
    pub fn from_http_date(text: &str) -> Option<Self> {
        let instant = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
        u64::try_from(instant.as_millisecond()).ok().map(Self)
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC, with milliseconds only where they are not 0: `2026-11-23T08:00:00Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = i64::try_from(self.0).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
        match known {
            Some(instant) => f.pad(&instant.to_string()),
            None => f.pad("the end of time"),
        }
    }
}

/// A text that is no instant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is no date; write 2027-01-31, or 2027-01-31T18:00:00Z", .0.escape_debug())]
pub struct TimestampError(String);

impl FromStr for Timestamp {
    type Err = TimestampError;

    /// RFC 3339, or a date: the beginning of that day in UTC.
    fn from_str(text: &str) -> Result<Self, TimestampError> {
        // A time without its offset would else be read as a date alone.
        let is_date = text.len() == "2027-01-31".len();
        let midnight = || text.parse::<jiff::civil::Date>().and_then(|date| date.to_zoned(jiff::tz::TimeZone::UTC));
        let instant = if is_date { midnight().map(|zoned| zoned.timestamp()) } else { text.parse::<jiff::Timestamp>() };
        let ms = instant.ok().and_then(|instant| u64::try_from(instant.as_millisecond()).ok());
        ms.map(Self).ok_or_else(|| TimestampError(text.chars().take(64).collect()))
    }
}

/// A length of time, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(u64);

impl Span {
    /// So many milliseconds.
    #[must_use]
    pub const fn from_ms(ms: u64) -> Self {
        Self(ms)
    }

    /// So many seconds.
    #[must_use]
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(1000))
    }

    /// The length in milliseconds.
    #[must_use]
    pub const fn ms(self) -> u64 {
        self.0
    }

    /// The length in whole seconds, rounded up, so that "try again in" is never too early.
    #[must_use]
    pub const fn secs_up(self) -> u64 {
        self.0.div_ceil(1000)
    }
}

/// The units of a span, longest first.
const UNITS: [(&str, u64); 6] =
    [("w", 604_800_000), ("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

impl fmt::Display for Span {
    /// The largest units that lose nothing: `24h` stays `1d`, `90m` becomes `1h30m`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.pad("0s");
        }
        let mut rest = self.0;
        let mut text = String::new();
        for (name, ms) in &UNITS[1..] {
            if rest >= *ms {
                text.push_str(&format!("{}{name}", rest / ms));
                rest %= ms;
            }
        }
        f.pad(&text)
    }
}

/// Why a text is no span.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpanError {
    /// The text is not a run of numbers with units.
    #[error("`{0}` is not a length of time; write it like `30s`, `90m`, `24h`, `7d` or `1h30m`")]
    NotASpan(String),
    /// The span is 0, or longer than a hundred years.
    #[error("`{0}` is out of range; a length of time is between 1ms and 100 years")]
    OutOfRange(String),
}

impl FromStr for Span {
    type Err = SpanError;

    /// Reads `30s`, `24h`, `1h30m`, `250ms`.
    fn from_str(text: &str) -> Result<Self, SpanError> {
        let bad = || SpanError::NotASpan(text.to_owned());
        let out_of_range = || SpanError::OutOfRange(text.to_owned());
        let mut rest = text.trim();
        if rest.is_empty() {
            return Err(bad());
        }
        let mut total: u64 = 0;
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(bad)?;
            let count: u64 = rest[..digits].parse().map_err(|_| bad())?;
            rest = &rest[digits..];
            let letters = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
            let (_, ms) = UNITS.iter().find(|(name, _)| *name == &rest[..letters]).ok_or_else(bad)?;
            rest = &rest[letters..];
            total = count.checked_mul(*ms).and_then(|part| total.checked_add(part)).ok_or_else(out_of_range)?;
        }
        match total {
            1..=3_155_760_000_000 => Ok(Self(total)),
            _ => Err(out_of_range()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_its_midnight_and_an_instant_itself() {
        let read = |text: &str| text.parse::<Timestamp>().map(|at| at.to_string());
        assert_eq!(read("2027-01-31").as_deref(), Ok("2027-01-31T00:00:00Z"));
        assert_eq!(read("2027-01-31T18:00:00+02:00").as_deref(), Ok("2027-01-31T16:00:00Z"));
        for bad in ["", "tomorrow", "2027-13-01", "2027-01-31T18:00:00", "1969-01-01", "31.1.2027", "2027-01-31 "] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_date_of_a_header_is_its_instant() {
        let read = |text: &str| Timestamp::from_http_date(text).map(|at| at.to_string());
        assert_eq!(read("Mon, 23 Nov 2026 08:00:00 GMT").as_deref(), Some("2026-11-23T08:00:00Z"));
        for bad in ["", "tomorrow", "Mon, 99 Nov 2026 08:00:00 GMT", "Thu, 01 Jan 1960 00:00:00 GMT"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn spans_read_and_print() {
        let read = |text: &str| text.parse::<Span>().map(Span::ms);
        assert_eq!(read("24h"), Ok(86_400_000));
        assert_eq!(read("1h30m"), Ok(5_400_000));
        assert_eq!(read("250ms"), Ok(250));
        assert_eq!(Span::from_ms(5_400_000).to_string(), "1h30m");
        assert_eq!(Span::from_ms(86_400_000).to_string(), "1d");
        for bad in ["", "h", "5", "5x", "-1h", "1.5h", "h5"] {
            assert!(matches!(read(bad), Err(SpanError::NotASpan(_))), "{bad}");
        }
        for bad in ["0s", "999999999999w", "101000d"] {
            assert!(matches!(read(bad), Err(SpanError::OutOfRange(_))), "{bad}");
        }
    }

    #[test]
    fn an_instant_prints_as_rfc_3339() {
        assert_eq!(Timestamp::from_ms(1_764_000_000_000).to_string(), "2025-11-24T16:00:00Z");
        assert_eq!(Timestamp::from_ms(u64::MAX).to_string(), "the end of time");
    }
}
