//! One answer on its way from the provider to the client, byte for byte, metered as it passes.
//!
//! The relay runs in a task of its own, so that a client that hangs up cannot stop it: it reads on to the usage, within
//! bounds, and settles exactly. What the last bytes settle is settled before the client can see them, so that the
//! client's next call finds the money back.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use almoner_meter::{Decoder, Framing, Reading};
use almoner_units::Span;
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::{Bytes, Frame};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use crate::answer::{Answer, StreamSoFar, UsageFilter, cut};
use crate::dialect::Dialect;
use crate::pipe::Filler;

/// Any error that a body may end with.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
/// The body of a provider's answer.
pub type UpstreamBody = UnsyncBoxBody<Bytes, BoxError>;
/// The body of our answer.
pub type ClientBody = UnsyncBoxBody<Bytes, BoxError>;

/// What a client is told that comes back to an answer it left unread.
const UNREAD: &str = "the answer was left unread for too long";

/// Why an answer is not waited for whose client has gone.
const CROWDED: &str = "the client went away, and too many answers are read without one";

/// How long a relay waits for whom.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For a client to read what was sent, before it counts as gone.
    pub client: Span,
    /// For a provider to send anything.
    pub provider: Span,
    /// For the rest of an answer whose client has gone.
    pub drain: Span,
    /// For the whole answer.
    pub answer: Span,
}

/// What a finished relay brings home.
pub(crate) struct Home {
    pub(crate) reading: Reading,
    /// Why the answer did not end as it should, if so.
    pub(crate) broke: Option<String>,
    /// Whether the answer said itself that it is over, or came whole.
    pub(crate) ended: bool,
}

/// An answer that is being relayed.
pub(crate) struct Relay {
    pub(crate) dialect: Dialect,
    /// How its events lie in its bytes.
    pub(crate) framing: Framing,
    /// Reads what passes; gone once it has told its last.
    pub(crate) meter: Option<Decoder>,
    /// Withholds the usage that the client did not ask for.
    pub(crate) filter: Option<UsageFilter>,
    /// Tells that the call must be cut, and why.
    pub(crate) cut: oneshot::Receiver<String>,
    pub(crate) patience: Patience,
    /// Bounds how many answers are read on without a client.
    pub(crate) drains: Arc<Semaphore>,
}

/// Whoever reads the answer, as long as somebody does.
struct Client {
    filler: Option<Filler>,
    drain: Option<(OwnedSemaphorePermit, Instant)>,
    so_far: StreamSoFar,
}

impl Client {
    /// Waits until nobody reads the answer any more; for ever once that is known.
    async fn gone(&self) {
        match &self.filler {
            Some(filler) => filler.gone().await,
            None => std::future::pending().await,
        }
    }
}

/// What came next from the provider, or instead of it.
enum Next {
    Data(Bytes),
    End,
    Broke(String),
    Cut(String),
    /// The client has gone while the provider was silent.
    Left,
}

/// Tells whether a client that waits for an answer, of which nothing is there to pass yet, has gone.
pub(crate) struct Leaving {
    gone: oneshot::Receiver<Infallible>,
    /// Since when it has.
    since: Option<Instant>,
    /// Bounds how many answers are waited for without a client, together with those that are read on without one.
    drains: Arc<Semaphore>,
    drain: Option<OwnedSemaphorePermit>,
}

impl Leaving {
    /// Of the client that holds the other end of `gone`.
    pub(crate) const fn new(gone: oneshot::Receiver<Infallible>, drains: Arc<Semaphore>) -> Self {
        Self { gone, since: None, drains, drain: None }
    }

    /// Waits until the client has been gone for so long, or is one too many of those that have, and says so in words.
    pub(crate) async fn too_long(&mut self, drain: Span) -> String {
        let since = match self.since {
            Some(since) => since,
            None => {
                let Err(_gone) = (&mut self.gone).await;
                self.drain = Arc::clone(&self.drains).try_acquire_owned().ok();
                if self.drain.is_none() {
                    return CROWDED.to_owned();
                }
                *self.since.insert(Instant::now_plus(Span::default()))
            }
        };
        sleep_until(since + Duration::from_millis(drain.ms())).await;
        gone_too_long(drain)
    }
}

