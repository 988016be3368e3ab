//! A call as a span, in the JSON of OTLP and by the names of OpenTelemetry's conventions for generative AI.
//!
//! What may stand in it is listed here, as for the log: numbers, names and labels, and no body, header, query or
//! credential. The format is JSON as protobuf has it: ids in hex, whole numbers of 64 bits as texts.

use almoner_gateway::{Outcome, Report, Verdict};
use almoner_units::{Charge, Timestamp, Usage};
use serde_json::{Value, json};

use crate::log::{end_of, quoted};

/// The kind of a span whose other end is a server elsewhere.
const CLIENT: u32 = 3;
/// The code of a status that is an error.
const ERROR: u32 = 2;
/// The flags of a span that is kept, and of which is known whether its parent was elsewhere.
const SAMPLED: u32 = 0x101;
/// The flag beside them where it was.
const PARENT_IS_REMOTE: u32 = 0x200;

/// Where a provider is.
pub(super) struct Place {
    /// Its name among those that the conventions know, else its own.
    name: String,
    host: String,
    port: Option<u16>,
}

impl Place {
    pub(super) fn of(name: &str, base_url: &str) -> Self {
        let uri: hyper::Uri = base_url.parse().unwrap_or_default();
        let usual = match uri.scheme_str() {
            Some("https") => Some(443),
            Some("http") => Some(80),
            _ => None,
        };
        let host = uri.host().unwrap_or_default().to_owned();
        let known = match host.as_str() {
            "api.anthropic.com" => "anthropic",
            "api.openai.com" => "openai",
            "generativelanguage.googleapis.com" => "gcp.gemini",
            _ => name,
        };
        Self { name: known.to_owned(), host, port: uri.port_u16().or(usual) }
    }
}

/// The request that brings these spans.
pub(super) fn request(service: &str, spans: &[Value]) -> Value {
    let version = env!("CARGO_PKG_VERSION");
    json!({ "resourceSpans": [{
        "resource": { "attributes": [text("service.name", service), text("service.version", version)] },
        "scopeSpans": [{ "scope": { "name": "almoner", "version": version }, "spans": spans }],
    }] })
}

/// A call that has ended. Its span has the random half of its id, and its trace the whole of it where it has no parent.
pub(super) fn of(report: &Report, outcome: &Outcome, place: Option<&Place>) -> Value {
    let id = report.id.bits();
    // Half of the bits are what is meant.
    #[allow(clippy::cast_possible_truncation)]
    let own = id as u64;
    let operation = operation(report.route);
    let error = error(report, outcome);
    let mut span = json!({
        "traceId": format!("{:032x}", report.parent.map_or(id, |parent| parent.trace)),
        "spanId": format!("{own:016x}"),
        "flags": report.parent.map_or(SAMPLED, |_| SAMPLED | PARENT_IS_REMOTE),
        "name": format!("{operation} {}", quoted(&report.model)).trim_end(),
        "kind": CLIENT,
        "startTimeUnixNano": nanos(report.at),
        "endTimeUnixNano": nanos(report.at.after(outcome.took.max(report.waited))),
        "attributes": attributes(report, outcome, operation, error.as_deref(), place),
        "status": if error.is_some() { json!({ "code": ERROR }) } else { json!({}) },
    });
    if let Some(parent) = report.parent {
        span["parentSpanId"] = json!(format!("{:016x}", parent.span));
    }
    span
}

fn nanos(at: Timestamp) -> String {
    (u128::from(at.ms()) * 1_000_000).to_string()
}

/// What kind of thing was asked for, in the words of the conventions.
fn operation(route: &str) -> &'static str {
    match route {
        _ if route.ends_with("enerateContent") => "generate_content",
        "/v1/embeddings" | "/api/embed" | "/api/embeddings" => "embeddings",
        "/v1/completions" | "/api/generate" => "text_completion",
        _ => "chat",
    }
}

/// What kind of error it ended with, in a word that does not grow into many.
fn error(report: &Report, outcome: &Outcome) -> Option<String> {
    match &report.verdict {
        Verdict::Refused(_) => Some("refused".to_owned()),
        Verdict::Rejected(code) => Some(code.clone()),
        Verdict::Admitted { .. } | Verdict::Unbudgeted => match outcome.status {
            400.. => Some(outcome.status.to_string()),
            _ => (outcome.word == "assumed").then(|| "assumed".to_owned()),
        },
    }
}

