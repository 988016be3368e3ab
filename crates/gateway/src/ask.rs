//! Whether an understood call may go: its bound, a closer bound where it is large for what is left, and the purse.

use std::sync::Arc;
use std::time::Duration;

use almoner_ledger::{Refusal, RefusalReason, ReleaseReason};
use almoner_policy::pace::Slow;
use almoner_policy::{Bound, BoundSettings, Price, Unboundable, bound};
use almoner_units::{Ask, CallId, Passage, Span, Timestamp, passage};
use tokio::time::timeout;

use crate::answer::{Answer, warn};
use crate::counting;
use crate::dialect::Asks;
use crate::exchange;
use crate::guard::HoldGuard;
use crate::pacing::{Gate, KEPT_MAX, Known, Pass};
use crate::port::{Admitted, Decision, DeskError, End, Fullness, Keys, Purse, Question, Recorder, Refused};
use crate::report::{Outcome, Report, Said, Verdict};
use crate::stack::{Gateway, Understood, World, whole};
use crate::trouble::{Stop, Trouble};

/// What refills within this time is worth waiting for.
const SOON: Span = Span::from_secs(60);
/// How long the purse may take to answer, beside the time that a call may wait.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// How long the purse is asked before that counts as waiting for one's turn.
const AT_ONCE: Duration = Duration::from_secs(1);
/// How long a client is told to wait where nobody knows better.
pub(crate) const A_MOMENT: Span = Span::from_secs(5);

/// What is told of a call whose key ended while it waited.
const ENDED: &str = "this key ended while its call waited for its turn; nothing was spent";

/// A call that may go.
pub(crate) struct Going<W: World> {
    pub(crate) understood: Box<Understood>,
    pub(crate) report: Arc<Report>,
    /// Its hold, for calls that touch a budget.
    pub(crate) held: Option<Held<W>>,
    /// Its place at the pace of its provider, for calls that go at one.
    pub(crate) pass: Option<Pass>,
}

/// The hold of a call that may go.
pub(crate) struct Held<W: World> {
    pub(crate) admitted: Admitted,
    pub(crate) fullness: Fullness,
    pub(crate) ask: Ask,
    pub(crate) guard: HoldGuard<W::Purse>,
}

/// Asks whether the call may go, and sends it where it may.
pub(crate) async fn ask<W: World>(gateway: Arc<Gateway<W>>, mut understood: Box<Understood>) -> Stop {
    let id = gateway.purse.new_call();
    let mut report = gateway.report(id, &understood);
    understood.waits.name(id, &report.warnings);
    let entered = match is_good_still(&gateway, &understood) {
        true => enter(&gateway, &mut understood, &mut report).await,
        // Its body took its time, or the stop before this one did.
        false => Err(Answer::Unauthorized("this key ended while its call came in; nothing was spent".to_owned())),
    };
    report.stop = understood.hop.as_ref().map(|hop| hop.note.clone());
    let (held, pass) = match entered {
        Ok(entered) => entered,
        Err(answer) => return turn_down(&gateway, &understood, report, &answer),
    };
    let report = Arc::new(report);
    if understood.endpoint.asks == Asks::Answer {
        gateway.recorder.decided(&report);
    }
    match (&understood.hop, held) {
        (Some(hop), Some(held)) if hop.leaves_at(held.admitted.admission.level) => leave(&gateway, report, held),
        (_, held) => exchange::exchange(gateway, Going { understood, report, held, pass }).await,
    }
}

/// Refuses the call here. Whether that is the last word is for its route to say.
fn turn_down<W: World>(gateway: &Gateway<W>, understood: &Understood, mut report: Report, answer: &Answer) -> Stop {
    let dialect = understood.endpoint.dialect;
    let said = Said { status: answer.status(dialect).as_u16(), message: answer.message() };
    let mut outcome = Outcome::refused(&said);
    report.said = Some(said);
    if !matches!(report.verdict, Verdict::Refused(_)) {
        report.verdict = Verdict::Rejected(answer.code().to_owned());
    }
    let mut response = answer.respond(dialect, Some(report.id));
    warn(response.headers_mut(), &report.warnings);
    let trouble = Trouble::of_refusal(report.id, answer, whole(response));
    outcome.goes_on = understood.hop.as_ref().is_some_and(|hop| hop.goes_on(&trouble));
    let report = Arc::new(report);
    gateway.recorder.decided(&report);
    gateway.recorder.ended(report, outcome);
    Stop::Setback(Box::new(trouble))
}

