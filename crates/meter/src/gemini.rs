//! Gemini's generateContent and streamGenerateContent.
//!
//! The last `usageMetadata` wins as a whole: it may lower the prompt, and only it tells of the cache.

use std::sync::LazyLock;

use almoner_units::Usage;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::pick::{elements, is_true, pick, pick_in};
use crate::sheet::{Sheet, split_input};
use crate::sieve::Sieve;
use crate::told::{Told, update};
use crate::{Fault, Reading};

static ENDS: LazyLock<Sieve> = LazyLock::new(|| Sieve::new(&["\"finishReason\""]));

static SEARCHES: LazyLock<Sieve> = LazyLock::new(|| Sieve::new(&["\"webSearchQueries\""]));

static THOUGHTS: LazyLock<Sieve> = LazyLock::new(|| Sieve::new(&["\"thoughtsTokenCount\""]));

pub(crate) fn note(told: &mut Told, event: &[u8]) {
    let names = ["candidates", "usageMetadata", "modelVersion", "responseId", "promptFeedback", "error", "response"];
    let Some([candidates, usage, model, id, feedback, error, wrapped]) = pick(event, names, &mut told.faults) else {
        return;
    };
    update(&mut told.model, model);
    update(&mut told.message_id, id);
    told.note_choices(candidates.filter(|all| ENDS.catches(all.get().as_bytes())), "finishReason");
    note_searches(told, candidates.filter(|all| SEARCHES.catches(all.get().as_bytes())));
    if !told.wrote {
        note_parts(told, candidates);
    }
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

/// The searches that stand in an answer, because its usage does not tell them. Models before the third generation are
/// billed one for the whole answer, however many there were.
fn note_searches(told: &mut Told, candidates: Option<&RawValue>) {
    let mut searches = 0;
    for candidate in elements(candidates) {
        let grounds = pick_in(candidate, ["groundingMetadata"], &mut told.faults).and_then(|[grounds]| grounds);
        let queries = grounds.and_then(|grounds| pick_in(grounds, ["webSearchQueries"], &mut told.faults));
        let queries = elements(queries.and_then(|[queries]| queries)).into_iter();
        // An empty one is no search.
        searches += u64::try_from(queries.filter(|query| query.get() != "\"\"").count()).unwrap_or(0);
    }
    let model = told.model.as_deref().unwrap_or_default();
    let most = if ["gemini-1", "gemini-2"].iter().any(|old| model.starts_with(old)) { 1 } else { u64::MAX };
    // Later parts of a stream repeat those of the earlier.
    told.searches = told.searches.max(searches.min(most));
}

/// Notes whether an answer has said anything, and whether it has thought aloud: a part with a text that is not empty,
/// or of another kind.
fn note_parts(told: &mut Told, candidates: Option<&RawValue>) {
    for candidate in elements(candidates) {
        let Some([Some(content)]) = pick_in(candidate, ["content"], &mut told.faults) else { continue };
        let parts = pick_in(content, ["parts"], &mut told.faults).and_then(|[parts]| parts);
        for part in elements(parts) {
            let Some([text, thought]) = pick_in(part, ["text", "thought"], &mut told.faults) else { continue };
            let says = text.is_none_or(|text| text.get() != "\"\"");
            let is_thought = is_true(thought);
            told.wrote |= says && !is_thought;
            told.thought |= says && is_thought;
        }
    }
}

fn note_block(told: &mut Told, feedback: Option<&RawValue>) {
    let block = feedback.and_then(|feedback| pick_in(feedback, ["blockReason"], &mut told.faults));
    told.note_stop(block.and_then(|[reason]| reason));
}

fn note_usage(told: &mut Told, usage: Option<&RawValue>) {
    let had_thoughts = has_thoughts(told);
    told.replace_usage(usage);
    if had_thoughts && !has_thoughts(told) {
        told.faults.note(Fault::ReasoningWithdrawn);
    }
}

fn has_thoughts(told: &Told) -> bool {
    told.usage_text().is_some_and(|usage| THOUGHTS.catches(usage.as_bytes()))
}

pub(crate) fn count(told: &Told, sheet: &mut Sheet<'_>, reading: &mut Reading) {
    let prompt = sheet.at("promptTokenCount");
    let cached = sheet.at_or_zero("cachedContentTokenCount");
    let (uncached, cache_read, _) = split_input(prompt, cached, Some(0), sheet.faults);
    let tools = sheet.at_or_zero("toolUsePromptTokenCount");
    let thoughts = sheet.at_or_zero("thoughtsTokenCount");
    let answer = if sheet.has("candidatesTokenCount") {
        sheet.at("candidatesTokenCount")
    } else {
        unsaid_answer(told, sheet, [prompt, tools, thoughts])
    };
    reading.usage = Usage {
        input: sheet.sum(uncached, tools),
        cache_read,
        cache_write_5m: Some(0),
        cache_write_1h: Some(0),
        output: sheet.sum(answer, thoughts),
        reasoning: thoughts.filter(|_| sheet.has("thoughtsTokenCount")),
    };
    note_media(sheet, reading);
    reading.tool_use_prompt_tokens = tools.filter(|_| sheet.has("toolUsePromptTokenCount"));
    reading.service_tier = sheet.usage.get("serviceTier").and_then(Value::as_str).map(str::to_owned);
}

/// An answer whose tokens are not told. Google leaves a 0 out, and others leave out what they do not know: the total
/// tells which it is, and without one nothing was billed only where nothing was said. What a broken stream told so far
/// is a lower limit, and so is 0.
fn unsaid_answer(told: &Told, sheet: &mut Sheet<'_>, others: [Option<u64>; 3]) -> Option<u64> {
    let has_total = sheet.has("totalTokenCount");
    let rest = if has_total {
        let known = others.into_iter().try_fold(0, |sum, one| sheet.sum(Some(sum), one))?;
        sheet.at("totalTokenCount")?.saturating_sub(known)
    } else {
        0
    };
    let thought_unsaid = told.thought && !has_total && !sheet.has("thoughtsTokenCount");
    let is_unknown = told.finished && rest == 0 && (told.wrote || thought_unsaid);
    (!is_unknown).then_some(rest)
}

/// Sound in the input, and whatever in the answer is no text, have prices of their own.
fn note_media(sheet: &Sheet<'_>, reading: &mut Reading) {
    let sound = |list| of_kind(sheet, list, |kind| kind == "AUDIO");
    let cached = sound("cacheTokensDetails");
    let heard = sound("promptTokensDetails").saturating_sub(cached).saturating_add(sound("toolUsePromptTokensDetails"));
    let heard = heard.min(reading.usage.input.unwrap_or(u64::MAX));
    let made = of_kind(sheet, "candidatesTokensDetails", |kind| !matches!(kind, "TEXT" | "MODALITY_UNSPECIFIED"));
    reading.input_audio_tokens = Some(heard).filter(|tokens| *tokens > 0);
    let cached = cached.min(reading.usage.cache_read.unwrap_or(u64::MAX));
    reading.cached_audio_tokens = Some(cached).filter(|tokens| *tokens > 0);
    reading.output_audio_tokens = Some(made).filter(|tokens| *tokens > 0);
}

/// The tokens of some kind in a list that tells them by kind.
fn of_kind(sheet: &Sheet<'_>, list: &str, is_meant: impl Fn(&str) -> bool) -> u64 {
    let list = sheet.usage.get(list).and_then(Value::as_array).into_iter().flatten();
    let meant = list.filter(|part| part["modality"].as_str().is_some_and(&is_meant));
    meant.filter_map(|part| part["tokenCount"].as_u64()).fold(0, u64::saturating_add)
}
