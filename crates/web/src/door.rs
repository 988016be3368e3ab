//! The door: who is let in, and how those are turned away who are not.

use std::sync::{Mutex, PoisonError};

use almoner_api::{Caller, Port};
use almoner_units::Role;
use hyper::header::AUTHORIZATION;
use hyper::{HeaderMap, StatusCode};

use crate::problem::Problem;

/// How many bad tokens are answered in a minute; whoever shows another one waits for the next. Good ones always pass.
const BAD_MAX: u32 = 60;
/// What every key of an agent begins with; a token begins so too, and goes on.
const KEY: &str = "alm_";
const TOKEN: &str = "alm_token_";

/// What was tried in this minute.
#[derive(Default)]
pub(crate) struct Door {
    tries: Mutex<Tries>,
}

#[derive(Default)]
struct Tries {
    minute: u64,
    bad: u32,
}

impl Door {
    /// Lets in whoever shows a token that is good for this.
    pub(crate) fn admit<P: Port>(&self, port: &P, headers: &HeaderMap, needed: Role) -> Result<Caller, Problem> {
        let token = shown(headers)?;
        let Some(caller) = port.caller(token) else { return Err(self.bad(port, token)) };
        if caller.role >= needed {
            return Ok(caller);
        }
        let Caller { name, role, .. } = caller;
        let why = format!("this needs a token of role {needed}; `{name}` is of role {role}");
        let hint = format!("`almoner token create NAME --role {needed}` makes one");
        Err(Problem::new(StatusCode::FORBIDDEN, "role", why).hint(hint))
    }

    fn bad<P: Port>(&self, port: &P, token: &str) -> Problem {
        let now_ms = port.now().ms();
        let minute = now_ms / 60_000;
        let bad = {
            let mut tries = self.tries.lock().unwrap_or_else(PoisonError::into_inner);
            if tries.minute != minute {
                *tries = Tries { minute, bad: 0 };
            }
            tries.bad = tries.bad.saturating_add(1);
            tries.bad
        };
        if bad == 1 {
            port.warn("somebody showed a token over HTTP that is not good");
        }
        if bad == BAD_MAX {
            port.warn(&format!("{BAD_MAX} bad tokens in one minute; others wait for the next"));
        }
        if bad > BAD_MAX {
            let why = format!("more than {BAD_MAX} bad tokens were shown in this minute");
            let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_bad_tokens", why);
            return Problem { retry_after_s: Some((60_000 - now_ms % 60_000).div_ceil(1000)), ..problem };
        }
        let is_key = token.starts_with(KEY) && !token.starts_with(TOKEN);
        let why = match is_key {
            true => "this is the key of an agent, which is no token",
            false => "this token is none of this server's, or no longer good",
        };
        unknown(why)
    }
}

/// The token in a request: in its one place, once.
pub(crate) fn shown(headers: &HeaderMap) -> Result<&str, Problem> {
    let values: Vec<_> = headers.get_all(AUTHORIZATION).iter().collect();
    let bearer = match values[..] {
        [] => return Err(unknown("this needs a token")),
        [value] => value.to_str().ok().and_then(|text| text.trim().split_once(' ')),
        _ => None,
    };
    let token = bearer.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, token)| token.trim());
    token.filter(|token| !token.is_empty()).ok_or_else(|| unknown("the header `authorization` has no token in it"))
}

/// The token was good, and is no longer.
pub(crate) fn ended() -> Problem {
    unknown("this token is no longer good")
}

fn unknown(why: &str) -> Problem {
    let problem = Problem::new(StatusCode::UNAUTHORIZED, "token", why);
    problem.hint(
        "send `authorization: Bearer TOKEN`; `almoner token show` prints the one that was made at the first start",
    )
}
