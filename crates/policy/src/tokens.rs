//! Counts tokens here, for models whose tokenizer is published: OpenAI's, up to GPT-5.4.
//!
//! It promises to stop when it is told to, after at most 4 KB more: text made for it can be a hundred times slower
//! than prose. It leaves out tools, images and documents, whose hidden form only the provider knows. A vocabulary is
//! loaded when it is first needed.
//!
//! One character over and over is the slowest of all, because it is one word to the vocabulary. So long runs are
//! shortened by blocks, and a block is counted once; the ends of a run, where it meets other text, stay as they are.

use std::borrow::Cow;
use std::collections::BTreeMap;

use tiktoken::CoreBpe;

/// The most bytes counted between two questions whether to go on.
const SLICE: usize = 4_096;
/// How much of a run is taken out at once. No token of a run is longer.
const BLOCK: usize = 128;
/// What each message costs beside its text. Source: OpenAI's cookbook, "How to count tokens with tiktoken".
const PER_MESSAGE: u64 = 3;
/// What the beginning of the answer costs.
const PRIMING: u64 = 3;
/// What it costs from GPT-5 on, by recorded calls; the recipe is older.
const PRIMING_GPT_5: u64 = 2;
/// What a message's name costs beside its text.
const PER_NAME: u64 = 1;

/// A published vocabulary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// GPT-4o, GPT-4.1, the o series and GPT-5.
    O200kBase,
    /// GPT-4, GPT-3.5 and the embeddings.
    Cl100kBase,
}

/// The models whose encoding is known, by the beginning of their names, the longer first.
const KNOWN: [(&str, Encoding); 14] = [
    ("gpt-4o", Encoding::O200kBase),
    ("gpt-4.1", Encoding::O200kBase),
    ("gpt-4", Encoding::Cl100kBase),
    ("gpt-3.5-turbo", Encoding::Cl100kBase),
    ("gpt-35-turbo", Encoding::Cl100kBase),
    ("text-embedding-3-", Encoding::Cl100kBase),
    ("text-embedding-ada-002", Encoding::Cl100kBase),
    ("gpt-5.1", Encoding::O200kBase),
    ("gpt-5.2", Encoding::O200kBase),
    ("gpt-5.4", Encoding::O200kBase),
    ("gpt-5", Encoding::O200kBase),
    ("o1", Encoding::O200kBase),
    ("o3", Encoding::O200kBase),
    ("o4-mini", Encoding::O200kBase),
];

/// The encoding of a model; `None` where it is not published.
#[must_use]
pub fn encoding_for(model: &str) -> Option<Encoding> {
    // A name ends there or goes on with a date or a size, and `gpt-5` is not the beginning of `gpt-5.6`.
    let is_of = |family: &str| {
        let rest = model.strip_prefix(family)?;
        (family.ends_with('-') || rest.is_empty() || rest.starts_with('-')).then_some(())
    };
    KNOWN.iter().find_map(|(family, encoding)| is_of(family).map(|()| *encoding))
}

impl Encoding {
    fn vocabulary(self) -> Option<&'static CoreBpe> {
        tiktoken::get_encoding(match self {
            Self::O200kBase => "o200k_base",
            Self::Cl100kBase => "cl100k_base",
        })
    }
}

/// A message of plain text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// Who speaks.
    pub role: &'a str,
    /// What is said.
    pub text: &'a str,
    /// The name of the speaker, where the request gives one.
    pub name: Option<&'a str>,
}

