//! Ollama's chat, generate and embed, and what may be asked of it for nothing.
//!
//! Ollama reads the names of members without regard to their case, the last of two winning. A name in another case
//! than its own is refused, so that no member means one thing here and another there.

use almoner_meter::{Dialect as Metered, Framing};
use hyper::StatusCode;
use serde_json::json;

use super::call::{Call, CapField, Place, Plan};
use super::endpoint::{Asks, Counts, Endpoint, Request};
use super::members::{Member, Members};
use super::sheet::Sheet;
use super::weight::Weight;
use super::{CredentialPlace, Dialect, Tongue, Wrong, count, word};
use crate::body::{BadBody, Object, Value};

/// The dialect.
pub(super) const TONGUE: Tongue = Tongue {
    endpoints: &[&CHAT, &GENERATE, &EMBED, &EMBEDDINGS, &SHOW, &TAGS, &PS, &VERSION],
    home: &["/api"],
    credential: CredentialPlace::Bearer,
    query_credential: &[],
    no_money: StatusCode::PAYMENT_REQUIRED,
    policy: StatusCode::FORBIDDEN,
    reason_header: None,
    minds_digits: false,
    error,
    own_error: &["/error"],
    plain_stream: Framing::Ndjson,
    last_lines: &[],
    last_event,
    ping: None,
};

/// A conversation.
pub(super) const CHAT: Endpoint = Endpoint {
    dialect: Dialect::Ollama,
    path: "/api/chat",
    asks: Asks::Answer,
    meter: Metered::Ollama,
    counts: Counts::Nobody,
    read: read_chat,
};

/// A prompt.
pub(super) const GENERATE: Endpoint = Endpoint { path: "/api/generate", read: read_generate, ..CHAT };

/// Texts as vectors.
pub(super) const EMBED: Endpoint = Endpoint { path: "/api/embed", read: read_embed, ..CHAT };

/// A text as a vector, in the older words. Its answer tells no usage, so it stays charged at its bound.
const EMBEDDINGS: Endpoint = Endpoint { path: "/api/embeddings", ..EMBED };

/// What a model is.
const SHOW: Endpoint = Endpoint { path: "/api/show", asks: Asks::Count, read: read_show, ..CHAT };

/// Which models there are.
pub(super) const TAGS: Endpoint = Endpoint { path: "/api/tags", asks: Asks::Look, read: read_nothing, ..CHAT };
/// Which of them are loaded.
const PS: Endpoint = Endpoint { path: "/api/ps", ..TAGS };
/// Which version answers.
const VERSION: Endpoint = Endpoint { path: "/api/version", ..TAGS };

fn error(wrong: &Wrong<'_>) -> serde_json::Value {
    json!({ "error": wrong.message, "almoner": wrong.almoner })
}

/// An object that says that it is the last, and why.
fn last_event(error: &serde_json::Value) -> String {
    let mut last = error.clone();
    last["done"] = json!(true);
    last["done_reason"] = json!("error");
    format!("{last}\n")
}

/// Every documented member of a conversation.
const CHAT_MEMBERS: &Members = &[
    ("format", Member::Json),
    ("keep_alive", Member::Neutral),
    ("logprobs", Member::Neutral),
    ("messages", Member::Text),
    ("model", Member::Setting),
    ("options", Member::Setting),
    ("shift", Member::Neutral),
    ("stream", Member::Neutral),
    ("think", Member::Setting),
    ("tools", Member::Json),
    ("top_logprobs", Member::Neutral),
    ("truncate", Member::Neutral),
];

/// Every documented member of a prompt.
const GENERATE_MEMBERS: &Members = &[
    // The tokens of what was said before, each of which is a number of one digit or more.
    ("context", Member::Text),
    ("format", Member::Json),
    ("images", Member::Setting),
    ("keep_alive", Member::Neutral),
    ("logprobs", Member::Neutral),
    ("model", Member::Setting),
    ("options", Member::Setting),
    ("prompt", Member::Text),
    ("raw", Member::Neutral),
    ("shift", Member::Neutral),
    ("stream", Member::Neutral),
    ("suffix", Member::Text),
    ("system", Member::Text),
    ("template", Member::Text),
    ("think", Member::Setting),
    ("top_logprobs", Member::Neutral),
    ("truncate", Member::Neutral),
];

/// Every documented member of an embedding, in both of its forms.
const EMBED_MEMBERS: &Members = &[
    ("dimensions", Member::Neutral),
    ("input", Member::Text),
    ("keep_alive", Member::Neutral),
    ("model", Member::Setting),
    ("options", Member::Setting),
    ("prompt", Member::Text),
    ("truncate", Member::Neutral),
];

/// Every documented member of a message.
const MESSAGE: [&str; 8] =
    ["content", "images", "role", "thinking", "tool_call_id", "tool_calls", "tool_name", "tool_plan"];

/// What a model that is left to itself may think, in tokens; it counts under the cap of an answer.
const THINKS: u64 = 24_576;

