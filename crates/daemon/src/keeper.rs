//! The keeper: the one thread that owns the ledger and its journal.
//!
//! Requests come in by a queue. Whatever has arrived while one batch was on its way to the disk is the next batch: it is
//! judged in memory, written in one transaction, and only then answered. So a yes is always on disk before the gateway
//! hears it, and many calls share one fsync. Only a yes starts a commit; how calls ended rides along, or waits 20 ms.
//!
//! A full disk closes the ledger to new calls until what has happened is written; any other error of the disk ends the
//! process, because after it nobody can say what the disk holds.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use almoner_gateway::{Admitted, Decision, End, PurseError, Question, Refused};
use almoner_ledger::{
    AccountId, AccountView, Clock, Entry, Ledger, Patience, Refusal, RefusalReason, ReleaseReason, Reserve,
    ReserveError, Verdict, WaitingRoom,
};
use almoner_store::{AppendError, Journal};
use almoner_units::{AccountKey, CallId, Mode, Span, Timestamp};
use tokio::sync::oneshot;

use crate::clock;

/// How many requests make one batch at most.
const BATCH_MAX: usize = 4096;
/// How many calls may be on their way to an answer at once.
const ASKING_MAX: usize = 8192;
/// How many calls may wait for their turn.
const WAITING_MAX: usize = 4096;
/// How long the end of a call may wait to be written.
const LINGER: Span = Span::from_ms(20);
/// How long after a full disk to try again.
const FULL: Span = Span::from_secs(1);
/// How often levels, holds and empty accounts are looked after when nothing happens.
const SWEEP: Span = Span::from_secs(1);

/// Is told what has just become durable.
type Events = Box<dyn FnMut(&[Entry], &Ledger) + Send>;
/// What is done on the keeper's thread for an operation of the control interface.
type Operation = Box<dyn FnOnce(&mut Desk, Timestamp) + Send>;

enum Request {
    Reserve(Box<Question>, Reply),
    End(CallId, End),
    Operate(Operation),
    Stop,
}

type Reply = oneshot::Sender<Result<Decision, PurseError>>;

/// The way to the keeper; cheap to clone.
#[derive(Clone)]
pub(crate) struct Keeper {
    queue: Sender<Request>,
    asking: Arc<AtomicUsize>,
}

impl Keeper {
    /// Starts the keeper's thread over a ledger that was replayed from `journal`.
    ///
    /// `failed` is called with the reason where the disk fails; it must end the process.
    pub(crate) fn start(
        ledger: Ledger,
        journal: Journal,
        events: impl FnMut(&[Entry], &Ledger) + Send + 'static,
        failed: impl FnOnce(&str) + Send + 'static,
    ) -> std::io::Result<(Self, std::thread::JoinHandle<()>)> {
        let (queue, requests) = channel();
        let asking = Arc::new(AtomicUsize::new(0));
        let clock = Clock::new(ledger.now(), clock::read());
        let desk = Desk {
            ledger,
            journal,
            clock,
            room: WaitingRoom::new(WAITING_MAX),
            cuts: HashMap::new(),
            unwritten: Vec::new(),
            write_by: None,
            closed: None,
            events: Box::new(events),
            swept_at: Timestamp::default(),
        };
        let asked = Arc::clone(&asking);
        let thread = std::thread::Builder::new().name("keeper".to_owned()).spawn(move || {
            if let Err(reason) = desk.run(&requests, &asked) {
                failed(&reason);
            }
        })?;
        Ok((Self { queue, asking }, thread))
    }

    /// Asks whether a call may go.
    ///
    /// # Errors
    /// [`PurseError`] where the ledger cannot answer.
    pub(crate) async fn reserve(&self, question: Question) -> Result<Decision, PurseError> {
        let asking = self.asking.fetch_add(1, Ordering::Relaxed);
        if asking >= ASKING_MAX {
            self.asking.fetch_sub(1, Ordering::Relaxed);
            return Err(PurseError::Crowded(asking));
        }
        let (reply, answer) = oneshot::channel();
        if self.queue.send(Request::Reserve(Box::new(question), reply)).is_err() {
            return Err(stopped());
        }
        answer.await.unwrap_or_else(|_| Err(stopped()))
    }

