//! Headers: the level, what is left, and what was changed, on every answer.

use almoner_units::{AccountKey, CallId, Level, Limit};
use hyper::HeaderMap;
use hyper::header::{self, HeaderName, HeaderValue};

use super::Answer;

const CALL: HeaderName = HeaderName::from_static("x-almoner-call");
const LEVEL: HeaderName = HeaderName::from_static("x-almoner-level");
const BUDGET: HeaderName = HeaderName::from_static("x-almoner-budget");
const LEFT: HeaderName = HeaderName::from_static("x-almoner-left");
const LIMIT: HeaderName = HeaderName::from_static("x-almoner-limit");
const CAP: HeaderName = HeaderName::from_static("x-almoner-cap");
const PRICES: HeaderName = HeaderName::from_static("x-almoner-prices");
const UNBOUNDED: HeaderName = HeaderName::from_static("x-almoner-unbounded");
const DROPPED: HeaderName = HeaderName::from_static("x-almoner-dropped");
const WARNING: HeaderName = HeaderName::from_static("x-almoner-warning");
const ROUTE: HeaderName = HeaderName::from_static("x-almoner-route");
const REROUTED: HeaderName = HeaderName::from_static("x-almoner-rerouted");
const ATTEMPTS: HeaderName = HeaderName::from_static("x-almoner-attempts");
const CODE: HeaderName = HeaderName::from_static("x-almoner-code");
const RESETS: HeaderName = HeaderName::from_static("x-almoner-resets-at");
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// What is told of a call that went.
#[derive(Clone, Debug)]
pub struct Told<'a> {
    /// The call; `almoner explain` takes its id.
    pub call: CallId,
    /// The highest level of the accounts it touches.
    pub level: Level,
    /// The tightest limit, and what is left of it.
    pub tightest: Option<(&'a AccountKey, &'a Limit, u64)>,
    /// What was asked and what was allowed, where the output was capped.
    pub capped: Option<(Option<u64>, u64)>,
    /// The version of the prices it is charged by.
    pub prices: &'a str,
    /// What of it could not be bounded, by name.
    pub unbounded: &'a [String],
    /// What was taken out of its body, by name.
    pub dropped: &'a [&'static str],
    /// Which of its headers for us were not heeded, and why.
    pub warnings: &'a [String],
}

/// Tells of a call that went, in the headers of its answer.
pub fn tell(headers: &mut HeaderMap, told: &Told<'_>) {
    headers.insert(CALL, safe(&told.call.to_string()));
    headers.insert(LEVEL, HeaderValue::from_static(told.level.name()));
    headers.insert(PRICES, safe(told.prices));
    if let Some((account, limit, left)) = told.tightest {
        fullness(headers, account, limit, left);
    }
    if let Some((asked, cap)) = told.capped {
        let asked = asked.map_or_else(|| "none".to_owned(), |asked| asked.to_string());
        headers.insert(CAP, safe(&format!("{asked} -> {cap}")));
    }
    if !told.unbounded.is_empty() {
        headers.insert(UNBOUNDED, safe(&told.unbounded.join(", ")));
    }
    if !told.dropped.is_empty() {
        headers.insert(DROPPED, safe(&told.dropped.join(", ")));
    }
    warn(headers, told.warnings);
}

/// Tells which headers were not heeded, each in a header of its own.
pub(crate) fn warn(headers: &mut HeaderMap, warnings: &[String]) {
    for warning in warnings {
        headers.append(WARNING, safe(warning));
    }
}

/// Tells what is known of a call whose answer begins before it goes.
pub(crate) fn tell_first(headers: &mut HeaderMap, call: CallId, warnings: &[String]) {
    headers.insert(CALL, safe(&call.to_string()));
    warn(headers, warnings);
}

/// Tells by which route the call went, and each of its stops with why it left it.
pub(crate) fn tell_route(headers: &mut HeaderMap, route: Option<&str>, stops: &[String]) {
    if let Some(route) = route {
        headers.insert(ROUTE, safe(route));
    }
    for stop in stops {
        headers.append(REROUTED, safe(stop));
    }
}

/// Tells how often the call was sent, where it was tried again.
pub(crate) fn tell_attempts(headers: &mut HeaderMap, retries: u32) {
    if retries > 0 {
        headers.insert(ATTEMPTS, retries.saturating_add(1).into());
    }
}

/// Tells the client that it need not try what was tried here in vain.
pub(crate) fn tell_in_vain(headers: &mut HeaderMap) {
    headers.insert(SHOULD_RETRY, HeaderValue::from_static("false"));
}

/// Tells why there is no provider's answer.
pub(super) fn refused(headers: &mut HeaderMap, answer: &Answer, call: Option<CallId>) {
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CODE, HeaderValue::from_static(answer.code()));
    if let Some(call) = call {
        headers.insert(CALL, safe(&call.to_string()));
    }
    if answer.hangs_up() {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    if answer.is_final() {
        headers.insert(SHOULD_RETRY, HeaderValue::from_static("false"));
    }
    if let Some(after) = answer.after() {
        headers.insert(header::RETRY_AFTER, after.secs_up().max(1).into());
    }
    if let Some(refusal) = answer.refusal() {
        headers.insert(LEVEL, safe(refusal.level.name()));
        fullness(headers, &refusal.account, &refusal.limit, refusal.left());
        if let Some(at) = refusal.changes_at {
            headers.insert(RESETS, safe(&at.to_string()));
        }
    }
}

/// Tells the reason where a dialect's clients look for it.
pub(super) fn reason(headers: &mut HeaderMap, name: &'static str, message: &str) {
    headers.insert(HeaderName::from_static(name), readable(message));
}

fn fullness(headers: &mut HeaderMap, account: &AccountKey, limit: &Limit, left: u64) {
    headers.insert(BUDGET, safe(&account.to_string()));
    headers.insert(LEFT, safe(&limit.meter.show(left)));
    headers.insert(LIMIT, safe(&limit.to_string()));
}

/// How long a header's value may be.
const VALUE_MAX: usize = 512;

/// A sentence as a header's value, to be read by a person and by nobody else: what is not printable ASCII is left out.
fn readable(text: &str) -> HeaderValue {
    let value: String = text.chars().filter(|c| matches!(c, ' '..='~')).take(VALUE_MAX).collect();
    HeaderValue::from_str(value.trim()).unwrap_or(HeaderValue::from_static("?"))
}

/// A text as a header's value: whatever is not printable ASCII, and `%`, stands as `%XX`, so that no name that a
/// stranger chose can end a line, and every name can be read back.
fn safe(text: &str) -> HeaderValue {
    let is_safe = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'%';
    if text.len() <= VALUE_MAX && text.bytes().all(is_safe) {
        return HeaderValue::from_str(text.trim()).unwrap_or(HeaderValue::from_static("?"));
    }
    let mut value = String::with_capacity(text.len());
    for byte in text.bytes().take(VALUE_MAX) {
        match byte {
            byte if is_safe(byte) => value.push(char::from(byte)),
            byte => value.push_str(&format!("%{byte:02X}")),
        }
    }
    HeaderValue::from_str(value.trim()).unwrap_or(HeaderValue::from_static("?"))
}
