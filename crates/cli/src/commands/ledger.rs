//! `almoner ledger verify|repair`

use std::process::ExitCode;

use almoner_config::Flags;

use crate::args::{Common, Ledger};
use crate::client::settings;
use crate::fail::Outcome;
use crate::show;

pub(crate) fn run(common: &Common, command: &Ledger) -> Outcome {
    let state = settings(common, Flags::default())?.state_dir;
    let told = match command {
        Ledger::Verify => almoner_daemon::verify_ledger(&state)?,
        Ledger::Repair(how) => almoner_daemon::repair_ledger(&state, how.charge_gap)?,
    };
    show::line(told);
    Ok(ExitCode::SUCCESS)
}
