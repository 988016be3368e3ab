//! Long reading, beside the lanes: of large bodies, and of packed answers, of which a few bytes can hold megabytes.
//!
//! Whoever shares a lane with such a reader should not wait for it, nor shall the threads that read take every
//! processor from the lanes: there are fewer turns than processors. A turn is handed out in the order in which it was
//! asked for, and what is packed gives it back after each step; so a short answer waits for a step of each of those
//! before it, and not for all that they hold.

use std::num::NonZero;
use std::sync::Arc;

use almoner_meter::{Decoder, Reading};
use hyper::body::{Buf, Bytes};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinError, spawn_blocking};

/// From how many bytes on reading a body takes a millisecond or more.
pub(crate) const BODY_LARGE: usize = 256 << 10;

/// How much of a piece of an answer is read at once where it came; a bomb would take no more from those who share its
/// lane than a page of text does.
const HERE_MAX: u64 = 64 << 10;
/// How much one turn reads of what is packed.
const STEP_MAX: u64 = 1 << 20;

/// The turns of those who read long.
#[derive(Clone, Debug)]
pub(crate) struct Turns(Arc<Semaphore>);

/// A turn; it lasts until it is dropped.
pub(crate) type Turn = Option<OwnedSemaphorePermit>;

impl Turns {
    /// As many as there are processors, but for one that stays with the lanes, where there is more than one.
    pub(crate) fn new() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
        Self::of(processors.saturating_sub(1).max(1))
    }

    /// So many.
    pub(crate) fn of(most: usize) -> Self {
        Self(Arc::new(Semaphore::new(most)))
    }

    /// Waits for a turn. Who stops waiting loses no more than a place in the queue.
    pub(crate) async fn next(&self) -> Turn {
        // Nobody ever closes it.
        Arc::clone(&self.0).acquire_owned().await.ok()
    }

    /// Does this on a thread beside the lanes, once there is a turn. The turn ends with the work, and not with whoever
    /// waits for it.
    ///
    /// # Errors
    /// Where it broke a promise of its own.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, JoinError> {
        aside(self.next().await, work).await
    }
}

async fn aside<T: Send + 'static>(turn: Turn, work: impl FnOnce() -> T + Send + 'static) -> Result<T, JoinError> {
    spawn_blocking(move || {
        let done = work();
        drop(turn);
        done
    })
    .await
}

/// A piece of an answer, as far as its meter has not read it yet.
pub(crate) struct Unread {
    pub(crate) meter: Decoder,
    rest: Bytes,
    is_read: bool,
}

impl Unread {
    /// Reads of it what is soon read.
    pub(crate) fn new(meter: Decoder, piece: Bytes) -> Self {
        let mut unread = Self { meter, rest: piece, is_read: false };
        // What is not packed is no more than its length tells.
        let most = if unread.meter.is_plain() { u64::MAX } else { HERE_MAX };
        unread.read(most);
        unread
    }

    /// All that is known of a whole answer that is to be read in turn.
    pub(crate) const fn later(meter: Decoder, piece: Bytes) -> Self {
        Self { meter, rest: piece, is_read: false }
    }

    /// Whether all of it is read.
    pub(crate) const fn is_read(&self) -> bool {
        self.is_read
    }

    /// Reads on, on a thread beside the lanes, for one turn.
    ///
    /// # Errors
    /// Where the meter fell over.
    pub(crate) async fn step(mut self, turn: Turn) -> Result<Self, JoinError> {
        aside(turn, move || {
            self.read(STEP_MAX);
            self
        })
        .await
    }

    fn read(&mut self, most: u64) {
        let mut rest = &self.rest[..];
        self.is_read = self.meter.feed_some(&mut rest, most);
        let read = self.rest.len() - rest.len();
        self.rest.advance(read);
    }
}

/// What a whole answer tells. One that is large, such as one of many vectors, or unpacks to much is read in turn.
///
/// # Errors
/// Where the meter fell over.
pub(crate) async fn read_whole(turns: &Turns, meter: Decoder, body: Bytes) -> Result<Reading, JoinError> {
    let is_large = body.len() >= BODY_LARGE;
    let mut unread = if is_large { Unread::later(meter, body) } else { Unread::new(meter, body) };
    while !unread.is_read() {
        unread = unread.step(turns.next().await).await?;
    }
    let meter = unread.meter;
    // At its end all of it is looked at. Where it is packed, more was worked on than came.
    let is_large = is_large || meter.work() > 2 * BODY_LARGE as u64;
    if is_large { turns.run(|| meter.finish()).await } else { Ok(meter.finish()) }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use almoner_meter::{Dialect, Framing, Meter};
    use std::sync::mpsc;

    /// One letter so many times, in Zstandard: four bytes for each run of `run`, and a window of 8 MiB.
    pub(crate) fn letters(run: u32, runs: u32) -> Bytes {
        let block = |is_last: bool| [&(run << 3 | 1 << 1 | u32::from(is_last)).to_le_bytes()[..3], b"x"].concat();
        let blocks = (1..=runs).flat_map(|number| block(number == runs));
        [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x68].into_iter().chain(blocks).collect()
    }

    fn packed() -> Decoder {
        Decoder::new(Some("zstd"), Meter::new(Dialect::OpenAiChat, Framing::Sse)).unwrap()
    }

    #[tokio::test]
    async fn a_turn_lasts_as_long_as_its_work_though_nobody_waits_for_it_any_more() {
        let turns = Turns::of(1);
        let (go_on, told) = mpsc::channel::<()>();
        let (begun, begins) = tokio::sync::oneshot::channel();
        let work = tokio::spawn({
            let turns = turns.clone();
            async move {
                let work = move || {
                    begun.send(()).unwrap();
                    told.recv()
                };
                turns.run(work).await
            }
        });
        begins.await.unwrap();
        work.abort();
        assert!(work.await.unwrap_err().is_cancelled());
        assert_eq!(turns.0.available_permits(), 0, "the work goes on");
        go_on.send(()).unwrap();
        assert!(turns.next().await.is_some());
    }

    #[tokio::test]
    async fn what_unpacks_to_little_waits_for_no_turn_and_a_bomb_for_one_after_another() {
        let turns = Turns::of(1);
        let taken = turns.next().await;
        let little = letters(10_000, 1);
        assert_eq!(read_whole(&turns, packed(), little).await.unwrap().body_bytes, 10_000);
        let mut unread = Unread::new(packed(), letters(128 << 10, 64));
        assert!(!unread.is_read() && unread.meter.work() < HERE_MAX + (129 << 10));
        drop(taken);
        let mut steps = 0;
        while !unread.is_read() {
            let before = unread.meter.work();
            unread = unread.step(turns.next().await).await.unwrap();
            assert!(unread.meter.work() - before <= STEP_MAX + (128 << 10));
            steps += 1;
        }
        assert!(steps >= 8, "{steps}");
    }
}
