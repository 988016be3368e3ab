//! Anthropic Messages, and the counting of tokens.

use almoner_meter::{Dialect as Metered, Framing};
use almoner_policy::Writes;
use hyper::{HeaderMap, StatusCode};
use serde_json::json;

use super::call::{Call, CapField, Place, Plan, Thinking};
use super::count::counting_body;
use super::endpoint::{Asks, Counts, Endpoint, Request};
use super::members::{Member, Members};
use super::sheet::Sheet;
use super::weight::Weight;
use super::{CredentialPlace, Dialect, TOOL_USES_MAX, Tongue, Wrong, count, flag, uses_held, word};
use crate::answer::Answer;
use crate::body::{BadBody, Layout, Object, Value};

/// Anthropic's dialect.
pub(super) const TONGUE: Tongue = Tongue {
    endpoints: &[&MESSAGES, &COUNT_TOKENS],
    home: &["/v1/messages"],
    credential: CredentialPlace::Header("x-api-key"),
    query_credential: &[],
    no_money: StatusCode::PAYMENT_REQUIRED,
    policy: StatusCode::FORBIDDEN,
    reason_header: None,
    minds_digits: false,
    error,
    own_error: &["/error/message"],
    plain_stream: Framing::Sse,
    last_lines: &[("event", "message_stop")],
    last_event: |error| format!("event: error\ndata: {error}\n\n"),
    ping: Some("event: ping\ndata: {\"type\": \"ping\"}\n\n"),
};

/// Messages.
pub(super) const MESSAGES: Endpoint = Endpoint {
    dialect: Dialect::Anthropic,
    path: "/v1/messages",
    asks: Asks::Answer,
    meter: Metered::AnthropicMessages,
    counts: Counts::Provider { path: COUNT_TOKENS_PATH, body: counting_body, tokens: "/input_tokens" },
    read,
};

/// The count of what a message would be.
pub(super) const COUNT_TOKENS: Endpoint =
    Endpoint { path: COUNT_TOKENS_PATH, asks: Asks::Count, counts: Counts::Nobody, ..MESSAGES };

const COUNT_TOKENS_PATH: &str = "/v1/messages/count_tokens";

fn error(wrong: &Wrong<'_>) -> serde_json::Value {
    let error = json!({ "type": kind(wrong.answer), "message": wrong.message, "almoner": wrong.almoner });
    json!({ "type": "error", "error": error })
}

const fn kind(answer: &Answer) -> &'static str {
    match answer {
        Answer::NoMoney(_) | Answer::CutShort { .. } | Answer::Stopped(_) => "billing_error",
        Answer::SlowDown { .. } | Answer::Paced { .. } => "rate_limit_error",
        Answer::Policy { .. } | Answer::Forbidden(_) => "permission_error",
        Answer::BadBody(_) | Answer::BrokeOff(_) => "invalid_request_error",
        Answer::Unauthorized(_) => "authentication_error",
        Answer::NotFound(_) => "not_found_error",
        Answer::TooLarge { .. } => "request_too_large",
        Answer::TimedOut(_) | Answer::TooSlow { .. } => "timeout_error",
        Answer::LedgerClosed { .. }
        | Answer::Stopping { .. }
        | Answer::Crowded { .. }
        | Answer::Elsewhere(_)
        | Answer::Unread(_)
        | Answer::Unreachable(_)
        | Answer::Fault(_) => "api_error",
    }
}

/// Every documented member of a request.
const MEMBERS: &Members = &[
    ("cache_control", Member::Setting),
    ("compaction", Member::Setting),
    ("container", Member::Json),
    ("context_management", Member::Json),
    ("diagnostics", Member::Neutral),
    ("fallback_credit_token", Member::Neutral),
    ("fallbacks", Member::Setting),
    ("inference_geo", Member::Setting),
    ("max_tokens", Member::Setting),
    ("mcp_servers", Member::Json),
    ("messages", Member::Text),
    ("metadata", Member::Neutral),
    ("model", Member::Setting),
    ("output_config", Member::Json),
    ("output_format", Member::Json),
    ("safeguards", Member::Json),
    ("service_tier", Member::Setting),
    ("speed", Member::Setting),
    ("stop_sequences", Member::Neutral),
    ("stream", Member::Neutral),
    ("system", Member::Text),
    ("temperature", Member::Neutral),
    ("thinking", Member::Setting),
    ("thread", Member::Setting),
    ("tool_choice", Member::Json),
    ("tools", Member::Json),
    ("top_k", Member::Neutral),
    ("top_p", Member::Neutral),
    ("user_profile_id", Member::Neutral),
];

