//! What the rehearsal does with a prompt, before a dialect writes it down.

use serde_json::Value;

use crate::fault::Fault;
use crate::prompt::Prompt;
use crate::script::Script;
use crate::shell;
use crate::usage::{self, Tokens};

/// The longest quotation of a tool's first line, in characters.
const QUOTE_MAX: usize = 200;

/// What is answered.
pub(crate) struct Scene {
    pub(crate) act: Act,
    /// Whether the cap ended it.
    pub(crate) capped: bool,
    pub(crate) tokens: Tokens,
    /// After how many events a stream breaks off.
    pub(crate) cut: Option<usize>,
}

/// The content of an answer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Act {
    Text(String),
    Tool { name: String, input: Value },
}

impl Scene {
    pub(crate) fn play(prompt: &Prompt) -> Result<Self, Fault> {
        let script = Script::read(&prompt.text);
        if let Some(status) = script.fail {
            return Err(Fault::scripted(status));
        }
        let (act, words, capped) = cap(act(prompt, &script), prompt.cap);
        let truth = Tokens { input: prompt.input_tokens, output: words.saturating_mul(prompt.choices) };
        let tokens =
            Tokens { input: script.input.unwrap_or(truth.input), output: script.output.unwrap_or(truth.output) };
        Ok(Self { act, capped, tokens, cut: script.cut })
    }
}

fn act(prompt: &Prompt, script: &Script) -> Act {
    // Each answer since the script was one tool call, so their number says which line comes next.
    if let Some((name, input)) = script.tools.get(prompt.turns) {
        return call(prompt, name, input.clone());
    }
    let unscripted = script.tools.is_empty() && script.say.is_none() && prompt.turns == 0;
    match shell::asked(prompt) {
        Some((name, input)) if unscripted => Act::Tool { name, input },
        _ => Act::Text(text(prompt, script)),
    }
}

fn call(prompt: &Prompt, name: &str, input: Value) -> Act {
    if prompt.tool(name).is_some() {
        return Act::Tool { name: name.to_owned(), input };
    }
    let known: Vec<&str> = prompt.tools.iter().map(|tool| tool.name.as_str()).collect();
    let known = if known.is_empty() { "no tools".to_owned() } else { known.join(", ") };
    Act::Text(format!("I cannot call `{name}`: this request has {known}."))
}

fn text(prompt: &Prompt, script: &Script) -> String {
    let quote = prompt.tool_result.as_deref().map(|result| format!("The tool answered: {}", first_line(result)));
    let parts: Vec<String> = script.say.clone().into_iter().chain(quote).collect();
    if parts.is_empty() { GREETING.to_owned() } else { parts.join("\n") }
}

/// What is said to a prompt that has no script.
const GREETING: &str = "Hello from the rehearsal provider: nobody thought about this, nothing was paid, and the usage \
                        is exact.";

fn first_line(result: &str) -> String {
    let line = result.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("(nothing)");
    line.chars().take(QUOTE_MAX).collect()
}

/// The act as far as the cap lets it come, the words it has, and whether the cap ended it.
fn cap(act: Act, cap: Option<u64>) -> (Act, u64, bool) {
    let words = match &act {
        Act::Text(text) => usage::words(text),
        Act::Tool { name, input } => usage::words(name) + usage::words(&input.to_string()),
    };
    match (act, cap) {
        (act, None) => (act, words, false),
        (act, Some(cap)) if words <= cap => (act, words, false),
        (Act::Text(text), Some(cap)) => (Act::Text(usage::first_words(&text, cap).to_owned()), cap, true),
        // Half a call is none: a client must not run what was cut off.
        (Act::Tool { .. }, Some(cap)) => (Act::Text(String::new()), cap, true),
    }
}

/// The text in the pieces that a stream sends, which put together are the text again.
pub(crate) fn pieces(text: &str) -> Vec<&str> {
    const WORDS_IN_A_PIECE: usize = 8;
    let mut pieces = Vec::new();
    let (mut begin, mut words, mut inside) = (0, 0, false);
    for (at, letter) in text.char_indices() {
        let begins = !inside && !letter.is_whitespace();
        inside = !letter.is_whitespace();
        if begins && words == WORDS_IN_A_PIECE {
            pieces.push(&text[begin..at]);
            (begin, words) = (at, 0);
        }
        words += usize::from(begins);
    }
    pieces.push(&text[begin..]);
    pieces
}
