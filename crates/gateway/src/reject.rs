//! Refusals that need no ledger: a body that cannot be read, a model that nobody serves, a call that policy forbids.
//!
//! Each has an id, which its answer tells. Those that came by a route and with a key that is good are kept for
//! `explain`, a few a minute: whoever sends nonsense without end shall not push everything else out of history.

use std::sync::{Arc, Mutex, PoisonError};

use almoner_units::{CallId, Labels, Priority, Span, Timestamp};
use hyper::Response;

use crate::answer::{Answer, warn};
use crate::dialect::{Dialect, Endpoint};
use crate::port::{Purse, Recorder};
use crate::relay::ClientBody;
use crate::report::{Outcome, Report, Said, Verdict};
use crate::stack::{Gateway, Understood, World, whole};

/// How many rejections are kept for `explain` in a minute.
const KEPT_MAX: u32 = 60;
/// A minute.
const MINUTE: Span = Span::from_secs(60);

/// A call that is refused before the ledger is asked, and what was known of it by then.
pub(crate) struct Rejection {
    pub(crate) answer: Answer,
    pub(crate) of: Of,
}

/// What is known of a call that is refused early.
pub(crate) enum Of {
    /// Whoever sent it has no key that is good.
    Nobody,
    /// The labels of its key; it could not be read.
    Key(Labels),
    /// All.
    Call(Box<Understood>),
}

impl Rejection {
    pub(crate) fn of_nobody(answer: Answer) -> Box<Self> {
        Box::new(Self { answer, of: Of::Nobody })
    }
}

/// How many rejections were kept of late.
#[derive(Debug, Default)]
pub(crate) struct Kept(Mutex<(Timestamp, u32)>);

impl Kept {
    /// Whether one more may be kept; counts it where it may.
    fn is_room(&self, now: Timestamp) -> bool {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, count) = *kept;
        // Where somebody set the clock back, the minute begins anew, and not when the clock has caught up.
        let is_over = now.since(since) >= MINUTE || now < since;
        *kept = if is_over { (now, 1) } else { (since, count.saturating_add(1)) };
        kept.1 <= KEPT_MAX
    }
}

/// Refuses a request that has no route, with an id of its own and nothing kept.
pub(crate) fn turn_away<W: World>(gateway: &Gateway<W>, dialect: Dialect, answer: &Answer) -> Response<ClientBody> {
    whole(answer.respond(dialect, Some(gateway.purse.new_call())))
}

/// Refuses a call, and keeps why.
pub(crate) fn reject<W: World>(
    gateway: &Gateway<W>,
    endpoint: &'static Endpoint,
    rejection: Rejection,
) -> Response<ClientBody> {
    let Rejection { answer, of } = rejection;
    let id = gateway.purse.new_call();
    let report = match of {
        Of::Nobody => None,
        Of::Key(labels) => Some(unread(gateway, id, endpoint, labels)),
        Of::Call(understood) => Some(gateway.report(id, &understood)),
    };
    let mut response = answer.respond(endpoint.dialect, Some(id));
    if let Some(mut report) = report {
        warn(response.headers_mut(), &report.warnings);
        report.verdict = Verdict::Rejected(answer.code().to_owned());
        let said = Said { status: answer.status(endpoint.dialect).as_u16(), message: answer.message() };
        let outcome = Outcome::refused(&said);
        report.said = Some(said);
        let report = Arc::new(report);
        if gateway.kept.is_room(report.at) {
            gateway.recorder.decided(&report);
        }
        gateway.recorder.ended(report, outcome);
    }
    whole(response)
}

/// A report of a call that could not be read.
fn unread<W: World>(gateway: &Gateway<W>, id: CallId, endpoint: &Endpoint, labels: Labels) -> Report {
    Report {
        id,
        at: gateway.purse.now(),
        route: endpoint.path,
        dialect: endpoint.dialect,
        labels,
        priority: Priority::Normal,
        provider: String::new(),
        model: String::new(),
        verdict: Verdict::Unbudgeted,
        seen: Vec::new(),
        waited: Span::default(),
        paced: Vec::new(),
        bound: Vec::new(),
        ask: None,
        price_version: gateway.book.version().to_owned(),
        unbounded: Vec::new(),
        warnings: Vec::new(),
        subscription: false,
        stop: None,
        said: None,
        parent: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_nonsense_leaves_few_traces_a_minute() {
        let kept = Kept::default();
        let at = |secs| Timestamp::from_ms(1_795_500_000_000).after(Span::from_secs(secs));
        let of_flood = |secs| (0..10_000).filter(|_| kept.is_room(at(secs))).count();
        assert_eq!([of_flood(0), of_flood(59), of_flood(60), of_flood(61)], [60, 0, 60, 0]);
        assert_eq!(of_flood(30), 60, "by a clock that was set back");
    }
}
