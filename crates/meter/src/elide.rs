//! Shortening the long strings of a JSON text as it streams by.
//!
//! A generated image makes an event of megabytes, and its usage stands in the same event: what is long about it is one
//! string that nobody here reads. Cutting strings keeps the JSON whole, so that its counts can still be read.

use memchr::{memchr, memchr2};

/// The most bytes kept of a run of plain characters in a string.
const RUN_MAX: usize = 4096;

/// Where in a text the next byte stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Elider {
    #[default]
    Structure,
    /// In a string, after so many plain characters in a row.
    Run(usize),
    Escape,
}

impl Elider {
    /// Puts what is kept of the next bytes into `kept`. Escapes stay whole, for their digits are a run's first ones.
    pub(crate) fn push(&mut self, mut bytes: &[u8], kept: &mut Vec<u8>) {
        while !bytes.is_empty() {
            let next = match self {
                Self::Structure => memchr(b'"', bytes),
                Self::Run(_) => memchr2(b'"', b'\\', bytes),
                Self::Escape => Some(0),
            };
            let (plain, rest) = bytes.split_at(next.unwrap_or(bytes.len()));
            kept.extend_from_slice(&plain[..self.keeps(plain)]);
            bytes = rest;
            if let [mark, rest @ ..] = rest {
                kept.push(*mark);
                self.pass(*mark);
                bytes = rest;
            }
        }
    }

    /// How much of a run's next bytes is kept; they are counted. A character that has begun is kept whole.
    fn keeps(&mut self, plain: &[u8]) -> usize {
        let Self::Run(seen) = self else { return plain.len() };
        let room = RUN_MAX.saturating_sub(*seen).min(plain.len());
        let is_open = *seen <= RUN_MAX;
        let begun = plain[room..].iter().take_while(|byte| is_open && is_continuation(**byte)).count();
        let is_cut = room + begun < plain.len();
        *seen = if is_cut { RUN_MAX + 1 } else { (*seen + room).min(RUN_MAX + 1) };
        room + begun
    }

    fn pass(&mut self, mark: u8) {
        *self = match (&self, mark) {
            (Self::Run(_), b'"') => Self::Structure,
            (Self::Run(_), _) => Self::Escape,
            (Self::Structure | Self::Escape, _) => Self::Run(0),
        };
    }
}

/// Whether a byte goes on with a character of UTF-8.
fn is_continuation(byte: u8) -> bool {
    byte & 0xC0 == 0x80
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elided(text: &str, size: usize) -> String {
        let (mut elider, mut kept) = (Elider::default(), Vec::new());
        text.as_bytes().chunks(size).for_each(|chunk| elider.push(chunk, &mut kept));
        String::from_utf8(kept).unwrap()
    }

    #[test]
    fn only_long_runs_are_cut_and_the_rest_stays_json() {
        let run = "x".repeat(RUN_MAX);
        let text = |run: &str| format!(r#"{{"a":"{run}\u00e9\"{run}\\","b":[1,"",{{"c":"d"}}]}}"#);
        for size in [1, 3, 4095, 4096, 4097, 100_000] {
            assert_eq!(elided(&text(&format!("{run}{run}")), size), text(&run));
            assert_eq!(elided(&text("x"), size), text("x"));
        }
    }

    #[test]
    fn a_character_is_never_cut_in_two() {
        for lead in 0..4 {
            let text = format!("\"{}{}\"", "x".repeat(lead), "\u{1F980}é".repeat(RUN_MAX));
            for size in [1, 2, 4095, 4096, 4097, 4098, 4099, 100_000] {
                let kept = elided(&text, size);
                assert_eq!(kept, elided(&text, text.len()), "{lead} by {size}");
                assert!((RUN_MAX..RUN_MAX + 6).contains(&kept.len()), "{}", kept.len());
            }
        }
    }
}
