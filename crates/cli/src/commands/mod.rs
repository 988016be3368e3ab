//! The commands, one a file.

pub(crate) mod budgets;
pub(crate) mod config;
pub(crate) mod decisions;
pub(crate) mod events;
pub(crate) mod exec;
pub(crate) mod explain;
pub(crate) mod holds;
pub(crate) mod keys;
pub(crate) mod ledger;
pub(crate) mod meter;
pub(crate) mod metrics;
pub(crate) mod prices;
pub(crate) mod reload;
pub(crate) mod serve;
pub(crate) mod shell;
pub(crate) mod status;
pub(crate) mod token;
pub(crate) mod usage;

use crate::fail::Failed;

/// `LABEL=VALUE`, as the command line has it.
fn labels(given: &[String]) -> Result<Vec<(String, String)>, Failed> {
    let split = |text: &String| match text.split_once('=') {
        Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
        None => Err(Failed::new("bad_label", format!("`{text}` is no label")).hint("write it like session=abc")),
    };
    given.iter().map(split).collect()
}

/// Dollars as the command line has them, in nano-dollars.
fn nano(text: &str) -> Result<u64, Failed> {
    Ok(text.parse::<almoner_units::NanoUsd>()?.get())
}
