//! How long a text can be after NFKC normalisation.
//!
//! A tokenizer that normalises first can make 33 bytes, and so 33 tokens, out of the 3 bytes of U+FDFA: counted raw,
//! a prompt of such letters would pass the bound. The figure is never too low, and exact for text that NFKC leaves
//! alone; the text itself is never built.

use std::sync::LazyLock;

use unicode_normalization::{IsNormalized, UnicodeNormalization, char::canonical_combining_class, is_nfkc_quick};

/// Set for a character that NFKC may change, or that may change with the one before it.
const UNSTABLE: u8 = 0x80;

/// For each character of the first three planes, beyond which hardly anything is assigned, its length in bytes after
/// full decomposition, and whether it is unstable.
static PLANES: LazyLock<Vec<u8>> = LazyLock::new(|| (0..0x3_0000_u32).map(entry_of_code).collect());

/// An upper bound of the bytes of `text` after NFKC.
///
/// A character that NFKC leaves alone counts its own bytes. One that it may change counts the bytes of its full
/// decomposition, and so does the one before it, because a mark can move between them; composing never makes text
/// longer than that.
#[must_use]
pub fn text_bytes_nfkc(text: &str) -> usize {
    if text.is_ascii() {
        return text.len();
    }
    let table = PLANES.as_slice();
    let mut bytes = 0;
    // What the character before could still grow by, if this one is unstable.
    let mut growth = 0;
    let mut rest = text;
    loop {
        let ascii = ascii_prefix(rest.as_bytes());
        if ascii > 0 {
            bytes += ascii;
            // No letter of ASCII decomposes.
            growth = 0;
            rest = &rest[ascii..];
        }
        let mut chars = rest.chars();
        let Some(char) = chars.next() else { return bytes };
        rest = chars.as_str();
        let entry = table.get(char as usize).copied().unwrap_or_else(|| entry(char));
        let decomposed = usize::from(entry & !UNSTABLE);
        if entry & UNSTABLE == 0 {
            bytes += char.len_utf8();
            growth = decomposed.saturating_sub(char.len_utf8());
        } else {
            bytes += growth + decomposed.max(char.len_utf8());
            growth = 0;
        }
    }
}

/// How many bytes of ASCII `bytes` begins with, looked at eight at a time.
fn ascii_prefix(bytes: &[u8]) -> usize {
    let words = bytes.chunks_exact(8).take_while(|word| word.is_ascii()).count() * 8;
    words + bytes[words..].iter().take_while(|byte| byte.is_ascii()).count()
}

fn entry_of_code(code: u32) -> u8 {
    // A half of a surrogate pair is no character and never asked for.
    char::from_u32(code).map_or(0, entry)
}

fn entry(char: char) -> u8 {
    let decomposed: usize = std::iter::once(char).nfkd().map(char::len_utf8).sum();
    // The longest, of U+FDFA, is 33 bytes; were one longer than the seven bits, the table would be wrong.
    let decomposed = u8::try_from(decomposed).unwrap_or(u8::MAX);
    assert!(decomposed < UNSTABLE, "{char:?} decomposes to {decomposed} bytes");
    let is_left_alone = is_nfkc_quick(std::iter::once(char)) == IsNormalized::Yes;
    let is_stable = is_left_alone && canonical_combining_class(char) == 0;
    if is_stable { decomposed } else { decomposed | UNSTABLE }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn exact(text: &str) -> usize {
        text.nfkc().map(char::len_utf8).sum()
    }

    #[track_caller]
    fn check(text: &str, bytes: usize) {
        assert_eq!(text_bytes_nfkc(text), bytes, "{text:?}");
        assert!(bytes >= exact(text), "{text:?}");
    }

    #[test]
    fn text_that_nfkc_leaves_alone_counts_its_own_bytes() {
        check("", 0);
        check("plain ASCII, of any length at all", 33);
        check("déjà vu, Grüße, привет, 你好, 한국어, 🦀", "déjà vu, Grüße, привет, 你好, 한국어, 🦀".len());
    }

    #[test]
    fn what_grows_counts_grown() {
        check("\u{fdfa}", 33);
        check(&"\u{fdfa}".repeat(1000), 33_000);
        check("ﬁ", 3); // two letters of ASCII, but a tokenizer may not normalise at all
        check("a\u{fdfa}b", 35);
        // A dot below pushes the acute off its letter: 4 bytes become 5.
        let pushed = "á\u{0323}";
        assert_eq!((pushed.len(), exact(pushed)), (4, 5));
        check(pushed, 5);
    }

    #[test]
    fn no_character_is_counted_too_low_alone_or_between_others() {
        let changes = |char: &char| entry(*char) != u8::try_from(char.len_utf8()).unwrap();
        for char in (0..=0x0010_ffff).filter_map(char::from_u32).filter(changes) {
            for text in [format!("{char}"), format!("á{char}\u{0323}"), format!("\u{1100}{char}\u{11a8}")] {
                assert!(text_bytes_nfkc(&text) >= exact(&text), "{text:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn no_text_is_counted_too_low(text in "\\PC*", marks in "[a-zà-ÿ\u{0300}-\u{036f}\u{1100}-\u{11ff}\u{fb00}-\u{fdff}]*") {
            for text in [text, marks] {
                prop_assert!(text_bytes_nfkc(&text) >= exact(&text));
            }
        }
    }
}
