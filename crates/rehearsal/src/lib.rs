//! The provider in the box: it answers the model named `rehearsal` from a script in the prompt, with exact usage, so
//! that a budget can be seen going down on a machine that has no provider at all.
//!
//! Pure: a request in, a whole answer out, and the same answer for the same request. It speaks Anthropic Messages,
//! `OpenAI` Chat Completions, Responses, Embeddings and old Completions, Gemini's generateContent and Ollama's own
//! routes, streamed or not, and the token counting of three of them, well enough for their unmodified clients.
//!
//! # What a call uses
//! - Input: a quarter of the bytes of every text in `system`, `instructions`, `messages` and `tools`, rounded up.
//!   Media count nothing, nor do names of members, types, roles and ids.
//! - Output: the words of the answer, once for each choice (`n`). A tool call is the words of its name and its input.
//! - Nothing is ever read from or written to a cache.
//! - `max_tokens`, `max_completion_tokens`, `max_output_tokens` and `maxOutputTokens` are honoured: the answer ends
//!   after that many words and says why.
//!
//! # The script
//! Lines of the last text that the user wrote, each on its own:
//!
//! | line | what happens |
//! |---|---|
//! | `say: TEXT` | answers TEXT; several lines make several lines |
//! | `words: N` | answers N words, at most 50,000 in all |
//! | `tool: NAME {…}` | calls that tool with that input; several lines are played one after another |
//! | `fail: 529` | fails with this status, in the dialect's own form |
//! | `cut: K` | a stream ends after K events, and always before it tells its usage |
//! | `usage: input=N output=N` | tells this usage, whatever the truth |
//!
//! After the last tool's result comes a text that quotes the result's first line. Without a script, a prompt that says
//! ``run `CMD` `` in front of a shell tool gets that command called; any other gets one friendly line.

mod anthropic;
mod chat;
mod fault;
mod gemini;
mod ollama;
mod play;
mod prompt;
mod reply;
mod responses;
mod script;
mod shell;
mod texts;
mod usage;

use almoner_units::PicoUsdPerToken;

pub use reply::{Framing, Reply};

use fault::Fault;
use play::Scene;
use prompt::Prompt;

/// The only model that the rehearsal answers.
pub const MODEL: &str = "rehearsal";

/// What a token of input pretends to cost: $3 for a million.
pub const INPUT_PRICE: PicoUsdPerToken = PicoUsdPerToken::new(3_000_000);

/// What a token of output pretends to cost: $15 for a million.
pub const OUTPUT_PRICE: PicoUsdPerToken = PicoUsdPerToken::new(15_000_000);

/// What is asked of the rehearsal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RehearsalRoute {
    /// `POST /v1/messages`.
    Messages,
    /// `POST /v1/messages/count_tokens`.
    CountTokens,
    /// `POST /v1/chat/completions`.
    ChatCompletions,
    /// `POST /v1/completions`.
    Completions,
    /// `POST /v1/embeddings`.
    Embeddings,
    /// `POST /v1/responses`.
    Responses,
    /// `POST /v1/responses/input_tokens`.
    InputTokens,
    /// `POST /v1beta/models/rehearsal:generateContent`, and `streamGenerateContent`, by how the stream shall lie in its
    /// bytes.
    GenerateContent(Option<Framing>),
    /// `POST /v1beta/models/rehearsal:countTokens`.
    CountContentTokens,
    /// `POST /api/chat`.
    OllamaChat,
    /// `POST /api/generate`.
    OllamaGenerate,
    /// `POST /api/embed`.
    OllamaEmbed,
}

