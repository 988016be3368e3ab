//! The bodies of requests: what they may say, and how they are read.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use almoner_units::nearest;
use hyper::HeaderMap;
use hyper::StatusCode;
use hyper::body::Bytes;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{DeserializeOwned, Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Number, Value};

use crate::problem::{Problem, shown};

/// The greatest number of a body: what every reader of JSON holds exactly.
pub(crate) const NUMBER_MAX: u64 = (1 << 53) - 1;

/// A whole number that every reader of JSON holds exactly; `5.0` is one as well.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Whole(pub(crate) u64);

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = Number::deserialize(from)?.to_string();
        let whole = text.strip_suffix(".0").unwrap_or(&text).parse().ok().filter(|number| *number <= NUMBER_MAX);
        let bad = || D::Error::custom(format!("{text} is no whole number from 0 to {NUMBER_MAX}"));
        whole.map(Self).ok_or_else(bad)
    }
}

impl JsonSchema for Whole {
    fn schema_name() -> Cow<'static, str> {
        "Whole".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": 0, "maximum": NUMBER_MAX })
    }

    fn inline_schema() -> bool {
        true
    }
}

/// What is to change of a budget, until the configuration is next read; a key's own budget keeps it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("minProperties" = 1))]
pub(crate) struct ChangeBudget {
    /// All its limits from now on, as a config has them: `$5 / day`.
    #[serde(default)]
    pub(crate) limits: Option<Vec<String>>,
    /// What happens at its limits from now on.
    #[serde(default)]
    #[schemars(extend("enum" = ["warn", "throttle", "stop-new", "kill-running", null]))]
    pub(crate) mode: Option<String>,
}

/// Which accounts begin anew.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ResetBudget {
    /// Only the accounts with these labels; empty: every account of the budget.
    #[serde(deserialize_with = "labels")]
    pub(crate) labels: BTreeMap<String, String>,
    /// Why, for the audit, in one line.
    #[schemars(length(max = 500), regex(pattern = r"^[^\x00-\x1f\x7f-\x9f]*$"))]
    pub(crate) reason: Option<String>,
}

/// Usage that did not pass here.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AddUsage {
    /// The labels of what was used: they say which budgets count it.
    #[serde(default, deserialize_with = "labels")]
    pub(crate) labels: BTreeMap<String, String>,
    /// Uncached input tokens.
    #[serde(default)]
    pub(crate) input_tokens: Whole,
    /// Output tokens, reasoning included.
    #[serde(default)]
    pub(crate) output_tokens: Whole,
    /// What it cost, in nano-dollars.
    pub(crate) cost_usd_nano: Whole,
    /// How you know, for the audit, in one line.
    #[schemars(length(max = 500), regex(pattern = r"^[^\x00-\x1f\x7f-\x9f]*$"))]
    pub(crate) reason: String,
}

/// The truth about a call that ended without news: what it cost, what it used, both, or that it spent nothing.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Correct {
    /// What it really cost, in nano-dollars; without it, what its tokens cost by the price book.
    #[serde(default)]
    pub(crate) cost_usd_nano: Option<Whole>,
    /// What it really used; without it, its tokens stay charged as they were held.
    #[serde(default, deserialize_with = "tokens")]
    pub(crate) tokens: Option<CorrectTokens>,
    /// That it spent nothing at all.
    #[serde(default)]
    pub(crate) unspent: bool,
    /// How you know, for the audit, in one line.
    #[schemars(length(max = 500), regex(pattern = r"^[^\x00-\x1f\x7f-\x9f]*$"))]
    pub(crate) reason: String,
}

/// The tokens that a call used, as its provider's console tells them.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "Tokens")]
pub(crate) struct CorrectTokens {
    /// Input that was neither read from nor written to a cache.
    pub(crate) input: Whole,
    /// Output, reasoning included.
    pub(crate) output: Whole,
    /// Input read from a cache.
    pub(crate) cache_read: Whole,
    /// Input written to a cache for five minutes.
    pub(crate) cache_write_5m: Whole,
    /// Input written to a cache for an hour.
    pub(crate) cache_write_1h: Whole,
}