    /// Tells how a call ended.
    pub(crate) fn end(&self, id: CallId, end: End) {
        // The keeper outlives every call; where it is gone the process is ending, and recovery assumes the hold.
        drop(self.queue.send(Request::End(id, end)));
    }

    /// Runs `operation` on the keeper's thread, and gives its result once what it changed is on disk.
    pub(crate) async fn operate<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&mut Desk, Timestamp) -> T + Send + 'static,
    ) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        let run = move |desk: &mut Desk, now: Timestamp| {
            let result = operation(desk, now);
            // What an operator was told must be on disk; a failure is noticed by the next batch and ends the process.
            desk.write_soon();
            drop(reply.send(result));
        };
        drop(self.queue.send(Request::Operate(Box::new(run))));
        answer.await.ok()
    }

    /// Lets the keeper write what it has and stop.
    pub(crate) fn stop(&self) {
        drop(self.queue.send(Request::Stop));
    }
}

fn stopped() -> PurseError {
    PurseError::Closed("almoner is stopping".to_owned())
}

/// A call on its way to an answer.
struct Asked {
    question: Box<Question>,
    reply: Reply,
    since: Timestamp,
}

/// The keeper's desk: the ledger, the journal, and who waits for what.
pub(crate) struct Desk {
    /// The ledger; operations of the control interface use it directly.
    pub(crate) ledger: Ledger,
    /// The journal.
    pub(crate) journal: Journal,
    clock: Clock,
    room: WaitingRoom<Asked>,
    /// Calls in flight that can be cut.
    cuts: HashMap<CallId, oneshot::Sender<String>>,
    /// Facts in the ledger that are not on disk yet.
    unwritten: Vec<Entry>,
    /// When, on the steady clock, they must be written at the latest.
    write_by: Option<Span>,
    /// Why no new call is taken, where that is so.
    closed: Option<String>,
    events: Events,
    swept_at: Timestamp,
}

/// Answers that must not leave before their batch is on disk.
type Held = Vec<(Reply, CallId, Decision)>;

impl Desk {
    fn run(mut self, requests: &Receiver<Request>, asking: &AtomicUsize) -> Result<(), String> {
        loop {
            let first = match requests.recv_timeout(self.patience()) {
                Ok(request) => Some(request),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => Some(Request::Stop),
            };
            let (now, steady) = self.tick();
            let mut held = Held::new();
            let mut stop = false;
            for request in first.into_iter().chain(requests.try_iter()).take(BATCH_MAX) {
                stop |= matches!(request, Request::Stop);
                self.take(request, asking, &mut held, now);
            }
            self.look_after(&mut held, now);
            self.unwritten.append(&mut self.ledger.take_facts());
            if !self.unwritten.is_empty() && self.write_by.is_none() {
                self.write_by = Some(Span::from_ms(steady.ms() + LINGER.ms()));
            }
            if stop || !held.is_empty() || self.write_by.is_some_and(|by| steady >= by) {
                self.commit(held)?;
            }
            if stop {
                return Ok(());
            }
        }
    }

    /// How long to wait for the next request before something must be looked after.
    fn patience(&self) -> Duration {
        let now = self.clock.now();
        let next = self.room.next_change(now).map_or(SWEEP, |at| at.since(now).min(SWEEP));
        let write_in =
            self.write_by.map_or(SWEEP, |by| Span::from_ms(by.ms().saturating_sub(clock::read().steady.ms())));
        Duration::from_millis(next.min(write_in).ms().max(1))
    }

    fn tick(&mut self) -> (Timestamp, Span) {
        let reading = clock::read();
        let now = self.clock.tick(reading);
        (now, reading.steady)
    }

    fn take(&mut self, request: Request, asking: &AtomicUsize, held: &mut Held, now: Timestamp) {
        match request {
            Request::Reserve(question, reply) => {
                asking.fetch_sub(1, Ordering::Relaxed);
                self.reserve(Asked { question, reply, since: now }, held, now);
            }
            Request::End(id, end) => self.end(id, end, now),
            Request::Operate(operation) => operation(self, now),
            Request::Stop => {}
        }
    }

