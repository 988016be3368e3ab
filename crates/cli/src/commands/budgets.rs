//! `almoner budgets list|show|set|reset`

use std::process::ExitCode;

use almoner_api::{AccountInfo, Reply, Request};

use super::labels;
use crate::args::{Budgets, Common};
use crate::client::{Place, ask, ask_at, unexpected, who};
use crate::fail::{Failed, Outcome};
use crate::show;

pub(crate) fn run(common: &Common, command: Budgets) -> Outcome {
    match command {
        Budgets::List => list(common, None),
        Budgets::Show { budget } => list(common, Some(budget)),
        Budgets::Set { budget, limits, mode } => {
            if limits.is_empty() && mode.is_none() {
                return Err(Failed::new("nothing_to_set", "nothing is said to be set")
                    .hint("give one or more limits such as '$5 / day', or --mode"));
            }
            done(common, &Request::SetBudget { budget, limits, mode, by: who() })
        }
        Budgets::Reset { budget, per, reason } => {
            done(common, &Request::ResetBudget { budget, per: labels(&per)?, reason, by: who() })
        }
    }
}

fn list(common: &Common, budget: Option<String>) -> Outcome {
    let place = Place::of(common)?;
    let reply = ask_at(&place, common, &Request::Budgets { budget })?;
    let Reply::Accounts { accounts, config } = reply else { return Err(unexpected()) };
    place.warn(config.as_ref());
    if common.json {
        show::json(&accounts)?;
    } else {
        print(&accounts);
    }
    Ok(ExitCode::SUCCESS)
}

fn print(accounts: &[AccountInfo]) {
    if accounts.is_empty() {
        show::line("no budget is in force: every call passes");
    }
    show::accounts(accounts);
}

/// Asks for something to be done, and prints what has changed.
pub(crate) fn done(common: &Common, request: &Request) -> Outcome {
    let reply = ask(common, request)?;
    let Reply::Done { message } = &reply else { return Err(unexpected()) };
    if common.json {
        show::json(&reply)?;
    } else {
        show::line(message);
    }
    Ok(ExitCode::SUCCESS)
}
