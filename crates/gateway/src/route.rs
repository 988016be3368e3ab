//! Routes: which requests exist at all.
//!
//! It promises that a provider's path has a route only where its call is metered: everything else is refused by name,
//! and nothing is forwarded because it looks familiar. It leaves out where a route leads; upstreams come from config.

use std::fmt;

use hyper::Method;

use crate::dialect::Dialect;

/// A request that this gateway knows what to do with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Route {
    /// Anthropic's Messages.
    Messages,
    /// Anthropic's count of what a message would be; nothing is booked for it.
    CountTokens,
    /// OpenAI's Chat Completions.
    ChatCompletions,
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

impl Route {
    /// The route of a method and a path; the path has no key in front of it any more, and no query.
    ///
    /// # Errors
    /// [`NoRoute`] where there is none.
    pub fn of(method: &Method, path: &str) -> Result<Self, NoRoute> {
        match (method.as_str(), path) {
            ("POST", "/v1/messages") => Ok(Self::Messages),
            ("POST", "/v1/messages/count_tokens") => Ok(Self::CountTokens),
            ("POST", "/v1/chat/completions") => Ok(Self::ChatCompletions),
            ("HEAD" | "GET", "/") => Ok(Self::Local(Local::Root)),
            ("HEAD" | "GET", "/api/hello") => Ok(Self::Local(Local::Hello)),
            ("HEAD" | "GET", "/healthz") => Ok(Self::Local(Local::Healthz)),
            ("HEAD" | "GET", "/readyz") => Ok(Self::Local(Local::Readyz)),
            _ => Err(NoRoute::of(path)),
        }
    }

    /// The path of this route at a provider, which is its own path here; `None` for a question to Almoner.
    #[must_use]
    pub const fn upstream_path(self) -> Option<&'static str> {
        match self {
            Self::Messages => Some("/v1/messages"),
            Self::CountTokens => Some("/v1/messages/count_tokens"),
            Self::ChatCompletions => Some("/v1/chat/completions"),
            Self::Local(_) => None,
        }
    }

    /// In whose words the route speaks.
    #[must_use]
    pub const fn dialect(self) -> Dialect {
        match self {
            Self::Messages | Self::CountTokens => Dialect::Anthropic,
            Self::ChatCompletions | Self::Local(_) => Dialect::Chat,
        }
    }
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
    /// A path of a provider that Almoner does not meter.
    #[error("{0} are not metered, so they do not pass; {ROUTES}")]
    Unmetered(&'static str),
    /// Nothing is known by this path.
    #[error("there is no such path; {ROUTES}")]
    Unknown(Dialect),
}

/// What a person is told who asked for something else.
const ROUTES: &str = "the routes are POST /v1/messages, POST /v1/messages/count_tokens and POST /v1/chat/completions";

/// The paths that exist, so that a wrong method is told apart from a wrong path.
const PATHS: [&str; 7] =
    ["/v1/messages", "/v1/messages/count_tokens", "/v1/chat/completions", "/", "/api/hello", "/healthz", "/readyz"];

/// The beginnings of providers' paths that have no meter here, with the name by which they are refused. The first
/// that fits counts.
const UNMETERED: [(&str, &str); 34] = [
    ("/v1/messages/batches", "message batches"),
    ("/v1/batches", "batches"),
    ("/v1/files", "files"),
    ("/v1/uploads", "uploads"),
    ("/v1/images", "images"),
    ("/v1/audio", "speech and transcription"),
    ("/v1/videos", "videos"),
    ("/v1/realtime", "realtime sessions"),
    ("/v1/responses", "responses"),
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
    ("/v1/completions", "text completions"),
    ("/v1/embeddings", "embeddings"),
    ("/v1/moderations", "moderations"),
    ("/v1/models", "model lists and Gemini's methods"),
    ("/v1beta", "Gemini's methods"),
    ("/v1alpha", "Gemini's methods"),
    ("/upload", "Gemini's uploads"),
    ("/api", "Ollama's own routes"),
    ("/v1/chat/completions", "stored chat completions"),
    ("/v1/experimental", "experimental routes"),
];

