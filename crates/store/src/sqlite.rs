//! How SQLite is set up for the ledger.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Transaction, TransactionBehavior};

use crate::error::OpenError;
use crate::keys;

/// `almn`: what the header of a ledger's database says it is.
pub(crate) const APPLICATION: i32 = 0x616c_6d6e;
/// The form of the tables and of the bodies in them.
pub(crate) const FORM: i64 = 3;
/// The form in which only single commands had keys; it is read, and made into the one that this version writes.
pub(crate) const FORM_WITHOUT_NAMED_KEYS: i64 = 2;
/// The form before that, which has no snapshots either.
pub(crate) const FORM_WITHOUT_SNAPSHOTS: i64 = 1;
/// The first SQLite without the fault that resets a log too early.
const OLDEST: i32 = 3_051_003;
/// How long opening waits for a shell that happens to look in.
const PATIENCE: Duration = Duration::from_millis(500);

const TABLES: &str = "
    CREATE TABLE ledger (id BLOB NOT NULL, epoch INTEGER NOT NULL) STRICT;
    CREATE TABLE journal (
        seq   INTEGER PRIMARY KEY,
        at_ms INTEGER NOT NULL,
        kind  TEXT NOT NULL,
        id    BLOB NOT NULL,
        body  TEXT NOT NULL,
        chain BLOB NOT NULL
    ) STRICT;
    CREATE TABLE assumed (
        id    BLOB PRIMARY KEY,
        at_ms INTEGER NOT NULL,
        body  TEXT NOT NULL,
        seal  BLOB NOT NULL
    ) STRICT, WITHOUT ROWID;
";

const SNAPSHOT_TABLES: &str = "
    CREATE TABLE snapshot (
        seq    INTEGER PRIMARY KEY,
        chain  BLOB NOT NULL,
        digest BLOB NOT NULL,
        head   TEXT NOT NULL
    ) STRICT;
    CREATE TABLE snapshot_part (seq INTEGER NOT NULL, part INTEGER NOT NULL, body TEXT NOT NULL) STRICT;
    CREATE TABLE closed (upto INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT;
    CREATE TABLE trimmed (seq INTEGER NOT NULL, chain BLOB NOT NULL) STRICT;
";

/// Whether the SQLite that is linked in may be trusted with a journal.
pub(crate) fn check_version() -> Result<(), OpenError> {
    if rusqlite::version_number() < OLDEST { Err(OpenError::OldSqlite(rusqlite::version())) } else { Ok(()) }
}

/// What a database file is by its first bytes, read without SQLite so that a foreign file stays as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Header {
    /// Empty, or not there.
    Empty,
    /// A ledger.
    Ours,
    /// Something else.
    Other,
}

pub(crate) fn header(path: &Path) -> io::Result<Header> {
    let mut bytes = [0; 72];
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Header::Empty),
        Err(error) => return Err(error),
    };
    if file.metadata()?.len() == 0 {
        return Ok(Header::Empty);
    }
    let whole = file.take(72).read_exact(&mut bytes).is_ok();
    let ours = bytes.starts_with(b"SQLite format 3\0") && bytes[68..] == APPLICATION.to_be_bytes();
    Ok(if whole && ours { Header::Ours } else { Header::Other })
}

/// Opens a database that is there, for this process alone, and keeps its log when it is closed until it is known to be
/// sound: a damaged log is evidence.
pub(crate) fn open(path: &Path) -> rusqlite::Result<Connection> {
    let connection =
        Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(PATIENCE)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "cell_size_check", true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "wal_autocheckpoint", 4000)?;
    #[cfg(target_os = "macos")]
    for flush in ["fullfsync", "checkpoint_fullfsync"] {
        connection.pragma_update(None, flush, true)?;
    }
    Ok(connection)
}

/// Makes the tables of a new ledger, in one transaction.
pub(crate) fn create(connection: &Connection, id: Option<&[u8; 16]>, epoch: u64) -> rusqlite::Result<()> {
    let epoch = i64::try_from(epoch).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
    let new = connection.unchecked_transaction()?;
    new.pragma_update(None, "application_id", APPLICATION)?;
    new.pragma_update(None, "user_version", FORM)?;
    new.execute_batch(TABLES)?;
    new.execute_batch(SNAPSHOT_TABLES)?;
    new.execute_batch(keys::TABLE)?;
    new.execute("INSERT INTO ledger VALUES (coalesce(?1, randomblob(16)), ?2)", (id.map(|id| &id[..]), epoch))?;
    new.commit()
}

/// Gives a sound ledger of an earlier form the tables that it has not.
pub(crate) fn upgrade(connection: &mut Connection) -> rusqlite::Result<()> {
    let found = form(connection)?;
    if found == FORM {
        return Ok(());
    }
    run(connection, |new| {
        if found == FORM_WITHOUT_SNAPSHOTS {
            new.execute_batch(SNAPSHOT_TABLES)?;
        }
        keys::upgrade(new)?;
        new.pragma_update(None, "user_version", FORM)
    })
}

/// Turns the log on. Closing the database keeps the log unless [`fold_log_on_close`] says otherwise.
pub(crate) fn use_log(connection: &Connection) -> rusqlite::Result<()> {
    let mode: String = connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    assert_eq!(mode, "wal", "SQLite keeps no write-ahead log beside the ledger");
    Ok(())
}

/// From now on closing the database folds its log into it.
pub(crate) fn fold_log_on_close(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false).map(drop)
}

/// The form of the tables, as the database says it.
pub(crate) fn form(connection: &Connection) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// What SQLite finds wrong with its own pages, nothing where all is well.
pub(crate) fn check_pages(connection: &Connection, how: &str) -> rusqlite::Result<Vec<String>> {
    let mut faults = Vec::new();
    connection.pragma_query(None, how, |row| {
        faults.push(row.get::<_, String>(0)?);
        Ok(())
    })?;
    faults.retain(|fault| fault != "ok");
    Ok(faults)
}

/// What SQLite finds wrong with what the next fact depends on, where looking at every page takes too long.
///
/// Rows that were read are known to be whole. What is left is whether the tree leads to the place behind the last of
/// them, and the small tables.
pub(crate) fn check_end(connection: &Connection, last: u64) -> rusqlite::Result<Vec<String>> {
    let mut faults = Vec::new();
    for table in ["ledger", "assumed", "keys", "snapshot", "trimmed"] {
        connection.pragma(None, "quick_check", table, |row| {
            faults.push(row.get::<_, String>(0)?);
            Ok(())
        })?;
    }
    faults.retain(|fault| fault != "ok");
    let next = i64::try_from(last).unwrap_or(i64::MAX).saturating_add(1);
    let before = "SELECT seq FROM journal WHERE seq < ?1 ORDER BY seq DESC LIMIT 1";
    let found: i64 = connection.query_row(before, [next], |row| row.get(0)).optional()?.unwrap_or(0);
    if found != next - 1 {
        faults.push(format!("fact {next} would land behind fact {found}"));
    }
    Ok(faults)
}

/// How many bytes the database has.
pub(crate) fn size(connection: &Connection) -> rusqlite::Result<u64> {
    let ask = |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
    Ok(u64::try_from(ask("page_count")?.saturating_mul(ask("page_size")?)).unwrap_or(0))
}

/// Runs `work` in a transaction of its own; where it fails, nothing of it is kept.
pub(crate) fn run<T>(
    connection: &mut Connection,
    work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let value = work(&transaction)?;
    transaction.commit()?;
    Ok(value)
}