/// What the known betas are called before their date. Those that can change a price have a member or a part of the
/// body of their own, which is read; `context-1m` alone acts by its name.
const BETAS: [&str; 57] = [
    "adaptive-thinking",
    "advanced-tool-use",
    "advisor-tool",
    "afk-mode",
    "auto-mode-classifier",
    "bash-20241022",
    "cache-diagnosis",
    "claude-code",
    "code-execution",
    "compact",
    "computer-use",
    "context-1m",
    "context-management",
    "dangerous-tool-use",
    "dev-full-thinking",
    "effort",
    "extended-cache-ttl",
    "fallback-credit",
    "fast-mode",
    "files-api",
    "fine-grained-tool-streaming",
    "inline-tools",
    "interleaved-thinking",
    "max-tokens-3-5-sonnet",
    "mcp-client",
    "mcp-servers",
    "mcp-tunnels",
    "message-batches",
    "message-threads",
    "mid-conversation-output-config",
    "mid-conversation-system",
    "mid-conversation-system-clear-at",
    "mid-conversation-tool-changes",
    "model-context-window-exceeded",
    "oauth",
    "output-128k",
    "output-300k",
    "pdfs",
    "per-turn-control",
    "prompt-caching",
    "prompt-caching-evict",
    "prompt-caching-scope",
    "redact-thinking",
    "server-side-fallback",
    "skills",
    "structured-outputs",
    "task-budgets",
    "thinking-binding-controls",
    "thinking-display-updates",
    "thinking-resumption",
    "thinking-token-count",
    "timing",
    "token-counting",
    "token-efficient-tools",
    "tool-search-tool",
    "user-profiles",
    "web-search",
];

/// The tools that Anthropic describes and the client runs.
const CLIENT_TOOLS: [&str; 4] = ["bash", "computer", "memory", "text_editor"];

/// Sets of tools that Anthropic describes and the client runs.
const CLIENT_TOOLSETS: [&str; 2] = ["browser_toolset", "computer_toolset"];

/// The tools that Anthropic runs, and that take a limit.
const LIMITED_TOOLS: [&str; 3] = ["advisor", "web_fetch", "web_search"];

/// Those of them that are used by the model alone. Later ones may be used by code that the model writes, and running
/// that samples again, without a limit.
const DIRECT_TOOLS: [&str; 3] = ["advisor_20260301", "web_fetch_20250910", "web_search_20250305"];

/// What Anthropic's own description of a tool takes at most: 735 tokens for the largest, in 2025.
const OWN_DESCRIPTION: usize = 1024;

/// What its descriptions of a set of tools take at most: 16 times as much.
const OWN_DESCRIPTIONS: usize = 16 * OWN_DESCRIPTION;

/// What the limit that we set adds to a tool: `,"max_uses":5`, weighed as JSON, which is a byte more for its name and
/// one for its value.
const OWN_LIMIT: usize = 13 + 2;

/// From how many tokens of input on a context is compacted where its edit does not say.
const COMPACTS_AT: u64 = 150_000;

/// The least thinking budget that Anthropic takes.
const THINKING_MIN: u64 = 1024;

/// Reads the body of a request.
fn read(request: &Request<'_>) -> Result<Call, BadBody> {
    let root = request.root;
    let mut reader = Reader { sheet: Sheet::of(root, MEMBERS), brings: Vec::new(), limitless: Vec::new() };
    reader.messages(root)?;
    reader.tools(root)?;
    reader.settings(root)?;
    reader.betas(request.headers);
    reader.sheet.shape.writes = writes(root.value())?;
    reader.call(request)
}

/// What has been read so far.
struct Reader {
    sheet: Sheet,
    brings: Vec<(usize, String)>,
    limitless: Vec<Layout>,
}

impl Reader {
    fn messages(&mut self, root: &Object<'_>) -> Result<(), BadBody> {
        let messages = root.told("messages").filter(|messages| messages.is_array());
        for message in messages.ok_or_else(|| BadBody::wrong("messages", "an array"))?.items() {
            self.sheet.shape.messages += 1;
            let message = message.object("messages[]")?;
            if let Some(content) = message.told("content") {
                self.content(content, true)?;
            }
        }
        if let Some(system) = root.told("system") {
            self.sheet.shape.messages += 1;
            self.content(system, true)?;
        }
        Ok(())
    }

