//! Endpoints: the routes of a dialect, and what is particular to each.

use std::borrow::Cow;
use std::fmt;

use almoner_meter::Dialect as Metered;
use hyper::HeaderMap;
use hyper::body::Bytes;

use super::{Call, Dialect};
use crate::body::{BadBody, Object, Value};
use crate::http::has_secret;

/// One route of a dialect: a path to which calls are posted, here and at its provider.
pub struct Endpoint {
    /// Whose it is.
    pub(crate) dialect: Dialect,
    /// Its path; `{model}` in it stands for the name of a model.
    pub(crate) path: &'static str,
    /// What its calls want.
    pub(crate) asks: Asks,
    /// Who reads the usage in its answers.
    pub(crate) meter: Metered,
    /// Who can count the input of its calls.
    pub(crate) counts: Counts,
    /// Reads the body of a call.
    pub(super) read: fn(&Request<'_>) -> Result<Call, BadBody>,
}

/// What the calls of an endpoint want.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asks {
    /// An answer, which costs something.
    Answer,
    /// How many tokens an answer would read. Nothing is booked for it.
    Count,
    /// What there is. It is got without a body, names no model, and nothing is booked for it.
    Look,
}

/// Who can count the input of a call, for a bound tighter than its bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Counts {
    /// The provider, asked at a path of its own.
    Provider {
        /// The path; `{model}` in it stands for the name of the model.
        path: &'static str,
        /// The body that asks, made of the body of the call and the name of its model.
        body: fn(&[u8], &str) -> Result<Bytes, BadBody>,
        /// The JSON pointer to the number in its answer.
        tokens: &'static str,
    },
    /// We ourselves, where the vocabulary is published and the call is plain text.
    Here,
    /// Nobody.
    Nobody,
}

/// The place of the model's name in a path.
const MODEL: &str = "{model}";

impl Endpoint {
    /// Its path, with `{model}` where the name of a model stands.
    #[must_use]
    pub const fn path(&self) -> &'static str {
        self.path
    }

    /// In whose words it speaks.
    #[must_use]
    pub const fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Whether a path is one of its own.
    pub(crate) fn takes(&self, path: &str) -> bool {
        path == self.path || self.model_in(path).is_some()
    }

    /// The model that a path of its own names.
    fn model_in<'p>(&self, path: &'p str) -> Option<&'p str> {
        let (before, after) = self.path.split_once(MODEL)?;
        let model = path.strip_prefix(before)?.strip_suffix(after)?;
        (!model.is_empty() && !model.contains('/')).then_some(model)
    }

    /// Whether the model stands in its path, and not in its body.
    pub(crate) fn names_model_in_path(&self) -> bool {
        self.path.contains(MODEL)
    }

    /// Its path for a model.
    pub(crate) fn path_for(&self, model: &str) -> Cow<'static, str> {
        fill(self.path, model)
    }
}

/// A path with the name of a model in its place, where it has one.
pub(crate) fn fill(path: &'static str, model: &str) -> Cow<'static, str> {
    if path.contains(MODEL) { path.replace(MODEL, model).into() } else { path.into() }
}

impl PartialEq for Endpoint {
    fn eq(&self, other: &Self) -> bool {
        self.path == other.path
    }
}

impl Eq for Endpoint {}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.path)
    }
}

/// A request at an endpoint, as its reader finds it.
pub(super) struct Request<'r> {
    pub(super) endpoint: &'static Endpoint,
    pub(super) path: &'r str,
    pub(super) headers: &'r HeaderMap,
    pub(super) root: &'r Object<'r>,
}

impl Request<'_> {
    /// The name of the model, from the path where that has a place for it, else from the body. Without it there is no
    /// price.
    pub(super) fn model(&self) -> Result<String, BadBody> {
        let in_body = || self.root.get("model").and_then(Value::text);
        let wrong = || BadBody::wrong("model", "the name of a model, 1 to 256 characters long");
        let name = self.endpoint.model_in(self.path).map(Cow::from).or_else(in_body).ok_or_else(wrong)?;
        // A name is shown, kept and sent on, and a key is not.
        let is_name =
            (1..=256).contains(&name.chars().count()) && !name.chars().any(char::is_control) && !has_secret(&name);
        if is_name { Ok(name.into_owned()) } else { Err(wrong()) }
    }
}

#[cfg(test)]
mod endpoint_tests {
    use super::*;

    const GENERATE: Endpoint =
        Endpoint { path: "/v1beta/models/{model}:generateContent", ..super::super::chat::COMPLETIONS };

    #[test]
    fn a_model_in_the_path_is_found_and_put_back() {
        assert_eq!(GENERATE.model_in("/v1beta/models/gemini-3.1-pro:generateContent"), Some("gemini-3.1-pro"));
        assert_eq!(GENERATE.path_for("gemini-3.1-pro"), "/v1beta/models/gemini-3.1-pro:generateContent");
        for none in [
            "/v1beta/models/:generateContent",
            "/v1beta/models/a/b:generateContent",
            "/v1beta/models/../x:generateContent",
            "/v1beta/models/m:generateContent/",
            "/v1beta/models/m:streamGenerateContent",
        ] {
            assert!(!GENERATE.takes(none), "{none}");
        }
    }
}