/// Gives back what was held for a call that could go, because at this level its route leads elsewhere.
fn leave<W: World>(gateway: &Gateway<W>, report: Arc<Report>, mut held: Held<W>) -> Stop {
    let level = held.admitted.admission.level;
    held.guard.end(End::Released(ReleaseReason::NeverSent));
    let note = format!("a budget is at level {level}");
    let trouble = Trouble::of_level(report.id, level);
    gateway.recorder.ended(report, Outcome { word: "released", note, goes_on: true, ..Outcome::default() });
    Stop::Setback(Box::new(trouble))
}

/// Takes a place at the call's paces, and sets money aside for it.
async fn enter<W: World>(
    gateway: &Arc<Gateway<W>>,
    understood: &mut Understood,
    report: &mut Report,
) -> Result<(Option<Held<W>>, Option<Pass>), Answer> {
    let Some(gate) = gate(gateway, understood) else { return Ok((hold(gateway, understood, report).await?, None)) };
    let mut pass = Some(turn(gateway, &gate, understood, report).await?);
    let held = {
        let holding = hold(gateway, understood, report);
        tokio::pin!(holding);
        tokio::select! {
            biased;
            held = &mut holding => held?,
            () = tokio::time::sleep(KEPT_MAX) => {
                // It waits for money, and others could go meanwhile.
                pass = None;
                holding.await?
            }
        }
    };
    let mut pass = match pass {
        Some(pass) => pass,
        // Now it holds money, but it has waited before, and is soon the first in line.
        None => turn(gateway, &gate, understood, report).await?,
    };
    gate.fit(&mut pass, held.as_ref().map(|held| held.admitted.admission.cap));
    Ok((held, Some(pass)))
}

/// The gate of a call.
fn gate<W: World>(gateway: &Gateway<W>, understood: &Understood) -> Option<Gate> {
    if understood.endpoint.asks != Asks::Answer {
        return None;
    }
    let known = Known {
        provider: &gateway.providers[understood.provider].name,
        default_output: gateway.settings.default_output,
    };
    gateway.pacing.gate(understood, known)
}

/// Waits for the call's turn. Where its route leads on from a provider that has no room, it goes on and does not wait.
async fn turn<W: World>(
    gateway: &Gateway<W>,
    gate: &Gate,
    understood: &Understood,
    report: &mut Report,
) -> Result<Pass, Answer> {
    let leads_on = understood.hop.as_ref().is_some_and(|hop| hop.leads_on_from_a_crowd());
    let wait_max = if leads_on { Span::default() } else { understood.waits.left(gateway.settings.wait_max) };
    let passed = understood.waits.during(gate.pass(wait_max)).await;
    let (pass, paced) = passed.map_err(|Slow { by, after }| Answer::Paced { by, after })?;
    let has_waited = paced.is_some();
    report.paced.extend(paced);
    if has_waited && !is_good_still(gateway, understood) {
        return Err(Answer::Unauthorized(ENDED.to_owned()));
    }
    Ok(pass)
}

/// Sets money aside for the call; `None` where it needs none: it touches no budget, or only counts.
async fn hold<W: World>(
    gateway: &Arc<Gateway<W>>,
    understood: &mut Understood,
    report: &mut Report,
) -> Result<Option<Held<W>>, Answer> {
    if understood.endpoint.asks != Asks::Answer {
        return Ok(None);
    }
    loop {
        if understood.accounts.is_empty() {
            return Ok(None);
        }
        let mut guard = HoldGuard::new(Arc::clone(&gateway.purse), report.id);
        let (decision, ask) = decide(gateway, understood, report).await?;
        match decision {
            // The guard gives back what is held for it.
            Decision::Admitted(admitted)
                if admitted.waited > Span::default() && !is_good_still(gateway, understood) =>
            {
                (report.seen, report.waited) = (admitted.seen, admitted.waited);
                return Err(Answer::Unauthorized(ENDED.to_owned()));
            }
            Decision::Admitted(admitted) => {
                return admit(gateway, understood, report, *admitted, ask, guard).map(Some);
            }
            Decision::Refused(refused) => {
                guard.has_none();
                if understood.spare(&refused.refusal.account.budget) {
                    continue;
                }
                let Refused { refusal, seen, waited, at } = *refused;
                (report.seen, report.waited) = (seen, waited);
                report.verdict = Verdict::Refused(Box::new(refusal.clone()));
                return Err(refuse(Box::new(refusal), waited, at));
            }
            Decision::Tighten => return Err(Answer::Fault("the ledger asked twice for a smaller bound".to_owned())),
        }
    }
}

