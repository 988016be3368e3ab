//! How full an account is, in words, and how urgent a call is.

use std::fmt;
use std::str::FromStr;

/// How full an account is: the highest level of its limits, by what is spent and assumed, not by what is held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Below every mark.
    #[default]
    None,
    /// From 70 %.
    Warning,
    /// From 80 %.
    Soft,
    /// From 90 %, the mark at which parallel work falls to one at a time (8_RISKS-REQ-031).
    Hard,
    /// From 95 %.
    Critical,
}

impl Level {
    /// Every level, lowest first.
    pub const ALL: [Self; 5] = [Self::None, Self::Warning, Self::Soft, Self::Hard, Self::Critical];

    /// The name in messages, headers and tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Warning => "warning",
            Self::Soft => "soft",
            Self::Hard => "hard",
            Self::Critical => "critical",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The percentages at which the levels begin, and how far below its mark a level ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LevelMarks {
    marks: [u8; 4],
    falls_below: u8,
}

impl Default for LevelMarks {
    /// 70, 80, 90 and 95 %; each is left 5 points lower.
    fn default() -> Self {
        Self { marks: [70, 80, 90, 95], falls_below: 5 }
    }
}

/// Marks that are not four rising percentages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("level marks must rise from at least 1 to at most 100 percent; these are {0:?}")]
pub struct LevelMarksError(pub [u8; 4]);

impl LevelMarks {
    /// The marks of warning, soft, hard and critical, in percent of a limit.
    ///
    /// # Errors
    /// [`LevelMarksError`] where they do not rise, or leave 1 to 100.
    pub fn new(marks: [u8; 4]) -> Result<Self, LevelMarksError> {
        let rises = marks.windows(2).all(|pair| pair[0] < pair[1]);
        if !rises || marks[0] == 0 || marks[3] > 100 {
            return Err(LevelMarksError(marks));
        }
        Ok(Self { marks, ..Self::default() })
    }

    /// The four percentages, warning first.
    #[must_use]
    pub const fn percents(&self) -> [u8; 4] {
        self.marks
    }

    /// The percentage below which an account that is at `level` leaves it again; at least 1, so that an empty account
    /// is at no level.
    #[must_use]
    pub const fn leaves_at(&self, level: Level) -> u8 {
        match level {
            Level::None => 0,
            _ if self.marks[level as usize - 1] <= self.falls_below => 1,
            _ => self.marks[level as usize - 1] - self.falls_below,
        }
    }

    /// The level of `charged` out of `limit` for an account that was at `before`: a level begins at its mark, and
    /// ends five points below it, so that one call's settling does not make it flicker.
    #[must_use]
    pub fn level(&self, charged: u64, limit: u64, before: Level) -> Level {
        let reached = |level: Level| match level {
            Level::None => true,
            _ => {
                let mark = if before >= level { self.leaves_at(level) } else { self.marks[level as usize - 1] };
                u128::from(charged) * 100 >= u128::from(limit) * u128::from(mark)
            }
        };
        Level::ALL.into_iter().rfind(|level| reached(*level)).unwrap_or_default()
    }
}

/// How urgent a call is. It decides who waits at a level; it never passes a limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// Waits from soft on, refused from hard on.
    Low,
    /// Refused from hard on.
    #[default]
    Normal,
    /// Refused at critical.
    High,
    /// Passes every level, and no limit.
    Critical,
}

impl Priority {
    /// Every priority, least urgent first.
    pub const ALL: [Self; 4] = [Self::Low, Self::Normal, Self::High, Self::Critical];

    /// The name in config, headers and tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Normal => "normal",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A word that names no priority.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is no priority; write low, normal, high or critical", .0.escape_debug())]
pub struct UnknownPriority(pub String);

impl FromStr for Priority {
    type Err = UnknownPriority;

    fn from_str(text: &str) -> Result<Self, UnknownPriority> {
        Self::ALL.into_iter().find(|known| known.name() == text).ok_or_else(|| UnknownPriority(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_begins_at_its_mark_and_ends_five_points_below() {
        let marks = LevelMarks::default();
        let walk = [
            (69, Level::None),
            (70, Level::Warning),
            (80, Level::Soft),
            (89, Level::Soft),
            (95, Level::Critical),
            (91, Level::Critical),
            (89, Level::Hard),
            (84, Level::Soft),
            (75, Level::Soft),
            (74, Level::Warning),
            (64, Level::None),
        ];
        let mut level = Level::None;
        for (charged, expected) in walk {
            level = marks.level(charged, 100, level);
            assert_eq!(level, expected, "at {charged} %");
        }
    }

    #[test]
    fn an_empty_account_leaves_even_the_lowest_mark() {
        let marks = LevelMarks::new([1, 3, 5, 6]).unwrap();
        assert_eq!(marks.level(5, 100, Level::None), Level::Hard);
        assert_eq!(marks.level(0, 100, Level::Hard), Level::None);
    }

    #[test]
    fn marks_must_rise() {
        assert!(LevelMarks::new([50, 60, 70, 100]).is_ok());
        for bad in [[0, 1, 2, 3], [70, 70, 80, 90], [90, 80, 70, 60], [70, 80, 90, 101]] {
            assert_eq!(LevelMarks::new(bad), Err(LevelMarksError(bad)));
        }
    }
}
