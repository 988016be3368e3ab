//! Counts tokens here, for models whose tokenizer is published: OpenAI's, up to GPT-5.4.
//!
//! It promises to stop when it is told to, after at most 4 KB more: text made for it can be a hundred times slower
//! than prose. It leaves out tools, images and documents, whose hidden form only the provider knows. A vocabulary is
//! loaded when it is first needed.

use tiktoken::CoreBpe;

/// The most bytes counted between two questions whether to go on.
const SLICE: usize = 4_096;
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
    let mut tokens = 0;
    let mut rest = text;
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