/// What a key is to be.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "NewKey")]
pub(crate) struct CreateKey {
    /// What people call it: letters, digits, `-`, `_` and `.`, unique among the keys that are good.
    #[schemars(regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"))]
    pub(crate) name: String,
    /// The labels that it gives to every call, such as `team` and `user`.
    #[serde(default, deserialize_with = "labels")]
    pub(crate) labels: BTreeMap<String, String>,
    /// The limits of a budget of its own; empty: it has none.
    #[serde(default)]
    pub(crate) limits: Vec<String>,
    /// The mode of that budget; `stop-new` where none is said.
    #[serde(default)]
    #[schemars(extend("enum" = ["warn", "throttle", "stop-new", "kill-running", null]))]
    pub(crate) mode: Option<String>,
    /// Patterns of the models that it may use; empty: every model.
    #[serde(default)]
    pub(crate) models: Vec<String>,
    /// The highest priority that its calls may have; `high` where none is said.
    #[serde(default)]
    #[schemars(extend("enum" = ["low", "normal", "high", "critical", null]))]
    pub(crate) priority_max: Option<String>,
    /// How many requests it may send in a minute.
    #[serde(default)]
    pub(crate) requests_per_minute: Option<Whole>,
    /// How many tokens it may use in a minute.
    #[serde(default)]
    pub(crate) tokens_per_minute: Option<Whole>,
    /// When it ends by itself: a span such as `90d`, a date, or `never`.
    #[serde(default = "never")]
    pub(crate) expires: String,
    /// What it is for.
    #[serde(default)]
    pub(crate) note: String,
}

/// How a key gets another secret.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RotateKey {
    /// How long the secret that it has stays good, in milliseconds.
    pub(crate) grace_ms: Whole,
}

/// How a key ends.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RevokeKey {
    /// Whether its running calls are cut; else they may finish.
    pub(crate) kill: bool,
}

/// What a token is to be.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "NewToken")]
pub(crate) struct CreateToken {
    /// What people call it: letters, digits, `-`, `_` and `.`, unique among the tokens that are good.
    #[schemars(regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"))]
    pub(crate) name: String,
    /// What it may do.
    #[schemars(extend("enum" = ["viewer", "operator", "admin"]))]
    pub(crate) role: String,
    /// When it ends by itself: a span such as `90d`, a date, or `never`.
    #[serde(default = "never")]
    pub(crate) expires: String,
    /// What it is for.
    #[serde(default)]
    pub(crate) note: String,
}

/// A request that says nothing more than its address.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Nothing {}

/// Tokens by their names alone, as [`read`] has it.
fn tokens<'de, D: Deserializer<'de>>(from: D) -> Result<Option<CorrectTokens>, D::Error> {
    let members: Option<Map<String, Value>> = Deserialize::deserialize(from)?;
    members.map(|members| serde_json::from_value(Value::Object(members)).map_err(D::Error::custom)).transpose()
}

/// Labels, each once: of two values for one, nobody knows which was meant.
fn labels<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<String, String>, D::Error> {
    struct Once;

    impl<'de> Visitor<'de> for Once {
        type Value = BTreeMap<String, String>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("labels by their names")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
            let mut labels = BTreeMap::new();
            while let Some((name, value)) = members.next_entry::<String, String>()? {
                let name_shown = shown(&name);
                if labels.insert(name, value).is_some() {
                    return Err(A::Error::custom(format!("the label `{name_shown}` stands there twice")));
                }
            }
            Ok(labels)
        }
    }

    from.deserialize_map(Once)
}

fn never() -> String {
    "never".to_owned()
}

/// Refuses a body that is not plain JSON. One that is empty may come without a word of what it is.
pub(crate) fn check_kind(headers: &HeaderMap, is_empty: bool) -> Result<(), Problem> {
    let kinds: Vec<_> = headers.get_all(CONTENT_TYPE).iter().collect();
    let is_json =
        |kind: &str| kind.split(';').next().is_some_and(|it| it.trim().eq_ignore_ascii_case("application/json"));
    let is_good = match kinds[..] {
        [] => is_empty,
        [kind] => kind.to_str().is_ok_and(is_json),
        _ => false,
    };
    let is_plain = headers.get_all(CONTENT_ENCODING).iter().all(|it| it.as_bytes().eq_ignore_ascii_case(b"identity"));
    if is_good && is_plain {
        return Ok(());
    }
    let what = "the body is read as JSON alone, sent as it is";
    let problem = Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "bad_content_type", what);
    Err(problem.hint("send it with `content-type: application/json`, and without `content-encoding`"))
}

/// Reads a body whose every member is known. An empty one says nothing, where that is enough.
pub(crate) fn read<T: DeserializeOwned>(body: &Bytes) -> Result<T, Problem> {
    let body: &[u8] = if body.is_empty() { b"{}" } else { body };
    // A list of values in the order of the members would else do as well.
    if body.trim_ascii_start().first().is_some_and(|first| *first != b'{') {
        return Err(Problem::unreadable("bad_json", "the body is one JSON object"));
    }
    serde_json::from_slice(body).map_err(|error| misread(&error))
}

