//! Lines and events of server-sent events, as they pass in pieces.

use memchr::memchr2;

/// Where in a stream of events its bytes have led to: at an event's border, in a line, behind one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Lines {
    /// Whether the present line has bytes yet.
    in_line: bool,
    /// Whether lines of the present event have passed.
    in_event: bool,
    /// Whether the last byte was a CR, so that a LF next belongs to it.
    after_cr: bool,
}

/// A piece of a stream, up to the next end of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    /// How many bytes of the present line it has.
    pub(super) content: usize,
    /// How many bytes it takes, with the end of the line.
    pub(super) taken: usize,
    pub(super) ends: Ends,
}

/// What a piece ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ends {
    /// Nothing yet.
    Nothing,
    /// A line.
    Line,
    /// An event.
    Event,
    /// The LF of a CR that ended something before.
    Before,
}

impl Lines {
    /// The beginning of a stream.
    pub(super) const fn new() -> Self {
        Self { in_line: false, in_event: false, after_cr: false }
    }

    /// Takes the next piece of `bytes`, which are not empty.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Piece {
        if std::mem::take(&mut self.after_cr) && bytes.first() == Some(&b'\n') {
            return Piece { content: 0, taken: 1, ends: Ends::Before };
        }
        let Some(content) = memchr2(b'\r', b'\n', bytes) else {
            self.in_line |= !bytes.is_empty();
            return Piece { content: bytes.len(), taken: bytes.len(), ends: Ends::Nothing };
        };
        self.after_cr = bytes[content] == b'\r';
        let is_blank = !std::mem::take(&mut self.in_line) && content == 0;
        self.in_event = !is_blank;
        Piece { content, taken: content + 1, ends: if is_blank { Ends::Event } else { Ends::Line } }
    }

    /// Whether the last event is whole and no other has begun.
    pub(super) const fn at_border(self) -> bool {
        !self.in_line && !self.in_event
    }

    /// Whether the present line is whole.
    pub(super) const fn at_line_start(self) -> bool {
        !self.in_line
    }
}
