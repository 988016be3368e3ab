//! The listener: takes connections, gives each request to the gateway, and ends in order.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use almoner_gateway::ClientBody;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{oneshot, watch};

use crate::guests::{Answering, Arriving, Guests, Line, Seat};
use crate::lanes::Lanes;

/// The body of a request as it comes in.
pub(crate) type Asked = Arriving<Incoming>;

/// How many connections may be open at once that came while the server drains.
const LATE_MAX: usize = 256;
/// How long to wait before taking the next connection after the operating system could give none.
const BACK_OFF: Duration = Duration::from_millis(50);

/// How many connections may wait until they are taken. One more waits a second before it asks again, so there must be
/// room for a crowd; the system gives less where it allows less.
const BACKLOG: u32 = 4096;

/// Listens at this address.
pub(crate) fn listen(at: SocketAddr) -> io::Result<TcpListener> {
    let socket = if at.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // Who starts again need not wait until the system has forgotten the connections of before.
    socket.set_reuseaddr(true)?;
    socket.bind(at)?;
    socket.listen(BACKLOG)
}

/// What the listener is told of the world.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// How many connections may be open at once.
    pub(crate) connections: usize,
    pub(crate) header_bytes: usize,
    /// How long the headers of a request may take, and how long a connection may be without one.
    pub(crate) header_time: Duration,
    /// How long a client may leave an answer unread.
    pub(crate) unread_time: Duration,
}

/// How far a server has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// It takes calls.
    Serving,
    /// It was told to stop: what runs goes on, and whoever comes is told.
    Draining,
    /// It is over.
    Over,
}

/// Serves in these lanes until it is over. While it drains, connections end with the answer that they wait for, and
/// whoever connects is still answered, once; `drained` hears when everybody from before has their answer.
pub(crate) async fn serve<H, F>(
    listener: TcpListener,
    lanes: Arc<Lanes>,
    limits: Limits,
    handle: H,
    mut phase: watch::Receiver<Phase>,
    drained: oneshot::Sender<()>,
) where
    H: Fn(Request<Asked>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<ClientBody>> + Send + 'static,
{
    let guests = Guests::new(limits.connections);
    take(&listener, &lanes, &guests, limits, &handle, &mut phase, Phase::Draining).await;
    let ended = async {
        guests.all_left().await;
        // Nobody hears it where the drain has ended without.
        let _ = drained.send(());
        std::future::pending::<()>().await;
    };
    let late = Guests::new(LATE_MAX);
    tokio::select! {
        () = take(&listener, &lanes, &late, limits, &handle, &mut phase, Phase::Over) => {}
        () = ended => {}
    }
}

/// Takes connections until the server comes so far.
async fn take<H, F>(
    listener: &TcpListener,
    lanes: &Lanes,
    guests: &Guests,
    limits: Limits,
    handle: &H,
    phase: &mut watch::Receiver<Phase>,
    until: Phase,
) where
    H: Fn(Request<Asked>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<ClientBody>> + Send + 'static,
{
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = reached(phase, until) => return,
        };
        match accepted {
            // A connection too many is closed at once: its client can try again, and those that run are not slowed.
            Ok((stream, _)) => {
                if let (Some(place), Ok(stream)) = (guests.admit().await, stream.into_std()) {
                    let (handle, phase, seat) = (handle.clone(), phase.clone(), place.seat());
                    lanes.spawn(async move {
                        // Its lane must be the one that is told when there is something to read.
                        if let Ok(stream) = TcpStream::from_std(stream) {
                            tokio::select! {
                                () = connection(stream, limits, handle, phase, until, Arc::clone(&seat)) => {}
                                () = seat.must_leave() => {}
                            }
                        }
                        drop(place);
                    });
                }
            }
            Err(_) => {
                // Mostly there is no descriptor left, and who keeps us waiting has one.
                guests.make_room();
                tokio::time::sleep(BACK_OFF).await;
            }
        }
    }
}

async fn connection<H, F>(
    stream: TcpStream,
    limits: Limits,
    handle: H,
    mut phase: watch::Receiver<Phase>,
    until: Phase,
    seat: Arc<Seat>,
) where
    H: Fn(Request<Asked>) -> F + Send + 'static,
    F: Future<Output = Response<ClientBody>> + Send + 'static,
{
    seat.is_asked();
    // Small events must leave as they come; where the option is refused they leave a little later.
    drop(stream.set_nodelay(true));
    let line = TokioIo::new(Line::new(stream, Arc::clone(&seat), limits.unread_time));
    let service = service_fn(move |request: Request<Incoming>| {
        let answer = handle(request.map(|body| Arriving::new(body, Arc::clone(&seat))));
        let seat = Arc::clone(&seat);
        async move { Ok::<_, Infallible>(answer.await.map(|body| Answering::new(body, seat))) }
    });
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(limits.header_time).max_buf_size(limits.header_bytes);
    // A client that closes its half of the connection may still read its answer. A hundred headers are enough, and the
    // most that hyper reads without asking for memory.
    builder.half_close(false);
    // Who comes while the server drains has one answer to get.
    builder.keep_alive(until == Phase::Draining);
    let connection = builder.serve_connection(line, service);
    tokio::pin!(connection);
    tokio::select! {
        _ = connection.as_mut() => {}
        () = reached(&mut phase, until) => {
            connection.as_mut().graceful_shutdown();
            drop(connection.await);
        }
    }
}

/// Waits until the server has come so far, or nobody is left to say so.
pub(crate) async fn reached(phase: &mut watch::Receiver<Phase>, until: Phase) {
    drop(phase.wait_for(|phase| *phase >= until).await);
}
