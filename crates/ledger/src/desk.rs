//! The desk: where calls ask, wait, are answered and end, and where facts go to the journal before anybody hears a yes.
//!
//! What has arrived since the last batch is the next one: it is judged in memory, written in one go, and only then
//! answered, so that a yes is always durable before its caller hears it, and many calls share one flush. Only a yes
//! starts a commit; how calls ended rides along, or waits 20 ms.
//!
//! A full disk closes the desk to new calls until what has happened is written. After any other failure of the journal
//! nobody can say what it holds, so that the desk writes and promises nothing any more.
//!
//! There is no thread, no queue and no clock in here: readings of the clocks come in, and what is to be said is handed
//! out. A batch is [`Desk::begin`], any number of [`Desk::reserve`] and [`Desk::end`], [`Desk::attend`] and
//! [`Desk::commit`]; what [`Desk::take_outbox`] gives may leave at once, before the commit as after it.

use std::collections::BTreeSet;

use almoner_units::{AccountKey, Ask, Budget, BudgetName, CallId, Charge, Mode, Priority, Span, Timestamp};

use crate::verdict::{ReserveError, SettleError};
use crate::{
    AccountId, AccountView, Admission, AssumedHold, Clock, Entry, Fact, Ledger, Patience, Reading, Refusal,
    RefusalReason, ReleaseReason, Reserve, Verdict, WaitingRoom, Who,
};

/// How long the end of a call may wait to be written.
const LINGER: Span = Span::from_ms(20);
/// How long after a full disk to try again.
const FULL: Span = Span::from_secs(1);
/// Why a full disk takes no new call.
const NO_ROOM: &str = "the disk that holds the ledger is full; make room, and calls go on by themselves";
/// How often levels, holds and empty accounts are looked after when nothing happens.
const SWEEP: Span = Span::from_secs(1);

/// The list of facts that outlasts the process, as the desk needs it.
pub trait Journal {
    /// Writes facts, all or none. When this returns they last.
    ///
    /// # Errors
    /// [`AppendFailed`], which says whether the same facts may be tried again.
    fn append(&mut self, entries: &[Entry]) -> Result<(), AppendFailed>;

    /// Does what must be done now and then. It is called about once a second by the steady clock, whether or not
    /// anything happens, and also while ledger time stands still.
    fn tend(&mut self, _now: Timestamp) {}

    /// Whether there is room enough to take new calls, beyond what the ends of those that run will need.
    fn has_room(&self) -> bool {
        true
    }

    /// Looks at books whose every fact lasts, and may begin to keep a snapshot of them.
    fn look(&mut self, _ledger: &Ledger) {}

    /// A snapshot that is kept as a whole by now, told once: the number of its last fact, and its digest. It counts
    /// from when a fact says so.
    fn kept_snapshot(&mut self) -> Option<(u64, [u8; 16])> {
        None
    }

    /// The hold of a call that ended without news, while the truth about it can still be booked.
    fn assumed(&self, _id: CallId) -> Option<AssumedHold> {
        None
    }
}

/// Why facts were not written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendFailed {
    /// There is no room. Nothing of this batch was kept, and everything before it was; it may be tried again.
    #[error("the disk is full")]
    Full,
    /// What of the batch lasts is unknown, so nothing more may be written before the journal was read again.
    #[error("{0}")]
    Io(String),
}

/// The question whether a call may go, as its caller knows it.
#[derive(Clone, Debug)]
pub struct Question {
    /// The call.
    pub id: CallId,
    /// The accounts it touches, by name; they are opened where they are not open yet.
    pub accounts: Vec<AccountKey>,
    /// The value of its label `key`, by which a flood of accounts is counted.
    pub key: String,
    /// What it may cost.
    pub ask: Ask,
    /// How urgent it is.
    pub priority: Priority,
    /// Whether a smaller bound can be found for it.
    pub can_tighten: bool,
    /// How long it may wait for calls in flight to end.
    pub wait_max: Span,
    /// How long its hold stands without news.
    pub hold_max: Span,
}

/// How a call that held money ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The provider told what it cost.
    Settled(Charge),
    /// Proof that nothing was spent.
    Released(ReleaseReason),
    /// No news: what was held is assumed to be spent, for this reason.
    Assumed(String),
}