/// Whether the key of a call is as good as when the call came.
fn is_good_still<W: World>(gateway: &Gateway<W>, understood: &Understood) -> bool {
    understood.labels.named("key").is_none_or(|key| gateway.keys.is_good(key.as_str()))
}

/// Asks the purse, again with a closer bound where it wants one; what it said, and to which ask.
async fn decide<W: World>(
    gateway: &Arc<Gateway<W>>,
    understood: &mut Understood,
    report: &mut Report,
) -> Result<(Decision, Ask), Answer> {
    let bound = match bound_by_bytes(gateway, understood) {
        Err(_) if gateway.go_lean(understood).await => bound_by_bytes(gateway, understood),
        told => told,
    }?;
    let mut ask = note(report, bound, understood.price.as_deref());
    let mut decision = reserve(gateway, understood, question(gateway, understood, report.id, ask)).await?;
    // Doing without a tool that fills context windows helps more than any count, and asks nobody.
    if matches!(decision, Decision::Tighten) && gateway.go_lean(understood).await {
        ask = note(report, bound_by_bytes(gateway, understood)?, understood.price.as_deref());
        decision = reserve(gateway, understood, question(gateway, understood, report.id, ask)).await?;
    }
    if !matches!(decision, Decision::Tighten) {
        return Ok((decision, ask));
    }
    if let Some(tighter) = counting::bound_by_count(gateway, understood).await {
        ask = note(report, tighter, understood.price.as_deref());
    }
    let closer = Question { can_tighten: false, ..question(gateway, understood, report.id, ask) };
    Ok((reserve(gateway, understood, closer).await?, ask))
}

/// Asks the purse, and does not wait for ever: a disk may hang, and while ledger time stands still no wait ends.
async fn reserve<W: World>(
    gateway: &Gateway<W>,
    understood: &Understood,
    question: Question,
) -> Result<Decision, Answer> {
    let most = Duration::from_millis(question.wait_max.ms()) + ANSWER_MAX;
    let reserving = gateway.purse.reserve(question);
    tokio::pin!(reserving);
    let mut decision = timeout(AT_ONCE, &mut reserving).await;
    if decision.is_err() {
        decision = understood.waits.heard(timeout(most.saturating_sub(AT_ONCE), reserving)).await;
    }
    let Ok(decision) = decision else {
        return Err(Answer::LedgerClosed { why: "the ledger did not answer in time".to_owned(), after: A_MOMENT });
    };
    match &decision {
        Ok(Decision::Admitted(admitted)) => understood.waits.count(admitted.waited),
        Ok(Decision::Refused(refused)) => understood.waits.count(refused.waited),
        Ok(Decision::Tighten) | Err(_) => {}
    }
    decision.map_err(purse_failed)
}

/// Notes what a call can cost at most, and gives what it asks of the ledger.
fn note(report: &mut Report, bound: Bound, price: Option<&Price>) -> Ask {
    (report.bound, report.unbounded) = (bound.parts, bound.unbounded);
    if price.is_some_and(|price| price.is_stale(report.at)) {
        // A bound is no better than its price, and nobody has looked at this one for long.
        report.unbounded.push("a price past its review date".to_owned());
    }
    if price.is_some_and(|price| !price.provider().is_empty() && price.provider() != report.provider) {
        // Whoever else serves the model mostly asks the same, and need not.
        report.unbounded.push("a price of another provider".to_owned());
    }
    report.ask = Some(bound.ask);
    bound.ask
}

