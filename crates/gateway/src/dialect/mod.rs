//! Dialects: what a request means in its provider's words, and which of its members decide the price.
//!
//! A dialect reads a body into a [`Call`]: plain counts for the bound, and the few places that may have to change. It
//! promises that the call's output cap ends up in the one field that the provider reads. It leaves out prices, budgets
//! and connections.
//!
//! A dialect is one file: its `Tongue`, its [`Endpoint`]s, the table of its members, and how it reads a body. To add
//! one, write that file and name it in [`Dialect`]; routes, refusals, credentials and the ends of streams follow. A
//! route of a dialect that is there already is one more [`Endpoint`] of it.

mod anthropic;
mod call;
mod chat;
mod completions;
mod count;
mod embeddings;
mod endpoint;
mod gemini;
#[cfg(test)]
mod gemini_tests;
mod members;
mod ollama;
#[cfg(test)]
mod ollama_tests;
mod plain;
mod prompts;
mod responses;
mod sheet;
#[cfg(test)]
mod tests;
mod tongue;
mod weight;

pub use call::{Call, UnknownModel};
pub use endpoint::Endpoint;
pub(crate) use endpoint::{Asks, Counts, fill};
pub(crate) use plain::count_plain;
pub(crate) use tongue::{CredentialPlace, Tongue, Wrong};

use std::borrow::Cow;

use hyper::HeaderMap;
use hyper::body::Bytes;

use crate::body::{BadBody, Document, Object, Splice, Value};
use endpoint::Request;

/// In whose words a request and its answer speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// Anthropic's Messages.
    Anthropic,
    /// OpenAI's Chat Completions.
    Chat,
    /// OpenAI's Responses.
    Responses,
    /// Gemini's generateContent.
    Gemini,
    /// Ollama's own routes.
    Ollama,
}

impl Dialect {
    /// Every dialect.
    pub const ALL: [Self; 5] = [Self::Anthropic, Self::Chat, Self::Responses, Self::Gemini, Self::Ollama];

    /// Its name, as the config has it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Anthropic => "anthropic",
            Self::Chat => "openai-chat",
            Self::Responses => "openai-responses",
            Self::Gemini => "gemini",
            Self::Ollama => "ollama",
        }
    }

    /// What is particular to it.
    pub(crate) const fn tongue(self) -> &'static Tongue {
        match self {
            Self::Anthropic => &anthropic::TONGUE,
            Self::Chat => &chat::TONGUE,
            Self::Responses => &responses::TONGUE,
            Self::Gemini => &gemini::TONGUE,
            Self::Ollama => &ollama::TONGUE,
        }
    }

    /// In whose words to refuse a path: those of the dialect that is at home there, else OpenAI's, which most clients
    /// read.
    pub(crate) fn of_path(path: &str) -> Self {
        let is_at_home = |dialect: &Self| dialect.tongue().home.iter().any(|home| is_below(path, home));
        Self::ALL.into_iter().find(is_at_home).unwrap_or(Self::Chat)
    }
}

/// Whether `path` is `start` or something under it.
pub(crate) fn is_below(path: &str, start: &str) -> bool {
    path.strip_prefix(start).is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', ':']))
}

/// How often a provider's own tool may be used in a call that does not say: each use can fill a context window.
pub const TOOL_USES_MAX: u64 = 5;

/// How many uses of a provider's tool a limit is held as. One use beyond it is answered with an error, or ignored, and
/// the model sampled once more to learn that.
#[must_use]
pub const fn uses_held(limit: u64) -> u64 {
    limit.saturating_add(1)
}

/// Reads a request that came to an endpoint by a path of its own.
///
/// # Errors
/// [`BadBody`] where the body is no JSON object, means two things, or says what decides its price in a form that
/// cannot be read.
pub fn read(endpoint: &'static Endpoint, path: &str, headers: &HeaderMap, body: &[u8]) -> Result<Call, BadBody> {
    // A question without a body says nothing.
    let body = if endpoint.asks == Asks::Look { b"{}" } else { body };
    let document = Document::read(body)?;
    let root = document.root()?;
    let call = (endpoint.read)(&Request { endpoint, path, headers, root: &root })?.of_length(body.len());
    Ok(match endpoint.asks {
        Asks::Answer => call,
        Asks::Count | Asks::Look => call.without_output(),
    })
}

/// The body that asks the same of another model: that one member is changed where it stands, and nothing else. A
/// dialect that names the model in its path has none to change.
///
/// # Errors
/// [`BadBody`] where the body is no JSON object.
pub fn with_model(endpoint: &Endpoint, body: &Bytes, model: &str) -> Result<Bytes, BadBody> {
    if endpoint.names_model_in_path() {
        return Ok(body.clone());
    }
    let document = Document::read(body)?;
    let mut splice = Splice::new();
    splice.object(&document.root()?.layout(), &[("model", serde_json::Value::from(model).to_string())], &[]);
    Ok(splice.apply(body))
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
pub(crate) fn printable(name: &str) -> String {
    name.chars().take(96).collect::<String>().escape_debug().to_string()
}
