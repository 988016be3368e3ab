//! What a request looks like to the bound: plain counts that a dialect reads out of a body.

use crate::{Price, Writes};

/// What a dialect reads out of a request body. Nothing here is JSON, and nothing is a guess: what a dialect cannot
/// measure it names in `opaque` or `unknown`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    /// Bytes of all text the model reads, with JSON's escapes undone: system, messages, tool calls and results, the
    /// names, descriptions and schemas of tools, output schemas, predicted output.
    pub text_bytes: u64,
    /// The bytes of the same text after NFKC, from [`crate::text_bytes_nfkc`].
    pub text_bytes_nfkc: u64,
    /// Messages, the system prompt included.
    pub messages: u64,
    /// How many inputs are read one by one, each in a window of its own, as embeddings are; 0 counts as 1.
    pub inputs: u64,
    /// Tools that the model may call, those of the provider included.
    pub tools: u64,
    /// Images in the body.
    pub images: u64,
    /// Pages of documents in the body whose pages were counted.
    pub pages: u64,
    /// Documents in the body whose pages were not counted.
    pub documents: u64,
    /// Pieces of sound in the body.
    pub sounds: u64,
    /// What stands for input that is not in the body, by name: file ids, URLs, previous responses, stored prompts.
    pub opaque: Vec<String>,
    /// The most tokens of output the caller asked for; for what has no output, such as embeddings, 0.
    pub max_output: Option<u64>,
    /// How many answers were asked for (`n`, `best_of`, `candidateCount`); 0 counts as 1.
    pub choices: u64,
    /// Tokens of output that may be billed beyond the cap, such as rejected predictions.
    pub output_beyond_cap: u64,
    /// Tokens of thinking asked for, which count as output.
    pub thinking: Option<u64>,
    /// The cache writes asked for; a time to live that is not known is an hour.
    pub writes: Writes,
    /// Whether a beta asks for a context window of a million tokens on a model that has a smaller one.
    pub long_context: bool,
    /// The service tier asked for, in the provider's word.
    pub service_tier: Option<String>,
    /// Whether Anthropic's fast mode was asked for.
    pub fast: bool,
    /// Whether inference in one region was asked for; `None`: nothing was said, and the account's default holds.
    pub regional: Option<bool>,
    /// From how many tokens of input on the provider writes a summary first, which is a sampling of its own; `None`:
    /// it was not asked to.
    pub compacts_at: Option<u64>,
    /// What of the request leaves no usage in its answer, by name: an answer that is fetched later, for one.
    pub unmetered: Vec<String>,
    /// The tools that the provider runs itself.
    pub server_tools: Vec<ServerTool>,
    /// Members of the body and names of betas that nobody here knows.
    pub unknown: Vec<String>,
}

impl Shape {
    /// The same request without what may have no bound: for budgets that count it and refuse nothing.
    #[must_use]
    pub fn without_the_boundless(&self) -> Self {
        let mut shape = self.clone();
        shape.server_tools.clear();
        shape.compacts_at = None;
        shape.unmetered.clear();
        shape.opaque.clear();
        (shape.images, shape.pages, shape.documents, shape.sounds) = (0, 0, 0, 0);
        (shape.service_tier, shape.fast) = (None, false);
        shape
    }
}

/// A tool that the provider runs itself, and after whose every use it samples again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerTool {
    /// Its name: `web_search`, with or without a date.
    pub name: String,
    /// How often it may be used in this call, an attempt beyond the limit of the body included; `None`: without limit.
    pub max_uses: Option<u64>,
    /// The price of another model that it brings in.
    pub brings: Option<Price>,
}
