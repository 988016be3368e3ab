//! The server around the truth.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use almoner_units::{NanoUsd, PicoUsdPerToken};
use flate2::Compression;
use flate2::write::GzEncoder;
use http_body_util::BodyExt;
use hyper::body::Bytes;
use hyper::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use hyper::{Method, Response, StatusCode, Uri};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::book::{Book, CallRecord, Delivery, Dialect, Open, Totals};
use super::plan::{CutEnd, Plan, PlanError};
use super::request::{Wanted, method};
use super::script::Script;
use super::{anthropic, chat, gemini, ollama, responses, texts};
use crate::Dice;
use crate::drip::{Drip, Ending};
use crate::hang_up::Slam;
use crate::http::{self, Answering, Asked, Body, Server};

/// What tokens cost, whatever the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prices {
    /// A token of input.
    pub input: PicoUsdPerToken,
    /// A token of output.
    pub output: PicoUsdPerToken,
}

impl Default for Prices {
    /// $3 and $15 for a million tokens.
    fn default() -> Self {
        Self { input: PicoUsdPerToken::new(3_000_000), output: PicoUsdPerToken::new(15_000_000) }
    }
}

/// How many requests and tokens are taken in any 60 seconds; `None`: any number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    /// Requests, those that are refused included.
    pub rpm: Option<usize>,
    /// Tokens: those that a request may come to, as OpenAI counts, in its dialects; else those that it does come to.
    pub tpm: Option<u64>,
}

/// What came in the last 60 seconds, to the millisecond.
#[derive(Debug, Default)]
struct Minute(std::collections::VecDeque<(Instant, u64)>);

impl Minute {
    /// Whether a request of so many tokens is taken.
    fn take(&mut self, rates: Rates, tokens: u64, now: Instant) -> bool {
        while self.0.front().is_some_and(|(then, _)| now.duration_since(*then) >= Duration::from_secs(60)) {
            self.0.pop_front();
        }
        let used: u64 = self.0.iter().map(|(_, tokens)| tokens).sum();
        let is_taken =
            rates.rpm.is_none_or(|rpm| self.0.len() < rpm) && rates.tpm.is_none_or(|tpm| used + tokens <= tpm);
        self.0.push_back((now, if is_taken { tokens } else { 0 }));
        is_taken
    }
}

/// How a provider starts.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// What tokens cost.
    pub prices: Prices,
    /// What is done with every call, before its own headers turn their knobs.
    pub plan: Plan,
    /// Where it is set, dice choose the plan of each call, from this seed and the call's number.
    pub seed: Option<u64>,
    /// Where it is set, one in so many calls is refused in the provider's own words, because it is too busy.
    pub busy_one_in: Option<u64>,
    /// What may come in any 60 seconds; the rest is answered with 429.
    pub rates: Rates,
    /// Whether records keep the bodies of requests and answers.
    pub keep_bodies: bool,
}

/// The provider; it ends when it is dropped.
#[derive(Debug)]
pub struct TruthProvider {
    server: Server,
    shared: Arc<Shared>,
}

impl TruthProvider {
    /// Starts on a free port of the loopback.
    ///
    /// # Errors
    /// Where there is no free port.
    pub async fn start(settings: Settings) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            settings,
            book: Book::new(),
            minute: Mutex::default(),
            gate: Semaphore::new(0),
            arrived: AtomicU64::new(0),
        });
        let serving = Arc::clone(&shared);
        let server =
            Server::start(move |asked, slam| -> Answering { Box::pin(serve(Arc::clone(&serving), asked, slam)) });
        Ok(Self { server: server.await?, shared })
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.server.addr()
    }

    /// What everybody owes, each call rounded up to the nano-dollar.
    ///
    /// # Panics
    /// Past 18.4 billion dollars, which no test spends.
    #[must_use]
    pub fn bill(&self) -> NanoUsd {
        NanoUsd::new(u64::try_from(self.totals().nano).expect("a test does not spend billions"))
    }

    /// The sums.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.shared.book.totals()
    }

    /// Every call that was billed, in the order of acceptance.
    #[must_use]
    pub fn calls(&self) -> Vec<CallRecord> {
        self.shared.book.calls()
    }

    /// Waits until the totals are so, and gives them.
    ///
    /// # Panics
    /// Never: the book lives as long as the provider.
    pub async fn wait_until(&self, so: impl FnMut(&Totals) -> bool) -> Totals {
        *self.shared.book.news().wait_for(so).await.expect("the book outlives its readers")
    }

    /// Waits until every connection that anybody made before has ended: from then on the bill of a caller that was
    /// killed is final.
    ///
    /// # Errors
    /// Where no connection can be made to ask.
    pub async fn quiet(&self) -> io::Result<()> {
        self.server.quiet().await
    }

    /// Lets so many calls go on that wait at the gate, now or later.
    pub fn release(&self, calls: usize) {
        self.shared.gate.add_permits(calls);
    }
}

