//! The provider in the box, behind the same door as the real ones.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use almoner_gateway::UpstreamBody;
use almoner_rehearsal::RehearsalRoute;
use http_body_util::BodyExt;
use hyper::Response;
use hyper::body::{Body, Bytes, Frame};

/// The answer of the rehearsal to a request on `path`.
pub(crate) fn answer(path: &str, body: &[u8]) -> Response<UpstreamBody> {
    // The gateway sends nothing to a path without a route.
    let route = RehearsalRoute::of(path).unwrap_or(RehearsalRoute::ChatCompletions);
    let reply = almoner_rehearsal::answer(route, body);
    let chunks = Chunks(reply.chunks.into_iter().map(Bytes::from).collect());
    let body = chunks.map_err(|never| match never {}).boxed_unsync();
    let mut answer = Response::new(body);
    *answer.status_mut() = hyper::StatusCode::from_u16(reply.status).unwrap_or_default();
    let kind = hyper::header::HeaderValue::from_static(reply.content_type);
    answer.headers_mut().insert(hyper::header::CONTENT_TYPE, kind);
    answer
}

/// A body of chunks that are all there.
struct Chunks(VecDeque<Bytes>);

impl Body for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(|chunk| Ok(Frame::data(chunk))))
    }
}
