//! What history adds up, what it tells of decisions and events, and how it forgets.

use almoner_units::{Buckets, CallId, Charge, Labels, Level, NanoUsd, Priority, Span, Timestamp, Usage, Zone};
use rusqlite::Connection;

use super::world::{START, State, account};
use crate::history::schema;
use crate::{
    Decision, DecisionAsk, EventKind, EventRecord, History, HistoryEvent, HistoryReader, Outcome, OutcomeRecord,
    ThrottleAction, ThrottleRecord, UsageAsk, UsageSums, VerdictRecord,
};

fn labels(text: &str) -> Labels {
    let pairs = text.split(' ').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
}

fn id(number: u8) -> CallId {
    CallId::new(START, [number; 10])
}

fn at(secs: u64) -> Timestamp {
    START.after(Span::from_secs(secs))
}

fn decided(number: u8, secs: u64, of: &str, decision: Decision) -> HistoryEvent {
    HistoryEvent::Verdict(Box::new(VerdictRecord {
        id: id(number),
        at: at(secs),
        labels: labels(of),
        provider: None,
        model: None,
        decision,
        account: Some(account("team", &[])),
        reason: format!("reason {number}"),
        numbers: Vec::new(),
        bound: Vec::new(),
        cap: None,
        held: Charge::ZERO,
        waited: Span::default(),
        price_version: None,
    }))
}

fn ended(number: u8, outcome: Outcome, input: u64, nano: u64) -> HistoryEvent {
    let usage = Usage { input: Some(input), output: Some(1), ..Usage::default() };
    HistoryEvent::Outcome(Box::new(OutcomeRecord {
        id: id(number),
        at: at(7200),
        outcome,
        usage,
        charge: Charge::of(&usage, NanoUsd::new(nano)),
        overrun: Charge::ZERO,
        unbounded: Vec::new(),
        status: Some(200),
        duration: None,
        price_version: None,
        note: None,
    }))
}

fn event(kind: EventKind, secs: u64) -> HistoryEvent {
    let data = [("budget".to_owned(), "team".into())].into_iter().collect();
    HistoryEvent::Event(Box::new(EventRecord { at: at(secs), kind, message: format!("at {secs}"), data }))
}

/// `BEGINS VALUES calls refused tokens nano assumed`, one group a line.
fn told(state: &State, ask: &UsageAsk) -> Vec<String> {
    let ask = UsageAsk { rows_max: if ask.rows_max == 0 { 1000 } else { ask.rows_max }, ..ask.clone() };
    let usages = HistoryReader::open(&state.dir()).unwrap().usage(&ask).unwrap();
    let line = |group: &crate::UsageGroup| {
        let UsageSums { calls, refused, tokens, cost_nano, assumed_calls, assumed_tokens, assumed_nano, .. } =
            group.sums;
        let begins = group.begins_at.map_or_else(String::new, |at| format!("{at} "));
        let assumed = format!("{assumed_calls}/{assumed_tokens}/{assumed_nano}");
        format!("{begins}{} {calls} {refused} {tokens} {cost_nano} {assumed}", group.values.join(","))
    };
    usages.groups.iter().map(line).collect()
}

fn grouped(by: &[&str], bucket: Option<&str>) -> UsageAsk {
    let buckets = bucket.map(|unit| Buckets { unit: unit.parse().unwrap(), zone: Zone::utc() });
    UsageAsk { group_by: by.iter().map(|name| name.parse().unwrap()).collect(), buckets, ..UsageAsk::default() }
}

/// Three sessions over two hours.
fn three_sessions() -> Vec<HistoryEvent> {
    vec![
        decided(1, 0, "session=a key=k tag.x=1", Decision::Admitted),
        ended(1, Outcome::Settled, 9, 100),
        decided(2, 61, "session=a key=k tag.x=2", Decision::Admitted),
        decided(3, 62, "session=b", Decision::Refused),
        decided(4, 3600, "session=b", Decision::Admitted),
        ended(4, Outcome::Assumed, 19, 1000),
        decided(5, 3600, "key=k", Decision::SlowDown),
        ended(2, Outcome::Settled, 99, 300),
        decided(6, 3661, "session=b", Decision::Booked),
        ended(6, Outcome::Added, 4, 50),
    ]
}

