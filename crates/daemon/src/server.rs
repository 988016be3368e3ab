//! The listener: takes connections, gives each request to the gateway, and ends in order.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use almoner_gateway::ClientBody;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, oneshot, watch};

use crate::lanes::Lanes;

/// How many connections may be open at once.
const CONNECTIONS_MAX: u32 = 10_000;
/// How many connections may be open at once that came while the server drains.
const LATE_MAX: usize = 256;
/// How long to wait before taking the next connection after the operating system could give none.
const BACK_OFF: Duration = Duration::from_millis(50);

/// What the listener is told of the world.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) header_bytes: usize,
    pub(crate) header_time: Duration,
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
    H: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<ClientBody>> + Send + 'static,
{
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX as usize));
    take(&listener, &lanes, &room, limits, &handle, &mut phase, Phase::Draining).await;
    let ended = async {
        // Every place is free again once every connection has ended.
        drop(room.acquire_many(CONNECTIONS_MAX).await);
        // Nobody hears it where the drain has ended without.
        let _ = drained.send(());
        std::future::pending::<()>().await;
    };
    let late = Arc::new(Semaphore::new(LATE_MAX));
    tokio::select! {
        () = take(&listener, &lanes, &late, limits, &handle, &mut phase, Phase::Over) => {}
        () = ended => {}
    }
}

/// Takes connections while there is room, until the server comes so far.
async fn take<H, F>(
    listener: &TcpListener,
    lanes: &Lanes,
    room: &Arc<Semaphore>,
    limits: Limits,
    handle: &H,
    phase: &mut watch::Receiver<Phase>,
    until: Phase,
) where
    H: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
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
                if let (Ok(place), Ok(stream)) = (Arc::clone(room).try_acquire_owned(), stream.into_std()) {
                    let (handle, phase) = (handle.clone(), phase.clone());
                    lanes.spawn(async move {
                        // Its lane must be the one that is told when there is something to read.
                        if let Ok(stream) = TcpStream::from_std(stream) {
                            connection(stream, limits, handle, phase, until).await;
                        }
                        drop(place);
                    });
                }
            }
            Err(_) => tokio::time::sleep(BACK_OFF).await,
        }
    }
}

async fn connection<H, F>(stream: TcpStream, limits: Limits, handle: H, mut phase: watch::Receiver<Phase>, until: Phase)
where
    H: Fn(Request<Incoming>) -> F + Send + 'static,
    F: Future<Output = Response<ClientBody>> + Send + 'static,
{
    // Small events must leave as they come; where the option is refused they leave a little later.
    drop(stream.set_nodelay(true));
    let service = service_fn(move |request| {
        let answer = handle(request);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(limits.header_time).max_buf_size(limits.header_bytes);
    // A client that closes its half of the connection may still read its answer. A hundred headers are enough, and the
    // most that hyper reads without asking for memory.
    builder.half_close(false);
    // Who comes while the server drains has one answer to get.
    builder.keep_alive(until == Phase::Draining);
    let connection = builder.serve_connection(TokioIo::new(stream), service);
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
