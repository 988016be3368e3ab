//! Bytes into lines, ended by CR, LF or CRLF, with only the unfinished one kept.

use memchr::memchr2;

use crate::Fault;
use crate::elide::Elider;

/// The most bytes kept of one event or line. Of a longer one the strings are cut; one that is longer still is skipped.
pub const EVENT_MAX: usize = 1 << 20;

/// A reused buffer that grew past this gives its memory back.
const ROOM_KEPT: usize = 64 << 10;

/// One event on its way to a dialect, or why there is none.
pub(crate) type Event<'a> = Result<&'a [u8], Fault>;

/// Bytes that grow up to [`EVENT_MAX`]; from there on with their long strings cut, and past it again only known to be
/// too long.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bounded {
    bytes: Vec<u8>,
    elider: Option<Elider>,
    overflow: bool,
}

impl Bounded {
    pub(crate) fn push(&mut self, more: &[u8]) {
        if self.overflow {
            return;
        }
        if self.elider.is_none() && self.bytes.len() + more.len() > EVENT_MAX {
            self.begin_to_elide();
        }
        match &mut self.elider {
            Some(elider) => elider.push(more, &mut self.bytes),
            None => self.bytes.extend_from_slice(more),
        }
        if self.bytes.len() > EVENT_MAX {
            self.spoil();
        }
    }

    fn begin_to_elide(&mut self) {
        let whole = std::mem::take(&mut self.bytes);
        self.elider.get_or_insert_default().push(&whole, &mut self.bytes);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty() && !self.overflow
    }

    /// Marks the bytes as lost.
    pub(crate) fn spoil(&mut self) {
        *self = Self { overflow: true, ..Self::default() };
    }

    pub(crate) fn event(&self) -> Event<'_> {
        if self.overflow { Err(Fault::Oversize) } else { Ok(&self.bytes) }
    }

    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(ROOM_KEPT);
        self.elider = None;
        self.overflow = false;
    }
}

/// The line splitter. A line that lies whole in one chunk is never copied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lines {
    unfinished: Bounded,
    after_cr: bool,
}

impl Lines {
    pub(crate) fn feed(&mut self, mut bytes: &[u8], mut take: impl FnMut(Event<'_>)) {
        if let (true, [first, rest @ ..]) = (self.after_cr, bytes) {
            self.after_cr = false;
            bytes = if *first == b'\n' { rest } else { bytes };
        }
        while let Some(at) = memchr2(b'\n', b'\r', bytes) {
            self.end_line(&bytes[..at], &mut take);
            let is_cr = bytes[at] == b'\r';
            bytes = &bytes[at + 1..];
            self.after_cr = is_cr && bytes.is_empty();
            bytes = bytes.strip_prefix(b"\n").filter(|_| is_cr).unwrap_or(bytes);
        }
        self.unfinished.push(bytes);
    }

    /// Ends the last line where no line end does.
    pub(crate) fn finish(&mut self, mut take: impl FnMut(Event<'_>)) {
        if !self.unfinished.is_empty() {
            self.end_line(b"", &mut take);
        }
    }

    fn end_line(&mut self, end: &[u8], take: &mut impl FnMut(Event<'_>)) {
        if self.unfinished.is_empty() && end.len() <= EVENT_MAX {
            return take(Ok(end));
        }
        self.unfinished.push(end);
        take(self.unfinished.event());
        self.unfinished.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines_of(chunks: &[&[u8]]) -> Vec<String> {
        let (mut lines, mut seen) = (Lines::default(), Vec::new());
        let mut take = |line: Event<'_>| {
            seen.push(line.map_or("too long".to_owned(), |line| String::from_utf8_lossy(line).into_owned()));
        };
        for chunk in chunks {
            lines.feed(chunk, &mut take);
        }
        lines.finish(&mut take);
        seen
    }

    #[test]
    fn every_line_end_ends_a_line_once() {
        assert_eq!(lines_of(&[b"a\nb\rc\r\n\r\nd"]), ["a", "b", "c", "", "d"]);
        assert_eq!(lines_of(&[b"a\r", b"\n", b"b\r", b"c"]), ["a", "b", "c"]);
        assert_eq!(lines_of(&[b"a\r", b"", b"\nb"]), ["a", "b"]);
    }

    #[test]
    fn a_line_is_too_long_only_past_the_bound() {
        let fits = vec![b'x'; EVENT_MAX];
        assert_eq!(lines_of(&[&fits, b"\n"])[0].len(), EVENT_MAX);
        assert_eq!(lines_of(&[&fits, b"x\nnext\n"]), ["too long", "next"]);
        assert_eq!(lines_of(&[b"\"", &fits, b"\"\nnext\n"])[1], "next");
        assert!(lines_of(&[b"\"", &fits, b"\"\nnext\n"])[0].len() < EVENT_MAX);
        assert_eq!(lines_of(&[&[&fits[..], b"x\nnext\n"].concat()]), ["too long", "next"]);
    }
}
