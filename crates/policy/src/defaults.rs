//! The budgets that are in force where no config names any.

use almoner_units::{Budget, BudgetName, LabelName, LevelMarks, Limit, Mode, Zone};

/// The default budgets, with calendar windows in `zone`: for each session 100k tokens and $5 an hour, 1M tokens and
/// $50 a day; for all sessions 500k tokens an hour, 5M a day, $1000 a month.
///
/// They count `uncached_tokens`, because a coding agent reads its whole prompt from the cache at every turn: counted
/// in full, those reads alone would stop it within minutes.
#[must_use]
pub fn default_budgets(zone: &Zone) -> Vec<Budget> {
    let each = ["100k uncached_tokens / sliding 1h", "$5 / sliding 1h", "1M uncached_tokens / day", "$50 / day"];
    let all = ["500k uncached_tokens / sliding 1h", "5M uncached_tokens / day", "$1000 / month"];
    vec![budget("each session", &["session"], &each, zone), budget("all sessions", &[], &all, zone)]
}

fn budget(name: &str, per: &[&str], limits: &[&str], zone: &Zone) -> Budget {
    Budget {
        name: read::<BudgetName>(name),
        filter: Vec::new(),
        per: per.iter().map(|label| read::<LabelName>(label)).collect(),
        limits: limits.iter().map(|text| limit(text, zone)).collect(),
        mode: Mode::Throttle,
        marks: LevelMarks::default(),
    }
}

fn limit(text: &str, zone: &Zone) -> Limit {
    let mut limit = read::<Limit>(text);
    if let almoner_units::Window::Calendar(_, of_window) = &mut limit.window {
        of_window.clone_from(zone);
    }
    limit
}

/// Reads a text of this file, which a test has read before.
fn read<T: std::str::FromStr>(text: &str) -> T {
    text.parse().unwrap_or_else(|_| panic!("`{text}` in the default budgets cannot be read"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(zone: &str, printed: &[&str]) {
        let budgets = default_budgets(&zone.parse().unwrap());
        let limits: Vec<String> = budgets.iter().flat_map(|budget| &budget.limits).map(ToString::to_string).collect();
        assert_eq!(limits, printed);
        assert!(budgets.iter().all(|budget| budget.mode == Mode::Throttle));
        assert_eq!(budgets[0].per[0].as_str(), "session");
    }

    #[test]
    fn the_defaults_are_the_documented_ones() {
        let mut limits = [
            "100k uncached_tokens / sliding 1h",
            "$5.00 / sliding 1h",
            "1M uncached_tokens / day",
            "$50.00 / day",
            "500k uncached_tokens / sliding 1h",
            "5M uncached_tokens / day",
            "$1000.00 / month",
        ];
        check("UTC", &limits);
        limits[2] = "1M uncached_tokens / day in Europe/Berlin";
        limits[3] = "$50.00 / day in Europe/Berlin";
        limits[5] = "5M uncached_tokens / day in Europe/Berlin";
        limits[6] = "$1000.00 / month in Europe/Berlin";
        check("Europe/Berlin", &limits);
    }
}
