//! Routes: which requests exist at all.
//!
//! It promises that a provider's path has a route only where its call is metered: everything else is refused by name,
//! and nothing is forwarded because it looks familiar. It leaves out where a route leads; upstreams come from config.

use std::fmt;

use hyper::Method;

use crate::dialect::{Asks, Dialect, Endpoint, is_below};
use crate::models;

/// A request that this gateway knows what to do with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// A call that is for a provider.
    Provider(&'static Endpoint),
    /// A question about models, which is answered here.
    Models,
    /// A question to Almoner itself.
    Local(Local),
}

/// A question that is answered here, without a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Local {
    /// `/`, with which some clients ask whether anybody is there.
    Root,
    /// `/api/hello`, with which others do.
    Hello,
    /// `/healthz`: whether the process lives.
    Healthz,
    /// `/readyz`: whether calls are admitted.
    Readyz,
}

/// The paths of our own.
const LOCAL: [(&str, Local); 4] =
    [("/", Local::Root), ("/api/hello", Local::Hello), ("/healthz", Local::Healthz), ("/readyz", Local::Readyz)];

impl Route {
    /// The route of a method and a path; the path has no key in front of it any more, and no query.
    ///
    /// # Errors
    /// [`NoRoute`] where there is none.
    pub fn of(method: &Method, path: &str) -> Result<Self, NoRoute> {
        if let Some(endpoint) = endpoints().find(|endpoint| endpoint.takes(path)) {
            let none = match SOCKETS.contains(&endpoint.path()) && method == Method::GET {
                true => NoRoute::Socket,
                false => NoRoute::Method(endpoint.path()),
            };
            let wanted = if endpoint.asks == Asks::Look { Method::GET } else { Method::POST };
            return (*method == wanted).then_some(Self::Provider(endpoint)).ok_or(none);
        }
        if models::is_asked(method, path) {
            return Ok(Self::Models);
        }
        let Some((path, local)) = LOCAL.into_iter().find(|(known, _)| *known == path) else {
            return Err(NoRoute::of(path));
        };
        [Method::HEAD, Method::GET].contains(method).then_some(Self::Local(local)).ok_or(NoRoute::Method(path))
    }
}

/// The paths at which a provider also talks over a WebSocket, which nobody here can meter. Their clients post where a
/// socket is refused.
const SOCKETS: [&str; 1] = ["/v1/responses"];

/// The endpoints of all dialects.
fn endpoints() -> impl Iterator<Item = &'static Endpoint> {
    Dialect::ALL.into_iter().flat_map(|dialect| dialect.tongue().endpoints.iter().copied())
}

/// The key that a client carried in front of its path. It is a secret, so it prints as nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct PathKey(String);

impl PathKey {
    /// The key itself, for the one who checks it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PathKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PathKey(***)")
    }
}

/// Takes a leading `/k/KEY` from a path, for clients whose every header is spoken for by their own credential.
///
/// What is left begins with one `/`, however many stood after the key: some clients end their base URL with one.
#[must_use]
pub fn split_key(path: &str) -> (Option<PathKey>, &str) {
    let Some(rest) = path.strip_prefix("/k/") else { return (None, path) };
    let (key, rest) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    let extra = rest.len() - rest.trim_start_matches('/').len();
    let rest = if rest.is_empty() { "/" } else { &rest[extra - 1..] };
    (Some(PathKey(key.to_owned())), rest)
}

/// Why a path has no route here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoRoute {
    /// The path exists, for another method.
    #[error("`{0}` takes no such method; send POST to it, or GET to /healthz and /readyz")]
    Method(&'static str),
    /// The path exists, but for a WebSocket.
    #[error("WebSockets are not metered, so none is opened; send the same with POST")]
    Socket,
    /// The path exists, and the model that it names does not.
    #[error("no provider of the config serves this model; `GET /v1/models` lists those that may be asked for")]
    Model,
    /// A path of a provider that Almoner does not meter.
    #[error("{0} are not metered, so they do not pass; {routes}", routes = routes())]
    Unmetered(&'static str),
    /// Nothing is known by this path.
    #[error("there is no such path; {routes}", routes = routes())]
    Unknown,
}

/// What a person is told who asked for something else.
fn routes() -> String {
    let routes: Vec<String> = endpoints().map(|endpoint| format!("{} {}", verb(endpoint), endpoint.path())).collect();
    match routes.split_last() {
        Some((last, [])) => format!("the only route is {last}"),
        Some((last, others)) => format!("the routes are {} and {last}", others.join(", ")),
        None => "there are no routes".to_owned(),
    }
}

fn verb(endpoint: &Endpoint) -> &'static str {
    if endpoint.asks == Asks::Look { "GET" } else { "POST" }
}

