//! Events as a stream: what happens, as it happens, for whoever listens.
//!
//! Each event has its number as its id, so that a client that was cut off goes on where it stopped; where something in
//! between is gone, an event `gap` says so first. A comment every now and then keeps the connection alive. A client
//! that reads nothing for a while is cut off: nothing is kept for it, and it loses nothing by coming again. So is one
//! whose token is no longer good: it hears nothing that happened after that.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use almoner_api::{EVENT_KINDS, EventInfo, EventQuery, Port, Reply, Request};
use almoner_units::nearest;
use http_body_util::BodyExt;
use hyper::body::{Body, Bytes, Frame};
use hyper::{HeaderMap, Response, StatusCode};
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::timeout;

use crate::act::{run, unexpected};
use crate::door::{ended, shown as shown_token};
use crate::problem::{Problem, shown};
use crate::query::{Query, whole};
use crate::web::{Web, WebBody, with_body};

/// The header with the number of the last event that a client saw.
pub(crate) const LAST: &str = "last-event-id";
/// How long nothing is sent before a sign of life is.
const QUIET: Duration = Duration::from_secs(15);
/// How many events are asked for at once.
const AT_ONCE: u32 = 100;
/// How many pieces may be on their way to a client, and how long it may leave them unread.
const PIECES_MAX: usize = 16;
const UNREAD_MAX: Duration = Duration::from_secs(30);

/// What stands between comments: an event, or the sign of life.
const SIGN_OF_LIFE: &str = ": all is well\n\n";

/// The stream that a request asks for.
pub(crate) fn answer<P: Port>(
    web: &Arc<Web<P>>,
    query: &Query,
    headers: &HeaderMap,
) -> Result<Response<WebBody>, Problem> {
    let after = after(query, headers)?;
    let kinds = kinds(query)?;
    let token = shown_token(headers)?.to_owned();
    let Ok(place) = Arc::clone(&web.streams).try_acquire_owned() else {
        let why = "too many streams of events are open";
        let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "too_many_streams", why);
        return Err(Problem { retry_after_s: Some(10), ..problem });
    };
    let (pieces, read) = mpsc::channel(PIECES_MAX);
    tokio::spawn(tell(Arc::clone(web), token, after, kinds, pieces));
    let body = WebBody::new(Pieces { read, _place: place }.map_err(|never: Infallible| match never {}));
    Ok(with_body(StatusCode::OK, "text/event-stream", body))
}

/// Behind which event the stream begins; none: with what happens next.
fn after(query: &Query, headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let bad = || {
        let why = format!("`{LAST}` is the number of an event");
        Problem::unreadable("bad_event_id", why)
    };
    let said = headers.get(LAST).filter(|value| !value.is_empty());
    let said = said.map(|value| value.to_str().ok().and_then(whole).ok_or_else(bad)).transpose()?;
    Ok(said.or_else(|| query.get("after").and_then(|text| text.parse().ok())))
}

fn kinds(query: &Query) -> Result<Vec<String>, Problem> {
    let words = query.get("kinds").unwrap_or_default().split(',').filter(|kind| !kind.is_empty());
    let names = || EVENT_KINDS.iter().map(|(name, _)| *name);
    let known = |kind: &str| match names().any(|name| name == kind) {
        true => Ok(kind.to_owned()),
        false => {
            let problem = Problem::refused("bad_kind", format!("no event is of kind `{}`", shown(kind)));
            Err(match nearest(kind, names()) {
                Some(near) => problem.hint(format!("did you mean `{near}`?")),
                None => problem.hint(format!("there are {}", names().collect::<Vec<_>>().join(", "))),
            })
        }
    };
    words.map(known).collect()
}

/// Tells what happens until the client has gone, or the server ends.
async fn tell<P: Port>(
    web: Arc<Web<P>>,
    token: String,
    after: Option<u64>,
    kinds: Vec<String>,
    pieces: mpsc::Sender<Bytes>,
) {
    let mut closing = web.closing.subscribe();
    tokio::select! {
        _ = tell_on(&web.port, &token, after, kinds, &pieces) => {}
        () = pieces.closed() => {}
        _ = closing.wait_for(|closing| *closing) => {}
    }
}

/// Why a stream ends.
struct Over;

async fn tell_on<P: Port>(
    port: &P,
    token: &str,
    after: Option<u64>,
    kinds: Vec<String>,
    pieces: &mpsc::Sender<Bytes>,
) -> Result<(), Over> {
    send(pieces, SIGN_OF_LIFE.to_owned()).await?;
    let mut after = match after {
        Some(after) => after,
        None => ask(port, EventQuery { limit: Some(0), ..EventQuery::default() }, pieces).await?.1,
    };
    loop {
        let wait_ms = u64::try_from(QUIET.as_millis()).unwrap_or(u64::MAX);
        let query = EventQuery { after: Some(after), kinds: kinds.clone(), limit: Some(AT_ONCE), wait_ms };
        let (events, last, gap) = ask(port, query, pieces).await?;
        // It may have been revoked while nothing happened.
        if port.caller(token).is_none() {
            return send(pieces, problem(&ended())).await.and(Err(Over));
        }
        if gap {
            send(pieces, gone(after, &events)).await?;
        }
        match events.is_empty() {
            true => send(pieces, SIGN_OF_LIFE.to_owned()).await?,
            false => send(pieces, events.iter().map(written).collect()).await?,
        }
        // Also where the history was lost, and counts from further back.
        after = last;
    }
}

async fn ask<P: Port>(
    port: &P,
    query: EventQuery,
    pieces: &mpsc::Sender<Bytes>,
) -> Result<(Vec<EventInfo>, u64, bool), Over> {
    let why = match run(port, Request::Events(Box::new(query))).await {
        Ok(Reply::Events { events, last, gap }) => return Ok((events, last, gap)),
        Ok(_) => unexpected(),
        Err(problem) => problem,
    };
    send(pieces, problem(&why)).await?;
    Err(Over)
}

/// Why the stream ends, where it does not end by itself.
fn problem(why: &Problem) -> String {
    format!("event: problem\ndata: {}\n\n", why.body())
}

async fn send(pieces: &mpsc::Sender<Bytes>, text: String) -> Result<(), Over> {
    match timeout(UNREAD_MAX, pieces.send(text.into())).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) | Err(_) => Err(Over),
    }
}

/// An event as it stands in the stream. JSON has no line break in it.
fn written(event: &EventInfo) -> String {
    let EventInfo { id, at, kind, message, data } = event;
    let data = json!({ "id": id, "at": at, "kind": kind, "message": message, "data": data });
    format!("id: {id}\nevent: {kind}\ndata: {data}\n\n")
}

/// That something is gone which was asked for.
fn gone(after: u64, events: &[EventInfo]) -> String {
    let next = events.first().map(|event| event.id);
    format!("event: gap\ndata: {}\n\n", json!({ "after": after, "next": next }))
}

/// The body of a stream, which has its place while it lasts.
struct Pieces {
    read: mpsc::Receiver<Bytes>,
    _place: OwnedSemaphorePermit,
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.read.poll_recv(context).map(|piece| piece.map(|bytes| Ok(Frame::data(bytes))))
    }
}
