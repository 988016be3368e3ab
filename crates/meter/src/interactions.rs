//! Gemini's Interactions: one object with its status and its totals, streamed inside events or not.

use almoner_units::Usage;

use crate::Reading;
use crate::pick::{pick, text};
use crate::sheet::{Sheet, split_input};
use crate::told::{Told, update};

pub(crate) fn note(told: &mut Told, event: &[u8]) {
    let Some([interaction, error]) = pick(event, ["interaction", "error"], &mut told.faults) else { return };
    told.note_error(error);
    note_interaction(told, interaction.map_or(event, |inner| inner.get().as_bytes()));
}

fn note_interaction(told: &mut Told, interaction: &[u8]) {
    let names = ["id", "model", "status", "service_tier", "usage"];
    let Some([id, model, status, tier, usage]) = pick(interaction, names, &mut told.faults) else { return };
    update(&mut told.message_id, id);
    update(&mut told.model, model);
    update(&mut told.service_tier, tier);
    told.replace_usage(usage);
    if text(status).is_some_and(|status| is_end(&status)) {
        told.note_stop(status);
    }
}

fn is_end(status: &str) -> bool {
    matches!(status, "completed" | "incomplete" | "failed" | "cancelled" | "requires_action")
}

pub(crate) fn count(sheet: &mut Sheet<'_>, reading: &mut Reading) {
    let all = sheet.at("total_input_tokens");
    let cached = sheet.at_or_zero("total_cached_tokens");
    let (uncached, cache_read, _) = split_input(all, cached, Some(0), sheet.faults);
    let tools = sheet.at_or_zero("total_tool_use_tokens");
    let answer = sheet.at("total_output_tokens");
    let thoughts = sheet.at_or_zero("total_thought_tokens");
    reading.usage = Usage {
        input: sheet.sum(uncached, tools),
        cache_read,
        cache_write_5m: Some(0),
        cache_write_1h: Some(0),
        output: sheet.sum(answer, thoughts),
        reasoning: thoughts.filter(|_| sheet.has("total_thought_tokens")),
    };
    reading.tool_use_prompt_tokens = tools.filter(|tokens| *tokens > 0);
}