#[derive(Debug)]
struct Shared {
    settings: Settings,
    book: Book,
    minute: Mutex<Minute>,
    gate: Semaphore,
    arrived: AtomicU64,
}

async fn serve(shared: Arc<Shared>, asked: Asked, slam: Slam) -> io::Result<Response<Body>> {
    let dialect = match (asked.method(), asked.uri().path()) {
        (&Method::POST, "/v1/messages") => Dialect::Messages,
        (&Method::POST, "/v1/messages/count_tokens") => Dialect::CountTokens,
        (&Method::POST, "/v1/chat/completions") => Dialect::Chat,
        (&Method::POST, "/v1/completions") => Dialect::Completions,
        (&Method::POST, "/v1/embeddings") => Dialect::Embeddings,
        (&Method::POST, "/v1/responses") => Dialect::Responses,
        (&Method::POST, "/api/chat") => Dialect::Ollama,
        (&Method::POST, path) if is_count(path) => return Ok(count(&shared, asked).await),
        (&Method::POST, path) if method(path).is_some() => Dialect::Gemini,
        (&Method::GET, "/truth") => return Ok(http::json(StatusCode::OK, &shared.book.totals().json())),
        (&Method::POST, "/release") => return Ok(release(&shared, asked.uri().query())),
        _ => return Ok(stray(&shared)),
    };
    let (head, body) = asked.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let call = Call { shared, dialect, uri: head.uri, headers: head.headers, slam };
    call.answer(body).await
}

/// Whether a path counts, in Gemini's words or in those of Responses.
fn is_count(path: &str) -> bool {
    path == "/v1/responses/input_tokens" || method(path).is_some_and(|(_, method)| method == "countTokens")
}

/// Answers a count, which costs nothing: far more than is billed, so that no bound leans on it.
async fn count(shared: &Shared, asked: Asked) -> Response<Body> {
    let length = asked.into_body().collect().await.map_or(0, |body| body.to_bytes().len());
    shared.book.count(|totals| totals.counts += 1);
    http::json(StatusCode::OK, &json!({ "totalTokens": length + 1_000, "input_tokens": length + 1_000 }))
}

fn stray(shared: &Shared) -> Response<Body> {
    shared.book.count(|totals| totals.strays += 1);
    http::json(StatusCode::NOT_FOUND, &json!({ "error": { "message": "this provider has no such route" } }))
}

fn release(shared: &Shared, query: Option<&str>) -> Response<Body> {
    let count = query.and_then(|query| query.strip_prefix("n=")?.parse().ok()).unwrap_or(1);
    // A semaphore panics past its own bound, which nobody means to reach.
    shared.gate.add_permits(count.min(1_000_000));
    http::json(StatusCode::OK, &json!({ "released": count }))
}

/// A call whose body has been read.
struct Call {
    shared: Arc<Shared>,
    dialect: Dialect,
    uri: Uri,
    headers: HeaderMap,
    slam: Slam,
}

impl Call {
    async fn answer(self, body: Bytes) -> io::Result<Response<Body>> {
        let wanted = match Wanted::read(self.dialect, &self.uri, &body) {
            Ok(wanted) => wanted,
            Err(message) => return Ok(self.refuse(400, &message)),
        };
        if self.dialect == Dialect::CountTokens {
            self.shared.book.count(|totals| totals.counts += 1);
            return Ok(http::json(StatusCode::OK, &anthropic::count(wanted.input)));
        }
        let plan = match self.plan() {
            Ok(plan) => plan,
            Err(fault) => return Ok(self.refuse(400, &fault.to_string())),
        };
        if !plan.is_billed() {
            self.shared.book.count(|totals| totals.unbilled += 1);
            self.wait(&plan).await;
            return if plan.reset { Err(self.slammed()) } else { Ok(self.fail(&plan)) };
        }
        if let Some(refused) = self.too_many(&wanted, &plan) {
            return Ok(refused);
        }
        let script = Script::new(&wanted, &plan, digest(&body));
        let pieces = self.pieces(&script);
        let open = self.bill(&wanted, &plan, &script, body, &pieces);
        self.wait(&plan).await;
        if plan.reset {
            return Err(self.slammed());
        }
        if plan.status.is_some() {
            open.done();
            return Ok(self.fail(&plan));
        }
        Ok(self.send(&wanted, &plan, pieces, open))
    }

