//! OpenAI Chat Completions, and what speaks like it.

use almoner_meter::{Dialect as Metered, Framing};
use almoner_policy::Writes;
use hyper::StatusCode;
use serde_json::json;

use super::call::{Call, CapField, Place, Plan};
use super::completions::TEXTS;
use super::embeddings::EMBEDDINGS;
use super::endpoint::{Asks, Counts, Endpoint, Request};
use super::members::{Member, Members};
use super::plain;
use super::sheet::Sheet;
use super::weight::Weight;
use super::{CredentialPlace, Dialect, Tongue, Wrong, count, flag, word};
use crate::answer::Answer;
use crate::body::{BadBody, Object, Value};

/// The dialect.
pub(super) const TONGUE: Tongue = Tongue {
    endpoints: &[&COMPLETIONS, &EMBEDDINGS, &TEXTS],
    home: &["/v1/chat", "/v1/embeddings", "/v1/completions"],
    credential: CredentialPlace::Bearer,
    query_credential: &[],
    no_money: StatusCode::PAYMENT_REQUIRED,
    policy: StatusCode::FORBIDDEN,
    reason_header: None,
    minds_digits: true,
    error,
    own_error: &["/error/message"],
    plain_stream: Framing::Sse,
    last_lines: &[("data", "[DONE]")],
    last_event: |error| format!("data: {error}\n\n"),
    ping: Some(": waiting\n\n"),
};

/// Chat Completions.
pub(super) const COMPLETIONS: Endpoint = Endpoint {
    dialect: Dialect::Chat,
    path: "/v1/chat/completions",
    asks: Asks::Answer,
    meter: Metered::OpenAiChat,
    counts: Counts::Here,
    read,
};

fn error(wrong: &Wrong<'_>) -> serde_json::Value {
    let (kind, code) = kind(wrong.answer);
    let error = json!({
        "message": wrong.message,
        "type": kind,
        "code": code,
        "param": null,
        "almoner": wrong.almoner,
    });
    json!({ "error": error })
}

const fn kind(answer: &Answer) -> (&'static str, &'static str) {
    match answer {
        Answer::NoMoney(_) | Answer::CutShort { .. } | Answer::Stopped(_) => {
            ("insufficient_quota", "insufficient_quota")
        }
        Answer::SlowDown { .. } | Answer::Paced { .. } => ("rate_limit_exceeded", "rate_limit_exceeded"),
        Answer::Policy { .. } | Answer::Forbidden(_) => ("permission_error", answer.code()),
        Answer::BadBody(_)
        | Answer::BrokeOff(_)
        | Answer::NotFound(_)
        | Answer::TooLarge { .. }
        | Answer::TooSlow { .. } => ("invalid_request_error", answer.code()),
        Answer::Unauthorized(_) => ("authentication_error", "invalid_api_key"),
        Answer::LedgerClosed { .. }
        | Answer::Stopping { .. }
        | Answer::Crowded { .. }
        | Answer::Elsewhere(_)
        | Answer::Unread(_)
        | Answer::Unreachable(_)
        | Answer::TimedOut(_)
        | Answer::Fault(_) => ("api_error", answer.code()),
    }
}

/// Every documented member of a request, and the words for the same that other servers of this dialect take.
const MEMBERS: &Members = &[
    ("audio", Member::Setting),
    ("best_of", Member::Setting),
    ("frequency_penalty", Member::Neutral),
    ("function_call", Member::Json),
    ("functions", Member::Json),
    ("logit_bias", Member::Neutral),
    ("logprobs", Member::Neutral),
    ("max_completion_tokens", Member::Setting),
    ("max_new_tokens", Member::Setting),
    ("max_output_tokens", Member::Setting),
    ("max_tokens", Member::Setting),
    ("messages", Member::Text),
    ("metadata", Member::Neutral),
    ("modalities", Member::Setting),
    ("model", Member::Setting),
    ("n", Member::Setting),
    ("n_predict", Member::Setting),
    ("num_predict", Member::Setting),
    ("parallel_tool_calls", Member::Neutral),
    ("prediction", Member::Text),
    ("presence_penalty", Member::Neutral),
    ("prompt_cache_key", Member::Neutral),
    ("prompt_cache_options", Member::Setting),
    ("prompt_cache_retention", Member::Setting),
    ("reasoning_effort", Member::Neutral),
    ("response_format", Member::Json),
    ("safety_identifier", Member::Neutral),
    ("seed", Member::Neutral),
    ("service_tier", Member::Setting),
    ("stop", Member::Neutral),
    ("store", Member::Neutral),
    ("stream", Member::Neutral),
    ("stream_options", Member::Setting),
    ("temperature", Member::Neutral),
    ("tool_choice", Member::Json),
    ("tools", Member::Json),
    ("top_logprobs", Member::Neutral),
    ("top_p", Member::Neutral),
    ("user", Member::Neutral),
    ("verbosity", Member::Neutral),
    ("web_search_options", Member::Setting),
];

