//! Whether a call may go, with how much output, or why not: a function of the books, in three steps.
//!
//! 1. *Level.* In mode `throttle`, a full account refuses the less urgent, or lets them wait.
//! 2. *Never.* What does not fit even when every call in flight turns out to be free is refused, and never waits.
//! 3. *Now.* The cap is a fair share of what is left, so that parallel calls fit; where that is not comfortable the
//!    call waits for others to end, and in the end takes what there is, down to the floor.

use almoner_units::{Ask, Level, Limit, Mode, Passage, Timestamp, passage};

use crate::account::Account;
use crate::books::Books;
use crate::counter::{Counter, part};
use crate::verdict::{Admission, Patience, Refusal, RefusalReason, Reserve, Verdict};

/// A call takes at most this part of what is left of a limit, so that others fit beside it.
const FAIR_SHARE: u64 = 4;
/// A bound above this part of what is left is worth a second, closer look.
const LARGE: u64 = 10;

/// Judges a reserve whose accounts are all open and rolled to `now`.
pub(crate) fn decide(books: &Books, call: &Reserve, patience: Patience, now: Timestamp) -> Option<Verdict> {
    let accounts = || call.accounts.iter().filter_map(|id| books.account(*id));
    let gates: Vec<_> = accounts().filter_map(|account| level_gate(account, call)).collect();
    let nevers: Vec<_> = accounts().flat_map(|account| never(account, call, now)).collect();
    if call.can_tighten && (!nevers.is_empty() || accounts().any(|account| is_large(account, call))) {
        return Some(Verdict::Tighten);
    }
    if !nevers.is_empty() || !gates.is_empty() {
        return turned_away(nevers, gates, patience);
    }
    match cap_now(accounts(), &call.ask, patience) {
        Ok(cap) => {
            let amount = call.ask.charge_at(cap)?;
            if !accounts().flat_map(Account::counting).all(|(limit, counter)| counter.can_hold(part(limit, &amount))) {
                return None;
            }
            let level = accounts().map(Account::level).max().unwrap_or_default();
            Some(Verdict::Admitted(Admission { cap, amount, level }))
        }
        Err((account, at)) => {
            let refusal = refusal(account, at, call, RefusalReason::Held, None)?;
            Some(if patience == Patience::Spent { Verdict::Refused(refusal) } else { Verdict::Waits(refusal) })
        }
    }
}

/// The verdict on a call that does not fit (`nevers`), or that a level keeps out (`gates`).
///
/// It names the refusal that lasts longest, and the time at which none of them stands any more: whoever comes back then
/// must not hear of another that stood all along.
fn turned_away(nevers: Vec<Refusal>, gates: Vec<(Passage, Refusal)>, patience: Patience) -> Option<Verdict> {
    let waits = nevers.is_empty() && gates.iter().all(|(passage, _)| *passage == Passage::Wait);
    let gates = gates.into_iter().map(|(passage, refusal)| (false, passage, refusal));
    let nevers = nevers.into_iter().map(|refusal| (true, Passage::Refuse, refusal));
    let all: Vec<_> = nevers.chain(gates).collect();
    let changes_at = all.iter().map(|(_, _, refusal)| refusal.changes_at).reduce(|one, other| Some(one?.max(other?)));
    let lasting = |refusal: &Refusal| refusal.changes_at.map_or(u64::MAX, Timestamp::ms);
    let (_, _, first) = all.into_iter().max_by_key(|(never, passage, refusal)| (*never, *passage, lasting(refusal)))?;
    let refusal = Refusal { changes_at: changes_at.flatten(), ..first };
    Some(if waits && patience != Patience::Spent { Verdict::Waits(refusal) } else { Verdict::Refused(refusal) })
}

/// The limits of an account that refuse, with what is counted against them.
fn hard_limits(account: &Account) -> impl Iterator<Item = (usize, &Limit, &Counter)> {
    let hard = account.budget.mode.is_hard();
    account.limits().enumerate().filter(move |_| hard).map(|(at, (limit, counter))| (at, limit, counter))
}

/// What the level of an account says to a call of this priority, where it does not simply pass.
fn level_gate(account: &Account, call: &Reserve) -> Option<(Passage, Refusal)> {
    if account.budget.mode != Mode::Throttle {
        return None;
    }
    let passage = passage(account.level(), call.priority);
    if !matches!(passage, Passage::Wait | Passage::Refuse) {
        return None;
    }
    let (at, _) = account.counters.iter().enumerate().max_by_key(|(_, counter)| counter.level)?;
    let falls = level_falls_at(account, call);
    Some((passage, refusal(account, at, call, RefusalReason::Level, falls)?))
}

