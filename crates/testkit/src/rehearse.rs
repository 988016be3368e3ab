//! The rehearsal behind a socket of its own, for trying clients before there is a gateway.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use almoner_rehearsal::{RehearsalRoute, Reply, answer};
use http_body_util::BodyExt;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Method, Response, StatusCode};
use serde_json::json;

use crate::drip::Drip;
use crate::http::{Answering, Asked, Body, Server, full, json, status};

/// The rehearsal as a server.
#[derive(Debug)]
pub struct RehearsalServer {
    server: Server,
    posts: Arc<AtomicU64>,
}

impl RehearsalServer {
    /// Serves until it is dropped.
    ///
    /// # Errors
    /// Where the loopback has no free port.
    pub async fn start() -> io::Result<Self> {
        let posts = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&posts);
        let server = Server::start(move |asked, _| -> Answering { Box::pin(serve(asked, Arc::clone(&counted))) });
        Ok(Self { server: server.await?, posts })
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.server.addr()
    }

    /// How many requests it answered on the routes of the rehearsal.
    #[must_use]
    pub fn posts(&self) -> u64 {
        self.posts.load(Ordering::SeqCst)
    }
}

async fn serve(asked: Asked, posts: Arc<AtomicU64>) -> io::Result<Response<Body>> {
    let Some(route) = route(&asked) else {
        let found = asked.method() == Method::HEAD && ["/", "/api/hello"].contains(&asked.uri().path());
        let status = if found { StatusCode::OK } else { StatusCode::NOT_FOUND };
        return Ok(json(status, &json!({ "error": { "message": "the rehearsal has no such route" } })));
    };
    posts.fetch_add(1, Ordering::SeqCst);
    let body = asked.into_body().collect().await.map_err(io::Error::other)?.to_bytes();
    Ok(send(answer(route, &body)))
}

fn route(asked: &Asked) -> Option<RehearsalRoute> {
    let path = asked.uri().path_and_query()?;
    (asked.method() == Method::POST).then(|| RehearsalRoute::of(path.as_str())).flatten()
}

fn send(reply: Reply) -> Response<Body> {
    let body = if reply.stream {
        Drip::of(reply.chunks.into_iter().map(Bytes::from).collect()).boxed_unsync()
    } else {
        full(reply.chunks.concat())
    };
    let mut response = Response::new(body);
    *response.status_mut() = status(reply.status);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(reply.content_type));
    if reply.status == StatusCode::PAYMENT_REQUIRED.as_u16() {
        // A client that asks again cannot have more money.
        headers.insert("x-should-retry", HeaderValue::from_static("false"));
    }
    response
}