/// The two names of the output cap.
const OLD_CAP: &str = "max_tokens";
const NEW_CAP: &str = "max_completion_tokens";

/// Every name of it that some server of this dialect reads. One may win over another, so only one is sent.
pub(super) const CAPS: [&str; 6] =
    [OLD_CAP, NEW_CAP, "max_new_tokens", "max_output_tokens", "n_predict", "num_predict"];

/// Reads the body of a request.
fn read(request: &Request<'_>) -> Result<Call, BadBody> {
    let root = request.root;
    let mut reader = Reader { sheet: Sheet::of(root, MEMBERS) };
    reader.messages(root)?;
    reader.tools(root)?;
    reader.settings(root)?;
    reader.call(request)
}

/// What has been read so far.
struct Reader {
    sheet: Sheet,
}

impl Reader {
    fn messages(&mut self, root: &Object<'_>) -> Result<(), BadBody> {
        let messages = root.told("messages").filter(|messages| messages.is_array());
        for message in messages.ok_or_else(|| BadBody::wrong("messages", "an array"))?.items() {
            self.sheet.shape.messages += 1;
            let message = message.object("messages[]")?;
            let content = message.told("content");
            let parts = content.into_iter().flat_map(Value::items).chain(content).filter(|part| part.is_object());
            for part in parts {
                self.part(&part.object("content[]")?)?;
            }
            if message.told("audio").is_some() {
                self.sheet.opaque("an earlier answer in sound");
            }
        }
        Ok(())
    }

    fn part(&mut self, part: &Object<'_>) -> Result<(), BadBody> {
        let kind = word(part, "type")?.unwrap_or_default();
        match &*kind {
            "text" | "refusal" => {}
            "image_url" => self.image(part)?,
            "input_audio" => {
                self.sheet.shape.sounds += 1;
                self.inside(part, "input_audio", "data")?;
            }
            "file" => self.file(part)?,
            kind => {
                self.sheet.unknown(&format!("content type {kind}"));
                let is_text = part.iter().all(|(name, _)| ["type", "text", "cache_control"].contains(&name));
                if !is_text {
                    self.sheet.opaque("content of an unknown type");
                }
            }
        }
        Ok(())
    }

    /// An image comes as a data URL, or by a URL behind which may lie anything.
    fn image(&mut self, part: &Object<'_>) -> Result<(), BadBody> {
        let Some(image) = part.told("image_url") else { return Ok(()) };
        let url = if image.is_object() { image.object("image_url")?.told("url") } else { Some(image) };
        let Some(url) = url else { return Ok(()) };
        if starts(url, "data:image/") {
            self.sheet.shape.images += 1;
            self.sheet.weight.take(Weight::text(url));
        } else {
            self.sheet.opaque("a URL");
        }
        Ok(())
    }

    fn file(&mut self, part: &Object<'_>) -> Result<(), BadBody> {
        match self.inside(part, "file", "file_data")? {
            true => self.sheet.shape.documents += 1,
            false => self.sheet.opaque("a file id"),
        }
        Ok(())
    }

    /// Takes the data at `holder.name` out of the text; whether there are any.
    fn inside(&mut self, part: &Object<'_>, holder: &str, name: &str) -> Result<bool, BadBody> {
        let Some(holder) = part.told(holder) else { return Ok(false) };
        let data = holder.object("content[]")?.told(name).filter(|data| data.is_text());
        if let Some(data) = data {
            self.sheet.weight.take(Weight::text(data));
        }
        Ok(data.is_some())
    }

    fn tools(&mut self, root: &Object<'_>) -> Result<(), BadBody> {
        for name in ["tools", "functions"] {
            let Some(tools) = root.told(name) else { continue };
            if !tools.is_array() {
                return Err(BadBody::wrong(name, "an array"));
            }
            for tool in tools.items() {
                self.sheet.shape.tools += 1;
                let tool = tool.object("tools[]")?;
                let kind = word(&tool, "type")?.unwrap_or_default();
                // A tool that is no function of the client's may be run by the provider, as often as it likes.
                if !["", "function", "custom"].contains(&&*kind) {
                    self.sheet.server_tool(&kind, None);
                }
            }
        }
        Ok(())
    }

