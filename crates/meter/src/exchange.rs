//! Recorded exchanges: one file in, what the meter reads from it out, under the names that the recordings use.
//!
//! Numbers are what an exact meter books; `null` is what the provider did not say. An answer with a status of 400 or
//! more, and a call that only counts tokens, books nothing.

use almoner_units::Usage;
use serde_json::{Map, Value, json};

use crate::sheet::sum;
use crate::{Dialect, ErrorCode, Faults, Framing, Meter, ProviderError, Reading, ReportedCost, UnknownDialect, base64};

/// Why a text is no recorded exchange.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeError {
    /// The text is not JSON.
    #[error("the file is not JSON; an exchange is one JSON object with `provider` and `response_body`")]
    Json(#[from] serde_json::Error),
    /// A member is missing or of another type.
    #[error("the exchange has no `{0}` of the right type; an exchange names its `provider` and keeps `response_body`")]
    Member(&'static str),
    /// The provider's dialect is not known.
    #[error(transparent)]
    Dialect(#[from] UnknownDialect),
}

/// One request and its answer, as a file keeps it.
#[derive(Clone, Debug)]
pub struct Exchange {
    dialect: Dialect,
    framing: Framing,
    status: u64,
    counts_only: bool,
    request_model: Option<String>,
    body: String,
    wire: Option<Wire>,
}

/// The answer's bytes as they were sent.
#[derive(Clone, Debug)]
pub struct Wire {
    /// The value of `content-encoding`.
    pub content_encoding: String,
    /// The encoded bytes.
    pub body: Vec<u8>,
}

/// Reads an exchange file and reports what the meter makes of it.
///
/// # Errors
/// [`ExchangeError`] where the text is no exchange; whatever the provider answered is none.
pub fn read(file_text: &str) -> Result<Value, ExchangeError> {
    let exchange = Exchange::parse(file_text)?;
    Ok(exchange.report_in([exchange.body()]))
}

impl Exchange {
    /// Reads the file.
    ///
    /// # Errors
    /// [`ExchangeError`] where the text is no exchange.
    pub fn parse(file_text: &str) -> Result<Self, ExchangeError> {
        let file: Value = serde_json::from_str(file_text)?;
        let member = |name: &'static str| file[name].as_str().ok_or(ExchangeError::Member(name));
        let body = member("response_body")?.to_owned();
        Ok(Self {
            dialect: member("provider")?.parse()?,
            framing: framing(&file, &body),
            status: file["response_status"].as_u64().unwrap_or(200),
            counts_only: file["kind"] == "count_tokens",
            request_model: request_model(&file),
            wire: wire(&file["wire"]),
            body,
        })
    }

    /// The answer's bytes, no longer encoded.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        self.body.as_bytes()
    }

    /// The answer's bytes as they were sent, where the recorder kept them.
    #[must_use]
    pub fn wire(&self) -> Option<&Wire> {
        self.wire.as_ref()
    }

    /// A meter for the answer.
    #[must_use]
    pub fn meter(&self) -> Meter {
        Meter::new(self.dialect, self.framing)
    }

    /// What the meter makes of the answer when it comes in these pieces.
    #[must_use]
    pub fn report_in<'a>(&self, pieces: impl IntoIterator<Item = &'a [u8]>) -> Value {
        let mut meter = self.meter();
        pieces.into_iter().for_each(|piece| meter.feed(piece));
        self.report(meter)
    }

    /// What a meter that has had the whole answer makes of it.
    #[must_use]
    pub fn report(&self, mut meter: Meter) -> Value {
        meter.close();
        let reading = meter.so_far();
        if self.counts_only || self.status >= 400 {
            let nothing = Reading { error: self.error(&reading), faults: reading.faults, ..Reading::default() };
            return self.report_reading(&nothing, None);
        }
        self.report_reading(&reading, meter.usage_object().as_ref())
    }

    /// The error of an answer; one without a word of its own is only its status.
    fn error(&self, reading: &Reading) -> Option<ProviderError> {
        reading.error.clone().or_else(|| (self.status >= 400).then(ProviderError::default))
    }

    fn report_reading(&self, reading: &Reading, raw: Option<&Map<String, Value>>) -> Value {
        let mut report = self.usage_report(&reading.usage);
        report.extend(members(json!({
            "reasoning_tokens": reading.usage.reasoning,
            "model": reading.model,
            "request_model": self.request_model,
            "usage_present": reading.usage_present,
            "finished": reading.finished,
            "output_lower_bound": reading.output_lower_bound,
            "error": reading.error.as_ref().map(|error| self.error_report(error)),
            "stop_reason": reading.stop_reason,
            "message_id": reading.message_id,
            "service_tier": reading.service_tier,
            "server_tools": reading.server_tools.map(|tools| json!(tools.used())),
            "tool_use_prompt_tokens": reading.tool_use_prompt_tokens,
            "input_audio_tokens": reading.input_audio_tokens,
            "cache_ttl_assumed": reading.cache_ttl_assumed,
            "top_level": reading.top_level.as_ref().map(|usage| self.flat_report(usage)),
            "other_models": self.other_models(reading),
            "reported_cost_usd": reading.reported_cost_usd.map(dollars),
            "ambiguous": ambiguous(&reading.faults),
            "faults": reading.faults.iter().map(|(fault, _)| fault.to_string()).collect::<Vec<_>>(),
            "raw": raw,
        })));
        Value::Object(report)
    }

    /// The counts of one model. Only Anthropic splits its cache writes by lifetime.
    fn usage_report(&self, usage: &Usage) -> Map<String, Value> {
        let written = sum(usage.cache_write_5m, usage.cache_write_1h, &mut Faults::default());
        let of_anthropic = self.dialect == Dialect::AnthropicMessages;
        let short = if of_anthropic { usage.cache_write_5m } else { usage.cache_write_5m.map(|_| 0) };
        members(json!({
            "input_tokens": usage.input,
            "output_tokens": usage.output,
            "cache_read_tokens": usage.cache_read,
            "cache_write_tokens": written,
            "cache_write_5m_tokens": short,
            "cache_write_1h_tokens": usage.cache_write_1h,
        }))
    }

    fn flat_report(&self, usage: &Usage) -> Value {
        let mut report = self.usage_report(usage);
        report.insert("reasoning_tokens".to_owned(), json!(usage.reasoning));
        Value::Object(report)
    }

    fn other_models(&self, reading: &Reading) -> Option<Vec<Value>> {
        let one = |(model, usage): &(String, Usage)| {
            let mut report = self.usage_report(usage);
            report.insert("model".to_owned(), json!(model));
            Value::Object(report)
        };
        (!reading.other_models.is_empty()).then(|| reading.other_models.iter().map(one).collect())
    }

    /// What the provider said of its error, and the status where that says it too.
    fn error_report(&self, error: &ProviderError) -> Value {
        let code = error.code.as_ref().map(|code| match code {
            ErrorCode::Number(number) => json!(number),
            ErrorCode::Word(word) => json!(word),
        });
        let mut report = members(json!({
            "http_status": Some(self.status).filter(|status| *status >= 400),
            "type": error.kind,
            "code": code,
            "status": error.status,
            "message": error.message,
        }));
        // An error inside an answer that began well has a type, named or not; elsewhere the status stands for it.
        let inside = self.status < 400;
        report.retain(|name, value| !value.is_null() || (inside && name == "type"));
        Value::Object(report)
    }
}

