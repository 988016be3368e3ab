//! Traces: one span for each call, sent to a collector of OpenTelemetry by HTTP, as JSON.
//!
//! Whoever serves a call hands it over and counts on; a thread of its own puts it into the words of the collector and
//! sends it. What the collector does not take, or takes too slowly, is dropped and counted: nobody waits for it.

mod span;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

use almoner_config::{Settings, Traces as Destination};
use almoner_gateway::{Outcome, Report, Upstream};
use http_body_util::{BodyExt, Limited};
use hyper::Request;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use serde_json::Value;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, timeout};

use crate::log::{CallLog, WARNING};
use crate::upstream::{NoWay, Way};

/// How many spans may wait to be sent.
const QUEUE_MAX: usize = 8192;
/// How many are sent with one request.
const BATCH_MAX: usize = 512;
/// How long spans wait for others to share their request.
const LINGER: Duration = Duration::from_secs(5);
/// How often is looked whether there are enough of them. Who brings one wakes nobody.
const LOOK: Duration = Duration::from_millis(250);
/// How long a collector may take for one request.
const SEND_MAX: Duration = Duration::from_secs(5);
/// How long the last spans may take when the server ends.
const END_MAX: Duration = Duration::from_secs(5);
/// How much of a collector's answer is read.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// A call that has ended.
type Ended = (Arc<Report>, Box<Outcome>);
/// The providers by their names.
type Places = BTreeMap<String, span::Place>;

/// The way to the collector, where there is one; cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Traces(Option<Arc<Telling>>);

struct Telling {
    queue: mpsc::Sender<Ended>,
    dropped: Arc<AtomicU64>,
    places: Arc<RwLock<Places>>,
}

impl Traces {
    /// Starts the thread, where the settings name a collector. What becomes of it is said in the log.
    ///
    /// # Errors
    /// Where there is no way to the collector in principle, or no thread.
    pub(crate) fn start(settings: &Settings, log: CallLog) -> Result<(Self, Sending), NoTraces> {
        let Some(to) = &settings.traces else { return Ok((Self::default(), Sending(None))) };
        let (queue, ended) = mpsc::channel(QUEUE_MAX);
        let (dropped, places): (Arc<AtomicU64>, Arc<RwLock<Places>>) = Default::default();
        let exporter = Exporter {
            way: Way::to(&to.url, settings.connect_max)?,
            url: to.url.clone(),
            headers: headers(to),
            service: to.service.clone(),
            dropped: Arc::clone(&dropped),
            under_way: AtomicU64::default(),
            places: Arc::clone(&places),
            log,
            fails: AtomicBool::default(),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = watch::channel(false);
        let run = move || runtime.block_on(exporter.run(ended, stopped));
        let thread = std::thread::Builder::new().name("traces".to_owned()).spawn(run)?;
        let traces = Self(Some(Arc::new(Telling { queue, dropped, places })));
        traces.know(settings);
        Ok((traces, Sending(Some((stop, thread)))))
    }

    /// Knows from now on where these providers are.
    pub(crate) fn know(&self, settings: &Settings) {
        let Some(telling) = &self.0 else { return };
        let place = |provider: &almoner_config::Provider| {
            (provider.name.clone(), span::Place::of(&provider.name, &provider.base_url))
        };
        let places = settings.providers.iter().map(place).collect();
        *telling.places.write().unwrap_or_else(PoisonError::into_inner) = places;
    }

    /// Takes a call that has ended. A client that keeps no spans of its trace wants none of ours.
    pub(crate) fn ended(&self, report: &Arc<Report>, outcome: &Outcome) {
        let Some(telling) = &self.0 else { return };
        if report.parent.is_some_and(|parent| !parent.is_sampled) {
            return;
        }
        let ended = (Arc::clone(report), Box::new(outcome.clone()));
        if let Err(TrySendError::Full(_) | TrySendError::Closed(_)) = telling.queue.try_send(ended) {
            telling.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many spans no collector has taken.
    pub(crate) fn dropped(&self) -> u64 {
        self.0.as_ref().map_or(0, |telling| telling.dropped.load(Ordering::Relaxed))
    }
}

/// Why no traces can be sent.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoTraces {
    /// There is no way to the collector.
    #[error("traces cannot be sent to the collector that `otlp` names: {0}")]
    NoWay(#[from] NoWay),
    /// The operating system refused something.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// The thread that sends, until it is told to end.
pub(crate) struct Sending(Option<(watch::Sender<bool>, JoinHandle<()>)>);

impl Sending {
    /// Sends what is left, but not for ever.
    pub(crate) fn end(self) {
        if let Some((stop, thread)) = self.0 {
            stop.send_replace(true);
            drop(thread.join());
        }
    }
}

/// What stands in the head of each request. What cannot is left out.
fn headers(to: &Destination) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, secret) in &to.headers {
        let (name, value) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(secret.expose()));
        if let (Ok(name), Ok(mut value)) = (name, value) {
            value.set_sensitive(true);
            headers.insert(name, value);
        }
    }
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(USER_AGENT, HeaderValue::from_static(concat!("almoner/", env!("CARGO_PKG_VERSION"))));
    headers
}

/// What sends spans.
struct Exporter {
    way: Way,
    url: String,
    headers: HeaderMap,
    service: String,
    dropped: Arc<AtomicU64>,
    /// How many are in a request that has no answer yet.
    under_way: AtomicU64,
    places: Arc<RwLock<Places>>,
    log: CallLog,
    /// Whether the collector did not take what it was sent last.
    fails: AtomicBool,
}

impl Exporter {
    /// Sends until it is told to stop, then what is left. What takes too long by then is dropped.
    async fn run(self, mut ended: mpsc::Receiver<Ended>, stop: watch::Receiver<bool>) {
        tokio::select! {
            () = self.send_all(&mut ended, stop.clone()) => {}
            () = too_long(stop) => {}
        }
        self.drop_spans(self.under_way.load(Ordering::Relaxed));
        self.drop_spans(std::iter::from_fn(|| ended.try_recv().ok()).count() as u64);
    }

