//! YAML, the part of it that JSON has too: mappings, sequences, scalars. Anchors, aliases, tags and second documents
//! are refused, because a list of budgets needs none, and an alias can make a small file endless.

use granit_parser::{Event, Parser, ScalarStyle, ScanError, Span};

use super::{DEPTH_MAX, Source, too_deep, twice};
use crate::place::Place;
use crate::problem::Fault;
use crate::tree::{Key, Kind, Node};

pub(super) fn read(source: &Source<'_>) -> Result<Node, Vec<Fault>> {
    tree(source).map_err(|fault| vec![fault])
}

fn tree(source: &Source<'_>) -> Result<Node, Fault> {
    let mut events = Events { source, parser: Parser::new_from_str(source.text) };
    let root = match events.next()? {
        Some((event, at)) => node(&mut events, &event, at, 0)?,
        None => return Ok(source.node(0..0, Kind::Table(Vec::new()))),
    };
    match events.next()? {
        Some((_, at)) => {
            Err(Fault::at(&source.place(at), "a configuration is one YAML document; here a second begins"))
        }
        None => Ok(root),
    }
}

/// The events that make a tree, each with the bytes it stands at.
struct Events<'a> {
    source: &'a Source<'a>,
    parser: Parser<'a, granit_parser::StrInput<'a>>,
}

impl<'a> Events<'a> {
    fn next(&mut self) -> Result<Option<(Event<'a>, std::ops::Range<usize>)>, Fault> {
        for event in self.parser.by_ref() {
            let (event, span) = event.map_err(|error| fault(self.source, &error))?;
            match event {
                Event::StreamStart
                | Event::StreamEnd
                | Event::DocumentStart(..)
                | Event::DocumentEnd
                | Event::Comment(..)
                | Event::Anchor(..) => {}
                event => return Ok(Some((event, bytes(&span)))),
            }
        }
        Ok(None)
    }
}

fn bytes(span: &Span) -> std::ops::Range<usize> {
    span.byte_range().unwrap_or(0..0)
}

fn fault(source: &Source<'_>, error: &ScanError) -> Fault {
    let at = error.marker().byte_offset().unwrap_or(source.text.len());
    Fault::at(&source.place(at..at + 1), format!("this is not valid YAML: {}", error.info()))
}

fn node(events: &mut Events<'_>, event: &Event<'_>, at: std::ops::Range<usize>, depth: usize) -> Result<Node, Fault> {
    let place = events.source.place(at.clone());
    if depth > DEPTH_MAX {
        return Err(too_deep(&place));
    }
    if event.anchor_id().is_some() || event.tag().is_some() || event.is_alias() {
        return Err(Fault::at(&place, "anchors, aliases and tags of YAML are not read here; write the value itself"));
    }
    let kind = match event {
        Event::Scalar(text, style, ..) => scalar(text, *style),
        Event::SequenceStart(..) => list(events, depth)?,
        Event::MappingStart(..) => table(events, depth)?,
        _ => return Err(Fault::at(&place, "this is not valid YAML: a value should stand here")),
    };
    Ok(events.source.node(at, kind))
}

fn scalar(text: &str, style: ScalarStyle) -> Kind {
    match (style, text) {
        (ScalarStyle::Plain, "" | "~" | "null" | "Null" | "NULL") => Kind::Nothing,
        (ScalarStyle::Plain, word) => Kind::Word(word.to_owned()),
        (_, text) => Kind::Text(text.to_owned()),
    }
}

fn list(events: &mut Events<'_>, depth: usize) -> Result<Kind, Fault> {
    let mut items = Vec::new();
    while let Some((event, at)) = events.next()? {
        if event == Event::SequenceEnd {
            break;
        }
        items.push(node(events, &event, at, depth + 1)?);
    }
    Ok(Kind::List(items))
}

fn table(events: &mut Events<'_>, depth: usize) -> Result<Kind, Fault> {
    let mut members = Vec::new();
    while let Some((event, at)) = events.next()? {
        if event == Event::MappingEnd {
            break;
        }
        let key = key(&event, events.source.place(at))?;
        let Some((event, at)) = events.next()? else { break };
        members.push((key, node(events, &event, at, depth + 1)?));
    }
    twice(&members)?;
    Ok(Kind::Table(members))
}

fn key(event: &Event<'_>, place: Place) -> Result<Key, Fault> {
    match event.scalar() {
        Some((name, _)) => Ok(Key { name: name.to_owned(), place }),
        None => Err(Fault::at(&place, "the name of a setting is a word")),
    }
}
