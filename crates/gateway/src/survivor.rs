//! A future that outlives whoever waits for it.
//!
//! A call is worked on by the task of its client's connection, which costs no hand-over. Where the client goes, the
//! connection drops the call in the middle; what is left of it goes on in a task of its own then.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::runtime::Handle;

/// Runs `work` in the task that waits for it, and to its end wherever that task ends before.
pub(crate) fn to_the_end<F>(work: F) -> Survivor<F>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    Survivor { work: Some(Box::pin(work)) }
}

/// Why work has no result: it broke a promise of its own.
#[derive(Debug)]
pub(crate) struct Panicked;

impl From<Box<dyn Any + Send>> for Panicked {
    fn from(_: Box<dyn Any + Send>) -> Self {
        // What it had to say was said where it happened.
        Self
    }
}

/// Work that is done to its end.
pub(crate) struct Survivor<F>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    /// Gone once it is done.
    work: Option<Pin<Box<F>>>,
}

impl<F> Future for Survivor<F>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    type Output = Result<F::Output, Panicked>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(work) = self.work.as_mut() else { return Poll::Pending };
        // Nothing of the work is used after a panic.
        let polled = catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context)));
        let done = match polled {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(output)) => Ok(output),
            Err(panic) => Err(panic.into()),
        };
        self.work = None;
        Poll::Ready(done)
    }
}

impl<F> Drop for Survivor<F>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn drop(&mut self) {
        let Some(rest) = self.work.take() else { return };
        // Where there is no runtime any more, or one that is ending, it is dropped, and its guard ends its hold.
        if let Ok(runtime) = Handle::try_current() {
            drop(runtime.spawn(rest));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::oneshot;

    #[tokio::test]
    async fn who_waits_gets_the_result() {
        assert_eq!(to_the_end(async { 7 }).await.unwrap(), 7);
    }

    #[tokio::test]
    async fn work_goes_on_where_nobody_waits_for_it_any_more() {
        let (go, gone) = oneshot::channel::<()>();
        let (tell, told) = oneshot::channel();
        let mut work = Box::pin(to_the_end(async move {
            gone.await.unwrap();
            tell.send("done").unwrap();
        }));
        assert!(std::future::poll_fn(|context| Poll::Ready(work.as_mut().poll(context))).await.is_pending());
        drop(work);
        go.send(()).unwrap();
        assert_eq!(told.await, Ok("done"));
    }

    #[tokio::test]
    async fn work_that_nobody_ever_began_to_wait_for_is_done_too() {
        let (tell, told) = oneshot::channel();
        drop(to_the_end(async move { tell.send("done").unwrap() }));
        assert_eq!(told.await, Ok("done"));
    }

    #[tokio::test]
    async fn a_panic_ends_the_work_and_nothing_else() {
        assert!(to_the_end(async { panic!("on purpose") }).await.is_err());
    }
}
