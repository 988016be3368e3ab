//! A body that comes in pieces, at a pace, and may break off.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::{Body, Bytes, Frame};
use tokio::time::Sleep;

use crate::hang_up::Slam;

/// How a body ends after its last piece.
#[derive(Debug, Default)]
pub(crate) enum Ending {
    /// As HTTP wants it.
    #[default]
    Proper,
    /// The connection closes.
    Close,
    /// The connection is reset.
    Reset(Slam),
}

/// A body in pieces.
pub(crate) struct Drip {
    pieces: VecDeque<Bytes>,
    pause: Duration,
    sleep: Option<Pin<Box<Sleep>>>,
    /// Whether the piece before was given a moment to leave.
    breathed: bool,
    ending: Ending,
    at_end: Option<Box<dyn FnOnce() + Send>>,
}

impl Drip {
    /// The pieces, one after the other, with no pause.
    pub(crate) fn of(pieces: Vec<Bytes>) -> Self {
        let pieces = pieces.into();
        Self { pieces, pause: Duration::ZERO, sleep: None, breathed: true, ending: Ending::Proper, at_end: None }
    }

    /// The same, with a pause before each piece.
    pub(crate) fn paced(self, pause: Duration) -> Self {
        Self { pause, ..self }
    }

    /// The same, ending so.
    pub(crate) fn ending(self, ending: Ending) -> Self {
        Self { ending, ..self }
    }

    /// The same, doing this when the connection takes the last piece; where nobody takes it, it is dropped undone.
    pub(crate) fn at_end(self, at_end: impl FnOnce() + Send + 'static) -> Self {
        Self { at_end: Some(Box::new(at_end)), ..self }
    }

    fn poll_pause(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.breathed {
            // The server flushes what it has while a body is not ready; without this, pieces leave together, and the
            // last ones before a break do not leave at all.
            self.breathed = true;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if self.pause.is_zero() || self.pieces.is_empty() {
            return Poll::Ready(());
        }
        let pause = self.pause;
        self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep(pause))).as_mut().poll(cx)
    }

    fn end(&mut self) -> Option<io::Result<Frame<Bytes>>> {
        let broken = || Some(Err(io::Error::other("the plan breaks this body off")));
        match &self.ending {
            Ending::Proper => None,
            Ending::Close => broken(),
            Ending::Reset(slam) => {
                slam.ask();
                broken()
            }
        }
    }
}

impl Body for Drip {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.poll_pause(cx).is_pending() {
            return Poll::Pending;
        }
        (self.sleep, self.breathed) = (None, false);
        let piece = self.pieces.pop_front();
        if self.pieces.is_empty()
            // A body of known length is not asked again after its last byte.
            && let Some(at_end) = self.at_end.take()
        {
            at_end();
        }
        Poll::Ready(piece.map_or_else(|| self.end(), |piece| Some(Ok(Frame::data(piece)))))
    }
}
