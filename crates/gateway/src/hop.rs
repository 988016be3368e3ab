//! What a call knows at one stop of the way that lies ahead of it: whether it goes on from there, and which budgets do
//! not stop it.

use std::sync::Arc;

use almoner_policy::{Setback, Target, Trail};
use almoner_units::{BudgetName, Level, Span};

use crate::report::StopNote;
use crate::stack::Understood;
use crate::trouble::Trouble;

/// What a stop knows of the way that lies ahead of it.
#[derive(Clone, Debug)]
pub(crate) struct Hop {
    pub(crate) note: StopNote,
    pub(crate) targets: Arc<[Target]>,
    pub(crate) trail: Trail,
    pub(crate) met: Vec<Setback>,
    /// The budgets that send the calls which they refuse elsewhere.
    pub(crate) detours: Vec<BudgetName>,
    pub(crate) first_byte_max: Option<Span>,
    /// From which level on the call leaves.
    pub(crate) leaves_from: Option<Level>,
    /// The budgets that do not stop it here: they refused, or would refuse, the call that this free one stands in for.
    pub(crate) spares: Vec<BudgetName>,
    /// Whether it waits here for its turn, as it would at home.
    pub(crate) is_patient: bool,
}

impl Hop {
    /// Whether a call with this level before it leaves, though it could go.
    pub(crate) fn leaves_at(&self, level: Level) -> bool {
        self.leaves_from.is_some_and(|from| level >= from)
    }

    /// Whether some stop is left to try after this.
    pub(crate) fn goes_on(&self, trouble: &Trouble) -> bool {
        let is_sent_on = trouble.budget.as_ref().is_some_and(|budget| self.detours.contains(budget));
        is_sent_on || self.trail.leads_on(&self.targets, &self.met, trouble.setback)
    }

    /// Whether another stop waits for what this one's provider has no room for just now.
    pub(crate) fn leads_on_from_a_crowd(&self) -> bool {
        self.trail.leads_on(&self.targets, &self.met, Setback::RateLimited)
    }

    /// How long an answer may take to begin, where another stop waits for its delay.
    pub(crate) fn first_byte_max(&self) -> Option<Span> {
        self.first_byte_max.filter(|_| self.trail.leads_on(&self.targets, &self.met, Setback::Timeout))
    }
}

impl Understood {
    /// Whether budgets may be left out that refuse it here, so that it waits for none of them.
    pub(crate) fn may_be_spared(&self) -> bool {
        self.hop.as_ref().is_some_and(|hop| !hop.spares.is_empty() && !hop.is_patient)
    }

    /// Leaves out a budget that refuses it here, where that is allowed; whether it is worth asking again.
    pub(crate) fn spare(&mut self, budget: &BudgetName) -> bool {
        let may_wait = self.may_be_spared();
        let Some(hop) = &mut self.hop else { return false };
        if hop.spares.contains(budget) {
            hop.spares.retain(|spared| spared != budget);
            hop.note.spared.push(budget.clone());
            self.accounts.retain(|account| account.budget != *budget);
            return true;
        }
        // It did not wait so far, because it would have waited for those that are left out.
        hop.is_patient = true;
        may_wait
    }
}
