//! What a call took of its client's time, and by whom: by us before its provider was asked, and by its provider until
//! the answer began.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::Response;
use hyper::body::{Body, Bytes, Frame, SizeHint};
use tokio::time::Instant;

use crate::relay::{BoxError, UpstreamBody};
use crate::report::Report;
use crate::stack::Understood;

/// When the first byte of an answer came, after its call was handed over; nothing until then.
#[derive(Clone, Debug, Default)]
pub(crate) struct FirstByte(Arc<OnceLock<Duration>>);

impl FirstByte {
    /// How long it took, where it has come.
    pub(crate) fn took(&self) -> Option<Duration> {
        self.0.get().copied()
    }

    /// The same answer, of a call that was handed over at `since`, whose first byte is noted as it passes.
    pub(crate) fn watch(&self, answer: Response<UpstreamBody>, since: Instant) -> Response<UpstreamBody> {
        answer.map(|body| UpstreamBody::new(Watched { body, since, first: Some(self.clone()) }))
    }
}

/// A body whose first byte is waited for.
struct Watched {
    body: UpstreamBody,
    since: Instant,
    /// Gone once it has come.
    first: Option<FirstByte>,
}

impl Body for Watched {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        let is_begun = matches!(&frame, Some(Ok(frame)) if frame.data_ref().is_some_and(|data| !data.is_empty()));
        if let Some(first) = self.first.take_if(|_| is_begun) {
            // Nobody else notes it.
            let _ = first.0.set(self.since.elapsed());
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// What we have added to a call that goes to its provider now: the time since it came whole, without what it waited for
/// its turn. Nothing is told of a further try or stop, which has the time of those before it in its own.
pub(crate) fn added(understood: &Understood, report: &Report) -> Option<Duration> {
    let goes_on = understood.hop.as_ref().is_some_and(|hop| hop.note.continues.is_some());
    let is_first = understood.tries.retries == 0 && !goes_on;
    let paced = report.paced.iter().map(|paced| paced.waited.ms());
    let waited = paced.fold(report.waited.ms(), u64::saturating_add);
    is_first.then(|| understood.since.elapsed().saturating_sub(Duration::from_millis(waited)))
}
