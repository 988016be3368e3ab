//! Who passes at which level.

use crate::{Level, Priority};

/// What a level says to a call of some priority.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Passage {
    /// It passes.
    Go,
    /// It passes, and is told that the budget runs low.
    GoWithWarning,
    /// It waits for the level to fall.
    Wait,
    /// It is refused.
    Refuse,
}

/// The table of level and priority. It never lets anybody pass a limit.
#[must_use]
pub const fn passage(level: Level, priority: Priority) -> Passage {
    match (level, priority) {
        (Level::None, _) => Passage::Go,
        (Level::Soft, Priority::Low) => Passage::Wait,
        (Level::Hard, Priority::Low | Priority::Normal) => Passage::Refuse,
        (Level::Critical, Priority::Low | Priority::Normal | Priority::High) => Passage::Refuse,
        (Level::Warning | Level::Soft | Level::Hard | Level::Critical, _) => Passage::GoWithWarning,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_less_urgent_wait_and_stop_first() {
        use Passage::{Go, GoWithWarning as Warn, Refuse, Wait};
        let table = [
            (Level::None, [Go, Go, Go, Go]),
            (Level::Warning, [Warn, Warn, Warn, Warn]),
            (Level::Soft, [Wait, Warn, Warn, Warn]),
            (Level::Hard, [Refuse, Refuse, Warn, Warn]),
            (Level::Critical, [Refuse, Refuse, Refuse, Warn]),
        ];
        for (level, row) in table {
            assert_eq!(Priority::ALL.map(|priority| passage(level, priority)), row, "at {level}");
        }
    }
}
