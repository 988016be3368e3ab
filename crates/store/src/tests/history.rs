//! History: the queries that people already have give right answers, and what is lost is only history.

use std::fs;
use std::path::Path;

use almoner_ledger::{AccountView, LimitView};
use almoner_units::{CallId, Charge, Labels, Level, Meter, Mode, NanoUsd, Priority, Span, Timestamp, Usage};
use rusqlite::Connection;

use super::world::{START, State, World, account};
use crate::{
    BoundPart, CallRecord, Decision, History, HistoryEvent, KeyUsed, Outcome, OutcomeRecord, ThrottleAction,
    ThrottleRecord, VerdictRecord,
};

/// The queries of the first requirement, to the letter.
const PRINTED: [&str; 2] = [
    "SELECT * FROM throttle_events ORDER BY timestamp DESC LIMIT 10;",
    "SELECT session_id, SUM(tokens_used) as total, SUM(cost) as total_cost
FROM usage_history
WHERE timestamp > datetime('now', '-1 day')
GROUP BY session_id;",
];

fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
}

fn id(number: u8) -> CallId {
    CallId::new(START, [number; 10])
}

fn charge(tokens: u64, nano: u64) -> Charge {
    let usage = Usage { input: Some(tokens), ..Usage::default() };
    Charge::of(&usage, NanoUsd::new(nano))
}

fn view(key: &str, limits: &[(&str, u64, u64)]) -> AccountView {
    let limit = |(text, spent, assumed): &(&str, u64, u64)| LimitView {
        limit: text.parse().unwrap(),
        spent: *spent,
        assumed: *assumed,
        held: 5,
        level: Level::Soft,
        resets_at: Some(START),
    };
    AccountView {
        key: account(key, &[("session", "s1")]),
        mode: Mode::Throttle,
        level: Level::Hard,
        open_holds: 2,
        limits: limits.iter().map(limit).collect(),
    }
}

fn verdict(number: u8, at: Timestamp, session: &str) -> VerdictRecord {
    VerdictRecord {
        id: id(number),
        at,
        labels: labels(&[("session", session), ("command", "/fix"), ("tag.x", "y")]),
        provider: Some("anthropic".to_owned()),
        model: Some("claude-opus-5".to_owned()),
        decision: Decision::Admitted,
        account: Some(account("each session", &[("session", session)])),
        reason: "it fits".to_owned(),
        numbers: vec![view("each session", &[("$5 / sliding 1h", 7, 8), ("1M tokens / day in Asia/Tokyo", 9, 0)])],
        bound: vec![BoundPart { name: "input".to_owned(), meter: Meter::Tokens, amount: 4711 }],
        cap: Some(8192),
        held: charge(5000, 90_000_000),
        waited: Span::from_ms(12),
        price_version: Some("2026-11-01".to_owned()),
    }
}

fn outcome(number: u8, at: Timestamp, outcome: Outcome, tokens: u64, nano: u64) -> OutcomeRecord {
    OutcomeRecord {
        id: id(number),
        at,
        outcome,
        usage: Usage { input: Some(tokens), output: Some(0), ..Usage::default() },
        charge: charge(tokens, nano),
        overrun: charge(1, 2),
        unbounded: vec!["web_search".to_owned()],
        status: Some(200),
        duration: Some(Span::from_ms(1500)),
        price_version: Some("2026-11-01".to_owned()),
        note: None,
    }
}

fn throttle(at: Timestamp, session: Option<&str>, level: Level) -> ThrottleRecord {
    ThrottleRecord {
        at,
        call: Some(id(1)),
        labels: session.map_or_else(Labels::new, |session| labels(&[("session", session)])),
        account: account("each session", &[("session", "s1")]),
        limit: "100k tokens / sliding 1h".parse().unwrap(),
        charged: 91_500,
        level,
        level_before: None,
        action: ThrottleAction::Refused,
        priority: Some(Priority::Low),
        reason: "low waits at soft".to_owned(),
    }
}