#[test]
fn usage_is_grouped_by_any_label_and_by_time_however_it_was_flushed() {
    let all = three_sessions();
    for cut in 0..=all.len() {
        let state = State::new();
        let mut history = History::open(&state.dir()).unwrap();
        history.flush(&all[..cut]).unwrap();
        history.flush(&all[cut..]).unwrap();
        assert_eq!(told(&state, &grouped(&[], None)), [" 3 2 115 450 1/20/1000"], "{cut}");
        let by_session = ["b 1 1 5 50 1/20/1000", "a 2 0 110 400 0/0/0", "none 0 1 0 0 0/0/0"];
        assert_eq!(told(&state, &grouped(&["session"], None)), by_session, "{cut}");
        let by_tag = ["none 1 2 5 50 1/20/1000", "2 1 0 100 300 0/0/0", "1 1 0 10 100 0/0/0"];
        assert_eq!(told(&state, &grouped(&["tag.x"], None)), by_tag, "{cut}");
        let by_hour = ["2025-11-24T16:00:00Z  2 1 110 400 0/0/0", "2025-11-24T17:00:00Z  1 1 5 50 1/20/1000"];
        assert_eq!(told(&state, &grouped(&[], Some("hour"))), by_hour, "{cut}");
        let by_minute = [
            "2025-11-24T16:00:00Z a 1 0 10 100 0/0/0",
            "2025-11-24T16:01:00Z a 1 0 100 300 0/0/0",
            "2025-11-24T16:01:00Z b 0 1 0 0 0/0/0",
            "2025-11-24T17:00:00Z b 1 0 0 0 1/20/1000",
            "2025-11-24T17:00:00Z none 0 1 0 0 0/0/0",
            "2025-11-24T17:01:00Z b 0 0 5 50 0/0/0",
        ];
        assert_eq!(told(&state, &grouped(&["session"], Some("minute"))), by_minute, "{cut}");
    }
}

#[test]
fn usage_is_chosen_by_labels_and_time_and_says_how_far_it_reaches() {
    let state = State::new();
    let mut history = History::open(&state.dir()).unwrap();
    history.flush(&three_sessions()).unwrap();
    let of = |text: &str| labels(text).iter().map(|(name, value)| (name.clone(), value.clone())).collect::<Vec<_>>();
    let ask = UsageAsk { labels: of("key=k session=a"), ..grouped(&["key", "session"], None) };
    assert_eq!(told(&state, &ask), ["k,a 2 0 110 400 0/0/0"]);
    let ask = UsageAsk { from: Some(at(61)), to: Some(at(3600)), ..grouped(&["session"], None) };
    assert_eq!(told(&state, &ask), ["a 1 0 100 300 0/0/0", "b 0 1 0 0 0/0/0"]);
    // The minute in which the end lies is whole.
    let ask = UsageAsk { to: Some(at(3601)), labels: of("session=b"), ..grouped(&[], None) };
    assert_eq!(told(&state, &ask), [" 1 1 0 0 1/20/1000"]);
    let mut reader = HistoryReader::open(&state.dir()).unwrap();
    let cut = reader.usage(&UsageAsk { rows_max: 1, ..grouped(&["session"], None) }).unwrap();
    assert_eq!((cut.groups.len(), cut.is_cut, cut.since), (1, true, Some(START)));
    assert_eq!(cut.groups[0].values, ["b"], "the dearest is kept");
}

#[test]
fn the_truth_that_comes_late_takes_the_place_of_what_was_assumed() {
    let state = State::new();
    let mut history = History::open(&state.dir()).unwrap();
    history.flush(&[decided(1, 0, "session=a", Decision::Admitted), ended(1, Outcome::Assumed, 19, 1000)]).unwrap();
    assert_eq!(told(&state, &grouped(&["session"], None)), ["a 1 0 0 0 1/20/1000"]);
    for (input, nano) in [(4, 70), (6, 90)] {
        history.flush(&[ended(1, Outcome::Corrected, input, nano)]).unwrap();
        let line = format!("a 1 0 {} {nano} 0/0/0", input + 1);
        assert_eq!(told(&state, &grouped(&["session"], None)), [line]);
    }
}

