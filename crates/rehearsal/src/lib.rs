//! The provider in the box: it answers the model named `rehearsal` from a script in the prompt, with exact usage, so
//! that a budget can be seen going down on a machine that has no provider at all.
//!
//! Pure: a request in, a whole answer out, and the same answer for the same request. It speaks Anthropic Messages, its
//! token counting, and `OpenAI` Chat Completions, streamed or not, well enough for their unmodified clients.
//!
//! # What a call uses
//! - Input: a quarter of the bytes of every text in `system`, `messages` and `tools`, rounded up. Media count nothing,
//!   nor do names of members, types, roles and ids.
//! - Output: the words of the answer, once for each choice (`n`). A tool call is the words of its name and its input.
//! - Nothing is ever read from or written to a cache.
//! - `max_tokens` and `max_completion_tokens` are honoured: the answer ends after that many words and says why.
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
mod play;
mod prompt;
mod reply;
mod script;
mod shell;
mod usage;

use almoner_units::PicoUsdPerToken;

pub use reply::Reply;

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
}

/// Answers one request. What is wrong with it becomes an answer too, in the form of its dialect.
#[must_use]
pub fn answer(route: RehearsalRoute, body: &[u8]) -> Reply {
    match rehearse(route, body) {
        Ok(reply) => reply,
        Err(fault) => match route {
            RehearsalRoute::Messages | RehearsalRoute::CountTokens => anthropic::error(&fault),
            RehearsalRoute::ChatCompletions => chat::error(&fault),
        },
    }
}

fn rehearse(route: RehearsalRoute, body: &[u8]) -> Result<Reply, Fault> {
    let prompt = Prompt::read(body)?;
    if route == RehearsalRoute::CountTokens {
        return Ok(anthropic::count(prompt.input_tokens));
    }
    let scene = Scene::play(&prompt)?;
    Ok(match route {
        RehearsalRoute::ChatCompletions => chat::reply(&prompt, &scene),
        _ => anthropic::reply(&prompt, &scene),
    })
}

#[cfg(test)]
mod tests;
