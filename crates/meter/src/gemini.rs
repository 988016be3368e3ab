//! Gemini's generateContent and streamGenerateContent.
//!
//! The last `usageMetadata` wins as a whole: it may lower the prompt, and only it tells of the cache.

use almoner_units::Usage;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::pick::{pick, pick_in};
use crate::sheet::{Object, Sheet, split_input};
use crate::told::{Told, update};
use crate::{Fault, Reading};

pub(crate) fn note(told: &mut Told, event: &[u8]) {
    let names = ["candidates", "usageMetadata", "modelVersion", "responseId", "promptFeedback", "error", "response"];
    let Some([candidates, usage, model, id, feedback, error, wrapped]) = pick(event, names, &mut told.faults) else {
        return;
    };
    update(&mut told.model, model);
    update(&mut told.message_id, id);
    told.note_choices(candidates, "finishReason");
    note_block(told, feedback);
    told.note_error(error);
    note_usage(told, usage);
    if let (Some(inner), None, None) = (wrapped, candidates, usage) {
        note_wrapped(told, inner);
    }
}

/// Code Assist wraps each answer in one more object; one wrapping is all there is.
fn note_wrapped(told: &mut Told, inner: &RawValue) {
    if !is_wrapped_again(inner) {
        note(told, inner.get().as_bytes());
    }
}

fn is_wrapped_again(inner: &RawValue) -> bool {
    pick_in(inner, ["response"], &mut crate::Faults::default()).is_some_and(|[response]| response.is_some())
}

fn note_block(told: &mut Told, feedback: Option<&RawValue>) {
    let block = feedback.and_then(|feedback| pick_in(feedback, ["blockReason"], &mut told.faults));
    told.note_stop(block.and_then(|[reason]| reason));
}

fn note_usage(told: &mut Told, usage: Option<&RawValue>) {
    let had_thoughts = told.usage.as_ref().is_some_and(has_thoughts);
    told.replace_usage(usage);
    if had_thoughts && !told.usage.as_ref().is_some_and(has_thoughts) {
        told.faults.note(Fault::ReasoningWithdrawn);
    }
}

fn has_thoughts(usage: &Object) -> bool {
    usage.get("thoughtsTokenCount").and_then(Value::as_u64).is_some_and(|tokens| tokens > 0)
}

pub(crate) fn count(sheet: &mut Sheet<'_>, reading: &mut Reading) {
    let prompt = sheet.at("promptTokenCount");
    let cached = sheet.at_or_zero("cachedContentTokenCount");
    let (uncached, cache_read, _) = split_input(prompt, cached, Some(0), sheet.faults);
    let tools = sheet.at_or_zero("toolUsePromptTokenCount");
    let answer = sheet.at_or_zero("candidatesTokenCount");
    let thoughts = sheet.at_or_zero("thoughtsTokenCount");
    reading.usage = Usage {
        input: sheet.sum(uncached, tools),
        cache_read,
        cache_write_5m: Some(0),
        cache_write_1h: Some(0),
        output: sheet.sum(answer, thoughts),
        reasoning: thoughts.filter(|_| sheet.has("thoughtsTokenCount")),
    };
    reading.tool_use_prompt_tokens = tools.filter(|_| sheet.has("toolUsePromptTokenCount"));
    reading.service_tier = sheet.usage.get("serviceTier").and_then(Value::as_str).map(str::to_owned);
}
