//! The keeper: the one thread that owns the desk, with the ledger and its journal.
//!
//! Requests come in by a queue. Whatever has arrived while one batch was on its way to the disk is the next batch. What
//! the desk has to say goes out by the channel that came with each question. An error of the disk ends the process,
//! because after it nobody can say what the disk holds.
//!
//! How a call ended is left in a tray, which is emptied with every batch and looked into every 20 ms while calls run.
//! Nobody waits for that, so the keeper is woken for it only where somebody waits for the money.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use almoner_gateway::{Admitted, Decision, DeskError, End, Question};
use almoner_ledger::{Answer, AppendFailed, Entry, Ledger, Yes};
use almoner_store::Journal;
use almoner_units::{CallId, Timestamp};
use tokio::sync::oneshot;

use crate::clock;
use crate::known_bad::Filed;

/// How many requests make one batch at most.
const BATCH_MAX: usize = 4096;
/// How many calls may be on their way to an answer at once.
const ASKING_MAX: usize = 8192;
/// How many calls may wait for their turn.
const WAITING_MAX: usize = 4096;
/// How often the tray is looked into while calls run.
const LOOK: Duration = Duration::from_millis(20);

/// Is told what has just become durable, and how long that took where calls waited for it.
type Events = Box<dyn FnMut(&[Entry], &Ledger, Option<Duration>) + Send>;
/// What is done on the keeper's thread for an operation of the control interface.
type Operation = Box<dyn FnOnce(&mut Desk, Timestamp) + Send>;

enum Request {
    Reserve(Box<Question>, Ticket),
    /// The calls of this key are to be cut, for this reason.
    Cut(String, String),
    /// Something lies in the tray that somebody waits for.
    Look,
    Operate(Operation),
    Stop,
}

pub(crate) type Reply = oneshot::Sender<Result<Decision, DeskError>>;

/// Whom an answer is for.
pub(crate) struct Ticket {
    reply: Reply,
    /// The value of the label `key` of the call.
    key: String,
}

/// The way to the keeper; cheap to clone.
#[derive(Clone)]
pub(crate) struct Keeper {
    queue: Sender<Request>,
    asking: Arc<AtomicUsize>,
    closed: Arc<AtomicBool>,
    tray: Arc<Tray>,
}

/// How calls ended, until the keeper looks.
#[derive(Default)]
struct Tray {
    ended: Mutex<Vec<(CallId, End)>>,
    /// Whether calls wait for money that the end of another may bring.
    is_awaited: AtomicBool,
}

