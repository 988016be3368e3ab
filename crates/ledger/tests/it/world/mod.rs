//! A world that rolls commands and clock moves, gives each to the ledger and to its naive twin, and compares the two
//! after every step. A mutant mistreats the commands on their way to the ledger, as a bug in it would.

// The tests use one part of this and the example another.
#![allow(dead_code, unreachable_pub, missing_docs)]

pub mod dice;
pub mod naive;
pub mod snapshots;

use std::collections::BTreeMap;

use almoner_ledger::{
    AccountId, AssumedHold, Correction, Entry, Fact, Ledger, LimitView, Patience, RefusalReason, ReleaseReason,
    Reserve, ReserveError, Verdict, Who,
};
use almoner_units::{
    AccountKey, Ask, Budget, BudgetName, CallId, Charge, LevelMarks, Meter, Mode, PicoUsdPerToken, Priority, Span,
    Timestamp, Window,
};
use dice::Dice;
use naive::{Call, End, Naive, Told, Word};
use snapshots::{Flaw, Shelf};

/// Bugs that the comparison must find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// After a crash, open holds are given back instead of charged.
    ReleasesOnCrash,
    /// A call that ends without news costs nothing.
    ReleasesOnExpiry,
    /// Every second settling is lost.
    LosesSettlings,
    /// The same settling counts again.
    SettlesTwice,
    /// What a call cost beyond its hold is not booked.
    HidesOverruns,
    /// Time runs twice as fast, so that sliding windows free too early.
    RunsFast,
    /// Only half of what a call may cost is held.
    HoldsHalf,
    /// The last account that a call touches is left out.
    ForgetsAnAccount,
    /// Late truth is only taken where it is good news.
    CorrectsDownOnly,
    /// Late truth counts as free.
    CorrectsToNothing,
    /// A crash empties the books of one budget.
    ForgetsABudget,
    /// A repeated question is a new call.
    RepeatsAnew,
    /// A limit that is lowered takes effect later.
    LowersLate,
}

impl Mutant {
    pub const ALL: [Self; 13] = [
        Self::ReleasesOnCrash,
        Self::ReleasesOnExpiry,
        Self::LosesSettlings,
        Self::SettlesTwice,
        Self::HidesOverruns,
        Self::RunsFast,
        Self::HoldsHalf,
        Self::ForgetsAnAccount,
        Self::CorrectsDownOnly,
        Self::CorrectsToNothing,
        Self::ForgetsABudget,
        Self::RepeatsAnew,
        Self::LowersLate,
    ];
}

/// What a run saw.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    pub steps: u64,
    pub admitted: u64,
    pub waited: u64,
    pub refused: u64,
    pub replays: u64,
}

impl Seen {
    pub fn add(&mut self, other: &Self) {
        self.steps += other.steps;
        self.admitted += other.admitted;
        self.waited += other.waited;
        self.refused += other.refused;
        self.replays += other.replays;
    }
}

/// Runs the world of a seed for so many steps; the first difference, where there is one.
pub fn run(seed: u64, steps: u64, mutant: Option<Mutant>) -> Result<Seen, String> {
    run_in(World::new(seed, mutant), seed, steps)
}

/// The same, in a world whose snapshots have a flaw.
pub fn run_flawed(seed: u64, steps: u64, flaw: Flaw) -> Result<Seen, String> {
    run_in(World { shelf: Shelf::with(flaw), ..World::new(seed, None) }, seed, steps)
}

fn run_in(mut world: World, seed: u64, steps: u64) -> Result<Seen, String> {
    for step in 0..steps {
        let event = world.step();
        let compared = event.and_then(|event| world.compare().map_err(|what| format!("{event}: {what}")));
        compared.map_err(|what| format!("seed {seed}, step {step}: {what}"))?;
    }
    world.settle_all().map_err(|what| format!("seed {seed}, at the end: {what}"))?;
    Ok(Seen { steps, ..world.seen })
}

/// The facts that the world of a seed leaves behind; after a crash it goes on from a snapshot, or from every fact.
pub fn facts(seed: u64, steps: u64, from_snapshots: bool) -> Vec<Entry> {
    let mut world = World::new(seed, None);
    world.goes_on_from_snapshots = from_snapshots;
    for _ in 0..steps {
        world.step().expect("no difference");
    }
    world.facts
}

