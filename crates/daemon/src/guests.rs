//! Guests: the connections that are open, and who must leave where another comes and there is no room.
//!
//! A connection keeps us waiting while its client owes it something: a request, the rest of one, or to read its answer.
//! Where every place is taken, those leave that have kept us waiting longest, because nothing is lost with them: a
//! client that means to be served sends its request at once, and reads its answer. A call that runs is never ended for
//! somebody who comes later. It leaves out who a client is: behind a proxy all of them have one address.

use std::collections::HashMap;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::{Body, Frame, SizeHint};
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, timeout};

/// Of how many places one is freed at once: looking for who must leave takes as long as there are guests.
const FREED_ONE_OF: usize = 64;
/// How long whoever comes waits for somebody to leave, and how often it looks who could.
const LEAVING_MAX: Duration = Duration::from_secs(1);
const LOOK: Duration = Duration::from_millis(20);
/// The time of who is on the way to a lane, and was not listened to yet.
const ON_THE_WAY: u64 = u64::MAX;

/// Descriptors for all that is no connection: files, sockets of our own, connections to providers that idle.
const DESCRIPTORS_ASIDE: u64 = 256;

/// How many of so many connections this process can have descriptors for: one each, and one to a provider. It takes as
/// many as it is let to have.
pub(crate) fn possible(connections: usize) -> usize {
    let needed = u64::try_from(connections).unwrap_or(u64::MAX).saturating_mul(2).saturating_add(DESCRIPTORS_ASIDE);
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < needed) {
        limit.current = Some(limit.maximum.map_or(needed, |maximum| maximum.min(needed)));
        // Where that is refused, what there is must do.
        setrlimit(Resource::Nofile, limit).unwrap_or_default();
    }
    let given = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(given.saturating_sub(DESCRIPTORS_ASIDE) / 2).unwrap_or(usize::MAX).clamp(1, connections)
}

/// All who are here.
pub(crate) struct Guests {
    most: usize,
    room: Arc<Semaphore>,
    seats: Seats,
    /// Times are told from here.
    began: Instant,
    came: AtomicU64,
}

type Seats = Arc<Mutex<HashMap<u64, Arc<Seat>>>>;

impl Guests {
    /// Room for so many connections.
    pub(crate) fn new(most: usize) -> Self {
        let most = most.clamp(1, Semaphore::MAX_PERMITS);
        let room = Arc::new(Semaphore::new(most));
        Self { most, room, seats: Seats::default(), began: Instant::now(), came: AtomicU64::new(0) }
    }

    /// A place for one more, where there is one or somebody can leave.
    pub(crate) async fn admit(&self) -> Option<Place> {
        if let Ok(permit) = Arc::clone(&self.room).try_acquire_owned() {
            return Some(self.seat(permit));
        }
        let ends = Instant::now() + LEAVING_MAX;
        while Instant::now() < ends {
            if self.make_room() == 0 && !self.is_any_on_the_way() {
                return None;
            }
            if let Ok(Ok(permit)) = timeout(LOOK, Arc::clone(&self.room).acquire_owned()).await {
                return Some(self.seat(permit));
            }
        }
        None
    }

    /// Whether somebody has not been listened to yet: it may be at work the next moment, or keep us waiting.
    fn is_any_on_the_way(&self) -> bool {
        locked(&self.seats).values().any(|seat| seat.asked_since.load(Ordering::Relaxed) == ON_THE_WAY)
    }

    /// Sends those away that have kept us waiting longest; how many they are.
    pub(crate) fn make_room(&self) -> usize {
        let mut seats = locked(&self.seats);
        let mut waiting: Vec<(u64, u64)> =
            seats.iter().filter_map(|(number, seat)| Some((seat.waits_since()?, *number))).collect();
        waiting.sort_unstable();
        waiting.truncate(self.most.div_ceil(FREED_ONE_OF));
        for (_, number) in &waiting {
            seats.remove(number).iter().for_each(|seat| seat.leave.notify_one());
        }
        waiting.len()
    }

    /// Waits until everybody who came has left.
    pub(crate) async fn all_left(&self) {
        // The least of a number of places that fits; nobody has as many.
        let every = u32::try_from(self.most).unwrap_or(u32::MAX);
        drop(self.room.acquire_many(every).await);
    }

    fn seat(&self, permit: OwnedSemaphorePermit) -> Place {
        let number = self.came.fetch_add(1, Ordering::Relaxed);
        let seat = Arc::new(Seat::new(self.began));
        locked(&self.seats).insert(number, Arc::clone(&seat));
        Place { number, seat, seats: Arc::clone(&self.seats), _permit: permit }
    }
}

