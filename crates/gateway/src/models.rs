//! Lists of models, made here: of the price book, what the providers of the config serve in the words of whoever asks.
//!
//! A provider's own list would name models that no call of this key may use, and miss those of the others. It promises
//! that each model it names has a route, a provider and a price; a model that a provider's pattern would let through
//! and that nobody priced is left out.

use almoner_policy::Price;
use almoner_units::Timestamp;
use hyper::HeaderMap;
use hyper::body::Bytes;
use hyper::header::{self, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Response};
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::dialect::Dialect;
use crate::pipe::full_body;
use crate::port::{KeyFacts, Upstream};
use crate::provider::Provider;
use crate::relay::ClientBody;
use crate::route::NoRoute;

/// Where the lists stand.
const LISTS: [&str; 2] = ["/v1/models", "/v1beta/models"];
/// How many models a page of Anthropic's has, where nobody asks for another number, and at most.
const PAGE: usize = 20;
const PAGE_MAX: usize = 1000;
/// A name that no model has.
const NOBODY: &str = "a model that nobody has";

/// Whether a request asks for models: all of them, or one by its name.
pub(crate) fn is_asked(method: &Method, path: &str) -> bool {
    let is_there = LISTS.into_iter().any(|list| path == list || one(path, list).is_some());
    is_there && [Method::GET, Method::HEAD].contains(method)
}

/// The name behind a list's path.
fn one<'p>(path: &'p str, list: &str) -> Option<&'p str> {
    path.strip_prefix(list)?.strip_prefix('/').filter(|name| !name.is_empty())
}

/// In whose words to answer: three providers have their lists at the same path.
pub(crate) fn dialect(path: &str, headers: &HeaderMap) -> Dialect {
    if headers.contains_key("anthropic-version") {
        Dialect::Anthropic
    } else if path.starts_with(LISTS[1]) || headers.contains_key("x-goog-api-key") {
        Dialect::Gemini
    } else {
        Dialect::Chat
    }
}

/// A model that may be asked for.
struct Model<'b> {
    id: &'b str,
    provider: &'b str,
    price: &'b Price,
}

/// Answers a question about models.
pub(crate) fn answer<U: Upstream>(
    head: &Parts,
    path: &str,
    key: &KeyFacts,
    providers: &[Provider<U>],
    prices: &[Price],
    now: Timestamp,
) -> Result<Response<ClientBody>, Answer> {
    let dialect = dialect(path, &head.headers);
    let mut models = listed(dialect, providers, prices, now);
    models.retain(|model| key.may_use(model.id, Some(model.price.model())));
    let wanted = LISTS.iter().find_map(|list| one(path, list)).map(|name| name.replace("%2F", "/"));
    let body = match wanted {
        Some(name) => {
            let model = models.iter().find(|model| model.id == name);
            told(dialect, model.ok_or(Answer::NotFound(NoRoute::Model))?)
        }
        None => list(dialect, &models, head.uri.query().unwrap_or_default()),
    };
    let mut response = Response::new(full_body(Bytes::from(body.to_string())));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

/// A provider's own list of models, without those that are not to be shown. One that cannot be read shows none.
pub(crate) fn narrowed(list: &[u8], is_shown: impl Fn(&str) -> bool) -> Bytes {
    let mut list: Value = serde_json::from_slice(list).unwrap_or_else(|_| json!({ "models": [] }));
    let name = |model: &Value| model["model"].as_str().or_else(|| model["name"].as_str()).map(str::to_owned);
    if let Some(models) = list.get_mut("models").and_then(Value::as_array_mut) {
        models.retain(|model| name(model).is_some_and(|name| is_shown(&name)));
    }
    Bytes::from(list.to_string())
}

fn listed<'b, U: Upstream>(
    dialect: Dialect,
    providers: &'b [Provider<U>],
    prices: &'b [Price],
    now: Timestamp,
) -> Vec<Model<'b>> {
    let speaks = |provider: &&Provider<U>| match dialect {
        // OpenAI's clients read one list for both of its dialects.
        Dialect::Chat => [Dialect::Chat, Dialect::Responses].iter().any(|one| provider.dialects.contains(one)),
        _ => provider.dialects.contains(&dialect),
    };
    let mut models: Vec<Model<'b>> = Vec::new();
    for price in prices.iter().filter(|price| price.retires().is_none_or(|at| now < at)) {
        let names = std::iter::once(price.model()).chain(price.aliases().iter().map(String::as_str));
        for id in names.filter(|id| !id.is_empty()) {
            let provider = providers.iter().filter(speaks).find(|provider| serves(provider, price, id));
            if let Some(provider) = provider.filter(|_| !models.iter().any(|model| model.id == id)) {
                models.push(Model { id, provider: &provider.name, price });
            }
        }
    }
    models
}

/// Whether a provider serves a model of the book: one that the book knows it by, one that is nobody's in particular, or
/// one that its own patterns name. Who has no patterns takes what nobody else does, which is no reason to offer it.
fn serves<U: Upstream>(provider: &Provider<U>, price: &Price, id: &str) -> bool {
    let is_its_own = price.provider() == provider.name || price.provider().is_empty();
    (provider.models)(id) && (is_its_own || !(provider.models)(NOBODY))
}

fn told(dialect: Dialect, model: &Model<'_>) -> Value {
    let Model { id, provider, price } = model;
    match dialect {
        Dialect::Anthropic => {
            json!({ "type": "model", "id": id, "display_name": id, "created_at": "1970-01-01T00:00:00Z" })
        }
        Dialect::Gemini => json!({
            "name": format!("models/{id}"),
            "baseModelId": id,
            "displayName": id,
            "inputTokenLimit": price.context_window(),
            "outputTokenLimit": price.max_output(),
            "supportedGenerationMethods": ["generateContent", "streamGenerateContent", "countTokens"],
        }),
        _ => json!({ "id": id, "object": "model", "created": 0, "owned_by": provider }),
    }
}

fn list(dialect: Dialect, models: &[Model<'_>], query: &str) -> Value {
    match dialect {
        Dialect::Anthropic => page(models, query),
        Dialect::Gemini => json!({ "models": all(dialect, models) }),
        _ => json!({ "object": "list", "data": all(dialect, models) }),
    }
}

fn all(dialect: Dialect, models: &[Model<'_>]) -> Vec<Value> {
    models.iter().map(|model| told(dialect, model)).collect()
}

/// A page of Anthropic's list; what its clients do not know they do not ask for.
fn page(models: &[Model<'_>], query: &str) -> Value {
    let said = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    let at = |name: &str| said(name).and_then(|id| models.iter().position(|model| model.id == id));
    let size = said("limit").and_then(|limit| limit.parse().ok()).unwrap_or(PAGE).clamp(1, PAGE_MAX);
    let (start, end) = match (at("after_id"), at("before_id")) {
        (Some(after), _) => (after + 1, models.len().min(after + 1 + size)),
        (None, Some(before)) => (before.saturating_sub(size), before),
        (None, None) => (0, models.len().min(size)),
    };
    let shown = &models[start..end];
    let more = if said("before_id").is_some() { start > 0 } else { end < models.len() };
    json!({
        "data": all(Dialect::Anthropic, shown),
        "has_more": more,
        "first_id": shown.first().map(|model| model.id),
        "last_id": shown.last().map(|model| model.id),
    })
}
