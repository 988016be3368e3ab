//! `almoner decisions`

use std::process::ExitCode;

use almoner_api::{DecisionInfo, DecisionQuery, Reply, Request};
use almoner_units::counted;
use serde_json::json;

use super::labels;
use crate::args::{Common, Decisions};
use crate::client::{ask, unexpected};
use crate::fail::Outcome;
use crate::show;

pub(crate) fn run(common: &Common, asked: Decisions) -> Outcome {
    let query = DecisionQuery {
        decisions: asked.decisions,
        budget: asked.budget,
        labels: labels(&asked.label)?,
        from: asked.since,
        to: asked.until,
        cursor: asked.cursor,
        limit: Some(asked.limit),
    };
    let reply = ask(common, &Request::Decisions(Box::new(query)))?;
    let Reply::Decisions { decisions, next } = reply else { return Err(unexpected()) };
    if common.json {
        show::json(&json!({ "decisions": decisions, "next": next }))?;
        return Ok(ExitCode::SUCCESS);
    }
    if decisions.is_empty() {
        show::line("no decision is known that is asked for");
    }
    decisions.iter().map(in_words).for_each(show::line);
    next.iter().for_each(|next| show::aside(&format!("there are more: add --cursor {next}")));
    Ok(ExitCode::SUCCESS)
}

/// `AT ID refused claude-opus-5 at anthropic: each session has $0.00 left`
fn in_words(of: &DecisionInfo) -> String {
    let model = of.model.as_deref().unwrap_or("no model");
    let provider = of.provider.as_ref().map_or_else(String::new, |provider| format!(" at {provider}"));
    let ended = of.outcome.as_ref().map_or_else(String::new, |outcome| {
        let tokens = counted(of.tokens.unwrap_or(0), "token");
        format!("; {outcome}: {} and {tokens}", show::dollars(of.cost_nano.unwrap_or(0)))
    });
    format!("{} {} {} {model}{provider}: {}{ended}", of.at, of.id, of.decision, of.because)
}