    /// Content is a text, which was weighed with the rest, or blocks. Inside the results of Anthropic's own tools it
    /// knows types that need no naming.
    fn content(&mut self, content: Value<'_>, is_named: bool) -> Result<(), BadBody> {
        if content.is_object() {
            return self.block(content, is_named);
        }
        content.items().try_for_each(|block| self.block(block, is_named))
    }

    fn block(&mut self, block: Value<'_>, is_named: bool) -> Result<(), BadBody> {
        if !block.is_object() {
            return Ok(());
        }
        let block = block.object("content[]")?;
        let kind = word(&block, "type")?.unwrap_or_default();
        match &*kind {
            "text" | "thinking" | "redacted_thinking" | "tool_reference" | "tool_removal" | "mcp_tool_listing" => {}
            "tool_addition" => self.tool_addition(&block)?,
            "image" | "document" => self.source(&block, &kind)?,
            "container_upload" => self.sheet.opaque("a file in the container"),
            "tool_use" | "server_tool_use" | "mcp_tool_use" => self.tool_use(&block),
            "tool_result" | "mcp_tool_result" | "search_result" | "compaction" => {
                self.inner(&block, is_named)?;
            }
            kind if kind.ends_with("_tool_result") => self.inner(&block, false)?,
            _ if !is_named => self.inner(&block, false)?,
            kind => {
                self.sheet.unknown(&format!("content type {kind}"));
                self.stranger(&block);
                self.inner(&block, true)?;
            }
        }
        Ok(())
    }

    fn inner(&mut self, block: &Object<'_>, is_named: bool) -> Result<(), BadBody> {
        block.told("content").map_or(Ok(()), |content| self.content(content, is_named))
    }

    /// Content of an unknown type is text, which was weighed with the rest, unless it points elsewhere or brings a tool
    /// of the provider.
    fn stranger(&mut self, block: &Object<'_>) {
        if ["source", "file_id", "url"].iter().any(|name| block.told(name).is_some()) {
            self.sheet.opaque("content of an unknown type");
        }
        for kind in block.value().values_named("type").filter_map(Value::text) {
            let stem = before_date(&kind, '_');
            if stem != kind && !CLIENT_TOOLS.contains(&stem) {
                self.sheet.server_tool(&kind, None);
            }
        }
    }

    /// A tool that joins in the middle of a conversation, by its name or with its definition.
    fn tool_addition(&mut self, block: &Object<'_>) -> Result<(), BadBody> {
        let Some(tool) = block.told("tool") else { return Ok(()) };
        let Some(definition) = tool.object("tool")?.told("definition") else { return Ok(()) };
        self.sheet.shape.tools += 1;
        self.sheet.weight.take(Weight::text(definition));
        self.sheet.weight.add(Weight::json(definition));
        self.tool(&definition.object("definition")?)
    }

    /// The input of a tool is read as JSON, and was weighed as text.
    fn tool_use(&mut self, block: &Object<'_>) {
        if let Some(input) = block.told("input") {
            self.sheet.weight.take(Weight::text(input));
            self.sheet.weight.add(Weight::json(input));
        }
    }

    fn source(&mut self, block: &Object<'_>, kind: &str) -> Result<(), BadBody> {
        let Some(source) = block.told("source") else { return Ok(()) };
        let source = source.object("source")?;
        let media = word(&source, "media_type")?.unwrap_or_default();
        match (kind, word(&source, "type")?.as_deref()) {
            ("image", Some("base64")) => {
                self.sheet.shape.images += 1;
                self.is_media(&source, media.starts_with("image/"));
            }
            (_, Some("base64")) => {
                self.sheet.shape.documents += 1;
                self.is_media(&source, media == "application/pdf");
            }
            (_, Some("url")) => self.sheet.opaque("a URL"),
            (_, Some("file")) => self.sheet.opaque("a file id"),
            (_, Some("text")) => {}
            (_, Some("content")) => self.inner(&source, true)?,
            _ => {
                self.sheet.unknown(&format!("source of {kind}"));
                self.sheet.opaque("a source of an unknown type");
            }
        }
        Ok(())
    }

    /// Media are counted by the piece. What only says that it is media is counted by its bytes as well.
    fn is_media(&mut self, source: &Object<'_>, is_said_to_be: bool) {
        match source.told("data") {
            Some(data) if is_said_to_be => self.sheet.weight.take(Weight::text(data)),
            _ => {}
        }
    }

    fn tools(&mut self, root: &Object<'_>) -> Result<(), BadBody> {
        let Some(tools) = root.told("tools") else { return Ok(()) };
        if !tools.is_array() {
            return Err(BadBody::wrong("tools", "an array"));
        }
        for tool in tools.items() {
            self.sheet.shape.tools += 1;
            self.tool(&tool.object("tools[]")?)?;
        }
        Ok(())
    }

