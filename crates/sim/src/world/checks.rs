//! What must be true after every batch, and after every step.

use almoner_ledger::Ledger;
use almoner_units::{CallId, Span, Timestamp};

use super::{DISTRUST, DRIFT, SLACK, SimDesk, WAITING_MAX, World, tell};
use crate::auditor::is_same;
use crate::{Checked, ensure};

impl World {
    pub(super) fn check_time(&mut self, now: Timestamp) -> Checked {
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

    pub(super) fn check_ended(&self, desk: &SimDesk, ended: &[CallId]) -> Checked {
        if ended.is_empty() {
            return Ok(());
        }
        let is_open = |id: &&CallId| desk.ledger.holds().iter().any(|hold| hold.id == **id);
        let open = ended.iter().find(is_open);
        ensure!(open.is_none(), "I3", "the end of call {open:?} was told, and its hold is open");
        Ok(())
    }

    pub(super) fn check_desk(&self, desk: &SimDesk) -> Checked {
        let (now, waiting) = (desk.now(), desk.waiting());
        ensure!(waiting <= WAITING_MAX, "I11", "{waiting} calls wait, {WAITING_MAX} may");
        for ticket in self.tickets.iter().filter(|ticket| !ticket.is_answered && !ticket.is_gone) {
            let question = &self.calls[ticket.call].question;
            let Some(taken_at) = ticket.taken_at else { continue };
            let (waited, may) = (self.steady - taken_at, question.wait_max.ms());
            ensure!(
                waited <= may + SLACK + self.stall,
                "I10",
                "call {} has waited {waited} ms, it may {may}",
                question.id
            );
        }
        let holds = desk.ledger.holds();
        ensure!(holds.len() <= self.calls.len(), "I11", "{} holds for {} calls", holds.len(), self.calls.len());
        for hold in holds {
            let asked = self.numbers.get(&hold.id).map(|call| self.calls[*call].question.hold_max);
            let held_at = self.auditor.holds.get(&hold.id).map(|known| Timestamp::from_ms(known.held_at));
            let by = held_at.zip(asked).map_or(hold.expires_at, |(at, span)| at.after(span));
            ensure!(by.after(Span::from_ms(SLACK)) >= now, "I10", "call {} is held at {now}, until {by}", hold.id);
        }
        let (known, wanted) = (desk.ledger.budgets().count(), self.budgets.len());
        ensure!(known == wanted, "I1", "{known} budgets are in force, {wanted} should be");
        for budget in &self.budgets {
            let is_set = desk.ledger.budgets().any(|known| is_same(known, budget));
            ensure!(is_set, "I1", "budget {} is not in force as it was set: {budget:?}", budget.name);
        }
        Ok(())
    }

    /// Lets the auditor read what has come to last.
    pub(super) fn read(&mut self) -> Checked {
        let disk = self.disk.borrow();
        for entry in disk.rows.iter().skip(if self.told { self.auditor.read } else { usize::MAX }) {
            tell!(self, "  fact {}: {:?}", entry.seq, entry.fact);
        }
        self.auditor.read(&disk.rows)
    }

    pub(super) fn audit(&mut self) -> Checked {
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
}