/// A cost as a JSON number; the exact decimal stays in the reading.
fn dollars(cost: ReportedCost) -> Value {
    serde_json::from_str(&cost.to_string()).unwrap_or_default()
}

fn ambiguous(faults: &Faults) -> Option<String> {
    let texts: Vec<String> =
        faults.iter().filter(|(fault, _)| fault.is_contradiction()).map(|(fault, _)| fault.to_string()).collect();
    (!texts.is_empty()).then(|| texts.join("; "))
}

fn members(object: Value) -> Map<String, Value> {
    match object {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

fn framing(file: &Value, body: &str) -> Framing {
    match file["framing"].as_str() {
        Some("json") => Framing::Json,
        Some("sse") => Framing::Sse,
        Some("ndjson") => Framing::Ndjson,
        Some("json-array") => Framing::JsonArray,
        _ => {
            let content_type = file["response_headers"]["content-type"].as_str();
            Framing::choose(content_type, body.as_bytes()).unwrap_or(Framing::Json)
        }
    }
}

/// The model that was asked for: in the body, or in the path where the dialect puts it there.
fn request_model(file: &Value) -> Option<String> {
    let asked = file["request"]["model"].as_str();
    let path = file["path"].as_str().filter(|_| file["request"].is_object());
    asked.or_else(|| path.and_then(model_in_path)).map(str::to_owned)
}

fn model_in_path(path: &str) -> Option<&str> {
    let after = |part: &str, end: char| path.split_once(part).and_then(|(_, rest)| rest.split_once(end));
    after("/models/", ':').or_else(|| after("/deployments/", '/')).map(|(model, _)| model)
}

fn wire(wire: &Value) -> Option<Wire> {
    let content_encoding = wire["content_encoding"].as_str()?.to_owned();
    Some(Wire { content_encoding, body: base64::decode(wire["body_base64"].as_str()?)? })
}
