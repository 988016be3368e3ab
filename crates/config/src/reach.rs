//! How many accounts one call can touch.

use almoner_units::Budget;

/// The most accounts that one call may touch: the ledger sets them all aside at once, or none.
pub(crate) const ACCOUNTS_MAX: usize = 16;

/// A number that no call passes: how many of these budgets could count one and the same call.
///
/// Budgets that exclude each other are gathered into groups, and a call is counted at most once in each. That may be
/// more than any call really touches, never less.
pub(crate) fn accounts_at_most(budgets: &[&Budget]) -> usize {
    let mut groups: Vec<Vec<&Budget>> = Vec::new();
    for budget in budgets {
        match groups.iter_mut().find(|group| group.iter().all(|other| exclude(budget, other))) {
            Some(group) => group.push(budget),
            None => groups.push(vec![budget]),
        }
    }
    groups.len()
}

/// Whether no call can be counted by both: they want different values of one label.
fn exclude(one: &Budget, other: &Budget) -> bool {
    let differ = |(name, wanted): &(_, String)| {
        other.filter.iter().any(|(known, value)| known == name && !overlap(wanted, value))
    };
    one.filter.iter().any(differ)
}

/// Whether some value is what both ask for; a `*` at the end stands for anything.
fn overlap(one: &str, other: &str) -> bool {
    match (one.strip_suffix('*'), other.strip_suffix('*')) {
        (Some(one), Some(other)) => one.starts_with(other) || other.starts_with(one),
        (Some(beginning), None) => other.starts_with(beginning),
        (None, Some(beginning)) => one.starts_with(beginning),
        (None, None) => one == other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use almoner_units::{LevelMarks, Mode};

    fn budget(filter: &[(&str, &str)]) -> Budget {
        Budget {
            name: "b".parse().unwrap(),
            filter: filter.iter().map(|(name, value)| (name.parse().unwrap(), (*value).to_owned())).collect(),
            per: Vec::new(),
            limits: vec!["$1".parse().unwrap()],
            mode: Mode::StopNew,
            marks: LevelMarks::default(),
        }
    }

    #[track_caller]
    fn check(filters: &[&[(&str, &str)]], at_most: usize) {
        let budgets: Vec<Budget> = filters.iter().map(|filter| budget(filter)).collect();
        assert_eq!(accounts_at_most(&budgets.iter().collect::<Vec<_>>()), at_most);
    }

    #[test]
    fn budgets_that_exclude_each_other_count_once() {
        check(&[], 0);
        check(&[&[], &[]], 2);
        check(&[&[("team", "a")], &[("team", "b")], &[("team", "c")]], 1);
        check(&[&[("team", "a")], &[("team", "a")]], 2);
        check(&[&[("team", "a")], &[("user", "b")]], 2);
        check(&[&[("team", "a")], &[], &[("team", "b")]], 2);
    }

    #[test]
    fn a_star_overlaps_with_what_begins_like_it() {
        check(&[&[("model", "claude-*")], &[("model", "gpt-4")]], 1);
        check(&[&[("model", "claude-*")], &[("model", "claude-opus-5")]], 2);
        check(&[&[("model", "claude-*")], &[("model", "claude-opus-*")]], 2);
        check(&[&[("model", "*")], &[("model", "gpt-4")]], 2);
    }
}
