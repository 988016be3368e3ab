//! What history is told of usage that somebody booked or corrected by hand.

use almoner_store::{Decision, Outcome, OutcomeRecord, VerdictRecord};
use almoner_units::{CallId, Charge, Labels, Span, Timestamp, Usage};

/// That usage which did not pass us was booked.
pub(crate) fn verdict(id: CallId, at: Timestamp, labels: Labels, why: &str) -> VerdictRecord {
    let named = |name| labels.named(name).map(ToString::to_string);
    VerdictRecord {
        id,
        at,
        provider: named("provider"),
        model: named("model"),
        labels,
        decision: Decision::Booked,
        account: None,
        reason: why.to_owned(),
        numbers: Vec::new(),
        bound: Vec::new(),
        cap: None,
        held: Charge::ZERO,
        waited: Span::default(),
        price_version: None,
    }
}

/// What was booked, or what the truth turned out to be.
pub(crate) fn outcome(
    id: CallId,
    at: Timestamp,
    outcome: Outcome,
    usage: Usage,
    charge: Charge,
    why: String,
) -> OutcomeRecord {
    OutcomeRecord {
        id,
        at,
        outcome,
        usage,
        charge,
        overrun: Charge::ZERO,
        unbounded: Vec::new(),
        status: None,
        duration: None,
        price_version: None,
        note: Some(why),
    }
}
