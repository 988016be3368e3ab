//! Lanes: the threads that serve connections.
//!
//! A connection stays in its lane for as long as it lives, and so does every call on it and every connection to a
//! provider that such a call opens. What happens in a lane wakes no other thread, but for the keeper: a call that went
//! from thread to thread would cost more in waking them than in all the work that is done for it.
//!
//! There are as many lanes as processors, and they fill one after another: a few clients share one, and with it its
//! connections to the providers, each of which took a handshake; many are spread over all. One lane carries some ten
//! thousand calls a second.

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::num::NonZero;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// How many connections a lane gets before the next one gets its first.
const FEW: usize = 16;
/// How long a lane that ends waits for what blocks in it.
const END_MAX: Duration = Duration::from_secs(5);

thread_local! {
    static CURRENT: Cell<usize> = const { Cell::new(0) };
}

/// The lanes; dropping them ends them, and waits for none.
pub(crate) struct Lanes(Vec<Lane>);

struct Lane {
    runtime: Handle,
    /// How many connections it serves.
    open: Arc<AtomicUsize>,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

/// How many lanes there are.
pub(crate) fn count() -> usize {
    std::thread::available_parallelism().map_or(1, NonZero::get)
}

impl Lanes {
    /// Starts as many lanes as there are to be.
    ///
    /// # Errors
    /// Where the operating system gives no thread, or no way to wait for its sockets.
    pub(crate) fn start() -> io::Result<Self> {
        Ok(Self((0..count()).map(Lane::start).collect::<io::Result<_>>()?))
    }

    /// Serves a connection in a lane that has room for it; all that this spawns stays there.
    pub(crate) fn spawn(&self, connection: impl Future<Output = ()> + Send + 'static) {
        let roomy = self.0.iter().find(|lane| lane.open() < FEW);
        let Some(lane) = roomy.or_else(|| self.0.iter().min_by_key(|lane| lane.open())) else { return };
        let place = Place::take(&lane.open);
        drop(lane.runtime.spawn(async move {
            connection.await;
            drop(place);
        }));
    }

    /// Ends the lanes, and drops what still runs in them.
    pub(crate) fn end(self) {
        let end = |lane: Lane| {
            lane.stop.send(()).unwrap_or_default();
            lane.thread
        };
        let ending: Vec<_> = self.0.into_iter().map(end).collect();
        ending.into_iter().for_each(|thread| drop(thread.join()));
    }
}

impl Lane {
    fn start(at: usize) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel();
        let serve = move || {
            CURRENT.set(at);
            drop(runtime.block_on(stopped));
            runtime.shutdown_timeout(END_MAX);
        };
        let thread = std::thread::Builder::new().name(format!("lane-{at}")).spawn(serve)?;
        Ok(Self { runtime: handle, open: Arc::default(), stop, thread })
    }

    fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }
}

/// A connection's place in its lane, until it is dropped.
struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(open: &Arc<AtomicUsize>) -> Self {
        open.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(open))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One of something for each lane, for whoever runs in it; the first one for whoever runs in none.
#[derive(Clone)]
pub(crate) struct PerLane<T>(Vec<T>);

impl<T> PerLane<T> {
    /// Makes them.
    pub(crate) fn new(make: impl FnMut() -> T) -> Self {
        Self(std::iter::repeat_with(make).take(count()).collect())
    }

    /// The one of this lane.
    pub(crate) fn here(&self) -> &T {
        &self.0[CURRENT.get() % self.0.len()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_done_in_a_lane_stays_in_it_and_is_dropped_with_it() {
        let lanes = Lanes::start().unwrap();
        let (tell, told) = std::sync::mpsc::channel();
        let most = FEW * count() + 1;
        for _ in 0..most {
            let tell = tell.clone();
            lanes.spawn(async move {
                let here = (CURRENT.get(), std::thread::current().id());
                tokio::spawn(async move {
                    tell.send((here, (CURRENT.get(), std::thread::current().id()))).unwrap();
                    std::future::pending::<()>().await;
                    drop(tell);
                });
                std::future::pending::<()>().await;
            });
        }
        drop(tell);
        let places: Vec<_> = told.iter().take(most).collect();
        assert!(places.iter().all(|(outer, inner)| outer == inner), "{places:?}");
        lanes.end();
        assert!(told.recv().is_err(), "nothing runs on after its lane");
    }

    #[test]
    fn a_few_share_a_lane_and_many_are_spread() {
        let lanes = Lanes::start().unwrap();
        let open = || lanes.0.iter().map(Lane::open).collect::<Vec<_>>();
        let serve = |most: usize| (0..most).for_each(|_| lanes.spawn(std::future::pending()));
        serve(FEW);
        assert_eq!((open()[0], open().iter().sum()), (FEW, FEW));
        serve(FEW * (count() - 1) + count());
        assert_eq!(open(), vec![FEW + 1; count()]);
        let places: Vec<_> = lanes.0.iter().map(|lane| Arc::clone(&lane.open)).collect();
        lanes.end();
        assert!(places.iter().all(|open| open.load(Ordering::Relaxed) == 0), "who ends leaves its place");
    }

    #[test]
    fn every_lane_has_its_own_and_everybody_has_one() {
        let mut made = 0;
        let numbers = PerLane::new(|| {
            made += 1;
            made
        });
        assert_eq!((*numbers.here(), made), (1, count()));
    }
}