/// What the desk says to a question.
#[derive(Clone, Debug)]
pub enum Answer {
    /// The call may go; its hold is durable.
    Yes(Box<Yes>),
    /// A smaller bound is wanted first; nothing is held.
    Tighten,
    /// The call may not go.
    Refused(Box<Refused>),
    /// There is no verdict.
    Failed(DeskError),
}

/// A call that may go.
#[derive(Clone, Debug)]
pub struct Yes {
    /// The call.
    pub id: CallId,
    /// Its hold.
    pub admission: Admission,
    /// The accounts it touches, as they were before it.
    pub seen: Vec<AccountView>,
    /// How long it waited for its turn.
    pub waited: Span,
    /// Whether nobody else has heard a yes for the same call, or is about to.
    is_alone: bool,
}

/// A call that may not go.
#[derive(Clone, Debug)]
pub struct Refused {
    /// Why, with the numbers.
    pub refusal: Refusal,
    /// The accounts it touches.
    pub seen: Vec<AccountView>,
    /// How long it waited before.
    pub waited: Span,
    /// When this was decided, in ledger time, in which the refusal says when it changes.
    pub at: Timestamp,
}

/// Why there is no verdict on a call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeskError {
    /// No new holds are taken.
    #[error("the ledger is closed to new calls: {0}")]
    Closed(String),
    /// Too many calls wait already.
    #[error("{0} calls are waiting for their turn already")]
    Crowded(usize),
    /// The question was wrong, which is our own fault.
    #[error(transparent)]
    Question(#[from] ReserveError),
}

/// What is to be said, in order: none of it promises anything that does not last.
#[derive(Debug)]
pub struct Outbox<T> {
    /// The facts that have become durable.
    pub written: Vec<Entry>,
    /// Answers, each for the ticket of its question.
    pub answers: Vec<(T, Answer)>,
    /// Calls in flight that must be cut, with the reason.
    pub cuts: Vec<(CallId, String)>,
}

impl<T> Default for Outbox<T> {
    fn default() -> Self {
        Self { written: Vec::new(), answers: Vec::new(), cuts: Vec::new() }
    }
}

/// A call on its way to an answer.
struct Asked<T> {
    question: Box<Question>,
    ticket: T,
    /// Since when, on the steady clock.
    since: Span,
}

/// The desk. `T` is the ticket by which the caller knows whom an answer is for, `J` the journal.
pub struct Desk<T, J> {
    /// The ledger; whoever changes it directly is part of the batch.
    pub ledger: Ledger,
    /// The journal.
    pub journal: J,
    clock: Clock,
    /// The steady clock at the beginning of this batch.
    steady: Span,
    room: WaitingRoom<Asked<T>>,
    /// Facts in the ledger that do not last yet.
    unwritten: Vec<Entry>,
    /// The number of the last fact before this batch: a hold that it made has been promised to somebody.
    lasts_before: u64,
    /// When, on the steady clock, they must be written at the latest.
    write_by: Option<Span>,
    /// Answers that must not leave before their batch lasts.
    promised: Vec<(T, Box<Yes>)>,
    /// Why no new call is taken, where that is so.
    closed: Option<String>,
    /// How the journal failed, where it did.
    broken: Option<String>,
    outbox: Outbox<T>,
    /// When, on both clocks, it was last looked after what time alone brings.
    swept_at: Option<(Timestamp, Span)>,
    /// The budgets that were removed since the process began, by which calls that have just come may still go.
    retired: BTreeSet<BudgetName>,
}

impl<T, J: Journal> Desk<T, J> {
    /// A desk over a ledger that was replayed from `journal`, with every fact in it. At most `waiting_max` calls may
    /// wait.
    #[must_use]
    pub fn new(ledger: Ledger, journal: J, first: Reading, waiting_max: usize) -> Self {
        let (clock, lasts_before) = (Clock::new(ledger.now(), first), ledger.seq());
        let closed = (!journal.has_room()).then(|| NO_ROOM.to_owned());
        Self {
            ledger,
            journal,
            clock,
            steady: first.steady,
            room: WaitingRoom::new(waiting_max),
            unwritten: Vec::new(),
            lasts_before,
            write_by: closed.is_some().then_some(first.steady),
            promised: Vec::new(),
            closed,
            broken: None,
            outbox: Outbox::default(),
            swept_at: None,
            retired: BTreeSet::new(),
        }
    }

    /// Begins a batch, and gives the ledger time at which all of it happens.
    pub fn begin(&mut self, reading: Reading) -> Timestamp {
        self.steady = reading.steady;
        self.lasts_before = self.ledger.seq();
        self.clock.tick(reading)
    }

