//! Tokens: who may ask over the network, and what they may do.
//!
//! One admin's token is made at the first start. It stands in the state folder, readable by its owner alone, and is
//! good for as long as the file is there when the server starts. Others are made by name, with a role; they are kept by
//! their hash and shown once. A token begins as a key does and goes on otherwise: whatever keeps keys away from
//! providers and logs keeps tokens away as well, and neither is ever found among the others.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use almoner_api::{Caller, Failure, NewToken, Reply, ShownToken, TokenInfo};
use almoner_store::{Control, ControlError, EventKind, StoredToken};
use almoner_units::{Role, Timestamp};

use crate::key_operations::expires_at;
use crate::operations::{No, Operations, no, no_but};
use crate::{clock, keys};

/// The file of the admin's token in the state folder.
pub const ADMIN_TOKEN: &str = "admin.token";
/// What the admin's token is called.
const ADMIN: &str = "admin";
/// What every token begins with. No key does: theirs have no second `_`.
const PREFIX: &str = "alm_token_";
/// How many letters follow, of five random bits each.
const LETTERS: usize = 52;
/// How many tokens are kept at most.
const TOKENS_MAX: usize = 1000;
/// The most characters of a note.
const NOTE_MAX: usize = 200;

/// The tokens that are good, and what else the control interface remembers; cheap to clone.
#[derive(Clone)]
pub(crate) struct Tokens {
    control: Arc<Mutex<Control>>,
    ring: Arc<RwLock<Ring>>,
    /// Whoever looks whether a name is free, and takes it, does so alone.
    changing: Arc<tokio::sync::Mutex<()>>,
    /// Where the admin's token stands, and whether it was made anew because others could read it.
    pub(crate) admin: AdminToken,
}

/// Tokens by the hash of their secrets.
type Ring = HashMap<[u8; 32], Arc<StoredToken>>;

/// The admin's token.
#[derive(Clone, Debug)]
pub(crate) struct AdminToken {
    /// Its file.
    pub(crate) path: PathBuf,
    /// Why it took the place of another, where it did.
    pub(crate) replaced: Option<&'static str>,
    hash: [u8; 32],
}

/// Why the tokens cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokensError {
    /// What is remembered of them cannot be.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// The file of the admin's cannot be used.
    #[error("cannot use {}: {source}; it has the admin's token", .path.display())]
    Admin {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Tokens {
    /// Opens the tokens of a state folder. Where there is no admin's token, it is made.
    pub(crate) fn open(state: &Path) -> Result<Self, TokensError> {
        let control = Control::open(state)?;
        let ring = control.tokens()?.into_iter().map(|token| (token.hash, Arc::new(token))).collect();
        let path = state.join(ADMIN_TOKEN);
        let admin = admin(&path).map_err(|source| TokensError::Admin { path, source })?;
        let (control, ring) = (Arc::new(Mutex::new(control)), Arc::new(RwLock::new(ring)));
        Ok(Self { control, ring, changing: Arc::default(), admin })
    }

    /// Who shows this token, where it is good. It is looked up by its hash, so the time that takes tells nothing of it.
    pub(crate) fn find(&self, secret: &str, now: Timestamp) -> Option<Caller> {
        if !secret.starts_with(PREFIX) {
            return None;
        }
        let hash = keys::hash(secret);
        if is_same(&hash, &self.admin.hash) {
            return Some(caller(ADMIN, Role::Admin, &hash));
        }
        let ring = self.ring.read().unwrap_or_else(PoisonError::into_inner);
        let token = ring.get(&hash).filter(|token| is_same(&hash, &token.hash) && state(token, now) == GOOD)?;
        Some(caller(&token.name, token.role, &hash))
    }

    /// Every token that is kept, by name.
    fn all(&self) -> Vec<Arc<StoredToken>> {
        let ring = self.ring.read().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<_> = ring.values().cloned().collect();
        all.sort_by(|one, other| one.name.cmp(&other.name));
        all
    }

    /// Keeps a token in place of one with its name, on the disk first.
    async fn put(&self, token: StoredToken) -> Result<(), No> {
        let kept = token.clone();
        self.remember(move |control| control.put_token(&kept)).await?;
        let mut ring = self.ring.write().unwrap_or_else(PoisonError::into_inner);
        ring.retain(|_, old| old.name != token.name);
        ring.insert(token.hash, Arc::new(token));
        Ok(())
    }

    /// Does something with what is remembered, where it holds nobody up.
    pub(crate) async fn remember<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Control) -> Result<T, ControlError> + Send + 'static,
    ) -> Result<T, Failure> {
        let control = Arc::clone(&self.control);
        let work = move || work(&mut control.lock().unwrap_or_else(PoisonError::into_inner));
        let worked = tokio::task::spawn_blocking(work).await.map_err(|error| no("fault", error))?;
        worked.map_err(|error| no("store", error))
    }
}

