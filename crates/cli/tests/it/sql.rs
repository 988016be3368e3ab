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
