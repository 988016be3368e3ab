//! `almoner keys create|list|show|rotate|revoke`
//!
//! A secret is the only thing that `create` and `rotate` print on standard output, so that `KEY=$(almoner keys create
//! ci)` works; all else goes to standard error. With `--json` both are in one object.

use std::process::ExitCode;

use almoner_api::{KeyInfo, NewKey, Reply, Request, ShownKey};
use almoner_units::{Span, counted};

use super::{budgets::done, labels};
use crate::args::{Common, CreateKey, Keys};
use crate::client::{Place, ask, ask_at, unexpected, who};
use crate::fail::{Failed, Outcome};
use crate::show;

pub(crate) fn run(common: &Common, command: Keys) -> Outcome {
    match command {
        Keys::Create(create) => show_secret(common, &Request::CreateKey(Box::new(new_key(*create)?))),
        Keys::List { all } => list(common, all),
        Keys::Show { key } => show_one(common, key),
        Keys::Rotate { key, grace } => {
            let grace_ms = grace.map(|text| text.parse::<Span>()).transpose()?.map_or(0, Span::ms);
            show_secret(common, &Request::RotateKey { key, grace_ms, by: who() })
        }
        Keys::Revoke { key, kill } => done(common, &Request::RevokeKey { key, kill, by: who() }),
    }
}

fn new_key(create: CreateKey) -> Result<NewKey, Failed> {
    let mut labels = labels(&create.label)?;
    for (name, value) in [("team", create.team), ("user", create.user)] {
        labels.extend(value.map(|value| (name.to_owned(), value)));
    }
    for limit in &create.budget {
        limit.parse::<almoner_units::Limit>()?;
    }
    Ok(NewKey {
        name: Some(create.name),
        labels,
        limits: create.budget,
        mode: create.mode,
        models: create.model,
        rpm: create.rpm,
        tpm: create.tpm,
        priority_max: create.priority_max,
        expires: create.expires,
        note: create.note,
        by: who(),
    })
}

/// Asks for a secret, and shows it this once.
fn show_secret(common: &Common, request: &Request) -> Outcome {
    let place = Place::of(common)?;
    let Reply::Key(key) = ask_at(&place, common, request)? else { return Err(unexpected()) };
    place.warn(key.config.as_ref());
    if common.json {
        show::json(&key)?;
    } else {
        about(&key).iter().for_each(|line| show::aside(line));
        show::line(&key.secret);
    }
    Ok(ExitCode::SUCCESS)
}

/// What whoever gets a secret should know.
fn about(key: &ShownKey) -> Vec<String> {
    let name = key.name.as_ref().unwrap_or(&key.id);
    let ends = key.expires_at.as_ref().map_or_else(|| "until it is revoked".to_owned(), |at| format!("until {at}"));
    let mut lines = vec![format!("key `{name}` ({}) is good {ends}; its secret is shown this once", key.id)];
    lines.extend(key.budget.as_ref().map(|budget| format!("its own budget is `{budget}`")));
    lines.extend(key.old_until.as_ref().map(|until| format!("the secret before it is good until {until}")));
    if !key.require_key {
        lines.push(
            "calls without a key still pass here, under the budgets for everybody; `require_key = true` in the config \
             refuses them"
                .to_owned(),
        );
    }
    lines
}

fn ask_keys(common: &Common, key: Option<String>, all: bool) -> Result<Vec<KeyInfo>, Failed> {
    let Reply::Keys { keys, .. } = ask(common, &Request::Keys { key, all })? else { return Err(unexpected()) };
    Ok(keys)
}

fn list(common: &Common, all: bool) -> Outcome {
    let keys = ask_keys(common, None, all)?;
    if common.json {
        show::json(&keys)?;
    } else {
        print_list(&keys, all);
    }
    Ok(ExitCode::SUCCESS)
}

fn print_list(keys: &[KeyInfo], all: bool) {
    if keys.is_empty() {
        let some = if all { "there are no keys" } else { "no key is good; --all shows those that have ended" };
        show::line(format!("{some}; `almoner keys create NAME` makes one"));
    }
    for key in keys {
        show::line(head(key));
        for limit in key.account.iter().flat_map(|account| &account.limits) {
            show::line(format!("  {}", show::of_limit(limit)));
        }
    }
}

/// `ci (team red, user ann), good until …, last used …`
fn head(key: &KeyInfo) -> String {
    let label =
        |name: &str| key.labels.iter().find(|(known, _)| known == name).map(|(_, value)| format!("{name} {value}"));
    let who: Vec<String> = ["team", "user"].into_iter().filter_map(label).collect();
    let who = if who.is_empty() { String::new() } else { format!(" ({})", who.join(", ")) };
    let state = match (key.state.as_str(), &key.expires_at, &key.revoked_at) {
        ("revoked", _, Some(at)) => format!("revoked at {at}"),
        ("good", Some(at), _) => format!("good until {at}"),
        ("good", None, _) => "good".to_owned(),
        (state, Some(at), _) => format!("{state} at {at}"),
        (state, ..) => state.to_owned(),
    };
    let name = key.name.as_ref().map_or_else(|| format!("{} (`{}`)", key.id, key.note), Clone::clone);
    let last = key.last_used_at.as_ref().map_or_else(|| "never used".to_owned(), |at| format!("last used {at}"));
    format!("{name}{who}: {state}, {last}")
}

fn show_one(common: &Common, key: String) -> Outcome {
    let keys = ask_keys(common, Some(key), true)?;
    let key = keys.first().ok_or_else(unexpected)?;
    if common.json {
        show::json(key)?;
    } else {
        facts(key).iter().for_each(show::line);
    }
    Ok(ExitCode::SUCCESS)
}

/// `60 requests and 100000 tokens in a minute`
fn pace(key: &KeyInfo) -> String {
    let parts = [key.rpm.map(|rpm| counted(rpm, "request")), key.tpm.map(|tpm| counted(tpm, "token"))];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    if parts.is_empty() { "none of its own".to_owned() } else { format!("{} in a minute", parts.join(" and ")) }
}

/// All that is known of a key, a line each.
fn facts(key: &KeyInfo) -> Vec<String> {
    let list = |items: &[String], none: &str| if items.is_empty() { none.to_owned() } else { items.join(", ") };
    let labels: Vec<String> = key.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let used = &key.used;
    let mut lines = vec![
        head(key),
        format!("  id: {}", key.id),
        format!("  labels: {}", list(&labels, "none")),
        format!("  models: {}", list(&key.models, "every model")),
        format!("  pace: {}", pace(key)),
        format!("  priority: at most {}", key.priority_max),
    ];
    match &key.account {
        Some(account) => {
            lines.push(format!("  its own budget: `{}` ({})", account.budget, account.mode));
            lines.extend(account.limits.iter().map(|limit| format!("    {}", show::of_limit(limit))));
        }
        None => lines.push("  its own budget: none".to_owned()),
    }
    lines.extend(key.old_secrets_until.iter().map(|until| format!("  a secret before this one is good until {until}")));
    let calls = format!("{}, {} refused", counted(used.calls, "call"), used.refused);
    lines.push(format!("  used: {calls}, {} tokens, {}", used.tokens, show::dollars(used.cost_nano)));
    if used.assumed_nano > 0 {
        lines.push(format!("  charged without news: {}", show::dollars(used.assumed_nano)));
    }
    let note = Some(&key.note).filter(|note| !note.is_empty());
    lines.extend(note.map(|note| format!("  note: {note}")));
    lines.extend(key.changes.iter().map(|change| format!("  {} {}, by {}", change.at, change.what, change.by)));
    lines
}
