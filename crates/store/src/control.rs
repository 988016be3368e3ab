//! What the control interface must not forget: who may ask over the network, and what was answered to requests that
//! must be done once.
//!
//! It stands in a file of its own, `control.db`. A token is kept by its hash, never itself; each row has a seal,
//! because a viewer must never wake up an admin. A request is kept before it is done and its answer after, both on
//! the disk before the next step, so that one that is sent again after a crash is known. Where the file is lost, every
//! token is gone with it, and a request that is sent again is a new one.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use almoner_units::{CallId, Role, Timestamp};
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row};

use crate::chain::hash;
use crate::{private, sqlite};

/// `almc`: what the header of the database says it is.
const APPLICATION: i32 = 0x616c_6d63;
/// The form of the tables.
const FORM: i32 = 1;
/// How long a write waits for a shell that happens to look in.
const PATIENCE: Duration = Duration::from_secs(2);
/// How many requests are remembered at most.
const ASKED_MAX: i64 = 100_000;
/// How many of those may be of one token, so that none takes the room of the others.
const ASKED_OF_ONE_MAX: i64 = 10_000;

const TABLES: &str = "
    CREATE TABLE tokens (
        name       TEXT PRIMARY KEY,
        hash       BLOB NOT NULL,
        role       TEXT NOT NULL,
        created_ms INTEGER NOT NULL,
        created_by TEXT NOT NULL,
        expires_ms INTEGER,
        revoked_ms INTEGER,
        note       TEXT NOT NULL,
        seal       BLOB NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE asked (
        by     TEXT NOT NULL,
        key    TEXT NOT NULL,
        digest BLOB NOT NULL,
        call   BLOB NOT NULL,
        at_ms  INTEGER NOT NULL,
        status INTEGER,
        body   TEXT,
        PRIMARY KEY (by, key)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX asked_by_age ON asked (at_ms);
";

/// Why the control interface cannot remember something.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The file cannot be used.
    #[error("cannot use {}: {source}; check its owner and permissions", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// SQLite failed.
    #[error("{} cannot be used: {source}; where it is damaged, move it away and make the tokens anew", .path.display())]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
    /// A row is not what was written.
    #[error("the token `{name}` in {} is damaged; move the file away and make the tokens anew", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The token.
        name: String,
    },
}

/// A token as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredToken {
    /// What people call it.
    pub name: String,
    /// The hash of its secret; the secret itself is nowhere.
    pub hash: [u8; 32],
    /// What it lets its holder do.
    pub role: Role,
    /// When it was made.
    pub created_at: Timestamp,
    /// Who made it.
    pub created_by: String,
    /// When it stops working by itself.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
    /// What it is for, in words.
    pub note: String,
}

/// A request that is remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredAsk {
    /// Whose token asked, by what tells it from every other.
    pub by: String,
    /// The key that they gave to it.
    pub key: String,
    /// What they asked, as a hash.
    pub digest: [u8; 32],
    /// The id of the call that it may book.
    pub call: CallId,
    /// When it came.
    pub at: Timestamp,
    /// The status that was answered, and the body where it is kept; none before it was answered.
    pub answer: Option<(u16, Option<String>)>,
}

/// What is known of a request before it is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Known {
    /// Nothing; from now on it is remembered.
    New,
    /// This one was remembered before under its key.
    Before(Box<StoredAsk>),
    /// There is no room to remember another.
    Full,
}

/// What the control interface remembers, open to write.
#[derive(Debug)]
pub struct Control {
    connection: Connection,
    path: PathBuf,
}

impl Control {
    /// Opens what is remembered in `dir`, made where it is not there.
    ///
    /// # Errors
    /// [`ControlError`] where it cannot be used.
    pub fn open(dir: &Path) -> Result<Self, ControlError> {
        let path = dir.join("control.db");
        let unreadable = |source| ControlError::Unreadable { path: path.clone(), source };
        private::open_file(&path).map_err(unreadable)?;
        let is_new = fs::metadata(&path).map_err(unreadable)?.len() == 0;
        let connection =
            connect(&path, is_new).map_err(|source| ControlError::Sqlite { path: path.clone(), source })?;
        Ok(Self { connection, path })
    }

    /// Every token that is kept, by name.
    ///
    /// # Errors
    /// [`ControlError`] where one cannot be read, or is damaged.
    pub fn tokens(&self) -> Result<Vec<StoredToken>, ControlError> {
        let read = || {
            let mut rows = self.connection.prepare("SELECT * FROM tokens ORDER BY name")?;
            rows.query_map([], token)?.collect::<rusqlite::Result<Vec<_>>>()
        };
        let damaged = |name| ControlError::Damaged { path: self.path.clone(), name };
        read().map_err(|source| self.failed(source))?.into_iter().map(|row| row.map_err(damaged)).collect()
    }