/// The tokens of a conversation of plain text, by OpenAI's published recipe; `None` where the model's tokenizer is not
/// published, or when told to stop.
pub fn count_chat(model: &str, messages: &[Message<'_>], keep_going: &mut dyn FnMut() -> bool) -> Option<u64> {
    let encoding = encoding_for(model)?;
    let mut tokens = if model.starts_with("gpt-5") { PRIMING_GPT_5 } else { PRIMING };
    for message in messages {
        tokens += PER_MESSAGE + count_text(encoding, message.role, keep_going)?;
        tokens += count_text(encoding, message.text, keep_going)?;
        if let Some(name) = message.name {
            tokens += PER_NAME + count_text(encoding, name, keep_going)?;
        }
    }
    Some(tokens)
}

/// The tokens of a text; `None` when told to stop. `keep_going` is asked before each slice of at most 4 KB.
pub fn count_text(encoding: Encoding, text: &str, keep_going: &mut dyn FnMut() -> bool) -> Option<u64> {
    let vocabulary = encoding.vocabulary()?;
    let folded = Folded::of(text);
    let mut tokens = 0;
    for (byte, blocks) in &folded.blocks {
        let one = vocabulary.count(&char::from(*byte).to_string().repeat(BLOCK));
        tokens += blocks.checked_mul(u64::try_from(one).ok()?)?;
    }
    let mut rest = &*folded.text;
    while !rest.is_empty() {
        if !keep_going() {
            return None;
        }
        let (slice, after) = rest.split_at(cut(rest));
        tokens += u64::try_from(vocabulary.count(slice)).ok()?;
        rest = after;
    }
    Some(tokens)
}

/// A text with its long runs shortened.
struct Folded<'t> {
    text: Cow<'t, str>,
    /// How many blocks of which ASCII character were taken out.
    blocks: BTreeMap<u8, u64>,
}

impl<'t> Folded<'t> {
    /// Takes out each block of one character that stands before another of the same.
    fn of(text: &'t str) -> Self {
        let uniform = |block: &[u8]| {
            let first = block[0];
            (first.is_ascii() && block.iter().all(|byte| *byte == first)).then_some(first)
        };
        let each: Vec<Option<u8>> = text.as_bytes().chunks_exact(BLOCK).map(uniform).collect();
        let mut folded = Self { text: Cow::Borrowed(text), blocks: BTreeMap::new() };
        let mut kept_from = 0;
        for (at, pair) in each.windows(2).enumerate() {
            if let [Some(byte), next] = pair
                && Some(*byte) == *next
            {
                folded.keep(text, kept_from..at * BLOCK);
                kept_from = (at + 1) * BLOCK;
                *folded.blocks.entry(*byte).or_default() += 1;
            }
        }
        if kept_from > 0 {
            folded.text.to_mut().push_str(&text[kept_from..]);
        }
        folded
    }

    fn keep(&mut self, text: &str, part: std::ops::Range<usize>) {
        if self.blocks.is_empty() {
            self.text = Cow::Owned(String::new());
        }
        self.text.to_mut().push_str(&text[part]);
    }
}