/// The tables of the second form, gone from a history, as one that an earlier version left behind.
fn as_first_form(state: &State, rows: &[HistoryEvent]) {
    std::fs::create_dir_all(state.dir()).unwrap();
    let mut made = History::open(&state.dir()).unwrap();
    made.flush(rows).unwrap();
    drop(made);
    let old = State::new();
    std::fs::create_dir_all(old.dir()).unwrap();
    let connection = Connection::open(old.file("history.db")).unwrap();
    schema::create_first_form(&connection);
    connection.execute("ATTACH ?1 AS made", [state.file("history.db").to_str().unwrap()]).unwrap();
    for table in ["calls", "throttle_events"] {
        let columns: Vec<String> = connection
            .prepare(&format!("SELECT name FROM pragma_table_info('{table}', 'main')"))
            .unwrap()
            .query_map([], |row| row.get(0))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        let columns = columns.join(", ");
        let copy = format!("INSERT INTO main.{table} ({columns}) SELECT {columns} FROM made.{table}");
        connection.execute(&copy, []).unwrap();
    }
    connection.close().unwrap();
    for log in ["history.db", "history.db-wal", "history.db-shm"] {
        drop(std::fs::remove_file(state.file(log)));
    }
    std::fs::copy(old.file("history.db"), state.file("history.db")).unwrap();
}

#[test]
fn a_history_of_the_first_form_is_added_up_when_it_is_opened() {
    let state = State::new();
    let mut rows = three_sessions();
    rows.push(HistoryEvent::Throttle(Box::new(throttle(1, "session=a"))));
    as_first_form(&state, &rows);
    let mut history = History::open(&state.dir()).unwrap();
    assert!(history.moved().is_none());
    let by_session = ["b 1 1 5 50 1/20/1000", "a 2 0 110 400 0/0/0", "none 0 1 0 0 0/0/0"];
    assert_eq!(told(&state, &grouped(&["session"], None)), by_session);
    assert!(history.explain(id(1)).unwrap().is_some_and(|call| call.verdict.is_some() && call.outcome.is_some()));
    // It goes on as any other.
    history.flush(&[ended(4, Outcome::Corrected, 1, 1), event(EventKind::Started, 1)]).unwrap();
    assert_eq!(told(&state, &grouped(&[], None)), [" 3 2 117 451 0/0/0"]);
    drop(history);
    assert!(History::open(&state.dir()).unwrap().moved().is_none(), "once is enough");
}