/// The beginnings of providers' paths that have no meter here, with the name by which they are refused. The first
/// that fits counts.
const UNMETERED: &[(&str, &str)] = &[
    ("/v1/messages/batches", "message batches"),
    ("/v1/batches", "batches"),
    ("/v1/files", "files"),
    ("/v1/uploads", "uploads"),
    ("/v1/images", "images"),
    ("/v1/audio", "speech and transcription"),
    ("/v1/videos", "videos"),
    ("/v1/realtime", "realtime sessions"),
    ("/v1/responses/compact", "summaries by `/v1/responses/compact`, whose output nothing caps,"),
    ("/v1/responses", "stored responses"),
    ("/v1/conversations", "conversations"),
    ("/v1/assistants", "assistants"),
    ("/v1/threads", "assistants' threads"),
    ("/v1/vector_stores", "vector stores"),
    ("/v1/containers", "containers"),
    ("/v1/evals", "evals"),
    ("/v1/fine_tuning", "fine-tuning jobs"),
    ("/v1/chatkit", "ChatKit sessions"),
    ("/v1/skills", "skills"),
    ("/v1/agents", "hosted agents"),
    ("/v1/sessions", "hosted sessions"),
    ("/v1/environments", "hosted environments"),
    ("/v1/organization", "an organisation's own settings"),
    ("/v1/organizations", "an organisation's own settings"),
    ("/v1/complete", "text completions"),
    ("/v1/moderations", "moderations"),
    ("/v1/models", "changes of models and Gemini's other methods"),
    ("/v1beta/files", "Gemini's files"),
    ("/v1beta/cachedContents", "Gemini's cached contents"),
    ("/v1beta/tunedModels", "Gemini's tuned models"),
    ("/v1beta/batches", "Gemini's batches"),
    ("/v1beta/interactions", "Gemini's interactions"),
    ("/v1beta/corpora", "Gemini's corpora"),
    ("/v1beta/fileSearchStores", "Gemini's file search"),
    ("/v1beta", "Gemini's other methods"),
    ("/v1alpha", "Gemini's early methods"),
    ("/ws/google.ai.generativelanguage", "Gemini's live sessions"),
    ("/upload", "Gemini's uploads"),
    ("/api/blobs", "files of models"),
    ("/api/copy", "copies of models"),
    ("/api/create", "new models"),
    ("/api/delete", "deletions of models"),
    ("/api/pull", "downloads of models"),
    ("/api/push", "uploads of models"),
    ("/api/web_fetch", "Ollama's web search"),
    ("/api/web_search", "Ollama's web search"),
    ("/api", "Ollama's other routes"),
    ("/v1/chat/completions", "stored chat completions"),
    ("/v1/experimental", "experimental routes"),
    ("/v1/content_provenance_checks", "checks of provenance"),
    ("/v1/decisions", "decisions"),
    ("/v1/deployment_runs", "hosted agents"),
    ("/v1/deployments", "hosted agents"),
    ("/v1/dreams", "dreams"),
    ("/v1/live", "live sessions"),
    ("/v1/memory_stores", "memory stores"),
    ("/v1/projects", "a project's own settings"),
    ("/v1/safety", "safety cases"),
    ("/v1/tunnels", "tunnels"),
    ("/v1/user_profiles", "user profiles"),
    ("/v1/vaults", "vaults"),
    ("/v1/webhook_endpoints", "webhooks"),
    ("/v1/webhook_event_types", "webhooks"),
];

/// The methods of Gemini's models that have no meter here, by the end of their paths.
const UNMETERED_METHODS: [(&str, &str); 7] = [
    (":asyncBatchEmbedContent", "Gemini's batches"),
    (":batchEmbedContents", "Gemini's embeddings"),
    (":batchGenerateContent", "Gemini's batches"),
    (":bidiGenerateContent", "Gemini's live sessions"),
    (":embedContent", "Gemini's embeddings"),
    (":predict", "Gemini's images"),
    (":predictLongRunning", "Gemini's videos"),
];

