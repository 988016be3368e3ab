//! What one answer told, once its bytes have been read.

use std::collections::BTreeMap;
use std::fmt;

use almoner_units::Usage;

use crate::{Faults, ReportedCost};

/// What one answer told, or has told so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// What is billed at the answer's own model.
    pub usage: Usage,
    /// What is billed at other models, such as an advisor's.
    pub other_models: Vec<(String, Usage)>,
    /// The provider's flat counts, where they leave out part of what is billed.
    pub top_level: Option<Usage>,
    /// Whether the answer carried usage at all.
    pub usage_present: bool,
    /// Whether the provider said that the answer was complete.
    pub finished: bool,
    /// The answer was cut: `usage.output` is only what had been told until then.
    pub output_lower_bound: bool,
    /// The model by its full name, where the answer names it.
    pub model: Option<String>,
    /// The provider's id of the answer.
    pub message_id: Option<String>,
    /// Why the answer ended, in the provider's word.
    pub stop_reason: Option<String>,
    /// The service tier that answered.
    pub service_tier: Option<String>,
    /// How fast it was made to answer, in the provider's word.
    pub speed: Option<String>,
    /// Where it was made, in the provider's word.
    pub region: Option<String>,
    /// The provider's own error, whether it came with a status or inside an answer that began well.
    pub error: Option<ProviderError>,
    /// Tools that the provider ran and bills by the request; `None` where it does not speak of them.
    pub server_tools: Option<ServerTools>,
    /// Web searches that stand in the answer itself, of a provider whose usage does not speak of them.
    pub searches_shown: u64,
    /// The part of the input that came from the provider's own tools.
    pub tool_use_prompt_tokens: Option<u64>,
    /// The part of the input that was audio.
    pub input_audio_tokens: Option<u64>,
    /// The part of what was read from a cache that was audio.
    pub cached_audio_tokens: Option<u64>,
    /// The part of the output that was audio, or pictures: no text, whose price does not hold for it.
    pub output_audio_tokens: Option<u64>,
    /// Cache writes came without their lifetime and were taken to live five minutes.
    pub cache_ttl_assumed: bool,
    /// What the upstream says the answer cost.
    pub reported_cost_usd: Option<ReportedCost>,
    /// How many bytes the answer had, once decoded.
    pub body_bytes: u64,
    /// What was wrong with the bytes or the numbers.
    pub faults: Faults,
}

/// Tools that the provider ran and bills by the request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServerTools {
    /// Web searches.
    pub web_search_requests: u64,
    /// Pages fetched.
    pub web_fetch_requests: u64,
}

impl ServerTools {
    /// The tools that were used at all, by the provider's name.
    #[must_use]
    pub fn used(self) -> BTreeMap<&'static str, u64> {
        [("web_search_requests", self.web_search_requests), ("web_fetch_requests", self.web_fetch_requests)]
            .into_iter()
            .filter(|(_, requests)| *requests > 0)
            .collect()
    }
}

/// An error in the provider's own words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProviderError {
    /// The kind of error, such as `overloaded_error`.
    pub kind: Option<String>,
    /// The code, such as `model_not_found` or 429.
    pub code: Option<ErrorCode>,
    /// The status by name, such as `NOT_FOUND`; only Gemini has one.
    pub status: Option<String>,
    /// The message.
    pub message: Option<String>,
}

/// A code, which some providers write as a number and some as a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ErrorCode {
    /// A number, such as 429.
    Number(i64),
    /// A word, such as `model_not_found`.
    Word(String),
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Word(word) => f.pad(word),
        }
    }
}
