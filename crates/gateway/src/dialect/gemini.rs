//! Gemini's generateContent, streamGenerateContent and countTokens, under both of their versions.
//!
//! Google reads each member under two names, `maxOutputTokens` and `max_output_tokens`, and takes one value where a
//! list is meant; so does this.

use almoner_meter::{Dialect as Metered, Framing};
use hyper::StatusCode;
use hyper::body::Bytes;
use serde_json::json;

use super::call::{Call, CapField, Place, Plan, Thinking};
use super::endpoint::{Asks, Counts, Endpoint, Request};
use super::members::{Member, Members};
use super::sheet::Sheet;
use super::weight::Weight;
use super::{CredentialPlace, Dialect, Tongue, Wrong, count, printable};
use crate::answer::Answer;
use crate::body::{BadBody, Document, Object, Value};

/// The dialect.
pub(super) const TONGUE: Tongue = Tongue {
    endpoints: &[&GENERATE, &STREAM, &COUNT_TOKENS, &GENERATE_V1, &STREAM_V1, &COUNT_TOKENS_V1],
    home: &["/v1beta", "/v1alpha", "/upload", "/v1/models"],
    credential: CredentialPlace::Header("x-goog-api-key"),
    query_credential: &[("key", CredentialPlace::Header("x-goog-api-key")), ("access_token", CredentialPlace::Bearer)],
    no_money: StatusCode::PAYMENT_REQUIRED,
    policy: StatusCode::FORBIDDEN,
    reason_header: None,
    minds_digits: false,
    error,
    // A stream that is no event stream is refused in an array.
    own_error: &["/error/message", "/0/error/message"],
    plain_stream: Framing::JsonArray,
    last_lines: &[],
    last_event: |error| format!("data: {error}\n\n"),
    // A comment is no line to Google's SDKs; an empty one is none.
    ping: Some("\n"),
};

/// An answer all at once.
pub(super) const GENERATE: Endpoint = Endpoint {
    dialect: Dialect::Gemini,
    path: "/v1beta/models/{model}:generateContent",
    asks: Asks::Answer,
    meter: Metered::Gemini,
    counts: Counts::Provider { path: COUNT_TOKENS.path, body: counting_body, tokens: "/totalTokens" },
    read,
};

/// A stream: of events with `alt=sse`, else an array of objects.
pub(super) const STREAM: Endpoint = Endpoint { path: "/v1beta/models/{model}:streamGenerateContent", ..GENERATE };

/// The count of what an answer would read.
pub(super) const COUNT_TOKENS: Endpoint = Endpoint {
    dialect: Dialect::Gemini,
    path: "/v1beta/models/{model}:countTokens",
    asks: Asks::Count,
    meter: Metered::Gemini,
    counts: Counts::Nobody,
    read: read_question,
};

const GENERATE_V1: Endpoint = Endpoint { path: "/v1/models/{model}:generateContent", ..GENERATE };
const STREAM_V1: Endpoint = Endpoint { path: "/v1/models/{model}:streamGenerateContent", ..GENERATE };
const COUNT_TOKENS_V1: Endpoint = Endpoint { path: "/v1/models/{model}:countTokens", ..COUNT_TOKENS };

