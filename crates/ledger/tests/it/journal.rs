//! Journals that break a promise of the ledger's own: it must not say yes from them.

use almoner_ledger::{AccountId, Entry, Fact, Hold, Ledger, Who};
use almoner_units::{
    AccountKey, Ask, Budget, CallId, Charge, LevelMarks, Meter, Mode, PicoUsdPerToken, Priority, Timestamp,
};

const NOW: Timestamp = Timestamp::from_ms(1_764_000_000_000);

/// The facts of a journal of one budget of 100 tokens, one account, and a hold of each amount.
fn journal(amounts: &[u64]) -> Vec<Entry> {
    let budget = Budget {
        name: "team".parse().unwrap(),
        filter: Vec::new(),
        per: Vec::new(),
        limits: vec!["100 tokens".parse().unwrap()],
        mode: Mode::StopNew,
        marks: LevelMarks::default(),
    };
    let key = AccountKey { budget: "team".parse().unwrap(), per: Vec::new() };
    let opened = Fact::AccountOpened { account: AccountId(0), key, opener: "key".to_owned() };
    let mut facts = vec![Fact::BudgetSet { budget, by: Who("a test".to_owned()), keeps_past: true }, opened];
    facts.extend((1..).zip(amounts).map(|(number, amount)| Fact::Held(hold(number, *amount))));
    (1..).zip(facts).map(|(seq, fact)| Entry { seq, at: NOW, fact }).collect()
}

fn hold(number: u8, tokens: u64) -> Hold {
    let mut amount = Charge::ZERO;
    amount[Meter::Tokens] = tokens;
    Hold {
        id: CallId::new(NOW, [number; 10]),
        accounts: [AccountId(0)].into(),
        ask: Ask::new(amount, 1, PicoUsdPerToken::ZERO, 0),
        priority: Priority::Normal,
        cap: 0,
        amount,
        expires_at: NOW,
    }
}

fn replay(entries: &[Entry]) -> Ledger {
    let mut ledger = Ledger::new();
    entries.iter().for_each(|entry| ledger.replay(entry));
    ledger
}

#[test]
fn a_sound_journal_gives_the_books() {
    let ledger = replay(&journal(&[40, 60]));
    assert_eq!((ledger.seq(), ledger.now(), ledger.holds().len()), (4, NOW, 2));
    assert_eq!(ledger.holds_on(AccountId(0)).len(), 2);
    assert_eq!(ledger.budgets().count(), 1);
    assert_eq!(ledger.key_of(AccountId(0)).map(ToString::to_string), Some("team".to_owned()));
}

#[test]
#[should_panic = "one is missing or repeated"]
fn a_fact_that_is_missing_is_noticed() {
    let mut entries = journal(&[40, 60]);
    entries.remove(2);
    replay(&entries);
}

#[test]
#[should_panic = "before 2025-11-24T16:00:00Z"]
fn time_that_goes_back_is_noticed() {
    let mut entries = journal(&[40]);
    entries[2].at = Timestamp::from_ms(NOW.ms() - 1);
    replay(&entries);
}

#[test]
#[should_panic = "would leave 101 charged of `100 tokens / lifetime` on team"]
fn a_hold_above_its_limit_is_noticed() {
    replay(&journal(&[40, 61]));
}

#[test]
#[should_panic = "is held twice"]
fn a_call_held_twice_is_noticed() {
    let mut entries = journal(&[40, 40]);
    entries[3].fact = entries[2].fact.clone();
    replay(&entries);
}

#[test]
#[should_panic = "which has none"]
fn an_end_without_a_hold_is_noticed() {
    let mut entries = journal(&[40]);
    entries[2].fact = Fact::Settled { id: CallId::new(NOW, [9; 10]), spent: Charge::ZERO };
    replay(&entries);
}

#[test]
#[should_panic = "which has no hold"]
fn news_about_no_hold_are_noticed() {
    let mut entries = journal(&[40]);
    entries[2].fact = Fact::Assumed { hold: hold(9, 40), held_by: 1, cause: String::new() };
    replay(&entries);
}

#[test]
#[should_panic = "is dropped while it counts something"]
fn an_account_that_is_dropped_too_early_is_noticed() {
    let mut entries = journal(&[40, 1]);
    entries[3].fact = Fact::AccountDropped { account: AccountId(0) };
    replay(&entries);
}

#[test]
#[should_panic = "is opened twice"]
fn a_number_that_is_used_again_is_noticed() {
    let mut entries = journal(&[40]);
    entries[2].fact = entries[1].fact.clone();
    replay(&entries);
}
