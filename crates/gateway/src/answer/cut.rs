//! Ending a stream that may not go on.

use hyper::body::Bytes;

use super::lines::{Ends, Lines};
use super::{Answer, form};
use crate::dialect::Dialect;

/// How much of a line is kept to know it by.
const LINE_START: usize = 32;

/// How far a stream has come at its client. It is told every byte that passes.
#[derive(Clone, Debug, Default)]
pub struct StreamSoFar {
    lines: Lines,
    line_start: Vec<u8>,
    /// Whether the present event is the stream's last.
    is_last: bool,
    has_ended: bool,
}

impl StreamSoFar {
    /// A stream of which nothing has passed.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes note of bytes that have passed to the client.
    pub fn pass(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let piece = self.lines.take(bytes);
            self.note(&bytes[..piece.content], piece.ends);
            bytes = &bytes[piece.taken..];
        }
    }

    fn note(&mut self, content: &[u8], ends: Ends) {
        let room = LINE_START - self.line_start.len();
        self.line_start.extend_from_slice(&content[..content.len().min(room)]);
        if matches!(ends, Ends::Line | Ends::Event) {
            self.is_last |= is_last(&self.line_start);
            self.has_ended |= self.is_last && ends == Ends::Event;
            self.line_start.clear();
        }
    }

    /// Whether the last event is whole and no other has begun: here a cut leaves nothing broken behind.
    #[must_use]
    pub const fn at_border(&self) -> bool {
        self.lines.at_border()
    }

    /// Whether the stream has said that it is over.
    #[must_use]
    pub const fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// How many of the next bytes belong to the event that is open: pass so many, and then cut. All of them where
    /// they do not end it.
    #[must_use]
    pub fn to_border(&self, next: &[u8]) -> usize {
        let mut lines = self.lines;
        let mut taken = 0;
        while taken < next.len() && !lines.at_border() {
            taken += lines.take(&next[taken..]).taken;
        }
        taken
    }
}

fn is_last(line: &[u8]) -> bool {
    let Some((name, value)) = line.iter().position(|byte| *byte == b':').map(|at| (&line[..at], &line[at + 1..]))
    else {
        return false;
    };
    let value = value.strip_prefix(b" ").unwrap_or(value);
    matches!((name, value), (b"event", b"message_stop") | (b"data", b"[DONE]"))
}

/// What ends a stream in its dialect's own words: an error event, and nothing after it that could make what was begun
/// look complete. A tool call that is open stays open. Nothing for a stream that has ended already.
///
/// An event that is open is closed first. Its data cannot be taken back; where it is not whole, its client fails on
/// it, so cut at a border where one comes in time ([`StreamSoFar::to_border`]).
#[must_use]
pub fn cut(dialect: Dialect, so_far: &StreamSoFar, why: &Answer) -> Bytes {
    if so_far.has_ended() {
        return Bytes::new();
    }
    let close = match (so_far.at_border(), so_far.lines.at_line_start()) {
        (true, _) => "",
        (false, true) => "\n",
        (false, false) => "\n\n",
    };
    let name = match dialect {
        Dialect::Anthropic => "event: error\n",
        Dialect::Chat => "",
    };
    format!("{close}{name}data: {}\n\n", form::error(why, dialect)).into()
}
