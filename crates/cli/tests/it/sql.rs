//! The queries that people already have, on the history of a server that runs.

use rusqlite::{Connection, OpenFlags};

use crate::provider::{messages, truth, world};
use crate::server::look_until;
use crate::world::World;

/// The queries of the first requirement, to the letter.
const EVENTS: &str = "SELECT * FROM throttle_events ORDER BY timestamp DESC LIMIT 10;";
const USAGE: &str = "SELECT session_id, SUM(tokens_used) as total, SUM(cost) as total_cost
FROM usage_history
WHERE timestamp > datetime('now', '-1 day')
GROUP BY session_id;";

/// History, as a reader in another process opens it.
fn reader(world: &World) -> Connection {
    Connection::open_with_flags(world.path("state/history.db"), OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_printed_queries_give_right_answers_while_the_server_runs() {
    let truth = truth().await;
    let budget = "[[budget]]\nname = \"each\"\nper = [\"session\"]\nlimit = \"10k tokens\"\nmode = \"throttle\"\n";
    let world = world(&truth, "", budget);
    let server = world.serve();
    let low = |session| [("x-almoner-session", session), ("x-almoner-priority", "low")];
    let call = messages("truth-1", 200, "Hello");
    for session in ["one", "one", "two"] {
        assert_eq!(server.post("/v1/messages", &low(session), &call).await.status, 200);
    }
    world.ok(&["usage", "add", "--input", "9000", "--cost", "$0", "--label", "session=two", "--reason", "elsewhere"]);
    let refused = server.post("/v1/messages", &low("two"), &call).await;
    assert_eq!(refused.status, 402, "{}", refused.text());
    server.explain(&refused, false);
    server.until(|status| status.open_holds == 0);

    let sums = |connection: &Connection| -> Vec<(String, i64, i64)> {
        let mut query = connection.prepare(USAGE).unwrap();
        let nano = |dollars: f64| format!("{dollars:.9}").replace('.', "").parse().unwrap();
        let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?, nano(row.get(2)?)))).unwrap();
        rows.map(Result::unwrap).collect()
    };
    let (tokens, nano) = (truth.totals().input + truth.totals().output, truth.bill().get());
    let (tokens, nano) = (i64::try_from(tokens).unwrap() / 3, i64::try_from(nano).unwrap() / 3);
    let expected = [("one".to_owned(), 2 * tokens, 2 * nano), ("two".to_owned(), tokens + 9000, nano)];
    let history = reader(&world);
    let seen = look_until(|| Some(sums(&history)).filter(|sums| sums == &expected));
    assert!(seen.is_some(), "{:?} instead of {expected:?}", sums(&history));

    let mut events = history.prepare(EVENTS).unwrap();
    let rows = events.query_map([], |row| {
        Ok((row.get("session_id")?, row.get("throttle_level")?, row.get("action")?, row.get("priority")?))
    });
    let rows: Vec<(String, String, String, Option<String>)> = rows.unwrap().map(Result::unwrap).collect();
    let refusal = ("two".to_owned(), "CRITICAL".to_owned(), "refused".to_owned(), Some("low".to_owned()));
    assert!(rows.contains(&refusal), "{rows:?}");

    let used = |account: &str| {
        let query = "SELECT total_used, hard_limit FROM token_budget WHERE account = ?1";
        history.query_row(query, [account], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?))).ok()
    };
    let expected = (tokens + 9000, 10_000);
    let seen = look_until(|| used("each [session=two]").filter(|used| *used == expected));
    assert!(seen.is_some(), "{:?} instead of {expected:?}", used("each [session=two]"));
    server.stop();
}

/// The twins of the queries of the third requirement, as they are shipped.
const LAST: &str = include_str!("../../../../docs/sql/last_budget_violation.sql");
const BY_DAY: &str = include_str!("../../../../docs/sql/budget_violations_by_day.sql");
const LAST_DAY: &str = include_str!("../../../../docs/sql/budget_violations_last_day.sql");
const TOKENS: &str = include_str!("../../../../docs/sql/token_usage_by_day.sql");
const RATE: &str = include_str!("../../../../docs/sql/budget_violation_rate.sql");
const ANOMALIES: &str = include_str!("../../../../docs/sql/cost_anomalies.sql");
const RATE_LIMITS: &str = include_str!("../../../../docs/sql/rate_limit_failures.sql");