#[test]
fn a_history_that_another_holds_is_not_lost() {
    let state = State::new();
    as_first_form(&state, &three_sessions());
    let other = Connection::open(state.file("history.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    History::open(&state.dir()).unwrap_err();
    other.execute_batch("COMMIT").unwrap();
    assert_eq!(History::open(&state.dir()).unwrap().moved(), None);
    assert_eq!(told(&state, &grouped(&[], None)).len(), 1);
}

#[test]
fn decisions_come_newest_first_and_go_on_where_they_stopped_whatever_comes_in_between() {
    let state = State::new();
    let mut history = History::open(&state.dir()).unwrap();
    history.flush(&three_sessions()).unwrap();
    let reader = HistoryReader::open(&state.dir()).unwrap();
    let mut seen = Vec::new();
    let mut ask = DecisionAsk { most: 2, ..DecisionAsk::default() };
    loop {
        let page = reader.decisions(&ask).unwrap();
        let Some(last) = page.last() else { break };
        ask.behind = Some((last.at, last.id));
        seen.extend(page.iter().map(|row| row.id));
        // Those that come meanwhile are newer, and seen by whoever begins anew.
        history.flush(&[decided(10 + u8::try_from(seen.len()).unwrap(), 9999, "", Decision::Admitted)]).unwrap();
    }
    // Two were decided at the same moment.
    assert_eq!(seen, [6, 5, 4, 3, 2, 1].map(id));
}

#[test]
fn decisions_are_chosen_by_what_they_are() {
    let state = State::new();
    let mut history = History::open(&state.dir()).unwrap();
    history.flush(&three_sessions()).unwrap();
    let reader = HistoryReader::open(&state.dir()).unwrap();
    let check = |ask: DecisionAsk, numbers: &[u8]| {
        let rows = reader.decisions(&DecisionAsk { most: 100, ..ask }).unwrap();
        let expected: Vec<CallId> = numbers.iter().map(|number| id(*number)).collect();
        assert_eq!(rows.iter().map(|row| row.id).collect::<Vec<_>>(), expected);
    };
    let of = |text: &str| labels(text).iter().map(|(name, value)| (name.clone(), value.clone())).collect::<Vec<_>>();
    let none = DecisionAsk::default;
    check(DecisionAsk { decisions: vec![Decision::Refused, Decision::SlowDown], ..none() }, &[5, 3]);
    check(DecisionAsk { labels: of("session=a tag.x=2"), ..none() }, &[2]);
    check(DecisionAsk { labels: of("session=none"), ..none() }, &[5]);
    check(DecisionAsk { budget: Some("team".to_owned()), from: Some(at(62)), to: Some(at(3600)), ..none() }, &[3]);
    check(DecisionAsk { budget: Some("other".to_owned()), ..none() }, &[]);
    let first = &reader.decisions(&DecisionAsk { most: 1, ..none() }).unwrap()[0];
    assert_eq!((first.decision.as_str(), first.outcome.as_deref()), ("booked", Some("added")));
    assert_eq!((first.tokens, first.cost_nano, first.reason.as_str()), (Some(5), Some(50), "reason 6"));
}

#[test]
fn events_go_on_where_they_stopped_also_after_a_restart() {
    let state = State::new();
    let mut history = History::open(&state.dir()).unwrap();
    let events = |state: &State, after, kinds: &[EventKind], most| {
        HistoryReader::open(&state.dir()).unwrap().events(after, kinds, most).unwrap()
    };
    let none = events(&state, Some(0), &[], 10);
    assert!(none.events.is_empty() && !none.gap);
    history.flush(&[event(EventKind::Started, 1), event(EventKind::KeyMade, 2)]).unwrap();
    let first = events(&state, Some(none.last), &[], 1);
    assert_eq!((first.events.len(), first.last, first.gap), (1, none.last + 1, false));
    assert_eq!((first.events[0].kind.as_str(), first.events[0].message.as_str()), ("started", "at 1"));
    assert_eq!(first.events[0].data["budget"], "team");
    drop(history);
    let mut history = History::open(&state.dir()).unwrap();
    assert_eq!(history.last_event(), none.last + 2);
    history.flush(&[event(EventKind::KeyMade, 3), event(EventKind::Refused, 4)]).unwrap();
    assert_eq!(history.last_event(), none.last + 4);
    let rest = events(&state, Some(first.last), &[EventKind::KeyMade], 10);
    assert_eq!(rest.events.iter().map(|event| event.at).collect::<Vec<_>>(), [at(2), at(3)]);
    assert_eq!((rest.last, rest.gap), (none.last + 4, false), "what is of no kind asked for was looked at too");
    let latest = events(&state, None, &[], 2);
    assert_eq!(latest.events.iter().map(|event| event.at).collect::<Vec<_>>(), [at(3), at(4)]);
}

#[test]
fn whoever_asks_for_events_that_are_gone_is_told() {
    let state = State::new();
    let mut history = History::open(&state.dir()).unwrap();
    let events =
        |state: &State, after| HistoryReader::open(&state.dir()).unwrap().events(Some(after), &[], 10).unwrap();
    let began = events(&state, 0).last;
    history.flush(&[event(EventKind::Started, 1), event(EventKind::KeyMade, 2)]).unwrap();
    history.prune(at(2)).unwrap();
    assert!(events(&state, began).gap);
    assert!(!events(&state, began + 1).gap && !events(&state, 0).gap);
    history.prune(at(3)).unwrap();
    assert!(events(&state, began + 1).gap && !events(&state, began + 2).gap, "also where none is left");
    history.flush(&[event(EventKind::KeyMade, 4)]).unwrap();
    assert_eq!(events(&state, began + 2).events[0].id, began + 3, "no number is used twice");
    // A number that was never given is another history's.
    assert!(events(&state, began + 999).gap);
}

fn throttle(number: u8, of: &str) -> ThrottleRecord {
    ThrottleRecord {
        at: at(u64::from(number)),
        call: Some(id(number)),
        labels: labels(of),
        account: account("each task", &[]),
        limit: "50k tokens".parse().unwrap(),
        charged: 45_000,
        level: Level::Hard,
        level_before: None,
        action: ThrottleAction::Refused,
        priority: Some(Priority::Low),
        reason: "no money".to_owned(),
    }
}

#[test]
fn what_is_old_is_forgotten_step_by_step() {
    let state = State::new();
    let mut history = History::open(&state.dir()).unwrap();
    history.flush(&three_sessions()).unwrap();
    history.flush(&[HistoryEvent::Throttle(Box::new(throttle(1, ""))), event(EventKind::Started, 1)]).unwrap();
    let mut removed = 0;
    loop {
        match history.prune(at(3600)).unwrap() {
            0 => break,
            some => removed += some,
        }
    }
    // Three calls, three minutes of them, and one of each other kind.
    assert_eq!(removed, 3 + 3 + 1 + 1);
    assert_eq!(told(&state, &grouped(&[], None)), [" 1 1 5 50 1/20/1000"]);
    assert_eq!(history.forget_labels().unwrap(), 2);
    history.flush(&three_sessions()[..2]).unwrap();
    assert_eq!(told(&state, &grouped(&["session"], None))[1], "a 1 0 10 100 0/0/0", "what comes back is known again");
}

#[test]
fn a_history_that_is_too_large_forgets_its_oldest_calls_but_not_what_they_add_up_to() {
    let state = State::new();
    let mut history = History::open(&state.dir()).unwrap();
    history.flush(&three_sessions()).unwrap();
    let bytes = HistoryReader::open(&state.dir()).unwrap().bytes().unwrap();
    assert_eq!(history.shrink(bytes).unwrap(), 0);
    assert_eq!(history.shrink(1).unwrap(), 6);
    assert_eq!(history.explain(id(1)).unwrap(), None);
    assert_eq!(told(&state, &grouped(&[], None)), [" 3 2 115 450 1/20/1000"]);
}

#[test]
fn the_truth_about_a_call_that_was_forgotten_is_not_counted_beside_what_was_assumed() {
    let state = State::new();
    let mut history = History::open(&state.dir()).unwrap();
    history.flush(&[decided(1, 0, "session=a", Decision::Admitted), ended(1, Outcome::Assumed, 19, 1000)]).unwrap();
    assert_eq!(history.shrink(1).unwrap(), 1);
    history.flush(&[ended(1, Outcome::Corrected, 4, 70)]).unwrap();
    assert_eq!(told(&state, &grouped(&[], None)), [" 1 0 0 0 1/20/1000"]);
}

#[test]
fn a_history_that_is_too_large_keeps_its_audit_and_says_what_else_is_gone() {
    let state = State::new();
    let mut history = History::open(&state.dir()).unwrap();
    let kinds = [EventKind::Refused, EventKind::BudgetSet, EventKind::Refused, EventKind::KeyMade];
    history.flush(&(1..).zip(kinds).map(|(secs, kind)| event(kind, secs)).collect::<Vec<_>>()).unwrap();
    let first = history.last_event() - 3;
    assert_eq!(history.shrink(1).unwrap(), 2);
    let mut reader = HistoryReader::open(&state.dir()).unwrap();
    let mut read = |after: u64, kinds: &[EventKind]| {
        let found = reader.events(Some(after), kinds, 10).unwrap();
        (found.events.iter().map(|event| event.kind.clone()).collect::<Vec<_>>(), found.gap)
    };
    let audit = ["budget_set", "key_made"].map(str::to_owned).to_vec();
    assert_eq!(read(0, &[EventKind::BudgetSet, EventKind::KeyMade]), (audit.clone(), false));
    assert_eq!(read(first, &[]), (audit, true), "a refusal between them is gone");
    assert!(!read(first, &[EventKind::BudgetSet, EventKind::KeyMade]).1);
    assert_eq!(read(first + 2, &[]), (vec!["key_made".to_owned()], false));
}

#[test]
fn what_was_used_of_late_is_told_by_session() {
    let state = State::new();
    let mut history = History::open(&state.dir()).unwrap();
    history.flush(&three_sessions()).unwrap();
    let reader = HistoryReader::open(&state.dir()).unwrap();
    let recent = |session| reader.recent([at(1800), at(60)], session).unwrap();
    let told: Vec<_> = recent(None).into_iter().map(|(name, recent)| (name, recent.tokens, recent.nano)).collect();
    let name = |text: &str| Some(text.to_owned());
    // The minute in which the day begins is over; what is assumed counts.
    let expected = [(None, [0, 0], [0, 0]), (name("b"), [25, 25], [1050, 1050])];
    assert_eq!(told, expected);
    let a = reader.recent([at(1800), Timestamp::from_ms(START.ms() - 60_000)], Some("a")).unwrap();
    assert_eq!((a.len(), a[0].1.tokens, a[0].1.nano), (1, [0, 110], [0, 400]));
}

#[test]
fn a_task_has_its_errors_and_its_results() {
    let state = State::new();
    let mut history = History::open(&state.dir()).unwrap();
    let mut rows = vec![
        decided(1, 0, "task=t agent=codex", Decision::Admitted),
        ended(1, Outcome::Settled, 9, 2_500_000_000),
        decided(2, 5, "task=t agent=codex", Decision::Refused),
        HistoryEvent::Throttle(Box::new(throttle(2, "task=t agent=codex"))),
        decided(3, 6, "task=t", Decision::Rejected),
        decided(4, 7, "agent=codex", Decision::Admitted),
    ];
    for (number, status) in [(5, 429), (6, 500)] {
        rows.push(decided(number, 8, "task=u agent=codex", Decision::Admitted));
        let HistoryEvent::Outcome(mut end) = ended(number, Outcome::Released, 0, 0) else { unreachable!() };
        end.status = Some(status);
        rows.push(HistoryEvent::Outcome(end));
    }
    let warned = ThrottleRecord { action: ThrottleAction::Warned, ..throttle(7, "task=w") };
    let beyond = ThrottleRecord { charged: 51_000, level: Level::Critical, ..warned.clone() };
    rows.extend([warned, beyond].map(|record| HistoryEvent::Throttle(Box::new(record))));
    history.flush(&rows).unwrap();
    let connection = Connection::open(state.file("history.db")).unwrap();
    let lines = |query: &str| -> Vec<String> {
        let mut rows = connection.prepare(query).unwrap();
        rows.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    };
    let errors = "SELECT concat_ws(' ', coalesce(task_id, '-'), error_type, error_message, occurred_at)
                    FROM task_errors ORDER BY error_type, task_id";
    assert_eq!(
        lines(errors),
        [
            "t BudgetExceededError no money 2025-11-24 16:00:02",
            "w BudgetExceededError no money 2025-11-24 16:00:07",
            "t CallRejectedError reason 3 2025-11-24 16:00:06",
            "u ProviderError the provider answered 500 2025-11-24 18:00:00",
            "u RateLimitError the provider answered 429 2025-11-24 18:00:00",
        ]
    );
    let details = "SELECT concat_ws(' ', error_details ->> 'cli_name', error_details ->> 'tokens_used',
                                         error_details ->> 'token_limit',
                                         error_details ->> '$.usage_stats.tokens_remaining',
                                         error_details ->> '$.usage_stats.percent_used',
                                         error_details ->> '$.usage_stats.warning_issued')
                     FROM task_errors WHERE error_type = 'BudgetExceededError' ORDER BY task_id";
    assert_eq!(lines(details), ["codex 45000 50000 5000 90.0 1", "51000 50000 -1000 102.0 1"]);
    let results = "SELECT concat_ws(' ', task_id, cli_name, cost, created_at, calls, refused, tokens)
                     FROM execution_results ORDER BY task_id, cli_name";
    assert_eq!(
        lines(results),
        [
            "t codex 2.5 2025-11-24 16:00:05 1 1 10",
            "t none 0.0 2025-11-24 16:00:06 0 1 0",
            "u codex 0.0 2025-11-24 16:00:08 2 0 2",
        ]
    );
}
