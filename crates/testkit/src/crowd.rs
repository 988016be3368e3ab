//! A crowd of callers: each makes one call after the other, in several dialects, streaming and not, and some hang up.

use std::net::SocketAddr;

use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::{Answer, Dice, NoAnswer, Patience, Post};

/// What the callers do.
#[derive(Clone, Copy, Debug)]
pub struct Habits {
    /// How many they are.
    pub callers: u64,
    /// From where their dice begin.
    pub seed: u64,
    /// The caps on output that they ask for.
    pub caps: &'static [u64],
    /// Of eight calls, how many get all the output that their cap allows; the others get less.
    pub at_cap: u64,
}

/// What the callers met.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Calls that were begun.
    pub calls: u64,
    /// Answers of status 200 that came to their end.
    pub answered: u64,
    /// Calls on which the caller hung up.
    pub left: u64,
    /// Answers of which the server said that their call went on elsewhere.
    pub rerouted: u64,
    /// Answers of which the server said that their call was tried again.
    pub tried_again: u64,
    /// Answers that said to come back later.
    pub slow_downs: u64,
    /// Answers that said that there is no money.
    pub no_money: u64,
    /// Other answers, which the provider's faults bring about.
    pub faults: u64,
    /// Calls that ended without an answer, or in the middle of one.
    pub broken: u64,
    /// The first answer that said that there is no money.
    pub first_no_money: Option<Value>,
}

/// A crowd; it goes home when it is dropped.
#[derive(Debug)]
pub struct Crowd {
    target: watch::Sender<Option<SocketAddr>>,
    tally: watch::Sender<Tally>,
    _callers: JoinSet<()>,
}

impl Crowd {
    /// Gathers a crowd, which waits to be told where to call.
    #[must_use]
    pub fn gather(habits: Habits) -> Self {
        let (target, tally) = (watch::Sender::new(None), watch::Sender::new(Tally::default()));
        let mut callers = JoinSet::new();
        for number in 0..habits.callers {
            let caller = Caller {
                habits,
                dice: Dice::of(habits.seed, number),
                target: target.subscribe(),
                tally: tally.clone(),
            };
            callers.spawn(caller.call_on());
        }
        Self { target, tally, _callers: callers }
    }

    /// Where to call from now on; `None` where nobody is there.
    pub fn call(&self, addr: Option<SocketAddr>) {
        self.target.send_replace(addr);
    }

    /// What was met so far.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.tally.borrow().clone()
    }

    /// Waits until so much was met.
    ///
    /// # Panics
    /// Never: the tally lives as long as the crowd.
    pub async fn wait_until(&self, so: impl FnMut(&Tally) -> bool) -> Tally {
        self.tally.subscribe().wait_for(so).await.expect("the tally outlives its readers").clone()
    }
}

struct Caller {
    habits: Habits,
    dice: Dice,
    target: watch::Receiver<Option<SocketAddr>>,
    tally: watch::Sender<Tally>,
}

impl Caller {
    async fn call_on(mut self) {
        let mut given_up = None;
        loop {
            // Who was told that there is no money, or found nobody, comes back when there is another to ask.
            let elsewhere = |addr: &Option<SocketAddr>| addr.is_some() && *addr != given_up;
            let Ok(Some(addr)) = self.target.wait_for(elsewhere).await.map(|addr| *addr) else { return };
            let call = self.roll();
            self.tally.send_modify(|tally| tally.calls += 1);
            let met = call.send(addr).await;
            given_up = is_over(&met).then_some(addr);
            self.tally.send_modify(|tally| tally.add(met));
        }
    }

    fn roll(&mut self) -> Call {
        let dice = &mut self.dice;
        let patience = match dice.up_to(7) {
            0 => Patience::None,
            1 | 2 => Patience::Bytes(usize::try_from(dice.up_to(3_000)).unwrap_or(0)),
            _ => Patience::ToTheEnd,
        };
        let text = "word ".repeat(usize::try_from(dice.up_to(60) + 1).unwrap_or(1));
        let body = json!({
            "model": "truth-model",
            "max_tokens": *dice.pick(self.habits.caps),
            "stream": dice.once_in(2),
            "messages": [{ "role": "user", "content": text }],
        });
        let (path, body) = match dice.up_to(6) {
            0 => ("/v1/messages", body),
            1 => ("/v1/chat/completions", if dice.once_in(2) { asking_for_usage(body) } else { body }),
            2 => gemini(&body, dice.once_in(2)),
            3 => ("/v1/responses", responses(body)),
            4 => ("/v1/completions", completions(body)),
            5 => {
                ("/v1/embeddings", json!({ "model": "truth-model", "input": ["word", body["messages"][0]["content"]] }))
            }
            _ => ("/api/chat", ollama(body)),
        };
        let at_cap = dice.up_to(7) < self.habits.at_cap;
        let output = if at_cap { "cap".to_owned() } else { dice.up_to(200).to_string() };
        Call { path, body: body.to_string().into_bytes(), patience, output }
    }
}