/// What is wrong with a body, with the word that was probably meant.
fn misread(error: &serde_json::Error) -> Problem {
    if !error.is_data() {
        return Problem::unreadable("bad_json", format!("the body is no JSON: {error}"));
    }
    let text = error.to_string();
    let mut quoted = text.split('`').skip(1).step_by(2);
    match (text.starts_with("unknown field"), quoted.next()) {
        (true, Some(unknown)) => {
            let known: Vec<&str> = quoted.collect();
            let problem = Problem::unreadable("unknown_member", format!("the body has no member `{}`", shown(unknown)));
            match nearest(unknown, known.iter().copied()) {
                Some(near) => problem.hint(format!("did you mean `{near}`?")),
                None if known.is_empty() => problem.hint("it has none at all"),
                None => problem.hint(format!("it has {}", known.join(", "))),
            }
        }
        // A value that is shown again may be a secret in the wrong place.
        _ if text.to_ascii_lowercase().contains("alm_") => {
            Problem::unreadable("bad_member", "a member of the body is not what it should be")
        }
        _ => Problem::unreadable("bad_member", text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    fn refused<T: DeserializeOwned + std::fmt::Debug>(body: &'static str) -> Problem {
        read::<T>(&Bytes::from_static(body.as_bytes())).unwrap_err()
    }

    #[test]
    fn a_member_that_is_not_known_is_refused_with_what_was_probably_meant() {
        let slip = refused::<AddUsage>(r#"{"cost_usd_nano":1,"reason":"x","label":{}}"#);
        assert_eq!((slip.code.as_str(), slip.hint.as_deref()), ("unknown_member", Some("did you mean `labels`?")));
        let deep = refused::<Correct>(r#"{"reason":"x","tokens":{"inptu":1}}"#);
        assert_eq!(deep.hint.as_deref(), Some("did you mean `input`?"));
        assert_eq!(refused::<Nothing>(r#"{"x":1}"#).hint.as_deref(), Some("it has none at all"));
        let secret = refused::<AddUsage>(r#"{"cost_usd_nano":"alm_token_x","reason":"x"}"#);
        assert!(!secret.message.contains("alm_"), "{secret:?}");
    }

    #[test]
    fn what_is_no_body_is_refused_and_breaks_nothing() {
        let deep = "[".repeat(100_000);
        let deep: &'static str = Box::leak(deep.into_boxed_str());
        assert_eq!(refused::<Correct>(r#"{"reason":"x","tokens":[1,2,3,4,5]}"#).code, "bad_member");
        for bad in ["{", "null", "[]", "\"x\"", "{\"reason\":1}", "\u{0}", r#"{"reason":"a","reason":"b"}"#, deep] {
            assert_eq!(refused::<AddUsage>(bad).status, 400);
        }
        for bad in [r#"{"cost_usd_nano":-1,"reason":"x"}"#, r#"{"cost_usd_nano":1e99,"reason":"x"}"#] {
            assert_eq!(refused::<AddUsage>(bad).code, "bad_member", "{bad}");
        }
    }

    #[test]
    fn a_whole_number_is_one_however_it_is_written() {
        let read = |text: &str| serde_json::from_str::<Whole>(text).ok().map(|whole| whole.0);
        assert_eq!((read("5"), read("5.0"), read("0"), read("4e3")), (Some(5), Some(5), Some(0), Some(4000)));
        assert_eq!(read("9007199254740991"), Some(NUMBER_MAX));
        for bad in ["-1", "5.5", "9007199254740992", "1e99", "18446744073709551616", "\"5\"", "null"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn only_plain_json_is_read() {
        let check = |kinds: &[&'static str], is_empty: bool| {
            let mut headers = HeaderMap::new();
            for kind in kinds {
                headers.append(CONTENT_TYPE, HeaderValue::from_static(kind));
            }
            check_kind(&headers, is_empty).map_err(|problem| problem.status.as_u16())
        };
        assert_eq!(check(&["application/json; charset=utf-8"], false), Ok(()));
        assert_eq!(check(&[], true), Ok(()));
        for kinds in
            [&[][..], &["text/plain"], &["application/x-www-form-urlencoded"], &["application/json", "text/plain"]]
        {
            assert_eq!(check(kinds, false), Err(415), "{kinds:?}");
        }
    }
}
