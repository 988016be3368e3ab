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
    /// How many calls were closed, ever.
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
            if self.order.len() <= MOST && now.since(closed_at) <= REMEMBERED {
                return;
            }
            self.order.pop_front();
            if self.known.get(&id).is_some_and(|(known_at, _)| *known_at == closed_at) {
                self.known.remove(&id);
                // An id that claims to come from the future must not make every id until then too old.
                self.horizon = self.horizon.max(id.made_at().min(closed_at));
            }
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
}