    /// Keeps a token, in place of one with the same name.
    ///
    /// # Errors
    /// [`ControlError`] where it cannot be written.
    pub fn put_token(&mut self, token: &StoredToken) -> Result<(), ControlError> {
        let ms = |at: Option<Timestamp>| at.map(|at| signed(at.ms()));
        let values = (
            &token.name,
            &token.hash[..],
            token.role.name(),
            signed(token.created_at.ms()),
            &token.created_by,
            ms(token.expires_at),
            ms(token.revoked_at),
            &token.note,
            &seal(token)[..],
        );
        let put = "INSERT OR REPLACE INTO tokens VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
        self.connection.execute(put, values).map(drop).map_err(|source| self.failed(source))
    }

    /// Remembers a request, unless its key is known.
    ///
    /// # Errors
    /// [`ControlError`] where it cannot be written; it must not be done then.
    pub fn begin(&mut self, ask: &StoredAsk) -> Result<Known, ControlError> {
        let begun = sqlite::run(&mut self.connection, |batch| {
            let known = "SELECT by, key, digest, call, at_ms, status, body FROM asked WHERE by = ?1 AND key = ?2";
            if let Some(known) = batch.query_row(known, (&ask.by, &ask.key), asked).optional()? {
                return Ok(Known::Before(Box::new(known)));
            }
            let of_one = "SELECT count(*) FROM asked WHERE by = ?1";
            let of_one: i64 = batch.query_row(of_one, [&ask.by], |row| row.get(0))?;
            let all: i64 = batch.query_row("SELECT count(*) FROM asked", [], |row| row.get(0))?;
            if of_one >= ASKED_OF_ONE_MAX || all >= ASKED_MAX {
                return Ok(Known::Full);
            }
            let call = ask.call.bits().to_be_bytes();
            let values = (&ask.by, &ask.key, &ask.digest[..], &call[..], signed(ask.at.ms()));
            batch.execute("INSERT INTO asked VALUES (?1, ?2, ?3, ?4, ?5, NULL, NULL)", values)?;
            Ok(Known::New)
        });
        begun.map_err(|source| self.failed(source))
    }

    /// Remembers what was answered.
    ///
    /// # Errors
    /// [`ControlError`] where it cannot be written.
    pub fn finish(&mut self, by: &str, key: &str, status: u16, body: Option<&str>) -> Result<(), ControlError> {
        let put = "UPDATE asked SET status = ?3, body = ?4 WHERE by = ?1 AND key = ?2";
        self.connection.execute(put, (by, key, status, body)).map(drop).map_err(|source| self.failed(source))
    }

    /// Forgets a request.
    ///
    /// # Errors
    /// [`ControlError`] where it cannot be written.
    pub fn forget(&mut self, by: &str, key: &str) -> Result<(), ControlError> {
        let gone = self.connection.execute("DELETE FROM asked WHERE by = ?1 AND key = ?2", (by, key));
        gone.map(drop).map_err(|source| self.failed(source))
    }

    /// Forgets the requests that came before this.
    ///
    /// # Errors
    /// [`ControlError`] where it cannot be written.
    pub fn forget_before(&mut self, at: Timestamp) -> Result<(), ControlError> {
        let gone = self.connection.execute("DELETE FROM asked WHERE at_ms < ?1", [signed(at.ms())]);
        gone.map(drop).map_err(|source| self.failed(source))
    }

    fn failed(&self, source: rusqlite::Error) -> ControlError {
        ControlError::Sqlite { path: self.path.clone(), source }
    }
}

fn connect(path: &Path, is_new: bool) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(PATIENCE)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    if is_new {
        let new = connection.unchecked_transaction()?;
        new.pragma_update(None, "application_id", APPLICATION)?;
        new.pragma_update(None, "user_version", FORM)?;
        new.execute_batch(TABLES)?;
        new.commit()?;
    }
    let number = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
    if (number("application_id")?, number("user_version")?) != (APPLICATION, FORM) {
        return Err(rusqlite::Error::InvalidQuery);
    }
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // What was begun must be known after a crash of the machine too.
    connection.pragma_update(None, "synchronous", "FULL")?;
    Ok(connection)
}

/// A token, or the name of one that is not what was written.
fn token(row: &Row<'_>) -> rusqlite::Result<Result<StoredToken, String>> {
    let name: String = row.get(0)?;
    let (hash, role): (Vec<u8>, String) = (row.get(1)?, row.get(2)?);
    let (Ok(hash), Ok(role)) = (hash.try_into(), role.parse()) else { return Ok(Err(name)) };
    let instant = |at: Option<i64>| at.map(|ms| Timestamp::from_ms(u64::try_from(ms).unwrap_or(0)));
    let token = StoredToken {
        name,
        hash,
        role,
        created_at: instant(Some(row.get(3)?)).unwrap_or_default(),
        created_by: row.get(4)?,
        expires_at: instant(row.get(5)?),
        revoked_at: instant(row.get(6)?),
        note: row.get(7)?,
    };
    let is_whole = row.get::<_, Vec<u8>>(8)? == seal(&token);
    Ok(if is_whole { Ok(token) } else { Err(token.name) })
}