impl Operations {
    /// Makes a token. It is on the disk before it is shown.
    pub(crate) async fn create_token(&self, new: NewToken) -> Result<Reply, No> {
        let now = clock::read().wall;
        let role: Role = new.role.parse().map_err(|error| no("bad_role", error))?;
        check_name(&new.name)?;
        let _alone = self.tokens.changing.lock().await;
        let known = self.tokens.all();
        if known.iter().any(|token| token.name == new.name && state(token, now) == GOOD) {
            let hint = format!("`almoner token revoke {}` ends it", new.name);
            return Err(no_but("token_exists", format!("there is a token named `{}` already", new.name), hint));
        }
        if known.len() >= TOKENS_MAX {
            return Err(no("too_many_tokens", format!("there are {TOKENS_MAX} tokens, and no more are kept")));
        }
        let secret = new_secret();
        let token = StoredToken {
            name: new.name,
            hash: keys::hash(&secret),
            role,
            created_at: now,
            created_by: new.by,
            expires_at: expires_at(&new.expires, now)?,
            revoked_at: None,
            note: new.note.chars().filter(|c| !c.is_control()).take(NOTE_MAX).collect(),
        };
        let shown = ShownToken {
            name: token.name.clone(),
            role: role.to_string(),
            secret,
            expires_at: token.expires_at.map(|at| at.to_string()),
            listen: self.about.listen.clone(),
        };
        let (name, by) = (token.name.clone(), token.created_by.clone());
        self.tokens.put(token).await?;
        self.tell_of_token(EventKind::TokenMade, &name, role, &format!("of role {role} was made"), &by);
        Ok(Reply::Token(Box::new(shown)))
    }

    /// Every token, that of the state folder first.
    pub(crate) fn tokens(&self) -> Reply {
        let now = clock::read().wall;
        let admin = TokenInfo {
            name: ADMIN.to_owned(),
            role: Role::Admin.to_string(),
            state: GOOD.to_owned(),
            created_at: None,
            created_by: "the first start".to_owned(),
            expires_at: None,
            revoked_at: None,
            note: format!("stands in {}", self.tokens.admin.path.display()),
        };
        let others = self.tokens.all();
        Reply::Tokens { tokens: std::iter::once(admin).chain(others.iter().map(|token| info(token, now))).collect() }
    }

    /// Ends a token at once.
    pub(crate) async fn revoke_token(&self, name: &str, by: &str) -> Result<Reply, No> {
        let now = clock::read().wall;
        if name == ADMIN {
            let hint =
                format!("remove {} and start the server anew: it makes another", self.tokens.admin.path.display());
            return Err(no_but(
                "token_ended",
                "the admin's token stands in the state folder, and ends with its file",
                hint,
            ));
        }
        let _alone = self.tokens.changing.lock().await;
        let known = self.tokens.all().into_iter().find(|token| token.name == name);
        let Some(token) = known else {
            let name: String = name.chars().take(64).collect();
            let why = format!("no token is named `{}`", name.escape_debug());
            return Err(no_but("unknown_token", why, "`almoner token list` shows those that are known"));
        };
        if state(&token, now) != GOOD {
            return Err(no("token_ended", format!("the token `{name}` is {}", state(&token, now))));
        }
        let note = format!(
            "{}revoked by {by}",
            if token.note.is_empty() { String::new() } else { format!("{}; ", token.note) }
        );
        self.tokens.put(StoredToken { revoked_at: Some(now), note, ..(*token).clone() }).await?;
        self.tell_of_token(EventKind::TokenRevoked, name, token.role, "was revoked", by);
        Ok(Reply::Done { message: format!("the token {name} is good for nothing any more") })
    }

    fn tell_of_token(&self, kind: EventKind, name: &str, role: Role, what: &str, by: &str) {
        let data = serde_json::json!({ "token": name, "role": role.name(), "by": by });
        self.recorder.happened(kind, format!("token {name} {what}, by {by}"), data);
    }
}

const GOOD: &str = "good";

/// Whoever shows the token with this hash. Names come again and hashes do not.
fn caller(name: &str, role: Role, hash: &[u8; 32]) -> Caller {
    let token = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    Caller { name: name.to_owned(), token, role }
}