fn error(wrong: &Wrong<'_>) -> serde_json::Value {
    let Wrong { answer, message, almoner } = wrong;
    let mut details = vec![json!({
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": answer.code().to_ascii_uppercase(),
        "domain": "almoner",
    })];
    if let Some(after) = almoner.get("retry_after_s") {
        let delay = format!("{after}s");
        details.push(json!({ "@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay }));
    }
    let error = json!({
        "code": answer.status(Dialect::Gemini).as_u16(),
        "message": message,
        "status": kind(answer),
        "details": details,
        "almoner": almoner,
    });
    json!({ "error": error })
}

/// Google's word for what went wrong.
const fn kind(answer: &Answer) -> &'static str {
    match answer.status(Dialect::Gemini).as_u16() {
        400 | 413 => "INVALID_ARGUMENT",
        401 => "UNAUTHENTICATED",
        // What Google says of an account that cannot pay.
        402 => "FAILED_PRECONDITION",
        403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        429 => "RESOURCE_EXHAUSTED",
        408 | 504 => "DEADLINE_EXCEEDED",
        502 | 503 => "UNAVAILABLE",
        _ => "INTERNAL",
    }
}

/// Every documented member of a request.
const MEMBERS: &Members = &[
    ("cachedContent", Member::Setting),
    ("cached_content", Member::Setting),
    ("contents", Member::Text),
    ("continuationToken", Member::Setting),
    ("continuation_token", Member::Setting),
    ("generationConfig", Member::Setting),
    ("generation_config", Member::Setting),
    ("labels", Member::Neutral),
    ("model", Member::Setting),
    ("safetySettings", Member::Neutral),
    ("safety_settings", Member::Neutral),
    ("serviceTier", Member::Setting),
    ("service_tier", Member::Setting),
    ("store", Member::Neutral),
    ("systemInstruction", Member::Text),
    ("system_instruction", Member::Text),
    ("toolConfig", Member::Json),
    ("tool_config", Member::Json),
    ("tools", Member::Json),
];

/// Every documented member of its `generationConfig`, by the first of its names.
const CONFIG: &Members = &[
    ("_responseJsonSchema", Member::Json),
    ("audioTimestamp", Member::Neutral),
    ("candidateCount", Member::Setting),
    ("enableEnhancedCivicAnswers", Member::Neutral),
    ("frequencyPenalty", Member::Neutral),
    ("logprobs", Member::Neutral),
    ("maxOutputTokens", Member::Setting),
    ("mediaResolution", Member::Neutral),
    ("presencePenalty", Member::Neutral),
    ("responseFormat", Member::Json),
    ("responseJsonSchema", Member::Json),
    ("responseLogprobs", Member::Neutral),
    ("responseMimeType", Member::Neutral),
    ("responseModalities", Member::Setting),
    ("responseSchema", Member::Json),
    ("seed", Member::Neutral),
    ("stopSequences", Member::Neutral),
    ("temperature", Member::Neutral),
    ("thinkingConfig", Member::Setting),
    ("topK", Member::Neutral),
    ("topP", Member::Neutral),
];

/// The members of a part that are text to the model, or say something about what is.
const TEXT_PARTS: [&str; 12] = [
    "codeExecutionResult",
    "executableCode",
    "mediaProcessing",
    "mediaResolution",
    "partMetadata",
    "speechMetadata",
    "text",
    "thought",
    "thoughtSignature",
    "toolCall",
    "toolResponse",
    "videoMetadata",
];

/// What a model that is left to itself thinks at most, in tokens: it counts under the cap of an answer, so a call that
/// asks for no cap gets room for it.
const THINKS: u64 = 24_576;

/// The least thinking budget that every model takes.
const THINKING_MIN: u64 = 512;

/// What Google's own description of the tools of a computer takes at most.
const OWN_DESCRIPTIONS: usize = 16 * 1024;

/// Reads the body of a call.
fn read(request: &Request<'_>) -> Result<Call, BadBody> {
    let root = request.root;
    let mut reader = Reader { sheet: Sheet::of(root, MEMBERS) };
    for name in ["contents", "systemInstruction"] {
        reader.contents(root, name)?;
    }
    reader.tools(root)?;
    reader.settings(root)?;
    let config = Config::of(root)?;
    reader.config(&config)?;
    reader.call(request, &config)
}

/// Reads a question about input, which costs nothing whatever it says.
fn read_question(request: &Request<'_>) -> Result<Call, BadBody> {
    let reader = Reader { sheet: Sheet::default() };
    reader.call(request, &Config::of(request.root)?)
}

/// What has been read so far.
struct Reader {
    sheet: Sheet,
}

/// The `generationConfig`, under the name that it came by.
struct Config<'d> {
    name: &'static str,
    object: Option<Object<'d>>,
}

impl<'d> Config<'d> {
    fn of(root: &Object<'d>) -> Result<Self, BadBody> {
        let is_snake = told(root, "generationConfig")?.is_some() && root.told("generationConfig").is_none();
        let name = if is_snake { "generation_config" } else { "generationConfig" };
        let object = root.told(name).map(|config| config.object(name)).transpose()?;
        Ok(Self { name, object })
    }

    /// The member of this name, where it says something.
    fn told(&self, name: &str) -> Result<Option<Value<'d>>, BadBody> {
        self.object.as_ref().map_or(Ok(None), |config| told(config, name))
    }

    /// The whole number of this name.
    fn count(&self, name: &str) -> Result<Option<u64>, BadBody> {
        let Some(config) = &self.object else { return Ok(None) };
        told(config, name)?;
        Ok(count(config, name)?.or(count(config, &snake(name))?))
    }
}