/// Takes the hold of an admitted call under guard, and refuses a session that loops on cut answers.
fn admit<W: World>(
    gateway: &Arc<Gateway<W>>,
    understood: &Understood,
    report: &mut Report,
    mut admitted: Admitted,
    ask: Ask,
    guard: HoldGuard<W::Purse>,
) -> Result<Held<W>, Answer> {
    (report.seen, report.waited) = (std::mem::take(&mut admitted.seen), admitted.waited);
    let fullness = Fullness::of(&report.seen, &admitted.admission.amount);
    let cap = admitted.admission.cap;
    let loops = cap < ask.cap_asked && gateway.clamps.are_too_many(&understood.labels);
    if let Some(refusal) = tightest(&fullness, understood, &ask).filter(|_| loops) {
        // Once is enough to end a client that loops; whoever comes back is let try again, for there is money left.
        gateway.clamps.note(&understood.labels, false);
        report.verdict = Verdict::Refused(Box::new(refusal.clone()));
        return Err(Answer::CutShort { refusal: Box::new(refusal), cap });
    }
    let asked = understood.call.asked_output;
    report.verdict = Verdict::Admitted { cap, asked, held: admitted.admission.amount };
    Ok(Held { admitted, fullness, ask, guard })
}

/// The limit that is tightest for a call, as a refusal tells it.
fn tightest(fullness: &Fullness, understood: &Understood, ask: &Ask) -> Option<Refusal> {
    let (account, view, _) = fullness.tightest.clone()?;
    Some(Refusal {
        account,
        spent: view.spent,
        assumed: view.assumed,
        held: view.held,
        asked: ask.charge_at(ask.cap_floor).map_or(u64::MAX, |charge| charge[view.limit.meter]),
        level: fullness.level,
        priority: understood.priority,
        reason: RefusalReason::Exhausted,
        changes_at: view.resets_at,
        limit: view.limit,
    })
}

fn question<W: World>(gateway: &Gateway<W>, understood: &Understood, id: CallId, ask: Ask) -> Question {
    Question {
        id,
        accounts: understood.accounts.clone(),
        key: understood.labels.named("key").map_or_else(String::new, ToString::to_string),
        ask,
        priority: understood.priority,
        can_tighten: understood.call.can_be_lean() || counting::way(gateway, understood).is_some(),
        wait_max: match understood.may_be_spared() {
            true => Span::default(),
            false => understood.waits.left(gateway.settings.wait_max),
        },
        hold_max: hold_max(gateway),
    }
}

/// Longer than any answer is waited for, so that a hold ends by its call and only where that is lost by time.
fn hold_max<W: World>(gateway: &Gateway<W>) -> Span {
    let patience = gateway.settings.patience;
    Span::from_ms(patience.answer.ms() + patience.drain.ms() + 60_000)
}

pub(crate) fn settings<W: World>(gateway: &Gateway<W>, understood: &Understood) -> BoundSettings {
    let overheads = gateway.overheads.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let pinned = gateway.providers[understood.provider].pinned;
    BoundSettings {
        max_output: gateway.settings.max_output,
        default_output: gateway.settings.default_output,
        overhead: overheads.of(&understood.call.model),
        service_tier: pinned.service_tier,
        is_global: pinned.regional == Some(false),
    }
}

/// The price to bound by: where none is known, no budget in dollars refuses, and tokens are still counted.
pub(crate) fn price_of(understood: &Understood) -> Arc<Price> {
    understood.price.clone().unwrap_or_else(|| Arc::new(Price::unknown(&understood.call.model)))
}

fn bound_by_bytes<W: World>(gateway: &Gateway<W>, understood: &Understood) -> Result<Bound, Answer> {
    match bound(&understood.call.shape, &price_of(understood), &settings(gateway, understood)) {
        Ok(bound) => Ok(bound),
        Err(why) if understood.is_bounded => Err(Answer::Policy { code: "unboundable", message: why.to_string() }),
        Err(why) => unbounded(gateway, understood, &why),
    }
}

/// What stands for a bound where nothing refuses and none can be had: the bound of all but what has none.
fn unbounded<W: World>(gateway: &Gateway<W>, understood: &Understood, why: &Unboundable) -> Result<Bound, Answer> {
    let shape = understood.call.shape.without_the_boundless();
    let bound = bound(&shape, &price_of(understood), &settings(gateway, understood));
    let mut bound = bound.map_err(|why| Answer::Policy { code: "unboundable", message: why.to_string() })?;
    bound.unbounded.push(why.to_string());
    Ok(bound)
}