    fn reserve(&mut self, asked: Asked, held: &mut Held, now: Timestamp) {
        if let Some(reason) = &self.closed {
            return drop(asked.reply.send(Err(PurseError::Closed(reason.clone()))));
        }
        let Some(call) = self.resolve(&asked.question, now) else {
            let id = asked.question.id;
            return drop(asked.reply.send(Err(ReserveError::NoSuchAccount { id, account: AccountId(0) }.into())));
        };
        let verdict =
            if self.room.keeps_out(&call, now) { None } else { Some(self.ledger.reserve(&call, Patience::Fresh, now)) };
        match verdict {
            None | Some(Ok(Verdict::Waits(_))) => self.wait(call, asked, now),
            Some(verdict) => self.answer(asked, verdict, held, now),
        }
    }

    fn wait(&mut self, call: Reserve, asked: Asked, now: Timestamp) {
        let until = now.after(asked.question.wait_max);
        if let Err((full, asked)) = self.room.enter(call, asked, now, until) {
            drop(asked.reply.send(Err(PurseError::Crowded(full.0))));
        }
    }

    /// The question with the numbers of its accounts, opened where they were not; `None` where a budget is gone.
    fn resolve(&mut self, question: &Question, now: Timestamp) -> Option<Reserve> {
        let open = |key| self.ledger.open(key, &question.key, now);
        let mut accounts: Vec<AccountId> = question.accounts.iter().map(open).collect::<Option<_>>()?;
        // Two labels that overflowed may have become the same account.
        accounts.sort_unstable();
        accounts.dedup();
        Some(Reserve {
            id: question.id,
            accounts: accounts.into(),
            ask: question.ask,
            priority: question.priority,
            expires_at: now.after(question.hold_max),
            can_tighten: question.can_tighten,
        })
    }

    fn answer(&mut self, asked: Asked, verdict: Result<Verdict, ReserveError>, held: &mut Held, now: Timestamp) {
        let waited = now.since(asked.since);
        let decision = match verdict {
            Err(error) => return drop(asked.reply.send(Err(error.into()))),
            Ok(Verdict::Admitted(admission)) => {
                let (cutter, cut) = oneshot::channel();
                self.cuts.insert(asked.question.id, cutter);
                let mut seen = self.see(&asked.question.accounts, now);
                seen.iter_mut().for_each(|view| without(view, &admission.amount));
                let admitted = Admitted { admission, seen, waited, cut };
                return held.push((asked.reply, asked.question.id, Decision::Admitted(Box::new(admitted))));
            }
            Ok(Verdict::Tighten) => Decision::Tighten,
            Ok(Verdict::Waits(refusal) | Verdict::Refused(refusal)) => {
                self.cut_where_spent(&refusal);
                let seen = self.see(&asked.question.accounts, now);
                Decision::Refused(Box::new(Refused { refusal, seen, waited }))
            }
        };
        drop(asked.reply.send(Ok(decision)));
    }

    /// Cuts what runs on an account that has no money left, where its mode says so.
    fn cut_where_spent(&mut self, refusal: &Refusal) {
        if refusal.reason == RefusalReason::Exhausted {
            self.cut_calls_on(&refusal.account, "the budget is spent");
        }
    }

    /// Cuts every call in flight on an account whose mode is `kill-running`.
    pub(crate) fn cut_calls_on(&mut self, key: &AccountKey, reason: &str) {
        let kills = |budget: &almoner_units::Budget| budget.name == key.budget && budget.mode == Mode::KillRunning;
        if !self.ledger.budgets().any(kills) {
            return;
        }
        let Some(account) = self.ledger.find(key) else { return };
        for id in self.ledger.holds_on(account) {
            if let Some(cutter) = self.cuts.remove(&id) {
                drop(cutter.send(format!("{reason}: {key}")));
            }
        }
    }