impl Tray {
    fn put(&self, id: CallId, end: End) {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner).push((id, end));
    }

    fn empty(&self) -> Vec<(CallId, End)> {
        std::mem::take(&mut *self.ended.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Keeper {
    /// Starts the keeper's thread over a ledger that was replayed from `journal`.
    ///
    /// `failed` is called with the reason where the disk fails, or the ledger breaks a promise of its own; it must end
    /// the process: nobody else can answer, and the next start reads what is true from the journal.
    pub(crate) fn start(
        ledger: Ledger,
        journal: Journal,
        events: impl FnMut(&[Entry], &Ledger, Option<Duration>) + Send + 'static,
        failed: impl FnOnce(&str) + Send + 'static,
    ) -> std::io::Result<(Self, std::thread::JoinHandle<()>)> {
        let (queue, requests) = channel();
        let asking = Arc::new(AtomicUsize::new(0));
        let desk = Desk::new(ledger, Filed::from(journal), clock::read(), WAITING_MAX);
        let closed = Arc::new(AtomicBool::new(false));
        let tray = Arc::new(Tray::default());
        let shell = Shell {
            desk,
            tray: Arc::clone(&tray),
            running: Running::default(),
            events: Box::new(events),
            closed: Arc::clone(&closed),
        };
        let asked = Arc::clone(&asking);
        let thread = std::thread::Builder::new().name("keeper".to_owned()).spawn(move || {
            // Nothing of the shell is used after a panic.
            match catch_unwind(AssertUnwindSafe(|| shell.run(&requests, &asked))) {
                Ok(Ok(())) => {}
                Ok(Err(reason)) => failed(&reason),
                Err(_) => failed("the ledger broke a promise of its own, as said above; start almoner again"),
            }
        })?;
        Ok((Self { queue, asking, closed, tray }, thread))
    }

    /// Asks whether a call may go.
    ///
    /// # Errors
    /// [`DeskError`] where the ledger cannot answer.
    pub(crate) async fn reserve(&self, question: Question) -> Result<Decision, DeskError> {
        let asking = self.asking.fetch_add(1, Ordering::Relaxed);
        if asking >= ASKING_MAX {
            self.asking.fetch_sub(1, Ordering::Relaxed);
            return Err(DeskError::Crowded(asking));
        }
        let (reply, answer) = oneshot::channel();
        let ticket = Ticket { reply, key: question.key.clone() };
        if self.queue.send(Request::Reserve(Box::new(question), ticket)).is_err() {
            self.asking.fetch_sub(1, Ordering::Relaxed);
            return Err(stopped());
        }
        answer.await.unwrap_or_else(|_| Err(stopped()))
    }

    /// Tells how a call ended.
    pub(crate) fn end(&self, id: CallId, end: End) {
        // The keeper outlives every call; where it is gone the process is ending, and recovery assumes the hold.
        self.tray.put(id, end);
        if self.tray.is_awaited.load(Ordering::Relaxed) {
            drop(self.queue.send(Request::Look));
        }
    }

    /// Runs `operation` on the keeper's thread, and gives its result once what it changed is on disk.
    ///
    /// # Errors
    /// [`NotDone`] where nobody may be told that it is done.
    pub(crate) async fn operate<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&mut Desk, Timestamp) -> T + Send + 'static,
    ) -> Result<T, NotDone> {
        let (reply, answer) = oneshot::channel();
        let run = move |desk: &mut Desk, now: Timestamp| {
            let before = desk.ledger.seq();
            let result = operation(desk, now);
            // Who only looked needs no disk, and can look while that is full.
            let kept = if desk.ledger.seq() == before { Ok(()) } else { desk.write_now() };
            drop(reply.send(kept.map(|()| result).map_err(NotDone::NotKept)));
        };
        drop(self.queue.send(Request::Operate(Box::new(run))));
        answer.await.unwrap_or(Err(NotDone::Stopping))
    }

    /// Cuts what runs with the key that has this value of the label `key`. What touches no budget cannot be cut.
    pub(crate) fn cut(&self, key: &str, reason: &str) {
        // Where the keeper is gone, nothing runs any more.
        drop(self.queue.send(Request::Cut(key.to_owned(), reason.to_owned())));
    }

    /// Whether no new call was taken when the last batch ended.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// Lets the keeper write what it has and stop.
    pub(crate) fn stop(&self) {
        drop(self.queue.send(Request::Stop));
    }
}

/// Why nobody may be told that an operation is done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotDone {
    /// The keeper is gone.
    #[error("the server is stopping; ask the next one")]
    Stopping,
    /// What it changed is in force, and not on disk.
    #[error("{0}, so this is not kept yet and a crash would undo it; make room, and ask again")]
    NotKept(AppendFailed),
}

fn stopped() -> DeskError {
    DeskError::Closed("almoner is stopping".to_owned())
}

/// The desk in the daemon's hands: its tickets are the channels to whoever asked.
pub(crate) type Desk = almoner_ledger::Desk<Ticket, Filed>;

/// Calls that were let go and whose end has not come out of the tray, each with its key and the way to cut it, once.
#[derive(Default)]
struct Running(HashMap<CallId, (String, Option<oneshot::Sender<String>>)>);

impl Running {
    fn began(&mut self, id: CallId, key: String, cutter: oneshot::Sender<String>) {
        self.0.insert(id, (key, Some(cutter)));
    }

    /// Also told of calls that never began, because their client left before they could.
    fn ended(&mut self, id: CallId) {
        self.0.remove(&id);
    }

    fn cut(&mut self, id: CallId, reason: &str) {
        if let Some(cutter) = self.0.get_mut(&id).and_then(|(_, cutter)| cutter.take()) {
            // A call that has just ended has nobody left to hear it.
            drop(cutter.send(reason.to_owned()));
        }
    }

    fn cut_all_of(&mut self, key: &str, reason: &str) {
        let ids: Vec<_> = self.0.iter().filter(|(_, (of, _))| of == key).map(|(id, _)| *id).collect();
        ids.into_iter().for_each(|id| self.cut(id, reason));
    }

    fn is_nobody(&self) -> bool {
        self.0.is_empty()
    }
}

