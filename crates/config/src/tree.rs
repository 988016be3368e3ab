//! What a file says, whatever its form: values that know where they stand.

use std::ops::Range;

use crate::place::Place;

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) place: Place,
    pub(crate) kind: Kind,
    /// Where the content of a text begins, if it stands in the source letter by letter, without escapes.
    content_at: Option<usize>,
}

/// The name of a member of a table, and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub(crate) name: String,
    pub(crate) place: Place,
}

/// A value.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Nothing,
    Bool(bool),
    /// A number, as it is written: money never passes through a float.
    Number(String),
    Text(String),
    /// What has no type of its own: a variable, a flag, a plain word of YAML. It is what its reader takes it for.
    Word(String),
    Date,
    List(Vec<Node>),
    Table(Vec<(Key, Node)>),
}

impl Node {
    /// A value of `source`, whose content can be pointed into where it stands there as it is.
    pub(crate) fn written_in(source: &str, place: Place, kind: Kind) -> Self {
        let content_at = match &kind {
            Kind::Text(text) | Kind::Word(text) => source.get(place.span.clone()).and_then(|raw| content_in(raw, text)),
            _ => None,
        }
        .map(|at| place.span.start + at);
        Self { place, kind, content_at }
    }

    /// The place of these bytes of the text; the whole text, where escapes hide it.
    pub(crate) fn part(&self, within: Range<usize>) -> Place {
        match self.content_at {
            Some(at) => Place { text: self.place.text, span: at + within.start..at + within.end },
            None => self.place.clone(),
        }
    }

    /// What it is, in words for a message.
    pub(crate) fn what(&self) -> &'static str {
        match self.kind {
            Kind::Nothing => "nothing",
            Kind::Bool(_) => "true or false",
            Kind::Number(_) => "a number",
            Kind::Text(_) | Kind::Word(_) => "text",
            Kind::Date => "a date",
            Kind::List(_) => "a list",
            Kind::Table(_) => "a table",
        }
    }
}

/// Where a text begins in what was written for it, if only quotes and a line break stand before it.
fn content_in(raw: &str, text: &str) -> Option<usize> {
    let at = raw.find(text)?;
    raw[..at].chars().all(|c| "\"'\r\n".contains(c)).then_some(at)
}
