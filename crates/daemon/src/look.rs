//! Looking into history, beside the threads that serve calls and without holding up the one that writes it.
//!
//! Few look at a time, and none for long: a question that reads too much is ended and says so.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use almoner_store::{HistoryReader, Interrupt, ReadError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::operations::{No, no, no_but};

/// How many may look at a time; others wait for them.
const AT_ONCE_MAX: usize = 4;
/// How long somebody waits for their turn.
const TURN_MAX: Duration = Duration::from_secs(5);
/// How long one look may take.
const LOOK_MAX: Duration = Duration::from_secs(10);

/// The way to look into history.
pub(crate) struct Looker {
    state_dir: PathBuf,
    turns: Arc<Semaphore>,
}

/// Ends a look that nobody waits for any longer.
struct Ender(oneshot::Receiver<Interrupt>);

impl Drop for Ender {
    fn drop(&mut self) {
        if let Ok(interrupt) = self.0.try_recv() {
            interrupt.interrupt();
        }
    }
}

impl Looker {
    pub(crate) fn new(state_dir: PathBuf) -> Self {
        Self { state_dir, turns: Arc::new(Semaphore::new(AT_ONCE_MAX)) }
    }

    /// A turn to look, which nobody waits for without an end: a question that is asked again is better than a queue of
    /// those whose askers have left.
    async fn turn(&self) -> Result<OwnedSemaphorePermit, No> {
        let turn = Arc::clone(&self.turns).acquire_owned();
        match tokio::time::timeout(TURN_MAX, turn).await {
            Ok(turn) => turn.map_err(|error| no("fault", error)),
            Err(_) => {
                let why = format!(
                    "{AT_ONCE_MAX} others look into history, and none came to an end in {} seconds",
                    TURN_MAX.as_secs()
                );
                Err(no_but("history_busy", why, "ask again in a moment"))
            }
        }
    }

    /// Looks into history with a reader of its own.
    pub(crate) async fn look<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut HistoryReader) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, No> {
        let turn = self.turn().await?;
        let state_dir = self.state_dir.clone();
        let (began, begun) = oneshot::channel();
        let _ender = Ender(begun);
        let looking = tokio::task::spawn_blocking(move || {
            let mut reader = HistoryReader::open(&state_dir)?;
            drop(began.send(reader.interrupt()));
            let found = work(&mut reader);
            // The turn is over when the look is, whoever has left before.
            drop(turn);
            found
        });
        match tokio::time::timeout(LOOK_MAX, looking).await {
            Ok(found) => found.map_err(|error| no("fault", error))?.map_err(|error| no("history", error)),
            Err(_) => Err(no_but(
                "too_much",
                format!("history was read for {} seconds without an end", LOOK_MAX.as_secs()),
                "ask for a shorter time",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn whoever_finds_everybody_looking_is_told_so_and_looks_later() {
        let dir = tempfile::tempdir().unwrap();
        drop(almoner_store::History::open(dir.path()).unwrap());
        let looker = Looker::new(dir.path().to_owned());
        let others = Arc::clone(&looker.turns).acquire_many_owned(4).await.unwrap();
        let no = looker.look(|_| Ok(())).await.unwrap_err();
        assert_eq!((no.code.as_str(), no.hint.as_deref()), ("history_busy", Some("ask again in a moment")));
        drop(others);
        assert_eq!(looker.look(|_| Ok(7)).await, Ok(7));
    }
}