    fn end(&mut self, id: CallId, end: End, now: Timestamp) {
        self.cuts.remove(&id);
        let told = match end {
            End::Settled(spent) => self.ledger.settle(id, spent, now).map(drop),
            End::Released(reason) => self.ledger.release(id, reason, now),
            End::Assumed(cause) => self.ledger.assume(id, &cause, now),
        };
        // Contradicting news is counted by whoever reports it; what was known first stays.
        drop(told);
    }

    /// Wakes who waits, ends holds whose time is up, and keeps levels and accounts in order.
    fn look_after(&mut self, held: &mut Held, now: Timestamp) {
        if now.since(self.swept_at) >= SWEEP {
            self.swept_at = now;
            for id in self.ledger.due(now) {
                self.end(id, End::Assumed("no news before its time was up".to_owned()), now);
            }
            self.ledger.sweep(now);
            self.tick_journal(now);
        }
        self.room.retain(|asked| !asked.reply.is_closed());
        for (asked, verdict) in self.room.wake(&mut self.ledger, now) {
            self.answer(asked, verdict, held, now);
        }
    }

    /// What the journal must do now and then; a failure is noticed by the next batch, which ends the process.
    fn tick_journal(&mut self, now: Timestamp) {
        drop(self.journal.tick(now));
        drop(self.journal.purge_assumed(now));
    }

    /// What the accounts of a call look like, where one exists.
    fn see(&self, accounts: &[AccountKey], now: Timestamp) -> Vec<AccountView> {
        accounts.iter().filter_map(|key| self.ledger.view(self.ledger.find(key)?, now)).collect()
    }

    /// Puts what happened on disk, and only then lets the answers out.
    fn commit(&mut self, held: Held) -> Result<(), String> {
        self.unwritten.append(&mut self.ledger.take_facts());
        match self.write() {
            Ok(()) => {
                for (reply, id, decision) in held {
                    // A client that has gone while its hold was written sent nothing.
                    if let Err(Ok(Decision::Admitted(_))) = reply.send(Ok(decision)) {
                        self.end(id, End::Released(ReleaseReason::NeverSent), self.clock.now());
                    }
                }
                Ok(())
            }
            Err(AppendError::Full { .. }) => {
                self.turn_away(held);
                Ok(())
            }
            Err(error) => Err(error.to_string()),
        }
    }

    fn write(&mut self) -> Result<(), AppendError> {
        if self.unwritten.is_empty() {
            return Ok(());
        }
        self.journal.append(&self.unwritten)?;
        (self.events)(&self.unwritten, &self.ledger);
        self.unwritten.clear();
        (self.write_by, self.closed) = (None, None);
        Ok(())
    }

    /// Closes the ledger, because the disk is full: nobody who waits for the disk gets a yes.
    fn turn_away(&mut self, held: Held) {
        let reason = "the disk that holds the ledger is full; make room, and calls go on by themselves".to_owned();
        for (reply, id, _) in held {
            self.end(id, End::Released(ReleaseReason::NeverSent), self.clock.now());
            drop(reply.send(Err(PurseError::Closed(reason.clone()))));
        }
        self.unwritten.append(&mut self.ledger.take_facts());
        self.write_by = Some(Span::from_ms(clock::read().steady.ms() + FULL.ms()));
        self.closed = Some(reason);
    }

    /// Writes what an operation changed, so that its answer is true even after a crash.
    fn write_soon(&mut self) {
        self.unwritten.append(&mut self.ledger.take_facts());
        if self.write().is_err() {
            // Left in `unwritten`; the batch that this operation is part of tries again, and knows what to do.
        }
    }

    /// Why no new call is taken, where that is so.
    #[must_use]
    pub(crate) fn closed(&self) -> Option<&str> {
        self.closed.as_deref()
    }
}

/// An account as it was before a call that holds `amount` on it.
fn without(view: &mut AccountView, amount: &almoner_units::Charge) {
    view.open_holds = view.open_holds.saturating_sub(1);
    for limit in &mut view.limits {
        limit.held = limit.held.saturating_sub(amount[limit.limit.meter]);
    }
}
