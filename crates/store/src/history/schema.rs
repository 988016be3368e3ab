//! The tables and views of history.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::PATIENCE;

/// `almh`: what the header of a history says it is.
const APPLICATION: i32 = 0x616c_6d68;
/// The form of the tables.
const FORM: i32 = 2;
/// The form before, which added nothing up and had no events.
const FORM_OF_CALLS_ALONE: i32 = 1;

const TABLES: &str = "
    CREATE TABLE calls (
        id             TEXT PRIMARY KEY,
        at_ms          INTEGER NOT NULL,
        timestamp      TEXT GENERATED ALWAYS AS (datetime(at_ms / 1000, 'unixepoch')) STORED,
        labels         TEXT NOT NULL DEFAULT '{}',
        session_id     TEXT,
        command        TEXT,
        provider       TEXT,
        model          TEXT,
        verdict        TEXT,
        budget         TEXT,
        account        TEXT,
        account_key    TEXT,
        reason         TEXT,
        numbers        TEXT,
        bound          TEXT,
        cap            INTEGER,
        held           TEXT,
        waited_ms      INTEGER,
        price_version  TEXT,
        ended_at_ms    INTEGER,
        ended_at       TEXT GENERATED ALWAYS AS (datetime(ended_at_ms / 1000, 'unixepoch')) STORED,
        outcome        TEXT,
        input          INTEGER,
        cache_read     INTEGER,
        cache_write_5m INTEGER,
        cache_write_1h INTEGER,
        output         INTEGER,
        reasoning      INTEGER,
        charge         TEXT,
        tokens         INTEGER,
        cost_nano      INTEGER,
        overrun        TEXT,
        overrun_nano   INTEGER,
        unbounded      TEXT,
        status         INTEGER,
        duration_ms    INTEGER,
        note           TEXT
    ) STRICT;
    CREATE INDEX calls_by_time ON calls (at_ms);
    CREATE INDEX calls_by_end ON calls (ended_at);

    CREATE VIEW usage_history AS
        SELECT id,
               ended_at AS timestamp,
               coalesce(session_id, 'none') AS session_id,
               tokens AS tokens_used,
               cost_nano / 1e9 AS cost,
               cost_nano,
               command,
               'total' AS token_type,
               model,
               provider,
               input, cache_read, cache_write_5m, cache_write_1h, output, reasoning,
               outcome
          FROM calls
         WHERE outcome IN ('settled', 'corrected', 'added');

    CREATE TABLE throttle_events (
        id             INTEGER PRIMARY KEY,
        at_ms          INTEGER NOT NULL,
        timestamp      TEXT GENERATED ALWAYS AS (datetime(at_ms / 1000, 'unixepoch')) STORED,
        session_id     TEXT NOT NULL,
        level          TEXT NOT NULL,
        throttle_level TEXT GENERATED ALWAYS AS (upper(level)) VIRTUAL,
        level_before   TEXT,
        action         TEXT NOT NULL,
        priority       TEXT,
        budget         TEXT NOT NULL,
        account        TEXT NOT NULL,
        meter          TEXT NOT NULL,
        amount         INTEGER NOT NULL,
        charged        INTEGER NOT NULL,
        percent        INTEGER NOT NULL,
        window         TEXT NOT NULL,
        reason         TEXT NOT NULL,
        command        TEXT,
        model          TEXT,
        call_id        TEXT
    ) STRICT;
    CREATE INDEX throttle_events_by_time ON throttle_events (timestamp);
    CREATE INDEX throttle_events_by_age ON throttle_events (at_ms);

    CREATE TABLE token_budget (
        account    TEXT PRIMARY KEY,
        total_used INTEGER NOT NULL,
        hard_limit INTEGER NOT NULL,
        updated_at TEXT NOT NULL,
        meter      TEXT NOT NULL,
        window     TEXT NOT NULL,
        level      TEXT NOT NULL
    ) STRICT;
";

