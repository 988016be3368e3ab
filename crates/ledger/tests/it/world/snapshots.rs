//! Snapshots as a store keeps them: the latest, and the closed calls piece by piece; and the ways in which one may be
//! wrong.

use almoner_ledger::{ClosedCall, Entry, Ledger, Snapshot, WindowSnapshot};
use almoner_units::{Level, Timestamp};

/// What a snapshot forgets or gets wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    ClosedIds,
    Horizon,
    OneClosedId,
    RingSlot,
    Assumed,
    Held,
    OpenHold,
    Level,
    WindowStart,
    WindowEnd,
    ResetBy,
    Account,
    AccountNumbers,
    Opener,
    HowManyHolds,
    Retired,
    Dormant,
}

impl Flaw {
    pub const ALL: [Self; 17] = [
        Self::ClosedIds,
        Self::Horizon,
        Self::OneClosedId,
        Self::RingSlot,
        Self::Assumed,
        Self::Held,
        Self::OpenHold,
        Self::Level,
        Self::WindowStart,
        Self::WindowEnd,
        Self::ResetBy,
        Self::Account,
        Self::AccountNumbers,
        Self::Opener,
        Self::HowManyHolds,
        Self::Retired,
        Self::Dormant,
    ];

    fn spoil(self, snapshot: &mut Snapshot, closed: &mut Vec<ClosedCall>) {
        let counters = snapshot.accounts.iter_mut().flat_map(|account| &mut account.counters);
        match self {
            Self::ClosedIds => {
                closed.clear();
                snapshot.closed_kept = 0;
            }
            Self::OneClosedId => {
                closed.pop();
                snapshot.closed_kept = snapshot.closed_kept.saturating_sub(1);
            }
            Self::Horizon => snapshot.closed_horizon = Timestamp::default(),
            Self::RingSlot => {
                counters.for_each(|counter| {
                    if let WindowSnapshot::Sliding { slots, .. } = &mut counter.window {
                        slots.pop();
                    }
                });
            }
            Self::Assumed => counters.for_each(|counter| counter.assumed = 0),
            Self::Held => counters.for_each(|counter| counter.held = 0),
            Self::OpenHold => drop(snapshot.holds.pop()),
            Self::Level => counters.for_each(|counter| counter.level = Level::None),
            Self::WindowStart => counters.for_each(|counter| {
                if let WindowSnapshot::Plain(Some((since, _))) = &mut counter.window {
                    *since += 1;
                }
            }),
            Self::WindowEnd => counters.for_each(|counter| {
                if let WindowSnapshot::Plain(Some((_, ends_at))) = &mut counter.window {
                    *ends_at = None;
                }
            }),
            Self::ResetBy => counters.for_each(|counter| counter.reset_by = 0),
            Self::Retired => snapshot.accounts.iter_mut().for_each(|account| account.retired.clear()),
            Self::Dormant => snapshot.accounts.retain(|account| account.left_by.is_none()),
            Self::Account => drop(snapshot.accounts.pop()),
            Self::AccountNumbers => snapshot.numbers += 1,
            Self::Opener => snapshot.accounts.iter_mut().for_each(|account| account.opener.clear()),
            Self::HowManyHolds => {
                snapshot.accounts.iter_mut().for_each(|account| account.open_holds = account.open_holds.max(1) - 1);
            }
        }
    }
}

/// What a store has of the past.
#[derive(Debug, Default)]
pub struct Shelf {
    latest: Option<Snapshot>,
    closed: Vec<ClosedCall>,
    flaw: Option<Flaw>,
}

impl Shelf {
    pub fn with(flaw: Flaw) -> Self {
        Self { flaw: Some(flaw), ..Self::default() }
    }

    /// Keeps a snapshot, and of the closed calls those that are new.
    pub fn keep(&mut self, ledger: &Ledger) {
        let known = self.latest.as_ref().map_or(0, |snapshot| snapshot.closed);
        self.closed.extend(ledger.closed_since(known));
        self.latest = Some(ledger.snapshot());
    }

    /// The ledger from the latest snapshot and the facts since; nothing where there is no snapshot.
    pub fn rebuild(&self, facts: &[Entry]) -> Result<Option<Ledger>, String> {
        let Some(mut snapshot) = self.latest.clone() else { return Ok(None) };
        let mut closed = self.closed.clone();
        if let Some(flaw) = self.flaw {
            flaw.spoil(&mut snapshot, &mut closed);
        }
        let since = snapshot.seq;
        let rebuilt = std::panic::catch_unwind(|| {
            let mut ledger = Ledger::restore(snapshot, closed)?;
            facts.iter().filter(|entry| entry.seq > since).for_each(|entry| ledger.replay(entry));
            Ok(ledger)
        });
        let rebuilt = rebuilt.map_err(|_| "the facts since do not fit the snapshot".to_owned())?;
        rebuilt.map(Some).map_err(|error: almoner_ledger::Unfit| error.to_string())
    }
}
