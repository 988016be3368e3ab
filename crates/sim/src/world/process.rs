//! The process that holds the desk: its batches, its deaths and its starts, and the mistakes it may be told to make.

use std::rc::Rc;

use almoner_ledger::{
    Answer, Desk, DeskError, End, Fact, Hold, Ledger, Question, RefusalReason, ReleaseReason, ReserveError, Who,
    WindowSnapshot,
};
use almoner_units::{Budget, BudgetName, CallId, Charge, Meter, Span, Timestamp, Window, Zone};

use super::{Message, Operation, Point, SimDesk, State, Ticket, WAITING_MAX, World, tell};
use crate::auditor::Said;
use crate::disk::SimJournal;
use crate::{Checked, Mutant, ensure};

impl World {
    pub(super) fn crash(&mut self, how: &str) {
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
    pub(super) fn restart(&mut self) -> Checked {
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
        if !self.is(Mutant::ForgetsAssumed)
            && let Some(rebuilt) = self.rebuilt()?
        {
            let now = ledger.now().max(rebuilt.now());
            let is_same = rebuilt.agrees_with(&ledger, now) || self.is(Mutant::SnapshotsForget);
            ensure!(is_same, "I3", "a snapshot and the facts since are other books than all facts, at {now}");
            self.tally.snapshots += 1;
            ledger = rebuilt;
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
        let wanted = |budget: &Budget| self.budgets.iter().any(|wanted| wanted.name == budget.name);
        let gone: Vec<_> = ledger.budgets().filter(|known| !wanted(known)).map(|budget| budget.name.clone()).collect();
        for name in gone.iter().filter(|_| !self.is(Mutant::RemovesNever)) {
            ledger.remove_budget(name, Who("config".to_owned()), now);
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

    /// The ledger from the latest snapshot and the facts since; nothing where there is no snapshot.
    fn rebuilt(&self) -> Result<Option<Ledger>, crate::Broken> {
        let disk = self.disk.borrow();
        let Some((snapshot, closed)) = disk.latest_snapshot() else { return Ok(None) };
        let (mut snapshot, since) = (snapshot.clone(), snapshot.seq);
        if self.is(Mutant::SnapshotsForget) {
            let counters = snapshot.accounts.iter_mut().flat_map(|account| &mut account.counters);
            counters.for_each(|counter| {
                counter.spent /= 2;
                if let WindowSnapshot::Sliding { slots, .. } = &mut counter.window {
                    slots.iter_mut().for_each(|(_, spent, _)| *spent /= 2);
                }
            });
        }
        let restored = Ledger::restore(snapshot, closed.iter().copied());
        ensure!(restored.is_ok(), "I3", "a snapshot cannot be read: {restored:?}");
        let Ok(mut ledger) = restored else { return Ok(None) };
        disk.rows.iter().filter(|entry| entry.seq > since).for_each(|entry| ledger.replay(entry));
        Ok(Some(ledger))
    }

    /// A budget as it comes to the ledger.
    pub(super) fn as_set(&self, budget: &Budget) -> Budget {
        let mut budget = budget.clone();
        for limit in budget.limits.iter_mut().filter(|_| self.is(Mutant::FreesEarly)) {
            if let Window::Sliding(span) = limit.window {
                limit.window = Window::Sliding(Span::from_ms(span.ms() / 2));
            }
        }
        for limit in &mut budget.limits {
            if let Window::Calendar(_, zone) = &mut limit.window {
                *zone = self.as_zoned(zone);
            }
        }
        budget
    }

    /// The zone of a window as it comes to the ledger.
    fn as_zoned(&self, zone: &Zone) -> Zone {
        let name = match (self.mutant, zone.name()) {
            (Some(Mutant::CountsInUtc), _) => "UTC",
            // Neighbours who leave their clocks alone.
            (Some(Mutant::KnowsNoSummer), "Europe/Berlin") => "Africa/Lagos",
            (Some(Mutant::KnowsNoSummer), "America/New_York") => "America/Panama",
            (Some(Mutant::KnowsNoSummer), "Australia/Lord_Howe") => "Pacific/Guadalcanal",
            (_, name) => name,
        };
        name.parse().expect("a known zone")
    }

    /// What the keeper's thread does with all that has arrived; at times it dies in the middle.
    pub(super) fn batch(&mut self) -> Checked {
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
    pub(super) fn batch_at(
        &mut self,
        desk: &mut SimDesk,
        dies: Option<Point>,
    ) -> Result<Option<Result<(), String>>, crate::Broken> {
        let now = desk.begin(self.reading());
        self.stall = 0;
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
        let is_slow = self.is_wide && !self.is_calm && self.dice.one_in(6);
        self.disk.borrow_mut().is_slow = is_slow;
        if let Err(reason) = desk.commit(false) {
            return Ok(Some(Err(reason)));
        }
        let has_committed = self.disk.borrow().commits > commits;
        if is_slow && has_committed {
            self.meanwhile();
        }
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

    pub(super) fn take(&mut self, desk: &mut SimDesk, message: Message, ended: &mut Vec<CallId>) {
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

    pub(super) fn reserve(&mut self, desk: &mut SimDesk, mut question: Box<Question>, ticket: usize) {
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
    pub(super) fn without_holds(&mut self, desk: &mut SimDesk, question: Box<Question>, ticket: usize) {
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

    pub(super) fn take_end(&mut self, desk: &mut SimDesk, id: CallId, end: End) {
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

    pub(super) fn do_operation(&mut self, desk: &mut SimDesk, operation: Operation) {
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
                // It may have been removed since it was asked for.
                let Some(known) = known else { return };
                *known = budget.clone();
                if !(is_lower && self.is(Mutant::LowersNever)) {
                    let budget = self.as_set(&budget);
                    desk.ledger.set_budget(budget, who(), now);
                }
            }
            Operation::Remove(name) => self.remove(desk, &name),
            Operation::BringBack => {
                let Some(budget) = self.retired.pop() else { return };
                tell!(self, "bring {} back", budget.name);
                self.auditor.want(&budget);
                desk.ledger.set_budget(self.as_set(&budget), who(), now);
                self.budgets.push(budget);
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

    /// Removes a budget; the last one stays, so that calls have something to touch.
    fn remove(&mut self, desk: &mut SimDesk, name: &BudgetName) {
        let Some(at) = self.budgets.iter().position(|known| known.name == *name) else { return };
        if self.budgets.len() == 1 {
            return;
        }
        tell!(self, "remove {name}");
        self.tally.removals += 1;
        self.retired.push(self.budgets.remove(at));
        self.removed.insert(name.clone());
        let now = desk.now();
        if self.is(Mutant::RemovalReleases) {
            let touches = |hold: &&Hold| {
                let keys = hold.accounts.iter().filter_map(|id| desk.ledger.key_of(*id));
                keys.into_iter().any(|key| key.budget == *name)
            };
            let held: Vec<CallId> = desk.ledger.holds().into_iter().filter(touches).map(|hold| hold.id).collect();
            held.into_iter().for_each(|id| drop(desk.ledger.release(id, ReleaseReason::NeverSent, now)));
        }
        if !self.is(Mutant::RemovesNever) {
            desk.ledger.remove_budget(name, Who("operator".to_owned()), now);
        }
    }

    pub(super) fn correct(&mut self, desk: &mut SimDesk, id: CallId) {
        let assumed = self.disk.borrow().assumed().into_iter().find(|it| it.hold.id == id);
        let Some(assumed) = assumed.filter(|_| !desk.is_being_corrected(id)) else { return };
        let truth = self.numbers.get(&id).and_then(|call| self.calls[*call].bill).unwrap_or_default();
        tell!(self, "correct {id} to {truth:?}");
        self.auditor.said.entry(id).or_default().corrected = Some(truth);
        let told = if self.is(Mutant::RefundsLateTruth) { Charge::ZERO } else { truth };
        let now = desk.now();
        drop(desk.ledger.correct(assumed, told, Who("operator".to_owned()), "a bill".to_owned(), now));
        self.tally.corrections += 1;
    }

    /// Says what the desk has to say, to so many.
    pub(super) fn say(&mut self, desk: &mut SimDesk, most: usize) -> Checked {
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
    pub(super) fn hear(&mut self, desk: &mut SimDesk, ticket: usize, answer: Answer) -> Checked {
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

    pub(super) fn hear_failure(&self, id: CallId, is_changed: bool, error: &DeskError) -> Checked {
        let DeskError::Question(error) = error else { return Ok(()) };
        let accounts = self.numbers.get(&id).map(|call| &self.calls[*call].question.accounts);
        let touches_removed = accounts.into_iter().flatten().any(|key| self.removed.contains(&key.budget));
        let is_due = match error {
            // Under a budget that came back, the same call touches another account.
            ReserveError::Differs { .. } => is_changed || touches_removed,
            ReserveError::Over { .. } | ReserveError::TooOld(_) => true,
            ReserveError::NoSuchAccount { .. } => touches_removed,
            _ => false,
        };
        ensure!(is_due, "I5", "call {id} asked rightly, and hears: {error}");
        Ok(())
    }
}