/// What came with the second form.
///
/// `usage_minutes` adds calls up by the minute of their decision and by their labels, so that nobody who asks for sums
/// reads every call. The numbers of events begin where no history before this one had come to, so that whoever goes on
/// behind an event of a history that was lost is not taken for somebody who has seen them all.
const SECOND: &str = "
    CREATE TABLE label_sets (
        id      INTEGER PRIMARY KEY,
        labels  TEXT NOT NULL UNIQUE,
        key     TEXT GENERATED ALWAYS AS (labels ->> '$.key') VIRTUAL,
        session TEXT GENERATED ALWAYS AS (labels ->> '$.session') VIRTUAL,
        task    TEXT GENERATED ALWAYS AS (labels ->> '$.task') VIRTUAL,
        agent   TEXT GENERATED ALWAYS AS (labels ->> '$.agent') VIRTUAL
    ) STRICT;

    CREATE TABLE usage_minutes (
        minute         INTEGER NOT NULL,
        label_set      INTEGER NOT NULL,
        last_ms        INTEGER NOT NULL,
        calls          INTEGER NOT NULL,
        refused        INTEGER NOT NULL,
        input          INTEGER NOT NULL,
        cache_read     INTEGER NOT NULL,
        cache_write_5m INTEGER NOT NULL,
        cache_write_1h INTEGER NOT NULL,
        output         INTEGER NOT NULL,
        reasoning      INTEGER NOT NULL,
        tokens         INTEGER NOT NULL,
        cost_nano      INTEGER NOT NULL,
        assumed_calls  INTEGER NOT NULL,
        assumed_tokens INTEGER NOT NULL,
        assumed_nano   INTEGER NOT NULL,
        PRIMARY KEY (minute, label_set)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE events (
        id        INTEGER PRIMARY KEY AUTOINCREMENT,
        at_ms     INTEGER NOT NULL,
        timestamp TEXT GENERATED ALWAYS AS (datetime(at_ms / 1000, 'unixepoch')) VIRTUAL,
        kind      TEXT NOT NULL,
        message   TEXT NOT NULL,
        data      TEXT NOT NULL
    ) STRICT;
    INSERT INTO sqlite_sequence (name, seq) VALUES ('events', CAST(unixepoch('subsec') * 1000 AS INTEGER));

    ALTER TABLE throttle_events ADD COLUMN task TEXT;
    ALTER TABLE throttle_events ADD COLUMN agent TEXT;
    CREATE INDEX calls_that_failed ON calls (at_ms) WHERE verdict = 'rejected' OR status >= 400;

    CREATE VIEW task_errors AS
        SELECT task AS task_id,
               'BudgetExceededError' AS error_type,
               reason AS error_message,
               json_object(
                   'cli_name', agent,
                   'tokens_used', iif(meter LIKE '%tokens', charged, NULL),
                   'token_limit', iif(meter LIKE '%tokens', amount, NULL),
                   'usage_stats', json_object(
                       'tokens_used', iif(meter LIKE '%tokens', charged, NULL),
                       'tokens_remaining', iif(meter LIKE '%tokens', amount - charged, NULL),
                       'percent_used', round(100.0 * charged / max(amount, 1), 1),
                       'warning_issued', json(iif(level IN ('soft', 'hard', 'critical'), 'true', 'false'))),
                   'budget', budget, 'account', account, 'window', window, 'meter', meter,
                   'used', charged, 'limit', amount, 'priority', priority) AS error_details,
               timestamp AS occurred_at,
               agent AS cli_name,
               session_id,
               call_id
          FROM throttle_events
         WHERE action = 'refused' OR (action = 'warned' AND charged >= amount)
        UNION ALL
        SELECT labels ->> '$.task',
               CASE WHEN verdict = 'rejected' THEN 'CallRejectedError'
                    WHEN status = 429 THEN 'RateLimitError'
                    ELSE 'ProviderError' END,
               CASE WHEN verdict = 'rejected' THEN reason ELSE coalesce(note, 'the provider answered ' || status) END,
               json_object('cli_name', labels ->> '$.agent', 'status', status, 'provider', provider, 'model', model),
               coalesce(ended_at, timestamp),
               labels ->> '$.agent',
               coalesce(session_id, 'none'),
               id
          FROM calls
         WHERE verdict = 'rejected' OR status >= 400;

    CREATE VIEW execution_results AS
        SELECT task AS task_id,
               coalesce(agent, 'none') AS cli_name,
               sum(cost_nano) / 1e9 AS cost,
               NULL AS output_summary,
               datetime(max(last_ms) / 1000, 'unixepoch') AS created_at,
               sum(cost_nano) AS cost_nano,
               sum(assumed_nano) AS assumed_nano,
               sum(calls) AS calls,
               sum(refused) AS refused,
               sum(input + cache_read + cache_write_5m + cache_write_1h) AS input_tokens,
               sum(output) AS output_tokens,
               sum(tokens) AS tokens
          FROM usage_minutes JOIN label_sets ON label_sets.id = label_set
         WHERE task IS NOT NULL
         GROUP BY task, agent;
";

/// Adds up what calls of the first form left behind, as flushes do from now on.
const ADD_UP: &str = "
    INSERT INTO label_sets (labels) SELECT DISTINCT labels FROM calls;
    INSERT INTO usage_minutes
        SELECT at_ms / 60000, label_sets.id, max(at_ms),
               sum(coalesce(verdict = 'admitted', 0)),
               sum(coalesce(verdict IN ('slow-down', 'refused', 'rejected'), 0)),
               sum(coalesce(input, 0)), sum(coalesce(cache_read, 0)), sum(coalesce(cache_write_5m, 0)),
               sum(coalesce(cache_write_1h, 0)), sum(coalesce(output, 0)), sum(coalesce(reasoning, 0)),
               sum(iif(outcome = 'assumed', 0, coalesce(tokens, 0))),
               sum(iif(outcome = 'assumed', 0, coalesce(cost_nano, 0))),
               sum(coalesce(outcome = 'assumed', 0)),
               sum(iif(outcome = 'assumed', coalesce(tokens, 0), 0)),
               sum(iif(outcome = 'assumed', coalesce(cost_nano, 0), 0))
          FROM calls JOIN label_sets USING (labels)
         GROUP BY 1, 2;
    UPDATE throttle_events
       SET (task, agent) = (SELECT labels ->> '$.task', labels ->> '$.agent' FROM calls WHERE calls.id = call_id)
     WHERE call_id IS NOT NULL;
";

/// How much of it the writer keeps in memory, once it has read that much, in KiB. Each of many sessions has labels of
/// its own to find and sums of its own to add to; in SQLite's usual 2 MB their pages displace each other, and each call
/// reads its own again.
const CACHE_KIB: i64 = 16 * 1024;

/// Opens a history, makes its tables where it is empty, and fails where it is something else or damaged.
pub(super) fn open(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(PATIENCE)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    if std::fs::metadata(path).is_ok_and(|file| file.len() == 0) {
        create(&connection)?;
    }
    let number = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
    match (number("application_id")?, number("user_version")?) {
        (APPLICATION, FORM) => {}
        (APPLICATION, FORM_OF_CALLS_ALONE) => upgrade(&connection)?,
        _ => return Err(rusqlite::Error::InvalidQuery),
    }
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    connection.query_row("SELECT count(*) FROM (SELECT 1 FROM calls LIMIT 1)", [], |_| Ok(()))?;
    Ok(connection)
}

fn create(connection: &Connection) -> rusqlite::Result<()> {
    let new = connection.unchecked_transaction()?;
    new.pragma_update(None, "application_id", APPLICATION)?;
    new.pragma_update(None, "user_version", FORM)?;
    new.execute_batch(TABLES)?;
    new.execute_batch(SECOND)?;
    new.commit()
}

/// Makes a history of the first form one of this form, whole or not at all.
fn upgrade(connection: &Connection) -> rusqlite::Result<()> {
    let new = connection.unchecked_transaction()?;
    new.execute_batch(SECOND)?;
    new.execute_batch(ADD_UP)?;
    new.pragma_update(None, "user_version", FORM)?;
    new.commit()
}

/// A history as the first form of its tables was made, for whoever shows that it becomes one of this form.
#[cfg(test)]
pub(crate) fn create_first_form(connection: &Connection) {
    connection.execute_batch(TABLES).unwrap();
    connection.pragma_update(None, "application_id", APPLICATION).unwrap();
    connection.pragma_update(None, "user_version", FORM_OF_CALLS_ALONE).unwrap();
}