fn locked(seats: &Seats) -> MutexGuard<'_, HashMap<u64, Arc<Seat>>> {
    seats.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A guest's place, until it is dropped.
pub(crate) struct Place {
    number: u64,
    seat: Arc<Seat>,
    seats: Seats,
    _permit: OwnedSemaphorePermit,
}

impl Place {
    /// What is known of who sits there.
    pub(crate) fn seat(&self) -> Arc<Seat> {
        Arc::clone(&self.seat)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        drop(locked(&self.seats).remove(&self.number));
    }
}

/// What is known of one guest.
pub(crate) struct Seat {
    began: Instant,
    /// Since when a request, or the rest of one, is waited for, in milliseconds and one; 0: it is not. Who was not
    /// listened to yet, keeps nobody waiting: its request may be here.
    asked_since: AtomicU64,
    /// Since when the client has read nothing of what is ready for it; 0: it reads.
    unread_since: AtomicU64,
    leave: Notify,
}

impl Seat {
    fn new(began: Instant) -> Self {
        let asked_since = AtomicU64::new(ON_THE_WAY);
        Self { began, asked_since, unread_since: AtomicU64::new(0), leave: Notify::new() }
    }

    /// A request is waited for from now on.
    pub(crate) fn is_asked(&self) {
        self.asked_since.store(self.now(), Ordering::Relaxed);
    }

    /// The request is here as a whole, or nobody wants the rest of it.
    fn has_asked(&self) {
        self.asked_since.store(0, Ordering::Relaxed);
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1)
    }

    /// Since when the client keeps us waiting, if it does.
    fn waits_since(&self) -> Option<u64> {
        let since = [&self.asked_since, &self.unread_since].map(|since| since.load(Ordering::Relaxed));
        since.into_iter().filter(|since| (1..ON_THE_WAY).contains(since)).min()
    }

    /// Waits until the guest must leave.
    pub(crate) async fn must_leave(&self) {
        self.leave.notified().await;
    }
}

/// The body of a request, which is waited for until it ends or nobody wants it any more.
pub(crate) struct Arriving<B> {
    body: B,
    seat: Arc<Seat>,
}

impl<B: Body> Arriving<B> {
    /// A body that comes from this guest.
    pub(crate) fn new(body: B, seat: Arc<Seat>) -> Self {
        if body.is_end_stream() {
            seat.has_asked();
        }
        Self { body, seat }
    }
}

impl<B: Body + Unpin> Body for Arriving<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if matches!(polled, Poll::Ready(None)) || self.body.is_end_stream() {
            self.seat.has_asked();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<B> Drop for Arriving<B> {
    fn drop(&mut self) {
        self.seat.has_asked();
    }
}

/// The body of an answer; once it is written, the next request is waited for.
pub(crate) struct Answering<B> {
    body: B,
    seat: Arc<Seat>,
}

impl<B> Answering<B> {
    /// A body that goes to this guest.
    pub(crate) const fn new(body: B, seat: Arc<Seat>) -> Self {
        Self { body, seat }
    }
}

impl<B: Body + Unpin> Body for Answering<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<B> Drop for Answering<B> {
    fn drop(&mut self) {
        self.seat.is_asked();
    }
}

/// A guest's line. What the client leaves unread for too long breaks it: the end of an answer that is waiting to be
/// written would else hold its place for ever.
pub(crate) struct Line<S> {
    stream: S,
    seat: Arc<Seat>,
    unread_max: Duration,
    unread: Option<Pin<Box<Sleep>>>,
}

impl<S> Line<S> {
    /// The line of this guest.
    pub(crate) const fn new(stream: S, seat: Arc<Seat>, unread_max: Duration) -> Self {
        Self { stream, seat, unread_max, unread: None }
    }

