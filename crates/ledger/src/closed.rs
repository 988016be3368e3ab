//! The ids of closed calls, so that the same news twice is one fact and other news is a contradiction.

use std::collections::{HashMap, VecDeque};

use almoner_units::{CallId, Charge, Span, Timestamp};

use crate::verdict::{Closed, Settlement};

/// How many closed ids are remembered at most.
const MOST: usize = 1_000_000;
/// How long a closed id is remembered.
const REMEMBERED: Span = Span::from_secs(24 * 3600);

/// How a call ended, in as little as its answer can be made from again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was settled, or what was assumed for it was corrected.
    Settled {
        /// What was held for it.
        held: Charge,
        /// What it cost.
        spent: Charge,
    },
    /// It was released.
    Released,
    /// It ended without news.
    Assumed,
}

/// A closed call, as a snapshot keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClosedCall {
    /// When it was closed.
    pub at: Timestamp,
    /// The call.
    pub id: CallId,
    /// How it ended; nothing where it ended once more later on.
    pub how: Option<Ended>,
}

impl Ended {
    fn told(&self) -> Closed {
        match self {
            Self::Settled { held, spent } => Closed::Settled(Settlement {
                spent: *spent,
                back: held.saturating_sub(spent),
                overrun: spent.saturating_sub(held),
            }),
            Self::Released => Closed::Released,
            Self::Assumed => Closed::Assumed,
        }
    }
}

/// Closed ids: a million of them, for a day. Whoever asks about an older one is told so, and never "new".
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ClosedIds {
    known: HashMap<CallId, (Timestamp, Ended)>,
    /// When each was closed; an id that was closed twice, assumed and then corrected, stands here twice.
    order: VecDeque<(Timestamp, CallId)>,
    /// Ids made at or before this instant may have been forgotten.
    horizon: Timestamp,
    /// How many entries the order ever had.
    count: u64,
}

impl ClosedIds {
    pub(crate) fn get(&self, id: CallId) -> Option<Closed> {
        self.known.get(&id).map(|(_, how)| how.told())
    }

    /// Whether an id that is not known was perhaps known once.
    pub(crate) fn may_be_forgotten(&self, id: CallId) -> bool {
        id.made_at() <= self.horizon
    }

    pub(crate) fn insert(&mut self, id: CallId, how: Ended, now: Timestamp) {
        self.known.insert(id, (now, how));
        self.order.push_back((now, id));
        self.count += 1;
        self.forget_before(now);
    }

    /// How many there ever were, how many of them are remembered, and the horizon.
    pub(crate) fn extent(&self) -> (u64, u64, Timestamp) {
        (self.count, self.order.len() as u64, self.horizon)
    }

    /// Those that were closed after the first `count` and are remembered, in order.
    pub(crate) fn since(&self, count: u64) -> impl Iterator<Item = ClosedCall> + '_ {
        let new = usize::try_from(self.count.saturating_sub(count)).unwrap_or(usize::MAX).min(self.order.len());
        self.order.range(self.order.len() - new..).map(|(at, id)| {
            let how = self.known.get(id).filter(|(known_at, _)| known_at == at).map(|(_, how)| *how);
            ClosedCall { at: *at, id: *id, how }
        })
    }

    /// The last `kept` of `calls`; `None` where there are fewer.
    pub(crate) fn of(
        calls: impl IntoIterator<Item = ClosedCall>,
        count: u64,
        kept: u64,
        horizon: Timestamp,
    ) -> Option<Self> {
        let calls: Vec<ClosedCall> = calls.into_iter().collect();
        let older = calls.len().checked_sub(usize::try_from(kept).ok()?)?;
        let mut ids = Self { horizon, count, ..Self::default() };
        ids.known.reserve(calls.len() - older);
        for ClosedCall { at, id, how } in calls.into_iter().skip(older) {
            ids.order.push_back((at, id));
            if let Some(how) = how {
                ids.known.insert(id, (at, how));
            }
        }
        Some(ids)
    }

    fn forget_before(&mut self, now: Timestamp) {
        while let Some(&(closed_at, id)) = self.order.front() {
            let is_crowded = self.order.len() > MOST;
            if !is_crowded && now.since(closed_at) <= REMEMBERED {
                return;
            }
            self.order.pop_front();
            let Some((known_at, how)) = self.known.get(&id).copied().filter(|(known_at, _)| *known_at == closed_at)
            else {
                continue;
            };
            // An id that claims to come from the future must not make every id until then too old, nor be taken for
            // new once it is forgotten: it is remembered until a day after its own time has come.
            if id.made_at() > known_at && !is_crowded {
                self.known.insert(id, (now, how));
                self.order.push_back((now, id));
                self.count += 1;
                continue;
            }
            self.known.remove(&id);
            self.horizon = self.horizon.max(id.made_at().min(known_at));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_remembered_for_a_day_and_then_known_to_be_old() {
        let start = Timestamp::from_ms(1_764_000_000_000);
        let id = |secs: u64| CallId::new(start.after(Span::from_secs(secs)), [0; 10]);
        let mut ids = ClosedIds::default();
        ids.insert(id(0), Ended::Assumed, start);
        ids.insert(id(3600), Ended::Assumed, start.after(REMEMBERED));
        assert!(ids.get(id(0)).is_some() && !ids.may_be_forgotten(id(1)));
        ids.insert(id(7200), Ended::Assumed, start.after(Span::from_secs(24 * 3600 + 1)));
        assert!(ids.get(id(0)).is_none() && ids.may_be_forgotten(id(0)));
        assert!(ids.get(id(3600)).is_some() && !ids.may_be_forgotten(id(3600)));
    }

    #[test]
    fn an_id_from_the_future_is_not_new_once_a_day_is_over() {
        let start = Timestamp::from_ms(1_764_000_000_000);
        let at = |hours: u64| start.after(Span::from_secs(hours * 3600));
        // It was made by a wall clock that was thirty hours ahead and not believed.
        let (id, later) = (CallId::new(at(30), [0; 10]), |hours| CallId::new(at(hours), [1; 10]));
        let mut ids = ClosedIds::default();
        ids.insert(id, Ended::Released, start);
        for hours in [25, 50, 75, 100] {
            ids.insert(later(hours), Ended::Released, at(hours));
            assert!(ids.get(id).is_some() || ids.may_be_forgotten(id), "after {hours} hours");
            assert!(!ids.may_be_forgotten(CallId::new(at(hours), [2; 10])), "after {hours} hours");
        }
        assert!(ids.get(id).is_none(), "it is forgotten in the end");
    }
}