fn gone_too_long(drain: Span) -> String {
    format!("the client went away, and the rest did not come within {drain}")
}

impl Relay {
    /// Relays a stream to its end; `settle` is called once, before the client can see the last bytes.
    pub(crate) async fn run(mut self, mut body: UpstreamBody, filler: Filler, settle: impl FnOnce(Home) + Send) {
        let ends_at = Instant::now_plus(self.patience.answer);
        let mut client =
            Client { filler: Some(filler), drain: None, so_far: StreamSoFar::new(self.dialect, self.framing) };
        let mut from_provider = StreamSoFar::new(self.dialect, self.framing);
        let mut settle = Some(settle);
        let broke = loop {
            match self.next(&mut body, &client, ends_at).await {
                Next::Data(data) => {
                    from_provider.pass(&data);
                    self.read(&data).await;
                    if from_provider.has_ended() {
                        self.bring_home(&mut settle, None, true);
                    }
                    let passed = self.filter.as_mut().map_or_else(|| data.clone(), |filter| filter.push(&data));
                    if let Err(why) = self.pass(&mut client, passed).await {
                        break Some(why);
                    }
                }
                Next::Left => {
                    if let Err(why) = self.go_on_without(&mut client) {
                        break Some(why);
                    }
                }
                Next::End => break None,
                Next::Broke(why) => break Some(why),
                Next::Cut(why) => {
                    self.bring_home(&mut settle, Some(why.clone()), false);
                    let why = Answer::Policy { code: "cut_running", message: why };
                    let end = cut(&client.so_far, &why);
                    return self.finish(client, end).await;
                }
            }
        };
        let rest = self.filter.take().map(UsageFilter::finish).unwrap_or_default();
        // Where nothing in a stream says that it is over, its end does.
        let ended = broke.is_none() && self.dialect.tongue().last_lines.is_empty();
        self.bring_home(&mut settle, broke.clone(), ended);
        match broke {
            Some(why) => client.filler.into_iter().for_each(|filler| filler.abort(why.clone().into())),
            None => self.finish(client, rest).await,
        }
    }

    /// Lets the meter read what came. A few packed bytes can be a gigabyte of others, so what is packed is read on a
    /// thread beside the lanes.
    async fn read(&mut self, data: &Bytes) {
        match self.meter.take_if(|meter| !meter.is_plain()) {
            None => self.meter.iter_mut().for_each(|meter| meter.feed(data)),
            Some(mut packed) => {
                let data = data.clone();
                let read = spawn_blocking(move || {
                    packed.feed(&data);
                    packed
                });
                // A meter that fell over tells nothing more, and the call is assumed.
                self.meter = read.await.ok();
            }
        }
    }

    /// Passes the last bytes to the client, where it is still there to read them, and ends the answer in order.
    async fn finish(&self, mut client: Client, rest: Bytes) {
        // Where it has gone, there is nothing left to read on for.
        drop(self.pass(&mut client, rest).await);
        client.filler.into_iter().for_each(Filler::finish);
    }

    /// Settles, once.
    fn bring_home(&mut self, settle: &mut Option<impl FnOnce(Home) + Send>, broke: Option<String>, ended: bool) {
        if let (Some(settle), Some(meter)) = (settle.take(), self.meter.take()) {
            settle(Home { reading: meter.finish(), broke, ended });
        }
    }

    async fn next(&mut self, body: &mut UpstreamBody, client: &Client, ends_at: Instant) -> Next {
        let silent_at = Instant::now_plus(self.patience.provider).min(ends_at);
        let until = client.drain.as_ref().map_or(silent_at, |(_, until)| silent_at.min(*until));
        tokio::select! {
            biased;
            why = cut_told(&mut self.cut) => Next::Cut(why),
            frame = timeout_at(until, next_data(body)) => frame.unwrap_or_else(|_| Next::Broke(self.too_late(client))),
            () = client.gone() => Next::Left,
        }
    }