/// How a refusal of this moment is said: come back soon, or there is no money.
fn refuse(refusal: Box<Refusal>, waited: Span, now: Timestamp) -> Answer {
    let soon = refusal.changes_at.map(|at| at.since(now)).filter(|wait| *wait <= SOON);
    match (refusal.reason, soon) {
        (RefusalReason::TooLarge, _) | (RefusalReason::Exhausted, None) => Answer::NoMoney(refusal),
        (RefusalReason::Exhausted | RefusalReason::Level, Some(after)) => {
            Answer::SlowDown { refusal: Some(refusal), after }
        }
        (RefusalReason::Held, _) => Answer::SlowDown { refusal: Some(refusal), after: A_MOMENT },
        // Who has waited its time for a level to fall is told when it falls; who may not wait at this level, though it
        // waited for something else before, or waits for what time does not bring, has no money.
        (RefusalReason::Level, None) => match refusal.changes_at {
            Some(at) if waited > Span::default() && may_wait(&refusal) => {
                Answer::SlowDown { refusal: Some(refusal), after: at.since(now) }
            }
            _ => Answer::NoMoney(refusal),
        },
    }
}

/// Whether the level lets a call of this priority wait for it to fall.
fn may_wait(refusal: &Refusal) -> bool {
    passage(refusal.level, refusal.priority) == Passage::Wait
}

fn purse_failed(error: DeskError) -> Answer {
    match error {
        DeskError::Closed(why) => Answer::LedgerClosed { why, after: A_MOMENT },
        DeskError::Crowded(_) => Answer::SlowDown { refusal: None, after: A_MOMENT },
        DeskError::Question(error) => Answer::Fault(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use almoner_units::{AccountKey, Level, Priority, Timestamp};

    /// How a refusal is said of which time brings the end in so many seconds, after so many of waiting.
    fn said(reason: RefusalReason, changes_in: Option<u64>, waited: u64) -> String {
        said_to(Priority::Low, reason, changes_in, waited)
    }

    fn said_to(priority: Priority, reason: RefusalReason, changes_in: Option<u64>, waited: u64) -> String {
        let now = Timestamp::from_ms(1_795_500_000_000);
        let refusal = Refusal {
            account: AccountKey { budget: "firm".parse().unwrap(), per: Vec::new() },
            limit: "$1".parse().unwrap(),
            spent: 0,
            assumed: 0,
            held: 0,
            asked: 0,
            level: if priority == Priority::Low { Level::Soft } else { Level::Hard },
            priority,
            reason,
            changes_at: changes_in.map(|secs| now.after(Span::from_secs(secs))),
        };
        match refuse(Box::new(refusal), Span::from_secs(waited), now) {
            Answer::SlowDown { after, .. } => format!("come back in {after}"),
            Answer::NoMoney(_) => "no money".to_owned(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn who_is_told_to_come_back_is_told_when_and_nobody_in_vain() {
        use RefusalReason::{Exhausted, Held, Level, TooLarge};
        let table = [
            (Exhausted, Some(59), 0, "come back in 59s"),
            (Exhausted, Some(61), 0, "no money"),
            (Exhausted, None, 0, "no money"),
            (TooLarge, Some(1), 0, "no money"),
            (Held, None, 30, "come back in 5s"),
            (Level, Some(30), 0, "come back in 30s"),
            (Level, Some(600), 0, "no money"),
            (Level, Some(600), 30, "come back in 10m"),
            // A lifetime budget: time alone never brings the level down.
            (Level, None, 30, "no money"),
        ];
        for (reason, changes_in, waited, expected) in table {
            assert_eq!(said(reason, changes_in, waited), expected, "{reason:?} {changes_in:?} {waited}");
        }
    }

    #[test]
    fn who_waited_for_others_is_not_sent_to_wait_hours_for_a_level() {
        assert_eq!(said_to(Priority::Normal, RefusalReason::Level, Some(8 * 3600), 1), "no money");
        assert_eq!(said_to(Priority::Normal, RefusalReason::Level, Some(30), 1), "come back in 30s");
    }
}
