//! Signs of life for a client whose call waits with us.
//!
//! A call may wait for its turn at a pace, for money, or for another try. Clients and what stands before them hang up
//! on an answer that does not begin. So where one asked for a stream, in a dialect with a ping that changes nothing,
//! its answer begins once it has waited for so long: a head, pings, and then the stream as it comes. Only waits of ours
//! count: who waits for a slow provider would without us as well. What an answer begins with cannot be taken back, so
//! whatever else comes of the call is told by the dialect's own event for an error.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use almoner_units::{CallId, Span};
use http_body_util::BodyExt;
use hyper::body::{Bytes, Frame};
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::http::response::Parts;
use hyper::{Response, StatusCode};
use tokio::time::{Instant, Sleep, sleep};

use crate::answer::{instead_of_a_stream, tell_first};
use crate::dialect::{Asks, Dialect};
use crate::journey;
use crate::pipe::{Filler, Gone, client_body};
use crate::relay::{ClientBody, Deadline, Patience, collect};
use crate::stack::{Came, Gateway, World};

/// The most bytes of an answer that are read to tell what is wrong.
const ERROR_BYTES_MAX: usize = 1 << 20;

/// The waits of a call with us, all its stops and tries together: how long they were, and whether it is in one now.
/// It says so, and whoever tells its client hears it; nobody does where the client is told nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Waits {
    waited_ms: Arc<AtomicU64>,
    heard: Option<Arc<Heard>>,
}

#[derive(Debug, Default)]
struct Heard {
    /// How many waits it is in.
    waits: AtomicUsize,
    /// The call that waits, and which of its headers were not heeded.
    call: Mutex<Option<(CallId, Vec<String>)>>,
}

impl Waits {
    /// Waits, counts it, and lets it be heard.
    pub(crate) async fn during<F: Future>(&self, wait: F) -> F::Output {
        let begun = Instant::now_plus(Span::default());
        let output = self.heard(wait).await;
        self.count(Span::from_ms(u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX)));
        output
    }

    /// Waits, and lets it be heard; how long that was is counted by who is told.
    pub(crate) async fn heard<F: Future>(&self, wait: F) -> F::Output {
        let _waiting = self.heard.as_deref().map(Waiting::begin);
        wait.await
    }

    /// It has waited so long.
    pub(crate) fn count(&self, waited: Span) {
        self.waited_ms.fetch_add(waited.ms(), Ordering::Relaxed);
    }

    /// How long it has waited in all.
    pub(crate) fn waited(&self) -> Span {
        Span::from_ms(self.waited_ms.load(Ordering::Relaxed))
    }

    /// How long it may wait still, of so much in all.
    pub(crate) fn left(&self, of: Span) -> Span {
        Span::from_ms(of.ms().saturating_sub(self.waited().ms()))
    }

    /// Tells the id under which the call goes now.
    pub(crate) fn name(&self, call: CallId, warnings: &[String]) {
        if let Some(heard) = &self.heard {
            *heard.call.lock().unwrap_or_else(PoisonError::into_inner) = Some((call, warnings.to_vec()));
        }
    }
}

/// A wait, until it is dropped.
struct Waiting<'h>(&'h Heard);