fn attributes(
    report: &Report,
    outcome: &Outcome,
    operation: &str,
    error: Option<&str>,
    place: Option<&Place>,
) -> Vec<Value> {
    let mut all = vec![
        text("gen_ai.operation.name", operation),
        text("almoner.call.id", &report.id.to_string()),
        text("almoner.route", report.route),
        text("almoner.verdict", verdict(&report.verdict)),
        text("almoner.outcome", end_of(report, outcome)),
        text("almoner.priority", &report.priority.to_string()),
        number("almoner.charged_nano_usd", outcome.charge.usd().get()),
        number("almoner.waited_ms", report.waited.ms()),
    ];
    all.extend(place.map(|place| text("gen_ai.provider.name", &quoted(&place.name))));
    all.extend(place.filter(|place| !place.host.is_empty()).map(|place| text("server.address", &place.host)));
    all.extend(place.and_then(|place| Some(number("server.port", place.port?.into()))));
    all.extend((!report.model.is_empty()).then(|| text("gen_ai.request.model", &quoted(&report.model))));
    all.extend(outcome.model.as_ref().map(|model| text("gen_ai.response.model", &quoted(model))));
    all.extend(error.map(|error| text("error.type", error)));
    all.extend((outcome.status > 0).then(|| number("http.response.status_code", outcome.status.into())));
    all.extend(usage(&outcome.usage));
    all.extend(budget(report).map(|budget| text("almoner.budget", &quoted(&budget))));
    let overrun = outcome.overrun;
    all.extend((overrun != Charge::ZERO).then(|| number("almoner.overrun_nano_usd", overrun.usd().get())));
    all.extend(outcome.goes_on.then(|| json!({ "key": "almoner.goes_on", "value": { "boolValue": true } })));
    let continues = report.stop.as_ref().and_then(|stop| stop.continues);
    all.extend(continues.map(|id| text("almoner.continues", &id.to_string())));
    all.extend(report.labels.iter().filter_map(|(name, value)| {
        let name = match name.to_string().as_str() {
            "provider" | "model" => return None,
            "session" => "gen_ai.conversation.id".to_owned(),
            "agent" => "gen_ai.agent.name".to_owned(),
            other => format!("almoner.label.{other}"),
        };
        Some(text(&name, &quoted(value.as_str())))
    }));
    all
}

/// What the provider said was used. By the conventions input has what was read from a cache and written to one in it.
fn usage(usage: &Usage) -> impl Iterator<Item = Value> {
    let written = [usage.cache_write_5m, usage.cache_write_1h].into_iter().flatten().reduce(u64::saturating_add);
    let known = [
        ("gen_ai.usage.input_tokens", usage.input.map(|_| usage.input_total())),
        ("gen_ai.usage.cache_read.input_tokens", usage.cache_read),
        ("gen_ai.usage.cache_creation.input_tokens", written),
        ("gen_ai.usage.output_tokens", usage.output),
        ("gen_ai.usage.reasoning.output_tokens", usage.reasoning),
    ];
    known.into_iter().filter_map(|(name, count)| Some(number(name, count?)))
}

fn verdict(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Admitted { .. } => "admitted",
        Verdict::Unbudgeted => "unbudgeted",
        Verdict::Refused(_) => "refused",
        Verdict::Rejected(_) => "rejected",
    }
}

/// The budget that refused it, else the fullest that counts it.
fn budget(report: &Report) -> Option<String> {
    let fullest = || report.seen.iter().max_by_key(|view| view.level).map(|view| &view.key);
    let account = match &report.verdict {
        Verdict::Refused(refusal) => Some(&refusal.account),
        _ => fullest(),
    };
    Some(account?.budget.as_str().to_owned())
}

fn text(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": { "stringValue": value } })
}

/// A whole number; one of 64 bits is a text in this format, and has a sign.
fn number(key: &str, value: u64) -> Value {
    json!({ "key": key, "value": { "intValue": i64::try_from(value).unwrap_or(i64::MAX).to_string() } })
}
