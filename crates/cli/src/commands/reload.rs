//! `almoner reload`

use std::process::ExitCode;

use almoner_api::{Reloaded, Reply, Request};

use crate::args::Common;
use crate::client::{ask, unexpected, who};
use crate::fail::Outcome;
use crate::show;

pub(crate) fn run(common: &Common) -> Outcome {
    let Reply::Reloaded(reloaded) = ask(common, &Request::Reload { by: who() })? else { return Err(unexpected()) };
    if common.json {
        show::json(&reloaded)?;
    } else {
        print(&reloaded);
    }
    Ok(ExitCode::SUCCESS)
}

fn print(reloaded: &Reloaded) {
    let path = reloaded.config.as_ref().map_or("no configuration file", |config| &config.path);
    let what = if reloaded.changed.is_empty() { "nothing has changed" } else { "in force from now on:" };
    show::line(format!("{path}: {what}"));
    reloaded.changed.iter().for_each(|change| show::line(format!("  {change}")));
    if !reloaded.needs_restart.is_empty() {
        show::line("with the next start of the server:");
        reloaded.needs_restart.iter().for_each(|needs| show::line(format!("  {needs}")));
    }
    reloaded.warnings.iter().for_each(|warning| show::line(format!("warning: {warning}")));
}
