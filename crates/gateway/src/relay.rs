//! One answer on its way from the provider to the client, byte for byte, metered as it passes.
//!
//! The relay runs in a task of its own, so that a client that hangs up cannot stop it: it reads on to the usage, within
//! bounds, and settles exactly. What the last bytes settle is settled before the client can see them, so that the
//! client's next call finds the money back.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use almoner_meter::{Decoder, Framing, Reading};
use almoner_units::Span;
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::{Bytes, Frame};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use crate::answer::{Answer, StreamSoFar, UsageFilter, cut};
use crate::dialect::Dialect;
use crate::pipe::Filler;
use crate::turns::{Turn, Turns, Unread};

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
    /// Bounds how many packed answers are read at once.
    pub(crate) turns: Turns,
}

/// Why an answer does not go on.
enum Halt {
    Broke(String),
    /// Its call must be cut.
    Cut(String),
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

    /// Until when the answer is waited for: `ends_at`, and not so long where the client has gone.
    fn waits_until(&self, ends_at: Instant) -> Instant {
        self.drain.as_ref().map_or(ends_at, |(_, until)| ends_at.min(*until))
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
        let halt = loop {
            let goes_on = match self.next(&mut body, &client, ends_at).await {
                Next::Data(data) => {
                    from_provider.pass(&data);
                    let read = self.read(&data, &mut client, ends_at).await;
                    if from_provider.has_ended() && read.is_ok() {
                        self.bring_home(&mut settle, None, true);
                    }
                    match read {
                        Ok(()) => self.pass_on(data, &mut client).await,
                        Err(halt) => Err(halt),
                    }
                }
                Next::Left => self.go_on_without(&mut client),
                Next::End => break None,
                Next::Broke(why) => Err(Halt::Broke(why)),
                Next::Cut(why) => Err(Halt::Cut(why)),
            };
            if let Err(halt) = goes_on {
                break Some(halt);
            }
        };
        // However slowly the client takes what is left, the provider hears at once that nobody reads on.
        drop(body);
        self.end(halt, client, settle).await;
    }

    /// Settles, and ends the answer at the client as it ended.
    async fn end(mut self, halt: Option<Halt>, client: Client, mut settle: Option<impl FnOnce(Home) + Send>) {
        let rest = self.filter.take().map(UsageFilter::finish).unwrap_or_default();
        match halt {
            None => {
                // Where nothing in a stream says that it is over, its end does.
                let ended = self.dialect.tongue().last_lines.is_empty();
                self.bring_home(&mut settle, None, ended);
                self.finish(client, rest).await;
            }
            Some(Halt::Broke(why)) => {
                self.bring_home(&mut settle, Some(why.clone()), false);
                client.filler.into_iter().for_each(|filler| filler.abort(why.clone().into()));
            }
            Some(Halt::Cut(why)) => {
                self.bring_home(&mut settle, Some(why.clone()), false);
                let end = cut(&client.so_far, &Answer::Policy { code: "cut_running", message: why });
                self.finish(client, end).await;
            }
        }
    }

    /// Lets the meter read what came. A few packed bytes can be a gigabyte of others: what is more than a little of it
    /// is read in turn, and whoever has cause to stop waits for no turn.
    async fn read(&mut self, data: &Bytes, client: &mut Client, ends_at: Instant) -> Result<(), Halt> {
        let Some(meter) = self.meter.take() else { return Ok(()) };
        let mut unread = Unread::new(meter, data.clone());
        while !unread.is_read() {
            match self.turn(client, ends_at).await {
                // A meter that fell over tells nothing more, and the call is assumed.
                Ok(turn) => match unread.step(turn).await {
                    Ok(rest) => unread = rest,
                    Err(_) => return Ok(()),
                },
                Err(halt) => {
                    self.meter = Some(unread.meter);
                    return Err(halt);
                }
            }
        }
        self.meter = Some(unread.meter);
        Ok(())
    }

    /// Waits for a turn to read, or for a reason not to.
    async fn turn(&mut self, client: &mut Client, ends_at: Instant) -> Result<Turn, Halt> {
        let turns = self.turns.clone();
        let mut next = pin!(turns.next());
        loop {
            let until = client.waits_until(ends_at);
            tokio::select! {
                biased;
                why = cut_told(&mut self.cut) => return Err(Halt::Cut(why)),
                () = sleep_until(until) => return Err(Halt::Broke(self.unread_within(client))),
                turn = &mut next => return Ok(turn),
                () = client.gone() => self.go_on_without(client)?,
            }
        }
    }