    /// The plan of this call: the dice's or the settings', then what its headers say.
    fn plan(&self) -> Result<Plan, PlanError> {
        let settings = &self.shared.settings;
        // Which caller gets the n-th plan is chance, but which plans there are follows from the seed.
        let number = self.shared.arrived.fetch_add(1, Ordering::SeqCst);
        let thrown = settings.seed.map(|seed| Plan::roll(&mut Dice::of(seed, number)));
        let mut plan = thrown.unwrap_or_else(|| settings.plan.clone());
        for (name, value) in &self.headers {
            if let Some(knob) = name.as_str().strip_prefix(Plan::HEADER).filter(|knob| *knob != "tag") {
                plan.turn(knob, value.to_str().unwrap_or_default())?;
            }
        }
        if let Some(one_in) = settings.busy_one_in {
            plan.be_busy(&mut Dice::of(settings.seed.unwrap_or(0), number), one_in);
        }
        Ok(plan)
    }

    fn bill(&self, wanted: &Wanted, plan: &Plan, script: &Script<'_>, request: Bytes, pieces: &[Bytes]) -> Open {
        let output = script.made.saturating_mul(wanted.choices);
        let prices = self.shared.settings.prices;
        let pico = u128::from(wanted.input) * u128::from(prices.input.get())
            + u128::from(output) * u128::from(prices.output.get());
        let keep = self.shared.settings.keep_bodies;
        self.shared.book.bill(|number| CallRecord {
            number,
            dialect: self.dialect,
            model: wanted.model.clone(),
            tag: self.header("x-truth-tag"),
            credential: self.credential(),
            stream: wanted.streams(),
            cap: wanted.cap,
            input: wanted.input,
            output,
            pico,
            status: plan.status.unwrap_or(200),
            delivery: Delivery::Open,
            request: keep.then_some(request),
            answer: keep.then(|| pieces.concat().into()),
        })
    }

    fn header(&self, name: &str) -> Option<String> {
        Some(self.headers.get(name)?.to_str().ok()?.to_owned())
    }

    fn credential(&self) -> Option<String> {
        let bearer = || Some(self.header("authorization")?.strip_prefix("Bearer ")?.to_owned());
        self.header("x-api-key").or_else(|| self.header("x-goog-api-key")).or_else(bearer)
    }

    async fn wait(&self, plan: &Plan) {
        if plan.gate {
            // The gate is never closed, so there is always a permit to come.
            if let Ok(permit) = self.shared.gate.acquire().await {
                permit.forget();
            }
        }
        if plan.first_byte_ms > 0 {
            tokio::time::sleep(Duration::from_millis(plan.first_byte_ms)).await;
        }
    }

    fn slammed(&self) -> io::Error {
        self.slam.ask();
        io::Error::other("the plan resets this connection")
    }

    /// Refuses what is more than may come in a minute.
    fn too_many(&self, wanted: &Wanted, plan: &Plan) -> Option<Response<Body>> {
        let rates = self.shared.settings.rates;
        let made = || wanted.input + plan.output_under(wanted.cap) * wanted.choices;
        let tokens = match self.dialect {
            Dialect::Chat | Dialect::Responses => wanted.input.max(wanted.cap * wanted.choices),
            _ => made(),
        };
        let mut minute = self.shared.minute.lock().unwrap_or_else(PoisonError::into_inner);
        if minute.take(rates, tokens, Instant::now()) {
            return None;
        }
        self.shared.book.count(|totals| totals.throttled += 1);
        let mut refused = self.refuse(429, "more than may come in a minute");
        refused.headers_mut().insert(RETRY_AFTER, HeaderValue::from(60));
        Some(refused)
    }

    /// Refuses what no provider would bill.
    fn refuse(&self, status: u16, message: &str) -> Response<Body> {
        self.shared.book.count(|totals| totals.unbilled += 1);
        http::json(http::status(status), &self.error(status, message))
    }

