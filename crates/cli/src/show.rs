//! How facts look on a screen: plain lines, exact amounts, no colour.

use std::io::Write;

use almoner_api::{AccountInfo, LimitInfo};
use almoner_units::{Meter, NanoUsd};
use serde::Serialize;

use crate::fail::Failed;

/// Prints a line of facts. Whoever reads may have seen enough, as `head` does; then there is nobody left to tell.
pub(crate) fn line(text: impl std::fmt::Display) {
    drop(writeln!(std::io::stdout(), "{}", inert(&text.to_string())));
}

/// Prints a line beside the facts, on standard error.
#[allow(clippy::print_stderr)]
pub(crate) fn aside(text: &str) {
    eprintln!("almoner: {}", inert(text));
}

/// Prints facts as JSON.
pub(crate) fn json<T: Serialize>(facts: &T) -> Result<(), Failed> {
    line(serde_json::to_string_pretty(facts)?);
    Ok(())
}

/// A text that cannot move the cursor: names and labels come from strangers.
fn inert(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}

/// Prints accounts, one limit a line.
pub(crate) fn accounts(accounts: &[AccountInfo]) {
    for account in accounts {
        line(format!("{} ({}, {})", account.account, account.mode, state_of(account)));
        for limit in &account.limits {
            line(format!("  {}", of_limit(limit)));
            over(account, limit).iter().for_each(line);
        }
    }
}

/// `level soft, 2 in flight`.
fn state_of(account: &AccountInfo) -> String {
    match (account.open, account.open_holds) {
        (false, _) => "nothing counted yet".to_owned(),
        (true, 0) => format!("level {}", account.level),
        (true, holds) => format!("level {}, {holds} in flight", account.level),
    }
}

/// By how much a limit is exceeded and why, where it is.
fn over(account: &AccountInfo, limit: &LimitInfo) -> Option<String> {
    let because = account.over_because.as_deref().map_or_else(String::new, |because| format!(": {because}"));
    (limit.over > 0).then(|| format!("    OVER its limit by {}{because}", amount_of(&limit.meter, limit.over)))
}

/// `$0.12 of $1.00 / day spent, $0.88 left`, with what is held or assumed only where it is so.
pub(crate) fn of_limit(limit: &LimitInfo) -> String {
    let show = |amount| amount_of(&limit.meter, amount);
    let mut text = format!("{}: {} spent", limit.limit, show(limit.spent));
    for (word, amount) in [("assumed", limit.assumed), ("held", limit.held)] {
        if amount > 0 {
            text.push_str(&format!(", {} {word}", show(amount)));
        }
    }
    text.push_str(&format!(", {} left", show(limit.left)));
    if let Some(resets_at) = &limit.resets_at {
        text.push_str(&format!(", resets at {resets_at}"));
    }
    text
}

/// An amount of a meter by the meter's name.
pub(crate) fn amount_of(meter: &str, amount: u64) -> String {
    meter.parse::<Meter>().map_or_else(|_| amount.to_string(), |meter| meter.show(amount))
}

/// Dollars.
pub(crate) fn dollars(nano: u64) -> String {
    NanoUsd::new(nano).to_string()
}