fn state(token: &StoredToken, now: Timestamp) -> &'static str {
    match (token.revoked_at, token.expires_at) {
        (Some(_), _) => "revoked",
        (None, Some(end)) if end <= now => "expired",
        _ => GOOD,
    }
}

fn info(token: &StoredToken, now: Timestamp) -> TokenInfo {
    TokenInfo {
        name: token.name.clone(),
        role: token.role.to_string(),
        state: state(token, now).to_owned(),
        created_at: Some(token.created_at.to_string()),
        created_by: token.created_by.clone(),
        expires_at: token.expires_at.map(|at| at.to_string()),
        revoked_at: token.revoked_at.map(|at| at.to_string()),
        note: token.note.clone(),
    }
}

fn check_name(name: &str) -> Result<(), No> {
    if name == ADMIN {
        return Err(no("token_exists", "`admin` is the token of the state folder; `almoner token show` prints it"));
    }
    let rule = "a token's name has 1 to 64 letters, digits, `-`, `_` or `.`, and begins with a letter or a digit";
    keys::check_name(name).map_err(|_| no("bad_name", rule))
}

/// Whether two hashes are the same, in the same time whether or not they are.
fn is_same(one: &[u8; 32], other: &[u8; 32]) -> bool {
    one.iter().zip(other).fold(0, |differs, (one, other)| differs | (one ^ other)) == 0
}

fn new_secret() -> String {
    format!("{PREFIX}{}", keys::spell(&clock::dice::<LETTERS>()))
}

/// The admin's token, made where there is none, or none that is a secret.
fn admin(path: &Path) -> io::Result<AdminToken> {
    let (secret, replaced) = match read(path)? {
        Some((_, mode)) if mode & 0o077 != 0 => (None, Some("others could read it")),
        Some((text, _)) if is_token(text.trim()) => (Some(text.trim().to_owned()), None),
        Some(_) => (None, Some("there was no token in it")),
        None => (None, None),
    };
    let secret = match secret {
        Some(secret) => secret,
        None => write(path)?,
    };
    Ok(AdminToken { path: path.to_owned(), replaced, hash: keys::hash(&secret) })
}

/// What stands in a file, and who may read it.
fn read(path: &Path) -> io::Result<Option<(String, u32)>> {
    let mut file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let mut bytes = Vec::new();
    Read::take(&mut file, 4096).read_to_end(&mut bytes)?;
    Ok(Some((String::from_utf8_lossy(&bytes).into_owned(), file.metadata()?.permissions().mode())))
}

fn is_token(text: &str) -> bool {
    text.strip_prefix(PREFIX)
        .is_some_and(|rest| rest.len() >= LETTERS && rest.bytes().all(|b| b.is_ascii_alphanumeric()))
}

/// Writes a new token where nobody else ever could read it.
fn write(path: &Path) -> io::Result<String> {
    let secret = new_secret();
    let new = path.with_extension("token.new");
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    writeln!(file, "{secret}")?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::Permissions;

    fn secret_of(dir: &tempfile::TempDir) -> String {
        fs::read_to_string(dir.path().join(ADMIN_TOKEN)).unwrap().trim().to_owned()
    }

    #[test]
    fn the_admins_token_is_made_once_for_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let now = clock::read().wall;
        let tokens = Tokens::open(dir.path()).unwrap();
        let secret = secret_of(&dir);
        assert_eq!(secret.len(), PREFIX.len() + LETTERS);
        let mode = fs::metadata(&tokens.admin.path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let found = tokens.find(&secret, now).unwrap();
        assert_eq!((found.name.as_str(), found.role), ("admin", Role::Admin));
        for none in ["", "alm_token_", &secret[..40], &secret.to_uppercase(), &format!("{secret} "), "alm_abc"] {
            assert_eq!(tokens.find(none, now), None, "{none}");
        }
        drop(tokens);
        let again = Tokens::open(dir.path()).unwrap();
        assert_eq!((secret_of(&dir), again.admin.replaced), (secret, None));
    }

    #[test]
    fn a_token_that_others_could_read_is_good_no_longer() {
        let dir = tempfile::tempdir().unwrap();
        let path = Tokens::open(dir.path()).unwrap().admin.path;
        let secret = secret_of(&dir);
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        let tokens = Tokens::open(dir.path()).unwrap();
        assert_eq!(tokens.admin.replaced, Some("others could read it"));
        assert_eq!(tokens.find(&secret, clock::read().wall), None);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::write(&path, "hunter2\n").unwrap();
        let tokens = Tokens::open(dir.path()).unwrap();
        assert_eq!(tokens.admin.replaced, Some("there was no token in it"));
        assert_eq!(tokens.find("hunter2", clock::read().wall), None);
    }
}