    /// Fails as the plan says.
    fn fail(&self, plan: &Plan) -> Response<Body> {
        let status = plan.status.unwrap_or(500);
        let mut response = if plan.empty {
            http::whole(http::status(status), "text/html", "")
        } else {
            http::json(http::status(status), &self.error(status, "the plan says that this call fails"))
        };
        if let Some(seconds) = plan.retry_after {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }

    fn error(&self, status: u16, message: &str) -> Value {
        match self.dialect {
            Dialect::Chat | Dialect::Responses | Dialect::Completions | Dialect::Embeddings => {
                chat::error(status, message)
            }
            Dialect::Gemini => gemini::error(status, message),
            Dialect::Ollama => ollama::error(message),
            Dialect::Messages | Dialect::CountTokens => anthropic::error(status, message),
        }
    }

    fn pieces(&self, script: &Script<'_>) -> Vec<Bytes> {
        let stream = script.wanted.streams();
        let texts = match self.dialect {
            Dialect::Gemini if stream => gemini::events(script),
            Dialect::Gemini => vec![gemini::whole(script).to_string()],
            Dialect::Ollama if stream => ollama::lines(script),
            Dialect::Ollama => vec![ollama::whole(script).to_string()],
            Dialect::Chat if stream => chat::events(script),
            Dialect::Chat => vec![chat::whole(script).to_string()],
            Dialect::Completions if stream => texts::events(script),
            Dialect::Completions => vec![texts::whole(script).to_string()],
            Dialect::Embeddings => vec![texts::vectors(script).to_string()],
            Dialect::Responses if stream => responses::events(script),
            Dialect::Responses => vec![responses::whole(script).to_string()],
            _ if stream => anthropic::events(script),
            _ => vec![anthropic::whole(script).to_string()],
        };
        texts.into_iter().map(Bytes::from).collect()
    }

    fn send(&self, wanted: &Wanted, plan: &Plan, pieces: Vec<Bytes>, open: Open) -> Response<Body> {
        let pieces = if plan.gzip { pack(&pieces) } else { pieces };
        let length: usize = pieces.iter().map(Bytes::len).sum();
        let ending = match (plan.cut.filter(|cut| *cut < length), plan.cut_end) {
            (None, _) | (_, CutEnd::Clean) => Ending::Proper,
            (_, CutEnd::Close) => Ending::Close,
            (_, CutEnd::Reset) => Ending::Reset(self.slam.clone()),
        };
        let pieces = split(cut(pieces, plan.cut), plan.chunk_bytes);
        let drip = Drip::of(pieces).paced(Duration::from_millis(plan.chunk_ms)).ending(ending);
        let mut response = Response::new(drip.at_end(move || open.done()).boxed_unsync());
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(wanted.form.content_type()));
        if plan.gzip {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        let ends_early = plan.cut.is_some() && plan.cut_end == CutEnd::Clean;
        if !(wanted.streams() || ends_early) {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
        response
    }
}

/// The pieces packed, each flushed, so that a stream stays one.
fn pack(pieces: &[Bytes]) -> Vec<Bytes> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
    let mut packed = Vec::new();
    for piece in pieces {
        // Writing into memory cannot fail.
        let _ = packer.write_all(piece).and_then(|()| packer.flush());
        packed.push(Bytes::from(std::mem::take(packer.get_mut())));
    }
    packed.extend(packer.finish().map(Bytes::from));
    packed
}

/// The pieces up to so many bytes.
fn cut(pieces: Vec<Bytes>, most: Option<usize>) -> Vec<Bytes> {
    let mut left = most.unwrap_or(usize::MAX);
    let mut kept = Vec::new();
    for piece in pieces {
        let length = piece.len().min(left);
        left -= length;
        kept.push(piece.slice(..length));
    }
    kept.retain(|piece| !piece.is_empty());
    kept
}

/// The pieces in pieces of so many bytes; 0 leaves them as they are.
fn split(pieces: Vec<Bytes>, size: usize) -> Vec<Bytes> {
    if size == 0 {
        return pieces;
    }
    let whole = Bytes::from(pieces.concat());
    (0..whole.len()).step_by(size).map(|at| whole.slice(at..whole.len().min(at + size))).collect()
}

/// FNV-1a: like bodies get like answers, also from another provider.
fn hash(body: &[u8]) -> u64 {
    body.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

fn digest(body: &[u8]) -> String {
    format!("{:016x}", hash(body))
}
