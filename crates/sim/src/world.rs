//! The world: time, the calls, the process that holds the desk, and everything that goes wrong with them.

mod checks;
mod process;
mod rest;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

use almoner_ledger::{Desk, End, Question, Reading, ReleaseReason};
use almoner_units::{AccountKey, Budget, BudgetName, CallId, Charge, Meter, Span, Timestamp};

use crate::auditor::{Auditor, Said};
use crate::dice::Dice;
use crate::disk::{Disk, Fate, SimJournal};
use crate::naive::{BERLIN, LORD_HOWE, NEW_YORK};
use crate::{Checked, Mutant, STEPS, Tally, cast, ensure};

/// 2025-11-24T16:00:00Z, a Monday.
const START: u64 = 1_764_000_000_000;
/// When a clock is changed somewhere, some hours before which a wide history begins.
const CHANGES: [u64; 6] = [BERLIN.0, BERLIN.1, NEW_YORK.0, NEW_YORK.1, LORD_HOWE.0, LORD_HOWE.1];
const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;
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

use tell;

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
    /// A budget is removed; what is counted on its accounts is kept out of sight.
    Remove(BudgetName),
    /// One that was removed is set again, and its accounts go on.
    BringBack,
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
    /// Whether budgets come and go, commits take long, and windows lie in zones with summer time: in every third
    /// history, so that the others stay what they were.
    is_wide: bool,
    /// Whether clients go on with what the provider refused: in every fourth history, for the same reason.
    goes_on: bool,
    /// What the wall clock shows where the steady one shows nothing.
    start: u64,
    steady: u64,
    /// How long the last commit took.
    stall: u64,
    /// How far the wall clock is off the steady one.
    ahead: i64,
    /// How far it was off when the process started.
    course: i64,
    disk: Rc<RefCell<Disk>>,
    /// The process; `None` while it is down.
    desk: Option<SimDesk>,
    queue: VecDeque<Message>,
    budgets: Vec<Budget>,
    /// The budgets that were removed and may come back.
    retired: Vec<Budget>,
    /// The names of all that were ever removed.
    removed: BTreeSet<BudgetName>,
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
        let is_wide = seed.is_multiple_of(3);
        let start = if is_wide { dice.pick(&CHANGES) - dice.between(1, 30) * HOUR } else { START };
        let budgets = cast::budgets(is_wide, &mut dice);
        let mut auditor = Auditor::default();
        budgets.iter().for_each(|budget| auditor.want(budget));
        let provider_lies = dice.one_in(4);
        Self {
            dice,
            mutant,
            told,
            story: Vec::new(),
            tally: Tally::default(),
            is_wide,
            goes_on: seed.is_multiple_of(4),
            start,
            steady: MINUTE,
            stall: 0,
            ahead: 0,
            course: 0,
            disk: Rc::new(RefCell::new(disk)),
            desk: None,
            queue: VecDeque::new(),
            budgets,
            retired: Vec::new(),
            removed: BTreeSet::new(),
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
        let wall = (self.start + self.steady).saturating_add_signed(self.ahead);
        let steady = if self.is(Mutant::BelievesJumps) { wall } else { self.steady };
        Reading { wall: Timestamp::from_ms(wall), steady: Span::from_ms(steady) }
    }

    fn pass(&mut self, ms: u64) {
        self.steady += ms;
    }

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
        if self.is_wide {
            self.widen();
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

    /// What happens in a wide history alone: hours in which nobody comes, and budgets that come and go.
    fn widen(&mut self) {
        match self.dice.below(50) {
            0 => {
                let span = self.dice.between(HOUR / 2, 14 * HOUR);
                self.pass(span);
            }
            1 => {
                let budget = self.dice.pick(&self.budgets);
                self.queue.push_back(Message::Operate(Operation::Remove(budget.name)));
            }
            2..=3 => self.queue.push_back(Message::Operate(Operation::BringBack)),
            _ => {}
        }
    }

    /// What people do while the disk takes its time.
    fn meanwhile(&mut self) {
        self.stall = self.dice.between(500, 70_000);
        tell!(self, "the disk takes {} ms", self.stall);
        self.tally.stalls += 1;
        self.pass(self.stall);
        for _ in 0..self.dice.below(5) {
            match self.dice.below(4) {
                0 => self.ask(),
                1 => self.repeat(),
                2 => self.leave(),
                _ => self.finish(),
            }
        }
    }

    fn ask(&mut self) {
        let question = cast::question(&self.budgets, self.reading().wall, &mut self.dice);
        self.put(question);
    }

    fn put(&mut self, question: Question) {
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
            self.go_on(call);
            return Ok(());
        }
        self.bill(call);
        Ok(())
    }

    /// Goes on with a call that the provider refused, there or elsewhere: as a call of its own.
    fn go_on(&mut self, call: usize) {
        let before = self.calls[call].question.clone();
        let wall = self.reading().wall;
        // Dice of its own, so that histories in which nobody goes on stay what they were.
        let mut dice = Dice::new(u64::try_from(before.id.bits() & u128::from(u64::MAX)).unwrap_or(0));
        if !self.goes_on || dice.one_in(4) {
            return;
        }
        self.tally.went_on += 1;
        if self.is(Mutant::RetriesUnheld) {
            return self.bill(call);
        }
        let is_in_force = |key: &AccountKey| self.budgets.iter().any(|budget| budget.name == key.budget);
        if dice.one_in(2) && before.accounts.iter().all(is_in_force) {
            return self.put(Question { id: CallId::new(wall, dice.bytes()), ..before });
        }
        let elsewhere = cast::question(&self.budgets, wall, &mut dice);
        self.put(elsewhere);
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
}
