//! Withholding the usage that we asked a chat stream for, and its client did not.

use hyper::body::Bytes;

use super::lines::{Ends, Lines};

/// The longest event that may still turn out to be nothing but usage; real ones take a few hundred bytes.
const HELD_MAX: usize = 16 * 1024;

/// Passes a chat stream on byte for byte, but for the chunks that hold usage and no choices.
///
/// An event is held back only while it may still be such a chunk, and is let go at the first byte of a choice; all
/// others pass as they come.
#[derive(Debug, Default)]
pub struct UsageFilter {
    lines: Lines,
    /// What is held back of the present event.
    held: Vec<u8>,
    /// Whether the present event is known to be none of those, and passes.
    passes: bool,
    /// Whether the last event was withheld, so that the LF of its CR is too.
    withheld: bool,
    /// How far `held` was searched for a choice.
    searched: usize,
}

impl UsageFilter {
    /// A filter for a stream that begins.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes what came, and gives what passes now.
    #[must_use]
    pub fn push(&mut self, chunk: &Bytes) -> Bytes {
        let mut out = Out::new(chunk);
        let mut at = 0;
        while at < chunk.len() {
            let piece = self.lines.take(&chunk[at..]);
            let next = at + piece.taken;
            self.piece(&mut out, at..next, piece.ends);
            at = next;
        }
        out.done()
    }

    fn piece(&mut self, out: &mut Out<'_>, span: std::ops::Range<usize>, ends: Ends) {
        match ends {
            Ends::Before if self.held.is_empty() && self.withheld => {}
            // The LF of a line that was let go, or of an event that passed.
            Ends::Before if self.held.is_empty() => out.pass(span),
            _ if self.passes => out.pass(span),
            _ => self.hold(out, span, ends),
        }
        if ends == Ends::Event {
            self.end_event(out);
        }
    }

    fn hold(&mut self, out: &mut Out<'_>, span: std::ops::Range<usize>, ends: Ends) {
        self.withheld = false;
        self.held.extend_from_slice(&out.chunk[span]);
        // A comment in front is no part of what may be withheld, and keeps a connection alive.
        if ends == Ends::Line && self.held[0] == b':' {
            return self.let_go(out);
        }
        if ends != Ends::Event && !self.may_be_usage() {
            self.let_go(out);
            self.passes = true;
        }
    }

    fn end_event(&mut self, out: &mut Out<'_>) {
        self.withheld = !self.passes && is_usage_only(&self.held);
        if self.withheld {
            self.held.clear();
        }
        self.let_go(out);
        self.passes = false;
    }

    fn let_go(&mut self, out: &mut Out<'_>) {
        out.insert(&self.held);
        self.held.clear();
        self.searched = 0;
    }

    /// What is still held when the stream ends without the blank line that ends an event.
    #[must_use]
    pub fn finish(self) -> Bytes {
        if is_usage_only(&self.held) { Bytes::new() } else { self.held.into() }
    }

    /// Whether the bytes held can still become an event with usage and no choices.
    fn may_be_usage(&mut self) -> bool {
        if self.held.len() > HELD_MAX {
            return false;
        }
        let mut lines = self.held.split(|byte| b"\r\n".contains(byte)).filter(|line| !line.is_empty());
        let data = lines.find(|line| !FIELDS.iter().any(|field| begins(line, field)));
        let Some(data) = data else { return true };
        let body = data.get(DATA.len()..).unwrap_or_default().iter().find(|byte| !byte.is_ascii_whitespace());
        // An unknown field, or data that is no object, such as `[DONE]`.
        if !begins(data, DATA) || body.is_some_and(|byte| *byte != b'{') {
            return false;
        }
        !self.finds_choice()
    }

    /// Whether a first choice has begun.
    fn finds_choice(&mut self) -> bool {
        let from = self.searched.saturating_sub(CHOICES.len());
        let Some(at) = memchr::memmem::find(&self.held[from..], CHOICES) else {
            self.searched = self.held.len();
            return false;
        };
        let mut rest = self.held[from + at + CHOICES.len()..].iter().filter(|byte| !byte.is_ascii_whitespace());
        // `searched` stays, so that a list cut here is looked at again.
        rest.next() == Some(&b':') && rest.next() == Some(&b'[') && rest.next().is_some_and(|byte| *byte != b']')
    }
}

const DATA: &[u8] = b"data:";
/// What may stand in an event beside its data; a line that begins with a colon is a comment.
const FIELDS: [&[u8]; 4] = [b"event:", b"id:", b"retry:", b":"];
const CHOICES: &[u8] = b"\"choices\"";

/// Whether a line is, or may become, one of this field.
fn begins(line: &[u8], field: &[u8]) -> bool {
    let known = line.len().min(field.len());
    line[..known] == field[..known]
}

/// Whether an event is a chunk with usage and without a choice.
fn is_usage_only(event: &[u8]) -> bool {
    let Ok(event) = std::str::from_utf8(event) else { return false };
    let data: String = event.split(['\r', '\n']).filter_map(|line| line.strip_prefix("data:")).collect();
    let Ok(chunk) = serde_json::from_str::<serde_json::Value>(&data) else { return false };
    let has_no_choice = chunk.get("choices").and_then(|choices| choices.as_array()).is_some_and(Vec::is_empty);
    has_no_choice && chunk.get("usage").is_some_and(serde_json::Value::is_object)
}

/// What passes of a chunk: a part of it, shared, or pieces put together.
struct Out<'c> {
    chunk: &'c Bytes,
    /// The part that passes, while nothing else does.
    part: std::ops::Range<usize>,
    joined: Option<Vec<u8>>,
}

impl<'c> Out<'c> {
    fn new(chunk: &'c Bytes) -> Self {
        Self { chunk, part: 0..0, joined: None }
    }

    fn pass(&mut self, span: std::ops::Range<usize>) {
        match &mut self.joined {
            Some(joined) => joined.extend_from_slice(&self.chunk[span]),
            None if self.part.is_empty() => self.part = span,
            None if self.part.end == span.start => self.part.end = span.end,
            None => {
                let mut joined = self.chunk[self.part.clone()].to_vec();
                joined.extend_from_slice(&self.chunk[span]);
                self.joined = Some(joined);
            }
        }
    }

    fn insert(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let part = self.part.clone();
        let joined = self.joined.get_or_insert_with(|| self.chunk[part].to_vec());
        joined.extend_from_slice(bytes);
    }

    fn done(self) -> Bytes {
        self.joined.map_or_else(|| self.chunk.slice(self.part), Bytes::from)
    }
}
