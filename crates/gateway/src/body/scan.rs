//! The scanner: one pass over the text, out comes an index of its values.
//!
//! It takes exactly the grammar of RFC 8259. What lenient parsers also take, such as comments, `NaN` or a comma too
//! many, is refused: two readers who differ about a body may differ about its price.

use memchr::memchr2;

use super::{BadBody, DEPTH_MAX, VALUES_MAX};

/// One value or key in the index.
#[derive(Clone, Copy, Debug)]
pub(super) struct Node {
    /// Its first byte.
    pub(super) start: u32,
    /// The byte after its last.
    pub(super) end: u32,
    /// The node after it and all it holds.
    pub(super) next: u32,
    pub(super) kind: Kind,
}

/// What a value is. An object's keys and values are nodes by turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Object,
    Array,
    /// A text whose bytes are its own.
    Plain,
    /// A text with escapes.
    Escaped,
    Number,
    Bool,
    Null,
}

/// The index of a text, in the order in which its values stand.
pub(super) fn scan(text: &str) -> Result<Vec<Node>, BadBody> {
    if u32::try_from(text.len()).is_err() {
        return Err(BadBody::TooManyValues);
    }
    let mut scanner = Scanner { bytes: text.as_bytes(), at: 0, nodes: Vec::new() };
    scanner.space();
    scanner.value(0)?;
    scanner.space();
    match scanner.peek() {
        None => Ok(scanner.nodes),
        Some(_) => Err(scanner.wants("nothing more")),
    }
}

struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
    nodes: Vec<Node>,
}

impl Scanner<'_> {
    fn value(&mut self, depth: usize) -> Result<(), BadBody> {
        match self.peek() {
            Some(b'{') => self.container(depth, Kind::Object, b'}', Self::member),
            Some(b'[') => self.container(depth, Kind::Array, b']', Self::value),
            Some(b'"') => self.string(),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word(b"true", Kind::Bool),
            Some(b'f') => self.word(b"false", Kind::Bool),
            Some(b'n') => self.word(b"null", Kind::Null),
            _ => Err(self.wants("a value")),
        }
    }

    /// An object or an array: entries with commas between them, and nothing after the last.
    fn container(
        &mut self,
        depth: usize,
        kind: Kind,
        close: u8,
        entry: fn(&mut Self, usize) -> Result<(), BadBody>,
    ) -> Result<(), BadBody> {
        if depth >= DEPTH_MAX {
            return Err(BadBody::TooDeep { at: self.at });
        }
        let node = self.open(kind)?;
        self.at += 1;
        self.space();
        if self.peek() != Some(close) {
            loop {
                entry(self, depth + 1)?;
                self.space();
                match self.peek() {
                    Some(b',') => self.at += 1,
                    Some(byte) if byte == close => break,
                    _ => return Err(self.wants("a comma or the end of a list")),
                }
                self.space();
            }
        }
        self.at += 1;
        self.close(node);
        Ok(())
    }

    fn member(&mut self, depth: usize) -> Result<(), BadBody> {
        if self.peek() != Some(b'"') {
            return Err(self.wants("the name of a member"));
        }
        self.string()?;
        self.space();
        if self.peek() != Some(b':') {
            return Err(self.wants("a colon"));
        }
        self.at += 1;
        self.space();
        self.value(depth)
    }

    fn string(&mut self) -> Result<(), BadBody> {
        let node = self.open(Kind::Plain)?;
        self.at += 1;
        loop {
            let rest = &self.bytes[self.at..];
            let Some(length) = memchr2(b'"', b'\\', rest) else {
                self.at = self.bytes.len();
                return Err(self.wants("the end of a text"));
            };
            // Without an early exit, so that the compiler can look at many bytes at once.
            if rest[..length].iter().fold(false, |bad, byte| bad | (*byte < 0x20)) {
                self.at += rest[..length].iter().position(|byte| *byte < 0x20).unwrap_or(0);
                return Err(self.wants("no bare control character"));
            }
            self.at += length;
            if rest[length] == b'"' {
                break;
            }
            self.nodes[node].kind = Kind::Escaped;
            self.escape()?;
        }
        self.at += 1;
        self.close(node);
        Ok(())
    }

    fn escape(&mut self) -> Result<(), BadBody> {
        self.at += 1;
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 1,
            Some(b'u') => {
                let digits = self.bytes.get(self.at + 1..self.at + 5);
                if !digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)) {
                    return Err(self.wants("four hexadecimal digits after \\u"));
                }
                self.at += 5;
            }
            _ => return Err(self.wants("a known escape")),
        }
        Ok(())
    }

    fn number(&mut self) -> Result<(), BadBody> {
        let node = self.open(Kind::Number)?;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek() {
            Some(b'0') => self.at += 1,
            _ => self.digits()?,
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        self.close(node);
        Ok(())
    }

    fn digits(&mut self) -> Result<(), BadBody> {
        let length = self.bytes[self.at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        if length == 0 {
            return Err(self.wants("a digit"));
        }
        self.at += length;
        Ok(())
    }

    fn word(&mut self, word: &[u8], kind: Kind) -> Result<(), BadBody> {
        if !self.bytes[self.at..].starts_with(word) {
            return Err(self.wants("a value"));
        }
        let node = self.open(kind)?;
        self.at += word.len();
        self.close(node);
        Ok(())
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn wants(&self, wanted: &'static str) -> BadBody {
        BadBody::NotJson { at: self.at, wanted }
    }

    fn open(&mut self, kind: Kind) -> Result<usize, BadBody> {
        let index = self.nodes.len();
        if index >= VALUES_MAX {
            return Err(BadBody::TooManyValues);
        }
        let start = narrow(self.at);
        self.nodes.push(Node { start, end: start, next: 0, kind });
        Ok(index)
    }

    fn close(&mut self, index: usize) {
        self.nodes[index].end = narrow(self.at);
        self.nodes[index].next = narrow(self.nodes.len());
    }
}

/// A place in a text that was measured before it was scanned.
fn narrow(place: usize) -> u32 {
    u32::try_from(place).expect("a text longer than u32 is not scanned")
}