impl Reader {
    /// One content or many, each of one part or many.
    fn contents(&mut self, root: &Object<'_>, name: &str) -> Result<(), BadBody> {
        for content in told(root, name)?.into_iter().flat_map(each).filter(|content| content.is_object()) {
            self.sheet.shape.messages += 1;
            self.parts(&content.object(name)?)?;
        }
        Ok(())
    }

    fn parts(&mut self, content: &Object<'_>) -> Result<(), BadBody> {
        for part in content.told("parts").into_iter().flat_map(each).filter(|part| part.is_object()) {
            self.part(&part.object("parts[]")?)?;
        }
        Ok(())
    }

    fn part(&mut self, part: &Object<'_>) -> Result<(), BadBody> {
        for (name, value) in part.iter().filter(|(_, value)| !value.is_null()) {
            match &*camel(name) {
                "inlineData" => self.data(&value.object("inlineData")?)?,
                "fileData" => self.sheet.opaque("a file"),
                "functionCall" => self.json(&value.object("functionCall")?, "args"),
                "functionResponse" => {
                    let response = value.object("functionResponse")?;
                    self.json(&response, "response");
                    self.parts(&response)?;
                }
                known if TEXT_PARTS.contains(&known) => {}
                _ => {
                    self.sheet.unknown(&format!("part {name}"));
                    self.sheet.opaque("content of an unknown type");
                }
            }
        }
        Ok(())
    }

    /// What is read as JSON, and was weighed as text.
    fn json(&mut self, holder: &Object<'_>, name: &str) {
        if let Some(value) = holder.told(name) {
            self.sheet.weight.take(Weight::text(value));
            self.sheet.weight.add(Weight::json(value));
        }
    }

    /// Media are counted by the piece; text that is packed as data by its bytes, which are more.
    fn data(&mut self, blob: &Object<'_>) -> Result<(), BadBody> {
        let kind = told(blob, "mimeType")?.and_then(Value::text).unwrap_or_default().to_ascii_lowercase();
        match kind.split('/').next() {
            Some("image") => self.sheet.shape.images += 1,
            Some("audio") => self.sheet.shape.sounds += 1,
            Some("video") => self.sheet.opaque("a video"),
            Some("text") => return Ok(()),
            _ if kind == "application/pdf" => self.sheet.shape.documents += 1,
            _ => {
                self.sheet.opaque("data of an unknown type");
                return Ok(());
            }
        }
        if let Some(data) = blob.told("data") {
            self.sheet.weight.take(Weight::text(data));
        }
        Ok(())
    }

    /// The tools that Google runs have no limit that a request could set.
    fn tools(&mut self, root: &Object<'_>) -> Result<(), BadBody> {
        for tool in root.told("tools").into_iter().flat_map(each) {
            let tool = tool.object("tools[]")?;
            for (name, value) in tool.iter().filter(|(_, value)| !value.is_null()) {
                match &*camel(name) {
                    "functionDeclarations" => {
                        self.sheet.shape.tools += u64::try_from(each(value).count()).unwrap_or(u64::MAX);
                    }
                    "computerUse" => {
                        self.sheet.shape.tools += 1;
                        self.sheet.weight.add_hidden(OWN_DESCRIPTIONS);
                    }
                    own => self.sheet.server_tool(own, None),
                }
            }
        }
        Ok(())
    }