    /// What a try to write came to, with an eye on how long nothing could be written.
    fn written<T>(&mut self, polled: Poll<io::Result<T>>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            if self.unread.take().is_some() {
                self.seat.unread_since.store(0, Ordering::Relaxed);
            }
            return polled;
        }
        let (seat, unread_max) = (&self.seat, self.unread_max);
        let unread = self.unread.get_or_insert_with(|| {
            seat.unread_since.store(seat.now(), Ordering::Relaxed);
            Box::pin(tokio::time::sleep(unread_max))
        });
        let late = || io::Error::new(io::ErrorKind::TimedOut, "the client left its answer unread");
        unread.as_mut().poll(context).map(|()| Err(late()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Line<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Line<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.written(polled, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(context, bytes);
        self.written(polled, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::Full;
    use hyper::body::Bytes;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    /// Moves the time on, so that whoever comes next comes later.
    async fn later() {
        tokio::time::advance(Duration::from_millis(10)).await;
    }

    /// A guest that its lane listens to.
    async fn listened_to(guests: &Guests) -> Place {
        let place = guests.admit().await.unwrap();
        place.seat.is_asked();
        place
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_is_sent_away_who_was_not_listened_to() {
        let guests = Guests::new(1);
        let place = guests.admit().await.unwrap();
        assert_eq!(guests.make_room(), 0);
        assert!(guests.admit().await.is_none(), "it is waited for, but not for ever");
        place.seat.is_asked();
        assert_eq!(guests.make_room(), 1);
    }

    fn is_told(place: &Place) -> bool {
        let mut told = std::pin::pin!(place.seat.must_leave());
        let mut context = Context::from_waker(std::task::Waker::noop());
        told.as_mut().poll(&mut context).is_ready()
    }

    #[test]
    fn no_more_connections_are_taken_than_there_are_descriptors_for() {
        assert_eq!(possible(1), 1);
        let most = possible(1 << 40);
        let given = getrlimit(Resource::Nofile).current.unwrap();
        assert!(most as u64 * 2 <= given, "{most} of {given}");
    }

    #[tokio::test(start_paused = true)]
    async fn who_keeps_us_waiting_longest_leaves_first() {
        let guests = Guests::new(3);
        let mut places = Vec::new();
        for _ in 0..3 {
            places.push(listened_to(&guests).await);
            later().await;
        }
        // The first is at work, so the second has kept us waiting longest.
        let request = Arriving::new(Full::new(Bytes::new()), places[0].seat());
        assert_eq!(guests.make_room(), 1);
        assert_eq!(places.iter().map(is_told).collect::<Vec<_>>(), [false, true, false]);
        // Once it has its answer it owes us a request, but only since now.
        drop((request, Answering::new((), places[0].seat())));
        assert_eq!(guests.make_room(), 1);
        assert_eq!(places.iter().map(is_told).collect::<Vec<_>>(), [false, false, true]);
        assert_eq!(guests.make_room(), 1);
        assert_eq!(guests.make_room(), 0, "nobody is sent away twice");
    }

    #[tokio::test(start_paused = true)]
    async fn a_newcomer_gets_the_place_of_who_leaves_and_of_nobody_at_work() {
        let guests = Arc::new(Guests::new(2));
        let [idle, works] = [listened_to(&guests).await, listened_to(&guests).await];
        let request = Arriving::new(Full::new(Bytes::new()), works.seat());
        let leaving = tokio::spawn(async move {
            idle.seat.must_leave().await;
            drop(idle);
        });
        let came = guests.admit().await.unwrap();
        leaving.await.unwrap();
        let also = Arriving::new(Full::new(Bytes::new()), came.seat());
        assert!(guests.admit().await.is_none(), "everybody is at work");
        drop((request, also, came, works));
        guests.all_left().await;
        assert!(guests.seats.lock().unwrap().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_is_waited_for_until_its_last_byte() {
        let guests = Guests::new(1);
        let place = listened_to(&guests).await;
        let mut request = Arriving::new(Full::new(Bytes::from_static(b"body")), place.seat());
        assert!(place.seat.waits_since().is_some());
        http_body_util::BodyExt::frame(&mut request).await.unwrap().unwrap();
        assert!(place.seat.waits_since().is_none());
        drop(Answering::new((), place.seat()));
        assert!(place.seat.waits_since().is_some());
        drop(Arriving::new(Full::new(Bytes::from_static(b"body")), place.seat()));
        assert!(place.seat.waits_since().is_none(), "nobody wants the rest of it");
    }

    #[tokio::test(start_paused = true)]
    async fn a_line_breaks_where_its_client_reads_nothing_for_too_long() {
        let guests = Guests::new(1);
        let place = guests.admit().await.unwrap();
        place.seat.has_asked();
        let (ours, mut theirs) = tokio::io::duplex(4);
        let mut line = Line::new(ours, place.seat(), Duration::from_secs(60));
        let writing = tokio::spawn(async move {
            line.write_all(b"12345678").await.unwrap();
            line.write_all(b"12345678").await.unwrap_err().kind()
        });
        tokio::time::sleep(Duration::from_secs(59)).await;
        assert!(place.seat.waits_since().is_some(), "a client that does not read keeps us waiting");
        let mut read = [0; 4];
        theirs.read_exact(&mut read).await.unwrap();
        tokio::time::sleep(Duration::from_secs(59)).await;
        assert!(!writing.is_finished(), "whatever it reads gives it its time anew");
        assert_eq!(writing.await.unwrap(), io::ErrorKind::TimedOut);
    }
}