/// After how many steps a snapshot is taken: no step of a history lies at the same place in each.
const SNAPSHOT_EVERY: u64 = 29;
const START: u64 = 1_764_000_000_000;
const MINUTE: u64 = 60_000;
const LIMITS: [&str; 14] = [
    "1000 tokens / lifetime",
    "400 tokens / sliding 1h",
    "300 uncached_tokens / sliding 24h",
    "150 output_tokens / sliding 2m",
    "500 tokens / day",
    "700 input_tokens / day in Asia/Kolkata",
    "200 output_tokens / hour",
    "250 tokens / hour in Asia/Kolkata",
    "9 requests / 10m",
    "600 tokens / 24h",
    "$0.0000006 / sliding 1h",
    "$0.000003 / month",
    "$0.000001 / week",
    "$0.0000005 / 90m",
];

struct World {
    dice: Dice,
    ledger: Ledger,
    naive: Naive,
    facts: Vec<Entry>,
    budgets: BTreeMap<BudgetName, Budget>,
    mutant: Option<Mutant>,
    settled: u64,
    /// The latest time that the ledger was told.
    heard: u64,
    ids: u64,
    seen: Seen,
    /// The latest snapshot, and the closed calls of all of them.
    shelf: Shelf,
    /// Whether a crash is recovered from by the latest snapshot, where there is one.
    goes_on_from_snapshots: bool,
}

type Step = Result<String, String>;

impl World {
    fn new(seed: u64, mutant: Option<Mutant>) -> Self {
        let mut world = Self {
            dice: Dice::new(seed),
            ledger: Ledger::new(),
            naive: Naive { now: START, ..Naive::default() },
            facts: Vec::new(),
            budgets: BTreeMap::new(),
            mutant,
            settled: 0,
            heard: 0,
            ids: 0,
            seen: Seen::default(),
            shelf: Shelf::default(),
            goes_on_from_snapshots: true,
        };
        for at in 0..world.dice.between(1, 4) {
            world.set_budget(&format!("budget {at}")).expect("nothing came before it");
        }
        world
    }

