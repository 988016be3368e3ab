//! `almoner usage` and `almoner usage add`

use std::process::ExitCode;

use almoner_api::{Reply, Request, UsageQuery, UsageRow};
use almoner_units::counted;
use serde_json::json;

use super::{budgets, labels, nano};
use crate::args::{ChangeUsage, Common, ShowUsage, Usage};
use crate::client::{ask, unexpected, who};
use crate::fail::Outcome;
use crate::show;

pub(crate) fn run(common: &Common, command: Usage) -> Outcome {
    let Some(ChangeUsage::Add { input, output, cost, label, reason }) = command.change else {
        return list(common, command.show);
    };
    let request = Request::AddUsage {
        id: None,
        labels: labels(&label)?,
        input,
        output,
        cost_nano: nano(&cost)?,
        reason,
        by: who(),
    };
    budgets::done(common, &request)
}

fn list(common: &Common, asked: ShowUsage) -> Outcome {
    let query = UsageQuery {
        group_by: asked.by,
        bucket: asked.bucket,
        zone: asked.zone,
        from: asked.since,
        to: asked.until,
        labels: labels(&asked.label)?,
    };
    let reply = ask(common, &Request::Usage(Box::new(query)))?;
    let Reply::Usage { rows, since, is_cut } = reply else { return Err(unexpected()) };
    if common.json {
        show::json(&json!({ "rows": rows, "since": since, "is_cut": is_cut }))?;
        return Ok(ExitCode::SUCCESS);
    }
    match since {
        Some(since) => show::line(format!("history begins at {since}")),
        None => show::line("history is empty"),
    }
    rows.iter().map(in_words).for_each(show::line);
    if is_cut {
        show::aside("there are more rows; ask for a shorter time or fewer labels");
    }
    Ok(ExitCode::SUCCESS)
}

/// `2026-11-23T00:00:00Z session=a: 2 calls, 110 tokens, $0.40`, with what is refused or assumed where it is so.
fn in_words(row: &UsageRow) -> String {
    let labels = row.labels.iter().map(|(name, value)| format!("{name}={value}"));
    let of: Vec<String> = row.begins_at.iter().cloned().chain(labels).collect();
    let of = if of.is_empty() { "all calls".to_owned() } else { of.join(" ") };
    let mut text = format!(
        "{of}: {}, {}, {}",
        counted(row.calls, "call"),
        counted(row.tokens, "token"),
        show::dollars(row.cost_nano)
    );
    if row.assumed_calls > 0 {
        let (nano, calls) = (show::dollars(row.assumed_nano), counted(row.assumed_calls, "call"));
        text.push_str(&format!(", {nano} without news over {calls}"));
    }
    if row.refused > 0 {
        text.push_str(&format!(", {} refused", row.refused));
    }
    text
}
