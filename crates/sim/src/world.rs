//! The world: time, the calls, the process that holds the desk, and everything that goes wrong with them.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use almoner_ledger::{
    Answer, Desk, DeskError, End, Fact, Ledger, Question, Reading, RefusalReason, ReleaseReason, ReserveError, Who,
};
use almoner_units::{AccountKey, Budget, CallId, Charge, Meter, Span, Timestamp, Window};

use crate::auditor::{Auditor, Said, is_same};
use crate::dice::Dice;
use crate::disk::{Disk, Fate, SimJournal};
use crate::{Checked, Mutant, STEPS, Tally, cast, ensure};

/// 2025-11-24T16:00:00Z, a Monday.
const START: u64 = 1_764_000_000_000;
const MINUTE: u64 = 60_000;
/// How many calls may wait at the desk.
const WAITING_MAX: usize = 5;
/// How much longer than it may a call waits for the next batch.
const SLACK: u64 = 1_000;
/// How long after its yes a call is sent at most.
const SEND_MAX: u64 = 5_000;
/// How long, on the steady clock, a jump must not be believed.
const DISTRUST: u64 = 10 * MINUTE;
/// How far the wall clock may be off its course before it is called a jump.
const DRIFT: u64 = 10 * MINUTE;
/// How many steps the world has to come to rest.
const REST: u32 = 4_000;

/// Says what happens, where somebody listens.
macro_rules! tell {
    ($world:expr, $($what:tt)+) => {
        if $world.told {
            let line = format!("{:>9} {}", $world.steady, format!($($what)+));
            $world.story.push(line);
        }
    };
}

/// Where a call stands, as its client and the provider see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Asked,
    /// It may go, and has not gone.
    Yes,
    /// The provider has it.
    Sent,
    /// Its end was told, or will never be.
    Ended,
}

struct Call {
    question: Question,
    state: State,
    /// When it heard yes, on the steady clock.
    yes_at: u64,
    bill: Option<Charge>,
}

/// One asking of a call; repeated questions have tickets of their own.
struct Ticket {
    call: usize,
    /// When the desk took it, on the steady clock.
    taken_at: Option<u64>,
    is_gone: bool,
    is_answered: bool,
    /// Whether the question was another than before under the same id.
    is_changed: bool,
}

enum Message {
    Reserve(Box<Question>, usize),
    End(CallId, End),
    Operate(Operation),
}

enum Operation {
    SetBudget(Budget),
    Reset(AccountKey),
    Correct(CallId),
    Add(AccountKey, Charge),
}

/// Where in a batch the process dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Point {
    Begun,
    Taken,
    Judged,
    Refused,
    Committed,
    HalfTold,
}

type SimDesk = Desk<usize, SimJournal>;

pub(crate) struct World {
    dice: Dice,
    mutant: Option<Mutant>,
    told: bool,
    pub(crate) story: Vec<String>,
    pub(crate) tally: Tally,
    steady: u64,
    /// How far the wall clock is off the steady one.
    ahead: i64,
    /// How far it was off when the process started.
    course: i64,
    disk: Rc<RefCell<Disk>>,
    /// The process; `None` while it is down.
    desk: Option<SimDesk>,
    queue: VecDeque<Message>,
    budgets: Vec<Budget>,
    calls: Vec<Call>,
    numbers: BTreeMap<CallId, usize>,
    tickets: Vec<Ticket>,
    auditor: Auditor,
    /// The latest ledger time.
    now: Timestamp,
    /// A forward jump that must not be believed: when it was, on both clocks.
    jump: Option<(u64, Timestamp)>,
    /// Whether the provider bills beyond the bound at times.
    provider_lies: bool,
    /// Whether nothing goes wrong any more.
    is_calm: bool,
}

impl World {
    pub(crate) fn new(seed: u64, mutant: Option<Mutant>, told: bool) -> Self {
        let mut dice = Dice::new(seed);
        let disk = Disk::with_lag(mutant.and_then(Mutant::lag));
        let budgets = cast::budgets(&mut dice);
        let mut auditor = Auditor::default();
        budgets.iter().for_each(|budget| auditor.want(budget));
        let provider_lies = dice.one_in(4);
        Self {
            dice,
            mutant,
            told,
            story: Vec::new(),
            tally: Tally::default(),
            steady: MINUTE,
            ahead: 0,
            course: 0,
            disk: Rc::new(RefCell::new(disk)),
            desk: None,
            queue: VecDeque::new(),
            budgets,
            calls: Vec::new(),
            numbers: BTreeMap::new(),
            tickets: Vec::new(),
            auditor,
            now: Timestamp::default(),
            jump: None,
            provider_lies,
            is_calm: false,
        }
    }

