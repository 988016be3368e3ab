//! Server-sent events by the WHATWG grammar: the data of each event, its lines joined, everything else skipped.
//!
//! The last event counts even where the closing blank line is missing: recorders and cut streams leave it out.

use crate::lines::{Bounded, Event, Lines};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sse {
    lines: Lines,
    data: Data,
}

/// The data of the event that is being read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Data {
    text: Bounded,
    has_line: bool,
}

impl Sse {
    pub(crate) fn feed(&mut self, bytes: &[u8], take: &mut impl FnMut(Event<'_>)) {
        let data = &mut self.data;
        self.lines.feed(bytes, |line| data.line(line, take));
    }

    pub(crate) fn finish(&mut self, take: &mut impl FnMut(Event<'_>)) {
        let data = &mut self.data;
        self.lines.finish(|line| data.line(line, take));
        data.dispatch(take);
    }
}

impl Data {
    fn line(&mut self, line: Event<'_>, take: &mut impl FnMut(Event<'_>)) {
        match line {
            Ok(b"") => self.dispatch(take),
            Ok(line) => self.add(line),
            Err(_) => self.text.spoil(),
        }
    }

    fn add(&mut self, line: &[u8]) {
        let Some(value) = data_field(line) else { return };
        if self.has_line {
            self.text.push(b"\n");
        }
        self.has_line = true;
        self.text.push(value);
    }

    fn dispatch(&mut self, take: &mut impl FnMut(Event<'_>)) {
        if !self.text.is_empty() {
            take(self.text.event());
        }
        self.text.clear();
        self.has_line = false;
    }
}

/// The value of a line of the field `data`, less the one space that may stand before it.
fn data_field(line: &[u8]) -> Option<&[u8]> {
    match line.strip_prefix(b"data")? {
        [] => Some(b""),
        [b':', b' ', value @ ..] | [b':', value @ ..] => Some(value),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events_of(text: &str) -> Vec<String> {
        let (mut sse, mut seen) = (Sse::default(), Vec::new());
        let mut take = |event: Event<'_>| {
            seen.push(event.map_or("too long".to_owned(), |data| String::from_utf8_lossy(data).into_owned()));
        };
        sse.feed(text.as_bytes(), &mut take);
        sse.finish(&mut take);
        seen
    }

    #[test]
    fn events_are_read_by_the_grammar() {
        assert_eq!(events_of("data: a\n\ndata:b\n\ndata:  c\n\n"), ["a", "b", " c"]);
        assert_eq!(events_of("event: x\nid: 1\nretry: 5\n: comment\ndata: a\ndata: b\n\n"), ["a\nb"]);
        assert_eq!(events_of("data\n\ndata:\n\n\n\ndata: a\n\n"), ["a"]);
        assert_eq!(events_of("data\ndata\n\n"), ["\n"]);
        assert_eq!(events_of("database: no\ndatum: no\n data: no\n\n"), [""; 0]);
        assert_eq!(events_of("data: a\r\rdata: b\r\n\r\ndata: c"), ["a", "b", "c"]);
    }
}