#[test]
fn what_each_key_has_used_is_added_up() {
    let state = State::new();
    let mut history = History::open(&state.dir()).unwrap();
    let of = |number, secs, key: Option<&str>, decision| {
        let mut verdict = verdict(number, START.after(Span::from_secs(secs)), "s");
        verdict.labels = key.map_or_else(Labels::new, |key| labels(&[("key", key), ("tag.key", "other")]));
        HistoryEvent::Verdict(Box::new(VerdictRecord { decision, ..verdict }))
    };
    let end = |number, word, tokens, nano| HistoryEvent::Outcome(Box::new(outcome(number, START, word, tokens, nano)));
    let events = [
        of(1, 1, Some("ci-1"), Decision::Admitted),
        end(1, Outcome::Settled, 10, 100),
        of(2, 9, Some("ci-1"), Decision::Admitted),
        end(2, Outcome::Assumed, 7, 50),
        of(3, 5, Some("ci-1"), Decision::Rejected),
        of(4, 6, Some("ci-2"), Decision::Refused),
        of(5, 7, None, Decision::Admitted),
        end(5, Outcome::Settled, 1, 1),
        // The verdict of this one was lost, and nobody knows whose it was.
        end(6, Outcome::Settled, 1, 1),
    ];
    history.flush(&events).unwrap();
    let used = |key: &str, secs, calls, refused, tokens, cost_nano, assumed_nano| KeyUsed {
        key: key.to_owned(),
        last_at: START.after(Span::from_secs(secs)),
        calls,
        refused,
        tokens,
        cost_nano,
        assumed_nano,
    };
    let (one, two) = (used("ci-1", 9, 2, 1, 17, 100, 50), used("ci-2", 6, 0, 1, 0, 0, 0));
    assert_eq!(History::keys_in(&state.dir(), None).unwrap(), [one.clone(), two]);
    assert_eq!(History::keys_in(&state.dir(), Some("ci-1")).unwrap(), [one]);
    assert!(History::keys_in(&state.dir(), Some("ci")).unwrap().is_empty());
}

fn admitted(record: VerdictRecord) -> HistoryEvent {
    HistoryEvent::Verdict(Box::new(record))
}

fn ended(record: OutcomeRecord) -> HistoryEvent {
    HistoryEvent::Outcome(Box::new(record))
}

/// A reader in another process would open the file like this.
fn reader(state: &State) -> Connection {
    Connection::open(state.file("history.db")).unwrap()
}

/// The moment that SQLite's own `now` says, for the queries that ask it.
fn sqlite_now(connection: &Connection) -> Timestamp {
    let ms: i64 = connection.query_row("SELECT unixepoch() * 1000", [], |row| row.get(0)).unwrap();
    Timestamp::from_ms(ms.try_into().unwrap())
}

fn ago(now: Timestamp, secs: u64) -> Timestamp {
    Timestamp::from_ms(now.ms() - secs * 1000)
}

/// A day and an hour of two sessions: what is older than a day, free or unknown must not be summed up.
fn busy_day(history: &mut History, now: Timestamp) {
    let mut events = Vec::new();
    let calls = [
        (1, "a", Outcome::Settled, 1000, 1_250_000_000, 60),
        (2, "a", Outcome::Settled, 500, 250_000_000, 23 * 3600),
        (3, "a", Outcome::Settled, 7777, 9_000_000_000, 25 * 3600),
        (4, "b", Outcome::Corrected, 10, 5_000_000, 30),
        (5, "b", Outcome::Assumed, 99_999, 3_000_000_000, 20),
        (6, "b", Outcome::Released, 0, 0, 10),
    ];
    for (number, session, how, tokens, nano, secs) in calls {
        events.push(admitted(verdict(number, ago(now, secs + 5), session)));
        events.push(ended(outcome(number, ago(now, secs), how, tokens, nano)));
    }
    let levels = [Level::Warning, Level::Soft, Level::Hard, Level::Critical];
    for step in 0..12_u8 {
        let at = ago(now, 100 - u64::from(step));
        events.push(HistoryEvent::Throttle(Box::new(throttle(at, Some("a"), levels[usize::from(step) % 4]))));
    }
    history.flush(&events).unwrap();
}