    /// Both phases, to the end.
    pub(crate) fn live(&mut self) -> Checked {
        for budget in self.budgets.clone() {
            tell!(self, "budget {budget:?}");
        }
        self.restart()?;
        for _ in 0..STEPS {
            self.step()?;
            self.audit()?;
        }
        self.rest()?;
        self.tally.lived_ms += self.steady;
        Ok(())
    }

    fn is(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    fn reading(&self) -> Reading {
        let wall = (START + self.steady).saturating_add_signed(self.ahead);
        let steady = if self.is(Mutant::BelievesJumps) { wall } else { self.steady };
        Reading { wall: Timestamp::from_ms(wall), steady: Span::from_ms(steady) }
    }

    fn pass(&mut self, ms: u64) {
        self.steady += ms;
    }

    // What happens.

    fn step(&mut self) -> Checked {
        self.tally.steps += 1;
        let ms = match self.dice.below(40) {
            0..=14 => 0,
            15..=24 => self.dice.between(1, 30),
            25..=34 => self.dice.between(30, 1_500),
            35..=37 => self.dice.between(1_500, 40_000),
            38 => self.dice.between(MINUTE, 20 * MINUTE),
            _ => 0,
        };
        self.pass(ms);
        if self.desk.is_none() {
            return if self.dice.one_in(2) { self.restart() } else { Ok(()) };
        }
        match self.dice.below(100) {
            0..=17 => self.ask(),
            18..=20 => self.repeat(),
            21..=22 => self.leave(),
            23..=36 => return self.send(),
            37..=50 => self.finish(),
            51..=53 => self.tell_again(),
            54..=57 => self.operate(),
            58..=59 => self.spoil_the_clock(),
            60..=62 => self.spoil_the_disk(),
            63 => self.crash("killed between two batches"),
            _ => return self.batch(),
        }
        Ok(())
    }

    fn ask(&mut self) {
        let question = cast::question(&self.budgets, self.reading().wall, &mut self.dice);
        tell!(self, "ask {} on {:?}, {:?}", question.id, question.accounts, question.ask);
        let said = Said { accounts: question.accounts.clone(), ask: Some(question.ask), ..Said::default() };
        self.auditor.said.insert(question.id, said);
        self.numbers.insert(question.id, self.calls.len());
        self.calls.push(Call { question, state: State::Asked, yes_at: 0, bill: None });
        self.queue_question(self.calls.len() - 1, false);
        self.tally.asked += 1;
    }

    fn queue_question(&mut self, call: usize, is_changed: bool) {
        let mut question = self.calls[call].question.clone();
        if is_changed {
            question.ask.fixed[Meter::Tokens] += 1;
        }
        self.tickets.push(Ticket { call, taken_at: None, is_gone: false, is_answered: false, is_changed });
        self.queue.push_back(Message::Reserve(Box::new(question), self.tickets.len() - 1));
    }

    /// A client asks again under an id that is known, at times something else.
    fn repeat(&mut self) {
        if self.calls.is_empty() {
            return;
        }
        let call = self.recent();
        let is_changed = matches!(self.calls[call].state, State::Yes | State::Sent) && self.dice.one_in(3);
        tell!(self, "ask {} again, changed: {is_changed}", self.calls[call].question.id);
        let is_anew = self.is(Mutant::RepeatsAnew);
        self.queue_question(call, is_changed);
        if let (true, Some(Message::Reserve(question, _))) = (is_anew, self.queue.back_mut()) {
            question.id = CallId::new(question.id.made_at(), self.dice.bytes());
        }
    }

    /// One of the latest calls.
    fn recent(&mut self) -> usize {
        let back = self.dice.place(self.calls.len().min(12));
        self.calls.len() - 1 - back
    }

    /// A client that waits for its answer goes away.
    fn leave(&mut self) {
        let from = self.tickets.len().saturating_sub(8);
        if let Some(ticket) = self.tickets[from..].iter_mut().find(|ticket| !ticket.is_answered) {
            ticket.is_gone = true;
        }
    }

    /// A call in this state, one of the latest.
    fn some_call(&mut self, state: State) -> Option<usize> {
        let found: Vec<usize> = (0..self.calls.len()).filter(|at| self.calls[*at].state == state).collect();
        if found.is_empty() { None } else { Some(found[self.dice.place(found.len())]) }
    }

    /// A call that may go reaches the provider, or does not.
    fn send(&mut self) -> Checked {
        let Some(call) = self.some_call(State::Yes) else { return Ok(()) };
        let id = self.calls[call].question.id;
        let fate = if self.is_calm { 2 } else { self.dice.below(12) };
        // A gateway sends at once what may go; one that dawdles past the end of the hold is not modelled.
        let has_ended = self.auditor.holds.get(&id).is_some_and(|known| known.ended.is_some());
        let is_late = has_ended || self.steady - self.calls[call].yes_at > SEND_MAX;
        if fate == 0 || is_late {
            tell!(self, "{id} finds no provider");
            self.calls[call].state = State::Ended;
            self.end(id, End::Released(ReleaseReason::NeverSent));
            return Ok(());
        }
        ensure!(self.disk.borrow().has_hold(id), "I6", "call {id} is sent, and its hold does not last");
        if fate == 1 {
            tell!(self, "{id} is refused by the provider");
            self.calls[call].state = State::Ended;
            self.end(id, End::Released(ReleaseReason::RefusedUpstream { status: 429 }));
            return Ok(());
        }
        self.bill(call);
        Ok(())
    }

    fn bill(&mut self, call: usize) {
        let question = self.calls[call].question.clone();
        let Some(known) = self.auditor.holds.get(&question.id) else { return };
        let (held, held_at) = (known.hold.amount, known.held_at);
        let mut bill = cast::bill(&held, &mut self.dice);
        if self.provider_lies && self.dice.one_in(6) {
            bill[Meter::Usd] = held[Meter::Usd] + self.dice.between(1, 500_000);
            bill[Meter::Tokens] = held[Meter::Tokens] + self.dice.between(1, 500);
            self.tally.overruns += 1;
        }
        tell!(self, "{} is sent, and billed {bill:?}", question.id);
        self.auditor.truth.bill(question.id, &question.accounts, bill, held, (held_at, self.now.ms()));
        (self.calls[call].state, self.calls[call].bill) = (State::Sent, Some(bill));
        self.tally.billed += 1;
    }

    /// The end of a call is told, or gets lost on its way.
    fn finish(&mut self) {
        let Some(call) = self.some_call(State::Sent) else { return };
        let (id, bill) = (self.calls[call].question.id, self.calls[call].bill.unwrap_or_default());
        self.calls[call].state = State::Ended;
        match if self.is_calm { 0 } else { self.dice.below(10) } {
            0..=5 => self.end(id, End::Settled(bill)),
            6 if self.is(Mutant::ReleasesOnHangUp) => self.end(id, End::Released(ReleaseReason::NeverSent)),
            // The client hangs up, and the rest is read all the same.
            6 => self.end(id, End::Settled(bill)),
            7..=8 => self.end(id, End::Assumed("the stream broke".to_owned())),
            _ => {
                tell!(self, "{id} ends, and nobody hears of it");
            }
        }
    }

    fn end(&mut self, id: CallId, end: End) {
        tell!(self, "{id} ends: {end:?}");
        let said = self.auditor.said.entry(id).or_default();
        match &end {
            End::Settled(spent) => said.settled = said.settled.or(Some(*spent)),
            End::Assumed(_) => said.assumed = true,
            End::Released(_) => {}
        }
        self.queue.push_back(Message::End(id, end));
    }

    /// News that were told come again, in the same words or in others, or come about a call that nobody knows.
    fn tell_again(&mut self) {
        let Some(call) = self.some_call(State::Ended) else { return };
        let id = self.calls[call].question.id;
        let Some(bill) = self.calls[call].bill else { return };
        let was_told = self.auditor.said.get(&id).is_some_and(|said| said.settled.is_some() || said.assumed);
        let mut other = bill;
        other[Meter::Usd] /= 2;
        match self.dice.below(4) {
            // Only what was told before may be contradicted: the first news are the truth.
            0 if was_told => self.end(id, End::Settled(other)),
            1 if was_told => self.end(id, End::Released(ReleaseReason::NeverSent)),
            2 => {
                let nobody = CallId::from_bits(u128::from(self.dice.below(1000)));
                self.end(nobody, End::Settled(bill));
            }
            _ => self.end(id, End::Settled(bill)),
        }
    }

    fn operate(&mut self) {
        let at = self.dice.place(self.budgets.len());
        let keys = cast::accounts(&self.budgets, &mut self.dice);
        let key = self.dice.pick(&keys);
        let operation = match self.dice.below(12) {
            0..=4 => self.change(at),
            5 => Operation::Reset(key),
            6 => {
                let mut charge = Charge::ZERO;
                charge[Meter::Usd] = self.dice.below(300_000);
                charge[Meter::Tokens] = self.dice.below(300);
                Operation::Add(key, charge)
            }
            _ => {
                let assumed = self.disk.borrow().assumed();
                if assumed.is_empty() {
                    return;
                }
                Operation::Correct(assumed[self.dice.place(assumed.len())].hold.id)
            }
        };
        self.queue.push_back(Message::Operate(operation));
    }

    /// Another limit or mode for a budget that is in force.
    fn change(&mut self, at: usize) -> Operation {
        let mut budget = self.budgets[at].clone();
        let which = self.dice.place(budget.limits.len());
        let limit = &mut budget.limits[which];
        limit.amount = match self.dice.below(3) {
            0 => (limit.amount / 2).max(1),
            1 => limit.amount + limit.amount / 2,
            _ => cast::amount(limit.meter, &mut self.dice),
        };
        if self.dice.one_in(4) {
            budget.mode = cast::mode(&mut self.dice);
        }
        Operation::SetBudget(budget)
    }

    fn spoil_the_clock(&mut self) {
        self.tally.jumps += 1;
        let far = match self.dice.below(4) {
            0 => self.dice.between(1, 4 * MINUTE),
            1 => self.dice.between(20 * MINUTE, 90 * MINUTE),
            _ => self.dice.between(20 * MINUTE, 360 * MINUTE),
        };
        match self.dice.below(5) {
            // The machine sleeps: both clocks run on.
            0 => self.pass(far),
            1..=2 => self.ahead -= i64::try_from(far).unwrap_or(0),
            _ => {
                // Only from a wall clock that was on its course is it plain what must not be believed.
                if far >= 20 * MINUTE && self.jump.is_none() && self.ahead == self.course {
                    self.jump = Some((self.steady, self.now.max(self.reading().wall)));
                }
                self.ahead += i64::try_from(far).unwrap_or(0);
            }
        }
        tell!(self, "the wall clock is {} ms off", self.ahead);
    }

    fn spoil_the_disk(&mut self) {
        let mut disk = self.disk.borrow_mut();
        disk.fate = match disk.fate {
            Fate::Full => Fate::Good,
            _ => self.dice.pick(&[Fate::Full, Fate::Full, Fate::Torn, Fate::Ghost]),
        };
        self.tally.full += u64::from(disk.fate == Fate::Full);
        self.tally.torn += u64::from(disk.fate == Fate::Torn);
        self.tally.ghosts += u64::from(disk.fate == Fate::Ghost);
        tell!(self, "the disk will be {:?}", disk.fate);
    }

    // The process.

    fn crash(&mut self, how: &str) {
        tell!(self, "CRASH: {how}");
        self.tally.crashes += 1;
        self.desk = None;
        self.queue.clear();
        self.jump = None;
        self.tickets.iter_mut().for_each(|ticket| ticket.is_answered = true);
        for call in &mut self.calls {
            // The provider goes on with what it has; nobody is left to hear of it.
            if matches!(call.state, State::Yes | State::Sent | State::Asked) {
                call.state = State::Ended;
            }
        }
    }

    /// Reads the journal again, assumes what was in flight, and puts the budgets in force.
    fn restart(&mut self) -> Checked {
        self.disk.borrow_mut().recover();
        if self.is(Mutant::ForgetsTail) && self.dice.one_in(2) {
            let mut disk = self.disk.borrow_mut();
            let kept = disk.rows.len().saturating_sub(3);
            disk.rows.truncate(kept);
        }
        let mut ledger = Ledger::new();
        for entry in &self.disk.borrow().rows {
            let mut entry = entry.clone();
            if let (true, Fact::Assumed { hold, .. }) = (self.is(Mutant::ForgetsAssumed), &entry.fact) {
                entry.fact = Fact::Released { id: hold.id, reason: ReleaseReason::NeverSent };
            }
            ledger.replay(&entry);
        }
        let now = self.reading().wall;
        let open: Vec<CallId> = ledger.holds().iter().map(|hold| hold.id).collect();
        for id in open {
            self.auditor.said.entry(id).or_default().assumed = true;
            let told = match self.mutant {
                Some(Mutant::ReleasesOnCrash) => ledger.release(id, ReleaseReason::NeverSent, now),
                _ => ledger.assume(id, "the process died", now),
            };
            ensure!(told.is_ok(), "I3", "open call {id} cannot be assumed: {told:?}");
        }
        for budget in self.budgets.clone() {
            let budget = self.as_set(&budget);
            ledger.set_budget(budget, Who("config".to_owned()), now);
        }
        let mut journal = SimJournal(Rc::clone(&self.disk));
        let facts = ledger.take_facts();
        if let Err(error) = almoner_ledger::Journal::append(&mut journal, &facts) {
            tell!(self, "cannot start: {error}");
            return Ok(());
        }
        if self.disk.borrow().lag.is_some() {
            self.disk.borrow_mut().flush();
        }
        tell!(self, "started at fact {}", ledger.seq());
        let desk = Desk::new(ledger, journal, self.reading(), WAITING_MAX);
        // What lasts decides; what was only looked at later was never written, and an earlier time counts more.
        let last = self.disk.borrow().rows.last().map_or(Timestamp::default(), |entry| entry.at);
        ensure!(desk.now() >= last, "I8", "ledger time was {last}, and is {} after a restart", desk.now());
        (self.now, self.course) = (desk.now(), self.ahead);
        self.auditor.truth.begin_anew(self.now.ms());
        self.read()?;
        self.auditor.check_books(&desk.ledger, self.now)?;
        self.desk = Some(desk);
        Ok(())
    }

    /// A budget as it comes to the ledger.
    fn as_set(&self, budget: &Budget) -> Budget {
        let mut budget = budget.clone();
        for limit in budget.limits.iter_mut().filter(|_| self.is(Mutant::FreesEarly)) {
            if let Window::Sliding(span) = limit.window {
                limit.window = Window::Sliding(Span::from_ms(span.ms() / 2));
            }
        }
        budget
    }

    /// What the keeper's thread does with all that has arrived; at times it dies in the middle.
    fn batch(&mut self) -> Checked {
        let points = [Point::Begun, Point::Taken, Point::Judged, Point::Refused, Point::Committed, Point::HalfTold];
        let dies = if !self.is_calm && self.dice.one_in(25) { Some(self.dice.pick(&points)) } else { None };
        let Some(mut desk) = self.desk.take() else { return Ok(()) };
        let finished = self.batch_at(&mut desk, dies)?;
        self.desk = Some(desk);
        if let Some(point) = dies.filter(|_| finished.is_none()) {
            self.crash(&format!("killed at {point:?}"));
        } else if let Some(Err(reason)) = finished {
            self.crash(&reason);
        }
        Ok(())
    }

    /// One batch; nothing where the process died in it, else how the commit went.
    fn batch_at(
        &mut self,
        desk: &mut SimDesk,
        dies: Option<Point>,
    ) -> Result<Option<Result<(), String>>, crate::Broken> {
        let now = desk.begin(self.reading());
        self.check_time(now)?;
        if dies == Some(Point::Begun) {
            return Ok(None);
        }
        let mut ended = Vec::new();
        let stop_after = if dies == Some(Point::Taken) { self.queue.len() / 2 } else { usize::MAX };
        for _ in 0..stop_after.min(self.queue.len()) {
            let Some(message) = self.queue.pop_front() else { break };
            self.take(desk, message, &mut ended);
        }
        if dies == Some(Point::Taken) {
            return Ok(None);
        }
        let loses = self.is(Mutant::LosesWaiters) && self.dice.one_in(3);
        desk.keep_waiting(|ticket| !loses && !self.tickets[*ticket].is_gone);
        desk.attend();
        self.check_ended(desk, &ended)?;
        if dies == Some(Point::Judged) {
            return Ok(None);
        }
        self.say(desk, usize::MAX)?;
        if dies == Some(Point::Refused) {
            return Ok(None);
        }
        let commits = self.disk.borrow().commits;
        if let Err(reason) = desk.commit(false) {
            return Ok(Some(Err(reason)));
        }
        let has_committed = self.disk.borrow().commits > commits;
        if dies == Some(Point::Committed) && has_committed {
            return Ok(None);
        }
        self.read()?;
        if dies == Some(Point::HalfTold) {
            self.say(desk, 1)?;
            return Ok(None);
        }
        self.say(desk, usize::MAX)?;
        if self.is(Mutant::SaysYesBeforeCommit) && self.dice.one_in(2) {
            self.disk.borrow_mut().flush();
        }
        self.check_desk(desk)?;
        Ok(Some(Ok(())))
    }

    fn take(&mut self, desk: &mut SimDesk, message: Message, ended: &mut Vec<CallId>) {
        match message {
            Message::Reserve(question, ticket) => self.reserve(desk, question, ticket),
            Message::End(id, end) => {
                ended.push(id);
                self.take_end(desk, id, end);
            }
            Message::Operate(operation) => {
                self.do_operation(desk, operation);
                // Where it fails, the commit of this batch fails too.
                drop(desk.write_now());
            }
        }
    }

    fn reserve(&mut self, desk: &mut SimDesk, mut question: Box<Question>, ticket: usize) {
        match self.mutant {
            Some(Mutant::ForgetsAnAccount) if question.accounts.len() > 1 => drop(question.accounts.pop()),
            Some(Mutant::HoldsHalf) => question.ask.fixed[Meter::Usd] /= 2,
            Some(Mutant::IgnoresExpiry) => question.hold_max = Span::from_secs(1 << 30),
            Some(Mutant::WaitsTooLong) => question.wait_max = Span::from_ms(question.wait_max.ms() * 100),
            _ => {}
        }
        self.tickets[ticket].taken_at = Some(self.steady);
        let waiting = desk.waiting();
        if self.is(Mutant::IgnoresHeld) {
            self.without_holds(desk, question, ticket);
        } else {
            desk.reserve(question, ticket);
        }
        self.tally.waited += u64::from(desk.waiting() > waiting);
    }

    /// Judges a call by limits that are higher by what others hold.
    fn without_holds(&mut self, desk: &mut SimDesk, question: Box<Question>, ticket: usize) {
        let now = desk.now();
        let who = || Who("mutant".to_owned());
        let views = desk.ledger.views(now);
        let before: Vec<Budget> = desk.ledger.budgets().cloned().collect();
        for budget in &before {
            let mut higher = budget.clone();
            for view in views.iter().filter(|view| view.key.budget == budget.name) {
                let limits = higher.limits.iter_mut().zip(&view.limits);
                limits.for_each(|(limit, shown)| limit.amount += shown.held);
            }
            desk.ledger.set_budget(higher, who(), now);
        }
        desk.reserve(question, ticket);
        before.into_iter().for_each(|budget| desk.ledger.set_budget(budget, who(), now));
    }

    fn take_end(&mut self, desk: &mut SimDesk, id: CallId, end: End) {
        let held = self.auditor.holds.get(&id).map(|known| known.hold.amount).unwrap_or_default();
        let end = match (self.mutant, end) {
            (Some(Mutant::LosesEnds), _) if self.dice.one_in(3) => return,
            (Some(Mutant::LosesEndsAndReleases), End::Settled(_)) if self.dice.one_in(3) => {
                End::Released(ReleaseReason::NeverSent)
            }
            (Some(Mutant::RefundsTwice), End::Settled(spent)) => {
                End::Settled(spent.saturating_sub(&held.saturating_sub(&spent)))
            }
            (_, end) => end,
        };
        if let (Some(Mutant::SettlesTwice), End::Settled(spent)) = (self.mutant, &end) {
            let accounts = self.auditor.holds.get(&id).map(|known| known.hold.accounts.clone()).unwrap_or_default();
            let again = CallId::new(id.made_at(), self.dice.bytes());
            drop(desk.ledger.add(again, accounts, *spent, Who("mutant".to_owned()), String::new(), desk.now()));
        }
        desk.end(id, end);
    }

    fn do_operation(&mut self, desk: &mut SimDesk, operation: Operation) {
        let (now, who) = (desk.now(), || Who("operator".to_owned()));
        self.tally.changes += u64::from(matches!(operation, Operation::SetBudget(_)));
        match operation {
            Operation::SetBudget(budget) => {
                tell!(self, "set {} to {:?}, {:?}", budget.name, budget.mode, budget.limits);
                self.auditor.want(&budget);
                let is_lower = |known: &Budget| {
                    known.limits.iter().zip(&budget.limits).any(|(known, limit)| limit.amount < known.amount)
                };
                let known = self.budgets.iter_mut().find(|known| known.name == budget.name);
                let is_lower = known.as_deref().is_some_and(is_lower);
                known.into_iter().for_each(|known| *known = budget.clone());
                if !(is_lower && self.is(Mutant::LowersNever)) {
                    let budget = self.as_set(&budget);
                    desk.ledger.set_budget(budget, who(), now);
                }
            }
            Operation::Reset(key) => {
                tell!(self, "reset {key}");
                desk.ledger.reset(&key, who(), "a test".to_owned(), now);
                self.auditor.truth.may_be_forgiven(&key);
            }
            Operation::Add(key, charge) => {
                let id = CallId::new(now, self.dice.bytes());
                tell!(self, "add {id} to {key}: {charge:?}");
                self.auditor.said.insert(id, Said { accounts: vec![key.clone()], ..Said::default() });
                let accounts: Box<[_]> = desk.ledger.open(&key, "operator", now).into_iter().collect();
                drop(desk.ledger.add(id, accounts, charge, who(), "a test".to_owned(), now));
            }
            Operation::Correct(id) => self.correct(desk, id),
        }
    }

    fn correct(&mut self, desk: &mut SimDesk, id: CallId) {
        let assumed = self.disk.borrow().assumed().into_iter().find(|it| it.hold.id == id);
        let Some(assumed) = assumed else { return };
        let truth = self.numbers.get(&id).and_then(|call| self.calls[*call].bill).unwrap_or_default();
        tell!(self, "correct {id} to {truth:?}");
        self.auditor.said.entry(id).or_default().corrected = Some(truth);
        let told = if self.is(Mutant::RefundsLateTruth) { Charge::ZERO } else { truth };
        let now = desk.now();
        drop(desk.ledger.correct(assumed, told, Who("operator".to_owned()), "a bill".to_owned(), now));
        self.tally.corrections += 1;
    }

    /// Says what the desk has to say, to so many.
    fn say(&mut self, desk: &mut SimDesk, most: usize) -> Checked {
        let outbox = desk.take_outbox();
        for (ticket, answer) in outbox.answers.into_iter().take(most) {
            self.hear(desk, ticket, answer)?;
        }
        for (id, reason) in outbox.cuts.into_iter().take(most) {
            let call = self.numbers.get(&id).copied().filter(|call| self.calls[*call].state == State::Sent);
            if let Some(call) = call {
                self.calls[call].state = State::Ended;
                self.end(id, End::Assumed(reason));
            }
        }
        Ok(())
    }

    /// A client hears its answer.
    fn hear(&mut self, desk: &mut SimDesk, ticket: usize, answer: Answer) -> Checked {
        self.tickets[ticket].is_answered = true;
        let Ticket { call, is_gone, is_changed, .. } = self.tickets[ticket];
        let id = self.calls[call].question.id;
        match answer {
            Answer::Yes(yes) if is_gone => {
                tell!(self, "{id} has gone when it may go");
                desk.unheard(&yes);
            }
            Answer::Yes(yes) => {
                ensure!(!is_changed, "I5", "call {id} has another question than before, and hears yes");
                tell!(self, "{id} may go with {:?}", yes.admission.amount);
                self.tally.admitted += 1;
                if self.calls[call].state == State::Asked {
                    self.calls[call].state = State::Yes;
                    self.calls[call].yes_at = self.steady;
                }
            }
            Answer::Refused(refused) => {
                let it = &refused.refusal;
                tell!(self, "{id} is refused: {:?} of {} on {}", it.reason, it.limit, it.account);
                self.tally.refused += 1;
                let settled = it.spent.saturating_add(it.assumed);
                let is_true = it.reason != RefusalReason::Exhausted || settled + it.asked > it.limit.amount;
                ensure!(is_true, "I10", "call {id} is refused, and would fit: {it:?}");
            }
            Answer::Tighten => {
                tell!(self, "{id} shall look closer");
            }
            Answer::Failed(error) => {
                tell!(self, "{id} hears: {error}");
                self.hear_failure(id, is_changed, &error)?;
            }
        }
        Ok(())
    }

    fn hear_failure(&self, id: CallId, is_changed: bool, error: &DeskError) -> Checked {
        let DeskError::Question(error) = error else { return Ok(()) };
        let is_due = match error {
            ReserveError::Differs { .. } => is_changed,
            ReserveError::Over { .. } | ReserveError::TooOld(_) => true,
            _ => false,
        };
        ensure!(is_due, "I5", "call {id} asked rightly, and hears: {error}");
        Ok(())
    }

    // What must be true.

    fn check_time(&mut self, now: Timestamp) -> Checked {
        ensure!(now >= self.now, "I8", "ledger time was {}, and is {now}", self.now);
        if let Some((at, ledger)) = self.jump {
            let passed = self.steady - at;
            let most = ledger.after(Span::from_ms(passed + DRIFT));
            if passed >= DISTRUST {
                self.jump = None;
            } else {
                ensure!(now <= most, "I8", "the clock jumped at {ledger}, and {passed} ms later it is {now}");
            }
        }
        self.now = now;
        Ok(())
    }

    fn check_ended(&self, desk: &SimDesk, ended: &[CallId]) -> Checked {
        if ended.is_empty() {
            return Ok(());
        }
        let is_open = |id: &&CallId| desk.ledger.holds().iter().any(|hold| hold.id == **id);
        let open = ended.iter().find(is_open);
        ensure!(open.is_none(), "I3", "the end of call {open:?} was told, and its hold is open");
        Ok(())
    }

    fn check_desk(&self, desk: &SimDesk) -> Checked {
        let (now, waiting) = (desk.now(), desk.waiting());
        ensure!(waiting <= WAITING_MAX, "I11", "{waiting} calls wait, {WAITING_MAX} may");
        for ticket in self.tickets.iter().filter(|ticket| !ticket.is_answered && !ticket.is_gone) {
            let question = &self.calls[ticket.call].question;
            let Some(taken_at) = ticket.taken_at else { continue };
            let (waited, may) = (self.steady - taken_at, question.wait_max.ms());
            ensure!(waited <= may + SLACK, "I10", "call {} has waited {waited} ms, it may {may}", question.id);
        }
        let holds = desk.ledger.holds();
        ensure!(holds.len() <= self.calls.len(), "I11", "{} holds for {} calls", holds.len(), self.calls.len());
        for hold in holds {
            let asked = self.numbers.get(&hold.id).map(|call| self.calls[*call].question.hold_max);
            let held_at = self.auditor.holds.get(&hold.id).map(|known| Timestamp::from_ms(known.held_at));
            let by = held_at.zip(asked).map_or(hold.expires_at, |(at, span)| at.after(span));
            ensure!(by.after(Span::from_ms(SLACK)) >= now, "I10", "call {} is held at {now}, until {by}", hold.id);
        }
        for budget in &self.budgets {
            let is_set = desk.ledger.budgets().any(|known| is_same(known, budget));
            ensure!(is_set, "I1", "budget {} is not in force as it was set: {budget:?}", budget.name);
        }
        Ok(())
    }

    /// Lets the auditor read what has come to last.
    fn read(&mut self) -> Checked {
        let disk = self.disk.borrow();
        for entry in disk.rows.iter().skip(if self.told { self.auditor.read } else { usize::MAX }) {
            tell!(self, "  fact {}: {:?}", entry.seq, entry.fact);
        }
        self.auditor.read(&disk.rows)
    }

    fn audit(&mut self) -> Checked {
        self.read()?;
        let disk = self.disk.borrow();
        let Some(desk) = &self.desk else {
            return self.auditor.check_truth(None, self.now);
        };
        self.auditor.check_truth(Some(&desk.ledger), self.now)?;
        if desk.ledger.seq() == disk.seq() {
            self.auditor.check_books(&desk.ledger, self.now)?;
            if self.tally.steps.is_multiple_of(48) {
                let mut again = Ledger::new();
                disk.rows.iter().for_each(|entry| again.replay(entry));
                ensure!(again.agrees_with(&desk.ledger, self.now), "I7", "a replay gives other books");
            }
        }
        Ok(())
    }

    // The second phase.

    /// The faults stop, and everything comes to rest.
    fn rest(&mut self) -> Checked {
        tell!(self, "the faults stop");
        self.is_calm = true;
        for _ in 0..REST {
            self.tally.steps += 1;
            self.disk.borrow_mut().fate = Fate::Good;
            if self.desk.is_none() {
                self.restart()?;
            }
            while self.calls.iter().any(|call| call.state == State::Yes) {
                self.send()?;
            }
            while self.calls.iter().any(|call| call.state == State::Sent) {
                self.finish();
            }
            self.batch()?;
            self.audit()?;
            if self.is_at_rest() {
                return self.check_rest();
            }
            self.pass_until_something_is_due();
        }
        let desk = self.desk.as_ref();
        let (waiting, open) = desk.map_or((0, 0), |desk| (desk.waiting(), desk.ledger.holds().len()));
        ensure!(
            false,
            "I10",
            "no rest: {waiting} calls wait, {open} holds are open, {} in the queue",
            self.queue.len()
        );
        Ok(())
    }

    /// Whether nothing is left to happen; what is assumed gets its truth first.
    fn is_at_rest(&mut self) -> bool {
        let Some(desk) = &self.desk else { return false };
        let is_idle = desk.waiting() == 0 && desk.ledger.holds().is_empty() && self.queue.is_empty();
        let has_sent = self.calls.iter().any(|call| matches!(call.state, State::Yes | State::Sent));
        if !is_idle || has_sent || desk.ledger.seq() != self.disk.borrow().seq() {
            return false;
        }
        for assumed in self.disk.borrow().assumed() {
            self.queue.push_back(Message::Operate(Operation::Correct(assumed.hold.id)));
        }
        self.queue.is_empty()
    }

    fn pass_until_something_is_due(&mut self) {
        let Some(desk) = &self.desk else { return };
        let is_busy = desk.waiting() > 0 || !self.queue.is_empty() || desk.ledger.seq() != self.disk.borrow().seq();
        let patience = desk.patience(Span::from_ms(self.steady)).ms().max(1);
        self.pass(if is_busy { patience } else { MINUTE });
    }

    fn check_rest(&mut self) -> Checked {
        let Some(desk) = &self.desk else { return Ok(()) };
        ensure!(desk.closed().is_none(), "I10", "admission is closed at rest: {:?}", desk.closed());
        let unanswered = self.tickets.iter().find(|ticket| !ticket.is_answered && !ticket.is_gone);
        let unanswered = unanswered.map(|ticket| self.calls[ticket.call].question.id);
        ensure!(unanswered.is_none(), "I10", "call {unanswered:?} was never answered");
        self.auditor.check_books(&desk.ledger, self.now)?;
        self.auditor.check_rest(&desk.ledger, self.now)
    }
}
