//! How an answer's events lie in its bytes, and which way that is.

use crate::Fault;
use crate::lines::{Event, Lines};
use crate::objects::Objects;
use crate::sse::Sse;

/// The most bytes kept of an answer that is one JSON value; a longer one is not read.
pub const BODY_MAX: usize = 64 << 20;

/// How an answer's events lie in its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// One JSON value.
    Json,
    /// Server-sent events.
    Sse,
    /// One JSON object a line.
    Ndjson,
    /// JSON objects inside one array.
    JsonArray,
}

impl Framing {
    /// Chooses by the content type and the first bytes; `None` while there is nothing but white space to see.
    ///
    /// The first byte wins over the header where they disagree, because an error may come as JSON to who asked for a
    /// stream, and some servers stream under any name.
    #[must_use]
    pub fn choose(content_type: Option<&str>, start: &[u8]) -> Option<Self> {
        let start = start.strip_prefix(&MARK).unwrap_or(start).trim_ascii_start();
        let first = *start.first().filter(|first| **first != MARK[0])?;
        let says = |word: &str| content_type.is_some_and(|name| name.to_ascii_lowercase().contains(word));
        Some(match first {
            b'[' => Self::JsonArray,
            b'{' if says("ndjson") || says("jsonl") => Self::Ndjson,
            b'{' => Self::Json,
            _ if says("ndjson") || says("jsonl") => Self::Ndjson,
            b'd' | b'e' | b'i' | b'r' | b':' => Self::Sse,
            _ if says("event-stream") => Self::Sse,
            _ => Self::Json,
        })
    }
}

/// The byte order mark, which may stand before anything.
const MARK: [u8; 3] = [0xEF, 0xBB, 0xBF];

/// Takes the byte order mark off the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Start {
    #[default]
    Fresh,
    /// So many bytes of the mark have come.
    Marked(usize),
    Over,
}

impl Start {
    pub(crate) fn feed(&mut self, mut bytes: &[u8], mut pass: impl FnMut(&[u8])) {
        while let (Some(held), [first, rest @ ..]) = (self.held(), bytes) {
            if *first != MARK[held] {
                self.finish(&mut pass);
                break;
            }
            bytes = rest;
            *self = if held + 1 == MARK.len() { Self::Over } else { Self::Marked(held + 1) };
        }
        pass(bytes);
    }

    /// Passes on what was held back as the start of a mark and was none.
    pub(crate) fn finish(&mut self, mut pass: impl FnMut(&[u8])) {
        if let Some(held @ 1..) = self.held() {
            pass(&MARK[..held]);
        }
        *self = Self::Over;
    }

    fn held(self) -> Option<usize> {
        match self {
            Self::Fresh => Some(0),
            Self::Marked(held) => Some(held),
            Self::Over => None,
        }
    }
}

/// Cuts bytes into events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Framer {
    Json(Body),
    Sse(Sse),
    Ndjson(Lines),
    JsonArray(Objects),
}

impl Framer {
    pub(crate) fn new(framing: Framing) -> Self {
        match framing {
            Framing::Json => Self::Json(Body::default()),
            Framing::Sse => Self::Sse(Sse::default()),
            Framing::Ndjson => Self::Ndjson(Lines::default()),
            Framing::JsonArray => Self::JsonArray(Objects::default()),
        }
    }

    pub(crate) fn feed(&mut self, bytes: &[u8], take: &mut impl FnMut(Event<'_>)) {
        match self {
            Self::Json(body) => body.feed(bytes),
            Self::Sse(sse) => sse.feed(bytes, take),
            Self::Ndjson(lines) => lines.feed(bytes, unless_blank(take)),
            Self::JsonArray(objects) => objects.feed(bytes, take),
        }
    }

    pub(crate) fn finish(&mut self, take: &mut impl FnMut(Event<'_>)) {
        match self {
            Self::Json(body) => body.finish(take),
            Self::Sse(sse) => sse.finish(take),
            Self::Ndjson(lines) => lines.finish(unless_blank(take)),
            Self::JsonArray(objects) => objects.finish(take),
        }
    }
}

fn unless_blank(take: &mut impl FnMut(Event<'_>)) -> impl FnMut(Event<'_>) {
    |line| {
        if line.is_ok_and(|line| !line.trim_ascii().is_empty()) || line.is_err() {
            take(line);
        }
    }
}

/// A whole JSON answer; one that is an array is taken as its objects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Body {
    bytes: Vec<u8>,
    too_long: bool,
}

impl Body {
    fn feed(&mut self, bytes: &[u8]) {
        self.too_long |= self.bytes.len() + bytes.len() > BODY_MAX;
        if self.too_long {
            self.bytes = Vec::new();
        } else {
            self.bytes.extend_from_slice(bytes);
        }
    }

    fn finish(&mut self, take: &mut impl FnMut(Event<'_>)) {
        let body = std::mem::take(&mut self.bytes);
        match body.trim_ascii() {
            _ if self.too_long => take(Err(Fault::BodyTooLong)),
            [] => {}
            array @ [b'[', ..] => {
                let mut objects = Objects::default();
                objects.feed(array, take);
                objects.finish(take);
            }
            object => take(Ok(object)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_byte_wins_over_the_header() {
        for (content_type, start, framing) in [
            (Some("text/event-stream; charset=utf-8"), "event: x", Some(Framing::Sse)),
            (Some("text/event-stream"), "\u{feff}data: {", Some(Framing::Sse)),
            (Some("text/event-stream"), "{\"error\":1}", Some(Framing::Json)),
            (Some("application/json"), "{", Some(Framing::Json)),
            (Some("application/json; charset=UTF-8"), "[{", Some(Framing::JsonArray)),
            (Some("application/json"), "data: {", Some(Framing::Sse)),
            (Some("application/x-ndjson"), "{", Some(Framing::Ndjson)),
            (Some("text/html"), "<html>", Some(Framing::Json)),
            (None, " \n {", Some(Framing::Json)),
            (None, ": ping", Some(Framing::Sse)),
            (None, " \n ", None),
            (None, "", None),
        ] {
            assert_eq!(Framing::choose(content_type, start.as_bytes()), framing, "{content_type:?} {start:?}");
        }
        assert_eq!(Framing::choose(None, &MARK[..2]), None);
    }

    #[test]
    fn a_byte_order_mark_is_dropped_only_where_it_is_whole() {
        for (text, passed) in [
            (&b"\xEF\xBB\xBFabc"[..], &b"abc"[..]),
            (b"\xEF\xBBabc", b"\xEF\xBBabc"),
            (b"abc", b"abc"),
            (b"\xEF", b"\xEF"),
        ] {
            for size in 1..=text.len() {
                let (mut start, mut seen) = (Start::default(), Vec::new());
                text.chunks(size).for_each(|chunk| start.feed(chunk, |bytes| seen.extend_from_slice(bytes)));
                start.finish(|bytes| seen.extend_from_slice(bytes));
                assert_eq!(seen, passed, "{text:?} by {size}");
            }
        }
    }
}
