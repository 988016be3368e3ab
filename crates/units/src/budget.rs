//! Budgets, and the accounts they split into.

use std::fmt;
use std::str::FromStr;

use crate::{BudgetName, LabelName, LabelValue, Labels, LevelMarks, Limit};

/// What happens when a budget runs low or out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Say it, and go on.
    Warn,
    /// The less urgent wait or are refused as the level rises; nobody passes a limit.
    Throttle,
    /// Refuse what does not fit; what runs may finish.
    #[default]
    StopNew,
    /// Refuse what does not fit, and cut what runs once there is no money left.
    KillRunning,
}

impl Mode {
    /// Every mode, mildest first.
    pub const ALL: [Self; 4] = [Self::Warn, Self::Throttle, Self::StopNew, Self::KillRunning];

    /// The name in config and messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Warn => "warn",
            Self::Throttle => "throttle",
            Self::StopNew => "stop-new",
            Self::KillRunning => "kill-running",
        }
    }

    /// Whether a call that does not fit is refused.
    #[must_use]
    pub const fn is_hard(self) -> bool {
        !matches!(self, Self::Warn)
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Mode {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|mode| mode.name() == text).ok_or(())
    }
}

/// A budget: which calls it counts, how it divides them into accounts, its limits, and what happens at them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Its name, unique in a config.
    pub name: BudgetName,
    /// The labels a call must have to be counted, each with the value it must have; `*` at the end of a value stands
    /// for anything. Empty: every call.
    pub filter: Vec<(LabelName, String)>,
    /// The labels that split it into one account for each combination of their values. Empty: one account.
    pub per: Vec<LabelName>,
    /// Its limits, at least one.
    pub limits: Vec<Limit>,
    /// What happens at them.
    pub mode: Mode,
    /// Where its levels begin.
    pub marks: LevelMarks,
}

impl Budget {
    /// Whether the budget counts a call with these labels.
    #[must_use]
    pub fn counts(&self, labels: &Labels) -> bool {
        counts(&self.filter, labels)
    }

    /// The account of this budget that a call with these labels belongs to. A missing label is the value `none`.
    #[must_use]
    pub fn account(&self, labels: &Labels) -> AccountKey {
        let value = |name: &LabelName| labels.get(name).cloned().unwrap_or_else(LabelValue::none);
        AccountKey { budget: self.name.clone(), per: self.per.iter().map(|name| (name.clone(), value(name))).collect() }
    }
}

/// Whether a filter counts a call with these labels: it has every label that the filter names, with the wanted value.
#[must_use]
pub fn counts(filter: &[(LabelName, String)], labels: &Labels) -> bool {
    filter.iter().all(|(name, wanted)| labels.get(name).is_some_and(|value| matches(wanted, value.as_str())))
}

/// Whether `value` is what `wanted` asks for; a `*` at its end stands for anything.
fn matches(wanted: &str, value: &str) -> bool {
    match wanted.strip_suffix('*') {
        Some(beginning) => value.starts_with(beginning),
        None => wanted == value,
    }
}

/// One budget for one combination of its `per` labels.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountKey {
    /// The budget.
    pub budget: BudgetName,
    /// The `per` labels with their values, in the budget's order.
    pub per: Vec<(LabelName, LabelValue)>,
}

impl fmt::Display for AccountKey {
    /// `each session [session=abc]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.budget)?;
        if self.per.is_empty() {
            return Ok(());
        }
        let labels: Vec<String> = self.per.iter().map(|(name, value)| format!("{name}={value}")).collect();
        write!(f, " [{}]", labels.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    fn budget(filter: &[(&str, &str)], per: &[&str]) -> Budget {
        Budget {
            name: "b".parse().unwrap(),
            filter: filter.iter().map(|(name, value)| (name.parse().unwrap(), (*value).to_owned())).collect(),
            per: per.iter().map(|name| name.parse().unwrap()).collect(),
            limits: vec!["$1".parse().unwrap()],
            mode: Mode::StopNew,
            marks: LevelMarks::default(),
        }
    }

    #[test]
    fn a_filter_asks_for_every_label_it_names() {
        let call = labels(&[("provider", "anthropic"), ("model", "claude-opus-5")]);
        assert!(budget(&[], &[]).counts(&call));
        assert!(budget(&[("provider", "anthropic")], &[]).counts(&call));
        assert!(budget(&[("model", "claude-*")], &[]).counts(&call));
        assert!(!budget(&[("provider", "anthropic"), ("team", "x")], &[]).counts(&call));
    }

    #[test]
    fn a_missing_per_label_is_the_value_none() {
        let each = budget(&[], &["session"]);
        assert_eq!(each.account(&labels(&[("session", "a")])).to_string(), "b [session=a]");
        assert_eq!(each.account(&labels(&[])).to_string(), "b [session=none]");
    }
}
