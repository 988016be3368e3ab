//! `almoner ledger verify|repair`

use std::path::Path;
use std::process::ExitCode;

use almoner_config::Flags;
use almoner_daemon::{OfflineError, Sound};

use crate::args::{Common, Ledger};
use crate::client::settings;
use crate::fail::Outcome;
use crate::show;

pub(crate) fn run(common: &Common, command: &Ledger) -> Outcome {
    let state = settings(common, Flags::default())?.state_dir;
    match command {
        Ledger::Verify => verify(common, &state),
        Ledger::Repair(how) => repair(common, &almoner_daemon::repair_ledger(&state, how.charge_gap)?),
    }
}

/// What is damaged is a fact too: a program that asks for JSON gets it as such, with the exit code of a failure.
fn verify(common: &Common, state: &Path) -> Outcome {
    let sound = match almoner_daemon::verify_ledger(state) {
        Ok(sound) => sound,
        Err(OfflineError::Damaged(damage)) if common.json => {
            show::json(&serde_json::json!({ "sound": false, "damage": damage }))?;
            return Ok(ExitCode::FAILURE);
        }
        Err(error) => return Err(error.into()),
    };
    if common.json {
        let Sound { facts, accounts, open_holds, head } = sound;
        let counts = serde_json::json!({
            "sound": true, "facts": facts, "accounts": accounts, "open_holds": open_holds, "head": head,
        });
        show::json(&counts)?;
    } else {
        show::line(sound);
    }
    Ok(ExitCode::SUCCESS)
}

fn repair(common: &Common, told: &str) -> Outcome {
    if common.json {
        show::json(&serde_json::json!({ "message": told }))?;
    } else {
        show::line(told);
    }
    Ok(ExitCode::SUCCESS)
}
