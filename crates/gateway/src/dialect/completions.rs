//! OpenAI's old Completions: a text that goes on, without a conversation.

use almoner_meter::Dialect as Metered;

use super::call::{Call, CapField, Place, Plan};
use super::chat::{CAPS, COMPLETIONS, asked_output, usage};
use super::endpoint::{Asks, Counts, Endpoint, Request};
use super::members::{Member, Members};
use super::prompts::add_prompts;
use super::sheet::Sheet;
use super::weight::Weight;
use super::{count, flag};
use crate::body::{BadBody, Object};

/// Text completions.
pub(super) const TEXTS: Endpoint = Endpoint {
    path: "/v1/completions",
    asks: Asks::Answer,
    meter: Metered::OpenAiCompletions,
    counts: Counts::Nobody,
    read,
    ..COMPLETIONS
};

/// What OpenAI writes for a call that sets no cap. Others would write on, so it is always said.
const CAP_UNASKED: u64 = 16;

/// The field that the cap stands in.
const CAP: &str = "max_tokens";

/// Every documented member of a request, and the other names of the cap.
const MEMBERS: &Members = &[
    ("best_of", Member::Setting),
    ("echo", Member::Setting),
    ("frequency_penalty", Member::Neutral),
    ("logit_bias", Member::Neutral),
    ("logprobs", Member::Neutral),
    ("max_completion_tokens", Member::Setting),
    ("max_new_tokens", Member::Setting),
    ("max_output_tokens", Member::Setting),
    ("max_tokens", Member::Setting),
    ("model", Member::Setting),
    ("n", Member::Setting),
    ("n_predict", Member::Setting),
    ("num_predict", Member::Setting),
    ("presence_penalty", Member::Neutral),
    ("prompt", Member::Setting),
    ("seed", Member::Neutral),
    ("stop", Member::Neutral),
    ("stream", Member::Neutral),
    ("stream_options", Member::Setting),
    ("suffix", Member::Text),
    ("temperature", Member::Neutral),
    ("top_p", Member::Neutral),
    ("user", Member::Neutral),
];

/// Reads the body of a request.
fn read(request: &Request<'_>) -> Result<Call, BadBody> {
    let root = request.root;
    let mut sheet = Sheet::of(root, MEMBERS);
    // Without a prompt it begins with nothing.
    if root.told("prompt").is_some() {
        add_prompts(&mut sheet, root, "prompt")?;
    }
    let (prompts, each) = (sheet.shape.inputs.max(1), each(root)?);
    if let Some(suffix) = root.told("suffix") {
        // It was weighed once, and is read with every prompt.
        sheet.weight.add(Weight::text(suffix).times(prompts - 1));
    }
    sheet.shape.choices = each.saturating_mul(prompts);
    if flag(root, "echo")? {
        // What is said back may be billed as written, with every answer.
        sheet.shape.output_beyond_cap = sheet.text_bytes().saturating_mul(each);
    }
    let asked = asked_output(root)?.unwrap_or(CAP_UNASKED);
    sheet.shape.max_output = Some(asked);
    let stream = flag(root, "stream")?;
    let aliases = CAPS.into_iter().filter(|alias| *alias != CAP && root.get(alias).is_some()).collect();
    let cap = CapField { place: Place::top(CAP), sent: count(root, CAP)?, aliases };
    let usage = if stream { usage(root)? } else { None };
    Ok(Call {
        model: request.model()?,
        stream,
        is_plain: false,
        shape: sheet.shape(),
        asked_output: Some(asked),
        session: None,
        dropped: Vec::new(),
        brings: Vec::new(),
        plan: Plan { cap: Some(cap), usage, ..Plan::of(root.layout()) },
    })
}

/// How many answers each prompt gets; those that are thrown away are paid too.
fn each(root: &Object<'_>) -> Result<u64, BadBody> {
    let mut most = 1;
    for name in ["n", "best_of"] {
        most = match count(root, name)? {
            Some(0) => return Err(BadBody::wrong(name, "at least 1")),
            told => most.max(told.unwrap_or(1)),
        };
    }
    Ok(most)
}
