//! Requests of any content: what goes on to the provider is what was bounded, and nothing else has changed.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use almoner_gateway::dialect::{self, Call, Endpoint};
use almoner_gateway::route::Route;
use almoner_policy::{Bound, BoundSettings, Price, PriceBook, bound};
use almoner_units::{Meter, Timestamp};
use hyper::body::Bytes;
use hyper::header::HeaderValue;
use hyper::{HeaderMap, Method};
use serde::de::IgnoredAny;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::pick::Pick;

/// Every name of the output cap that some server reads.
const CAPS: [&str; 6] =
    ["max_tokens", "max_completion_tokens", "max_new_tokens", "max_output_tokens", "n_predict", "num_predict"];

/// The members of a body that may change as a whole.
const CHAT_CHANGES: [&str; 7] = [
    "max_tokens",
    "max_completion_tokens",
    "max_new_tokens",
    "max_output_tokens",
    "n_predict",
    "num_predict",
    "stream_options",
];
const RESPONSES_CHANGES: [&str; 4] = ["max_output_tokens", "max_completion_tokens", "max_tokens", "max_tool_calls"];
const ANTHROPIC_CHANGES: [&str; 3] = ["max_tokens", "thinking", "fallbacks"];

/// The members in which a tool may get a limit that it does not have.
const WITH_TOOLS: [&str; 3] = ["tools", "messages", "system"];

/// The paths that a request can come by.
const MESSAGES: &str = "/v1/messages";
const COMPLETIONS: &str = "/v1/chat/completions";
const COUNT_TOKENS: &str = "/v1/messages/count_tokens";
const RESPONSES: &str = "/v1/responses";

static ANTHROPIC: LazyLock<Price> = LazyLock::new(|| shipped("claude-opus-4-5"));
static CHAT: LazyLock<Price> = LazyLock::new(|| shipped("gpt-5"));

fn shipped(model: &str) -> Price {
    let found = PriceBook::shipped().find(None, model, Timestamp::from_ms(1_764_000_000_000));
    found.unwrap_or_else(|| panic!("the book has no price for {model}")).clone()
}

/// A request and the cap it is let to have.
struct Request {
    path: &'static str,
    headers: HeaderMap,
    cap: u64,
    body: Bytes,
}

impl Request {
    /// The first bytes choose the route, a beta and the cap; the rest is the body.
    fn of(data: &[u8]) -> Option<Self> {
        let (&[choice, high, low], body) = data.split_first_chunk::<3>()?;
        let mut headers = HeaderMap::new();
        if choice & 4 != 0 {
            headers.insert("anthropic-beta", HeaderValue::from_static("context-1m-2025-08-07,brand-new-2027-01-01"));
        }
        Some(Self {
            path: [MESSAGES, COMPLETIONS, COUNT_TOKENS, RESPONSES][usize::from(choice & 3)],
            headers,
            cap: u64::from(u16::from_be_bytes([high, low])) << (choice >> 4),
            body: Bytes::copy_from_slice(body),
        })
    }

    fn read(&self, body: &[u8]) -> Option<Call> {
        dialect::read(endpoint(self.path), self.path, &self.headers, body).ok()
    }

    fn has_output(&self) -> bool {
        self.path != COUNT_TOKENS
    }

    fn caps(&self) -> &'static [&'static str] {
        match self.path {
            COMPLETIONS => &CAPS,
            RESPONSES => &RESPONSES_CHANGES[..3],
            _ => &CAPS[..1],
        }
    }

    fn bound(&self, call: &Call) -> Option<Bound> {
        let price: &Price = if [COMPLETIONS, RESPONSES].contains(&self.path) { &CHAT } else { &ANTHROPIC };
        let mut call = call.clone();
        call.bring(|_| Some(price.clone())).ok()?;
        bound(&call.shape, price, &BoundSettings::default()).ok()
    }
}

fn endpoint(path: &str) -> &'static Endpoint {
    match Route::of(&Method::POST, path) {
        Ok(Route::Provider(endpoint)) => endpoint,
        other => panic!("{path} leads to {other:?}"),
    }
}

/// Reads a request, rewrites it at a cap, and reads what goes on.
pub(crate) fn splice(data: &[u8]) {
    let Some(request) = Request::of(data) else { return };
    let Some(call) = request.read(&request.body) else { return };
    assert!(serde_json::from_slice::<IgnoredAny>(&request.body).is_ok(), "what others refuse was read");
    means_what_others_read(&request, &call);
    let bound = request.bound(&call);
    let cap = bound.as_ref().map_or(request.cap, |bound| request.cap.min(bound.ask.cap_asked));
    let sent = call.rewrite(&request.body, cap);
    check_sent(&request, &call, cap, bound.as_ref(), &sent);
    lean_is_a_call_too(&request, &call, cap, bound.as_ref());
}