#[track_caller]
fn check_printed(connection: &Connection, events: &str, usage: &str) {
    let mut rows = connection.prepare(events).unwrap();
    let columns: Vec<String> = rows.column_names().map(str::to_owned).collect();
    for column in ["id", "timestamp", "session_id", "level", "throttle_level", "priority", "action"] {
        assert!(columns.iter().any(|known| known == column), "{column} is not in {columns:?}");
    }
    let read = |row: &rusqlite::Row<'_>| {
        let level: String = row.get("throttle_level")?;
        Ok((row.get::<_, i64>("id")?, row.get::<_, String>("timestamp")?, level))
    };
    let rows: Vec<_> = rows.query_map([], read).unwrap().map(Result::unwrap).collect();
    let ids: Vec<i64> = rows.iter().map(|row| row.0).collect();
    assert_eq!(ids, [12, 11, 10, 9, 8, 7, 6, 5, 4, 3], "the latest ten, newest first");
    assert_eq!(rows[0].2, "CRITICAL");
    assert!(rows.iter().all(|row| row.1.len() == 19 && row.1.as_bytes()[10] == b' '), "{rows:?}");

    let mut rows = connection.prepare(usage).unwrap();
    let read = |row: &rusqlite::Row<'_>| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?, row.get::<_, f64>(2)?));
    let rows: Vec<_> = rows.query_map([], read).unwrap().map(Result::unwrap).collect();
    assert_eq!(rows, [("a".to_owned(), 1500, 1.5), ("b".to_owned(), 10, 0.005)]);
}

#[test]
fn the_queries_printed_in_the_requirements_give_the_right_answers() {
    let state = State::new();
    let mut history = History::open(&state.dir()).unwrap();
    let reader = reader(&state);
    busy_day(&mut history, sqlite_now(&reader));
    check_printed(&reader, PRINTED[0], PRINTED[1]);
}

#[test]
fn the_printed_queries_are_those_of_the_document() {
    let document =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/requirements/1-task-routing-and-throttling.md");
    let Ok(text) = fs::read_to_string(document) else { return };
    let from = text.find("### Throttle Events").unwrap();
    let sql = text[from..].split("```sql").nth(1).unwrap().split("```").next().unwrap();
    let sql: String = sql.lines().filter(|line| !line.starts_with("--")).collect::<Vec<_>>().join("\n");
    let printed: Vec<String> = sql.split_inclusive(';').map(|query| query.trim().to_owned()).collect();
    assert_eq!(printed.iter().map(String::as_str).filter(|query| !query.is_empty()).collect::<Vec<_>>(), PRINTED);
}

#[test]
fn usage_has_the_columns_that_dashboards_ask_for() {
    let state = State::new();
    let mut history = History::open(&state.dir()).unwrap();
    history.flush(&[admitted(verdict(1, START, "a")), ended(outcome(1, START, Outcome::Settled, 3, 1))]).unwrap();
    let row: (String, String, String, i64, i64, f64, String) = reader(&state)
        .query_row(
            "SELECT command, token_type, model, tokens_used, cost_nano, cost, timestamp FROM usage_history",
            [],
            |row| row.try_into(),
        )
        .unwrap();
    let expected = ("/fix", "total", "claude-opus-5", 3, 1, 1e-9, "2025-11-24 16:00:00");
    assert_eq!((&*row.0, &*row.1, &*row.2, row.3, row.4, row.5, &*row.6), expected);
}