    /// Passes on what came, but for what the client did not ask for.
    async fn pass_on(&mut self, data: Bytes, client: &mut Client) -> Result<(), Halt> {
        let passed = match &mut self.filter {
            Some(filter) => filter.push(&data),
            None => data,
        };
        self.pass(client, passed).await
    }

    /// Passes the last bytes to the client, where it is still there to read them, and ends the answer in order.
    async fn finish(&mut self, mut client: Client, rest: Bytes) {
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
        let until = client.waits_until(Instant::now_plus(self.patience.provider).min(ends_at));
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

    fn unread_within(&self, client: &Client) -> String {
        match client.drain {
            Some(_) => gone_too_long(self.patience.drain),
            None => format!("the answer was not read within {}", self.patience.answer),
        }
    }

    /// Passes bytes to the client; where it has gone, keeps reading for the usage, within bounds. A client that does
    /// not read keeps no call from being cut.
    async fn pass(&mut self, client: &mut Client, data: Bytes) -> Result<(), Halt> {
        let Some(filler) = &client.filler else { return Ok(()) };
        if data.is_empty() {
            return Ok(());
        }
        let unread = Duration::from_millis(self.patience.client.ms());
        let sent = tokio::select! {
            biased;
            sent = timeout(unread, filler.send(data.clone())) => sent,
            why = cut_told(&mut self.cut) => return Err(Halt::Cut(why)),
        };
        if let Ok(Ok(())) = sent {
            client.so_far.pass(&data);
            return Ok(());
        }
        self.go_on_without(client)
    }

    /// Reads on for the usage though nobody reads the answer, for a while.
    fn go_on_without(&self, client: &mut Client) -> Result<(), Halt> {
        // What was sent must not look whole to whoever comes back to read it.
        client.filler.take().into_iter().for_each(|filler| filler.abort(UNREAD.into()));
        match Arc::clone(&self.drains).try_acquire_owned() {
            Ok(permit) => client.drain = Some((permit, Instant::now_plus(self.patience.drain))),
            Err(_) => return Err(Halt::Broke(CROWDED.to_owned())),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipe::client_body;
    use crate::turns::tests::letters;
    use almoner_meter::{Dialect as Meters, Meter};
    use std::sync::Mutex;

    const SECOND: Span = Span::from_secs(1);

    /// Relays a bomb while nobody gets a turn: why it broke off, and after how many seconds.
    async fn without_a_turn(cut: Option<&str>, client_stays: bool) -> (String, u64) {
        let turns = Turns::of(1);
        let _taken = turns.next().await;
        let (cutter, told) = oneshot::channel();
        let relay = Relay {
            dialect: Dialect::Anthropic,
            framing: Framing::Sse,
            meter: Decoder::new(Some("zstd"), Meter::new(Meters::AnthropicMessages, Framing::Sse)).ok(),
            filter: None,
            cut: told,
            patience: Patience { client: SECOND, provider: SECOND, drain: SECOND, answer: Span::from_secs(60) },
            drains: Arc::new(Semaphore::new(1)),
            turns,
        };
        let (filler, client) = client_body();
        let client = client_stays.then_some(client);
        let _cutter = match cut {
            Some(why) => cutter.send(why.to_owned()).map(|()| None).unwrap(),
            None => Some(cutter),
        };
        let bomb = http_body_util::Full::new(letters(128 << 10, 100)).map_err(|never: Infallible| match never {});
        let (begins, broke) = (Instant::now_plus(Span::default()), Arc::new(Mutex::new(None)));
        let settle = |home: Home| *broke.lock().unwrap() = home.broke;
        relay.run(UpstreamBody::new(bomb), filler, settle).await;
        drop(client);
        let broke = broke.lock().unwrap().take().unwrap();
        (broke, begins.elapsed().as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_for_a_turn_to_read_hears_a_cut_its_client_and_its_deadline() {
        assert_eq!(without_a_turn(Some("spent"), true).await, ("spent".to_owned(), 0));
        assert_eq!(without_a_turn(None, false).await, (gone_too_long(SECOND), 1));
        assert_eq!(without_a_turn(None, true).await, ("the answer was not read within 1m".to_owned(), 60));
    }
}