impl NoRoute {
    fn of(path: &str) -> Self {
        if let Some((_, name)) = UNMETERED_METHODS.into_iter().find(|(end, _)| path.ends_with(end)) {
            return Self::Unmetered(name);
        }
        let known = UNMETERED.iter().find(|(start, _)| is_below(path, start));
        known.map_or(Self::Unknown, |(_, name)| Self::Unmetered(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(request: &str, expected: &str) {
        let (method, path) = request.split_once(' ').unwrap();
        let got = match Route::of(&method.parse().unwrap(), path) {
            Ok(Route::Provider(endpoint)) => format!("{:?} {endpoint:?}", endpoint.dialect()),
            Ok(Route::Local(local)) => format!("{local:?}"),
            Ok(Route::Models) => "models".to_owned(),
            Err(NoRoute::Unmetered(name)) => format!("unmetered: {name}"),
            Err(NoRoute::Method(_)) => "method".to_owned(),
            Err(NoRoute::Socket) => "socket".to_owned(),
            Err(NoRoute::Model) => "no model".to_owned(),
            Err(NoRoute::Unknown) => "unknown".to_owned(),
        };
        assert_eq!(got, expected, "{request}");
    }

    #[test]
    fn every_route_and_four_answers_of_our_own_exist() {
        check("POST /v1/messages", "Anthropic /v1/messages");
        check("POST /v1/messages/count_tokens", "Anthropic /v1/messages/count_tokens");
        check("POST /v1/chat/completions", "Chat /v1/chat/completions");
        for path in ["/v1/models", "/v1/models/gpt-5", "/v1beta/models", "/v1/models/openai/gpt-oss-120b"] {
            check(&format!("GET {path}"), "models");
        }
        check("POST /v1/embeddings", "Chat /v1/embeddings");
        check("POST /v1/completions", "Chat /v1/completions");
        check("POST /v1/responses", "Responses /v1/responses");
        check("POST /v1/responses/input_tokens", "Responses /v1/responses/input_tokens");
        for path in ["chat", "generate", "embed", "embeddings", "show"] {
            check(&format!("POST /api/{path}"), &format!("Ollama /api/{path}"));
            check(&format!("GET /api/{path}"), "method");
        }
        for path in ["tags", "ps", "version"] {
            check(&format!("GET /api/{path}"), &format!("Ollama /api/{path}"));
            check(&format!("POST /api/{path}"), "method");
        }
        for version in ["v1beta", "v1"] {
            for method in ["generateContent", "streamGenerateContent", "countTokens"] {
                let path = |model| format!("/{version}/models/{model}:{method}");
                check(&format!("POST {}", path("gemini-3")), &format!("Gemini {}", path("{model}")));
                check(&format!("GET {}", path("gemini-3")), "method");
            }
        }
        for method in ["GET", "HEAD"] {
            check(&format!("{method} /"), "Root");
            check(&format!("{method} /api/hello"), "Hello");
            check(&format!("{method} /healthz"), "Healthz");
            check(&format!("{method} /readyz"), "Readyz");
        }
    }

    #[test]
    fn what_looks_like_a_route_is_none() {
        for path in ["/v1/messages/", "//v1/messages", "/v1/Messages", "/v1/messages%2f", "/V1/messages", "/v1", ""] {
            check(&format!("POST {path}"), "unknown");
        }
        check("POST /v1/messages/../files", "unknown");
        check("GET /v1/messages", "method");
        check("GET /v1/responses", "socket");
        check("GET /v1/responses/input_tokens", "method");
        check("PUT /v1/chat/completions", "method");
        check("DELETE /", "method");
    }

    #[test]
    fn providers_paths_without_a_meter_are_refused_by_name() {
        let table = [
            ("POST /v1/messages/batches", "message batches"),
            ("GET /v1/messages/batches/msgbatch_1/results", "message batches"),
            ("POST /v1/complete", "text completions"),
            ("DELETE /v1/models/ft:gpt-4o:me", "changes of models and Gemini's other methods"),
            ("POST /v1/files", "files"),
            ("POST /v1/skills", "skills"),
            ("POST /v1/agents", "hosted agents"),
            ("POST /v1/sessions/s/events", "hosted sessions"),
            ("GET /v1/organizations/usage_report/messages", "an organisation's own settings"),
            ("GET /v1/chat/completions/chatcmpl-1", "stored chat completions"),
            ("GET /v1/responses/resp_1", "stored responses"),
            ("POST /v1/responses/resp_1/cancel", "stored responses"),
            ("POST /v1/responses/compact", "summaries by `/v1/responses/compact`, whose output nothing caps,"),
            ("POST /v1/conversations", "conversations"),
            ("POST /v1/images/generations", "images"),
            ("POST /v1/audio/speech", "speech and transcription"),
            ("POST /v1/videos", "videos"),
            ("GET /v1/realtime", "realtime sessions"),
            ("POST /v1/batches", "batches"),
            ("POST /v1/uploads", "uploads"),
            ("POST /v1/fine_tuning/jobs", "fine-tuning jobs"),
            ("POST /v1/assistants", "assistants"),
            ("POST /v1/threads/t/runs", "assistants' threads"),
            ("POST /v1/vector_stores", "vector stores"),
            ("POST /v1/moderations", "moderations"),
            ("POST /v1/evals", "evals"),
            ("POST /v1/containers", "containers"),
            ("GET /v1/organization/costs", "an organisation's own settings"),
            ("POST /v1/experimental/generate_prompt", "experimental routes"),
            ("POST /v1beta/models/gemini-3:embedContent", "Gemini's embeddings"),
            ("POST /v1beta/models/gemini-3:batchEmbedContents", "Gemini's embeddings"),
            ("POST /v1/models/gemini-3:batchGenerateContent", "Gemini's batches"),
            ("POST /v1beta/models/imagen-4:predict", "Gemini's images"),
            ("POST /v1beta/models/veo-3:predictLongRunning", "Gemini's videos"),
            ("POST /v1beta/files", "Gemini's files"),
            ("GET /v1beta/cachedContents/c", "Gemini's cached contents"),
            ("POST /v1beta/tunedModels/t:generateContent", "Gemini's tuned models"),
            ("GET /v1beta/batches/b", "Gemini's batches"),
            ("POST /v1beta/interactions", "Gemini's interactions"),
            ("POST /v1alpha/models/m:generateContent", "Gemini's early methods"),
            ("POST /upload/v1beta/files", "Gemini's uploads"),
            ("POST /api/pull", "downloads of models"),
            ("POST /api/push", "uploads of models"),
            ("POST /api/create", "new models"),
            ("DELETE /api/delete", "deletions of models"),
            ("POST /api/copy", "copies of models"),
            ("HEAD /api/blobs/sha256:1", "files of models"),
            ("POST /api/web_search", "Ollama's web search"),
            ("POST /api/me", "Ollama's other routes"),
        ];
        for (request, name) in table {
            check(request, &format!("unmetered: {name}"));
        }
    }

    /// What OpenAI, Anthropic, Google and Ollama publish, as their references and SDKs had it in November 2026: a path
    /// of each family, and every path at which a model answers. `x` stands for an id.
    const PUBLISHED: &str = "
        POST /v1/chat/completions            GET /v1/chat/completions/x            GET /v1/chat/completions/x/messages
        POST /v1/completions                 POST /v1/embeddings                   POST /v1/moderations
        POST /v1/responses                   GET /v1/responses                     GET /v1/responses/x
        POST /v1/responses/x/cancel          GET /v1/responses/x/input_items       POST /v1/responses/compact
        POST /v1/responses/input_tokens      POST /v1/conversations                GET /v1/conversations/x/items
        GET /v1/models                       GET /v1/models/x                      DELETE /v1/models/x
        POST /v1/files                       GET /v1/files/x/content               POST /v1/uploads/x/parts
        POST /v1/batches                     POST /v1/batches/x/cancel             POST /v1/images/generations
        POST /v1/images/edits                POST /v1/images/variations            POST /v1/audio/speech
        POST /v1/audio/transcriptions        POST /v1/audio/translations           POST /v1/audio/voices
        POST /v1/videos                      GET /v1/videos/x                      GET /v1/realtime
        POST /v1/realtime/calls              POST /v1/realtime/client_secrets      POST /v1/live/sessions
        POST /v1/fine_tuning/jobs            POST /v1/assistants                   POST /v1/threads
        POST /v1/threads/runs                POST /v1/threads/x/runs               POST /v1/vector_stores
        POST /v1/vector_stores/x/search      POST /v1/containers                   POST /v1/evals
        POST /v1/evals/x/runs                POST /v1/chatkit/sessions             POST /v1/skills
        POST /v1/agents/x                    POST /v1/agents/sessions              POST /v1/decisions
        POST /v1/content_provenance_checks   GET /v1/organization/costs            GET /v1/projects/x/groups/x/roles
        GET /v1/safety/cases/x               POST /v1/vaults                       POST /v1/webhook_endpoints
        GET /v1/webhook_event_types          POST /v1/messages                     POST /v1/messages/count_tokens
        POST /v1/messages/batches            GET /v1/messages/batches/x/results    POST /v1/complete
        POST /v1/sessions                    POST /v1/sessions/x/events            POST /v1/environments
        POST /v1/memory_stores               POST /v1/user_profiles                POST /v1/deployments
        GET /v1/deployment_runs              POST /v1/dreams                       POST /v1/tunnels
        GET /v1/organizations/x/users        POST /v1/experimental/generate_prompt POST /upload/v1beta/files
        GET /v1beta/models                   GET /v1beta/models/x
        POST /v1beta/models/x:generateContent
        POST /v1beta/models/x:countTokens    POST /v1beta/models/x:embedContent
        POST /v1beta/models/x:batchEmbedContents
        POST /v1beta/models/x:predict        POST /v1beta/models/x:predictLongRunning
        POST /v1beta/models/x:streamGenerateContent    POST /v1beta/models/x:batchGenerateContent
        POST /v1beta/cachedContents          POST /v1beta/files                    POST /v1beta/tunedModels
        POST /v1beta/interactions            POST /v1beta/fileSearchStores         POST /v1beta/batches/x:cancel
        POST /v1/models/x:generateContent    POST /v1/models/x:countTokens         POST /v1/models/x:embedContent
        POST /api/generate                   POST /api/chat                        POST /api/embed
        POST /api/embeddings                 GET /api/tags                         POST /api/show
        GET /api/ps                          GET /api/version                      POST /api/create
        POST /api/copy                       DELETE /api/delete                    POST /api/pull
        POST /api/push                       HEAD /api/blobs/x                     POST /api/web_search
    ";

    #[test]
    fn every_published_path_has_a_meter_or_is_refused_by_name() {
        let words: Vec<&str> = PUBLISHED.split_whitespace().collect();
        let (mut metered, mut named) = (0, 0);
        for request in words.chunks(2) {
            let [method, path] = request else { panic!("{request:?}") };
            match Route::of(&method.parse().unwrap(), path) {
                Ok(Route::Provider(_) | Route::Models) => metered += 1,
                Err(NoRoute::Unmetered(_) | NoRoute::Socket) => named += 1,
                other => panic!("{method} {path}: {other:?}"),
            }
        }
        assert!(metered > 20 && named > 70, "{metered} {named}");
    }

    #[test]
    fn a_refusal_says_what_there_is() {
        let said = Route::of(&Method::POST, "/v1/files").unwrap_err().to_string();
        let expected = "files are not metered, so they do not pass; the routes are POST /v1/messages, \
            POST /v1/messages/count_tokens, POST /v1/chat/completions, POST /v1/embeddings";
        assert!(said.starts_with(expected), "{said}");
        let all = endpoints().map(Endpoint::path).filter(|path| !said.contains(path));
        assert_eq!(all.collect::<Vec<_>>(), Vec::<&str>::new());
    }

    #[test]
    fn a_key_in_front_of_the_path_is_split_off() {
        let split = |path| {
            let (key, rest) = split_key(path);
            (key.map(|key| key.reveal().to_owned()), rest)
        };
        assert_eq!(split("/v1/messages"), (None, "/v1/messages"));
        assert_eq!(split("/k/alm_1/v1/messages"), (Some("alm_1".to_owned()), "/v1/messages"));
        assert_eq!(split("/k/alm_1//v1/messages"), (Some("alm_1".to_owned()), "/v1/messages"));
        assert_eq!(split("/k/alm_1"), (Some("alm_1".to_owned()), "/"));
        assert_eq!(split("/k/alm_1/"), (Some("alm_1".to_owned()), "/"));
        assert_eq!(split("/k//v1/messages"), (Some(String::new()), "/v1/messages"));
        assert_eq!(split("/k"), (None, "/k"));
    }

    #[test]
    fn a_key_never_prints() {
        let (key, _) = split_key("/k/alm_secret/");
        assert!(!format!("{key:?}").contains("secret"));
    }
}