    fn too_late(&self, client: &Client) -> String {
        match client.drain {
            Some(_) => gone_too_long(self.patience.drain),
            None => format!("the provider sent nothing for {}", self.patience.provider),
        }
    }

    /// Passes bytes to the client; where it has gone, keeps reading for the usage, within bounds.
    async fn pass(&self, client: &mut Client, data: Bytes) -> Result<(), String> {
        let Some(filler) = &client.filler else { return Ok(()) };
        if data.is_empty() {
            return Ok(());
        }
        client.so_far.pass(&data);
        let unread = Duration::from_millis(self.patience.client.ms());
        if let Ok(Ok(())) = timeout(unread, filler.send(data)).await {
            return Ok(());
        }
        self.go_on_without(client)
    }

    /// Reads on for the usage though nobody reads the answer, for a while.
    fn go_on_without(&self, client: &mut Client) -> Result<(), String> {
        // What was sent must not look whole to whoever comes back to read it.
        client.filler.take().into_iter().for_each(|filler| filler.abort(UNREAD.into()));
        match Arc::clone(&self.drains).try_acquire_owned() {
            Ok(permit) => client.drain = Some((permit, Instant::now_plus(self.patience.drain))),
            Err(_) => return Err(CROWDED.to_owned()),
        }
        Ok(())
    }
}

/// Waits for word that a call must be cut; for ever where nobody is left who could say it, as once it is settled.
pub(crate) async fn cut_told(cut: &mut oneshot::Receiver<String>) -> String {
    if !cut.is_terminated()
        && let Ok(why) = cut.await
    {
        return why;
    }
    std::future::pending().await
}

/// The next data of a body; trailers are dropped.
async fn next_data(body: &mut UpstreamBody) -> Next {
    loop {
        match body.frame().await.map(|frame| frame.map(Frame::into_data)) {
            None => return Next::End,
            Some(Ok(Ok(data))) => return Next::Data(data),
            Some(Ok(Err(_trailers))) => {}
            Some(Err(error)) => return Next::Broke(format!("the provider's answer broke off: {error}")),
        }
    }
}

/// Reads a whole body of at most `most` bytes.
///
/// # Errors
/// Why it could not be read, in words.
pub(crate) async fn collect(mut body: UpstreamBody, most: usize, patience: Patience) -> Result<Bytes, String> {
    let ends_at = Instant::now_plus(patience.answer);
    let mut whole = Vec::new();
    loop {
        let until = Instant::now_plus(patience.provider).min(ends_at);
        match timeout_at(until, next_data(&mut body)).await {
            Ok(Next::Data(data)) if whole.len() + data.len() > most => {
                return Err(format!("the provider's answer is larger than {most} bytes"));
            }
            Ok(Next::Data(data)) => whole.extend_from_slice(&data),
            Ok(Next::End) => return Ok(whole.into()),
            Ok(Next::Broke(why) | Next::Cut(why)) => return Err(why),
            // Only the relay has a client that could.
            Ok(Next::Left) => {}
            Err(_) => return Err(format!("the provider sent nothing for {}", patience.provider)),
        }
    }
}

/// The framing of an answer, by its content type; `stream` is how its dialect streams without server-sent events, where
/// a stream was asked for.
pub(crate) fn framing(content_type: Option<&str>, stream: Option<Framing>) -> Framing {
    match content_type {
        Some(kind) if kind.contains("event-stream") => Framing::Sse,
        Some(kind) if kind.contains("json") => stream.filter(|stream| *stream != Framing::Sse).unwrap_or(Framing::Json),
        _ => stream.unwrap_or(Framing::Json),
    }
}

/// Deadlines in tokio's time, which tests can pause.
pub(crate) trait Deadline {
    fn now_plus(span: Span) -> Self;
}

impl Deadline for Instant {
    fn now_plus(span: Span) -> Self {
        Self::now() + Duration::from_millis(span.ms())
    }
}
