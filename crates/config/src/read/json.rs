//! JSON: `serde_json` reads each level into slices of the text, and a slice knows where it stands.

use std::fmt;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{DEPTH_MAX, Source, too_deep, twice};
use crate::problem::Fault;
use crate::tree::{Key, Kind, Node};

pub(super) fn read(source: &Source<'_>) -> Result<Node, Vec<Fault>> {
    if source.text.trim().is_empty() {
        return Ok(source.node(0..0, Kind::Table(Vec::new())));
    }
    let root: &RawValue =
        serde_json::from_str(source.text).map_err(|error| vec![fault(source, 0, source.text, &error)])?;
    node(source, root, 0).map_err(|fault| vec![fault])
}

/// The fault that `serde_json` found in `part`, which begins at `at`.
fn fault(source: &Source<'_>, at: usize, part: &str, error: &serde_json::Error) -> Fault {
    let line_at: usize = part.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum();
    // Column 0 is the line break before the line: the fault stands at the end of the line before it.
    let found = (at + line_at + error.column()).saturating_sub(1).min(source.text.len());
    let text = error.to_string();
    let message = text.split(" at line ").next().unwrap_or(&text);
    Fault::at(&source.place(found..found + 1), format!("this is not valid JSON: {message}"))
}

fn node(source: &Source<'_>, raw: &RawValue, depth: usize) -> Result<Node, Fault> {
    let span = span(source, raw);
    if depth > DEPTH_MAX {
        return Err(too_deep(&source.place(span)));
    }
    let bad = |error: serde_json::Error| fault(source, span.start, raw.get(), &error);
    let kind = match raw.get().as_bytes().first() {
        Some(b'{') => {
            let Members(members) = serde_json::from_str(raw.get()).map_err(bad)?;
            table(source, members, depth)?
        }
        Some(b'[') => {
            let items: Vec<&RawValue> = serde_json::from_str(raw.get()).map_err(bad)?;
            Kind::List(items.into_iter().map(|item| node(source, item, depth + 1)).collect::<Result<_, _>>()?)
        }
        Some(b'"') => Kind::Text(serde_json::from_str(raw.get()).map_err(bad)?),
        Some(b't') => Kind::Bool(true),
        Some(b'f') => Kind::Bool(false),
        Some(b'n') => Kind::Nothing,
        _ => Kind::Number(raw.get().to_owned()),
    };
    Ok(source.node(span, kind))
}

fn table(source: &Source<'_>, members: Vec<(&RawValue, &RawValue)>, depth: usize) -> Result<Kind, Fault> {
    let mut table = Vec::with_capacity(members.len());
    for (key, value) in members {
        let at = span(source, key);
        let name = serde_json::from_str(key.get()).map_err(|error| fault(source, at.start, key.get(), &error))?;
        table.push((Key { name, place: source.place(at) }, node(source, value, depth + 1)?));
    }
    twice(&table)?;
    Ok(Kind::Table(table))
}

/// Where the slice stands in the text it was cut from.
fn span(source: &Source<'_>, raw: &RawValue) -> std::ops::Range<usize> {
    let start = raw.get().as_ptr() as usize - source.text.as_ptr() as usize;
    start..start + raw.get().len()
}

/// The members of an object in their order, each as it stands.
struct Members<'a>(Vec<(&'a RawValue, &'a RawValue)>);

impl<'de> serde::Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Members<'de>, M::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Members(members))
    }
}
