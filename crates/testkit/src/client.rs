//! A raw client: one request on one connection, and a way to leave in the middle.

use std::io;
use std::net::SocketAddr;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::HOST;
use hyper::{HeaderMap, Method, Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::AbortHandle;

/// How long a client stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Patience {
    /// To the end.
    #[default]
    ToTheEnd,
    /// Until so many bytes of the answer's body came; with 0 it leaves at the head of the answer.
    Bytes(usize),
    /// It leaves as soon as the request is sent.
    None,
}

/// A request.
#[derive(Clone, Copy, Debug)]
pub struct Post<'a> {
    /// The path, with its query.
    pub path: &'a str,
    /// Headers beside `host`, `content-length` and the JSON `content-type`.
    pub headers: &'a [(&'a str, &'a str)],
    /// The body.
    pub body: &'a [u8],
    /// How long to stay.
    pub patience: Patience,
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// As much of the body as came before either side left.
    pub body: Bytes,
    /// Whether the body came to its proper end.
    pub complete: bool,
}

impl Answer {
    /// The header of that name, if it is there and text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body as JSON; `Null` where it is none.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The body as text, with what is no UTF-8 replaced.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Why there is no answer.
#[derive(Debug)]
pub enum NoAnswer {
    /// Nobody took the connection.
    Unreachable(io::Error),
    /// The connection ended before the head of an answer.
    Broken(hyper::Error),
    /// The client left first, as it was told to.
    Left,
    /// The path or a header cannot be sent.
    Unsendable(hyper::http::Error),
}

/// Posts a body and reads the answer to its end.
///
/// # Errors
/// [`NoAnswer`] where the head of an answer never came.
pub async fn post(addr: SocketAddr, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Answer, NoAnswer> {
    Post { path, headers, body, patience: Patience::ToTheEnd }.send(addr).await
}

impl Post<'_> {
    /// Sends the request on a connection of its own, which is closed when this returns.
    ///
    /// # Errors
    /// [`NoAnswer`] where the head of an answer never came, or nobody waited for it.
    pub async fn send(&self, addr: SocketAddr) -> Result<Answer, NoAnswer> {
        let mut stream = TcpStream::connect(addr).await.map_err(NoAnswer::Unreachable)?;
        if self.patience == Patience::None {
            stream.write_all(&self.wire(addr)).await.map_err(NoAnswer::Unreachable)?;
            return Err(NoAnswer::Left);
        }
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(NoAnswer::Broken)?;
        let _talking = Talking(tokio::spawn(connection).abort_handle());
        let response = sender.send_request(self.request(addr)?).await.map_err(NoAnswer::Broken)?;
        Ok(self.read(response).await)
    }

    fn request(&self, addr: SocketAddr) -> Result<Request<Full<Bytes>>, NoAnswer> {
        let mut request = Request::builder().method(Method::POST).uri(self.path).header(HOST, addr.to_string());
        if !self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
            request = request.header("content-type", "application/json");
        }
        for (name, value) in self.headers {
            request = request.header(*name, *value);
        }
        request.body(Full::new(Bytes::copy_from_slice(self.body))).map_err(NoAnswer::Unsendable)
    }

    /// The request as bytes, for a client that does not even wait for its own HTTP library.
    fn wire(&self, addr: SocketAddr) -> Vec<u8> {
        let mut wire = format!("POST {} HTTP/1.1\r\nhost: {addr}\r\ncontent-type: application/json\r\n", self.path);
        for (name, value) in self.headers {
            wire.push_str(&format!("{name}: {value}\r\n"));
        }
        wire.push_str(&format!("content-length: {}\r\n\r\n", self.body.len()));
        [wire.as_bytes(), self.body].concat()
    }

    async fn read(&self, response: Response<Incoming>) -> Answer {
        let (head, mut incoming) = response.into_parts();
        let mut body = Vec::new();
        let most = match self.patience {
            Patience::Bytes(most) => most,
            Patience::ToTheEnd | Patience::None => usize::MAX,
        };
        let complete = loop {
            if body.len() >= most {
                body.truncate(most);
                break false;
            }
            match incoming.frame().await {
                Some(Ok(frame)) => body.extend_from_slice(frame.data_ref().map_or(&[], |bytes| &bytes[..])),
                Some(Err(_)) => break false,
                None => break true,
            }
        };
        Answer { status: head.status.as_u16(), headers: head.headers, body: body.into(), complete }
    }
}

/// A connection's task, which ends with the request, so that leaving really closes the socket.
struct Talking(AbortHandle);

impl Drop for Talking {
    fn drop(&mut self) {
        self.0.abort();
    }
}
