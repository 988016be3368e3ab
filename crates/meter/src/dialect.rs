//! The dialects: which file folds an event, which looks are worth it, which file does the arithmetic.

use std::fmt;
use std::str::FromStr;

use crate::sheet::Sheet;
use crate::told::Told;
use crate::{Reading, anthropic, chat, embeddings, gemini, interactions, ollama, responses};

/// The form in which a provider answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// Anthropic's Messages.
    AnthropicMessages,
    /// OpenAI's Chat Completions, and everybody who speaks it.
    OpenAiChat,
    /// OpenAI's Responses.
    OpenAiResponses,
    /// OpenAI's old Completions.
    OpenAiCompletions,
    /// OpenAI's Embeddings.
    OpenAiEmbeddings,
    /// Gemini's generateContent and streamGenerateContent.
    Gemini,
    /// Gemini's Interactions.
    GeminiInteractions,
    /// Ollama's chat, generate and embed.
    Ollama,
}

impl Dialect {
    /// Every dialect.
    pub const ALL: [Self; 8] = [
        Self::AnthropicMessages,
        Self::OpenAiChat,
        Self::OpenAiResponses,
        Self::OpenAiCompletions,
        Self::OpenAiEmbeddings,
        Self::Gemini,
        Self::GeminiInteractions,
        Self::Ollama,
    ];

    /// The name in config, messages and recorded exchanges.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AnthropicMessages => "anthropic",
            Self::OpenAiChat => "openai-chat",
            Self::OpenAiResponses => "openai-responses",
            Self::OpenAiCompletions => "openai-completions",
            Self::OpenAiEmbeddings => "openai-embeddings",
            Self::Gemini => "gemini",
            Self::GeminiInteractions => "gemini-interactions",
            Self::Ollama => "ollama",
        }
    }

    /// Folds one event into what is known, after a cheap look at whether it can matter.
    pub(crate) fn note(self, told: &mut Told, event: &[u8]) {
        if event.trim_ascii() == b"[DONE]" {
            told.finished |= matches!(self, Self::OpenAiChat | Self::OpenAiCompletions);
            return;
        }
        match self {
            Self::AnthropicMessages if anthropic::may_matter(event) => anthropic::note(told, event),
            Self::OpenAiChat | Self::OpenAiCompletions if chat::may_matter(told, event) => chat::note(told, event),
            Self::OpenAiResponses if responses::may_matter(event) => responses::note(told, event),
            Self::OpenAiEmbeddings => embeddings::note(told, event),
            Self::Gemini => gemini::note(told, event),
            Self::GeminiInteractions => interactions::note(told, event),
            Self::Ollama if ollama::may_matter(told, event) => ollama::note(told, event),
            _ => {}
        }
    }

    /// Does the arithmetic on the usage object that counts.
    pub(crate) fn count(self, told: &Told, sheet: &mut Sheet<'_>, reading: &mut Reading) {
        match self {
            Self::AnthropicMessages => anthropic::count(sheet, reading),
            Self::OpenAiChat | Self::OpenAiCompletions => chat::count(sheet, reading),
            Self::OpenAiResponses => responses::count(sheet, reading),
            Self::OpenAiEmbeddings => embeddings::count(sheet, reading),
            Self::Gemini => gemini::count(told, sheet, reading),
            Self::GeminiInteractions => interactions::count(sheet, reading),
            Self::Ollama => ollama::count(told, sheet, reading),
        }
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A name that no dialect has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "no dialect is named `{}`; the names are anthropic, openai-chat, openai-responses, openai-completions, \
     openai-embeddings, gemini, gemini-interactions and ollama",
    .0.escape_debug()
)]
pub struct UnknownDialect(pub String);

impl FromStr for Dialect {
    type Err = UnknownDialect;

    fn from_str(name: &str) -> Result<Self, UnknownDialect> {
        let known = Self::ALL.into_iter().find(|dialect| dialect.name() == name);
        known.ok_or_else(|| UnknownDialect(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_dialect_is_read_by_its_name() {
        for dialect in Dialect::ALL {
            assert_eq!(dialect.to_string().parse(), Ok(dialect));
        }
        assert!("bedrock".parse::<Dialect>().unwrap_err().to_string().starts_with("no dialect is named `bedrock`"));
    }
}
