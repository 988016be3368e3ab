//! Dialects: what a request means in its provider's words, and which of its members decide the price.
//!
//! A dialect reads a body into a [`Call`]: plain counts for the bound, and the few places that may have to change. It
//! promises that the call's output cap ends up in the one field that the provider reads. It leaves out prices, budgets
//! and connections.

mod anthropic;
mod call;
mod chat;
mod count;
mod members;
mod plain;
#[cfg(test)]
mod tests;
mod weight;

pub use call::{Call, UnknownModel};
pub(crate) use count::counting_body;
pub(crate) use plain::count_plain;

use std::borrow::Cow;

use hyper::HeaderMap;

use crate::body::{BadBody, Document, Object, Value};
use crate::route::Route;

/// In whose words a request and its answer speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// Anthropic's Messages.
    Anthropic,
    /// OpenAI's Chat Completions.
    Chat,
}

/// How often a provider's own tool may be used in a call that does not say: each use can fill a context window.
pub const TOOL_USES_MAX: u64 = 5;

/// Reads a request; `None` for a route that has no body to read.
///
/// # Errors
/// [`BadBody`] where the body is no JSON object, means two things, or says what decides its price in a form that
/// cannot be read.
pub fn read(route: Route, headers: &HeaderMap, body: &[u8]) -> Result<Option<Call>, BadBody> {
    if route.upstream_path().is_none() {
        return Ok(None);
    }
    let document = Document::read(body)?;
    let root = document.root()?;
    let mut call = match route {
        Route::ChatCompletions => chat::read(&root)?,
        Route::Messages => anthropic::read(headers, &root)?,
        _ => anthropic::read(headers, &root)?.without_output(),
    };
    call.is_for(route, body.len());
    Ok(Some(call))
}

/// The name of the model, without which there is no price.
fn model(root: &Object<'_>) -> Result<String, BadBody> {
    let wanted = "the name of a model, 1 to 256 characters long";
    let name = root.get("model").and_then(Value::text).ok_or_else(|| BadBody::wrong("model", wanted))?;
    let is_name = (1..=256).contains(&name.chars().count()) && !name.chars().any(char::is_control);
    if is_name { Ok(name.into_owned()) } else { Err(BadBody::wrong("model", wanted)) }
}

/// A whole number, where the member says one.
fn count(object: &Object<'_>, name: &str) -> Result<Option<u64>, BadBody> {
    let wanted = "a whole number, 0 or more, written in digits alone";
    let read = |value: Value<'_>| value.count().ok_or_else(|| BadBody::wrong(name, wanted));
    object.told(name).map(read).transpose()
}

/// True or false; what says neither is false.
fn flag(object: &Object<'_>, name: &str) -> Result<bool, BadBody> {
    let read = |value: Value<'_>| value.boolean().ok_or_else(|| BadBody::wrong(name, "true or false"));
    Ok(object.told(name).map(read).transpose()?.unwrap_or(false))
}

/// A text, where the member says one.
fn word<'d>(object: &Object<'d>, name: &str) -> Result<Option<Cow<'d, str>>, BadBody> {
    let read = |value: Value<'d>| value.text().ok_or_else(|| BadBody::wrong(name, "a text"));
    object.told(name).map(read).transpose()
}

/// A name out of a stranger's body, fit to be printed.
fn printable(name: &str) -> String {
    name.chars().take(96).collect::<String>().escape_debug().to_string()
}
