//! OpenAI's Embeddings: input only, in one JSON answer.
//!
//! Nothing is written, so a total above the prompt is input too: some count pictures into nothing else.

use almoner_units::Usage;

use crate::Reading;
use crate::pick::pick;
use crate::sheet::Sheet;
use crate::told::{Told, update};

pub(crate) fn note(told: &mut Told, event: &[u8]) {
    let Some([model, data, usage, error]) = pick(event, ["model", "data", "usage", "error"], &mut told.faults) else {
        return;
    };
    update(&mut told.model, model);
    told.note_error(error);
    told.replace_usage(usage);
    told.finished |= data.is_some();
}

pub(crate) fn count(sheet: &mut Sheet<'_>, reading: &mut Reading) {
    let [prompt, total] = ["prompt_tokens", "total_tokens"].map(|name| sheet.at(name));
    reading.usage = Usage {
        input: prompt.map(|prompt| prompt.max(total.unwrap_or(prompt))),
        cache_read: Some(0),
        cache_write_5m: Some(0),
        cache_write_1h: Some(0),
        output: Some(0),
        reasoning: None,
    };
}