/// The keeper's thread: the desk, the clock, and the ways to the calls.
struct Shell {
    desk: Desk,
    tray: Arc<Tray>,
    running: Running,
    events: Events,
    /// Shows whether the desk is closed.
    closed: Arc<AtomicBool>,
}

impl Shell {
    fn run(mut self, requests: &Receiver<Request>, asking: &AtomicUsize) -> Result<(), String> {
        loop {
            self.tray.is_awaited.store(self.desk.waiting() > 0, Ordering::Relaxed);
            let first = match requests.recv_timeout(self.patience()) {
                Ok(request) => Some(request),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => Some(Request::Stop),
            };
            self.desk.begin(clock::read());
            let mut stop = false;
            let batch: Vec<Request> = first.into_iter().chain(requests.try_iter()).take(BATCH_MAX).collect();
            // The tray is emptied after the queue was read, so that who asks after a call ended finds its money back.
            for (id, end) in self.tray.empty() {
                self.running.ended(id);
                self.desk.end(id, end);
            }
            for request in batch {
                stop |= matches!(request, Request::Stop);
                self.take(request, asking);
            }
            self.desk.keep_waiting(|ticket| !ticket.reply.is_closed());
            self.desk.attend();
            // A no need not wait for the disk.
            self.say(None);
            let began = clock::moment();
            self.desk.commit(stop)?;
            let took = began.elapsed();
            self.closed.store(self.desk.closed().is_some(), Ordering::Relaxed);
            self.say(Some(took));
            if stop {
                // Whoever could not be told in this last batch has sent nothing.
                return self.desk.commit(true);
            }
        }
    }

    /// How long to wait for the next request.
    fn patience(&self) -> Duration {
        let desk = Duration::from_millis(self.desk.patience(clock::read().steady).ms().max(1));
        // Every call that runs will leave its end in the tray.
        if self.running.is_nobody() { desk } else { desk.min(LOOK) }
    }

    fn take(&mut self, request: Request, asking: &AtomicUsize) {
        match request {
            Request::Reserve(question, ticket) => {
                asking.fetch_sub(1, Ordering::Relaxed);
                self.desk.reserve(question, ticket);
            }
            Request::Operate(operation) => {
                let now = self.desk.now();
                operation(&mut self.desk, now);
            }
            Request::Cut(key, reason) => self.cut(&key, &reason),
            Request::Look | Request::Stop => {}
        }
    }

    /// Says what may be said by now; what lasts since the last time took so long.
    fn say(&mut self, took: Option<Duration>) {
        let outbox = self.desk.take_outbox();
        if !outbox.written.is_empty() {
            (self.events)(&outbox.written, &self.desk.ledger, took);
        }
        for (ticket, answer) in outbox.answers {
            let Ticket { reply, key } = ticket;
            match answer {
                Answer::Yes(yes) => self.admit(reply, key, *yes),
                Answer::Tighten => drop(reply.send(Ok(Decision::Tighten))),
                Answer::Refused(refused) => drop(reply.send(Ok(Decision::Refused(refused)))),
                Answer::Failed(error) => drop(reply.send(Err(error))),
            }
        }
        outbox.cuts.into_iter().for_each(|(id, reason)| self.running.cut(id, &reason));
    }

    fn cut(&mut self, key: &str, reason: &str) {
        self.running.cut_all_of(key, reason);
    }

    fn admit(&mut self, reply: Reply, key: String, mut yes: Yes) {
        let (cutter, cut) = oneshot::channel();
        let (admission, seen) = (yes.admission.clone(), std::mem::take(&mut yes.seen));
        let admitted = Admitted { admission, seen, waited: yes.waited, cut };
        if reply.send(Ok(Decision::Admitted(Box::new(admitted)))).is_ok() {
            self.running.began(yes.id, key, cutter);
        } else {
            self.desk.unheard(&yes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_runs_until_its_own_end_whoever_else_ends_and_whether_or_not_it_is_cut() {
        let id = |number| CallId::from_bits(number);
        let mut running = Running::default();
        let (cutter, mut cut) = oneshot::channel();
        running.began(id(1), "ada".to_owned(), cutter);
        running.ended(id(2));
        running.cut_all_of("bob", "revoked");
        running.cut(id(1), "no money");
        running.cut_all_of("ada", "revoked");
        assert!(!running.is_nobody());
        assert_eq!(cut.try_recv(), Ok("no money".to_owned()));
        running.ended(id(1));
        assert!(running.is_nobody());
    }
}
