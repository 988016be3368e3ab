//! The script: directives in the user's text, each on a line of its own.

use serde_json::Value;

/// The most words that the `words:` lines of one script may ask for together: a prompt must not fill the memory.
const WORDS_MAX: u64 = 50_000;

/// What the user's text tells the rehearsal to do.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Script {
    pub(crate) say: Option<String>,
    pub(crate) tools: Vec<(String, Value)>,
    pub(crate) fail: Option<u16>,
    pub(crate) cut: Option<usize>,
    pub(crate) input: Option<u64>,
    pub(crate) output: Option<u64>,
    words: u64,
}

impl Script {
    /// Reads the directives of a text. A line that begins like one and cannot be read is no error of the caller's,
    /// whose prose may well begin so: the answer says how to write it.
    pub(crate) fn read(text: &str) -> Self {
        let mut script = Self::default();
        for line in text.lines().map(str::trim) {
            let (word, rest) = line.split_once(':').unwrap_or_default();
            if let Err(Unread { usage }) = script.direct(word, rest.trim()) {
                script.say_line(&format!("I cannot read the line `{line}`; write it like `{usage}`."));
            }
        }
        script
    }

    fn direct(&mut self, word: &str, rest: &str) -> Result<(), Unread> {
        match word {
            "say" => self.say_line(rest),
            "words" => self.say_words(rest).ok_or(Unread { usage: "words: 50" })?,
            "tool" => self.tools.push(read_tool(rest).ok_or(Unread { usage: "tool: NAME {\"key\": \"value\"}" })?),
            "fail" => self.fail = Some(read_status(rest).ok_or(Unread { usage: "fail: 529" })?),
            "cut" => self.cut = Some(rest.parse().map_err(|_| Unread { usage: "cut: 3" })?),
            "usage" => self.lie(rest).ok_or(Unread { usage: "usage: input=10 output=5" })?,
            _ => {}
        }
        Ok(())
    }

    fn say_words(&mut self, rest: &str) -> Option<()> {
        let count: u64 = rest.parse().ok().filter(|count| *count > 0)?;
        self.words = self.words.checked_add(count).filter(|words| *words <= WORDS_MAX)?;
        self.say_line(&(1..=count).map(|number| format!("word{number}")).collect::<Vec<_>>().join(" "));
        Some(())
    }

    fn say_line(&mut self, line: &str) {
        match &mut self.say {
            Some(said) => {
                said.push('\n');
                said.push_str(line);
            }
            None => self.say = Some(line.to_owned()),
        }
    }

    fn lie(&mut self, rest: &str) -> Option<()> {
        for part in rest.split_whitespace() {
            match part.split_once('=')? {
                ("input", count) => self.input = Some(count.parse().ok()?),
                ("output", count) => self.output = Some(count.parse().ok()?),
                _ => return None,
            }
        }
        Some(())
    }
}

/// A directive that cannot be read, and how it is written.
struct Unread {
    usage: &'static str,
}

fn read_tool(rest: &str) -> Option<(String, Value)> {
    let (name, input) = rest.split_once(char::is_whitespace).unwrap_or((rest, "{}"));
    let input: Value = serde_json::from_str(input).ok()?;
    (!name.is_empty() && input.is_object()).then(|| (name.to_owned(), input))
}

fn read_status(rest: &str) -> Option<u16> {
    rest.parse().ok().filter(|status| (400..=599).contains(status))
}
