//! OpenAI Responses, and the counting of their input.
//!
//! What stands only by its id holds a whole context window: an earlier response, a conversation, a file. Tools that
//! OpenAI runs have one limit together, `max_tool_calls`, which is set where it is missing; what that does not hold is
//! named, and so is what leaves no usage to read: an answer in the background, a stored prompt.

use almoner_meter::{Dialect as Metered, Framing};
use almoner_policy::Writes;
use hyper::StatusCode;
use serde_json::{Value as Json, json};

use super::call::{Call, CapField, Place, Plan};
use super::chat::{starts, takes_only_the_new};
use super::count::counting_body_of_responses;
use super::endpoint::{Asks, Counts, Endpoint, Request};
use super::members::{Member, Members};
use super::sheet::Sheet;
use super::weight::Weight;
use super::{CredentialPlace, Dialect, TOOL_USES_MAX, Tongue, Wrong, count, flag, uses_held, word};
use crate::answer::Answer;
use crate::body::{BadBody, Object, Value};

/// The dialect.
pub(super) const TONGUE: Tongue = Tongue {
    endpoints: &[&RESPONSES, &INPUT_TOKENS],
    home: &["/v1/responses", "/v1/conversations"],
    credential: CredentialPlace::Bearer,
    query_credential: &[],
    // Codex stops at this status with the type below, and sends six times what got a 402 or 403.
    no_money: StatusCode::TOO_MANY_REQUESTS,
    policy: StatusCode::BAD_REQUEST,
    reason_header: Some("x-codex-promo-message"),
    minds_digits: false,
    error,
    own_error: &["/error/message"],
    plain_stream: Framing::Sse,
    last_lines: &[("event", "response.completed"), ("event", "response.incomplete"), ("event", "response.failed")],
    last_event,
    ping: Some(": waiting\n\n"),
};

/// Responses.
pub(super) const RESPONSES: Endpoint = Endpoint {
    dialect: Dialect::Responses,
    path: "/v1/responses",
    asks: Asks::Answer,
    meter: Metered::OpenAiResponses,
    counts: Counts::Provider { path: INPUT_TOKENS_PATH, body: counting_body_of_responses, tokens: "/input_tokens" },
    read,
};

/// The count of what a response would read.
pub(super) const INPUT_TOKENS: Endpoint =
    Endpoint { path: INPUT_TOKENS_PATH, asks: Asks::Count, counts: Counts::Nobody, ..RESPONSES };

const INPUT_TOKENS_PATH: &str = "/v1/responses/input_tokens";

fn error(wrong: &Wrong<'_>) -> Json {
    let (kind, code) = kind(wrong.answer);
    let mut error = json!({
        "message": wrong.message,
        "type": kind,
        "code": code,
        "param": null,
        "almoner": wrong.almoner,
    });
    // By this Codex tells its user when to come back.
    if let Some(at) = wrong.answer.refusal().and_then(|refusal| refusal.changes_at) {
        error["resets_at"] = at.ms().div_ceil(1000).into();
    }
    json!({ "error": error })
}

