//! The way of a request: is it for us, what does it ask, who asks, and what came of it.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use almoner_api::{Asked, Caller, Port};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body, Bytes};
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode};
use sha2::{Digest, Sha256};
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

use crate::act::{Ask, act};
use crate::again::{self, Again, Turn};
use crate::body::check_kind;
use crate::door::Door;
use crate::events;
use crate::path::{decoded, fit};
use crate::problem::Problem;
use crate::query::Query;
use crate::table::{Act, ENDPOINTS, Endpoint, Gives, Verb};

/// The largest body of a request; the largest that means anything has a few kilobytes.
pub(crate) const BODY_MAX: usize = 256 << 10;
/// How long a body may take to come.
const BODY_TIME: Duration = Duration::from_secs(30);
/// How many streams of events may be open at once.
const STREAMS_MAX: usize = 64;

/// The body of an answer.
pub type WebBody = UnsyncBoxBody<Bytes, Box<dyn Error + Send + Sync>>;

/// Says whether a request is really for us, and comes from no web page of another origin.
type IsForUs = Box<dyn Fn(&Parts) -> bool + Send + Sync>;

/// The face.
pub struct Web<P> {
    pub(crate) port: P,
    is_for_us: IsForUs,
    door: Door,
    again: Again,
    pub(crate) streams: Arc<Semaphore>,
    /// Whether streams end now.
    pub(crate) closing: watch::Sender<bool>,
}

/// Whether a path is one of this face's, and not the gateway's. It is asked of every call, so it looks at few bytes.
#[must_use]
pub fn takes(path: &str) -> bool {
    let is_below = |rest: &str| rest.is_empty() || rest.starts_with('/');
    path == "/metrics"
        || path.strip_prefix("/api/").is_some_and(|rest| {
            rest.strip_prefix("v1").is_some_and(is_below) || rest.strip_prefix("throttle").is_some_and(is_below)
        })
}

impl<P: Port> Web<P> {
    /// The face on this port. `is_for_us` says whether a request is really for this server, and comes from no web page
    /// of another origin.
    pub fn new(port: P, is_for_us: impl Fn(&Parts) -> bool + Send + Sync + 'static) -> Self {
        Self {
            port,
            is_for_us: Box::new(is_for_us),
            door: Door::default(),
            again: Again::default(),
            streams: Arc::new(Semaphore::new(STREAMS_MAX)),
            closing: watch::Sender::new(false),
        }
    }

    /// Ends every stream of events: their clients come again, and go on where they stopped.
    pub fn stop(&self) {
        self.closing.send_replace(true);
    }

    /// Answers one request.
    pub async fn handle<B>(self: Arc<Self>, request: Request<B>) -> Response<WebBody>
    where
        B: Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let (head, body) = request.into_parts();
        self.answer(head, body).await.unwrap_or_else(|problem| tell(&problem))
    }

    async fn answer<B>(self: Arc<Self>, head: Parts, body: B) -> Result<Response<WebBody>, Problem>
    where
        B: Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        if !(self.is_for_us)(&head) {
            let why = "this port answers only requests for an address of its own, from no other web origin; names for it \
                       stand in `hosts` in the config";
            return Err(Problem::new(StatusCode::FORBIDDEN, "foreign", why));
        }
        let (endpoint, places) = find(&head.method, head.uri.path())?;
        let caller = match endpoint.role {
            Some(role) => Some(self.door.admit(&self.port, &head.headers, role)?),
            None => None,
        };
        let query = Query::read(head.uri.query().unwrap_or_default(), endpoint.query)?;
        if endpoint.act == Act::Events {
            return events::answer(&self, &query, &head.headers);
        }
        let body = match endpoint.takes {
            Some(_) => receive(&head, body).await?,
            None => Bytes::new(),
        };
        let asked = caller.as_ref().map(|caller| self.asked(caller, &head, &body)).transpose()?.flatten();
        let (call, by) = (self.port.new_call(), caller.as_ref().map_or_else(String::new, by));
        let ask = Ask { act: endpoint.act, places, query, body, by, call };
        match asked {
            Some(asked) => self.once(endpoint, asked, ask).await,
            None => Ok(whole(endpoint, act(&self.port, &ask).await?)),
        }
    }

    /// What must be done once, where the request says so.
    fn asked(&self, caller: &Caller, head: &Parts, body: &Bytes) -> Result<Option<Asked>, Problem> {
        let key = if head.method == Method::POST { again::key(&head.headers)? } else { None };
        let address = head.uri.path_and_query().map_or("", |address| address.as_str());
        let digest = || Sha256::new().chain_update(address).chain_update([0]).chain_update(body).finalize().into();
        Ok(key.map(|key| Asked {
            by: caller.token.clone(),
            key,
            digest: digest(),
            call: self.port.new_call(),
            at: self.port.now(),
        }))
    }

    /// Does a request once, however often it is sent. It goes on where its client hangs up: who asks again hears what
    /// came of it.
    async fn once(
        self: Arc<Self>,
        endpoint: &'static Endpoint,
        asked: Asked,
        ask: Ask,
    ) -> Result<Response<WebBody>, Problem> {
        let work = async move {
            let _alone = self.again.alone(&asked).await?;
            let call = match self.again.begin(&self.port, &asked, ask.act.repeats_safely()).await? {
                Turn::Done(status, body) => return Ok(replayed(status, body)),
                Turn::Do(call) => call,
            };
            let came = act(&self.port, &Ask { call, ..ask }).await;
            let is_secret = matches!(endpoint.gives, Gives::Secret(_));
            let kept = came.as_ref().map(|body| (status(endpoint).as_u16(), body.as_str(), is_secret));
            self.again.end(&self.port, &asked, kept).await;
            Ok(whole(endpoint, came?))
        };
        tokio::spawn(work).await.map_err(|_| Problem::fault("the request broke off here"))?
    }
}

