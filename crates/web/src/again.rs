//! Requests that are sent again: each is done once, and answered alike.
//!
//! Whoever gives a request an `Idempotency-Key` may send it as often as they like. That it was begun is on the disk
//! before it is done, and its answer after. Where the server dies in between, usage is booked under the same id, and so
//! counts once; of all else nobody knows how far it came, and that is said. Only what was done is remembered: a request
//! that was refused may be sent again under its key. Answers with a secret stand in memory alone.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use almoner_api::{Answered, Asked, Begun, Port};
use almoner_units::{CallId, Span, Timestamp};
use hyper::{HeaderMap, StatusCode};

use crate::problem::Problem;

/// The header with the key of a request.
pub(crate) const HEADER: &str = "idempotency-key";
/// The header of an answer that was given before.
pub(crate) const REPLAYED: &str = "idempotency-replayed";
/// The longest key.
pub(crate) const KEY_MAX: usize = 255;
/// How long a request waits for its twin that is being done.
const TWIN_MAX: Duration = Duration::from_secs(10);
/// How many answers with a secret are remembered, and for how long.
const SECRETS_MAX: usize = 1000;
const SECRETS_KEPT: Span = Span::from_secs(24 * 3600);

/// Who asked, and under which key.
type Name = (String, String);

/// What goes on, and the secrets that were answered.
#[derive(Default)]
pub(crate) struct Again {
    running: Mutex<HashMap<Name, Arc<tokio::sync::Mutex<()>>>>,
    secrets: Mutex<HashMap<Name, (Timestamp, String)>>,
}

/// What to do with a request.
pub(crate) enum Turn {
    /// Do it; where it books a call, under this id.
    Do(CallId),
    /// It was answered before, like this.
    Done(u16, String),
}

/// The key of a request, where it has one.
pub(crate) fn key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let values: Vec<_> = headers.get_all(HEADER).iter().collect();
    let key = match values[..] {
        [] => return Ok(None),
        [value] => value.to_str().ok(),
        _ => None,
    };
    let is_key = |key: &&str| (1..=KEY_MAX).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic());
    let bad = || {
        let why = format!("`{HEADER}` is one word of 1 to {KEY_MAX} visible characters");
        Problem::unreadable("bad_idempotency_key", why)
    };
    key.filter(is_key).map(|key| Some(key.to_owned())).ok_or_else(bad)
}

impl Again {
    /// Waits until no twin of this request is being done.
    pub(crate) async fn alone(&self, asked: &Asked) -> Result<Running<'_>, Problem> {
        let name = (asked.by.clone(), asked.key.clone());
        let lock = Arc::clone(locked(&self.running).entry(name.clone()).or_default());
        let held = tokio::time::timeout(TWIN_MAX, Arc::clone(&lock).lock_owned()).await;
        drop(lock);
        let running = |held| Running { again: self, name: name.clone(), held };
        match held {
            Ok(held) => Ok(running(Some(held))),
            Err(_) => {
                drop(running(None));
                let why = "the same request is being done, and has not ended";
                let problem = Problem::new(StatusCode::CONFLICT, "idempotency_in_progress", why);
                Err(Problem { retry_after_s: Some(TWIN_MAX.as_secs()), ..problem })
            }
        }
    }

    /// Begins a request, or finds what was answered to it before.
    pub(crate) async fn begin<P: Port>(&self, port: &P, asked: &Asked, is_safe: bool) -> Result<Turn, Problem> {
        let conflict = |code, why: &str| Err(Problem::new(StatusCode::CONFLICT, code, why));
        match port.begin(asked).await? {
            Begun::First => Ok(Turn::Do(asked.call)),
            Begun::Unfinished(call) if is_safe => Ok(Turn::Do(call)),
            Begun::Unfinished(_) => conflict(
                "idempotency_unfinished",
                "this request was begun before and the server ended in its midst: look whether it was done, and ask \
                 with another key where it was not",
            ),
            Begun::Answered(Answered { status, body: Some(body) }) => Ok(Turn::Done(status, body)),
            Begun::Answered(Answered { status, body: None }) => match self.secret(asked) {
                Some(body) => Ok(Turn::Done(status, body)),
                None => conflict(
                    "secret_not_kept",
                    "this was done before, and its secret was shown then; it is not kept. Rotate what was made, or \
                     revoke it",
                ),
            },
            Begun::Other => {
                let why = format!("this `{HEADER}` was given to another request; each request needs its own");
                Err(Problem::refused("idempotency_key_reused", why))
            }
            Begun::Full => {
                let why = "too many requests of the last day are remembered, of this token or of all; send it without a key, or later";
                let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "idempotency_full", why);
                Err(Problem { retry_after_s: Some(60), ..problem })
            }
        }
    }

    /// Remembers what came of a request that was begun.
    pub(crate) async fn end<P: Port>(&self, port: &P, asked: &Asked, came: Result<(u16, &str, bool), &Problem>) {
        match came {
            Ok((status, body, is_secret)) => {
                if is_secret {
                    self.keep(asked, body);
                }
                let body = (!is_secret).then(|| body.to_owned());
                // Where it cannot be kept it stays begun, and whoever asks again hears so.
                drop(port.finish(asked, &Answered { status, body }).await);
            }
            // What may have been done stays begun.
            Err(problem) if problem.status.is_server_error() && problem.code != "stopping" => {}
            Err(_) => port.forget(asked).await,
        }
    }

    fn secret(&self, asked: &Asked) -> Option<String> {
        locked(&self.secrets).get(&(asked.by.clone(), asked.key.clone())).map(|(_, body)| body.clone())
    }

    fn keep(&self, asked: &Asked, body: &str) {
        let mut secrets = locked(&self.secrets);
        secrets.retain(|_, (at, _)| at.after(SECRETS_KEPT) > asked.at);
        if secrets.len() < SECRETS_MAX {
            secrets.insert((asked.by.clone(), asked.key.clone()), (asked.at, body.to_owned()));
        }
    }
}

/// A request that is being done; while it lasts, its twins wait.
pub(crate) struct Running<'a> {
    again: &'a Again,
    name: Name,
    held: Option<tokio::sync::OwnedMutexGuard<()>>,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.held = None;
        let mut running = locked(&self.again.running);
        // Nobody else waits for it, nor has it.
        if running.get(&self.name).is_some_and(|lock| Arc::strong_count(lock) == 1) {
            running.remove(&self.name);
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
