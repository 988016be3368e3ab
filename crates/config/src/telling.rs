//! What a server tells of itself: the form of its log, and where the traces of its calls go.

use crate::address::Address;
use crate::layers::{Env, Layers};
use crate::problem::{Fault, Report};
use crate::secret::Secret;
use crate::tree::Node;
use crate::value;

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

/// Where OpenTelemetry wants what every program tells.
pub(crate) const ENDPOINT_VARIABLE: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
/// What stands behind the address of a collector.
const TRACES_PATH: &str = "/v1/traces";

/// Where the traces of calls go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traces {
    /// The whole address, `http://127.0.0.1:4318/v1/traces`.
    pub url: String,
    /// What else each request there has in its head; the values are secrets.
    pub headers: Vec<(String, Secret)>,
    /// What this server is called there.
    pub service: String,
}

/// Whether the variable of OpenTelemetry names a place that we can send to, and nothing beside it says not to.
pub(crate) fn is_standard_usable(env: &Env) -> bool {
    let says = |name: &str, word: &str| env.get(name).is_some_and(|value| value.eq_ignore_ascii_case(word));
    let is_off = says("OTEL_SDK_DISABLED", "true") || says("OTEL_TRACES_EXPORTER", "none");
    !is_off && !asks_for_grpc(env) && env.get(ENDPOINT_VARIABLE).is_some_and(|url| Address::parse(url).is_ok())
}

fn asks_for_grpc(env: &Env) -> bool {
    env.get("OTEL_EXPORTER_OTLP_PROTOCOL").is_some_and(|protocol| protocol.eq_ignore_ascii_case("grpc"))
}

/// Reads where traces go; `Some(None)` where nobody asks for them.
pub(crate) fn traces(layers: &Layers<'_>, report: &mut Report) -> Option<Option<Traces>> {
    let found = layers.scalar("otlp", "off", endpoint, report)?;
    let env = layers.env;
    let Some(url) = found.value else {
        warn_of_unusable(env, report);
        return Some(None);
    };
    if Address::parse(&url).is_ok_and(|address| !address.is_tls && !address.is_local()) {
        let message = "the labels and costs of calls go to this address unencrypted";
        report.warn(Fault::at(&found.place, message).help("write `https://`"));
    }
    let headers = pairs(env.get("OTEL_EXPORTER_OTLP_HEADERS").unwrap_or_default());
    let service = env.get("OTEL_SERVICE_NAME").unwrap_or("almoner").to_owned();
    Some(Some(Traces { url, headers, service }))
}

/// Says why nothing is sent to where OpenTelemetry wants it. It is said to every program, so it stops none.
fn warn_of_unusable(env: &Env, report: &mut Report) {
    let Some(text) = env.get(ENDPOINT_VARIABLE) else { return };
    if let Err(wrong) = Address::parse(text) {
        let fault = Fault::new(format!("no traces are sent: in {ENDPOINT_VARIABLE}, {wrong}"));
        report.warn(fault.help("write it like http://127.0.0.1:4318"));
    } else if asks_for_grpc(env) {
        let fault = Fault::new("no traces are sent: the environment asks for gRPC, and they go by HTTP as JSON");
        report.warn(fault.help("name the collector's port for HTTP, as in otlp = \"http://127.0.0.1:4318\""));
    }
}

/// The address of a collector, with or without the path for traces; `off` is none.
fn endpoint(node: &Node) -> Result<Option<String>, Fault> {
    let text = value::text(node)?;
    if text == "off" {
        return Ok(None);
    }
    Address::parse(text).map_err(|fault| Fault::at(&node.place, fault).help("write it like http://127.0.0.1:4318"))?;
    let base = text.trim_end_matches('/');
    Ok(Some(format!("{}{TRACES_PATH}", base.strip_suffix(TRACES_PATH).unwrap_or(base))))
}

/// `name=value` with commas between. What cannot be a header is left out.
fn pairs(text: &str) -> Vec<(String, Secret)> {
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=')?;
        // Spaces come as `%20`, as in `Bearer%20…`; no other sign of a credential needs that.
        let value = Secret::of_header(&value.trim().replace("%20", " ")).ok()?;
        Some((name.trim().to_ascii_lowercase(), value))
    };
    text.split(',').filter_map(pair).collect()
}
