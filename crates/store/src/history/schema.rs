//! The tables and views of history.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::PATIENCE;

/// `almh`: what the header of a history says it is.
const APPLICATION: i32 = 0x616c_6d68;
/// The form of the tables.
const FORM: i32 = 1;

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
    if (number("application_id")?, number("user_version")?) != (APPLICATION, FORM) {
        return Err(rusqlite::Error::InvalidQuery);
    }
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.query_row("SELECT count(*) FROM (SELECT 1 FROM calls LIMIT 1)", [], |_| Ok(()))?;
    Ok(connection)
}

fn create(connection: &Connection) -> rusqlite::Result<()> {
    let new = connection.unchecked_transaction()?;
    new.pragma_update(None, "application_id", APPLICATION)?;
    new.pragma_update(None, "user_version", FORM)?;
    new.execute_batch(TABLES)?;
    new.commit()
}
