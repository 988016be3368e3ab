//! What is read one by one: a text, tokens by their numbers, or several of either.

use super::sheet::Sheet;
use super::weight::Weight;
use crate::body::{BadBody, Object, Value};

/// Adds what stands under `name` to a sheet: each text or list of tokens is read in a window of its own.
pub(super) fn add_prompts(sheet: &mut Sheet, root: &Object<'_>, name: &str) -> Result<(), BadBody> {
    let wrong = || BadBody::wrong(name, "a text, an array of texts, or an array of tokens");
    let given = root.told(name).ok_or_else(wrong)?;
    let is_one = given.is_text() || given.items().next().is_some_and(|first| first.count().is_some());
    let prompts: Vec<Value<'_>> = if is_one { vec![given] } else { given.items().collect() };
    for prompt in &prompts {
        match (prompt.is_text(), prompt.is_array()) {
            (true, _) => sheet.weight.add(Weight::text(*prompt)),
            (false, true) => sheet.weight.add_hidden(tokens(*prompt).ok_or_else(wrong)?),
            // An object is an image, or what else a model of many senses embeds.
            (false, false) => sheet.opaque("an input that is no text"),
        }
    }
    sheet.shape.inputs = u64::try_from(prompts.len()).unwrap_or(u64::MAX);
    sheet.shape.messages = sheet.shape.inputs;
    Ok(())
}

/// How many tokens a list of their numbers has.
fn tokens(list: Value<'_>) -> Option<usize> {
    list.items().all(|token| token.count().is_some()).then(|| list.items().count())
}