/// Where to cut the first slice off a text: between a letter or digit and white space, where no token can reach
/// across; where there is no such place, at the last whole character.
fn cut(text: &str) -> usize {
    if text.len() <= SLICE {
        return text.len();
    }
    let end = text.floor_char_boundary(SLICE);
    let bytes = text.as_bytes();
    let is_between = |at: &usize| bytes[at - 1].is_ascii_alphanumeric() && matches!(bytes[*at], b' ' | b'\n');
    (SLICE / 2..end).rev().find(is_between).unwrap_or(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(text: &str) -> u64 {
        count_text(Encoding::O200kBase, text, &mut || true).unwrap()
    }

    fn whole(text: &str) -> u64 {
        u64::try_from(Encoding::O200kBase.vocabulary().unwrap().count(text)).unwrap()
    }

    #[test]
    fn only_models_with_a_published_tokenizer_are_known() {
        let (o200k, cl100k) = (Some(Encoding::O200kBase), Some(Encoding::Cl100kBase));
        for (model, encoding) in [
            ("gpt-4o-mini-2024-07-18", o200k),
            ("gpt-4.1", o200k),
            ("gpt-5", o200k),
            ("gpt-5-nano", o200k),
            ("gpt-5.4-2026-03-05", o200k),
            ("o3-mini", o200k),
            ("gpt-4-0613", cl100k),
            ("text-embedding-3-small", cl100k),
            ("gpt-5.6", None),
            ("gpt-6-sol", None),
            ("gpt-4om", None),
            ("claude-opus-5", None),
            ("", None),
        ] {
            assert_eq!(encoding_for(model), encoding, "{model}");
        }
    }

    #[test]
    fn slices_count_what_the_whole_counts() {
        let prose = "The quick brown fox jumps over 13 lazy dogs; it isn't tired.\n\n".repeat(500);
        let code = "fn main() {\n    let x: Vec<u64> = (0..10).map(|n| n * 2).collect();\n}\n".repeat(300);
        let russian = "Съешь же ещё этих мягких французских булок, да выпей чаю. ".repeat(300);
        for text in ["", "hello", &prose, &code] {
            assert_eq!(count(text), whole(text));
        }
        for text in [russian, "aGVsbG8gd29ybGQ".repeat(2_000)] {
            let (ours, exact) = (count(&text), whole(&text));
            assert!(ours.abs_diff(exact) * 100 <= exact, "{ours} of {exact}");
        }
    }

    /// A run of each ASCII character, between other text and alone, of every length to a block.
    #[test]
    fn a_run_is_never_counted_below_what_the_vocabulary_counts() {
        let check = |encoding: Encoding, text: &str| {
            let exact = u64::try_from(encoding.vocabulary().unwrap().count(text)).unwrap();
            let ours = count_text(encoding, text, &mut || true).unwrap();
            // Counted by blocks, each may end in a token that a longer run fills up.
            let blocks = u64::try_from(text.len() / BLOCK).unwrap();
            assert!((exact..=exact + blocks).contains(&ours), "{encoding:?} {text:?}: {ours} for {exact}");
        };
        for encoding in [Encoding::O200kBase, Encoding::Cl100kBase] {
            for byte in 0..128_u8 {
                let run = |length| char::from(byte).to_string().repeat(length);
                check(encoding, &format!("go{}on", run(700 + usize::from(byte))));
                check(encoding, &run(512));
            }
            for (before, after) in [("", ""), ("a", "b"), ("a\n", "\tb"), (".", " é"), (" ", "\r\n")] {
                for byte in [b' ', b'\n', b'-'] {
                    for length in (384..512).step_by(17) {
                        let run = char::from(byte).to_string().repeat(length);
                        check(encoding, &format!("{before}{run}{after}{run}."));
                    }
                }
            }
        }
    }

    #[test]
    fn a_text_is_folded_only_where_it_repeats() {
        let folded = |text: &str| {
            let Folded { text, blocks } = Folded::of(text);
            (matches!(text, Cow::Borrowed(_)), text.len(), blocks.values().sum::<u64>())
        };
        assert_eq!(folded(""), (true, 0, 0));
        assert_eq!(folded(&"word ".repeat(1_000)), (true, 5_000, 0));
        assert_eq!(folded(&"語".repeat(1_000)), (true, 3_000, 0));
        assert_eq!(folded(&" ".repeat(255)), (true, 255, 0));
        assert_eq!(folded(&" ".repeat(256)), (false, 128, 1));
        assert_eq!(folded(&format!("x{}y", " ".repeat(1_000))), (false, 1_002 - 5 * 128, 5));
        assert_eq!(folded(&format!("{}{}", "a".repeat(256), "b".repeat(256))), (false, 256, 2));
    }

    #[test]
    fn it_stops_when_told_to_within_a_slice() {
        let text = "word ".repeat(100_000);
        let mut asked = 0;
        let stopped = count_text(Encoding::Cl100kBase, &text, &mut || {
            asked += 1;
            asked <= 3
        });
        assert_eq!((stopped, asked), (None, 4));
    }

    #[test]
    fn a_conversation_costs_its_frames() {
        let hello = Message { role: "user", text: "hello", name: None };
        let chat = |messages: &[Message<'_>]| count_chat("gpt-4o", messages, &mut || true);
        assert_eq!(chat(&[]), Some(3));
        assert_eq!(chat(&[hello]), Some(3 + 3 + 1 + 1));
        assert_eq!(chat(&[Message { name: Some("bob"), ..hello }]), Some(3 + 3 + 1 + 1 + 1 + count("bob")));
        assert_eq!(count_chat("gpt-5", &[hello], &mut || true), Some(2 + 3 + 1 + 1));
        assert_eq!(count_chat("claude-opus-5", &[hello], &mut || true), None);
        assert_eq!(count_chat("gpt-5", &[hello], &mut || false), None);
    }

    #[test]
    fn a_cut_falls_between_words_or_at_a_whole_character() {
        assert_eq!(cut("short"), 5);
        assert_eq!(cut(&"x".repeat(9_000)), SLICE);
        assert_eq!(cut(&"語".repeat(9_000)), SLICE - 1);
        assert_eq!(cut(&"abc ".repeat(9_000)), SLICE - 1);
    }
}