/// The rows of a query, the columns of each as text.
fn rows(connection: &Connection, query: &str) -> Vec<Vec<String>> {
    let mut query = connection.prepare(query).unwrap();
    let columns = query.column_count();
    let text = |value: rusqlite::types::Value| match value {
        rusqlite::types::Value::Integer(number) => number.to_string(),
        rusqlite::types::Value::Real(number) => format!("{number:.6}"),
        rusqlite::types::Value::Text(text) => text,
        _ => "null".to_owned(),
    };
    let read = |row: &rusqlite::Row<'_>| (0..columns).map(|at| row.get(at).map(text)).collect();
    query.query_map([], read).unwrap().collect::<rusqlite::Result<_>>().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_twins_of_the_postgres_queries_give_right_answers_while_the_server_runs() {
    let truth = truth().await;
    let budget = "[[budget]]\nname = \"each task\"\nper = [\"task\"]\nlimit = [\"10k tokens\", \"$100\"]\n";
    let world = world(&truth, "", budget);
    let server = world.serve();
    let call = messages("truth-1", 200, "Hello");
    let of = |task, agent| [("x-almoner-task", task), ("x-almoner-agent", agent)];
    for task in ["t1", "t1", "t2", "t3", "t4"] {
        assert_eq!(server.post("/v1/messages", &of(task, "claude-code"), &call).await.status, 200);
    }
    server.until(|status| status.open_holds == 0);
    let add = |task: &str, agent: &str, input: &str, cost: &str| {
        let labels = [format!("task={task}"), format!("agent={agent}")];
        let labels = ["--label", &labels[0], "--label", &labels[1], "--reason", "elsewhere"];
        world.ok(&[&["usage", "add", "--input", input, "--cost", cost][..], &labels].concat());
    };
    // One task of one agent goes astray; two of another are always dear.
    add("t5", "claude-code", "100", "$5");
    add("u1", "codex", "300", "$5");
    add("u2", "codex", "500", "$6");
    // Two tasks come to the end of their money, one of them twice.
    add("t1", "claude-code", "9000", "$0");
    add("u1", "codex", "9500", "$0");
    for (task, agent) in [("t1", "claude-code"), ("t1", "claude-code"), ("u1", "codex")] {
        assert_eq!(server.post("/v1/messages", &of(task, agent), &call).await.status, 402);
    }

    // A shell that looks in the middle of a query holds nobody up.
    let history = reader(&world);
    let one = u64::try_from(truth.totals().input + truth.totals().output).unwrap() / 5;
    let seen = look_until(|| Some(rows(&history, LAST_DAY)).filter(|rows| rows[0] == ["3"]));
    assert!(seen.is_some(), "{:?}", rows(&history, LAST_DAY));
    let (t1, u1) = (2 * one + 9000, 9800);
    let last = rows(&history, LAST);
    assert_eq!((last.len(), last[0][0].as_str()), (1, "BudgetExceededError"));
    assert!([t1.to_string(), u1.to_string()].contains(&last[0][2]), "{last:?}");
    let by_day = rows(&history, BY_DAY);
    let violations: u64 = by_day.iter().map(|row| row[1].parse::<u64>().unwrap()).sum();
    assert_eq!(violations, 3, "{by_day:?}");
    if let [day] = &by_day[..] {
        #[allow(clippy::cast_precision_loss)] // An average is what SQLite makes of it.
        let average = (2 * t1 + u1) as f64 / 3.0;
        assert_eq!(day[2..], [format!("{average:.6}"), "10000.000000".to_owned()]);
    }
    // 2 of 7 tasks.
    assert_eq!(rows(&history, RATE), [["28.570000"]]);
    assert_eq!(rows(&history, ANOMALIES), [["t5", "claude-code", "5.000000"]]);
    assert_eq!(rows(&history, RATE_LIMITS), [["0.000000"]]);
    let input = u64::try_from(truth.totals().input).unwrap() / 5;
    let tokens = rows(&history, TOKENS);
    let tasks = |agent: &str| {
        let of = tokens.iter().filter(|row| row[1] == agent);
        of.map(|row| row[2].parse::<u64>().unwrap()).sum::<u64>()
    };
    assert_eq!((tasks("claude-code"), tasks("codex")), (5, 2));
    if let [claude, codex] = &tokens[..] {
        #[allow(clippy::cast_precision_loss)] // As above.
        let average = (5 * input + 9000 + 100) as f64 / 5.0;
        assert_eq!([&claude[3], &codex[3]], [&format!("{average:.6}"), &"5150.000000".to_owned()]);
    }
    server.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_shell_that_reads_for_long_holds_no_call_up_and_nothing_of_history_is_lost() {
    let truth = truth().await;
    let world = world(&truth, "", "");
    let server = world.serve();
    let call = messages("truth-1", 200, "Hello");
    assert_eq!(server.post("/v1/messages", &[], &call).await.status, 200);
    let history = reader(&world);
    let count = |connection: &Connection| connection.query_row("SELECT count(*) FROM calls", [], |row| row.get(0));
    look_until(|| Some(count(&history).unwrap()).filter(|calls: &i64| *calls == 1)).expect("it is written");
    // It sees the history as it was when it began, as long as it likes.
    history.execute_batch("BEGIN").unwrap();
    assert_eq!(count(&history), Ok(1));
    for _ in 0..3 {
        assert_eq!(server.post("/v1/messages", &[], &call).await.status, 200);
    }
    let other = reader(&world);
    look_until(|| Some(count(&other).unwrap()).filter(|calls: &i64| *calls == 4)).expect("others see what came since");
    assert_eq!(count(&history), Ok(1));
    history.execute_batch("COMMIT").unwrap();
    assert_eq!(count(&history), Ok(4));
    assert_eq!(server.status().history_lost, 0);
    server.stop();
}

#[test]
fn the_book_shows_the_twins_as_they_are_shipped() {
    let book = include_str!("../../../../docs/book/src/history.md");
    for twin in [LAST, BY_DAY, LAST_DAY, TOKENS, RATE, RATE_LIMITS, ANOMALIES] {
        assert!(book.contains(&format!("```sql\n{twin}```")), "{twin}");
    }
}