/// When time alone brings the account down to a level at which the call passes.
fn level_falls_at(account: &Account, call: &Reserve) -> Option<Timestamp> {
    let passes = |level| !matches!(passage(level, call.priority), Passage::Wait | Passage::Refuse);
    let lowest_bad = Level::ALL.into_iter().find(|level| !passes(*level))?;
    let percent = account.budget.marks.leaves_at(lowest_bad);
    let falls = account.limits().filter(|(_, counter)| counter.level >= lowest_bad).map(|(limit, counter)| {
        let mark = (u128::from(limit.amount) * u128::from(percent)).div_ceil(100);
        counter.falls_to(u64::try_from(mark).unwrap_or(u64::MAX).saturating_sub(1))
    });
    falls.reduce(|one, other| Some(one?.max(other?)))?
}

/// The limits on which the call can never fit as things stand.
fn never(account: &Account, call: &Reserve, now: Timestamp) -> Vec<Refusal> {
    let floor = call.ask.cap_floor;
    let fits = |limit: &Limit, room| call.ask.cap_within(limit.meter, room, floor).is_some_and(|cap| cap >= floor);
    let mut refusals = Vec::new();
    for (at, limit, counter) in hard_limits(account) {
        if fits(limit, limit.amount.saturating_sub(counter.settled())) {
            continue;
        }
        let too_large = !fits(limit, limit.amount);
        let reason = if too_large { RefusalReason::TooLarge } else { RefusalReason::Exhausted };
        let asked = call.ask.charge_at(floor).map_or(u64::MAX, |charge| part(limit, &charge));
        let frees = if too_large { None } else { counter.frees_to(limit.amount.saturating_sub(asked)) };
        refusals.extend(refusal(account, at, call, reason, frees.map(|at| at.max(now))));
    }
    refusals
}

/// Whether the fixed part of the bound is large for what is left of a limit.
fn is_large(account: &Account, call: &Reserve) -> bool {
    hard_limits(account).any(|(_, limit, counter)| {
        let room = limit.amount.saturating_sub(counter.charged());
        limit.meter != almoner_units::Meter::Requests && part(limit, &call.ask.fixed) > room / LARGE
    })
}

/// The output cap that the call may have now, or the limit that leaves it none for as long as others hold.
fn cap_now<'a>(
    accounts: impl Iterator<Item = &'a Account>,
    ask: &Ask,
    patience: Patience,
) -> Result<u64, (&'a Account, usize)> {
    let (mut share, mut most) = (ask.cap_asked, ask.cap_asked);
    // The limit that fits least, and the one whose calls in flight leave the smallest share.
    let (mut tightest, mut in_use): (_, Option<(u64, (&Account, usize))>) = (None, None);
    for account in accounts {
        for (at, limit, counter) in hard_limits(account) {
            let room = limit.amount.saturating_sub(counter.charged());
            let Some(fits) = ask.cap_within(limit.meter, room, ask.cap_asked) else { return Err((account, at)) };
            if fits < most || tightest.is_none() {
                tightest = Some((account, at));
            }
            let fair = fair_cap(ask, limit, room);
            let is_short = fair < ask.cap_comfortable && counter.held() > 0;
            if is_short && in_use.is_none_or(|(least, _)| fair < least) {
                in_use = Some((fair, (account, at)));
            }
            (share, most) = (share.min(fair), most.min(fits));
        }
    }
    match (tightest, in_use) {
        (Some(tightest), _) if most < ask.cap_floor => Err(tightest),
        (_, Some((_, in_use))) if patience == Patience::Fresh => Err(in_use),
        _ => Ok(share.max(ask.cap_floor)),
    }
}

/// The cap that takes a fair share of what a limit has left beyond the fixed part of the bound.
fn fair_cap(ask: &Ask, limit: &Limit, room: u64) -> u64 {
    let fixed = part(limit, &ask.fixed);
    let fair = fixed.saturating_add(room.saturating_sub(fixed) / FAIR_SHARE);
    ask.cap_within(limit.meter, fair, ask.cap_asked).unwrap_or(0)
}

fn refusal(
    account: &Account,
    at: usize,
    call: &Reserve,
    reason: RefusalReason,
    changes_at: Option<Timestamp>,
) -> Option<Refusal> {
    let (limit, counter) = account.limits().nth(at)?;
    Some(Refusal {
        account: account.key.clone(),
        limit: limit.clone(),
        spent: counter.spent(),
        assumed: counter.assumed(),
        held: counter.held(),
        asked: call.ask.charge_at(call.ask.cap_floor).map_or(u64::MAX, |charge| part(limit, &charge)),
        level: account.level(),
        priority: call.priority,
        reason,
        changes_at,
    })
}