fn seal(token: &StoredToken) -> [u8; 16] {
    let ms = |at: Option<Timestamp>| at.map_or(-1, |at| signed(at.ms())).to_le_bytes();
    hash(&[
        b"token of form 1",
        token.name.as_bytes(),
        &token.hash,
        token.role.name().as_bytes(),
        &ms(Some(token.created_at)),
        token.created_by.as_bytes(),
        &ms(token.expires_at),
        &ms(token.revoked_at),
        token.note.as_bytes(),
    ])
}

fn asked(row: &Row<'_>) -> rusqlite::Result<StoredAsk> {
    let bytes = |at: usize| row.get::<_, Vec<u8>>(at);
    let status: Option<u16> = row.get(5)?;
    let body: Option<String> = row.get(6)?;
    Ok(StoredAsk {
        by: row.get(0)?,
        key: row.get(1)?,
        // One that was changed by hand fits no request.
        digest: bytes(2)?.try_into().unwrap_or_default(),
        call: CallId::from_bits(bytes(3)?.try_into().map(u128::from_be_bytes).unwrap_or_default()),
        at: Timestamp::from_ms(u64::try_from(row.get::<_, i64>(4)?).unwrap_or(0)),
        answer: status.map(|status| (status, body)),
    })
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_ms(ms)
    }

    fn viewer() -> StoredToken {
        StoredToken {
            name: "board".to_owned(),
            hash: [7; 32],
            role: Role::Viewer,
            created_at: at(1),
            created_by: "a test".to_owned(),
            expires_at: Some(at(9)),
            revoked_at: None,
            note: "for the board".to_owned(),
        }
    }

    fn ask(key: &str) -> StoredAsk {
        let call = CallId::new(at(5), [1; 10]);
        StoredAsk { by: "ci".to_owned(), key: key.to_owned(), digest: [3; 32], call, at: at(5), answer: None }
    }

    #[test]
    fn tokens_last_and_a_viewer_never_wakes_up_an_admin() {
        let dir = tempfile::tempdir().unwrap();
        let mut control = Control::open(dir.path()).unwrap();
        control.put_token(&viewer()).unwrap();
        drop(control);
        let mut control = Control::open(dir.path()).unwrap();
        assert_eq!(control.tokens().unwrap(), [viewer()]);
        let revoked = StoredToken { revoked_at: Some(at(4)), ..viewer() };
        control.put_token(&revoked).unwrap();
        assert_eq!(control.tokens().unwrap(), [revoked]);
        control.connection.execute("UPDATE tokens SET role = 'admin'", []).unwrap();
        assert!(matches!(control.tokens(), Err(ControlError::Damaged { name, .. }) if name == "board"));
    }

    #[test]
    fn a_request_is_known_after_the_process_has_died_in_its_midst() {
        let dir = tempfile::tempdir().unwrap();
        let mut control = Control::open(dir.path()).unwrap();
        assert_eq!(control.begin(&ask("a")).unwrap(), Known::New);
        // It dies here: nothing is closed, and nothing is answered.
        std::mem::forget(control);
        let mut control = Control::open(dir.path()).unwrap();
        let again = StoredAsk { call: CallId::new(at(6), [2; 10]), ..ask("a") };
        assert_eq!(control.begin(&again).unwrap(), Known::Before(Box::new(ask("a"))));
        control.finish("ci", "a", 200, Some("{}")).unwrap();
        drop(control);
        let mut control = Control::open(dir.path()).unwrap();
        let answered = StoredAsk { answer: Some((200, Some("{}".to_owned()))), ..ask("a") };
        assert_eq!(control.begin(&again).unwrap(), Known::Before(Box::new(answered)));
        let other = StoredAsk { by: "someone".to_owned(), ..ask("a") };
        assert_eq!(control.begin(&other).unwrap(), Known::New);
        control.forget_before(at(6)).unwrap();
        assert_eq!(control.begin(&again).unwrap(), Known::New);
        control.forget("ci", "a").unwrap();
        assert_eq!(control.begin(&again).unwrap(), Known::New);
    }

    #[test]
    fn no_token_takes_the_room_of_another() {
        let dir = tempfile::tempdir().unwrap();
        let mut control = Control::open(dir.path()).unwrap();
        let many = format!(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {ASKED_OF_ONE_MAX})
             INSERT INTO asked SELECT 'ci', i, x'00', x'00', 5, NULL, NULL FROM n"
        );
        control.connection.execute(&many, []).unwrap();
        assert_eq!(control.begin(&ask("a")).unwrap(), Known::Full);
        let other = StoredAsk { by: "night".to_owned(), ..ask("a") };
        assert_eq!(control.begin(&other).unwrap(), Known::New);
        // What it asked before is still known, and there is room once the oldest are forgotten.
        assert!(matches!(control.begin(&ask("7")).unwrap(), Known::Before(_)));
        control.forget_before(at(6)).unwrap();
        assert_eq!(control.begin(&ask("a")).unwrap(), Known::New);
    }

    #[test]
    fn what_is_no_memory_of_ours_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("control.db"), "a diary").unwrap();
        assert!(Control::open(dir.path()).is_err());
        assert_eq!(std::fs::read(dir.path().join("control.db")).unwrap(), b"a diary");
    }
}