/// Who asks, as the audit has it.
fn by(caller: &Caller) -> String {
    format!("token {}", caller.name)
}

/// The endpoint of a method and a path, and what stands in the places of the path.
fn find(method: &Method, path: &str) -> Result<(&'static Endpoint, Vec<String>), Problem> {
    // Who asks for the head alone gets that of the whole.
    let verb = if method == Method::HEAD { Verb::Get.name() } else { method.as_str() };
    let fitting: Vec<_> = ENDPOINTS.iter().filter_map(|endpoint| Some((endpoint, fit(endpoint.path, path)?))).collect();
    let Some((endpoint, places)) = fitting.iter().find(|(endpoint, _)| endpoint.verb.name() == verb) else {
        return Err(none(&fitting.iter().map(|(endpoint, _)| endpoint.verb.name()).collect::<Vec<_>>()));
    };
    let places = places.iter().map(|place| decoded(place, false)).collect::<Result<_, _>>()?;
    Ok((*endpoint, places))
}

/// Why there is no endpoint for a path that takes these methods.
fn none(verbs: &[&str]) -> Problem {
    if verbs.is_empty() {
        let problem = Problem::new(StatusCode::NOT_FOUND, "no_such_path", "there is no such path");
        return problem.hint("`GET /api/v1/openapi.json` has all that there are");
    }
    let allow = verbs.join(", ");
    let why = format!("this path takes {allow} alone");
    Problem { allow: Some(allow), ..Problem::new(StatusCode::METHOD_NOT_ALLOWED, "bad_method", why) }
}

/// Reads the body of a request, within its bounds of kind, size and time.
async fn receive<B>(head: &Parts, body: B) -> Result<Bytes, Problem>
where
    B: Body<Data = Bytes> + Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    check_kind(&head.headers, body.is_end_stream())?;
    let broke_off = |why: &str| Problem::unreadable("broke_off", why);
    match timeout(BODY_TIME, Limited::new(body, BODY_MAX).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            let why = format!("the body has more than {BODY_MAX} bytes");
            Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", why))
        }
        Ok(Err(_)) => Err(broke_off("the body broke off")),
        Err(_) => Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "too_slow", "the body did not come in time")),
    }
}

const fn status(endpoint: &Endpoint) -> StatusCode {
    match endpoint.gives {
        Gives::Secret(_) => StatusCode::CREATED,
        Gives::Json(_) | Gives::Metrics | Gives::Events => StatusCode::OK,
    }
}

fn whole(endpoint: &Endpoint, body: String) -> Response<WebBody> {
    let kind = match endpoint.gives {
        Gives::Metrics => "text/plain; version=0.0.4; charset=utf-8",
        _ => "application/json",
    };
    respond(status(endpoint), kind, body.into())
}

/// An answer that was given before.
fn replayed(status: u16, body: String) -> Response<WebBody> {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
    let mut answer = respond(status, "application/json", body.into());
    answer.headers_mut().insert(HeaderName::from_static(again::REPLAYED), HeaderValue::from_static("true"));
    answer
}

fn tell(problem: &Problem) -> Response<WebBody> {
    let mut answer = respond(problem.status, "application/problem+json", problem.body().into());
    let headers = answer.headers_mut();
    if problem.status == StatusCode::UNAUTHORIZED {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"almoner\""));
    }
    if let Some(seconds) = problem.retry_after_s {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    if let Some(allow) = problem.allow.as_deref().and_then(|allow| HeaderValue::from_str(allow).ok()) {
        headers.insert(header::ALLOW, allow);
    }
    answer
}

fn respond(status: StatusCode, kind: &'static str, body: Bytes) -> Response<WebBody> {
    with_body(status, kind, WebBody::new(Full::new(body).map_err(|never| match never {})))
}

/// An answer that nobody keeps, and no browser takes for something else.
pub(crate) fn with_body(status: StatusCode, kind: &'static str, body: WebBody) -> Response<WebBody> {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}