fn asking_for_usage(mut body: Value) -> Value {
    body["stream_options"] = json!({ "include_usage": true });
    body
}

/// The same call in the words of Responses.
fn responses(mut body: Value) -> Value {
    for (name, theirs) in [("messages", "input"), ("max_tokens", "max_output_tokens")] {
        body[theirs] = body[name].take();
        body.as_object_mut().and_then(|body| body.remove(name));
    }
    body
}

/// The same call in the words of the old Completions.
fn completions(mut body: Value) -> Value {
    body["prompt"] = body["messages"][0]["content"].take();
    body.as_object_mut().and_then(|body| body.remove("messages"));
    body
}

/// The same call in Gemini's words, its stream in either form.
fn gemini(body: &Value, as_events: bool) -> (&'static str, Value) {
    let path = match (body["stream"] == true, as_events) {
        (true, true) => "/v1beta/models/truth-model:streamGenerateContent?alt=sse",
        (true, false) => "/v1/models/truth-model:streamGenerateContent",
        (false, _) => "/v1beta/models/truth-model:generateContent",
    };
    let contents = json!([{ "role": "user", "parts": [{ "text": body["messages"][0]["content"] }] }]);
    (path, json!({ "contents": contents, "generationConfig": { "maxOutputTokens": body["max_tokens"] } }))
}

/// The same call in Ollama's words.
fn ollama(mut body: Value) -> Value {
    body["options"] = json!({ "num_predict": body["max_tokens"] });
    body.as_object_mut().and_then(|body| body.remove("max_tokens"));
    body
}

/// Whether there is no use in calling there again.
fn is_over(met: &Result<Answer, NoAnswer>) -> bool {
    match met {
        Ok(answer) => is_no_money(answer),
        Err(fault) => matches!(fault, NoAnswer::Unreachable(_)),
    }
}

/// Whether an answer says that there is no money, which each dialect says with a status of its own.
fn is_no_money(answer: &Answer) -> bool {
    ["no_money", "cut_short", "stopped"].into_iter().any(|code| answer.header("x-almoner-code") == Some(code))
}

struct Call {
    path: &'static str,
    body: Vec<u8>,
    patience: Patience,
    /// How much the provider puts out.
    output: String,
}

impl Call {
    async fn send(&self, addr: SocketAddr) -> Result<Answer, NoAnswer> {
        let credential = match self.path {
            "/v1/messages" => ("x-api-key", "truth"),
            path if path.contains("/models/") => ("x-goog-api-key", "truth"),
            _ => ("authorization", "Bearer truth"),
        };
        let headers = [credential, ("anthropic-version", "2023-06-01"), ("x-truth-output", &self.output)];
        Post { path: self.path, headers: &headers, body: &self.body, patience: self.patience }.send(addr).await
    }
}

impl Tally {
    fn add(&mut self, met: Result<Answer, NoAnswer>) {
        match met {
            Ok(answer) => self.add_answer(&answer),
            Err(NoAnswer::Left) => self.left += 1,
            Err(_) => self.broken += 1,
        }
    }

    fn add_answer(&mut self, answer: &Answer) {
        self.rerouted += u64::from(answer.header("x-almoner-rerouted").is_some());
        self.tried_again += u64::from(answer.header("x-almoner-attempts").is_some());
        let count = match (answer.status, answer.complete) {
            (200, true) => &mut self.answered,
            (200, false) => &mut self.left,
            _ if is_no_money(answer) => &mut self.no_money,
            (429, _) => &mut self.slow_downs,
            _ => &mut self.faults,
        };
        *count += 1;
        // A refusal that its caller did not read to its end tells nothing.
        if is_no_money(answer) && answer.complete && self.first_no_money.is_none() {
            self.first_no_money = Some(answer.json());
        }
    }
}
