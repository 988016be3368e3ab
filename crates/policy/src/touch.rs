//! Which accounts a call touches, and how many one call can touch at most.

use almoner_units::{AccountKey, Budget, Labels};

/// The most accounts that one call may touch, so that the ledger's step is bounded.
pub const ACCOUNTS_MAX: usize = 16;

/// The account of each budget that counts a call with these labels, in the order of the budgets.
#[must_use]
pub fn touched(budgets: &[Budget], labels: &Labels) -> Vec<AccountKey> {
    budgets.iter().filter(|budget| budget.counts(labels)).map(|budget| budget.account(labels)).collect()
}

/// An upper bound on how many of the budgets one call can touch: the most that do not contradict one of their number.
///
/// Budgets that all contradict each other, such as one per team, count once. The bound may be too high where budgets
/// contradict only as a group, and is never too low.
#[must_use]
pub fn most_touched(budgets: &[Budget]) -> usize {
    let compatible = |one: &Budget| budgets.iter().filter(|other| can_meet(one, other)).count();
    let mut counts: Vec<usize> = budgets.iter().map(compatible).collect();
    // Where k budgets meet in one call, each of them can meet at least k; so k is no more than the largest k of which
    // that is true.
    counts.sort_unstable_by(|one, other| other.cmp(one));
    counts.iter().enumerate().take_while(|(before, count)| **count > *before).count()
}

/// Whether some call is counted by both: no label must have two values at once.
fn can_meet(one: &Budget, other: &Budget) -> bool {
    let agrees = |(name, wanted): &(_, String)| {
        other.filter.iter().filter(|(same, _)| same == name).all(|(_, also)| can_be_both(wanted, also))
    };
    one.filter.iter().all(agrees)
}

/// Whether some value is what both ask for; a `*` at the end stands for anything.
fn can_be_both(one: &str, other: &str) -> bool {
    match (one.strip_suffix('*'), other.strip_suffix('*')) {
        (None, None) => one == other,
        (Some(start), None) => other.starts_with(start),
        (None, Some(start)) => one.starts_with(start),
        (Some(one), Some(other)) => one.starts_with(other) || other.starts_with(one),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use almoner_units::{LevelMarks, Mode};

    /// `name: label=value label=value / per`
    fn budget(text: &str) -> Budget {
        let (name, rest) = text.split_once(':').unwrap();
        let (filter, per) = rest.split_once('/').unwrap_or((rest, ""));
        let pair = |pair: &str| {
            let (label, value) = pair.split_once('=').unwrap();
            (label.parse().unwrap(), value.to_owned())
        };
        Budget {
            name: name.parse().unwrap(),
            filter: filter.split_whitespace().map(pair).collect(),
            per: per.split_whitespace().map(|label| label.parse().unwrap()).collect(),
            limits: vec!["$1".parse().unwrap()],
            mode: Mode::StopNew,
            marks: LevelMarks::default(),
        }
    }

    fn budgets(texts: &[&str]) -> Vec<Budget> {
        texts.iter().map(|text| budget(text)).collect()
    }

    #[test]
    fn a_call_touches_the_budgets_that_count_it() {
        let budgets = budgets(&[
            "firm:",
            "each: / session",
            "claude: provider=anthropic",
            "gpt: model=gpt-*",
            "fixing: command=fix",
            "writing: command=write",
            "tests: task_type=testing",
            "docs: task_type=documentation",
        ]);
        let pairs = [
            ("provider", "anthropic"),
            ("session", "s1"),
            ("model", "claude-opus-5"),
            ("command", "fix"),
            ("task_type", "testing"),
        ];
        let labels: Labels =
            pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        let keys: Vec<String> = touched(&budgets, &labels).iter().map(ToString::to_string).collect();
        assert_eq!(keys, ["firm", "each [session=s1]", "claude", "fixing", "tests"]);
        let none: Vec<String> = touched(&budgets, &Labels::new()).iter().map(ToString::to_string).collect();
        assert_eq!(none, ["firm", "each [session=none]"]);
    }

    #[track_caller]
    fn check(texts: &[&str], most: usize) {
        assert_eq!(most_touched(&budgets(texts)), most, "{texts:?}");
    }

    #[test]
    fn budgets_that_contradict_each_other_count_once() {
        check(&[], 0);
        check(&["a:", "b:", "c: / session"], 3);
        check(&["a: team=x", "b: team=y", "c: team=z"], 1);
        check(&["firm:", "a: team=x", "b: team=y", "c: team=z"], 2);
        check(&["a: model=claude-*", "b: model=gpt-*", "c: model=claude-opus-5"], 2);
        check(&["a: model=claude-*", "b: team=x"], 2);
        check(&["a: model=gpt-5", "b: model=gpt-5*", "c: model=*"], 3);
        let teams: Vec<String> = (0..40).map(|team| format!("t{team}: team=t{team}")).collect();
        check(&teams.iter().map(String::as_str).collect::<Vec<_>>(), 1);
    }
}
