//! Whether a call is sent once more to a provider that did not take it, and when.
//!
//! Only before the first byte of an answer, and only where the provider bills nothing for the try that failed: what may
//! have been billed is not bought a second time unasked. Each try is a call of its own, with its own id and hold, as
//! each stop of a route is; [`crate::journey`] makes them. Clients try again by themselves, too, and most do so
//! whatever they are told. So a request for which all of ours were in vain gets none of ours when it comes back.

use almoner_policy::{Backoff, GiveUp};
use almoner_units::Span;
use hyper::StatusCode;
use hyper::header::HeaderMap;
use serde_json::Value;

use crate::dialect::Asks;
use crate::port::Purse;
use crate::stack::{Gateway, Understood, World};
use crate::told_limits::{told_in_body, told_limits};

/// How long a request is remembered for which every try was in vain: longer than clients wait between theirs.
const IN_VAIN_KEPT: Span = Span::from_secs(120);
/// The statuses by which a provider says that it cannot take a call now, and may in a moment.
const BUSY: [u16; 6] = [429, 500, 502, 503, 504, 529];
/// The words in an error that time alone does not mend: the account behind the credential has no money left.
const NO_MONEY: [&str; 6] = [
    "insufficient_quota",
    "billing_error",
    "billing_hard_limit_reached",
    "usage_limit_reached",
    "usage_not_included",
    "INSUFFICIENT_G1_CREDITS_BALANCE",
];
/// The part of the name of a quota of Google's that is full for the rest of a day.
const OF_A_DAY: &str = "PerDay";

/// The tries of a call so far, beside the first.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tries {
    pub(crate) retries: u32,
    /// The fingerprint of the request, as the first who could not take it got it.
    pub(crate) print: Option<u64>,
}

/// A provider's no that another try may turn into a yes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct NotNow {
    /// How long it asks to wait.
    pub(crate) told: Option<Span>,
}

impl NotNow {
    /// Reads a refusal that the provider does not bill; `None` where the same call would be refused again.
    pub(crate) fn of(
        status: StatusCode,
        headers: &HeaderMap,
        body: &Value,
        now: almoner_units::Timestamp,
    ) -> Option<Self> {
        let is_final = headers.get("x-should-retry").is_some_and(|value| value.as_bytes() == b"false");
        if is_final || !BUSY.contains(&status.as_u16()) || is_out_of_money(body) {
            return None;
        }
        Some(Self { told: told_limits(headers, now).wait.or_else(|| told_in_body(body)) })
    }
}

/// Whether an error is about an account without money, or a quota that is full for the day.
fn is_out_of_money(body: &Value) -> bool {
    let error = body.pointer("/0/error").or_else(|| body.get("error")).unwrap_or(&Value::Null);
    let says = |value: Option<&Value>| value.and_then(Value::as_str).is_some_and(|word| NO_MONEY.contains(&word));
    let details = error.get("details").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let of_a_day = |detail: &Value| {
        let violations = detail.get("violations").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let quotas = violations.iter().filter_map(|violation| violation.get("quotaId")?.as_str());
        quotas.into_iter().any(|quota| quota.contains(OF_A_DAY))
    };
    says(error.get("code"))
        || says(error.get("type"))
        || details.iter().any(|detail| says(detail.get("reason")) || of_a_day(detail))
}

/// What comes of a call that a provider did not take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Again {
    /// It is tried again after this wait; `print` is the fingerprint of its request.
    In { wait: Span, print: u64 },
    /// It is not; its client may.
    #[default]
    No,
    /// It is not, and its client had better not either: it was tried as often as makes sense.
    InVain,
}

