//! Windows: the stretch of time over which a limit counts.

use std::fmt;
use std::str::FromStr;

use crate::{Span, SpanError};

/// The stretch of time over which a limit counts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Window {
    /// From the first call to the last; it never refills.
    Lifetime,
    /// A span that begins with the first call after the last one ended: `24h`.
    Fixed(Span),
    /// The span that ends now, at every moment: `sliding 1h`.
    Sliding(Span),
    /// A calendar hour, day, week or month, in a zone: `month in Europe/Berlin`.
    Calendar(CalendarUnit, Zone),
}

/// A unit of the calendar. A week begins on Monday.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CalendarUnit {
    /// From minute 0 to minute 0.
    Hour,
    /// From the first moment of a date to the first moment of the next, 23 to 25 hours where clocks change.
    Day,
    /// From Monday to Monday.
    Week,
    /// From the first of a month to the first of the next.
    Month,
}

impl CalendarUnit {
    /// Every unit, shortest first.
    pub const ALL: [Self; 4] = [Self::Hour, Self::Day, Self::Week, Self::Month];

    /// The name in config and messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
        }
    }
}

/// A time zone by its IANA name, such as `Europe/Berlin`, from the data that the binary carries.
#[derive(Clone)]
pub struct Zone {
    name: String,
    rules: jiff::tz::TimeZone,
}

impl Zone {
    /// Coordinated universal time, the zone of a window that names none.
    #[must_use]
    pub fn utc() -> Self {
        Self { name: "UTC".to_owned(), rules: jiff::tz::TimeZone::UTC }
    }

    /// The IANA name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The rules of the zone.
    #[must_use]
    pub fn rules(&self) -> &jiff::tz::TimeZone {
        &self.rules
    }
}

impl PartialEq for Zone {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Zone {}

impl std::hash::Hash for Zone {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// A zone that the time zone data does not know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is no time zone; write an IANA name such as Europe/Berlin or UTC", .0.escape_debug())]
pub struct ZoneError(pub String);

impl FromStr for Zone {
    type Err = ZoneError;

    fn from_str(text: &str) -> Result<Self, ZoneError> {
        // The carried data decides, not the machine's, so that the same journal replays alike everywhere.
        let rules = jiff::tz::TimeZoneDatabase::bundled().get(text).map_err(|_| ZoneError(text.to_owned()))?;
        let name = rules.iana_name().unwrap_or("UTC").to_owned();
        Ok(Self { name, rules })
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lifetime => f.pad("lifetime"),
            Self::Fixed(span) => write!(f, "{span}"),
            Self::Sliding(span) => write!(f, "sliding {span}"),
            Self::Calendar(unit, zone) if zone.name() == "UTC" => f.pad(unit.name()),
            Self::Calendar(unit, zone) => write!(f, "{} in {}", unit.name(), zone.name()),
        }
    }
}

/// Why a text is no window.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WindowError {
    /// The words are not a window's.
    #[error(
        "`{0}` is no window; write `lifetime`, `24h`, `sliding 1h`, or `hour`, `day`, `week` or `month`, with `in ZONE` if not UTC"
    )]
    NotAWindow(String),
    /// The span is wrong.
    #[error(transparent)]
    Span(#[from] SpanError),
    /// A sliding window is shorter than its ring can divide.
    #[error("a sliding window is at least 1s long; `{0}` is shorter")]
    TooShort(Span),
    /// The zone is wrong.
    #[error(transparent)]
    Zone(#[from] ZoneError),
}

impl FromStr for Window {
    type Err = WindowError;

    fn from_str(text: &str) -> Result<Self, WindowError> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let unit = |word: &str| CalendarUnit::ALL.into_iter().find(|unit| unit.name() == word);
        match words[..] {
            ["lifetime"] => Ok(Self::Lifetime),
            ["sliding", span] => sliding(span.parse()?),
            [word] if unit(word).is_none() && word.starts_with(|c: char| c.is_ascii_digit()) => {
                Ok(Self::Fixed(word.parse()?))
            }
            [word] => unit(word).map(|unit| Self::Calendar(unit, Zone::utc())).ok_or_else(|| not_a_window(text)),
            [word, "in", zone] => match unit(word) {
                Some(unit) => Ok(Self::Calendar(unit, zone.parse()?)),
                None => Err(not_a_window(text)),
            },
            _ => Err(not_a_window(text)),
        }
    }
}

fn not_a_window(text: &str) -> WindowError {
    WindowError::NotAWindow(text.trim().to_owned())
}

fn sliding(span: Span) -> Result<Window, WindowError> {
    if span < Span::from_secs(1) { Err(WindowError::TooShort(span)) } else { Ok(Window::Sliding(span)) }
}
