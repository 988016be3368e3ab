//! Ending a stream that may not go on.

use almoner_meter::Framing;
use hyper::StatusCode;
use hyper::body::Bytes;
use serde_json::Value;

use super::lines::{Ends, Lines};
use super::nesting::Nesting;
use super::{Answer, form};
use crate::dialect::Dialect;

/// How much of a line of an event is kept to know it by.
const LINE_START: usize = 32;

/// The longest line that may be a stream's last, where each line is an object; real ones take a few hundred bytes, and
/// a few more for each token of a conversation that they hand back.
const LINE_MAX: usize = 64 << 10;

/// How far a stream has come at its client. It is told every byte that passes.
#[derive(Clone, Debug)]
pub struct StreamSoFar {
    dialect: Dialect,
    place: Place,
    has_ended: bool,
}

/// Where a stream's bytes have led to, by how its events lie in them.
#[derive(Clone, Debug)]
enum Place {
    /// In server-sent events.
    Events {
        lines: Lines,
        line_start: Vec<u8>,
        /// Whether the present event is the stream's last.
        is_last: bool,
    },
    /// In lines that are an object each: the present one.
    Objects { lines: Lines, line: Vec<u8> },
    /// In an array of objects.
    Array(Nesting),
}

impl StreamSoFar {
    /// A stream of which nothing has passed.
    #[must_use]
    pub const fn new(dialect: Dialect, framing: Framing) -> Self {
        let place = match framing {
            Framing::Ndjson => Place::Objects { lines: Lines::new(), line: Vec::new() },
            Framing::JsonArray => Place::Array(Nesting::new()),
            Framing::Sse | Framing::Json => {
                Place::Events { lines: Lines::new(), line_start: Vec::new(), is_last: false }
            }
        };
        Self { dialect, place, has_ended: false }
    }

    /// Takes note of bytes that have passed to the client.
    pub fn pass(&mut self, mut bytes: &[u8]) {
        let dialect = self.dialect;
        match &mut self.place {
            Place::Array(nesting) => {
                nesting.pass(bytes);
                self.has_ended = nesting.has_closed();
            }
            Place::Events { lines, line_start, is_last } => {
                while !bytes.is_empty() {
                    let piece = lines.take(bytes);
                    keep(line_start, &bytes[..piece.content], LINE_START);
                    if matches!(piece.ends, Ends::Line | Ends::Event) {
                        *is_last |= is_last_line(dialect, line_start);
                        self.has_ended |= *is_last && piece.ends == Ends::Event;
                        line_start.clear();
                    }
                    bytes = &bytes[piece.taken..];
                }
            }
            Place::Objects { lines, line } => {
                while !bytes.is_empty() {
                    let piece = lines.take(bytes);
                    keep(line, &bytes[..piece.content], LINE_MAX);
                    if matches!(piece.ends, Ends::Line | Ends::Event) {
                        self.has_ended |= is_done(line);
                        line.clear();
                    }
                    bytes = &bytes[piece.taken..];
                }
            }
        }
    }

    /// Whether the last event is whole and no other has begun: here a cut leaves nothing broken behind.
    #[must_use]
    pub const fn at_border(&self) -> bool {
        match &self.place {
            Place::Events { lines, .. } => lines.at_border(),
            Place::Objects { lines, .. } => lines.at_line_start(),
            Place::Array(nesting) => nesting.is_between(),
        }
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
        let mut ahead = self.clone();
        let open = |ahead: &Self| !ahead.at_border();
        let mut taken = 0;
        while taken < next.len() && open(&ahead) {
            ahead.pass(&next[taken..=taken]);
            taken += 1;
        }
        taken
    }

    /// What closes an event that is open, so that another can stand behind it.
    const fn close(&self) -> &'static str {
        match &self.place {
            Place::Events { lines, .. } => match (lines.at_border(), lines.at_line_start()) {
                (true, _) => "",
                (false, true) => "\n",
                (false, false) => "\n\n",
            },
            Place::Objects { lines, .. } => {
                if lines.at_line_start() {
                    ""
                } else {
                    "\n"
                }
            }
            Place::Array(nesting) => nesting.before_next(),
        }
    }
}

/// Adds to what is kept, up to its bound.
fn keep(kept: &mut Vec<u8>, more: &[u8], most: usize) {
    let room = most - kept.len();
    kept.extend_from_slice(&more[..more.len().min(room)]);
}

/// Whether an object says that nothing comes after it.
fn is_done(line: &[u8]) -> bool {
    let may_be = memchr::memmem::find(line, b"\"done\"").is_some();
    may_be && serde_json::from_slice::<serde_json::Value>(line).is_ok_and(|object| object["done"] == true)
}

fn is_last_line(dialect: Dialect, line: &[u8]) -> bool {
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
    let error = form::error(why, so_far.dialect);
    let close = so_far.close();
    let end = match so_far.place {
        Place::Array(_) => format!("{close}{error}]"),
        // Its dialect has lines; somebody between us and its provider made events of them.
        Place::Events { .. } if so_far.dialect.tongue().plain_stream == Framing::Ndjson => {
            format!("{close}data: {}\n", (so_far.dialect.tongue().last_event)(&error))
        }
        _ => format!("{close}{}", (so_far.dialect.tongue().last_event)(&error)),
    };
    form::bytes(end, why, so_far.dialect)
}

/// What a stream of server-sent events has instead of its first, where its call was answered with an error: that error
/// as an event. Of a body that is none in the words of the dialect, its status is told.
#[must_use]
pub(crate) fn instead_of_a_stream(dialect: Dialect, status: StatusCode, body: &[u8]) -> Bytes {
    let tongue = dialect.tongue();
    let said: Value = serde_json::from_slice(body).unwrap_or_default();
    let is_error = tongue.own_error.iter().any(|message| said.pointer(message).is_some_and(Value::is_string));
    let error = match said {
        Value::Array(mut errors) if is_error => errors.swap_remove(0),
        error if is_error => error,
        _ => {
            let why = format!("the call was answered with status {} and no stream", status.as_u16());
            form::error(&Answer::Unread(why), dialect)
        }
    };
    (tongue.last_event)(&error).into()
}