/// What goes on without the tools that it can do without is the same call, and costs no more.
fn lean_is_a_call_too(request: &Request, call: &Call, cap: u64, bound: Option<&Bound>) {
    let Some(lean) = call.lean_body(&request.body) else { return };
    let again = request.read(&lean).unwrap_or_else(|| panic!("what goes on does not read"));
    assert_eq!((&again.model, again.stream, again.asked_output), (&call.model, call.stream, call.asked_output));
    assert!(!again.can_be_lean(), "a search is left");
    costs_no_more(request, bound, &again, cap);
}

/// Whoever reads the body, first members or last, reads the price that we do.
fn means_what_others_read(request: &Request, call: &Call) {
    for tree in Pick::BOTH.into_iter().filter_map(|pick| pick.read(&request.body)) {
        assert_eq!(tree["model"].as_str(), Some(&*call.model));
        assert_eq!(tree["stream"] == true, call.stream);
        if request.has_output() {
            let asked = request.caps().iter().filter_map(|name| tree[*name].as_u64()).min();
            assert_eq!(asked, call.asked_output);
        }
        if request.path == COMPLETIONS {
            let choices = ["n", "best_of"].into_iter().filter_map(|name| tree[name].as_u64()).max().unwrap_or(1);
            assert_eq!(choices, call.shape.choices);
        }
    }
}

fn check_sent(request: &Request, call: &Call, cap: u64, bound: Option<&Bound>, sent: &Bytes) {
    let again = request.read(sent).unwrap_or_else(|| panic!("what is sent does not read"));
    assert_eq!((&again.model, again.stream, &again.session), (&call.model, call.stream, &call.session));
    assert_eq!(again.rewrite(sent, cap), *sent, "a second rewrite changes something");
    if request.has_output() {
        let most = call.asked_output.map_or(cap, |asked| asked.min(cap));
        has_one_cap(request, sent, most);
        if request.path == MESSAGES {
            thinks_below(call, sent, most);
        }
        assert_eq!(again.asked_output, Some(most));
    } else {
        assert_eq!(sent, &request.body, "a question about the input is changed");
    }
    changes_nothing_else(request, call, sent);
    costs_no_more(request, bound, &again, cap);
}

/// Exactly one field holds a cap, and it is the one that was chosen, for every parser.
fn has_one_cap(request: &Request, sent: &[u8], most: u64) {
    for tree in Pick::BOTH.into_iter().filter_map(|pick| pick.read(sent)) {
        let caps: Vec<&Value> = request.caps().iter().filter_map(|name| tree.get(*name)).collect();
        assert_eq!(caps, [&Value::from(most)]);
    }
}

/// A thinking budget stays below a cap that was lowered.
fn thinks_below(call: &Call, sent: &[u8], most: u64) {
    let Some(tree) = Pick::Last.read(sent).filter(|_| call.asked_output != Some(most)) else { return };
    let budget = tree["thinking"]["budget_tokens"].as_u64();
    assert!(budget.is_none_or(|budget| budget < most), "{budget:?} tokens of thinking within {most}");
}

/// Every member that has no part in the cap is the same bytes, in the same order.
fn changes_nothing_else(request: &Request, call: &Call, sent: &[u8]) {
    let is_chat = request.path == COMPLETIONS;
    let may_change: &[&str] = match request.path {
        COMPLETIONS => &CHAT_CHANGES,
        RESPONSES => &RESPONSES_CHANGES,
        _ => &ANTHROPIC_CHANGES,
    };
    let stays = |body| members(body).into_iter().filter(|member| !may_change.contains(&&*member.name));
    let held = dialect::uses_held(dialect::TOOL_USES_MAX);
    let is_limited = call.shape.server_tools.iter().any(|tool| tool.max_uses == Some(held));
    let (before, after): (Vec<_>, Vec<_>) = (stays(&request.body).collect(), stays(sent).collect());
    assert_eq!(before.len(), after.len(), "a member came or went");
    for (before, after) in before.iter().zip(&after) {
        if is_limited && !is_chat && WITH_TOOLS.contains(&&*before.name) {
            assert_eq!(without_limits(before.bytes), without_limits(after.bytes));
        } else {
            assert_eq!(before.bytes.escape_ascii().to_string(), after.bytes.escape_ascii().to_string());
        }
    }
    let frame = |body: &[u8]| {
        let (start, end) = (body.iter().position(|byte| *byte == b'{'), body.iter().rposition(|byte| *byte == b'}'));
        (start, end.map(|end| body.len() - end))
    };
    assert_eq!(frame(&request.body), frame(sent), "the white space around the body has changed");
}

