//! A stream of JSON objects inside one array, as Gemini answers without `alt=sse`: each object as soon as it closes.
//!
//! Only braces and strings are looked at; whether an object is JSON is for the parser to say.

use memchr::{memchr, memchr2, memchr3};

use crate::lines::{Bounded, Event};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Objects {
    object: Bounded,
    depth: u64,
    place: Place,
}

/// Where in an object the next byte stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    #[default]
    Structure,
    Text,
    Escape,
}

impl Objects {
    pub(crate) fn feed(&mut self, mut bytes: &[u8], take: &mut impl FnMut(Event<'_>)) {
        while !bytes.is_empty() {
            let used = if self.depth == 0 { self.skip_to_object(bytes) } else { self.advance(bytes, take) };
            bytes = &bytes[used..];
        }
    }

    pub(crate) fn finish(&mut self, take: &mut impl FnMut(Event<'_>)) {
        if self.depth > 0 {
            take(self.object.event());
        }
    }

    /// Passes over what stands between objects; the opening brace itself is left to `advance`.
    fn skip_to_object(&mut self, bytes: &[u8]) -> usize {
        let Some(at) = memchr(b'{', bytes) else { return bytes.len() };
        self.object.clear();
        self.object.push(b"{");
        self.depth = 1;
        at + 1
    }

    /// Takes the bytes up to and with the next one that means something here.
    fn advance(&mut self, bytes: &[u8], take: &mut impl FnMut(Event<'_>)) -> usize {
        let next = match self.place {
            Place::Structure => memchr3(b'{', b'}', b'"', bytes),
            Place::Text => memchr2(b'"', b'\\', bytes),
            Place::Escape => Some(0),
        };
        let used = next.map_or(bytes.len(), |at| at + 1);
        self.object.push(&bytes[..used]);
        if let Some(at) = next {
            self.step(bytes[at]);
        }
        if self.depth == 0 {
            take(self.object.event());
            self.object.clear();
        }
        used
    }

    fn step(&mut self, byte: u8) {
        (self.place, self.depth) = match (self.place, byte) {
            (Place::Structure, b'"') | (Place::Escape, _) => (Place::Text, self.depth),
            (Place::Structure, b'{') => (Place::Structure, self.depth.saturating_add(1)),
            (Place::Structure, _) => (Place::Structure, self.depth.saturating_sub(1)),
            (Place::Text, b'\\') => (Place::Escape, self.depth),
            (Place::Text, _) => (Place::Structure, self.depth),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_found_wherever_they_are_cut() {
        let text = r#"[{"a":{"b":"}\"]{"}},
            {"c":[1,{}]} , {"cut":"#;
        for size in 1..text.len() {
            let (mut objects, mut seen) = (Objects::default(), Vec::new());
            let mut take = |event: Event<'_>| seen.push(String::from_utf8_lossy(event.unwrap()).into_owned());
            for chunk in text.as_bytes().chunks(size) {
                objects.feed(chunk, &mut take);
            }
            objects.finish(&mut take);
            assert_eq!(seen, [r#"{"a":{"b":"}\"]{"}}"#, r#"{"c":[1,{}]}"#, r#"{"cut":"#]);
        }
    }
}
