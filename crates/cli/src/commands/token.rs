//! `almoner token show|create|list|revoke`, and `almoner openapi`
//!
//! As with keys, a secret is the only thing that `show` and `create` print on standard output.

use std::process::ExitCode;

use almoner_api::{NewToken, Reply, Request, TokenInfo};
use almoner_daemon::ADMIN_TOKEN;

use super::budgets::done;
use crate::args::{Common, Token};
use crate::client::{Place, ask, unexpected, who};
use crate::fail::{Failed, Outcome};
use crate::show;

pub(crate) fn run(common: &Common, command: Token) -> Outcome {
    match command {
        Token::Show => show_admin(common),
        Token::Create { name, role, expires, note } => {
            create(common, NewToken { name, role, expires, note, by: who() })
        }
        Token::List => list(common),
        Token::Revoke { name } => done(common, &Request::RevokeToken { token: name, by: who() }),
    }
}

/// Prints the OpenAPI document; no server is needed.
pub(crate) fn openapi() -> Outcome {
    show::line(almoner_daemon::openapi().trim_end());
    Ok(ExitCode::SUCCESS)
}

/// Prints what stands in the state folder: whoever may read the file may have it.
fn show_admin(common: &Common) -> Outcome {
    let path = Place::of(common)?.state.join(ADMIN_TOKEN);
    let text = std::fs::read_to_string(&path).map_err(|error| {
        let why = format!("{} cannot be read: {error}", path.display());
        Failed::new("no_token", why).hint("`almoner serve` makes it when it first starts; --state names its folder")
    })?;
    let secret = text.trim();
    if common.json {
        show::json(&serde_json::json!({ "name": "admin", "role": "admin", "secret": secret }))?;
    } else {
        show::line(secret);
    }
    Ok(ExitCode::SUCCESS)
}

fn create(common: &Common, new: NewToken) -> Outcome {
    let Reply::Token(token) = ask(common, &Request::CreateToken(Box::new(new)))? else { return Err(unexpected()) };
    if common.json {
        show::json(&token)?;
    } else {
        let ends =
            token.expires_at.as_ref().map_or_else(|| "until it is revoked".to_owned(), |at| format!("until {at}"));
        let (name, role) = (&token.name, &token.role);
        show::aside(&format!("token `{name}` is good {ends}, as {role}; its secret is shown this once"));
        show::line(&token.secret);
    }
    Ok(ExitCode::SUCCESS)
}

fn list(common: &Common) -> Outcome {
    let Reply::Tokens { tokens } = ask(common, &Request::Tokens)? else { return Err(unexpected()) };
    if common.json {
        show::json(&tokens)?;
    } else {
        tokens.iter().map(line).for_each(show::line);
    }
    Ok(ExitCode::SUCCESS)
}

/// `board (viewer): good until …, made by … (note)`
fn line(token: &TokenInfo) -> String {
    let state = match (token.state.as_str(), &token.expires_at, &token.revoked_at) {
        ("revoked", _, Some(at)) => format!("revoked at {at}"),
        ("good", Some(at), _) => format!("good until {at}"),
        ("expired", Some(at), _) => format!("expired at {at}"),
        (state, ..) => state.to_owned(),
    };
    let note = if token.note.is_empty() { String::new() } else { format!(" ({})", token.note) };
    format!("{} ({}): {state}, made by {}{note}", token.name, token.role, token.created_by)
}