fn read_chat(request: &Request<'_>) -> Result<Call, BadBody> {
    let root = request.root;
    in_their_case(root, CHAT_MEMBERS.iter().map(|(name, _)| *name))?;
    let mut sheet = Sheet::of(root, CHAT_MEMBERS);
    for message in root.told("messages").into_iter().flat_map(Value::items) {
        sheet.shape.messages += 1;
        let message = message.object("messages[]")?;
        in_their_case(&message, MESSAGE.into_iter())?;
        for image in message.told("images").into_iter().flat_map(Value::items) {
            sheet.shape.images += 1;
            // It was weighed as text with its message, and is none.
            sheet.weight.take(Weight::text(image));
        }
    }
    let tools = root.told("tools").into_iter().flat_map(Value::items).count();
    sheet.shape.tools = u64::try_from(tools).unwrap_or(u64::MAX);
    answer(request, sheet)
}

fn read_generate(request: &Request<'_>) -> Result<Call, BadBody> {
    let root = request.root;
    in_their_case(root, GENERATE_MEMBERS.iter().map(|(name, _)| *name))?;
    let mut sheet = Sheet::of(root, GENERATE_MEMBERS);
    sheet.shape.messages = 2;
    let images = root.told("images").into_iter().flat_map(Value::items).count();
    sheet.shape.images = u64::try_from(images).unwrap_or(u64::MAX);
    answer(request, sheet)
}

fn read_embed(request: &Request<'_>) -> Result<Call, BadBody> {
    let root = request.root;
    in_their_case(root, EMBED_MEMBERS.iter().map(|(name, _)| *name))?;
    let mut sheet = Sheet::of(root, EMBED_MEMBERS);
    let texts = root.told("input").into_iter().flat_map(Value::items).count().max(1);
    // Each text gets a frame of its own, and a window.
    sheet.shape.messages = u64::try_from(texts).unwrap_or(u64::MAX);
    sheet.shape.inputs = sheet.shape.messages;
    Ok(call(request, sheet, None)?.without_output())
}

fn read_show(request: &Request<'_>) -> Result<Call, BadBody> {
    call(request, Sheet::default(), None)
}

/// A question without a body names no model.
fn read_nothing(request: &Request<'_>) -> Result<Call, BadBody> {
    Ok(of(request, Sheet::default(), None, String::new()))
}

/// A call that has an answer, which stops at a cap.
fn answer(request: &Request<'_>, mut sheet: Sheet) -> Result<Call, BadBody> {
    const OPTIONS: &str = "options";
    const CAP: &str = "num_predict";
    let root = request.root;
    let options = root.told(OPTIONS).map(|options| options.object(OPTIONS)).transpose()?;
    let sent = match &options {
        // What is less than 1 asks for all there is.
        Some(options) if !options.told(CAP).is_some_and(is_negative) => count(options, CAP)?,
        _ => None,
    };
    let thinks = root.told("think").and_then(Value::boolean).unwrap_or(true);
    sheet.shape.thinking = Some(if thinks { THINKS } else { 0 });
    sheet.shape.max_output = sent.filter(|sent| *sent > 0);
    let field = CapField { place: Place::inside(root, OPTIONS, CAP)?, sent, aliases: Vec::new() };
    call(request, sheet, Some(field))
}

fn is_negative(value: Value<'_>) -> bool {
    value.raw().strip_prefix('-').is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
}

fn call(request: &Request<'_>, sheet: Sheet, cap: Option<CapField>) -> Result<Call, BadBody> {
    let model = match word(request.root, "model")? {
        Some(_) => request.model()?,
        // What `show` called it once.
        None => word(request.root, "name")?
            .filter(|name| !name.is_empty())
            .map_or_else(|| request.model(), |name| Ok(name.into_owned()))?,
    };
    Ok(of(request, sheet, cap, model))
}

fn of(request: &Request<'_>, sheet: Sheet, cap: Option<CapField>, model: String) -> Call {
    // It streams unless it is told not to; an embedding never does.
    let stream = request.root.told("stream").and_then(Value::boolean).unwrap_or(cap.is_some());
    let root = request.root.layout();
    Call {
        model,
        stream,
        is_plain: false,
        asked_output: sheet.shape.max_output,
        shape: sheet.shape(),
        session: None,
        dropped: Vec::new(),
        brings: Vec::new(),
        plan: Plan { root, cap, thinking: None, usage: None, tools: Vec::new(), limit: None, lean: None, length: 0 },
    }
}

/// Refuses a known name in another case than its own.
fn in_their_case(object: &Object<'_>, known: impl Iterator<Item = &'static str>) -> Result<(), BadBody> {
    for name in known {
        if object.iter().any(|(other, _)| other != name && folded(other) == name) {
            return Err(BadBody::wrong(name, "written in small letters"));
        }
    }
    Ok(())
}

/// A name as Ollama compares it: two letters beyond ASCII fold into it.
fn folded(name: &str) -> String {
    let fold = |letter| match letter {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        letter => letter.to_ascii_lowercase(),
    };
    name.chars().map(fold).collect()
}
