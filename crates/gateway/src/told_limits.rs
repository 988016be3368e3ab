//! What a provider says of its own limits beside an answer: how much is left of each, when it fills up again, and how
//! long to wait before the next call.
//!
//! Strangers send this, so nothing in it is believed beyond its place: what cannot be read is left out, and a wait of
//! any length is a plain value, which whoever waits compares with its own time.

use almoner_units::{Span, Timestamp};
use hyper::header::HeaderMap;
use serde_json::Value;

/// The longest wait that is kept; a longer one is as good as this.
const WAIT_MAX: Span = Span::from_secs(366 * 86_400);
/// The most characters of a header's value that are read.
const CHARS_MAX: usize = 64;

/// What a provider says of its limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ToldLimits {
    /// Its limit of requests.
    pub(crate) requests: Option<ToldLimit>,
    /// Its limit of tokens, whichever way they go.
    pub(crate) tokens: Option<ToldLimit>,
    /// Its limit of input tokens.
    pub(crate) input_tokens: Option<ToldLimit>,
    /// Its limit of output tokens.
    pub(crate) output_tokens: Option<ToldLimit>,
    /// How long to wait before the next call, where it says so.
    pub(crate) wait: Option<Span>,
}

/// What a provider says of one limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ToldLimit {
    /// How much there is in a whole window, which is a minute with most.
    pub(crate) limit: Option<u64>,
    /// How much of it is left.
    pub(crate) left: Option<u64>,
    /// In how long it is whole again.
    pub(crate) full_in: Option<Span>,
}

impl ToldLimit {
    /// In how long it is whole again, where nothing is left of it.
    fn wait(self) -> Option<Span> {
        self.full_in.filter(|_| self.left == Some(0))
    }
}

/// What the headers of an answer say, whichever dialect it speaks: the names do not collide, and many a server speaks
/// several.
pub(crate) fn told_limits(headers: &HeaderMap, now: Timestamp) -> ToldLimits {
    let limit = |what| told_limit(headers, what, now);
    let [requests, tokens, input_tokens, output_tokens] =
        ["requests", "tokens", "input-tokens", "output-tokens"].map(limit);
    let empty = [requests, tokens, input_tokens, output_tokens].into_iter().flatten().filter_map(ToldLimit::wait).max();
    let wait = retry_after(headers, now).or(empty);
    ToldLimits { requests, tokens, input_tokens, output_tokens, wait }
}

/// How long to wait, as Google says it in the body of a refusal: `retryDelay` of a `RetryInfo`, such as `34.07s`.
pub(crate) fn told_in_body(body: &Value) -> Option<Span> {
    // Some of its routes answer with a list of one.
    let error = body.pointer("/error").or_else(|| body.pointer("/0/error"))?;
    let details = error.get("details")?.as_array()?;
    details.iter().filter_map(|detail| detail.get("retryDelay")?.as_str()).find_map(span)
}

/// `retry-after-ms`, which OpenAI and Azure add to the standard one, and that: seconds, or a date.
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Span> {
    let ms = text(headers, "retry-after-ms").and_then(|ms| decimal(ms, 1));
    ms.or_else(|| {
        let told = text(headers, "retry-after")?;
        decimal(told, 1000).or_else(|| Some(Timestamp::from_http_date(told)?.since(now).min(WAIT_MAX)))
    })
}

/// One limit, as Anthropic names and writes it, or as OpenAI and those do that follow it.
fn told_limit(headers: &HeaderMap, what: &str, now: Timestamp) -> Option<ToldLimit> {
    let anthropic = |part: &str| text(headers, &format!("anthropic-ratelimit-{what}-{part}"));
    let openai = |part: &str| text(headers, &format!("x-ratelimit-{part}-{what}"));
    let count = |part| anthropic(part).or_else(|| openai(part)).and_then(|text| text.parse().ok());
    let instant = |text: &str| Some(text.parse::<Timestamp>().ok()?.since(now).min(WAIT_MAX));
    let full_in = anthropic("reset").and_then(instant).or_else(|| {
        let told = openai("reset")?;
        span(told).or_else(|| instant(told))
    });
    let told = ToldLimit { limit: count("limit"), left: count("remaining"), full_in };
    (told != ToldLimit::default()).then_some(told)
}

