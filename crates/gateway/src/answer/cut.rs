//! Ending a stream that may not go on.

use hyper::body::Bytes;

use super::lines::{Ends, Lines};
use super::{Answer, form};
use crate::dialect::Dialect;

/// How much of a line is kept to know it by.
const LINE_START: usize = 32;

/// How far a stream has come at its client. It is told every byte that passes.
#[derive(Clone, Debug)]
pub struct StreamSoFar {
    dialect: Dialect,
    lines: Lines,
    line_start: Vec<u8>,
    /// Whether the present event is the stream's last.
    is_last: bool,
    has_ended: bool,
}

impl StreamSoFar {
    /// A stream of which nothing has passed.
    #[must_use]
    pub const fn new(dialect: Dialect) -> Self {
        Self { dialect, lines: Lines::new(), line_start: Vec::new(), is_last: false, has_ended: false }
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
            self.is_last |= is_last(self.dialect, &self.line_start);
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

fn is_last(dialect: Dialect, line: &[u8]) -> bool {
    let Some(colon) = line.iter().position(|byte| *byte == b':') else { return false };
    let (field, value) = (&line[..colon], &line[colon + 1..]);
    let value = value.strip_prefix(b" ").unwrap_or(value);
    let last = dialect.tongue().last_lines;
    last.iter().any(|(name, says)| (name.as_bytes(), says.as_bytes()) == (field, value))
}

/// What ends a stream in its dialect's own words: an error event, and nothing after it that could make what was begun
/// look complete. A tool call that is open stays open. Nothing for a stream that has ended already.
///
/// An event that is open is closed first. Its data cannot be taken back; where it is not whole, its client fails on
/// it, so cut at a border where one comes in time ([`StreamSoFar::to_border`]).
#[must_use]
pub fn cut(so_far: &StreamSoFar, why: &Answer) -> Bytes {
    if so_far.has_ended() {
        return Bytes::new();
    }
    let close = match (so_far.at_border(), so_far.lines.at_line_start()) {
        (true, _) => "",
        (false, true) => "\n",
        (false, false) => "\n\n",
    };
    let event = (so_far.dialect.tongue().last_event)(&form::error(why, so_far.dialect));
    format!("{close}{event}").into()
}
