//! The second phase: the faults stop, and everything must come to rest.

use almoner_units::Span;

use super::{MINUTE, Message, Operation, REST, State, World, tell};
use crate::disk::Fate;
use crate::{Checked, ensure};

impl World {
    /// The faults stop, and everything comes to rest.
    pub(super) fn rest(&mut self) -> Checked {
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
    pub(super) fn is_at_rest(&mut self) -> bool {
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

    pub(super) fn pass_until_something_is_due(&mut self) {
        let Some(desk) = &self.desk else { return };
        let is_busy = desk.waiting() > 0 || !self.queue.is_empty() || desk.ledger.seq() != self.disk.borrow().seq();
        let patience = desk.patience(Span::from_ms(self.steady)).ms().max(1);
        self.pass(if is_busy { patience } else { MINUTE });
    }

    pub(super) fn check_rest(&mut self) -> Checked {
        let Some(desk) = &self.desk else { return Ok(()) };
        ensure!(desk.closed().is_none(), "I10", "admission is closed at rest: {:?}", desk.closed());
        let unanswered = self.tickets.iter().find(|ticket| !ticket.is_answered && !ticket.is_gone);
        let unanswered = unanswered.map(|ticket| self.calls[ticket.call].question.id);
        ensure!(unanswered.is_none(), "I10", "call {unanswered:?} was never answered");
        self.auditor.check_books(&desk.ledger, self.now)?;
        self.auditor.check_rest(&desk.ledger, self.now)
    }
}