impl NoRoute {
    fn of(path: &str) -> Self {
        if let Some(known) = PATHS.into_iter().find(|known| *known == path) {
            return Self::Method(known);
        }
        match UNMETERED.into_iter().find(|(start, _)| is_below(path, start)) {
            Some((_, name)) => Self::Unmetered(name),
            None if is_below(path, "/v1/messages") => Self::Unknown(Dialect::Anthropic),
            None => Self::Unknown(Dialect::Chat),
        }
    }

    /// In whose words to say so.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        match self {
            Self::Method(path) if path.starts_with("/v1/messages") => Dialect::Anthropic,
            Self::Unmetered("message batches") => Dialect::Anthropic,
            Self::Unknown(dialect) => *dialect,
            Self::Method(_) | Self::Unmetered(_) => Dialect::Chat,
        }
    }
}

/// Whether `path` is `start` or something under it.
fn is_below(path: &str, start: &str) -> bool {
    path.strip_prefix(start).is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', ':']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(request: &str, expected: &str) {
        let (method, path) = request.split_once(' ').unwrap();
        let got = match Route::of(&method.parse().unwrap(), path) {
            Ok(route) => format!("{route:?}"),
            Err(NoRoute::Unmetered(name)) => format!("unmetered: {name}"),
            Err(NoRoute::Method(_)) => "method".to_owned(),
            Err(NoRoute::Unknown(_)) => "unknown".to_owned(),
        };
        assert_eq!(got, expected, "{request}");
    }

    #[test]
    fn three_routes_and_four_answers_of_our_own_exist() {
        check("POST /v1/messages", "Messages");
        check("POST /v1/messages/count_tokens", "CountTokens");
        check("POST /v1/chat/completions", "ChatCompletions");
        for method in ["GET", "HEAD"] {
            check(&format!("{method} /"), "Local(Root)");
            check(&format!("{method} /api/hello"), "Local(Hello)");
            check(&format!("{method} /healthz"), "Local(Healthz)");
            check(&format!("{method} /readyz"), "Local(Readyz)");
        }
    }

    #[test]
    fn what_looks_like_a_route_is_none() {
        for path in ["/v1/messages/", "//v1/messages", "/v1/Messages", "/v1/messages%2f", "/V1/messages", "/v1", ""] {
            check(&format!("POST {path}"), "unknown");
        }
        check("POST /v1/messages/../files", "unknown");
        check("GET /v1/messages", "method");
        check("PUT /v1/chat/completions", "method");
        check("DELETE /", "method");
    }

    #[test]
    fn providers_paths_without_a_meter_are_refused_by_name() {
        let table = [
            ("POST /v1/messages/batches", "message batches"),
            ("GET /v1/messages/batches/msgbatch_1/results", "message batches"),
            ("POST /v1/complete", "text completions"),
            ("GET /v1/models", "model lists and Gemini's methods"),
            ("POST /v1/files", "files"),
            ("POST /v1/skills", "skills"),
            ("POST /v1/agents", "hosted agents"),
            ("POST /v1/sessions/s/events", "hosted sessions"),
            ("GET /v1/organizations/usage_report/messages", "an organisation's own settings"),
            ("GET /v1/chat/completions/chatcmpl-1", "stored chat completions"),
            ("POST /v1/completions", "text completions"),
            ("POST /v1/responses", "responses"),
            ("POST /v1/responses/input_tokens", "responses"),
            ("POST /v1/conversations", "conversations"),
            ("POST /v1/embeddings", "embeddings"),
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
            ("POST /v1beta/models/gemini-3:generateContent", "Gemini's methods"),
            ("POST /v1/models/gemini-3:streamGenerateContent", "model lists and Gemini's methods"),
            ("POST /upload/v1beta/files", "Gemini's uploads"),
            ("POST /api/chat", "Ollama's own routes"),
            ("POST /api/generate", "Ollama's own routes"),
            ("POST /api/embed", "Ollama's own routes"),
            ("POST /api/pull", "Ollama's own routes"),
        ];
        for (request, name) in table {
            check(request, &format!("unmetered: {name}"));
        }
    }

    #[test]
    fn a_refusal_says_what_there_is() {
        let said = Route::of(&Method::POST, "/v1/files").unwrap_err().to_string();
        assert_eq!(said, format!("files are not metered, so they do not pass; {ROUTES}"));
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