    fn is(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    /// The time that the ledger is told: now, or an earlier time, as a clock that was set back tells.
    fn told(&mut self) -> Timestamp {
        let now = if self.is(Mutant::RunsFast) { START + 2 * (self.naive.now - START) } else { self.naive.now };
        // Only a ledger that has seen the present can know that the past is over.
        let back = if self.heard == now && self.dice.once_in(16) { self.dice.below(100 * MINUTE) } else { 0 };
        self.heard = now;
        Timestamp::from_ms(now - back)
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_ms(self.naive.now)
    }

    fn step(&mut self) -> Step {
        self.naive.event += 1;
        let event = match self.dice.below(100) {
            0..31 => self.reserve(),
            31..54 => self.settle(),
            54..58 => self.release(),
            58..64 => self.assume(),
            64..70 => self.correct(),
            70..73 => self.add(),
            73..77 => self.repeat(),
            77..79 => self.reset(),
            79..82 => self.change_budget(),
            82..84 => self.sweep(),
            84..86 => self.crash(),
            _ => Ok(self.wait()),
        };
        self.facts.extend(self.ledger.take_facts());
        if self.naive.event.is_multiple_of(SNAPSHOT_EVERY) {
            self.shelf.keep(&self.ledger);
        }
        event
    }

    fn wait(&mut self) -> String {
        let most = *self.dice.pick(&[1, 1000, MINUTE, 30 * MINUTE, 30 * MINUTE, 240 * MINUTE, 3000 * MINUTE]);
        self.naive.now += self.dice.between(0, most);
        format!("wait until {}", self.naive.now)
    }

    fn new_id(&mut self) -> CallId {
        self.ids += 1;
        let mut random = [0; 10];
        random[2..].copy_from_slice(&self.ids.to_be_bytes());
        CallId::new(self.now(), random)
    }

    /// The accounts of a call: one each of some budgets.
    fn touch_some(&mut self) -> Vec<AccountId> {
        let budgets: Vec<Budget> = self.budgets.values().cloned().collect();
        let mut accounts = Vec::new();
        for budget in budgets.iter().filter(|_| self.dice.below(10) < 7).collect::<Vec<_>>() {
            let session = ["x", "y", "z"][self.dice.index(3)];
            let per = budget.per.iter().map(|name| (name.clone(), session.parse().expect("a good value"))).collect();
            let key = AccountKey { budget: budget.name.clone(), per };
            let known = self.ledger.find(&key);
            let now = self.told();
            let id = self.ledger.open(&key, "key", now).expect("its budget is set");
            if known.is_none() {
                self.naive.open(id, key, budget);
                // What the account will count comes after it.
                self.naive.event += 1;
            }
            accounts.push(id);
        }
        accounts
    }

    fn roll_ask(&mut self) -> Ask {
        let mut fixed = Charge::ZERO;
        let input = self.dice.below(40);
        fixed[Meter::Tokens] = input;
        fixed[Meter::UncachedTokens] = self.dice.between(0, input);
        fixed[Meter::InputTokens] = input;
        fixed[Meter::Requests] = 1;
        let free = self.dice.once_in(6);
        let (input_price, output_price) = if free { (0, 0) } else { (1, self.dice.between(100, 9000)) };
        fixed[Meter::Usd] = input * input_price;
        let asked = self.dice.below(80);
        let comfortable = self.dice.between(0, asked);
        Ask {
            fixed,
            choices: self.dice.between(1, 3),
            output_price: PicoUsdPerToken::new(output_price),
            cap_asked: asked,
            cap_comfortable: comfortable,
            cap_floor: self.dice.between(0, comfortable),
        }
    }

    fn reserve(&mut self) -> Step {
        let accounts = self.touch_some();
        let call = Reserve {
            id: self.new_id(),
            accounts: accounts.clone().into(),
            ask: self.roll_ask(),
            priority: *self.dice.pick(&Priority::ALL),
            lasts: Span::from_ms(0),
            can_tighten: self.dice.once_in(10),
        };
        let patient = self.dice.below(3);
        let patience = [Patience::Fresh, Patience::Half, Patience::Spent][usize::try_from(patient).expect("small")];
        let event = format!("reserve {call:?} {patience:?}");
        self.touch(&accounts)?;
        let views: Vec<(Mode, _, Vec<LimitView>)> = accounts
            .iter()
            .filter_map(|id| self.ledger.view(*id, self.now()))
            .map(|view| (view.mode, view.level, view.limits))
            .collect();
        let expected =
            naive::judge(&call.ask, call.priority, call.can_tighten, u8::try_from(patient).expect("small"), &views);
        let sent = self.mistreat(&call);
        let now = self.told();
        let before = self.ledger.clone();
        let verdict = self.ledger.reserve(&sent, patience, now).map_err(|error| format!("{event}: {error}"))?;
        let word = match &verdict {
            Verdict::Admitted(admission) => Word::Go { cap: admission.cap },
            Verdict::Tighten => Word::Tighten,
            Verdict::Waits(_) => Word::Waits,
            Verdict::Refused(_) => Word::Refused,
        };
        same("the verdict", &word, &expected).map_err(|what| format!("{event}: {what}; {verdict:?}"))?;
        match verdict {
            Verdict::Admitted(admission) => {
                self.seen.admitted += 1;
                self.admit(&call, admission.cap, admission.amount)?;
            }
            Verdict::Waits(refusal) | Verdict::Refused(refusal) => {
                if word == Word::Waits {
                    self.seen.waited += 1;
                } else {
                    self.seen.refused += 1;
                }
                self.check_refusal(&before, &sent, patience, &refusal).map_err(|what| format!("{event}: {what}"))?;
            }
            Verdict::Tighten => {}
        }
        Ok(event)
    }

    fn mistreat(&self, call: &Reserve) -> Reserve {
        let mut call = call.clone();
        if self.is(Mutant::HoldsHalf) {
            for meter in Meter::ALL {
                call.ask.fixed[meter] /= 2;
            }
        }
        if self.is(Mutant::ForgetsAnAccount) && call.accounts.len() > 1 {
            call.accounts = call.accounts[1..].into();
        }
        call
    }

    fn admit(&mut self, call: &Reserve, cap: u64, amount: Charge) -> Result<(), String> {
        for meter in Meter::ALL {
            same("the amount held", &amount[meter], &naive::cost(&call.ask, meter, cap))?;
        }
        let hold = self.ledger.holds().into_iter().find(|hold| hold.id == call.id).cloned().ok_or("it is not held")?;
        self.naive.calls.push(Call {
            id: call.id,
            accounts: call.accounts.to_vec(),
            by: self.naive.event,
            at: self.naive.now,
            amount,
            end: End::Open,
            kept: Some((hold, self.ledger.seq(), 0)),
        });
        // The promise: nothing admitted passes a limit, by the exact count of the twin.
        for account in call.accounts.iter().filter_map(|id| self.naive.account(*id)).filter(|a| a.mode != Mode::Warn) {
            for limit in account.limits.iter().filter(|limit| amount[limit.limit.meter] > 0) {
                let counts = self.naive.count(account.id, limit);
                let charged = counts.held + counts.spent.0 + counts.assumed.0;
                if charged > limit.limit.amount {
                    return Err(format!("admitted {charged} of {}", limit.limit));
                }
            }
        }
        Ok(())
    }

    /// A refusal tells the truth about its limit, and never says "come back" too early.
    fn check_refusal(
        &self,
        before: &Ledger,
        call: &Reserve,
        patience: Patience,
        refusal: &almoner_ledger::Refusal,
    ) -> Result<(), String> {
        let view = before.find(&refusal.account).and_then(|id| before.view(id, self.now())).ok_or("no such account")?;
        let known = |view: &&LimitView| {
            view.limit == refusal.limit
                && (view.spent, view.assumed, view.held) == (refusal.spent, refusal.assumed, refusal.held)
        };
        let shown = view.limits.iter().find(known).ok_or("the refusal shows other numbers than the account")?;
        let floor = naive::cost(&call.ask, refusal.limit.meter, call.ask.cap_floor);
        let settled = shown.spent + shown.assumed;
        let honest = match refusal.reason {
            RefusalReason::TooLarge => floor > refusal.limit.amount,
            RefusalReason::Exhausted => floor > refusal.limit.amount.saturating_sub(settled),
            RefusalReason::Held => shown.held > 0,
            RefusalReason::Level => view.mode == Mode::Throttle,
        };
        if !honest {
            return Err(format!("not for this reason: {refusal:?}"));
        }
        let Some(changes_at) = refusal.changes_at else { return Ok(()) };
        if changes_at < self.now() {
            return Err(format!("comes back at {changes_at}, which is over"));
        }
        let mut then = before.clone();
        match then.reserve(call, patience, changes_at) {
            Ok(Verdict::Refused(again)) if again.reason != RefusalReason::Held => {
                Err(format!("told to come back at {changes_at}, and refused then: {again:?}"))
            }
            _ => Ok(()),
        }
    }

    fn pick_call(&mut self, wanted: impl Fn(&End) -> bool) -> Option<usize> {
        let fit: Vec<usize> = (0..self.naive.calls.len()).filter(|at| wanted(&self.naive.calls[*at].end)).collect();
        if fit.is_empty() { None } else { Some(*self.dice.pick(&fit)) }
    }

    fn roll_cost(&mut self, bound: &Charge) -> Charge {
        let mut spent = Charge::ZERO;
        let over = self.dice.once_in(8);
        for meter in Meter::ALL {
            let most = if over { bound[meter] + 50 } else { bound[meter] };
            spent[meter] = self.dice.between(0, most);
        }
        spent
    }

    fn settle(&mut self) -> Step {
        let Some(at) = self.pick_call(|end| matches!(end, End::Open)) else {
            return Ok("nothing to settle".to_owned());
        };
        let call = self.naive.calls[at].clone();
        let spent = self.roll_cost(&call.amount);
        self.settle_as(at, &call, spent)
    }

    fn settle_as(&mut self, at: usize, call: &Call, spent: Charge) -> Step {
        let event = format!("settle {} {spent:?}", call.id);
        self.naive.calls[at].end = End::Settled { by: self.naive.event, at: self.naive.now, spent };
        self.settled += 1;
        if self.is(Mutant::LosesSettlings) && self.settled.is_multiple_of(2) {
            return Ok(event);
        }
        let mut told = spent;
        if self.is(Mutant::HidesOverruns) {
            told = call.amount.saturating_sub(&call.amount.saturating_sub(&spent));
        }
        let now = self.told();
        let answer = self.ledger.settle(call.id, told, now).map_err(|error| format!("{event}: {error}"))?;
        if self.mutant.is_none() {
            same("what came back", &answer.back, &call.amount.saturating_sub(&spent))?;
            same("the overrun", &answer.overrun, &spent.saturating_sub(&call.amount))?;
        }
        if self.is(Mutant::SettlesTwice) {
            let id = self.new_id();
            let accounts = call.accounts.clone().into();
            let _ = self.ledger.add(id, accounts, spent, Who("twice".to_owned()), String::new(), now);
        }
        self.touch(&call.accounts)?;
        Ok(event)
    }

    fn release(&mut self) -> Step {
        let Some(at) = self.pick_call(|end| matches!(end, End::Open)) else { return Ok("nothing to drop".to_owned()) };
        let call = self.naive.calls[at].clone();
        let sent = self.dice.once_in(2);
        let reason = if sent { ReleaseReason::RefusedUpstream { status: 429 } } else { ReleaseReason::NeverSent };
        let mut spent = Charge::ZERO;
        spent[Meter::Requests] = u64::from(sent);
        self.naive.calls[at].end = End::Released { by: self.naive.event, at: self.naive.now, spent };
        let event = format!("release {} {reason:?}", call.id);
        let now = self.told();
        self.ledger.release(call.id, reason, now).map_err(|error| format!("{event}: {error}"))?;
        self.touch(&call.accounts)?;
        Ok(event)
    }

    fn assume(&mut self) -> Step {
        let Some(at) = self.pick_call(|end| matches!(end, End::Open)) else {
            return Ok("nothing to expire".to_owned());
        };
        let frees = self.is(Mutant::ReleasesOnExpiry);
        self.assume_call(at, frees)
    }

    fn assume_call(&mut self, at: usize, frees: bool) -> Step {
        let call = self.naive.calls[at].clone();
        self.naive.calls[at].end = End::Assumed { by: self.naive.event, at: self.naive.now };
        let event = format!("assume {}", call.id);
        let now = self.told();
        let done = if frees {
            self.ledger.release(call.id, ReleaseReason::NeverSent, now)
        } else {
            self.ledger.assume(call.id, "no news", now)
        };
        done.map_err(|error| format!("{event}: {error}"))?;
        let assumed_by = self.last_fact_of(call.id);
        if let Some((_, _, by)) = &mut self.naive.calls[at].kept {
            *by = assumed_by;
        }
        self.touch(&call.accounts)?;
        Ok(event)
    }

    /// The number of the fact that assumed a call, as the journal has it.
    fn last_fact_of(&mut self, id: CallId) -> u64 {
        self.facts.extend(self.ledger.take_facts());
        let assumed = |entry: &&Entry| matches!(&entry.fact, Fact::Assumed { hold, .. } if hold.id == id);
        self.facts.iter().rev().find(assumed).map_or(0, |entry| entry.seq)
    }

    fn correct(&mut self) -> Step {
        // At times somebody knows better still.
        let again = self.dice.once_in(3);
        let wanted = |end: &End| matches!(end, End::Assumed { .. }) || again && matches!(end, End::Corrected { .. });
        let Some(at) = self.pick_call(wanted) else {
            return Ok("no truth".to_owned());
        };
        let call = self.naive.calls[at].clone();
        let spent = self.roll_cost(&call.amount);
        self.correct_as(at, &call, spent)
    }

    fn correct_as(&mut self, at: usize, call: &Call, spent: Charge) -> Step {
        let event = format!("correct {} {spent:?}", call.id);
        let (by, assumed_at, before, mut told) = match &call.end {
            End::Assumed { by, at } => (*by, *at, None, Vec::new()),
            End::Corrected { assumed_by, assumed_at, spent, at, told, .. } => {
                let before = Correction { spent: *spent, at: Timestamp::from_ms(*at) };
                (*assumed_by, *assumed_at, Some(before), told.clone())
            }
            _ => return Err(format!("{event}: not assumed")),
        };
        let (hold, held_by, assumed_by) = call.kept.clone().ok_or("its hold was not kept")?;
        let assumed_then = Timestamp::from_ms(assumed_at);
        let kept = AssumedHold { hold, held_by, assumed_by, assumed_at: assumed_then, corrected: before };
        let truth = match self.mutant {
            Some(Mutant::CorrectsDownOnly) => call.amount.saturating_sub(&call.amount.saturating_sub(&spent)),
            Some(Mutant::CorrectsToNothing) => Charge::ZERO,
            _ => spent,
        };
        let now = self.told();
        let who = Who("the twin".to_owned());
        self.ledger.correct(kept, truth, who, "late".to_owned(), now).map_err(|error| format!("{event}: {error}"))?;
        let more = spent.saturating_sub(&before.map_or(call.amount, |before| before.spent));
        told.push(Told { by: self.naive.event, at: self.naive.now, more });
        let (by, assumed_by) = (self.naive.event, by);
        self.naive.calls[at].end = End::Corrected { assumed_by, assumed_at, by, at: self.naive.now, spent, told };
        self.touch(&call.accounts)?;
        Ok(event)
    }

    fn add(&mut self) -> Step {
        let accounts = self.touch_some();
        let mut bound = Charge::ZERO;
        Meter::ALL.into_iter().for_each(|meter| bound[meter] = 30);
        let (id, spent) = (self.new_id(), self.roll_cost(&bound));
        let event = format!("add {id} {spent:?}");
        self.touch(&accounts)?;
        let now = self.told();
        for _ in 0..2 {
            let (by, why) = (Who("the twin".to_owned()), "beside us".to_owned());
            let added = self.ledger.add(id, accounts.clone().into(), spent, by, why, now);
            added.map_err(|error| format!("{event}: {error}"))?;
        }
        let (by, at) = (self.naive.event, self.naive.now);
        let end = End::Settled { by, at, spent };
        let call = Call { id, accounts: accounts.clone(), by, at, amount: Charge::ZERO, end, kept: None };
        self.naive.calls.push(call);
        self.touch(&accounts)?;
        Ok(event)
    }

    /// Says again what was said before: nothing may change, and other news must be refused.
    fn repeat(&mut self) -> Step {
        let Some(at) = self.pick_call(|_| true) else { return Ok("nothing to repeat".to_owned()) };
        let call = self.naive.calls[at].clone();
        let event = format!("repeat {}", call.id);
        let (seq, now) = (self.ledger.seq(), self.told());
        match (&call.end, &call.kept) {
            (End::Open, Some((hold, ..))) => self.repeat_reserve(hold, now)?,
            (End::Settled { spent, .. } | End::Corrected { spent, .. }, _) if self.is_remembered(&call) => {
                self.ledger.settle(call.id, *spent, now).map_err(|error| error.to_string())?;
                let mut other = *spent;
                other[Meter::Tokens] += 1;
                let contradicted = self.ledger.settle(call.id, other, now).is_err();
                let released = self.ledger.release(call.id, ReleaseReason::NeverSent, now).is_err();
                same("a contradiction", &(contradicted, released), &(true, true))?;
            }
            (End::Released { .. }, _) if self.is_remembered(&call) => {
                self.ledger.release(call.id, ReleaseReason::NeverSent, now).map_err(|error| error.to_string())?;
                same("a contradiction", &self.ledger.settle(call.id, Charge::ZERO, now).is_err(), &true)?;
            }
            (End::Assumed { .. }, _) if self.is_remembered(&call) => {
                self.ledger.assume(call.id, "again", now).map_err(|error| error.to_string())?;
                same("a contradiction", &self.ledger.settle(call.id, call.amount, now).is_err(), &true)?;
            }
            // Too long ago to be remembered; the ledger was told nothing.
            _ => self.heard = 0,
        }
        if self.mutant.is_none() {
            same("the number of facts after a repetition", &self.ledger.seq(), &seq)?;
        }
        Ok(event)
    }

    fn repeat_reserve(&mut self, hold: &almoner_ledger::Hold, now: Timestamp) -> Result<(), String> {
        let id = if self.is(Mutant::RepeatsAnew) { self.new_id() } else { hold.id };
        let (accounts, ask, priority) = (hold.accounts.clone(), hold.ask, hold.priority);
        let mut again = Reserve { id, accounts, ask, priority, lasts: Span::from_ms(0), can_tighten: false };
        match self.ledger.reserve(&again, Patience::Spent, now) {
            Ok(Verdict::Admitted(admission)) => same("the repeated cap", &admission.cap, &hold.cap)?,
            other => return Err(format!("the same question has another answer: {other:?}")),
        }
        again.ask.cap_asked += 1;
        match self.ledger.reserve(&again, Patience::Spent, now) {
            Err(ReserveError::Differs { field: "ask", .. }) => Ok(()),
            other => Err(format!("another body passes for the same: {other:?}")),
        }
    }

    /// Whether the ledger must still know how the call ended.
    fn is_remembered(&self, call: &Call) -> bool {
        let ended = match call.end {
            End::Open => return true,
            End::Settled { at, .. }
            | End::Released { at, .. }
            | End::Assumed { at, .. }
            | End::Corrected { at, .. } => at,
        };
        self.naive.now - ended < 24 * 60 * MINUTE
    }

    fn reset(&mut self) -> Step {
        let keys: Vec<AccountKey> = self.naive.accounts.iter().map(|account| account.key.clone()).collect();
        if keys.is_empty() {
            return Ok("nothing to reset".to_owned());
        }
        let key = self.dice.pick(&keys).clone();
        let Some(id) = self.ledger.find(&key) else { return Err(format!("no account {key}")) };
        let now = self.told();
        self.ledger.reset(&key, Who("the twin".to_owned()), "a new start".to_owned(), now);
        self.naive.reset(id);
        self.touch(&[id])?;
        Ok(format!("reset {key}"))
    }

    fn change_budget(&mut self) -> Step {
        let names: Vec<BudgetName> = self.budgets.keys().cloned().collect();
        if !names.is_empty() && self.dice.once_in(4) {
            let name = self.dice.pick(&names).clone();
            return Ok(self.remove_budget(&name));
        }
        let name = format!("budget {}", self.dice.below(4));
        self.set_budget(&name)?;
        let of = |account: &&naive::Account| account.key.budget.as_str() == name;
        let touched: Vec<AccountId> = self.naive.accounts.iter().filter(of).map(|account| account.id).collect();
        self.touch(&touched)?;
        Ok(format!("set {:?}", self.budgets.get(&name.parse::<BudgetName>().expect("a good name"))))
    }

    fn set_budget(&mut self, name: &str) -> Result<(), String> {
        let name: BudgetName = name.parse().expect("a good name");
        let known = self.budgets.get(&name).cloned();
        let mut limits: Vec<almoner_units::Limit> =
            (0..self.dice.between(1, 3)).map(|_| self.dice.pick(&LIMITS).parse().expect("a good limit")).collect();
        // Often the same windows with other amounts.
        if let Some(known) = known.as_ref().filter(|_| self.dice.once_in(2)) {
            limits.clone_from(&known.limits);
        }
        for limit in &mut limits {
            limit.amount = (limit.amount * self.dice.between(1, 8) / 4).max(1);
        }
        let per = match &known {
            Some(known) => known.per.clone(),
            None if self.dice.once_in(2) => vec!["session".parse().expect("a label")],
            None => Vec::new(),
        };
        let mode = *self.dice.pick(&Mode::ALL);
        let budget = Budget { name: name.clone(), filter: Vec::new(), per, limits, mode, marks: LevelMarks::default() };
        if known.as_ref() == Some(&budget) {
            return Ok(());
        }
        self.naive.change(&budget);
        self.budgets.insert(name, budget.clone());
        if self.is(Mutant::LowersLate) && known.is_some() {
            return Ok(());
        }
        let now = self.told();
        self.ledger.set_budget(budget.clone(), Who("the twin".to_owned()), now);
        self.naive.wake(&budget, |account| self.ledger.find(&account.key) == Some(account.id))
    }

    fn remove_budget(&mut self, name: &BudgetName) -> String {
        let now = self.told();
        self.ledger.remove_budget(name, Who("the twin".to_owned()), now);
        self.budgets.remove(name);
        self.naive.remove(name);
        format!("remove {name}")
    }

    fn sweep(&mut self) -> Step {
        let all: Vec<AccountId> = self.naive.accounts.iter().map(|account| account.id).collect();
        self.touch(&all)?;
        let now = self.told();
        self.ledger.sweep(now);
        let (kept, swept): (Vec<_>, Vec<_>) =
            self.naive.accounts.iter().cloned().partition(|account| self.ledger.find(&account.key) == Some(account.id));
        let wrong = swept.iter().find(|account| self.naive.remembers(account, |(exact, _)| exact));
        let missed = kept.iter().find(|account| !self.naive.remembers(account, |(_, late)| late));
        same("what is swept and kept wrongly", &(wrong.is_some(), missed.is_some()), &(false, false))?;
        self.naive.accounts = kept;
        let facts = self.ledger.take_facts();
        for entry in &facts {
            let Fact::AccountDropped { account } = &entry.fact else { continue };
            let Some(at) = self.naive.dormant.iter().position(|it| it.id == *account) else { continue };
            let gone = self.naive.dormant.remove(at);
            same("whether it had a past", &self.naive.remembers(&gone, |(exact, _)| exact), &false)?;
        }
        self.facts.extend(facts);
        Ok(format!("sweep {swept:?}"))
    }

    /// Forgets everything but the journal, and charges what was in flight.
    fn crash(&mut self) -> Step {
        self.replay()?;
        let mut again = Ledger::new();
        self.facts.iter().for_each(|entry| again.replay(entry));
        if self.goes_on_from_snapshots
            && let Some(rebuilt) = self.shelf.rebuild(&self.facts)?
        {
            again = rebuilt;
        }
        self.ledger = again;
        self.heard = 0;
        if self.is(Mutant::ForgetsABudget)
            && let Some(budget) = self.budgets.values().next().cloned()
        {
            self.ledger.remove_budget(&budget.name, Who("bug".to_owned()), self.now());
            self.ledger.set_budget(budget, Who("bug".to_owned()), self.now());
        }
        let frees = self.is(Mutant::ReleasesOnCrash);
        for at in 0..self.naive.calls.len() {
            if matches!(self.naive.calls[at].end, End::Open) {
                self.assume_call(at, frees)?;
            }
        }
        Ok("crash".to_owned())
    }

    fn replay(&mut self) -> Result<(), String> {
        self.seen.replays += 1;
        self.facts.extend(self.ledger.take_facts());
        let mut again = Ledger::new();
        self.facts.iter().for_each(|entry| again.replay(entry));
        same("a replay that agrees", &again.agrees_with(&self.ledger, self.now()), &true)?;
        let Some(rebuilt) = self.shelf.rebuild(&self.facts)? else { return Ok(()) };
        same("a snapshot with the facts since that agrees", &rebuilt.agrees_with(&self.ledger, self.now()), &true)
    }

    /// Notes the levels of accounts, as the ledger does whenever a command touches them.
    fn touch(&mut self, accounts: &[AccountId]) -> Result<(), String> {
        for id in accounts {
            let Some(view) = self.ledger.view(*id, self.now()) else { continue };
            let Some(account) = self.naive.account_mut(*id) else { continue };
            for (limit, view) in account.limits.iter_mut().zip(&view.limits) {
                limit.level = naive::level(view.spent + view.assumed, view.limit.amount, limit.level);
                same("the level", &view.level, &limit.level)?;
            }
        }
        Ok(())
    }

    /// Compares every number of every account.
    fn compare(&mut self) -> Result<(), String> {
        let open = self.naive.open_calls().count();
        same("how many calls are held", &self.ledger.holds().len(), &open)?;
        let views = self.ledger.views(self.now());
        same("how many accounts are open", &views.len(), &self.naive.accounts.len())?;
        for account in &self.naive.accounts {
            let view = self.ledger.view(account.id, self.now()).ok_or_else(|| format!("no account {}", account.key))?;
            let name = &account.key;
            same("the mode", &view.mode, &account.mode)?;
            let holds = usize::try_from(view.open_holds).expect("small");
            same(&format!("the calls held on {name}"), &holds, &self.naive.holds_on(account.id))?;
            same("how many limits it has", &view.limits.len(), &account.limits.len())?;
            for (limit, seen) in account.limits.iter().zip(&view.limits) {
                let compared = compare_limit(&self.naive, account.id, limit, seen);
                compared.map_err(|what| format!("{what} of {} on {name}", limit.limit))?;
            }
        }
        let in_order = self.facts.windows(2).all(|pair| pair[0].seq + 1 == pair[1].seq && pair[0].at <= pair[1].at);
        same("facts in order", &in_order, &true)?;
        if self.dice.once_in(64) { self.replay() } else { Ok(()) }
    }

    /// When all holds settle and all truth is told, what is left is the limit less what is spent.
    fn settle_all(&mut self) -> Result<(), String> {
        self.naive.event += 1;
        for at in 0..self.naive.calls.len() {
            let call = self.naive.calls[at].clone();
            match call.end {
                End::Open => self.settle_as(at, &call, call.amount).map(drop)?,
                End::Assumed { .. } => self.correct_as(at, &call, Charge::ZERO).map(drop)?,
                _ => {}
            }
        }
        self.facts.extend(self.ledger.take_facts());
        self.compare()?;
        self.replay()?;
        for view in self.ledger.views(self.now()) {
            for limit in view.limits {
                same("what is held at the end", &limit.held, &0)?;
                same("what is assumed at the end", &limit.assumed, &0)?;
                same("what is left at the end", &limit.left(), &limit.limit.amount.saturating_sub(limit.spent))?;
            }
        }
        Ok(())
    }
}

/// Compares one limit. A sliding window may count what left it less than a 120th of its length ago.
fn compare_limit(
    naive: &Naive,
    account: AccountId,
    counted: &naive::CountedLimit,
    view: &LimitView,
) -> Result<(), String> {
    let counts = naive.count(account, counted);
    same("the limit", &view.limit, &counted.limit)?;
    same("held", &view.held, &counts.held)?;
    within("spent", view.spent, counts.spent)?;
    within("assumed", view.assumed, counts.assumed)?;
    if !matches!(view.limit.window, Window::Sliding(_)) {
        same("the end", &view.resets_at.map(Timestamp::ms), &counts.ends_at)?;
    }
    let level = naive::level(view.spent + view.assumed, view.limit.amount, counted.level);
    same("the level", &view.level, &level)
}

fn within(what: &str, ledger: u64, (exact, late): (u64, u64)) -> Result<(), String> {
    if (exact..=late).contains(&ledger) {
        return Ok(());
    }
    Err(format!("{what} is {ledger} in the ledger; the window holds {exact}, with its 120th {late}"))
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, ledger: &T, twin: &T) -> Result<(), String> {
    if ledger == twin { Ok(()) } else { Err(format!("{what} is {ledger:?} in the ledger and should be {twin:?}")) }
}