#[test]
fn token_budget_has_one_row_for_each_account_and_is_made_anew() {
    let state = State::new();
    let mut history = History::open(&state.dir()).unwrap();
    let tokens = [("$5", 4_900_000_000, 0), ("100k tokens / day", 20_000, 30_000), ("1M tokens", 60_000, 0)];
    let views = [view("tokens first", &tokens), view("only money", &[("$2", 500_000_000, 0), ("$10 / day", 1, 0)])];
    history.put_token_budget(&[view("gone", &[("$1", 0, 0)])], START).unwrap();
    history.put_token_budget(&views, START).unwrap();
    let reader = reader(&state);
    let mut rows = reader
        .prepare("SELECT account, total_used, hard_limit, updated_at, meter FROM token_budget ORDER BY account DESC")
        .unwrap();
    let rows: Vec<(String, i64, i64, String, String)> =
        rows.query_map([], |row| row.try_into()).unwrap().map(Result::unwrap).collect();
    let at = "2025-11-24 16:00:00".to_owned();
    let row = |account: &str, used, limit, meter: &str| {
        (format!("{account} [session=s1]"), used, limit, at.clone(), meter.to_owned())
    };
    let expected =
        [row("tokens first", 50_000, 100_000, "tokens"), row("only money", 500_000_000, 2_000_000_000, "usd")];
    assert_eq!(rows, expected);
}

#[test]
fn token_budget_agrees_with_the_replayed_journal() {
    let state = State::new();
    let (mut journal, _) = state.open();
    let mut world = World::new(5);
    journal.append(&world.facts(400)).unwrap();
    let mut history = History::open(&state.dir()).unwrap();
    let views = journal.replay().unwrap().views(world.now);
    history.flush(&[HistoryEvent::TokenBudget { views: views.clone(), at: world.now }]).unwrap();
    let sum = |sql: &str| -> i64 { reader(&state).query_row(sql, [], |row| row.get(0)).unwrap() };
    assert_eq!(sum("SELECT count(*) FROM token_budget"), i64::try_from(views.len()).unwrap());
    let firm = views.iter().find(|view| view.key.budget.as_str() == "the firm").unwrap();
    let used: Vec<i64> = firm.limits.iter().map(|limit| i64::try_from(limit.spent + limit.assumed).unwrap()).collect();
    assert!(used.contains(&sum("SELECT total_used FROM token_budget WHERE account = 'the firm'")), "{used:?}");
}

#[test]
fn token_budget_is_put_whole_or_not_at_all() {
    let state = State::new();
    let mut history = History::open(&state.dir()).unwrap();
    history.put_token_budget(&[view("before", &[("$1", 1, 0)])], START).unwrap();
    let reader = reader(&state);
    let refuse = "CREATE TRIGGER refuse BEFORE INSERT ON token_budget WHEN NEW.account LIKE 'bad%'
                  BEGIN SELECT RAISE(ABORT, 'no'); END";
    reader.execute_batch(refuse).unwrap();
    let views = [view("good", &[("$1", 1, 0)]), view("bad", &[("$1", 1, 0)])];
    history.put_token_budget(&views, START).unwrap_err();
    let left: Vec<String> = reader
        .prepare("SELECT account FROM token_budget")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!(left, ["before [session=s1]"]);
}

#[test]
fn explain_gives_back_what_was_written() {
    let state = State::new();
    let mut history = History::open(&state.dir()).unwrap();
    let (decided, came_to) = (verdict(1, START, "a"), outcome(1, START, Outcome::Settled, 77, 88));
    assert_eq!(history.explain(id(1)).unwrap(), None);
    history.flush(&[admitted(decided.clone())]).unwrap();
    let known = CallRecord { verdict: Some(decided.clone()), outcome: None };
    assert_eq!(history.explain(id(1)).unwrap(), Some(known));
    history.flush(&[ended(came_to.clone())]).unwrap();
    let known = CallRecord { verdict: Some(decided), outcome: Some(came_to) };
    assert_eq!(history.explain(id(1)).unwrap().as_ref(), Some(&known));
    assert_eq!(History::explain_in(&state.dir(), id(1)).unwrap(), Some(known));
}