/// A member by its name, and all its bytes: name, colon, value and what stands between.
struct Member<'b> {
    name: String,
    bytes: &'b [u8],
}

/// The members of a body, by another parser than the one under test.
fn members(body: &[u8]) -> Vec<Member<'_>> {
    let tree: Result<BTreeMap<Name<'_>, &RawValue>, _> = serde_json::from_slice(body);
    let mut values: Vec<(String, std::ops::Range<usize>)> = tree
        .unwrap_or_default()
        .into_iter()
        .map(|(name, raw)| {
            let start = raw.get().as_ptr() as usize - body.as_ptr() as usize;
            (name.meant(), start..start + raw.get().len())
        })
        .collect();
    values.sort_by_key(|(_, span)| span.start);
    let mut end = 0;
    let mut members = Vec::new();
    for (name, span) in values {
        // What stands before a value begins with the quote of its name, but for a comma or the brace.
        let quote = body[end..span.start].iter().position(|byte| *byte == b'"').unwrap_or(0);
        members.push(Member { name, bytes: &body[end + quote..span.end] });
        end = span.end;
    }
    members
}

/// A name as it is written, escapes and all: those that half a surrogate pair stands in are no `String`.
#[derive(serde::Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(transparent)]
struct Name<'b>(#[serde(borrow)] std::borrow::Cow<'b, str>);

impl Name<'_> {
    fn meant(&self) -> String {
        self.0.clone().into_owned()
    }
}

/// The JSON of a member without the limits of its tools.
fn without_limits(member: &[u8]) -> Option<Value> {
    let at = member.iter().position(|byte| *byte == b':')?;
    let mut value = Pick::Last.read(&member[at + 1..])?;
    forget_limits(&mut value);
    Some(value)
}

fn forget_limits(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(forget_limits),
        Value::Object(members) => {
            members.remove("max_uses");
            members.values_mut().for_each(forget_limits);
        }
        _ => {}
    }
}

/// What goes on is bounded, and by no more than what was held for it.
fn costs_no_more(request: &Request, bound: Option<&Bound>, again: &Call, cap: u64) {
    let Some(held) = bound else { return };
    let sent = request.bound(again).unwrap_or_else(|| panic!("what is sent has no bound"));
    let (Some(held), Some(sent)) = (held.ask.charge_at(cap), sent.ask.charge_at(cap.min(sent.ask.cap_asked))) else {
        return;
    };
    for meter in Meter::ALL {
        assert!(sent[meter] <= held[meter], "{} {meter} are sent where {} are held", sent[meter], held[meter]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &str = r#"{ "model" : "m","messages":[], "max_tokens" : 9000 , "top_k":1}"#;

    /// What a rewrite of [`BODY`] at 100 would be said about.
    fn judge(sent: &str) {
        let request = Request::of(&[&[0, 0, 100], BODY.as_bytes()].concat()).unwrap();
        let call = request.read(&request.body).unwrap();
        let bound = request.bound(&call);
        check_sent(&request, &call, 100, bound.as_ref(), &Bytes::copy_from_slice(sent.as_bytes()));
    }

    #[test]
    fn a_true_rewrite_passes() {
        judge(&BODY.replace("9000", "100"));
    }

    #[test]
    #[should_panic(expected = "left == right")]
    fn a_cap_that_is_not_lowered_is_caught() {
        judge(BODY);
    }

    #[test]
    #[should_panic(expected = "left == right")]
    fn a_member_that_changes_is_caught() {
        judge(&BODY.replace("9000", "100").replace("\"top_k\":1", "\"top_k\": 1"));
    }

    #[test]
    #[should_panic(expected = "a member came or went")]
    fn a_member_that_goes_is_caught() {
        judge(&BODY.replace("9000", "100").replace(", \"top_k\":1", ""));
    }

    #[test]
    #[should_panic(expected = "are sent where")]
    fn a_dearer_body_is_caught() {
        let (body, dearer) = (r#"{"model":"m","messages":[]}"#, r#"{"model":"m","messages":[{"content":"long"}]}"#);
        let request = Request::of(&[&[0, 0, 100], body.as_bytes()].concat()).unwrap();
        let held = request.bound(&request.read(body.as_bytes()).unwrap());
        costs_no_more(&request, held.as_ref(), &request.read(dearer.as_bytes()).unwrap(), 100);
    }
}