    fn settings(&mut self, root: &Object<'_>) -> Result<(), BadBody> {
        self.sheet.shape.choices = 1;
        for name in ["n", "best_of"] {
            self.sheet.shape.choices = match count(root, name)? {
                Some(0) => return Err(BadBody::wrong(name, "at least 1")),
                told => self.sheet.shape.choices.max(told.unwrap_or(1)),
            };
        }
        self.sheet.shape.service_tier = word(root, "service_tier")?.map(std::borrow::Cow::into_owned);
        if root.told("web_search_options").is_some() {
            self.sheet.server_tool("web_search_options", None);
        }
        // What was predicted and not taken is billed as output.
        if let Some(prediction) = root.told("prediction") {
            prediction.object("prediction")?;
            self.sheet.shape.output_beyond_cap = u64::try_from(prediction.raw().len()).unwrap_or(u64::MAX);
        }
        let answers_in_sound = |kinds: Value<'_>| kinds.items().any(|kind| kind.text().as_deref() != Some("text"));
        if root.told("audio").is_some() || root.told("modalities").is_some_and(answers_in_sound) {
            self.sheet.unknown("modalities");
        }
        self.sheet.shape.writes = writes(root)?;
        Ok(())
    }

    fn call(mut self, request: &Request<'_>) -> Result<Call, BadBody> {
        let root = request.root;
        let model = request.model()?;
        let stream = flag(root, "stream")?;
        let asked_output = asked_output(root)?;
        self.sheet.shape.max_output = asked_output;
        let plan = Plan {
            root: root.layout(),
            cap: Some(cap_field(root, &model)?),
            thinking: None,
            usage: if stream { usage(root)? } else { None },
            tools: Vec::new(),
            limit: None,
            lean: None,
            length: 0,
        };
        Ok(Call {
            model,
            stream,
            is_plain: plain::is_plain(root, MEMBERS),
            shape: self.sheet.shape(),
            asked_output,
            session: None,
            dropped: Vec::new(),
            brings: Vec::new(),
            plan,
        })
    }
}

pub(super) fn starts(value: Value<'_>, start: &str) -> bool {
    value.text().is_some_and(|text| text.get(..start.len()).is_some_and(|has| has.eq_ignore_ascii_case(start)))
}

/// The field that this model's provider reads the cap from: the newer where the client uses it or the model knows no
/// other, else the one that everybody who speaks this dialect knows.
fn cap_field(root: &Object<'_>, model: &str) -> Result<CapField, BadBody> {
    let is_new = root.told(NEW_CAP).is_some() || takes_only_the_new(model);
    let name = if is_new { NEW_CAP } else { OLD_CAP };
    let aliases = CAPS.into_iter().filter(|alias| *alias != name && root.get(alias).is_some()).collect();
    Ok(CapField { place: Place::top(name), sent: count(root, name)?, aliases })
}

/// The least output that any of the names asks for: whichever the provider reads, it is within what was asked.
pub(super) fn asked_output(root: &Object<'_>) -> Result<Option<u64>, BadBody> {
    let asked: Vec<Option<u64>> = CAPS.into_iter().map(|name| count(root, name)).collect::<Result<_, _>>()?;
    Ok(asked.into_iter().flatten().min())
}

/// Whether OpenAI takes only `max_completion_tokens` for a model, because it reasons: the o-series, gpt-5 and what came
/// after. Some write
/// gpt-3.5 as `gpt-35`.
pub(super) fn takes_only_the_new(model: &str) -> bool {
    let model = model.strip_prefix("ft:").unwrap_or(model);
    let model = model.rsplit('/').next().unwrap_or(model);
    let number = |text: &str| text.chars().take_while(char::is_ascii_digit).collect::<String>().parse::<u32>().ok();
    match (model.strip_prefix("gpt-"), model.strip_prefix('o')) {
        (Some(version), _) => number(version).is_some_and(|version| (5..30).contains(&version)),
        (None, Some(version)) => number(version).is_some(),
        (None, None) => false,
    }
}

/// Where a stream has to be asked for its usage; `None` where its client asks for it.
pub(super) fn usage(root: &Object<'_>) -> Result<Option<Place>, BadBody> {
    const OPTIONS: &str = "stream_options";
    const USAGE: &str = "include_usage";
    let options = root.told(OPTIONS).map(|options| options.object(OPTIONS)).transpose()?;
    let is_asked = options.map_or(Ok(false), |options| flag(&options, USAGE))?;
    if is_asked { Ok(None) } else { Place::inside(root, OPTIONS, USAGE).map(Some) }
}

/// The cache writes asked for. OpenAI's live as long as it likes; some who speak like it take Anthropic's words.
fn writes(root: &Object<'_>) -> Result<Writes, BadBody> {
    let own = ["prompt_cache_options", "prompt_cache_retention"].iter().any(|name| root.told(name).is_some());
    let own = if own { Writes::FiveMinutes } else { Writes::None };
    Ok(own.max(super::anthropic::writes(root.value())?))
}
