//! The inbox: the room that the bodies of all requests have together.
//!
//! The first bytes of every body are free, so that small calls are in nobody's way. What comes beyond takes room as it
//! arrives, never because a length was declared, and gives it back when the last who reads the body has dropped it.
//! Where no room is left, the body that has been arriving longest gives way: one that is sent as fast as it can be is
//! here in a moment, and one that drips for a minute holds what others need. A body that is here as a whole belongs to
//! a call, and stays.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::{Body, Bytes};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::timeout;

/// How many bytes of a body take no room.
const FREE: usize = 64 << 10;
/// How long a body waits for room, where those that arrive have given way and calls hold the rest.
const WAIT_MAX: Duration = Duration::from_secs(1);

/// Why a body was not received.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unreceived {
    /// It is larger than one may be.
    TooLarge,
    /// It ended before its end.
    BrokeOff(String),
    /// There is no room for it now.
    Crowded,
}

/// The room for bodies, and those that arrive in it.
#[derive(Debug)]
pub(crate) struct Inbox {
    size: usize,
    room: Arc<Semaphore>,
    /// Those that have taken room and are not here as a whole, in the order in which they took it; who is dropped from
    /// here must go.
    arriving: Mutex<BTreeMap<u64, oneshot::Sender<()>>>,
    came: AtomicU64,
}

impl Inbox {
    /// Room for so many bytes.
    pub(crate) fn new(bytes: u64) -> Self {
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        let room = Arc::new(Semaphore::new(bytes));
        Self { size: bytes, room, arriving: Mutex::default(), came: AtomicU64::new(0) }
    }

    /// How many bytes it has room for.
    pub(crate) const fn size(&self) -> usize {
        self.size
    }

    /// Reads a body of at most so many bytes to its end.
    pub(crate) async fn receive<B>(&self, body: B, bytes_max: u64) -> Result<Bytes, Unreceived>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        // Whoever says beforehand that it is too large need not send it.
        if body.size_hint().lower() > bytes_max {
            return Err(Unreceived::TooLarge);
        }
        let most = usize::try_from(bytes_max).unwrap_or(usize::MAX);
        let (mut body, mut whole, mut place) = (pin!(body), Vec::new(), None);
        loop {
            let next = match &mut place {
                None => body.frame().await,
                Some(place) => or_go(place, body.frame()).await?,
            };
            let Some(frame) = next else { break };
            let frame = frame.map_err(|error| Unreceived::BrokeOff(error.into().to_string()))?;
            let Ok(data) = frame.into_data() else { continue };
            if whole.is_empty() && data.len() <= FREE && body.is_end_stream() {
                return if data.len() > most { Err(Unreceived::TooLarge) } else { Ok(data) };
            }
            let (before, length) = (whole.len(), whole.len() + data.len());
            if length > most {
                return Err(Unreceived::TooLarge);
            }
            let beyond = length.saturating_sub(before.max(FREE));
            if beyond > 0 {
                place.get_or_insert_with(|| self.place()).take(beyond).await?;
            }
            whole.extend_from_slice(&data);
        }
        Ok(match place.and_then(Place::into_room) {
            None => whole.into(),
            Some(room) => Bytes::from_owner(Kept { bytes: whole, _room: room }),
        })
    }

    fn place(&self) -> Place<'_> {
        let number = self.came.fetch_add(1, Ordering::Relaxed);
        let (stay, go) = oneshot::channel();
        self.arriving().insert(number, stay);
        Place { inbox: self, number, room: None, go }
    }

    /// Makes the body go that has been arriving longest, where it took its place before this one.
    fn make_room(&self, before: u64) -> bool {
        let mut arriving = self.arriving();
        let longest = arriving.first_entry().filter(|first| *first.key() < before);
        longest.map(std::collections::btree_map::OccupiedEntry::remove).is_some()
    }

    fn arriving(&self) -> MutexGuard<'_, BTreeMap<u64, oneshot::Sender<()>>> {
        self.arriving.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a place waits for, unless it must go first.
async fn or_go<T>(place: &mut Place<'_>, next: impl Future<Output = T>) -> Result<T, Unreceived> {
    tokio::select! {
        biased;
        _ = &mut place.go => Err(Unreceived::Crowded),
        next = next => Ok(next),
    }
}

/// The place of a body that arrives, until it is dropped.
struct Place<'i> {
    inbox: &'i Inbox,
    number: u64,
    room: Option<OwnedSemaphorePermit>,
    go: oneshot::Receiver<()>,
}

impl Place<'_> {
    /// Takes room for so many bytes more.
    async fn take(&mut self, bytes: usize) -> Result<(), Unreceived> {
        let bytes = u32::try_from(bytes).map_err(|_| Unreceived::TooLarge)?;
        let room = Arc::clone(&self.inbox.room);
        let taken = loop {
            if let Ok(taken) = Arc::clone(&room).try_acquire_many_owned(bytes) {
                break taken;
            }
            let is_last_try = !self.inbox.make_room(self.number);
            let freed = timeout(WAIT_MAX, Arc::clone(&room).acquire_many_owned(bytes));
            match or_go(self, freed).await? {
                Ok(Ok(taken)) => break taken,
                _ if is_last_try => return Err(Unreceived::Crowded),
                _ => {}
            }
        };
        match &mut self.room {
            Some(room) => room.merge(taken),
            None => self.room = Some(taken),
        }
        Ok(())
    }

    /// The room that it took, for as long as the body is kept.
    fn into_room(mut self) -> Option<OwnedSemaphorePermit> {
        self.room.take()
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        drop(self.inbox.arriving().remove(&self.number));
    }
}

