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
use tokio::sync::{Semaphore, watch};

/// How many connections may be open at once.
const CONNECTIONS_MAX: u32 = 10_000;
/// How long to wait before taking the next connection after the operating system could give none.
const BACK_OFF: Duration = Duration::from_millis(50);

/// What the listener is told of the world.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) header_bytes: usize,
    pub(crate) header_time: Duration,
}

/// Serves until `stop` says so; then takes no more requests, and ends when those that are running have their answers.
pub(crate) async fn serve<H, F>(listener: TcpListener, limits: Limits, handle: H, mut stop: watch::Receiver<bool>)
where
    H: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<ClientBody>> + Send + 'static,
{
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX as usize));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = told(&mut stop) => break,
        };
        match accepted {
            // A connection too many is closed at once: its client can try again, and those that run are not slowed.
            Ok((stream, _)) => {
                if let Ok(place) = Arc::clone(&room).try_acquire_owned() {
                    let (handle, stop) = (handle.clone(), stop.clone());
                    tokio::spawn(async move {
                        connection(stream, limits, handle, stop).await;
                        drop(place);
                    });
                }
            }
            Err(_) => tokio::time::sleep(BACK_OFF).await,
        }
    }
    drop(listener);
    // Every place is free again once every connection has ended.
    drop(room.acquire_many(CONNECTIONS_MAX).await);
}

async fn connection<H, F>(stream: TcpStream, limits: Limits, handle: H, mut stop: watch::Receiver<bool>)
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
    // A client that closes its half of the connection may still read its answer.
    builder.half_close(false).max_headers(200);
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    tokio::select! {
        _ = connection.as_mut() => {}
        () = told(&mut stop) => {
            connection.as_mut().graceful_shutdown();
            drop(connection.await);
        }
    }
}

/// Waits until `stop` says so, or nobody is left to say it.
pub(crate) async fn told(stop: &mut watch::Receiver<bool>) {
    drop(stop.wait_for(|stop| *stop).await);
}
