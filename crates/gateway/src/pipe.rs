//! The body of a stream's answer: filled at one end by the relay, read at the other by the connection of its client.
//!
//! It promises that whoever reads it sees every byte that was sent, in order, and only then how it ended: as it should,
//! or broken off. The two ends may live on different threads.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use hyper::body::{Body, Bytes, Frame};
use tokio::sync::{mpsc, oneshot};

use crate::relay::{BoxError, ClientBody};

/// How many chunks may be on their way to a client.
const CHUNKS_MAX: usize = 16;
/// Why an answer has no end.
const LOST: &str = "the rest of the answer was lost";

/// The end that is filled. Dropped before it is said how the body ends, it ends it in the middle.
pub(crate) struct Filler {
    chunks: mpsc::Sender<Bytes>,
    end: oneshot::Sender<Result<(), BoxError>>,
}

/// The client has gone, and takes no more.
#[derive(Debug)]
pub(crate) struct Gone;

/// The end that is read.
struct Filled {
    chunks: mpsc::Receiver<Bytes>,
    /// Tells how it ends; gone once it has.
    end: Option<oneshot::Receiver<Result<(), BoxError>>>,
    /// How it broke off, once that is known and before it is told.
    untold: Option<BoxError>,
}

/// A body, and its filler.
pub(crate) fn client_body() -> (Filler, ClientBody) {
    let (chunks, read) = mpsc::channel(CHUNKS_MAX);
    let (end, heard) = oneshot::channel();
    (Filler { chunks, end }, ClientBody::new(Filled { chunks: read, end: Some(heard), untold: None }))
}

impl Filler {
    /// Sends a chunk; waits while too many are on their way.
    pub(crate) async fn send(&self, chunk: Bytes) -> Result<(), Gone> {
        self.chunks.send(chunk).await.map_err(|_| Gone)
    }

    /// Waits until the client has gone.
    pub(crate) async fn gone(&self) {
        self.chunks.closed().await;
    }

    /// Ends the body as it should.
    pub(crate) fn finish(self) {
        self.say(Ok(()));
    }

    /// Ends the body in the middle, so that it cannot look whole.
    pub(crate) fn abort(self, why: BoxError) {
        self.say(Err(why));
    }

    fn say(self, how: Result<(), BoxError>) {
        // Said before the chunks end, because their end is what makes the other side ask.
        drop(self.end.send(how));
    }
}

impl Body for Filled {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Some(why) = self.untold.take() {
            return Poll::Ready(Some(Err(why)));
        }
        if let Some(chunk) = ready!(self.chunks.poll_recv(context)) {
            return Poll::Ready(Some(Ok(Frame::data(chunk))));
        }
        let Some(mut end) = self.end.take() else { return Poll::Ready(None) };
        // Whoever filled it and said nothing fell over a fault of ours.
        let Err(why) = end.try_recv().unwrap_or_else(|_| Err(LOST.into())) else { return Poll::Ready(None) };
        // An error closes the connection with what it has not yet sent: what came before it goes out first.
        self.untold = Some(why);
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

/// A body that is all there.
pub(crate) fn full_body(bytes: Bytes) -> ClientBody {
    use http_body_util::BodyExt;
    ClientBody::new(http_body_util::Full::new(bytes).map_err(|never: Infallible| match never {}))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Wake, Waker};

    /// Reads a body to its end: how many bytes it had, and whether it broke off.
    async fn read(mut body: ClientBody) -> (usize, bool) {
        let mut bytes = 0;
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else { return (bytes, true) };
            bytes += frame.data_ref().map_or(0, Bytes::len);
        }
        (bytes, false)
    }

    #[test]
    fn the_last_chunk_is_read_however_close_behind_it_the_end_comes() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
        for round in 0..5_000 {
            let (filler, body) = client_body();
            let reading = runtime.spawn(read(body));
            let aborts = round % 2 == 1;
            runtime.spawn(async move {
                filler.send(Bytes::from_static(b"data: 1\n\n")).await.unwrap();
                filler.send(Bytes::from_static(b"data: 2\n\n")).await.unwrap();
                if aborts { filler.abort("broken".into()) } else { filler.finish() }
            });
            assert_eq!(runtime.block_on(reading).unwrap(), (18, aborts), "round {round}");
        }
    }

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_break_lets_what_came_before_it_go_out_first() {
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        let mut context = Context::from_waker(&waker);
        let (filler, mut body) = client_body();
        filler.abort("broken".into());
        let mut poll = || Pin::new(&mut body).poll_frame(&mut context);
        assert!(poll().is_pending());
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
        assert!(matches!(poll(), Poll::Ready(Some(Err(_)))));
        assert!(matches!(poll(), Poll::Ready(None)));
    }

    #[tokio::test]
    async fn a_body_whose_filler_dies_does_not_look_whole() {
        let (filler, body) = client_body();
        filler.send(Bytes::from_static(b"data: 1\n\n")).await.unwrap();
        drop(filler);
        assert_eq!(read(body).await, (9, true));
    }

    #[tokio::test]
    async fn a_filler_hears_that_nobody_reads_any_more() {
        let (filler, body) = client_body();
        drop(body);
        filler.gone().await;
        assert!(filler.send(Bytes::from_static(b"x")).await.is_err());
    }
}
