//! What the provider billed, whatever the books say.

use std::collections::BTreeMap;

use almoner_units::{AccountKey, CallId, Charge, Limit, Window};

/// One bill, as it falls on one account.
#[derive(Clone, Debug)]
struct Bill {
    call: CallId,
    charge: Charge,
    /// What was held for the call: what it cost beyond that cannot be charged before it is told.
    held: Charge,
    admitted_at: u64,
    billed_at: u64,
    is_told: bool,
    /// Whether an operator has reset the account since.
    is_forgiven: bool,
    /// Whether one has, though that does not last yet.
    may_be_forgiven: bool,
}

/// The bills on each account.
#[derive(Debug, Default)]
pub(crate) struct Truth(BTreeMap<AccountKey, Vec<Bill>>);

/// What a window of a limit must show.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Billed {
    /// All of it that is known or held.
    pub(crate) all: u64,
    /// Without what went beyond its hold.
    pub(crate) within_holds: u64,
    /// Of all, what nobody has forgiven, whether that lasts or not.
    pub(crate) at_least: u64,
}

impl Truth {
    pub(crate) fn bill(
        &mut self,
        call: CallId,
        accounts: &[AccountKey],
        charge: Charge,
        held: Charge,
        (admitted_at, billed_at): (u64, u64),
    ) {
        let bill = Bill {
            call,
            charge,
            held,
            admitted_at,
            billed_at,
            is_told: false,
            is_forgiven: false,
            may_be_forgiven: false,
        };
        for key in accounts {
            self.0.entry(key.clone()).or_default().push(bill.clone());
        }
    }

    /// The process begins anew at `now`: what was billed by a clock that nobody wrote down was billed before, and a
    /// reset that does not last was none.
    pub(crate) fn begin_anew(&mut self, now: u64) {
        for bill in self.0.values_mut().flatten() {
            bill.billed_at = bill.billed_at.min(now);
            bill.may_be_forgiven = bill.is_forgiven;
        }
    }

    /// An operator has reset an account, and it does not last yet.
    pub(crate) fn may_be_forgiven(&mut self, key: &AccountKey) {
        self.0.get_mut(key).into_iter().flatten().for_each(|bill| bill.may_be_forgiven = true);
    }

    /// The news of a call is in the books, and lasts.
    pub(crate) fn told(&mut self, call: CallId) {
        self.0.values_mut().flatten().filter(|bill| bill.call == call).for_each(|bill| bill.is_told = true);
    }

    /// An operator has reset an account: what had ended there counts no more.
    pub(crate) fn forgive(&mut self, key: &AccountKey, is_open: impl Fn(CallId) -> bool) {
        let ended = self.0.get_mut(key).into_iter().flatten().filter(|bill| !is_open(bill.call));
        ended.for_each(|bill| bill.is_forgiven = true);
    }

    /// What was billed on an account in the window that is open now, or slides.
    pub(crate) fn billed(&self, key: &AccountKey, limit: &Limit, begun: Option<u64>, now: u64) -> Billed {
        let counts = |bill: &&Bill| match limit.window {
            Window::Lifetime => true,
            Window::Sliding(span) => bill.billed_at + span.ms() > now,
            _ => begun.is_some_and(|begun| bill.admitted_at >= begun),
        };
        let mut billed = Billed::default();
        for bill in self.0.get(key).into_iter().flatten().filter(|bill| !bill.is_forgiven).filter(counts) {
            let (charge, held) = (bill.charge[limit.meter], bill.held[limit.meter]);
            let known = if bill.is_told { charge } else { charge.min(held) };
            billed.all += known;
            billed.at_least += if bill.may_be_forgiven { 0 } else { known };
            billed.within_holds += charge.min(held);
        }
        billed
    }
}
