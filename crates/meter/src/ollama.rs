//! Ollama's chat, generate and embed: the counts stand flat in the object that is done.
//!
//! A prompt that Ollama still held is not evaluated again and then not counted: its input is unknown, not 0.

use std::sync::LazyLock;

use almoner_units::Usage;
use serde_json::value::RawValue;

use crate::pick::{is_true, pick};
use crate::sheet::{Object, Sheet};
use crate::sieve::Sieve;
use crate::told::{Told, update};
use crate::{Fault, Reading};

/// The longest text that may be a count.
const COUNT_MAX: usize = 64;

static SIEVE: LazyLock<Sieve> = LazyLock::new(|| Sieve::new(&["\"done\"", "\"error\"", "eval_count\""]));

pub(crate) fn may_matter(told: &Told, event: &[u8]) -> bool {
    told.model.is_none() || SIEVE.catches(event)
}

pub(crate) fn note(told: &mut Told, event: &[u8]) {
    let names = ["model", "done", "done_reason", "error", "embeddings", "embedding", "prompt_eval_count", "eval_count"];
    let Some([model, done, reason, error, many, one, prompt, eval]) = pick(event, names, &mut told.faults) else {
        return;
    };
    update(&mut told.model, model);
    update(&mut told.stop_reason, reason);
    told.note_error(error);
    told.no_output |= many.is_some() || one.is_some();
    told.finished |= is_true(done) || told.no_output;
    note_count(told, "prompt_eval_count", prompt);
    note_count(told, "eval_count", eval);
    let is_load = matches!(told.stop_reason.as_deref(), Some("load" | "unload"));
    if is_load && told.finished && told.usage_text().is_none() {
        // A model that is only loaded or let go reads and writes nothing, and counts nothing.
        told.merge(["prompt_eval_count", "eval_count"].map(|name| (name.to_owned(), 0.into())).into_iter().collect());
    }
}

fn note_count(told: &mut Told, name: &str, raw: Option<&RawValue>) {
    let Some(raw) = raw else { return };
    match Some(raw.get()).filter(|text| text.len() <= COUNT_MAX).and_then(|text| serde_json::from_str(text).ok()) {
        Some(value) => told.merge(Object::from_iter([(name.to_owned(), value)])),
        None => told.faults.note(Fault::Malformed),
    }
}

pub(crate) fn count(told: &Told, sheet: &mut Sheet<'_>, reading: &mut Reading) {
    let output = sheet.at("eval_count");
    reading.usage = Usage {
        input: sheet.at("prompt_eval_count"),
        cache_read: Some(0),
        cache_write_5m: Some(0),
        cache_write_1h: Some(0),
        output: if told.no_output { Some(0) } else { output },
        reasoning: None,
    };
}
