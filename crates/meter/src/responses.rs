//! OpenAI's Responses: the usage stands in the response object of the event that ends the stream.

use std::sync::LazyLock;

use almoner_units::Usage;

use serde_json::value::RawValue;

use crate::pick::{elements, error_code, pick, pick_in, text};
use crate::sheet::{Sheet, split_input};
use crate::sieve::Sieve;
use crate::told::{Told, update};
use crate::{Faults, ProviderError, Reading};

static SIEVE: LazyLock<Sieve> = LazyLock::new(|| Sieve::new(&["\"response\"", "\"error\"", "\"usage\"", SEARCH]));

/// What a web search is called among the items of an answer, as it is written.
const SEARCH: &str = "\"web_search_call\"";

/// Whether a response with this status, or an event of this type, is the last.
fn is_end(status: &str) -> bool {
    matches!(status.trim_start_matches("response."), "completed" | "incomplete" | "failed")
}

/// Deltas and most items tell nothing.
pub(crate) fn may_matter(event: &[u8]) -> bool {
    SIEVE.catches(event)
}

pub(crate) fn note(told: &mut Told, event: &[u8]) {
    let names = ["type", "response", "error", "code", "message", "item"];
    let Some([kind, response, error, code, message, item]) = pick(event, names, &mut told.faults) else { return };
    let kind = text(kind).unwrap_or_default();
    match response {
        Some(response) => note_response(told, response.get().as_bytes(), is_end(&kind)),
        None if error.is_some() => told.note_error(error),
        None if kind == "error" => {
            told.error = Some(ProviderError { code: error_code(code), message: text(message), ..Default::default() });
        }
        None if kind.is_empty() => note_response(told, event, true),
        None if kind == "response.output_item.done" => told.searches += u64::from(item.is_some_and(is_search)),
        None => {}
    }
}

/// Takes a response object; only the last one tells the status and the tier that were billed.
fn note_response(told: &mut Told, response: &[u8], is_last: bool) {
    let names = ["id", "model", "status", "service_tier", "usage", "error", "output"];
    let Some([id, model, status, tier, usage, error, output]) = pick(response, names, &mut told.faults) else { return };
    update(&mut told.message_id, id);
    update(&mut told.model, model);
    told.note_error(error);
    told.replace_usage(usage);
    if is_last {
        update(&mut told.stop_reason, status);
        update(&mut told.service_tier, tier);
        // A stream has told its items one by one before, and some servers leave them out here.
        told.searches = told.searches.max(searches(output));
        told.finished |= told.stop_reason.as_deref().is_some_and(is_end);
    }
}

/// The searches among the items of an answer. The usage does not tell them, and each is billed.
fn searches(output: Option<&RawValue>) -> u64 {
    elements(output).into_iter().map(|item| u64::from(is_search(item))).sum()
}

/// Whether an item is a search: opening a page that was found, and looking for words in it, is billed by its tokens.
fn is_search(item: &RawValue) -> bool {
    if !item.get().contains(SEARCH) {
        return false;
    }
    let faults = &mut Faults::default();
    let Some([kind, action]) = pick_in(item, ["type", "action"], faults) else { return false };
    let action = action.and_then(|action| pick_in(action, ["type"], faults)).and_then(|[kind]| text(kind));
    kind.is_some_and(|kind| kind.get() == SEARCH) && action.is_none_or(|action| action == "search")
}

pub(crate) fn count(sheet: &mut Sheet<'_>, reading: &mut Reading) {
    let all = sheet.at("input_tokens");
    let read = sheet.at_or_zero("input_tokens_details.cached_tokens");
    let written = sheet.at_or_zero("input_tokens_details.cache_write_tokens");
    let (input, cache_read, cache_write_5m) = split_input(all, read, written, sheet.faults);
    let output = sheet.at("output_tokens");
    let reasoning = sheet.at("output_tokens_details.reasoning_tokens");
    reading.usage = Usage { input, cache_read, cache_write_5m, cache_write_1h: Some(0), output, reasoning };
}