impl<'h> Waiting<'h> {
    fn begin(heard: &'h Heard) -> Self {
        heard.waits.fetch_add(1, Ordering::Relaxed);
        Self(heard)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waits.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Counts the time in which a call waits with us, and no other.
struct Clock {
    left: Duration,
    /// While it does: since when, and until when.
    runs: Option<(Instant, Pin<Box<Sleep>>)>,
}

impl Clock {
    /// Whether the time is up.
    fn poll(&mut self, waits: bool, context: &mut Context<'_>) -> Poll<()> {
        if !waits {
            if let Some((since, _)) = self.runs.take() {
                self.left = self.left.saturating_sub(since.elapsed());
            }
            return Poll::Pending;
        }
        let left = self.left;
        let (_, up) = self.runs.get_or_insert_with(|| (Instant::now_plus(Span::default()), Box::pin(sleep(left))));
        up.as_mut().poll(context)
    }
}

type Way = Pin<Box<dyn Future<Output = Response<ClientBody>> + Send>>;

/// Takes a call to where it is answered, and keeps its client company where that takes long.
pub(crate) async fn travel<W: World>(gateway: Arc<Gateway<W>>, mut came: Box<Came>) -> Response<ClientBody> {
    let (after, patience) = (gateway.settings.ping_after, gateway.settings.patience);
    let dialect = came.endpoint.dialect;
    let Some(ping) = ping(&came).filter(|_| after > Span::default()) else {
        return journey::travel(gateway, came).await;
    };
    let heard = Arc::<Heard>::default();
    came.waits.heard = Some(Arc::clone(&heard));
    let mut way: Way = Box::pin(journey::travel(gateway, came));
    let every = Duration::from_millis(after.ms());
    let mut clock = Clock { left: every, runs: None };
    let answered = poll_fn(|context| match way.as_mut().poll(context) {
        Poll::Ready(response) => Poll::Ready(Some(response)),
        Poll::Pending => clock.poll(heard.waits.load(Ordering::Relaxed) > 0, context).map(|()| None),
    });
    match answered.await {
        Some(response) => response,
        None => begin(&heard, Company { way, dialect, ping, every, patience }),
    }
}

/// The ping of a call that asks for events; `None` where its dialect has none, or its stream is no events.
fn ping(came: &Came) -> Option<&'static str> {
    let tongue = came.endpoint.dialect.tongue();
    // Gemini's streams are events only where the query says so.
    let is_events = tongue.plain_stream == almoner_meter::Framing::Sse
        || came.head.uri.query().is_some_and(|query| query.split('&').any(|pair| pair == "alt=sse"));
    tongue.ping.filter(|_| came.call.stream && came.endpoint.asks == Asks::Answer && is_events)
}

/// Begins the answer of a call that waits.
fn begin(heard: &Heard, company: Company) -> Response<ClientBody> {
    let (filler, body) = client_body();
    // It ends with its client: whoever hangs up leaves the room.
    tokio::spawn(company.keep(filler));
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if let Some((call, warnings)) = &*heard.call.lock().unwrap_or_else(PoisonError::into_inner) {
        tell_first(headers, *call, warnings);
    }
    response
}

/// Whoever stays with a client while its call waits.
struct Company {
    way: Way,
    dialect: Dialect,
    ping: &'static str,
    every: Duration,
    patience: Patience,
}

impl Company {
    /// Sends pings until the call is answered, and then its answer.
    async fn keep(mut self, filler: Filler) {
        let ping = Bytes::from_static(self.ping.as_bytes());
        let response = loop {
            if filler.send(ping.clone()).await.is_err() {
                return;
            }
            tokio::select! {
                biased;
                () = filler.gone() => return,
                response = &mut self.way => break response,
                () = sleep(self.every) => {}
            }
        };
        let (head, body) = response.into_parts();
        if is_events(&head.headers) && head.status == StatusCode::OK {
            return pass_on(body, filler).await;
        }
        let last = event(self.dialect, &head, body, self.patience).await;
        if let Ok(()) = filler.send(last).await {
            filler.finish();
        }
    }
}

/// Whether a body can follow on the head that was sent.
fn is_events(headers: &HeaderMap) -> bool {
    let says = |value: &HeaderValue| value.to_str().is_ok_and(|kind| kind.contains("event-stream"));
    headers.get(header::CONTENT_TYPE).is_some_and(says) && !headers.contains_key(header::CONTENT_ENCODING)
}

/// Passes a stream on, byte for byte, and ends as it does.
async fn pass_on(mut body: ClientBody, filler: Filler) {
    loop {
        let frame = tokio::select! {
            biased;
            () = filler.gone() => return,
            frame = body.frame() => frame,
        };
        match frame.map(|frame| frame.map(Frame::into_data)) {
            None => return filler.finish(),
            Some(Ok(Ok(data))) => {
                if let Err(Gone) = filler.send(data).await {
                    return;
                }
            }
            Some(Ok(Err(_trailers))) => {}
            Some(Err(why)) => return filler.abort(why),
        }
    }
}

/// What an answer that is no stream says, as an event.
async fn event(dialect: Dialect, head: &Parts, body: ClientBody, patience: Patience) -> Bytes {
    let body = collect(body, ERROR_BYTES_MAX, patience).await.unwrap_or_default();
    instead_of_a_stream(dialect, head.status, &body)
}