/// A body with the room that it takes.
struct Kept {
    bytes: Vec<u8>,
    _room: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Kept {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relay::BoxError;
    use http_body_util::Full;
    use http_body_util::channel::{Channel, Sender};
    use hyper::body::Frame;
    use tokio::task::JoinHandle;

    const KIB: usize = 1 << 10;

    fn body(bytes: usize) -> Full<Bytes> {
        Full::new(vec![b'x'; bytes].into())
    }

    /// A body that has sent so much, and will send more when it is told to.
    async fn arriving(
        inbox: &Arc<Inbox>,
        bytes: usize,
    ) -> (Sender<Bytes, BoxError>, JoinHandle<Result<Bytes, Unreceived>>) {
        let (mut sender, body) = Channel::<Bytes, BoxError>::new(1);
        let room = inbox.room.available_permits();
        let inbox_too = Arc::clone(inbox);
        let receiving = tokio::spawn(async move { inbox_too.receive(body, 1 << 30).await });
        sender.send_data(vec![b'x'; bytes].into()).await.unwrap();
        while inbox.room.available_permits() == room {
            tokio::task::yield_now().await;
        }
        (sender, receiving)
    }

    #[tokio::test]
    async fn small_bodies_take_no_room_and_large_ones_only_while_somebody_has_them() {
        let inbox = Inbox::new(100 * KIB as u64);
        assert_eq!(inbox.receive(body(FREE), 1 << 20).await.unwrap().len(), FREE);
        assert_eq!(inbox.room.available_permits(), 100 * KIB);
        let kept = inbox.receive(body(FREE + 60 * KIB), 1 << 20).await.unwrap();
        let slice = kept.slice(10..20);
        drop(kept);
        assert_eq!(inbox.room.available_permits(), 40 * KIB);
        drop(slice);
        assert_eq!(inbox.room.available_permits(), 100 * KIB);
        assert!(inbox.arriving().is_empty());
    }

    #[tokio::test]
    async fn a_body_above_its_bound_is_refused_and_one_that_says_so_is_not_read() {
        let inbox = Inbox::new(1 << 30);
        let frames = |count: usize| {
            let (mut sender, body) = Channel::<Bytes, BoxError>::new(count);
            (0..count).for_each(|_| sender.try_send(Frame::data(vec![b'x'; KIB].into())).unwrap());
            body
        };
        assert_eq!(inbox.receive(frames(10), 10 * KIB as u64).await.unwrap().len(), 10 * KIB);
        assert_eq!(inbox.receive(frames(11), 10 * KIB as u64).await, Err(Unreceived::TooLarge));
        assert_eq!(inbox.receive(body(11), 10).await, Err(Unreceived::TooLarge));
        assert!(inbox.arriving().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn the_body_that_arrives_longest_gives_way() {
        let inbox = Arc::new(Inbox::new(100 * KIB as u64));
        let (_first, slow) = arriving(&inbox, FREE + 50 * KIB).await;
        let (_second, less_slow) = arriving(&inbox, FREE + 40 * KIB).await;
        let quick = inbox.receive(body(FREE + 30 * KIB), 1 << 20).await.unwrap();
        assert_eq!(slow.await.unwrap(), Err(Unreceived::Crowded));
        assert!(!less_slow.is_finished(), "there was room enough without it");
        drop(quick);
    }

    #[tokio::test(start_paused = true)]
    async fn what_calls_hold_is_waited_for_and_never_taken() {
        let inbox = Arc::new(Inbox::new(100 * KIB as u64));
        let held = inbox.receive(body(FREE + 90 * KIB), 1 << 20).await.unwrap();
        assert_eq!(inbox.receive(body(FREE + 50 * KIB), 1 << 20).await, Err(Unreceived::Crowded));
        let inbox_too = Arc::clone(&inbox);
        let waiting = tokio::spawn(async move { inbox_too.receive(body(FREE + 50 * KIB), 1 << 20).await });
        tokio::task::yield_now().await;
        drop(held);
        assert!(waiting.await.unwrap().is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_leaves_gives_its_room_back() {
        let inbox = Arc::new(Inbox::new(100 * KIB as u64));
        let (sender, receiving) = arriving(&inbox, FREE + 50 * KIB).await;
        sender.abort(std::io::Error::other("gone").into());
        assert!(matches!(receiving.await.unwrap(), Err(Unreceived::BrokeOff(_))));
        assert_eq!(inbox.room.available_permits(), 100 * KIB);
        assert!(inbox.arriving().is_empty());
    }
}