    fn tool(&mut self, tool: &Object<'_>) -> Result<(), BadBody> {
        let kind = word(tool, "type")?.unwrap_or_default();
        match before_date(&kind, '_') {
            "" | "custom" => {}
            known if CLIENT_TOOLS.contains(&known) => self.sheet.weight.add_hidden(OWN_DESCRIPTION),
            known if CLIENT_TOOLSETS.contains(&known) => self.sheet.weight.add_hidden(OWN_DESCRIPTIONS),
            known if LIMITED_TOOLS.contains(&known) => self.limited_tool(tool, &kind)?,
            // What Anthropic runs without a limit, and what nobody here knows.
            _ => self.sheet.server_tool(&kind, None),
        }
        Ok(())
    }

    fn limited_tool(&mut self, tool: &Object<'_>, kind: &str) -> Result<(), BadBody> {
        self.sheet.weight.add_hidden(OWN_DESCRIPTION);
        if !DIRECT_TOOLS.contains(&kind) && !is_only_direct(tool) {
            self.sheet.server_tool(kind, None);
            return Ok(());
        }
        let max_uses = count(tool, "max_uses")?;
        if max_uses.is_none() {
            self.sheet.weight.add_hidden(OWN_LIMIT);
            self.limitless.push(tool.layout());
        }
        if let Some(model) = word(tool, "model")? {
            self.brings.push((self.sheet.shape.server_tools.len(), model.into_owned()));
        }
        self.sheet.server_tool(kind, Some(uses_held(max_uses.unwrap_or(TOOL_USES_MAX))));
        Ok(())
    }

    fn settings(&mut self, root: &Object<'_>) -> Result<(), BadBody> {
        self.sheet.shape.max_output = count(root, "max_tokens")?;
        self.sheet.shape.service_tier = word(root, "service_tier")?.map(std::borrow::Cow::into_owned);
        match word(root, "speed")?.as_deref() {
            None | Some("standard") => {}
            Some("fast") => self.sheet.shape.fast = true,
            Some(_) => self.sheet.unknown("speed"),
        }
        self.sheet.shape.regional = word(root, "inference_geo")?.map(|geo| geo != "global");
        if root.told("mcp_servers").is_some_and(|servers| servers.items().next().is_some()) {
            self.sheet.server_tool("mcp_servers", None);
        }
        if root.told("compaction").is_some() {
            self.sheet.server_tool("compaction", None);
        }
        // A thread that begins brings nothing; one that goes on brings what the provider kept of it.
        if let Some(thread) = root.told("thread") {
            let thread = thread.object("thread")?;
            if word(&thread, "type")?.as_deref() != Some("create") {
                self.sheet.opaque("a thread");
            }
        }
        if root.told("container").is_some_and(Value::is_object) {
            self.sheet.opaque("skills in the container");
        }
        self.context_edits(root)
    }

    /// Clearing costs nothing; compacting is a sampling of its own.
    fn context_edits(&mut self, root: &Object<'_>) -> Result<(), BadBody> {
        let Some(management) = root.told("context_management") else { return Ok(()) };
        let management = management.object("context_management")?;
        for edit in management.told("edits").into_iter().flat_map(Value::items) {
            let edit = edit.object("context_management.edits[]")?;
            let kind = word(&edit, "type")?.unwrap_or_default();
            match (&*kind, before_date(&kind, '_')) {
                (_, "clear_tool_uses" | "clear_thinking") => {}
                ("compact_20260112", _) => self.compaction(&edit)?,
                (_, "compact") => self.sheet.server_tool("compaction", None),
                _ => self.sheet.unknown(&format!("context edit {kind}")),
            }
        }
        Ok(())
    }

    /// A trigger of another kind than the one that is known may be pulled at any length.
    fn compaction(&mut self, edit: &Object<'_>) -> Result<(), BadBody> {
        let trigger = edit.told("trigger").map(|trigger| trigger.object("trigger")).transpose()?;
        let at = match trigger {
            None => COMPACTS_AT,
            Some(trigger) if word(&trigger, "type")?.as_deref() == Some("input_tokens") => {
                count(&trigger, "value")?.unwrap_or(COMPACTS_AT)
            }
            Some(_) => 0,
        };
        let shape = &mut self.sheet.shape;
        shape.compacts_at = Some(shape.compacts_at.map_or(at, |other| other.min(at)));
        Ok(())
    }