/// The text of a header; of one that is repeated the first, and nothing of one that is longer than any honest one.
fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim).filter(|text| text.len() <= CHARS_MAX)
}

/// `6m0s`, `1s`, `34.07s`, `12ms`, `1h30m0.5s`; a number alone is seconds.
fn span(text: &str) -> Option<Span> {
    if let Some(seconds) = decimal(text, 1000) {
        return Some(seconds);
    }
    let (mut rest, mut total) = (text, 0_u64);
    while !rest.is_empty() {
        let number = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (digits, after) = rest.split_at(number);
        let (unit, after) = after.split_at(after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len()));
        let ms = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        total = total.saturating_add(decimal(digits, ms)?.ms());
        rest = after;
    }
    (!text.is_empty()).then_some(Span::from_ms(total).min(WAIT_MAX))
}

/// A decimal number of units of so many milliseconds, rounded up, so that nobody comes too early.
fn decimal(text: &str, unit_ms: u64) -> Option<Span> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let is_number = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !is_number(whole) || !is_number(part) {
        return None;
    }
    // More digits than a u64 has are more than any wait.
    let whole: u64 = whole.parse().unwrap_or(u64::MAX);
    // Nine digits of the part are a millionth of a millisecond of a second; the rest changes nothing.
    let part = &part[..part.len().min(9)];
    let scale = 10_u64.pow(u32::try_from(part.len()).unwrap_or(0));
    let part: u64 = if part.is_empty() { 0 } else { part.parse().ok()? };
    let ms = whole.saturating_mul(unit_ms).saturating_add(part.saturating_mul(unit_ms).div_ceil(scale));
    Some(Span::from_ms(ms).min(WAIT_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::{HeaderName, HeaderValue};

    /// 2026-11-23T08:00:00Z.
    const NOW: Timestamp = Timestamp::from_ms(1_795_420_800_000);

    fn told(pairs: &[(&'static str, &str)]) -> ToldLimits {
        let headers: HeaderMap = pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()))
            .collect();
        told_limits(&headers, NOW)
    }

    /// Milliseconds of the wait that one header tells.
    #[track_caller]
    fn check(name: &'static str, value: &str, ms: Option<u64>) {
        assert_eq!(told(&[(name, value)]).wait.map(Span::ms), ms, "{name}: {value}");
    }

    #[test]
    fn a_wait_is_read_in_every_form() {
        check("retry-after", "7", Some(7_000));
        check("retry-after", "0", Some(0));
        check("retry-after", "0.25", Some(250));
        check("retry-after", "Mon, 23 Nov 2026 08:00:30 GMT", Some(30_000));
        check("retry-after", "Mon, 23 Nov 2026 07:00:00 GMT", Some(0));
        check("retry-after-ms", "1500", Some(1_500));
        check("retry-after-ms", "1500.2", Some(1_501));
        let both = told(&[("retry-after-ms", "900"), ("retry-after", "1")]);
        assert_eq!(both.wait, Some(Span::from_ms(900)), "the finer one");
    }

    #[test]
    fn what_a_stranger_writes_neither_breaks_nor_waits_for_ever() {
        for bad in ["", "-1", "soon", "1e9", "NaN", "inf", "0x10", ".", ".5", "1.2.3", "1 2", "٣", "Mon, 99 Nov"] {
            let Ok(value) = HeaderValue::from_bytes(bad.as_bytes()) else { continue };
            let headers: HeaderMap = [("retry-after", &value), ("retry-after-ms", &value)]
                .into_iter()
                .map(|(name, value)| (HeaderName::from_static(name), value.clone()))
                .collect();
            assert_eq!(told_limits(&headers, NOW).wait, None, "{bad}");
        }
        let endless = WAIT_MAX.ms();
        for long in ["99999999999999999999999999", "18446744073709551615", "18446744073709551615.999999999999"] {
            check("retry-after", long, Some(endless));
            check("retry-after-ms", long, Some(endless));
        }
        check("retry-after", "Mon, 31 Dec 9990 23:59:59 GMT", Some(endless));
        check("retry-after", &"9".repeat(65), None);
        for bad in ["", "s", "1x", "1.2.3s", "m1", "1s ", "-5s", "1s1", "18446744073709551615"] {
            let headers = told(&[("x-ratelimit-remaining-tokens", "0"), ("x-ratelimit-reset-tokens", bad)]);
            assert!(headers.wait.is_none_or(|wait| wait <= WAIT_MAX), "{bad}");
        }
    }

    #[test]
    fn anthropic_tells_its_limits_by_name_and_by_instant() {
        let limits = told(&[
            ("anthropic-ratelimit-requests-limit", "50"),
            ("anthropic-ratelimit-requests-remaining", "49"),
            ("anthropic-ratelimit-requests-reset", "2026-11-23T08:00:01Z"),
            ("anthropic-ratelimit-input-tokens-limit", "30000"),
            ("anthropic-ratelimit-input-tokens-remaining", "0"),
            ("anthropic-ratelimit-input-tokens-reset", "2026-11-23T08:00:12.5Z"),
            ("anthropic-ratelimit-output-tokens-remaining", "8000"),
        ]);
        let limit =
            |limit, left, ms: Option<u64>| Some(ToldLimit { limit, left: Some(left), full_in: ms.map(Span::from_ms) });
        assert_eq!(limits.requests, limit(Some(50), 49, Some(1_000)));
        assert_eq!(limits.input_tokens, limit(Some(30_000), 0, Some(12_500)));
        assert_eq!(limits.output_tokens, limit(None, 8_000, None));
        assert_eq!(limits.tokens, None);
        assert_eq!(limits.wait, Some(Span::from_ms(12_500)), "until the one that is empty is whole");
    }

    #[test]
    fn openai_tells_its_limits_by_name_and_by_span() {
        let limits = told(&[
            ("x-ratelimit-limit-requests", "60"),
            ("x-ratelimit-remaining-requests", "0"),
            ("x-ratelimit-reset-requests", "1s"),
            ("x-ratelimit-limit-tokens", "150000"),
            ("x-ratelimit-remaining-tokens", "149984"),
            ("x-ratelimit-reset-tokens", "6m0s"),
        ]);
        let limit = |limit, left, ms| {
            Some(ToldLimit { limit: Some(limit), left: Some(left), full_in: Some(Span::from_ms(ms)) })
        };
        assert_eq!(limits.requests, limit(60, 0, 1_000));
        assert_eq!(limits.tokens, limit(150_000, 149_984, 360_000));
        assert_eq!(limits.wait, Some(Span::from_secs(1)), "what is left of tokens makes nobody wait");
        for (text, ms) in [("12ms", 12), ("34.07s", 34_070), ("1h30m0.5s", 5_400_500), ("7", 7_000)] {
            assert_eq!(span(text), Some(Span::from_ms(ms)), "{text}");
        }
    }

    #[test]
    fn google_tells_the_wait_in_the_body() {
        let body = |delay: &str| -> Value {
            serde_json::json!({"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "details": [
                {"@type": "type.googleapis.com/google.rpc.QuotaFailure"},
                {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay},
            ]}})
        };
        assert_eq!(told_in_body(&body("34.074824224s")), Some(Span::from_ms(34_075)));
        assert_eq!(told_in_body(&serde_json::json!([body("2s")])), Some(Span::from_secs(2)));
        for nothing in [body("soon"), Value::Null, serde_json::json!({"error": "x"})] {
            assert_eq!(told_in_body(&nothing), None, "{nothing}");
        }
    }
}
