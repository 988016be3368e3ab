//! The query of a request: only what its route knows, each once unless it may repeat.

use almoner_units::nearest;
use serde_json::{Value, json};

use crate::body::NUMBER_MAX;
use crate::page::LIMIT_MAX;
use crate::path::decoded;
use crate::problem::{Problem, shown};

/// A word that a query may have.
pub(crate) struct Param {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) kind: Kind,
}

/// What a word of a query may say.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    /// How many at most.
    Limit,
    /// Any text.
    Text,
    /// One of these.
    OneOf(&'static [&'static str]),
    /// `LABEL=VALUE`; it may repeat.
    Labels,
    /// `true` or `false`.
    Flag,
    /// A whole number.
    Number,
}

impl Kind {
    /// What the document says of it.
    pub(crate) fn schema(self) -> Value {
        match self {
            Self::Limit => json!({ "type": "integer", "minimum": 1, "maximum": LIMIT_MAX, "default": LIMIT_MAX / 10 }),
            Self::Text => json!({ "type": "string" }),
            Self::OneOf(words) => json!({ "type": "string", "enum": words }),
            Self::Labels => json!({ "type": "array", "items": { "type": "string", "pattern": "^[^=]+=" } }),
            Self::Flag => json!({ "type": "boolean" }),
            Self::Number => json!({ "type": "integer", "minimum": 0, "maximum": NUMBER_MAX }),
        }
    }

    fn repeats(self) -> bool {
        matches!(self, Self::Labels)
    }

    fn check(self, name: &str, value: &str) -> Result<(), Problem> {
        let bad = |what: String| Err(Problem::unreadable("bad_query", format!("`{name}` {what}")));
        match self {
            Self::Limit if !whole(value).is_some_and(|limit| (1..=LIMIT_MAX as u64).contains(&limit)) => {
                bad(format!("is a whole number from 1 to {LIMIT_MAX}"))
            }
            Self::OneOf(words) if !words.contains(&value) => bad(format!("is one of {}", words.join(", "))),
            Self::Labels if value.split_once('=').is_none_or(|(label, _)| label.is_empty()) => {
                bad("is written like session=abc".to_owned())
            }
            Self::Number if whole(value).is_none_or(|number| number > NUMBER_MAX) => {
                bad(format!("is a whole number up to {NUMBER_MAX}"))
            }
            Self::Flag if !["true", "false"].contains(&value) => bad("is true or false".to_owned()),
            _ => Ok(()),
        }
    }
}

/// What a query says, checked.
#[derive(Debug, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads a query by what its route knows.
    pub(crate) fn read(text: &str, known: &[Param]) -> Result<Self, Problem> {
        let mut said: Vec<(String, String)> = Vec::new();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (decoded(name, true)?, decoded(value, true)?);
            let param = known.iter().find(|param| param.name == name).ok_or_else(|| unknown(&name, known))?;
            param.kind.check(param.name, &value)?;
            if !param.kind.repeats() && said.iter().any(|(before, _)| *before == name) {
                return Err(Problem::unreadable("bad_query", format!("`{name}` stands in the query twice")));
            }
            said.push((name, value));
        }
        Ok(Self(said))
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(said, _)| said == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn is(&self, name: &str) -> bool {
        self.get(name) == Some("true")
    }

    /// The labels of `?label=session=abc&label=…`.
    pub(crate) fn labels(&self) -> Vec<(String, String)> {
        let of = self.0.iter().filter(|(name, _)| name == "label").filter_map(|(_, pair)| pair.split_once('='));
        of.map(|(label, value)| (label.to_owned(), value.to_owned())).collect()
    }
}

/// A number in digits alone, as the document has it: a `+` before it is another text.
pub(crate) fn whole(text: &str) -> Option<u64> {
    text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()))
}

fn unknown(name: &str, known: &[Param]) -> Problem {
    let problem = Problem::unreadable("unknown_parameter", format!("this takes no parameter `{}`", shown(name)));
    match nearest(name, known.iter().map(|param| param.name)) {
        Some(near) => problem.hint(format!("did you mean `{near}`?")),
        None if known.is_empty() => problem.hint("it takes none"),
        None => {
            let names: Vec<&str> = known.iter().map(|param| param.name).collect();
            problem.hint(format!("it takes {}", names.join(", ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [Param; 4] = [
        Param { name: "limit", about: "", kind: Kind::Limit },
        Param { name: "label", about: "", kind: Kind::Labels },
        Param { name: "state", about: "", kind: Kind::OneOf(&["open", "assumed"]) },
        Param { name: "all", about: "", kind: Kind::Flag },
    ];

    #[test]
    fn a_query_is_what_its_route_knows() {
        let query = Query::read("limit=5&label=session=a%20b&label=team=red&&all=true", &KNOWN).unwrap();
        assert_eq!((query.get("limit"), query.is("all")), (Some("5"), true));
        let labels = [("session", "a b"), ("team", "red")].map(|(label, value)| (label.to_owned(), value.to_owned()));
        assert_eq!(query.labels(), labels);
    }

    #[test]
    fn all_else_is_refused_with_what_was_probably_meant() {
        let refused = |text: &str| Query::read(text, &KNOWN).unwrap_err();
        assert_eq!(refused("limt=5").hint.as_deref(), Some("did you mean `limit`?"));
        assert_eq!(refused("token=alm_token_x").hint.as_deref(), Some("it takes limit, label, state, all"));
        assert!(!refused("alm_token_secret=1").message.contains("secret"));
        for bad in [
            "limit=0",
            "limit=1001",
            "limit=-1",
            "limit=%2B5",
            "limit=",
            "limit=1&limit=2",
            "state=x",
            "label=x",
            "all=1",
        ] {
            assert_eq!(refused(bad).code, "bad_query", "{bad}");
        }
    }
}