    fn betas(&mut self, headers: &HeaderMap) {
        for value in headers.get_all("anthropic-beta") {
            for name in String::from_utf8_lossy(value.as_bytes()).split(',').map(str::trim) {
                match before_date(name, '-') {
                    "context-1m" => self.sheet.shape.long_context = true,
                    known if known.is_empty() || BETAS.contains(&known) => {}
                    _ => self.sheet.unknown(&format!("beta {name}")),
                }
            }
        }
    }

    fn call(mut self, request: &Request<'_>) -> Result<Call, BadBody> {
        let root = request.root;
        let thinking = thinking(root)?;
        self.sheet.shape.thinking = thinking.as_ref().map(|thinking| thinking.budget);
        let asked_output = self.sheet.shape.max_output;
        let cap = CapField { place: Place::top("max_tokens"), sent: asked_output, aliases: Vec::new() };
        let plan = Plan {
            root: root.layout(),
            cap: Some(cap),
            thinking,
            usage: None,
            tools: self.limitless,
            limit: None,
            lean: None,
            length: 0,
        };
        // A fallback answers on another model, and is billed beside what the first one wrote.
        let dropped = if root.told("fallbacks").is_some() { vec!["fallbacks"] } else { Vec::new() };
        Ok(Call {
            model: request.model()?,
            stream: flag(root, "stream")?,
            is_plain: false,
            shape: self.sheet.shape(),
            asked_output,
            session: session(root)?,
            dropped,
            brings: self.brings,
            plan,
        })
    }
}

/// Whether only the model itself may use a tool.
fn is_only_direct(tool: &Object<'_>) -> bool {
    let callers: Vec<_> = tool.told("allowed_callers").into_iter().flat_map(Value::items).collect();
    !callers.is_empty() && callers.into_iter().all(|caller| caller.text().as_deref() == Some("direct"))
}

fn thinking(root: &Object<'_>) -> Result<Option<Thinking>, BadBody> {
    let Some(thinking) = root.told("thinking") else { return Ok(None) };
    let thinking = thinking.object("thinking")?;
    let budget = count(&thinking, "budget_tokens")?;
    Ok(budget.map(|budget| Thinking {
        layout: thinking.layout(),
        budget,
        name: "budget_tokens",
        least: THINKING_MIN,
        off: Some(("thinking", r#"{"type":"disabled"}"#)),
    }))
}

/// The dearest cache write that anything in the body asks for. A place that only looks like one makes the bound
/// dearer, never cheaper.
pub(super) fn writes(body: Value<'_>) -> Result<Writes, BadBody> {
    let mut writes = Writes::None;
    for asked in body.values_named("cache_control").chain(body.values_named("caching")) {
        let asked = if asked.is_object() { ttl(&asked.object("cache_control")?) } else { Writes::FiveMinutes };
        writes = writes.max(asked);
    }
    Ok(writes)
}

fn ttl(control: &Object<'_>) -> Writes {
    match control.told("ttl").map(Value::text) {
        None => Writes::FiveMinutes,
        Some(Some(ttl)) if ttl == "5m" => Writes::FiveMinutes,
        Some(_) => Writes::Hour,
    }
}

/// The session that a client names in `metadata.user_id`: a JSON text with `session_id`, or the older
/// `user_…_session_UUID`.
fn session(root: &Object<'_>) -> Result<Option<String>, BadBody> {
    let Some(metadata) = root.told("metadata").filter(|metadata| metadata.is_object()) else { return Ok(None) };
    let metadata = metadata.object("metadata")?;
    let Some(user) = metadata.told("user_id").and_then(Value::text) else { return Ok(None) };
    let in_json = serde_json::from_str::<serde_json::Value>(&user).ok();
    let in_json = in_json.and_then(|user| user.get("session_id")?.as_str().map(str::to_owned));
    let at_the_end = || user.rsplit_once("_session_").map(|(_, session)| session.to_owned());
    Ok(in_json.or_else(at_the_end).filter(|session| !session.is_empty()))
}

/// A name without the date at its end: `web_search` of `web_search_20250305`, `effort` of `effort-2025-11-24`.
fn before_date(name: &str, separator: char) -> &str {
    let is_date = |c: char| c.is_ascii_digit() || c == separator;
    let stem = name.trim_end_matches(is_date);
    let date = &name[stem.len()..];
    let digits = date.bytes().filter(u8::is_ascii_digit).count();
    // A name may itself end in digits, so only a whole date is cut.
    if digits == 8 && date.starts_with(separator) { stem } else { name }
}