    fn settings(&mut self, root: &Object<'_>) -> Result<(), BadBody> {
        if told(root, "cachedContent")?.is_some() {
            self.sheet.opaque("cached content");
        }
        if told(root, "continuationToken")?.is_some() {
            self.sheet.opaque("what a continuation token stands for");
        }
        if let Some(tier) = told(root, "serviceTier")? {
            let tier = tier.text().ok_or_else(|| BadBody::wrong("serviceTier", "a text"))?.to_ascii_lowercase();
            let tier = tier.strip_prefix("service_tier_").unwrap_or(&tier);
            self.sheet.shape.service_tier = (tier != "unspecified").then(|| tier.to_owned());
        }
        Ok(())
    }

    fn config(&mut self, config: &Config<'_>) -> Result<(), BadBody> {
        for (name, value) in config.object.iter().flat_map(Object::iter).filter(|(_, value)| !value.is_null()) {
            let plain = camel(name);
            match CONFIG.iter().find(|(known, _)| *known == plain).map(|(_, member)| *member) {
                Some(Member::Json | Member::Text) => self.sheet.weight.add(Weight::json(value)),
                Some(Member::Setting | Member::Neutral) => {}
                None => {
                    self.sheet.weight.add(Weight::json(value));
                    self.sheet.unknown(&format!("generationConfig.{name}"));
                }
            }
        }
        self.sheet.shape.choices = match config.count("candidateCount")? {
            Some(0) => return Err(BadBody::wrong("candidateCount", "at least 1")),
            told => told.unwrap_or(1),
        };
        // What is not text has a price of its own.
        let is_text = |kind: Value<'_>| kind.text().is_some_and(|kind| kind.eq_ignore_ascii_case("text"));
        if config.told("responseModalities")?.into_iter().flat_map(each).any(|kind| !is_text(kind)) {
            self.sheet.unknown("generationConfig.responseModalities");
        }
        Ok(())
    }

    fn call(mut self, request: &Request<'_>, config: &Config<'_>) -> Result<Call, BadBody> {
        let model = model(request)?;
        let asked_output = asked_output(config)?;
        self.sheet.shape.max_output = asked_output;
        let thinking = thinking(config)?;
        self.sheet.shape.thinking = Some(thinking.as_ref().map_or(THINKS, |thinking| thinking.budget));
        let plan = Plan {
            root: request.root.layout(),
            cap: Some(cap_field(request.root, config)?),
            thinking: thinking.filter(|thinking| thinking.budget > 0),
            usage: None,
            tools: Vec::new(),
            limit: None,
            lean: None,
            length: 0,
        };
        Ok(Call {
            model,
            stream: request.endpoint.path.contains(":stream"),
            is_plain: false,
            shape: self.sheet.shape(),
            asked_output,
            session: None,
            dropped: Vec::new(),
            brings: Vec::new(),
            plan,
        })
    }
}

/// The model of the path. A body may name it once more, and no other; written with escapes it would be another model
/// here than there.
fn model(request: &Request<'_>) -> Result<String, BadBody> {
    let model = request.model()?;
    if model.contains('%') {
        return Err(BadBody::wrong("model", "written in the path without `%`"));
    }
    let named = request.root.told("model").and_then(Value::text);
    match named.as_deref().map(|named| named.strip_prefix("models/").unwrap_or(named)) {
        Some(named) if named != model => Err(BadBody::wrong("model", "the one that the path names")),
        _ => Ok(model),
    }
}

const CAP: &str = "maxOutputTokens";
const CAP_SNAKE: &str = "max_output_tokens";

