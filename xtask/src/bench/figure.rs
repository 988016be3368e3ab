//! A figure: what was measured, round by round, and what was asked of it.
//!
//! A program of another crate prints its figures one a line, and says nothing about them; whether a figure is met or
//! noisy is decided here, for all in the same way:
//!
//! ```text
//! bench: ledger, four sliding windows | at least 1000000 commands/s | 2100000 2300000 1900000
//! ```

use std::fmt;

/// How far the rounds of a figure may lie apart, as a part of their median, before it is marked noisy.
const SPREAD_MAX: f64 = 0.2;

/// What is asked of a figure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Goal {
    AtLeast(f64),
    AtMost(f64),
    /// It is only told.
    None,
}

/// What was measured, round by round.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Figure {
    what: String,
    unit: String,
    goal: Goal,
    rounds: Vec<f64>,
    /// What it was made of was noisy, which a difference or a ratio does not show by itself.
    made_of_noise: bool,
}

impl Figure {
    pub(crate) fn new(what: &str, unit: &str, goal: Goal, rounds: Vec<f64>) -> Self {
        assert!(!rounds.is_empty(), "{what} was not measured");
        Self { what: what.to_owned(), unit: unit.to_owned(), goal, rounds, made_of_noise: false }
    }

    /// The same figure, made of these.
    pub(crate) fn made_of(mut self, parts: &[&Self]) -> Self {
        self.made_of_noise = parts.iter().any(|part| part.is_noisy());
        self
    }

    /// The figure that a line tells, if it tells one.
    pub(crate) fn of_line(line: &str) -> Option<Self> {
        let mut parts = line.strip_prefix("bench: ")?.split(" | ");
        let (what, goal, rounds) = (parts.next()?, parts.next()?, parts.next()?);
        let (goal, unit) = goal_of(goal)?;
        let rounds: Vec<f64> = rounds.split_whitespace().map(|round| round.parse().ok()).collect::<Option<_>>()?;
        (!rounds.is_empty()).then(|| Self::new(what, unit, goal, rounds))
    }

    pub(crate) fn rounds(&self) -> &[f64] {
        &self.rounds
    }

    pub(crate) fn median(&self) -> f64 {
        let mut sorted = self.rounds.clone();
        sorted.sort_by(f64::total_cmp);
        let (low, high) = (sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2]);
        f64::midpoint(low, high)
    }

    fn least(&self) -> f64 {
        self.rounds.iter().copied().fold(f64::INFINITY, f64::min)
    }

    fn most(&self) -> f64 {
        self.rounds.iter().copied().fold(f64::NEG_INFINITY, f64::max)
    }

    /// Whether its rounds lie too far apart to be believed to the last digit. A difference may be near zero, so its
    /// own spread says nothing; what it was made of does.
    fn is_noisy(&self) -> bool {
        self.made_of_noise || (self.most() - self.least()) > SPREAD_MAX * self.median().abs()
    }

    fn verdict(&self) -> &'static str {
        let met = match self.goal {
            Goal::AtLeast(least) => self.median() >= least,
            Goal::AtMost(most) => self.median() <= most,
            Goal::None => return if self.is_noisy() { "noisy" } else { "" },
        };
        match (met, self.is_noisy()) {
            (true, false) => "met",
            (true, true) => "met, noisy",
            (false, false) => "**missed**",
            (false, true) => "**missed**, noisy",
        }
    }

    /// Its row of the table.
    fn row(&self) -> String {
        let Self { what, unit, .. } = self;
        let range = format!("{} to {}", number(self.least()), number(self.most()));
        let range = if self.rounds.len() == 1 { "one round".to_owned() } else { range };
        format!("| {what} | {} {unit} | {range} | {} | {} |\n", number(self.median()), self.goal, self.verdict())
    }
}

/// `at least 5 MB/s`, `at most 5 ms`, or only a unit.
fn goal_of(text: &str) -> Option<(Goal, &str)> {
    let bound = |text: &'static str, goal: &str| goal.strip_prefix(text).map(str::to_owned).is_some();
    let (make, rest): (fn(f64) -> Goal, &str) = match text {
        _ if bound("at least ", text) => (Goal::AtLeast, &text["at least ".len()..]),
        _ if bound("at most ", text) => (Goal::AtMost, &text["at most ".len()..]),
        unit => return Some((Goal::None, unit)),
    };
    let (amount, unit) = rest.split_once(' ')?;
    Some((make(amount.parse().ok()?), unit))
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtLeast(least) => write!(f, "≥ {}", number(*least)),
            Self::AtMost(most) => write!(f, "≤ {}", number(*most)),
            Self::None => write!(f, "–"),
        }
    }
}

/// A number with the digits that mean something.
fn number(value: f64) -> String {
    let digits = match value.abs() {
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        size if size >= 1.0 => 2,
        _ => 3,
    };
    let plain = format!("{value:.digits$}");
    let (whole, rest) = plain.split_at(plain.find('.').unwrap_or(plain.len()));
    let mut grouped = String::new();
    for (at, digit) in whole.char_indices() {
        let behind = whole.len() - at;
        if at > 0 && behind % 3 == 0 && !grouped.ends_with('-') {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped + rest
}

/// The figures as a table.
pub(crate) fn table(figures: &[Figure]) -> String {
    let head = "| what | median | range | asked | |\n|---|---|---|---|---|\n".to_owned();
    figures.iter().map(Figure::row).fold(head, |table, row| table + &row)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, row: Option<&str>) {
        assert_eq!(Figure::of_line(line).map(|figure| figure.row()).as_deref(), row);
    }

    #[test]
    fn a_line_that_tells_a_figure_becomes_a_row() {
        check(
            "bench: ledger | at least 1000000 commands/s | 2100000 2300000 2200000",
            Some("| ledger | 2,200,000 commands/s | 2,100,000 to 2,300,000 | ≥ 1,000,000 | met |\n"),
        );
        check("bench: size | at most 2 KiB | 1.25", Some("| size | 1.25 KiB | one round | ≤ 2.00 | met |\n"));
        check("bench: table | ms | 12", Some("| table | 12.0 ms | one round | – |  |\n"));
        check("a remark", None);
        check("bench: broken | at least many MB/s | 1", None);
    }

    #[test]
    fn rounds_that_lie_apart_are_noisy_whatever_they_show() {
        check(
            "bench: gap | at most 0.3 ms | 0.1 0.25",
            Some("| gap | 0.175 ms | 0.100 to 0.250 | ≤ 0.300 | met, noisy |\n"),
        );
        let noisy = Figure::new("commit", "ms", Goal::None, vec![1.0, 8.0]);
        let ratio = Figure::new("ratio", "×", Goal::AtLeast(1.0), vec![0.5, 0.5]).made_of(&[&noisy]);
        assert_eq!(ratio.verdict(), "**missed**, noisy");
    }

    #[test]
    fn numbers_are_grouped_and_keep_the_digits_that_matter() {
        let texts = [0.0214, -0.05, 9.5, 123.4, 53171.0, -1234.0].map(number);
        assert_eq!(texts, ["0.021", "-0.050", "9.50", "123", "53,171", "-1,234"]);
    }
}
