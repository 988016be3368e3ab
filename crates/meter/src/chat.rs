//! OpenAI's Chat Completions and old Completions, as OpenAI and its many imitators speak them.
//!
//! The last `usage` object wins, because several upstreams send it in every chunk; `x_groq.usage` counts only where
//! there is no other. Usage nested anywhere else is never added.

use std::sync::LazyLock;

use serde_json::value::RawValue;

use almoner_units::Usage;

use crate::pick::{pick, pick_in};
use crate::sheet::{Sheet, split_input};
use crate::sieve::Sieve;
use crate::told::{Told, update};
use crate::{Fault, Reading};

static SIEVE: LazyLock<Sieve> = LazyLock::new(|| Sieve::new(&["\"usage\"", "\"finish_reason\"", "\"error\""]));

/// What a choice says about its end.
static ENDS: LazyLock<Sieve> = LazyLock::new(|| Sieve::new(&["\"finish_reason\"", "\"error\""]));

/// Every chunk repeats the model, so that once it is known only the chunks with news are read.
pub(crate) fn may_matter(told: &Told, event: &[u8]) -> bool {
    told.model.is_none() || SIEVE.catches(event)
}

pub(crate) fn note(told: &mut Told, event: &[u8]) {
    let names = ["id", "model", "service_tier", "choices", "usage", "x_groq", "error"];
    let Some([id, model, tier, choices, usage, groq, error]) = pick(event, names, &mut told.faults) else { return };
    update(&mut told.message_id, id);
    update(&mut told.model, model);
    update(&mut told.service_tier, tier);
    told.note_choices(choices.filter(|choices| ENDS.catches(choices.get().as_bytes())), "finish_reason");
    told.note_error(error);
    let usage = usage.or_else(|| groq_usage(told, groq));
    told.replace_usage(usage);
}

fn groq_usage<'a>(told: &mut Told, groq: Option<&'a RawValue>) -> Option<&'a RawValue> {
    let groq = groq.filter(|_| told.usage_text().is_none())?;
    pick_in(groq, ["usage"], &mut told.faults).and_then(|[usage]| usage)
}

pub(crate) fn count(sheet: &mut Sheet<'_>, reading: &mut Reading) {
    let prompt = sheet.at("prompt_tokens");
    let read =
        sheet.first_or_zero(&["prompt_tokens_details.cached_tokens", "cached_tokens", "prompt_cache_hit_tokens"]);
    let written = sheet.at_or_zero("prompt_tokens_details.cache_write_tokens");
    let (input, cache_read, cache_write_5m) = split_input(prompt, read, written, sheet.faults);
    let heard = heard(sheet);
    // Nobody says whether what is told in seconds is among the tokens of the prompt.
    let input = input.map(|input| input.max(heard.unwrap_or(0)));
    let reasoning = sheet.at("completion_tokens_details.reasoning_tokens");
    let output = output(sheet, prompt, reasoning, reading.model.as_deref());
    reading.usage = Usage { input, cache_read, cache_write_5m, cache_write_1h: Some(0), output, reasoning };
    reading.cache_ttl_assumed = cache_write_5m.is_some_and(|written| written > 0);
    let told = sheet.at("prompt_tokens_details.audio_tokens").filter(|tokens| *tokens > 0);
    reading.input_audio_tokens = told.or(heard);
    reading.output_audio_tokens = sheet.at("completion_tokens_details.audio_tokens").filter(|tokens| *tokens > 0);
}

/// The sound that Mistral tells in seconds, in tokens: a model of theirs hears 25 in two seconds.
fn heard(sheet: &mut Sheet<'_>) -> Option<u64> {
    // It may write an object without members where nothing was heard.
    sheet.usage.get("prompt_audio_seconds").filter(|seconds| seconds.is_number())?;
    let seconds = sheet.at("prompt_audio_seconds")?;
    Some(seconds.saturating_mul(25).div_ceil(2)).filter(|tokens| *tokens > 0)
}

/// Everything billed as output. Some upstreams leave the reasoning out of the completion: their total, or their bill,
/// gives it away. A total that nothing explains is counted in full, because too little is the dearer mistake.
fn output(sheet: &mut Sheet<'_>, prompt: Option<u64>, reasoning: Option<u64>, model: Option<&str>) -> Option<u64> {
    let completion = sheet.at("completion_tokens");
    let (Some(prompt), Some(answer)) = (prompt, completion) else { return completion };
    let thoughts = reasoning.unwrap_or(0);
    let past_prompt = sheet.at("total_tokens").and_then(|total| total.checked_sub(prompt)).unwrap_or(answer);
    let apart = answer.checked_add(thoughts);
    if thoughts > 0 && (apart == Some(past_prompt) || leaves_thoughts_out(sheet, model)) {
        return sheet.sum(completion, reasoning);
    }
    if thoughts > answer {
        sheet.faults.note(Fault::ReasoningExceedsOutput);
    }
    if past_prompt > answer {
        sheet.faults.note(Fault::TotalUnexplained);
    }
    Some(answer.max(past_prompt))
}

/// Vercel's gateway, known by its market cost, leaves Gemini's thoughts out of completion and total, and bills them.
fn leaves_thoughts_out(sheet: &Sheet<'_>, model: Option<&str>) -> bool {
    sheet.has("market_cost") && model.is_some_and(|model| model.starts_with("google/"))
}