impl<W: World> Gateway<W> {
    /// Whether a call is tried again that a provider did not take, and when.
    pub(crate) fn when_again(&self, understood: &Understood, not_now: NotNow) -> Again {
        let retries_max = self.providers[understood.provider].retries_max;
        if understood.endpoint.asks != Asks::Answer || self.is_stopping() || retries_max == 0 {
            return Again::No;
        }
        let print = understood.tries.print.unwrap_or_else(|| self.print_of(understood));
        let came_back = self.remembered.in_vain.of(print).is_some();
        let backoff =
            Backoff { retries_max: if came_back { 0 } else { retries_max }, wait_max: self.settings.wait_max };
        let (retries, waited) = (understood.tries.retries, understood.waits.waited());
        // An id has more chance in it than a wait needs.
        let dice = u64::try_from(self.purse.new_call().bits() & u128::from(u64::MAX)).unwrap_or(0);
        match backoff.next(retries, waited, not_now.told, dice) {
            Ok(wait) => Again::In { wait, print },
            // Its provider says when to come back, and that is for the client to wait for.
            Err(GiveUp::Long(_)) if not_now.told.is_some() || retries == 0 => Again::No,
            Err(GiveUp::Long(_) | GiveUp::Often(_)) => {
                self.remembered.in_vain.put(print, (), IN_VAIN_KEPT);
                Again::InVain
            }
        }
    }

    fn print_of(&self, understood: &Understood) -> u64 {
        let key = understood.labels.named("key").map_or("", |key| key.as_str());
        self.remembered.prints.of((
            &self.providers[understood.provider].name,
            key,
            understood.endpoint.path,
            &understood.call.model,
            &understood.body,
        ))
    }

    /// By what the failures of one client are known: its key where it has one, else the request. One that provokes them
    /// is not taken for many.
    pub(crate) fn who_failed(&self, understood: &Understood) -> u64 {
        match understood.labels.named("key") {
            Some(key) => self.remembered.prints.of(key.as_str()),
            None => self.remembered.prints.of(&understood.body),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use almoner_units::Timestamp;
    use serde_json::json;

    const NOW: Timestamp = Timestamp::from_ms(1_795_420_800_000);

    fn read(status: u16, headers: &[(&'static str, &'static str)], body: &Value) -> Option<NotNow> {
        let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        NotNow::of(StatusCode::from_u16(status).unwrap(), &headers, body, NOW)
    }

    #[test]
    fn who_is_busy_now_is_asked_again() {
        let overloaded = json!({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}});
        for status in BUSY {
            assert_eq!(read(status, &[], &overloaded), Some(NotNow { told: None }), "{status}");
        }
        for status in [400, 401, 402, 403, 404, 408, 409, 413, 422, 501, 505] {
            assert_eq!(read(status, &[], &overloaded), None, "{status}");
        }
        assert_eq!(read(529, &[("x-should-retry", "false")], &overloaded), None, "the provider knows better");
        assert!(read(529, &[("x-should-retry", "true")], &overloaded).is_some());
    }

    #[test]
    fn an_account_without_money_is_not_asked_again() {
        for error in [
            json!({"code": "insufficient_quota", "type": "insufficient_quota", "message": "no"}),
            json!({"type": "usage_limit_reached", "resets_at": 1}),
            json!({"type": "billing_error"}),
            json!({"details": [{"violations": [{"quotaId": "GenerateRequestsPerDayPerProject"}]}]}),
            json!({"details": [{"reason": "INSUFFICIENT_G1_CREDITS_BALANCE"}]}),
        ] {
            assert_eq!(read(429, &[], &json!({ "error": error })), None, "{error}");
            assert_eq!(read(429, &[], &json!([{ "error": error }])), None, "{error}");
        }
        let of_a_minute = json!({"details": [{"violations": [{"quotaId": "GenerateRequestsPerMinute"}]}]});
        assert!(read(429, &[], &json!({ "error": of_a_minute })).is_some());
        for odd in [Value::Null, json!([]), json!({"error": "x"}), json!({"error": {"details": 7, "code": 7}})] {
            assert!(read(429, &[], &odd).is_some(), "{odd}");
        }
    }

    #[test]
    fn the_wait_is_the_one_of_the_headers_or_of_the_body() {
        let body = json!({"error": {"details": [{"retryDelay": "34s"}]}});
        let told = |headers: &[(&'static str, &'static str)]| read(429, headers, &body).unwrap().told;
        assert_eq!(told(&[]), Some(Span::from_secs(34)));
        assert_eq!(told(&[("retry-after", "3")]), Some(Span::from_secs(3)));
    }
}
