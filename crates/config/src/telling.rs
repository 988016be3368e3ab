//! What a server tells of itself: its log, and where its traces go.

use crate::address::Address;
use crate::layers::Env;
use crate::problem::{Fault, Report};
use crate::secret::Secret;

/// The form of a log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// How grave a line of the log is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// What happens.
    #[default]
    Info,
    /// What somebody should look at.
    Warn,
    /// What has failed.
    Error,
}

impl LogLevel {
    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

/// The levels by their words.
pub(crate) const LEVELS: [(&str, LogLevel); 3] =
    [("info", LogLevel::Info), ("warn", LogLevel::Warn), ("error", LogLevel::Error)];
/// The forms by their words.
pub(crate) const FORMATS: [(&str, LogFormat); 2] = [("text", LogFormat::Text), ("json", LogFormat::Json)];

/// Where the traces of calls go: what the variables of OpenTelemetry say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traces {
    /// The whole address, `http://127.0.0.1:4318/v1/traces`.
    pub endpoint: String,
    /// What else each request there has in its head; the values are secrets.
    pub headers: Vec<(String, Secret)>,
    /// What this server is called there.
    pub service: String,
}

/// Reads the variables of OpenTelemetry; `None` where nobody asks for traces.
pub(crate) fn traces(env: &Env, report: &mut Report) -> Option<Traces> {
    let own = env.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT").map(str::to_owned);
    let common = || env.get("OTEL_EXPORTER_OTLP_ENDPOINT");
    let endpoint = own.or_else(|| Some(format!("{}/v1/traces", common()?.trim_end_matches('/'))))?;
    let is_off = |name: &str, word: &str| env.get(name).is_some_and(|value| value.eq_ignore_ascii_case(word));
    if is_off("OTEL_SDK_DISABLED", "true") || is_off("OTEL_TRACES_EXPORTER", "none") {
        return None;
    }
    let protocol = ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"];
    if protocol.iter().any(|name| is_off(name, "grpc")) {
        let fault = Fault::new("traces are sent by HTTP, and the environment asks for gRPC: none are sent");
        report.warn(fault.help("set OTEL_EXPORTER_OTLP_PROTOCOL=http/json, and name the port for HTTP, usually 4318"));
        return None;
    }
    if let Err(wrong) = Address::parse(&endpoint) {
        report.warn(Fault::new(format!("traces are not sent: in OTEL_EXPORTER_OTLP_ENDPOINT, {wrong}")));
        return None;
    }
    let headers = ["OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"];
    let headers = headers.iter().find_map(|name| env.get(name)).unwrap_or_default();
    let service = env.get("OTEL_SERVICE_NAME").unwrap_or("almoner").to_owned();
    Some(Traces { endpoint, headers: pairs(headers), service })
}

/// `name=value` with commas between. What cannot be a header is left out.
fn pairs(text: &str) -> Vec<(String, Secret)> {
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=')?;
        // Spaces come as `%20`, as in `Bearer%20…`; no other sign of a credential needs that.
        let value = Secret::new_line(&value.trim().replace("%20", " ")).ok()?;
        Some((name.trim().to_ascii_lowercase(), value))
    };
    text.split(',').filter_map(pair).collect()
}
