//! `almoner metrics`

use std::process::ExitCode;

use almoner_api::{Reply, Request};

use crate::args::Common;
use crate::client::{ask, unexpected};
use crate::fail::Outcome;
use crate::show;

pub(crate) fn run(common: &Common) -> Outcome {
    let Reply::Metrics { text } = ask(common, &Request::Metrics)? else { return Err(unexpected()) };
    if common.json {
        show::json(&serde_json::json!({ "text": text }))?;
    } else {
        show::line(text.trim_end());
    }
    Ok(ExitCode::SUCCESS)
}
