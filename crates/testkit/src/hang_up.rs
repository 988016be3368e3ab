//! A connection that can end in a reset instead of a goodbye.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Says that a connection shall end in a reset.
#[derive(Clone, Debug, Default)]
pub(crate) struct Slam(Arc<AtomicBool>);

impl Slam {
    pub(crate) fn ask(&self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// A connection that resets its peer when it is dropped, if somebody asked for it.
pub(crate) struct Line {
    stream: TcpStream,
    slam: Slam,
}

impl Line {
    pub(crate) fn new(stream: TcpStream, slam: Slam) -> Self {
        Self { stream, slam }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if self.slam.0.load(Ordering::SeqCst) {
            // Where it fails the peer sees an ordinary end, which it must bear as well.
            let _ = self.stream.set_zero_linger();
        }
    }
}

impl AsyncRead for Line {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Line {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
