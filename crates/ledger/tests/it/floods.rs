//! Floods: of label values, and of limits.

use almoner_ledger::{Ledger, MAX_ACCOUNTS_PER_KEY, Who};
use almoner_units::{AccountKey, Budget, CallId, Charge, Level, LevelMarks, Limit, Meter, Mode, Timestamp};

const NOW: Timestamp = Timestamp::from_ms(1_764_000_000_000);

fn budget(per: &[&str], limits: Vec<Limit>) -> Budget {
    Budget {
        name: "each".parse().unwrap(),
        filter: Vec::new(),
        per: per.iter().map(|name| name.parse().unwrap()).collect(),
        limits,
        mode: Mode::StopNew,
        marks: LevelMarks::default(),
    }
}

fn key(labels: &[(&str, &str)]) -> AccountKey {
    let per = labels.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
    AccountKey { budget: "each".parse().unwrap(), per }
}

fn ledger(per: &[&str]) -> Ledger {
    let mut ledger = Ledger::new();
    ledger.set_budget(budget(per, vec!["$1".parse().unwrap()]), Who("a test".to_owned()), NOW);
    ledger
}

#[test]
fn past_ten_thousand_sessions_of_a_key_the_rest_share_one_account() {
    let mut ledger = ledger(&["key", "session"]);
    let session = |number: u32| key(&[("key", "k"), ("session", &number.to_string())]);
    for number in 0..MAX_ACCOUNTS_PER_KEY + 100 {
        ledger.open(&session(number), "k", NOW).unwrap();
    }
    assert_eq!(ledger.views(NOW).len(), 10_001);
    let shared = ledger.find(&key(&[("key", "k"), ("session", "overflow")])).unwrap();
    assert_eq!(ledger.open(&session(20_000), "k", NOW), Some(shared));
    let known = ledger.find(&session(7)).unwrap();
    assert_eq!(ledger.open(&session(7), "k", NOW), Some(known), "an account that is open stays open");
    let other = key(&[("key", "other"), ("session", "1")]);
    assert!(ledger.find(&other).is_none());
    assert_ne!(ledger.open(&other, "other", NOW), Some(shared), "another key's sessions have accounts of their own");
    ledger.sweep(NOW);
    assert!(ledger.open(&session(30_000), "k", NOW).is_some_and(|id| id > shared), "empty accounts made room");
}

#[test]
fn a_flood_of_users_is_bounded_too() {
    let mut ledger = ledger(&["key", "user"]);
    for number in 0..2 * MAX_ACCOUNTS_PER_KEY + 100 {
        ledger.open(&key(&[("key", "k"), ("user", &number.to_string())]), "k", NOW).unwrap();
    }
    assert_eq!(ledger.views(NOW).len(), 20_001);
    assert!(ledger.find(&key(&[("key", "k"), ("user", "overflow")])).is_some());
}

#[test]
fn an_account_of_an_unknown_budget_is_not_opened() {
    assert_eq!(Ledger::new().open(&key(&[]), "k", NOW), None);
}

#[test]
fn more_limits_than_the_journal_numbers_still_count() {
    let limit: Limit = "100 tokens".parse().unwrap();
    let limits: Vec<Limit> = (0..300).map(|more| Limit { amount: 100 + more, ..limit.clone() }).collect();
    let mut ledger = Ledger::new();
    ledger.set_budget(budget(&[], limits), Who("a test".to_owned()), NOW);
    let account = ledger.open(&key(&[]), "k", NOW).unwrap();
    let mut spent = Charge::ZERO;
    spent[Meter::Tokens] = 1000;
    let who = Who("a test".to_owned());
    ledger.add(CallId::new(NOW, [1; 10]), [account].into(), spent, who, String::new(), NOW).unwrap();
    let view = ledger.view(account, NOW).unwrap();
    assert_eq!((view.limits.len(), view.level), (300, Level::Critical));
    assert!(view.limits.iter().all(|limit| limit.spent == 1000));
}

/// Whoever made each of these look at all the others would sit here for minutes.
#[test]
fn the_budgets_of_thirty_thousand_keys_are_set_and_removed_one_by_one() {
    let mut ledger = Ledger::new();
    let name = |number: u32| format!("key {number}");
    let of = |number: u32, limit: &str| {
        let limits = vec![limit.parse().unwrap()];
        Budget { name: name(number).parse().unwrap(), ..budget(&[], limits) }
    };
    let who = || Who("a test".to_owned());
    for number in 0..30_000 {
        let budget = of(number, "$1");
        let account = AccountKey { budget: budget.name.clone(), per: Vec::new() };
        ledger.set_budget(budget, who(), NOW);
        ledger.open(&account, "k", NOW).unwrap();
    }
    for number in 0..30_000 {
        match number % 3 {
            0 => ledger.set_budget(of(number, "$2"), who(), NOW),
            1 => ledger.remove_budget(&name(number).parse().unwrap(), who(), NOW),
            _ => ledger.forget_budget(&name(number).parse().unwrap(), who(), NOW),
        }
    }
    (1..30_000).step_by(3).for_each(|number| ledger.set_budget(of(number, "$3"), who(), NOW));
    let views = ledger.views(NOW);
    let limits = |limit: &str| views.iter().filter(|view| view.limits[0].limit == limit.parse().unwrap()).count();
    assert_eq!((views.len(), limits("$2"), limits("$3")), (20_000, 10_000, 10_000));
}