const fn kind(answer: &Answer) -> (&'static str, &'static str) {
    match answer {
        Answer::NoMoney(_) | Answer::CutShort { .. } | Answer::Stopped(_) => {
            ("usage_limit_reached", "insufficient_quota")
        }
        Answer::SlowDown { .. } | Answer::Paced { .. } => ("rate_limit_exceeded", "rate_limit_exceeded"),
        Answer::Policy { .. }
        | Answer::BadBody(_)
        | Answer::BrokeOff(_)
        | Answer::NotFound(_)
        | Answer::TooLarge { .. }
        | Answer::TooSlow { .. } => ("invalid_request_error", answer.code()),
        Answer::Forbidden(_) => ("permission_error", answer.code()),
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

/// A response that failed. Where asking again is in vain, its code is the one after which Codex asks no second time.
fn last_event(error: &Json) -> String {
    let mut error = error["error"].clone();
    let facts = &error["almoner"];
    if facts["whose_fault"] == "client" && facts["retry_after_s"].is_null() {
        error["code"] = "insufficient_quota".into();
    }
    let response = json!({
        "id": "resp_almoner",
        "object": "response",
        "created_at": 0,
        "status": "failed",
        "error": error,
        "incomplete_details": null,
        "output": [],
        "usage": null,
    });
    let event = json!({ "type": "response.failed", "sequence_number": 0, "response": response });
    format!("event: response.failed\ndata: {event}\n\n")
}

/// Every documented member of a request, what Codex adds, and the other names of the cap.
const MEMBERS: &Members = &[
    ("background", Member::Setting),
    ("client_metadata", Member::Neutral),
    ("context_management", Member::Json),
    ("conversation", Member::Setting),
    ("include", Member::Neutral),
    ("input", Member::Text),
    ("instructions", Member::Text),
    ("max_completion_tokens", Member::Setting),
    ("max_output_tokens", Member::Setting),
    ("max_tokens", Member::Setting),
    ("max_tool_calls", Member::Setting),
    ("metadata", Member::Neutral),
    ("model", Member::Setting),
    ("moderation", Member::Neutral),
    ("parallel_tool_calls", Member::Neutral),
    ("personality", Member::Setting),
    ("previous_response_id", Member::Setting),
    ("prompt", Member::Json),
    ("prompt_cache_key", Member::Neutral),
    ("prompt_cache_options", Member::Setting),
    ("prompt_cache_retention", Member::Setting),
    ("reasoning", Member::Setting),
    ("safety_identifier", Member::Neutral),
    ("service_tier", Member::Setting),
    ("store", Member::Neutral),
    ("stream", Member::Neutral),
    ("stream_options", Member::Neutral),
    ("temperature", Member::Neutral),
    ("text", Member::Json),
    ("tool_choice", Member::Json),
    ("tools", Member::Json),
    ("top_logprobs", Member::Neutral),
    ("top_p", Member::Neutral),
    ("truncation", Member::Neutral),
    ("user", Member::Neutral),
];

/// The name of the output cap, and the names of it that servers of the older dialect read.
const CAP: &str = "max_output_tokens";
const OLD_CAPS: [&str; 2] = ["max_completion_tokens", "max_tokens"];

/// The limit that holds all tools that OpenAI runs, together.
const CALLS: &str = "max_tool_calls";

/// Items of a conversation that say all they say in the body.
const PLAIN_ITEMS: [&str; 20] = [
    "agent_message",
    "apply_patch_call",
    "apply_patch_call_output",
    "code_interpreter_call",
    "compaction",
    "compaction_trigger",
    "computer_call",
    "custom_tool_call",
    "file_search_call",
    "function_call",
    "local_shell_call",
    "local_shell_call_output",
    "mcp_approval_request",
    "mcp_approval_response",
    "mcp_call",
    "program",
    "program_output",
    "shell_call",
    "tool_search_call",
    "web_search_call",
];

/// The tools that the client runs; those of them that OpenAI describes itself have a name only.
const CLIENT_TOOLS: [&str; 2] = ["custom", "function"];
const DESCRIBED_TOOLS: [&str; 4] = ["apply_patch", "computer", "computer_use_preview", "local_shell"];

/// The tools that OpenAI runs, and that `max_tool_calls` holds.
const LIMITED_TOOLS: [&str; 5] = ["code_interpreter", "file_search", "image_generation", "tool_search", "web_search"];

/// What OpenAI's own description of a tool takes at most.
const OWN_DESCRIPTION: usize = 1024;

/// What its personality of a model takes at most.
const PERSONALITY: usize = 4096;

/// What a call that sets no cap gets for its reasoning beside what any call gets. Codex sets none, and takes an answer
/// that ends at a cap for a failure.
const REASONS: u64 = 24_576;

/// Reads the body of a request.
fn read(request: &Request<'_>) -> Result<Call, BadBody> {
    let root = request.root;
    let mut reader = Reader { sheet: Sheet::of(root, MEMBERS), limited: Vec::new() };
    reader.input(root)?;
    reader.tools(root)?;
    reader.settings(root)?;
    reader.call(request)
}

/// What has been read so far.
struct Reader {
    sheet: Sheet,
    /// The tools that OpenAI runs and that have a limit.
    limited: Vec<String>,
}

impl Reader {
    fn input(&mut self, root: &Object<'_>) -> Result<(), BadBody> {
        self.sheet.shape.messages += u64::from(root.told("instructions").is_some());
        // Without input there is an earlier response, or a stored prompt.
        let Some(input) = root.told("input") else { return Ok(()) };
        if input.is_text() {
            self.sheet.shape.messages += 1;
            return Ok(());
        }
        if !input.is_array() {
            return Err(BadBody::wrong("input", "a text or an array"));
        }
        for item in input.items() {
            self.sheet.shape.messages += 1;
            self.item(&item.object("input[]")?)?;
        }
        Ok(())
    }

    fn item(&mut self, item: &Object<'_>) -> Result<(), BadBody> {
        let kind = word(item, "type")?.unwrap_or_default();
        match &*kind {
            "" | "message" => self.content(item, "content")?,
            "reasoning" => {
                self.content(item, "content")?;
                self.content(item, "summary")?;
            }
            "function_call_output" | "custom_tool_call_output" | "computer_call_output" | "shell_call_output" => {
                self.content(item, "output")?;
            }
            "image_generation_call" => self.made_image(item),
            "item_reference" => self.sheet.opaque("an item by its id"),
            "additional_tools" | "tool_search_output" | "mcp_list_tools" => self.later_tools(item, &kind)?,
            known if PLAIN_ITEMS.contains(&known) => {}
            kind => {
                self.sheet.unknown(&format!("item type {kind}"));
                self.sheet.opaque("an item of an unknown type");
            }
        }
        Ok(())
    }

    /// Content is a text, which was weighed with the rest, or one part, or several.
    fn content(&mut self, item: &Object<'_>, name: &str) -> Result<(), BadBody> {
        let Some(content) = item.told(name) else { return Ok(()) };
        let parts = content.items().chain(Some(content)).filter(|part| part.is_object());
        for part in parts {
            self.part(&part.object(name)?)?;
        }
        Ok(())
    }

    fn part(&mut self, part: &Object<'_>) -> Result<(), BadBody> {
        let kind = word(part, "type")?.unwrap_or_default();
        match &*kind {
            "input_text" | "output_text" | "refusal" | "reasoning_text" | "summary_text" | "text" => {}
            "input_image" | "computer_screenshot" => self.image(part),
            "input_file" => self.file(part),
            "input_audio" => self.sheet.shape.sounds += 1,
            // The output of a shell, which has no type of its own.
            "" if part.told("file_id").is_none() => {}
            kind => {
                self.sheet.unknown(&format!("content type {kind}"));
                self.sheet.opaque("content of an unknown type");
            }
        }
        Ok(())
    }

    /// An image comes as a data URL, or by an id or a URL behind which may lie anything.
    fn image(&mut self, part: &Object<'_>) {
        match part.told("image_url") {
            Some(url) if starts(url, "data:image/") => {
                self.sheet.shape.images += 1;
                self.sheet.weight.take(Weight::text(url));
            }
            Some(_) => self.sheet.opaque("a URL"),
            None => self.sheet.opaque("a file id"),
        }
    }

    /// An image that OpenAI made before, and sees again.
    fn made_image(&mut self, item: &Object<'_>) {
        match item.told("result").filter(|result| result.is_text()) {
            Some(result) => {
                self.sheet.shape.images += 1;
                self.sheet.weight.take(Weight::text(result));
            }
            None => self.sheet.opaque("an item by its id"),
        }
    }

    fn file(&mut self, part: &Object<'_>) {
        match part.told("file_data").filter(|data| data.is_text()) {
            Some(data) => {
                self.sheet.shape.documents += 1;
                self.sheet.weight.take(Weight::text(data));
            }
            None if part.told("file_url").is_some() => self.sheet.opaque("a URL"),
            None => self.sheet.opaque("a file id"),
        }
    }

    /// Tools that stand among the items: the model reads them as JSON.
    fn later_tools(&mut self, item: &Object<'_>, kind: &str) -> Result<(), BadBody> {
        let Some(tools) = item.told("tools") else { return Ok(()) };
        self.sheet.weight.take(Weight::text(tools));
        self.sheet.weight.add(Weight::json(tools));
        match kind {
            // They are a server's, and run where the tool that listed them stands.
            "mcp_list_tools" => Ok(()),
            _ => self.each_tool(tools),
        }
    }

    fn tools(&mut self, root: &Object<'_>) -> Result<(), BadBody> {
        let Some(tools) = root.told("tools") else { return Ok(()) };
        if !tools.is_array() {
            return Err(BadBody::wrong("tools", "an array"));
        }
        self.each_tool(tools)
    }

    fn each_tool(&mut self, tools: Value<'_>) -> Result<(), BadBody> {
        tools.items().try_for_each(|tool| {
            self.sheet.shape.tools += 1;
            self.tool(&tool.object("tools[]")?)
        })
    }

    fn tool(&mut self, tool: &Object<'_>) -> Result<(), BadBody> {
        let kind = word(tool, "type")?.unwrap_or_default();
        match undated(&kind) {
            known if CLIENT_TOOLS.contains(&known) => {}
            known if DESCRIBED_TOOLS.contains(&known) => self.sheet.weight.add_hidden(OWN_DESCRIPTION),
            "namespace" => tool.told("tools").map_or(Ok(()), |tools| self.each_tool(tools))?,
            "shell" if is_local(tool)? => self.sheet.weight.add_hidden(OWN_DESCRIPTION),
            "tool_search" if word(tool, "execution")?.as_deref() == Some("client") => {}
            known if LIMITED_TOOLS.contains(&known) => {
                self.sheet.weight.add_hidden(OWN_DESCRIPTION);
                if !self.limited.iter().any(|tool| tool == known) {
                    self.limited.push(known.to_owned());
                }
            }
            // What OpenAI runs without a limit, and what nobody here knows.
            _ => self.sheet.server_tool(&kind, None),
        }
        Ok(())
    }

    fn settings(&mut self, root: &Object<'_>) -> Result<(), BadBody> {
        self.sheet.shape.service_tier = word(root, "service_tier")?.map(std::borrow::Cow::into_owned);
        for (member, what) in [("previous_response_id", "an earlier response"), ("conversation", "a conversation")] {
            if root.told(member).is_some() {
                self.sheet.opaque(what);
            }
        }
        if flag(root, "background")? {
            self.sheet.shape.unmetered.push("an answer in the `background`".to_owned());
        }
        if root.told("prompt").is_some() {
            self.sheet.shape.unmetered.push("a stored `prompt`".to_owned());
        }
        if root.told("personality").is_some() {
            self.sheet.weight.add_hidden(PERSONALITY);
        }
        if let Some(reasoning) = root.told("reasoning") {
            let mode = word(&reasoning.object("reasoning")?, "mode")?;
            if let Some(mode) = mode.filter(|mode| mode != "standard") {
                self.sheet.server_tool(&format!("reasoning mode {mode}"), None);
            }
        }
        root.told("context_management").map_or(Ok(()), |edits| self.context_edits(edits))?;
        let keeps = ["prompt_cache_options", "prompt_cache_retention"].iter().any(|name| root.told(name).is_some());
        self.sheet.shape.writes = if keeps { Writes::FiveMinutes } else { Writes::None };
        Ok(())
    }

    /// A summary is a sampling of its own. Nobody says that what a call writes does not count towards its threshold, so
    /// it may be written at any length.
    fn context_edits(&mut self, edits: Value<'_>) -> Result<(), BadBody> {
        for edit in edits.items() {
            match word(&edit.object("context_management[]")?, "type")?.as_deref() {
                Some("compaction") => self.sheet.shape.compacts_at = Some(0),
                kind => self.sheet.unknown(&format!("context edit {}", kind.unwrap_or_default())),
            }
        }
        Ok(())
    }

    fn call(mut self, request: &Request<'_>) -> Result<Call, BadBody> {
        let root = request.root;
        let calls = count(root, CALLS)?;
        for tool in &self.limited {
            self.sheet.server_tool(tool, Some(uses_held(calls.unwrap_or(TOOL_USES_MAX))));
        }
        let adds_limit = calls.is_none() && !self.limited.is_empty();
        let asked_output = asked_output(root)?;
        self.sheet.shape.max_output = asked_output;
        let model = request.model()?;
        if takes_only_the_new(&model) || root.told("reasoning").is_some() {
            self.sheet.shape.thinking = Some(REASONS);
        }
        let plan = Plan {
            root: root.layout(),
            cap: Some(cap_field(root)?),
            thinking: None,
            usage: None,
            tools: Vec::new(),
            limit: adds_limit.then_some(CALLS),
            lean: lean(root)?,
            length: 0,
        };
        Ok(Call {
            model,
            stream: flag(root, "stream")?,
            is_plain: false,
            shape: self.sheet.shape(),
            asked_output,
            session: session(root)?,
            dropped: Vec::new(),
            brings: Vec::new(),
            plan,
        })
    }
}

/// The tools without web search, where an agent carries it beside tools of its own and does not insist on it. Whoever
/// brings nothing but a search means to search.
fn lean(root: &Object<'_>) -> Result<Option<String>, BadBody> {
    let is_free = root.told("tool_choice").is_none_or(|choice| choice.text().as_deref() == Some("auto"));
    let (mut kept, mut searches) = (Vec::new(), 0);
    for tool in root.told("tools").into_iter().flat_map(Value::items) {
        match undated(&word(&tool.object("tools[]")?, "type")?.unwrap_or_default()) {
            "web_search" => searches += 1,
            _ => kept.push(tool.raw()),
        }
    }
    Ok((is_free && searches > 0 && !kept.is_empty()).then(|| format!("[{}]", kept.join(","))))
}

/// A tool's name without its version: `web_search` of `web_search_preview` and of `web_search_2025_08_26`.
fn undated(kind: &str) -> &str {
    let searches = kind.strip_prefix("web_search").is_some_and(|rest| rest.is_empty() || rest.starts_with('_'));
    if searches { "web_search" } else { kind }
}

/// Whether a shell is the client's own.
fn is_local(shell: &Object<'_>) -> Result<bool, BadBody> {
    let Some(environment) = shell.told("environment") else { return Ok(false) };
    Ok(word(&environment.object("environment")?, "type")?.as_deref() == Some("local"))
}

fn cap_field(root: &Object<'_>) -> Result<CapField, BadBody> {
    let aliases = OLD_CAPS.into_iter().filter(|alias| root.get(alias).is_some()).collect();
    Ok(CapField { place: Place::top(CAP), sent: count(root, CAP)?, aliases })
}

/// The least output that any of the names asks for.
fn asked_output(root: &Object<'_>) -> Result<Option<u64>, BadBody> {
    let names = OLD_CAPS.into_iter().chain([CAP]);
    let asked: Vec<Option<u64>> = names.map(|name| count(root, name)).collect::<Result<_, _>>()?;
    Ok(asked.into_iter().flatten().min())
}

/// The session that Codex names in its metadata.
fn session(root: &Object<'_>) -> Result<Option<String>, BadBody> {
    let Some(metadata) = root.told("client_metadata").filter(|metadata| metadata.is_object()) else { return Ok(None) };
    let metadata = metadata.object("client_metadata")?;
    let session = metadata.told("session_id").and_then(Value::text);
    Ok(session.map(std::borrow::Cow::into_owned).filter(|session| !session.is_empty()))
}