/// The least output that either of its names asks for.
fn asked_output(config: &Config<'_>) -> Result<Option<u64>, BadBody> {
    let Some(config) = &config.object else { return Ok(None) };
    let asked = [count(config, CAP)?, count(config, CAP_SNAKE)?];
    // Google reads 0 as nothing said.
    Ok(asked.into_iter().flatten().filter(|asked| *asked > 0).min())
}

fn cap_field(root: &Object<'_>, config: &Config<'_>) -> Result<CapField, BadBody> {
    let place = Place::inside(root, config.name, CAP)?;
    let Some(object) = &config.object else { return Ok(CapField { place, sent: None, aliases: Vec::new() }) };
    let aliases = object.get(CAP_SNAKE).map(|_| CAP_SNAKE).into_iter().collect();
    Ok(CapField { place, sent: count(object, CAP)?, aliases })
}

/// The thinking budget, where it is a number of tokens; `-1` leaves it to the model.
fn thinking(config: &Config<'_>) -> Result<Option<Thinking>, BadBody> {
    const NAMES: [&str; 2] = ["thinkingBudget", "thinking_budget"];
    let Some(thinking) = config.told("thinkingConfig")? else { return Ok(None) };
    let thinking = thinking.object("thinkingConfig")?;
    if told(&thinking, NAMES[0])?.is_none_or(|budget| budget.raw() == "-1") {
        return Ok(None);
    }
    let name = if thinking.told(NAMES[0]).is_some() { NAMES[0] } else { NAMES[1] };
    let budget = count(&thinking, name)?.unwrap_or_default();
    Ok(Some(Thinking { layout: thinking.layout(), budget, name, least: THINKING_MIN, off: None }))
}

/// The body that asks how many tokens of input this call has. Nobody says whether the schema of an answer is counted,
/// so a call with one is not asked about.
fn counting_body(body: &[u8], model: &str) -> Result<Bytes, BadBody> {
    let document = Document::read(body)?;
    let root = document.root()?;
    let config = Config::of(&root)?;
    for schema in ["responseSchema", "responseJsonSchema", "_responseJsonSchema", "responseFormat"] {
        if config.told(schema)?.is_some() {
            return Err(BadBody::wrong(schema, "left out for a count"));
        }
    }
    let counted = ["contents", "systemInstruction", "system_instruction", "tools", "toolConfig", "tool_config"];
    let members = root.iter().filter(|(name, _)| counted.contains(name));
    let members: String = members.map(|(name, value)| format!(",\"{name}\":{}", value.raw())).collect();
    let model = json!(format!("models/{model}"));
    Ok(format!("{{\"generateContentRequest\":{{\"model\":{model}{members}}}}}").into())
}

/// The values of a list, or the one that stands in its place.
fn each(value: Value<'_>) -> impl Iterator<Item = Value<'_>> {
    let one = (!value.is_array() && !value.is_null()).then_some(value);
    one.into_iter().chain(value.items())
}

/// The member of this name, where it says something, under whichever of its two names. Under both it may mean two
/// things.
fn told<'d>(object: &Object<'d>, name: &str) -> Result<Option<Value<'d>>, BadBody> {
    let other = snake(name);
    match (object.told(name), object.told(&other)) {
        (Some(_), Some(_)) if other != name => {
            Err(BadBody::wrong(&printable(&other), "left out where its other name says something"))
        }
        (first, second) => Ok(first.or(second)),
    }
}

/// `maxOutputTokens` of `max_output_tokens`.
fn camel(name: &str) -> String {
    let mut camel = String::with_capacity(name.len());
    let mut after_dash = false;
    for (at, letter) in name.char_indices() {
        let is_dash = letter == '_' && at > 0;
        if !is_dash {
            camel.push(if after_dash { letter.to_ascii_uppercase() } else { letter });
        }
        after_dash = is_dash;
    }
    camel
}

/// `max_output_tokens` of `maxOutputTokens`.
fn snake(name: &str) -> String {
    let mut snake = String::with_capacity(name.len() + 4);
    for letter in name.chars() {
        if letter.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}