#[test]
fn however_the_news_of_a_call_are_cut_into_batches_it_becomes_the_same_row() {
    let decided = verdict(1, START, "a");
    let came_to = outcome(1, START, Outcome::Assumed, 77, 88);
    let corrected = outcome(1, START, Outcome::Corrected, 5, 6);
    let other = outcome(2, START, Outcome::Settled, 1, 1);
    let told = [admitted(decided.clone()), ended(other), ended(came_to.clone()), ended(corrected.clone())];
    for (most, last) in [(3, came_to), (4, corrected)] {
        for cut in 0..=most {
            let state = State::new();
            let mut history = History::open(&state.dir()).unwrap();
            history.flush(&told[..cut]).unwrap();
            history.flush(&told[cut..most]).unwrap();
            let known = CallRecord { verdict: Some(decided.clone()), outcome: Some(last.clone()) };
            assert_eq!(history.explain(id(1)).unwrap(), Some(known), "{cut} of {most}");
        }
    }
}

#[test]
fn every_decision_and_outcome_is_read_back() {
    let state = State::new();
    let mut history = History::open(&state.dir()).unwrap();
    for decision in Decision::ALL {
        let record = VerdictRecord { decision: *decision, account: None, cap: None, ..verdict(1, START, "a") };
        history.flush(&[admitted(record.clone())]).unwrap();
        assert_eq!(history.explain(id(1)).unwrap().unwrap().verdict, Some(record));
    }
    for how in Outcome::ALL {
        let record = OutcomeRecord { usage: Usage::default(), ..outcome(1, START, *how, 0, 0) };
        history.flush(&[ended(record.clone())]).unwrap();
        assert_eq!(history.explain(id(1)).unwrap().unwrap().outcome, Some(record));
    }
}

#[test]
fn an_outcome_whose_verdict_was_lost_is_kept() {
    let state = State::new();
    let mut history = History::open(&state.dir()).unwrap();
    let came_to = outcome(1, START, Outcome::Settled, 77, 88);
    history.flush(&[ended(came_to.clone())]).unwrap();
    let known = history.explain(id(1)).unwrap().unwrap();
    assert_eq!((known.verdict, known.outcome), (None, Some(came_to)));
}

#[test]
fn a_history_that_cannot_be_read_is_moved_aside_and_begun_anew() {
    for content in [&b"not a database at all, and longer than a header would be"[..], &[0; 8192]] {
        let state = State::new();
        fs::create_dir_all(state.dir()).unwrap();
        fs::write(state.file("history.db"), content).unwrap();
        let mut history = History::open(&state.dir()).unwrap();
        let moved = history.moved().unwrap().to_owned();
        assert_eq!(fs::read(&moved).unwrap(), content);
        history.flush(&[admitted(verdict(1, START, "a"))]).unwrap();
        assert!(history.explain(id(1)).unwrap().is_some());
        drop(history);
        assert!(History::open(&state.dir()).unwrap().moved().is_none());
    }
}

#[test]
fn history_is_pruned_by_age() {
    let state = State::new();
    let mut history = History::open(&state.dir()).unwrap();
    let later = START.after(Span::from_secs(10));
    let events = [
        admitted(verdict(1, START, "a")),
        admitted(verdict(2, later, "a")),
        HistoryEvent::Throttle(Box::new(throttle(START, None, Level::Soft))),
    ];
    history.flush(&events).unwrap();
    assert_eq!(history.prune(later).unwrap(), 2);
    assert!(history.explain(id(1)).unwrap().is_none() && history.explain(id(2)).unwrap().is_some());
}

#[test]
fn a_reader_in_the_middle_of_a_query_does_not_stop_a_flush() {
    let state = State::new();
    let mut history = History::open(&state.dir()).unwrap();
    history.flush(&[admitted(verdict(1, START, "a")), admitted(verdict(2, START, "a"))]).unwrap();
    let reader = reader(&state);
    let mut rows = reader.prepare("SELECT id FROM calls").unwrap();
    let mut rows = rows.query([]).unwrap();
    assert!(rows.next().unwrap().is_some());
    history.flush(&[admitted(verdict(3, START, "a"))]).unwrap();
    assert!(rows.next().unwrap().is_some());
    assert!(rows.next().unwrap().is_none(), "a reader sees the history as it was when it began");
}
