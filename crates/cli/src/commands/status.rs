//! `almoner status`

use std::process::ExitCode;

use almoner_api::{PaceInfo, ProviderInfo, Reply, Request, Status};
use almoner_units::counted;

use crate::args::Common;
use crate::client::{Place, ask_at, unexpected};
use crate::fail::Outcome;
use crate::show;

pub(crate) fn run(common: &Common) -> Outcome {
    let place = Place::of(common)?;
    let Reply::Status(status) = ask_at(&place, common, &Request::Status)? else { return Err(unexpected()) };
    place.warn(status.config.as_ref());
    if common.json {
        show::json(&status)?;
    } else {
        print(&status);
    }
    Ok(ExitCode::SUCCESS)
}

fn print(status: &Status) {
    show::line(format!("almoner {} at http://{} (pid {})", status.version, status.listen, status.pid));
    show::line(format!("state in {}, {} in the journal", status.state_dir, counted(status.journal_seq, "fact")));
    let config = status.config.as_ref().map_or("none", |config| &config.path);
    show::line(format!("configuration: {config}"));
    if let Some(failed) = &status.reload_failed {
        show::line(format!(
            "configuration: last reload failed at {}, and changed nothing: {}",
            failed.at, failed.message
        ));
    }
    if let Some(reason) = &status.closed {
        show::line(format!("CLOSED to new calls: {reason}"));
    }
    show::line(format!("{} in flight", counted(status.open_holds, "call")));
    if status.assumed_holds > 0 {
        let held = show::dollars(status.assumed_nano);
        let calls = counted(status.assumed_holds, "call");
        show::line(format!("{held} is charged without news over {calls}; `almoner holds list` names them"));
    }
    causes("spent beyond holds", &status.overrun_nano, show::dollars);
    causes("unbounded", &status.unbounded, |calls| counted(calls, "call"));
    if status.history_lost > 0 {
        let lost = counted(status.history_lost, "row");
        show::line(format!("history lost {lost} that could not be written; budgets know nothing of it"));
    }
    status.providers.iter().filter_map(health).for_each(show::line);
    status.paces.iter().filter_map(pace).for_each(show::line);
    let over = status.accounts.iter().filter(|account| account.over_because.is_some()).count() as u64;
    if over > 0 {
        show::line(format!("{} over a limit, marked OVER below", counted(over, "account")));
    }
    show::accounts(&status.accounts);
}

/// A provider that is down, or has failed: those that have not are not worth a line.
fn health(provider: &ProviderInfo) -> Option<String> {
    let (at, why) = (provider.failed_at.as_ref()?, provider.failed_because.as_deref().unwrap_or_default());
    let name = &provider.provider;
    Some(match &provider.down_since {
        Some(since) => format!("provider `{name}` is DOWN since {since}; last at {at}: {why}"),
        None => format!("provider `{name}` is up; it last failed at {at}: {why}"),
    })
}

/// A pace at which something went in the last minute, or that somebody waits for.
fn pace(pace: &PaceInfo) -> Option<String> {
    if (pace.requests, pace.tokens, pace.waiting) == (0, 0, 0) {
        return None;
    }
    let of = |used: u64, most: Option<u64>, what| most.map(|most| format!("{used} of {most} {what}"));
    let parts = [of(pace.requests, pace.rpm, "requests"), of(pace.tokens, pace.tpm, "tokens")];
    let used = parts.into_iter().flatten().collect::<Vec<_>>().join(" and ");
    let waiting = if pace.waiting > 0 { format!(", {} waiting", counted(pace.waiting, "call")) } else { String::new() };
    Some(format!("pace `{}`: {used} of the last minute{waiting}", pace.pace))
}

/// What should read 0, and what brought it about where it does not.
fn causes(what: &str, causes: &[(String, u64)], amount: impl Fn(u64) -> String) {
    if causes.is_empty() {
        show::line(format!("{what}: {}", amount(0)));
    }
    for (cause, count) in causes {
        show::line(format!("{what}: {} ({cause})", amount(*count)));
    }
}
