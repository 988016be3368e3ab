//! `almoner holds list` and `almoner correct`

use std::process::ExitCode;

use almoner_api::{HoldInfo, Reply, Request, UsedTokens};
use almoner_units::counted;

use super::{budgets, nano};
use crate::args::{Common, Correct};
use crate::client::{ask, unexpected, who};
use crate::fail::Outcome;
use crate::show;

pub(crate) fn list(common: &Common) -> Outcome {
    let Reply::Holds { holds } = ask(common, &Request::Holds)? else { return Err(unexpected()) };
    if common.json {
        show::json(&holds)?;
    } else if holds.is_empty() {
        show::line("nothing is held, and nothing is charged without news");
    } else {
        holds.iter().for_each(print);
    }
    Ok(ExitCode::SUCCESS)
}

fn print(hold: &HoldInfo) {
    let amount = format!("{} and {}", show::dollars(hold.usd_nano), counted(hold.tokens, "token"));
    show::line(format!("{} {} since {}: {amount} on {}", hold.id, hold.state, hold.since, hold.accounts.join("; ")));
}

pub(crate) fn correct(common: &Common, command: Correct) -> Outcome {
    let cost_nano = command.cost.as_deref().map(nano).transpose()?;
    let tokens = command.input.map(|input| UsedTokens {
        input,
        output: command.output.unwrap_or(0),
        cache_read: command.cache_read,
        cache_write_5m: command.cache_write_5m,
        cache_write_1h: command.cache_write_1h,
    });
    let request = Request::Correct { id: command.id, cost_nano, tokens, reason: command.reason, by: who() };
    budgets::done(common, &request)
}