impl RehearsalRoute {
    /// The route of a path to which calls are posted, with its query; `None` where there is none.
    #[must_use]
    pub fn of(path: &str) -> Option<Self> {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        Some(match path {
            "/v1/messages" => Self::Messages,
            "/v1/messages/count_tokens" => Self::CountTokens,
            "/v1/chat/completions" => Self::ChatCompletions,
            "/v1/completions" => Self::Completions,
            "/v1/embeddings" => Self::Embeddings,
            "/v1/responses" => Self::Responses,
            "/v1/responses/input_tokens" => Self::InputTokens,
            "/api/chat" => Self::OllamaChat,
            "/api/generate" => Self::OllamaGenerate,
            "/api/embed" => Self::OllamaEmbed,
            _ => return Self::of_gemini(path, query),
        })
    }

    fn of_gemini(path: &str, query: &str) -> Option<Self> {
        let model = ["/v1beta/models/", "/v1/models/"].iter().find_map(|start| path.strip_prefix(start))?;
        let is_sse = query.split('&').any(|pair| pair == "alt=sse");
        match model.split_once(':')? {
            (MODEL, "generateContent") => Some(Self::GenerateContent(None)),
            (MODEL, "streamGenerateContent") if is_sse => Some(Self::GenerateContent(Some(Framing::Events))),
            (MODEL, "streamGenerateContent") => Some(Self::GenerateContent(Some(Framing::Array))),
            (MODEL, "countTokens") => Some(Self::CountContentTokens),
            _ => None,
        }
    }
}

/// Answers one request. What is wrong with it becomes an answer too, in the form of its dialect.
#[must_use]
pub fn answer(route: RehearsalRoute, body: &[u8]) -> Reply {
    match rehearse(route, body) {
        Ok(reply) => reply,
        Err(fault) => match route {
            RehearsalRoute::Messages | RehearsalRoute::CountTokens => anthropic::error(&fault),
            RehearsalRoute::ChatCompletions
            | RehearsalRoute::Completions
            | RehearsalRoute::Embeddings
            | RehearsalRoute::Responses
            | RehearsalRoute::InputTokens => chat::error(&fault),
            RehearsalRoute::GenerateContent(_) | RehearsalRoute::CountContentTokens => gemini::error(&fault),
            RehearsalRoute::OllamaChat | RehearsalRoute::OllamaGenerate | RehearsalRoute::OllamaEmbed => {
                ollama::error(&fault)
            }
        },
    }
}

fn rehearse(route: RehearsalRoute, body: &[u8]) -> Result<Reply, Fault> {
    let prompt = Prompt::read(body, |request| match route {
        RehearsalRoute::GenerateContent(_) | RehearsalRoute::CountContentTokens => gemini::translate(&request),
        RehearsalRoute::Responses | RehearsalRoute::InputTokens => responses::translate(request),
        RehearsalRoute::Completions => texts::translate(request, "prompt"),
        RehearsalRoute::Embeddings => texts::translate(request, "input"),
        RehearsalRoute::OllamaChat | RehearsalRoute::OllamaGenerate | RehearsalRoute::OllamaEmbed => {
            ollama::translate(route, &request)
        }
        _ => request,
    })?;
    let scene = || Scene::play(&prompt);
    Ok(match route {
        RehearsalRoute::CountTokens => anthropic::count(prompt.input_tokens),
        RehearsalRoute::InputTokens => responses::count(prompt.input_tokens),
        RehearsalRoute::CountContentTokens => gemini::count(prompt.input_tokens),
        RehearsalRoute::Messages => anthropic::reply(&prompt, &scene()?),
        RehearsalRoute::ChatCompletions => chat::reply(&prompt, &scene()?),
        RehearsalRoute::Completions => texts::reply(&prompt, &scene()?),
        RehearsalRoute::Embeddings => texts::embeddings(&prompt),
        RehearsalRoute::Responses => responses::reply(&prompt, &scene()?),
        RehearsalRoute::GenerateContent(stream) => gemini::reply(&prompt, &scene()?, stream),
        RehearsalRoute::OllamaEmbed => ollama::vectors(&prompt, ollama::count(body)),
        RehearsalRoute::OllamaChat | RehearsalRoute::OllamaGenerate => ollama::reply(route, &prompt, &scene()?),
    })
}

#[cfg(test)]
mod tests;