    /// Ledger time, as of the beginning of this batch.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Why no new call is taken, where that is so.
    #[must_use]
    pub fn closed(&self) -> Option<&str> {
        self.closed.as_deref()
    }

    /// How many calls wait for their turn.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.room.len()
    }

    /// How long it may take until the next batch, seen from `steady`, though nothing arrives.
    #[must_use]
    pub fn patience(&self, steady: Span) -> Span {
        let now = self.now();
        let next = self.room.next_change(now, steady).unwrap_or(SWEEP).min(SWEEP);
        let write_in = self.write_by.map_or(SWEEP, |by| Span::from_ms(by.ms().saturating_sub(steady.ms())));
        next.min(write_in)
    }

    /// What may be said by now.
    pub fn take_outbox(&mut self) -> Outbox<T> {
        std::mem::take(&mut self.outbox)
    }

    /// Judges a call, or lets it wait.
    pub fn reserve(&mut self, question: Box<Question>, ticket: T) {
        let now = self.now();
        let asked = Asked { question, ticket, since: self.steady };
        if let Some(reason) = &self.closed {
            let error = DeskError::Closed(reason.clone());
            return self.say(asked.ticket, Answer::Failed(error));
        }
        let Some(call) = self.resolve(&asked.question, now) else {
            let error = ReserveError::NoSuchAccount { id: asked.question.id, account: AccountId(0) };
            return self.say(asked.ticket, Answer::Failed(error.into()));
        };
        let verdict = if self.room.keeps_out(&call, self.steady) {
            None
        } else {
            Some(self.ledger.reserve(&call, Patience::Fresh, now))
        };
        match verdict {
            None | Some(Ok(Verdict::Waits(_))) => self.wait(call, asked),
            Some(verdict) => self.answer(asked, verdict, now),
        }
    }

    /// Takes the news of how a call ended. News that contradict what is known change nothing.
    pub fn end(&mut self, id: CallId, end: End) {
        let now = self.now();
        let told = match end {
            End::Settled(spent) => self.settle(id, spent, now),
            End::Released(reason) => self.ledger.release(id, reason, now),
            End::Assumed(cause) => self.ledger.assume(id, &cause, now),
        };
        // Contradicting news are counted by whoever reports them; what was known first stays.
        drop(told);
        self.write_within(LINGER);
    }

    /// Books what a call cost; where its hold had ended without news, the truth replaces what was assumed.
    fn settle(&mut self, id: CallId, spent: Charge, now: Timestamp) -> Result<(), SettleError> {
        match self.ledger.settle(id, spent, now) {
            Err(SettleError::Assumed(_)) => {}
            told => return told.map(drop),
        }
        let Some(assumed) = self.journal.assumed(id) else { return Err(SettleError::Assumed(id)) };
        let (by, reason) = (Who("the provider's answer".to_owned()), "late news".to_owned());
        self.ledger.correct(assumed, spent, by, reason, now).map(drop).map_err(|_| SettleError::Assumed(id))
    }

    /// Whether the truth about a call is booked and does not last yet, so that the journal still calls it assumed.
    #[must_use]
    pub fn is_being_corrected(&self, id: CallId) -> bool {
        let corrects = |entry: &Entry| matches!(&entry.fact, Fact::Corrected { assumed, .. } if assumed.hold.id == id);
        self.unwritten.iter().any(corrects)
    }

    /// Takes the news that a yes did not reach its caller, who has sent nothing then.
    ///
    /// The hold is dropped, unless the same call was asked about twice: then the other asker may have gone ahead.
    pub fn unheard(&mut self, yes: &Yes) {
        if yes.is_alone {
            self.end(yes.id, End::Released(ReleaseReason::NeverSent));
        }
    }

    /// Takes out the calls that wait for nobody, such as those whose client has gone.
    pub fn keep_waiting(&mut self, mut is_wanted: impl FnMut(&T) -> bool) {
        self.room.retain(|asked| is_wanted(&asked.ticket));
    }

    /// Wakes who waits, ends holds whose time is up, and keeps levels and accounts in order.
    pub fn attend(&mut self) {
        let now = self.now();
        // By both clocks: ledger time may stand still, and may leap when a new course is believed.
        let is_due = |(at, steady)| now.since(at) >= SWEEP || self.steady >= later(steady, SWEEP);
        if self.swept_at.is_none_or(is_due) {
            self.swept_at = Some((now, self.steady));
            for id in self.ledger.due(now) {
                self.end(id, End::Assumed("no news before its time was up".to_owned()));
            }
            let room = &self.room;
            self.ledger.sweep_except(now, |account| room.needs(account));
            self.journal.tend(now);
        }
        for (asked, verdict) in self.room.wake(&mut self.ledger, now, self.steady) {
            self.answer(asked, verdict, now);
        }
    }

    /// Puts what happened into the journal, where somebody was promised something, where it is time, or `at_once`.
    ///
    /// # Errors
    /// Where the journal failed, in words. The process must end: what was promised is never said.
    pub fn commit(&mut self, at_once: bool) -> Result<(), String> {
        self.gather();
        if at_once || !self.promised.is_empty() || self.write_by.is_some_and(|by| self.steady >= by) {
            match self.write() {
                Ok(()) => self.keep_promises(),
                Err(AppendFailed::Full) => self.turn_away(),
                Err(AppendFailed::Io(reason)) => return Err(reason),
            }
        }
        self.broken.clone().map_or(Ok(()), Err)
    }

    /// Writes what was changed, so that what is said about it is true even after a crash.
    ///
    /// # Errors
    /// Where it could not be written. The facts are kept, and the batch that this is part of knows what to do.
    pub fn write_now(&mut self) -> Result<(), AppendFailed> {
        self.gather();
        self.write()
    }

    /// Removes a budget, while calls go on that were begun under it: no call that waits, and none that still comes with
    /// it in mind, is counted by it any more.
    pub fn retire_budget(&mut self, name: &BudgetName, by: Who) {
        let now = self.now();
        let ledger = &self.ledger;
        self.room.leave_out(|account| ledger.key_of(account).is_some_and(|key| key.budget == *name));
        self.ledger.remove_budget(name, by, now);
        self.retired.insert(name.clone());
    }

    /// Cuts every call in flight on an account whose mode is `kill-running`.
    pub fn cut_calls_on(&mut self, key: &AccountKey, reason: &str) {
        let kills = |budget: &Budget| budget.name == key.budget && budget.mode == Mode::KillRunning;
        if !self.ledger.budgets().any(kills) {
            return;
        }
        let Some(account) = self.ledger.find(key) else { return };
        let cuts = self.ledger.holds_on(account).into_iter().map(|id| (id, format!("{reason}: {key}")));
        self.outbox.cuts.extend(cuts);
    }

    fn say(&mut self, ticket: T, answer: Answer) {
        self.outbox.answers.push((ticket, answer));
    }

    fn wait(&mut self, call: Reserve, asked: Asked<T>) {
        let (since, until) = (self.steady, later(self.steady, asked.question.wait_max));
        if let Err((full, asked)) = self.room.enter(call, asked, since, until) {
            self.say(asked.ticket, Answer::Failed(DeskError::Crowded(full.0)));
        }
    }

    /// The question with the numbers of its accounts, opened where they were not; `None` where a budget is gone.
    fn resolve(&mut self, question: &Question, now: Timestamp) -> Option<Reserve> {
        let mut accounts = Vec::with_capacity(question.accounts.len());
        for key in &question.accounts {
            match self.ledger.open(key, &question.key, now) {
                Some(account) => accounts.push(account),
                // It was in force when the call came, and ended in order.
                None if self.retired.contains(&key.budget) => {}
                None => return None,
            }
        }
        // Two labels that overflowed may have become the same account.
        accounts.sort_unstable();
        accounts.dedup();
        Some(Reserve {
            id: question.id,
            accounts: accounts.into(),
            ask: question.ask,
            priority: question.priority,
            lasts: question.hold_max,
            can_tighten: question.can_tighten,
        })
    }

    fn answer(&mut self, asked: Asked<T>, verdict: Result<Verdict, ReserveError>, now: Timestamp) {
        let waited = Span::from_ms(self.steady.ms().saturating_sub(asked.since.ms()));
        let answer = match verdict {
            Err(error) => Answer::Failed(error.into()),
            Ok(Verdict::Admitted(admission)) => {
                let mut seen = self.see(&asked.question.accounts, now);
                seen.iter_mut().for_each(|view| without(view, &admission.amount));
                let yes = Yes { id: asked.question.id, admission, seen, waited, is_alone: true };
                return self.promise(asked.ticket, yes);
            }
            Ok(Verdict::Tighten) => Answer::Tighten,
            Ok(Verdict::Waits(refusal) | Verdict::Refused(refusal)) => {
                self.cut_where_spent(&refusal);
                let seen = self.see(&asked.question.accounts, now);
                Answer::Refused(Box::new(Refused { refusal, seen, waited, at: now }))
            }
        };
        self.say(asked.ticket, answer);
    }

    /// Keeps a yes until it lasts.
    fn promise(&mut self, ticket: T, mut yes: Yes) {
        let mut others = self.promised.iter_mut().filter(|(_, other)| other.id == yes.id).peekable();
        // A hold that lasted before this batch was asked for before, and its call may be on its way.
        yes.is_alone = others.peek().is_none() && self.ledger.held_by(yes.id) > Some(self.lasts_before);
        others.for_each(|(_, other)| other.is_alone = false);
        self.promised.push((ticket, Box::new(yes)));
    }

    /// Cuts what runs on an account that has no money left, where its mode says so.
    fn cut_where_spent(&mut self, refusal: &Refusal) {
        if refusal.reason == RefusalReason::Exhausted {
            self.cut_calls_on(&refusal.account, "the budget is spent");
        }
    }

    /// What the accounts of a call look like, where one exists.
    fn see(&self, accounts: &[AccountKey], now: Timestamp) -> Vec<AccountView> {
        accounts.iter().filter_map(|key| self.ledger.view(self.ledger.find(key)?, now)).collect()
    }

    /// Takes over the facts that the ledger has made.
    fn gather(&mut self) {
        self.unwritten.append(&mut self.ledger.take_facts());
        if !self.unwritten.is_empty() {
            self.write_within(LINGER);
        }
    }

    fn write_within(&mut self, span: Span) {
        self.write_by.get_or_insert(later(self.steady, span));
    }

    fn write(&mut self) -> Result<(), AppendFailed> {
        if let Some(reason) = &self.broken {
            return Err(AppendFailed::Io(reason.clone()));
        }
        if !self.unwritten.is_empty() {
            let written = self.journal.append(&self.unwritten);
            if let Err(AppendFailed::Io(reason)) = &written {
                self.broken = Some(reason.clone());
            }
            written?;
            self.outbox.written.append(&mut self.unwritten);
        }
        // What was kept back for the ends of calls is not for new ones: a full disk stays closed until it is back.
        if self.journal.has_room() {
            self.closed = None;
        }
        self.write_by = self.closed.is_some().then(|| later(self.steady, FULL));
        if self.closed.is_none() {
            self.mind_snapshots();
        }
        Ok(())
    }

    /// Lets the journal look at books that last as they are, and notes a snapshot that has become whole.
    fn mind_snapshots(&mut self) {
        self.journal.look(&self.ledger);
        if let Some((upto, digest)) = self.journal.kept_snapshot() {
            self.ledger.note_snapshot(upto, digest, self.now());
        }
    }

    fn keep_promises(&mut self) {
        let kept = self.promised.drain(..).map(|(ticket, yes)| (ticket, Answer::Yes(yes)));
        self.outbox.answers.extend(kept);
    }

    /// Closes the desk, because the disk is full: nobody who waits for the disk gets a yes.
    fn turn_away(&mut self) {
        let before = self.lasts_before;
        for (ticket, yes) in std::mem::take(&mut self.promised) {
            // Where the hold is older than this batch, somebody has heard its yes and may have sent the call.
            if self.ledger.held_by(yes.id) > Some(before) {
                self.end(yes.id, End::Released(ReleaseReason::NeverSent));
            }
            self.say(ticket, Answer::Failed(DeskError::Closed(NO_ROOM.to_owned())));
        }
        self.gather();
        self.write_by = Some(later(self.steady, FULL));
        self.closed = Some(NO_ROOM.to_owned());
    }
}

/// So much later on the steady clock.
fn later(steady: Span, span: Span) -> Span {
    Span::from_ms(steady.ms().saturating_add(span.ms()))
}

/// An account as it was before a call that holds `amount` on it.
fn without(view: &mut AccountView, amount: &Charge) {
    view.open_holds = view.open_holds.saturating_sub(1);
    for limit in &mut view.limits {
        limit.held = limit.held.saturating_sub(amount[limit.limit.meter]);
    }
}
