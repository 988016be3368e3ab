//! What both servers share: accepting on a free port of the loopback, and bodies.

use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;

use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::CONTENT_TYPE;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

use crate::hang_up::{Line, Slam};

pub(crate) type Body = UnsyncBoxBody<Bytes, io::Error>;
pub(crate) type Asked = Request<Incoming>;
/// What a handler makes of a request; a fault hangs up without an answer.
pub(crate) type Answering = Pin<Box<dyn Future<Output = io::Result<Response<Body>>> + Send>>;

/// A server that ends, with every connection it has, when it is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    addr: SocketAddr,
    accepting: AbortHandle,
    open: watch::Sender<usize>,
}

impl Server {
    /// Serves on a port that the system chooses.
    pub(crate) async fn start<H>(handler: H) -> io::Result<Self>
    where
        H: Fn(Asked, Slam) -> Answering + Clone + Send + 'static,
    {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let addr = listener.local_addr()?;
        let open = watch::Sender::new(0);
        let accepting = tokio::spawn(accept(listener, handler, open.clone())).abort_handle();
        Ok(Self { addr, accepting, open })
    }

    pub(crate) const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Waits until every connection that anybody made before has ended.
    pub(crate) async fn quiet(&self) -> io::Result<()> {
        // Connections are taken in the order in which they were made, so the end of this one says that all are known.
        let mut last = TcpStream::connect(self.addr).await?;
        last.write_all(b"GET /truth HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await?;
        last.read_to_end(&mut Vec::new()).await?;
        // The sender is this server's own, so there is always news to come.
        let _ = self.open.subscribe().wait_for(|open| *open == 0).await;
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept<H>(listener: TcpListener, handler: H, open: watch::Sender<usize>)
where
    H: Fn(Asked, Slam) -> Answering + Clone + Send + 'static,
{
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            // An accept that fails concerns one peer that is already gone, or a shortage that passes.
            accepted = listener.accept() => if let Ok((stream, _)) = accepted {
                let counted = Counted::new(open.clone());
                let conversation = converse(stream, handler.clone());
                connections.spawn(async move {
                    conversation.await;
                    drop(counted);
                });
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// A connection that is counted as long as this lives.
struct Counted(watch::Sender<usize>);

impl Counted {
    fn new(open: watch::Sender<usize>) -> Self {
        open.send_modify(|open| *open += 1);
        Self(open)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.send_modify(|open| *open -= 1);
    }
}

async fn converse<H>(stream: TcpStream, handler: H)
where
    H: Fn(Asked, Slam) -> Answering + Clone + Send + 'static,
{
    // Small chunks must leave one by one, or a test of streaming would see them together.
    let _ = stream.set_nodelay(true);
    let slam = Slam::default();
    let line = TokioIo::new(Line::new(stream, slam.clone()));
    let service = service_fn(move |asked| handler(asked, slam.clone()));
    // How the connection ends is the client's to judge.
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(line, service).await;
}

/// A whole answer.
pub(crate) fn whole(status: StatusCode, content_type: &'static str, bytes: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(full(bytes));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(content_type));
    response
}

/// An answer of one JSON object.
pub(crate) fn json(status: StatusCode, value: &serde_json::Value) -> Response<Body> {
    whole(status, "application/json", value.to_string())
}

/// A body that is there at once.
pub(crate) fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// The status of a number; what is none becomes 500.
pub(crate) fn status(number: u16) -> StatusCode {
    StatusCode::from_u16(number).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}
