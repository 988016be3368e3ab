//! The truth: every call that was accepted, and what it costs.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hyper::body::Bytes;
use serde_json::{Value, json};
use tokio::sync::watch;

/// What was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Anthropic Messages.
    Messages,
    /// Anthropic's token counting, which is free.
    CountTokens,
    /// `OpenAI` Chat Completions.
    Chat,
    /// `OpenAI` Responses.
    Responses,
    /// Gemini's generateContent, streamed or not.
    Gemini,
    /// Ollama's chat.
    Ollama,
    /// `OpenAI`'s old Completions.
    Completions,
    /// `OpenAI` Embeddings.
    Embeddings,
}

/// What became of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// It is under way.
    Open,
    /// The connection took the last byte that the plan had for it.
    Done,
    /// The caller left, or the plan let the connection die before an answer.
    Lost,
}

/// One call that was accepted.
#[derive(Clone, Debug)]
pub struct CallRecord {
    /// Its number, from 0, in the order of acceptance.
    pub number: u64,
    /// What was asked.
    pub dialect: Dialect,
    /// The model that was asked for.
    pub model: String,
    /// What the caller sent as `x-truth-tag`, to find its call again.
    pub tag: Option<String>,
    /// The credential that came with it: `x-api-key`, `x-goog-api-key`, or the bearer token.
    pub credential: Option<String>,
    /// Whether a stream was asked for.
    pub stream: bool,
    /// The cap on output of each choice.
    pub cap: u64,
    /// Tokens of input that were billed.
    pub input: u64,
    /// Tokens of output that were billed, of all choices.
    pub output: u64,
    /// What it cost, in pico-dollars.
    pub pico: u128,
    /// The status that was answered, or would have been.
    pub status: u16,
    /// What became of the answer.
    pub delivery: Delivery,
    /// The body of the request, where the settings keep bodies.
    pub request: Option<Bytes>,
    /// The body that the answer would have whole and unpacked, where the settings keep bodies.
    pub answer: Option<Bytes>,
}

impl CallRecord {
    /// What it cost in nano-dollars, rounded up.
    #[must_use]
    pub const fn nano(&self) -> u128 {
        self.pico.div_ceil(1_000)
    }
}

/// The sums of the truth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Calls that were billed.
    pub billed: u64,
    /// Calls that were refused or failed with the provider's own words, and cost nothing.
    pub unbilled: u64,
    /// Those of them that were more than may come in a minute.
    pub throttled: u64,
    /// Token counts that were answered.
    pub counts: u64,
    /// Requests on paths that do not exist.
    pub strays: u64,
    /// Billed calls whose answer is under way.
    pub open: u64,
    /// Tokens of input that were billed.
    pub input: u128,
    /// Tokens of output that were billed.
    pub output: u128,
    /// The bill in pico-dollars.
    pub pico: u128,
    /// The bill in nano-dollars, each call rounded up.
    pub nano: u128,
}

impl Totals {
    /// The totals as `GET /truth` tells them. What may not fit a float is text.
    #[must_use]
    pub fn json(&self) -> Value {
        json!({
            "billed": self.billed,
            "unbilled": self.unbilled,
            "throttled": self.throttled,
            "counts": self.counts,
            "strays": self.strays,
            "open": self.open,
            "input_tokens": self.input.to_string(),
            "output_tokens": self.output.to_string(),
            "bill_pico": self.pico.to_string(),
            "bill_nano": self.nano.to_string(),
        })
    }
}

#[derive(Debug, Default)]
struct Pages {
    calls: Vec<CallRecord>,
    totals: Totals,
}

/// The book that everybody who serves a call shares.
#[derive(Clone, Debug)]
pub(super) struct Book {
    pages: Arc<Mutex<Pages>>,
    news: watch::Sender<Totals>,
}

impl Book {
    pub(super) fn new() -> Self {
        Self { pages: Arc::default(), news: watch::Sender::new(Totals::default()) }
    }

    /// Bills a call. What it returns waits for the end of its answer.
    pub(super) fn bill(&self, write: impl FnOnce(u64) -> CallRecord) -> Open {
        let mut pages = self.pages();
        let number = u64::try_from(pages.calls.len()).unwrap_or(u64::MAX);
        let call = write(number);
        let totals = &mut pages.totals;
        totals.billed += 1;
        totals.open += 1;
        totals.input += u128::from(call.input);
        totals.output += u128::from(call.output);
        totals.pico += call.pico;
        totals.nano += call.nano();
        pages.calls.push(call);
        self.news.send_replace(pages.totals);
        Open { book: self.clone(), number, delivery: Delivery::Lost }
    }

    /// Counts something that costs nothing.
    pub(super) fn count(&self, count: impl FnOnce(&mut Totals)) {
        let mut pages = self.pages();
        count(&mut pages.totals);
        self.news.send_replace(pages.totals);
    }

    pub(super) fn totals(&self) -> Totals {
        self.pages().totals
    }

    pub(super) fn calls(&self) -> Vec<CallRecord> {
        self.pages().calls.clone()
    }

    pub(super) fn news(&self) -> watch::Receiver<Totals> {
        self.news.subscribe()
    }

    fn close(&self, number: u64, delivery: Delivery) {
        let mut pages = self.pages();
        pages.totals.open -= 1;
        if let Some(call) = usize::try_from(number).ok().and_then(|number| pages.calls.get_mut(number)) {
            call.delivery = delivery;
        }
        self.news.send_replace(pages.totals);
    }

    /// A panic while the book is open is a failed test already; the truth in it still stands.
    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A billed call whose answer is under way; dropped without [`Open::done`], it is lost.
pub(super) struct Open {
    book: Book,
    number: u64,
    delivery: Delivery,
}

impl Open {
    pub(super) fn done(mut self) {
        self.delivery = Delivery::Done;
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.book.close(self.number, self.delivery);
    }
}