    /// Sends a batch whenever there is enough for one, or the first has waited long enough, or nothing more comes.
    async fn send_all(&self, ended: &mut mpsc::Receiver<Ended>, mut stop: watch::Receiver<bool>) {
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut since = Instant::now();
        loop {
            let is_last = tokio::select! {
                _ = look.tick() => false,
                _ = stop.wait_for(|stop| *stop) => true,
            };
            if is_last || ended.len() >= BATCH_MAX || since.elapsed() >= LINGER {
                self.send_rest(ended).await;
            }
            if is_last {
                return;
            }
            if ended.is_empty() {
                since = Instant::now();
            }
        }
    }

    /// Sends what is there, batch by batch.
    async fn send_rest(&self, ended: &mut mpsc::Receiver<Ended>) {
        loop {
            let batch: Vec<Ended> = std::iter::from_fn(|| ended.try_recv().ok()).take(BATCH_MAX).collect();
            if batch.is_empty() {
                return;
            }
            self.send(&batch).await;
        }
    }

    /// Sends a batch, and counts what was not taken.
    async fn send(&self, batch: &[Ended]) {
        let count = batch.len() as u64;
        self.under_way.store(count, Ordering::Relaxed);
        let taken = timeout(SEND_MAX, self.taken(batch)).await;
        let taken = taken.unwrap_or_else(|_| Err(format!("no answer within {} seconds", SEND_MAX.as_secs())));
        self.tell(&taken);
        self.drop_spans(taken.map_or(count, |rejected| rejected.min(count)));
        self.under_way.store(0, Ordering::Relaxed);
    }

    /// Says that the collector fails, or that it is back; once, however many requests find it so.
    fn tell(&self, taken: &Result<u64, String>) {
        if self.fails.swap(taken.is_err(), Ordering::Relaxed) == taken.is_err() {
            return;
        }
        self.log.say(&match taken {
            Ok(_) => format!("the collector at {} takes spans again", self.url),
            Err(why) => format!(
                "{WARNING}the collector at {} takes no spans, and they are dropped: {why}; calls go on as they did",
                self.url
            ),
        });
    }

    /// How many spans of a batch the collector did not want.
    ///
    /// # Errors
    /// Why it took none, in words.
    async fn taken(&self, batch: &[Ended]) -> Result<u64, String> {
        let body = Bytes::from(self.body(batch).to_string());
        let mut request = Request::post(&self.url).body(body).map_err(|error| error.to_string())?;
        *request.headers_mut() = self.headers.clone();
        let answer = self.way.send(request).await.map_err(|error| error.to_string())?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
        let body = body.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        if status.is_success() { Ok(rejected(&body)) } else { Err(format!("it answered {}", status.as_u16())) }
    }

    fn body(&self, batch: &[Ended]) -> Value {
        let places = self.places.read().unwrap_or_else(PoisonError::into_inner);
        let span = |(report, outcome): &Ended| span::of(report, outcome, places.get(&report.provider));
        span::request(&self.service, &batch.iter().map(span).collect::<Vec<_>>())
    }

    fn drop_spans(&self, count: u64) {
        self.dropped.fetch_add(count, Ordering::Relaxed);
    }
}

/// Waits until the server has been ending for too long.
async fn too_long(mut stop: watch::Receiver<bool>) {
    drop(stop.wait_for(|stop| *stop).await);
    tokio::time::sleep(END_MAX).await;
}

/// How many spans a collector says it did not want: a number, or one as a text, as JSON has large ones here.
fn rejected(body: &[u8]) -> u64 {
    let answer: Value = serde_json::from_slice(body).unwrap_or_default();
    let count = &answer["partialSuccess"]["rejectedSpans"];
    count.as_u64().or_else(|| count.as_str()?.parse().ok()).unwrap_or(0)
}
