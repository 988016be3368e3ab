//! The waiting room: calls that would fit but for the calls in flight, in order of priority and then of age.
//!
//! Nothing is held for a call that waits. A smaller call may pass a larger one until that has waited half its time;
//! from then on it keeps the accounts it needs for itself. The room is bounded, and so is every wait.
//!
//! How long a call has waited is told by the steady clock. Ledger time may stand still for hours, where somebody set
//! the wall clock back, and nobody should wait that long.

use std::collections::HashSet;

use almoner_units::{Priority, Span, Timestamp};

use crate::{AccountId, Ledger, Patience, Refusal, RefusalReason, Reserve, ReserveError, Verdict};

/// A call that waits, with what its caller needs to be answered (`T`).
#[derive(Debug)]
struct Waiter<T> {
    call: Reserve,
    /// Since when it waits, on the steady clock.
    since: Span,
    /// Until when it may wait.
    until: Span,
    /// Whether it waits for calls in flight to end; what waits for a level to fall has no use for keeping others out.
    for_holds: bool,
    /// The ledger time at which time alone lets it pass, as it was last told.
    changes_at: Option<Timestamp>,
    ticket: T,
}

impl<T> Waiter<T> {
    fn patience(&self, steady: Span) -> Patience {
        if steady >= self.until {
            return Patience::Spent;
        }
        if steady >= self.half() { Patience::Half } else { Patience::Fresh }
    }

    /// When it has waited half its time.
    fn half(&self) -> Span {
        let whole = self.until.ms().saturating_sub(self.since.ms());
        Span::from_ms(self.since.ms().saturating_add(whole.div_ceil(2)))
    }

    fn was_told(&mut self, refusal: &Refusal) {
        self.for_holds = refusal.reason == RefusalReason::Held;
        self.changes_at = refusal.changes_at;
    }

    /// How long until it is worth asking again, even if nothing ends.
    fn next_change(&self, now: Timestamp, steady: Span) -> Span {
        let patience = if steady < self.half() { self.half() } else { self.until };
        let patience = Span::from_ms(patience.ms().saturating_sub(steady.ms()));
        self.changes_at.filter(|at| *at > now).map_or(patience, |at| at.since(now).min(patience))
    }

    /// Whether it keeps its accounts for itself.
    fn keeps(&self, steady: Span) -> bool {
        self.for_holds && self.patience(steady) >= Patience::Half
    }

    fn order(&self) -> (std::cmp::Reverse<Priority>, Span) {
        (std::cmp::Reverse(self.call.priority), self.since)
    }
}

/// The room is full; the call is refused instead of waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("as many calls are waiting already as may ({0}); try again in a moment")]
pub struct RoomFull(pub usize);

/// The calls that wait, at most a fixed number.
#[derive(Debug)]
pub struct WaitingRoom<T> {
    waiters: Vec<Waiter<T>>,
    most: usize,
}

impl<T> WaitingRoom<T> {
    /// A room for at most `most` calls.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self { waiters: Vec::new(), most }
    }

    /// How many calls wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiters.len()
    }

    /// Whether no call waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiters.is_empty()
    }

    /// Whether a call that waits touches this account, so that sweeping must keep it.
    #[must_use]
    pub fn needs(&self, account: AccountId) -> bool {
        self.waiters.iter().any(|waiter| waiter.call.accounts.contains(&account))
    }

    /// Whether a new call must wait its turn because an older one has waited long for one of its accounts.
    #[must_use]
    pub fn keeps_out(&self, call: &Reserve, steady: Span) -> bool {
        let blocks = |waiter: &Waiter<T>| {
            waiter.keeps(steady)
                && waiter.call.priority >= call.priority
                && call.accounts.iter().any(|id| waiter.call.accounts.contains(id))
        };
        self.waiters.iter().any(blocks)
    }

    /// Lets a call wait from `since` until `until`, both on the steady clock.
    ///
    /// # Errors
    /// [`RoomFull`] with the ticket, where the room is full.
    pub fn enter(&mut self, call: Reserve, ticket: T, since: Span, until: Span) -> Result<(), (RoomFull, T)> {
        if self.waiters.len() >= self.most {
            return Err((RoomFull(self.most), ticket));
        }
        let waiter = Waiter { call, since, until, for_holds: true, changes_at: None, ticket };
        let at = self.waiters.partition_point(|other| other.order() <= waiter.order());
        self.waiters.insert(at, waiter);
        Ok(())
    }

    /// Asks again for every call that waits, most urgent first, and gives the answers of those that need wait no more.
    pub fn wake(
        &mut self,
        ledger: &mut Ledger,
        now: Timestamp,
        steady: Span,
    ) -> Vec<(T, Result<Verdict, ReserveError>)> {
        let mut kept: HashSet<AccountId> = HashSet::new();
        let mut answered = Vec::new();
        let mut waiting = Vec::with_capacity(self.waiters.len());
        for mut waiter in self.waiters.drain(..) {
            let patience = waiter.patience(steady);
            let kept_out = patience < Patience::Spent && waiter.call.accounts.iter().any(|id| kept.contains(id));
            let verdict = if kept_out { None } else { Some(ledger.reserve(&waiter.call, patience, now)) };
            match verdict {
                Some(Ok(Verdict::Waits(refusal))) => waiter.was_told(&refusal),
                Some(verdict) => {
                    answered.push((waiter.ticket, verdict));
                    continue;
                }
                None => {}
            }
            if waiter.keeps(steady) {
                kept.extend(&waiter.call.accounts);
            }
            waiting.push(waiter);
        }
        self.waiters = waiting;
        answered
    }

    /// Takes out the calls whose ticket is no longer wanted, such as those whose client has gone.
    pub fn retain(&mut self, mut wanted: impl FnMut(&T) -> bool) {
        self.waiters.retain(|waiter| wanted(&waiter.ticket));
    }

    /// Leaves accounts out of all calls that wait.
    pub fn leave_out(&mut self, is_gone: impl Fn(AccountId) -> bool) {
        for waiter in &mut self.waiters {
            if waiter.call.accounts.iter().any(|account| is_gone(*account)) {
                waiter.call.accounts =
                    waiter.call.accounts.iter().copied().filter(|account| !is_gone(*account)).collect();
            }
        }
    }

    /// How long until a call's patience or a level next changes, so that the room must be woken even if nothing ends.
    #[must_use]
    pub fn next_change(&self, now: Timestamp, steady: Span) -> Option<Span> {
        self.waiters.iter().map(|waiter| waiter.next_change(now, steady)).min()
    }
}
