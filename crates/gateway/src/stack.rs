//! The life of a call, from its first byte to the moment it may go: who asks, for what, under which budgets, for how
//! much at most, and whether that fits. What happens once it may go is in [`crate::exchange`].

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use almoner_policy::pace::PaceRule;
use almoner_policy::{ACCOUNTS_MAX, Health, ModelPattern, Overheads, Price, PriceBook};
use almoner_units::{AccountKey, Budget, BudgetName, LabelValue, Labels, Meter, Priority, Span, Timestamp};
use http_body_util::BodyExt;
use hyper::body::{Body, Bytes};
use hyper::http::request::Parts;
use hyper::{HeaderMap, Request, Response, StatusCode, Uri};
use tokio::sync::{Notify, Semaphore};
use tokio::time::{Instant, timeout};

use crate::answer::Answer;
use crate::ask::A_MOMENT;
use crate::clamps::Clamps;
use crate::counting::Counting;
use crate::dialect::{self, Asks, Call, Dialect, Endpoint};
use crate::heed::unheeded;
use crate::hop::Hop;
use crate::http;
use crate::inbox::{Inbox, Unreceived};
use crate::journey::Roads;
use crate::labels::{Said, labels};
use crate::memory::Remembered;
use crate::models;
use crate::names::Names;
use crate::pacing::Pacing;
use crate::patient::{self, Waits};
use crate::pipe::full_body;
use crate::port::{KeyFacts, Keys, Purse, Recorder, Upstream};
use crate::provider::{Provider, Shown};
use crate::reject::{Kept, Of, Rejection, reject, turn_away};
use crate::relay::{ClientBody, Deadline};
use crate::report::{Report, Verdict};
use crate::retry::Tries;
use crate::route::{Local, PathKey, Route, split_key};
use crate::settings::GatewaySettings;
use crate::trace::TraceParent;
use crate::trial::Trial;
use crate::turns::{BODY_LARGE, Turns};
use crate::who::{Who, who};

/// How many answers are read on at once after their clients have gone.
const DRAINS_MAX: usize = 256;

/// The world that a gateway stands in.
pub trait World: Send + Sync + 'static {
    /// The ledger.
    type Purse: Purse;
    /// History.
    type Recorder: Recorder;
    /// The keys that we gave out.
    type Keys: Keys;
    /// The ways to providers.
    type Upstream: Upstream;
}

/// The gateway.
pub struct Gateway<W: World> {
    pub(crate) purse: Arc<W::Purse>,
    pub(crate) recorder: W::Recorder,
    pub(crate) keys: W::Keys,
    pub(crate) providers: Vec<Provider<W::Upstream>>,
    pub(crate) settings: GatewaySettings,
    pub(crate) book: PriceBook,
    budgets: RwLock<Arc<Vec<Budget>>>,
    stopping: Arc<AtomicBool>,
    /// Wakes whoever waits for another try when the server is told to stop.
    stopped: Arc<Notify>,
    pub(crate) drains: Arc<Semaphore>,
    pub(crate) clamps: Arc<Clamps>,
    pub(crate) counting: Counting,
    pub(crate) overheads: Arc<Mutex<Overheads>>,
    pub(crate) kept: Arc<Kept>,
    inbox: Arc<Inbox>,
    /// How many large bodies and packed answers may be read at once.
    pub(crate) turns: Turns,
    pub(crate) roads: Roads,
    pub(crate) pacing: Arc<Pacing>,
    /// Which calls go at which pace, once it is in force.
    paces: Vec<PaceRule>,
    pub(crate) remembered: Arc<Remembered>,
    /// How each provider is, in their order.
    healths: Vec<Arc<Mutex<Health>>>,
}

/// A call that was read: all that is known of it before it is known where it goes.
#[derive(Clone)]
pub(crate) struct Came {
    pub(crate) endpoint: &'static Endpoint,
    pub(crate) call: Call,
    pub(crate) body: Bytes,
    pub(crate) head: Parts,
    pub(crate) who: Who,
    /// When it had come whole.
    pub(crate) since: Instant,
    /// Lets it be heard that it waits with us.
    pub(crate) waits: Waits,
}

/// A call that is understood: everything that is known of it before the ledger is asked.
pub(crate) struct Understood {
    pub(crate) endpoint: &'static Endpoint,
    pub(crate) call: Call,
    pub(crate) body: Bytes,
    pub(crate) head: Parts,
    pub(crate) shown: Shown,
    pub(crate) key: Arc<KeyFacts>,
    pub(crate) provider: usize,
    /// The price of its model; `None` where nobody knows it.
    pub(crate) price: Option<Arc<Price>>,
    pub(crate) labels: Labels,
    pub(crate) priority: Priority,
    pub(crate) accounts: Vec<AccountKey>,
    /// Which of its headers for us were not heeded, and why.
    pub(crate) warnings: Vec<String>,
    /// Whether a budget that refuses counts this call at all.
    pub(crate) is_bounded: bool,
    /// Whether a budget that refuses counts it in dollars.
    is_priced: bool,
    /// Where it can go on to, of a call that takes a route or is tried again.
    pub(crate) hop: Option<Box<Hop>>,
    /// How often it was tried again before.
    pub(crate) tries: Tries,
    /// When it had come whole.
    pub(crate) since: Instant,
    /// That it is the one which tries a provider that is down.
    pub(crate) trial: Option<Trial>,
    /// Lets it be heard that it waits with us.
    pub(crate) waits: Waits,
}

/// An hour of the day lasts so long.
const HOUR_MS: u64 = 3_600_000;
/// What is told of the tools that a call had to do without.
const LEFT_OUT: &str = "tools.web_search";

impl Understood {
    /// What came, as it was before it was known where it goes.
    pub(crate) fn back(self) -> Came {
        let Self { endpoint, call, body, head, shown, key, since, waits, .. } = self;
        Came { endpoint, call, body, head, who: Who { key, shown }, since, waits }
    }
}

impl<W: World> Gateway<W> {
    /// A gateway with no budgets yet.
    pub fn new(
        purse: W::Purse,
        recorder: W::Recorder,
        keys: W::Keys,
        providers: Vec<Provider<W::Upstream>>,
        settings: GatewaySettings,
        book: PriceBook,
    ) -> Self {
        let purse = Arc::new(purse);
        Self {
            pacing: Arc::new(Pacing::new(
                {
                    let purse = Arc::clone(&purse);
                    move || Timestamp::from_ms(purse.steady().ms())
                },
                {
                    let purse = Arc::clone(&purse);
                    move || purse.now().ms() / HOUR_MS
                },
            )),
            purse,
            recorder,
            keys,
            inbox: Arc::new(Inbox::new(settings.bodies_bytes_max.max(settings.body_bytes_max))),
            turns: Turns::new(),
            healths: providers.iter().map(|_| Arc::default()).collect(),
            providers,
            settings,
            book,
            budgets: RwLock::default(),
            stopping: Arc::default(),
            stopped: Arc::default(),
            drains: Arc::new(Semaphore::new(DRAINS_MAX)),
            clamps: Arc::default(),
            counting: Counting::default(),
            overheads: Arc::default(),
            kept: Arc::default(),
            roads: Roads::default(),
            paces: Vec::new(),
            remembered: Arc::default(),
        }
    }

    /// The same gateway with routes, and with the names of those that calls take which a budget refuses.
    #[must_use]
    pub fn with_routes(self, routes: Vec<almoner_policy::Route>, detours: Vec<(BudgetName, String)>) -> Self {
        Self { roads: Roads::new(routes, detours), ..self }
    }

    /// The same gateway in the place of another, whose calls go on: it shares what that one has learned of providers,
    /// models and sessions, its places for those who read on, and whether it was told to stop.
    #[must_use]
    pub fn instead_of(self, old: &Self) -> Self {
        let health = |name: &str| old.providers.iter().position(|provider| provider.name == name);
        let known = |provider: &Provider<W::Upstream>| {
            health(&provider.name).map(|at| Arc::clone(&old.healths[at])).unwrap_or_default()
        };
        Self {
            healths: self.providers.iter().map(known).collect(),
            stopping: Arc::clone(&old.stopping),
            stopped: Arc::clone(&old.stopped),
            drains: Arc::clone(&old.drains),
            clamps: Arc::clone(&old.clamps),
            counting: old.counting.clone(),
            overheads: Arc::clone(&old.overheads),
            kept: Arc::clone(&old.kept),
            remembered: Arc::clone(&old.remembered),
            // Where the room has another size, the bodies of calls that run stay in the old one.
            inbox: if self.inbox.size() == old.inbox.size() { Arc::clone(&old.inbox) } else { self.inbox },
            turns: old.turns.clone(),
            roads: self.roads.instead_of(&old.roads),
            pacing: Arc::clone(&old.pacing),
            ..self
        }
    }

    /// The same gateway with the paces at which calls go.
    #[must_use]
    pub fn with_paces(self, paces: Vec<PaceRule>) -> Self {
        self.pacing.put(&paces);
        Self { paces, ..self }
    }

    /// Puts its paces in force, where it stands [in the place of another](Self::instead_of): for every call from now
    /// on, and for those that wait.
    pub fn put_paces(&self) {
        self.pacing.put(&self.paces);
    }

    /// Puts budgets in force for every call from now on. The ledger must know them before.
    pub fn set_budgets(&self, budgets: Vec<Budget>) {
        *self.budgets.write().unwrap_or_else(std::sync::PoisonError::into_inner) = Arc::new(budgets);
    }

    /// How a provider is.
    pub(crate) fn health(&self, provider: usize) -> std::sync::MutexGuard<'_, Health> {
        self.healths[provider].lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// What a call holds that tries a provider which is down.
    pub(crate) fn trial(&self, provider: usize) -> Trial {
        Trial::new(Arc::clone(&self.healths[provider]))
    }

    /// Every provider by name, with how it is.
    #[must_use]
    pub fn healths(&self) -> Vec<(String, Health)> {
        let names = self.providers.iter().map(|provider| provider.name.clone());
        names.enumerate().map(|(at, name)| (name, self.health(at).clone())).collect()
    }

    /// From now on whoever calls is told to come again; the calls that run go on to their end.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        self.stopped.notify_waiters();
    }

    /// Whether only those calls go on that run.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// Waits so long, or until the server is told to stop; whether it was not.
    pub(crate) async fn pause(&self, wait: Span) -> bool {
        let stopped = self.stopped.notified();
        tokio::pin!(stopped);
        // From here on no word is missed.
        stopped.as_mut().enable();
        if self.is_stopping() {
            return false;
        }
        timeout(Duration::from_millis(wait.ms()), stopped).await.is_err()
    }

    /// The budgets in force for every call.
    pub fn budgets(&self) -> Arc<Vec<Budget>> {
        Arc::clone(&self.budgets.read().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    /// Answers one request.
    pub async fn handle<B>(self: Arc<Self>, request: Request<B>) -> Response<ClientBody>
    where
        B: Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (mut head, body) = request.into_parts();
        http::clear_query(&mut head);
        let (path_key, path) = split_key(head.uri.path());
        // Before all else: no other machine's page is told even which paths there are.
        if !self.settings.hosts.take(&head.uri, &head.headers) {
            let why = "this port answers only requests for an address of its own, from no other web origin; names for it \
                       stand in `hosts` in the config";
            return turn_away(&self, Dialect::of_path(path), &Answer::Forbidden(why.to_owned()));
        }
        let route = match Route::of(&head.method, path) {
            Ok(route) => route,
            Err(none) => return turn_away(&self, Dialect::of_path(path), &Answer::NotFound(none)),
        };
        let endpoint = match route {
            Route::Provider(endpoint) => endpoint,
            Route::Models => return self.models(&head, path, path_key.as_ref()),
            Route::Local(local) => return here(local, self.purse.is_closed() || self.is_stopping()),
        };
        if self.is_stopping() {
            return whole(Answer::Stopping { after: A_MOMENT }.respond(endpoint.dialect, None));
        }
        let path_key = path_key.clone();
        match self.understand(endpoint, head, path_key.as_ref(), body).await {
            Ok(came) => patient::travel(self, came).await,
            Err(rejection) => reject(&self, endpoint, *rejection),
        }
    }

    /// Answers a question about models.
    fn models(&self, head: &Parts, path: &str, path_key: Option<&PathKey>) -> Response<ClientBody> {
        let dialect = models::dialect(path, &head.headers);
        let who = who(&head.headers, path_key, &self.keys, self.settings.require_key);
        let who = who.map_err(|bad| Answer::Unauthorized(bad.message().to_owned()));
        let answered = who.and_then(|who| {
            models::answer(head, path, &who.key, &self.providers, self.book.prices(), self.purse.now())
        });
        answered.unwrap_or_else(|answer| whole(answer.respond(dialect, None)))
    }

    /// Reads a request: who asks, and what the call is.
    async fn understand<B>(
        &self,
        endpoint: &'static Endpoint,
        head: Parts,
        path_key: Option<&PathKey>,
        body: B,
    ) -> Result<Box<Came>, Box<Rejection>>
    where
        B: Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let who = who(&head.headers, path_key, &self.keys, self.settings.require_key)
            .map_err(|bad| Rejection::of_nobody(Answer::Unauthorized(bad.message().to_owned())))?;
        match self.read(endpoint, &head, body).await {
            Ok((call, body, since)) => {
                Ok(Box::new(Came { endpoint, call, body, head, who, since, waits: Waits::default() }))
            }
            Err(answer) => Err(Box::new(Rejection { answer, of: Of::Key(who.key.labels.clone()) })),
        }
    }

    /// Finds out what a call is at a provider: at which price, and under which budgets.
    pub(crate) fn aim(
        &self,
        came: Came,
        provider: usize,
        hop: Option<Box<Hop>>,
    ) -> Result<Box<Understood>, Box<Rejection>> {
        let Came { endpoint, mut call, body, head, who, since, waits } = came;
        let at = self.purse.now();
        let price = self.price(provider, &call.model, at);
        let brought = call.bring(|model| self.price(provider, model, at));
        let is_look = endpoint.asks == Asks::Look;
        let forbidden = if is_look { None } else { self.forbidden(&who.key, &call, provider, at) };
        let said =
            Said { session: call.session.as_deref(), provider: &self.providers[provider].name, model: &call.model };
        let (labels, priority) = labels(&head.headers, &who.key, said);
        let all = self.budgets();
        let is_ollama = self.providers[provider].dialects.contains(&Dialect::Ollama);
        let names = Names::of(&labels, price.as_ref(), is_ollama);
        let counting = all.iter().chain(&who.key.budgets);
        let counting: Vec<_> = counting.filter_map(|budget| Some((budget, names.counted_by(budget)?))).collect();
        let accounts = counting.iter().map(|(budget, labels)| budget.account(labels)).collect();
        let hard = || counting.iter().map(|(budget, _)| *budget).filter(|budget| budget.mode.is_hard());
        let counts_dollars = |budget: &Budget| budget.limits.iter().any(|limit| limit.meter == Meter::Usd);
        let (is_bounded, is_priced) = (hard().next().is_some(), hard().any(counts_dollars));
        let unpriced = brought.err().filter(|_| is_bounded);
        let warnings = unheeded(&head.headers, who.key.priority_max);
        let understood = Box::new(Understood {
            endpoint,
            call,
            body,
            shown: who.shown,
            key: who.key,
            provider,
            price: price.map(Arc::new),
            warnings,
            head,
            labels,
            priority,
            accounts,
            is_bounded,
            is_priced,
            hop,
            tries: Tries::default(),
            since,
            trial: None,
            waits,
        });
        let unpriced = unpriced.map(|unknown| Answer::Policy { code: "price_missing", message: unknown.to_string() });
        match forbidden.or(unpriced).map_or_else(|| self.check_policy(&understood), Err) {
            Ok(()) => Ok(understood),
            Err(answer) => Err(Box::new(Rejection { answer, of: Of::Call(understood) })),
        }
    }

    /// Goes on without the tools that the call can do without; whether there were any.
    pub(crate) async fn go_lean(&self, understood: &mut Understood) -> bool {
        let Some(body) = understood.call.lean_body(&understood.body) else { return false };
        let read = self.read_call(understood.endpoint, &understood.head, &body).await;
        let Ok(mut call) = read else { return false };
        let at = self.purse.now();
        let brought = call.bring(|model| self.price(understood.provider, model, at));
        if brought.is_err() && understood.is_bounded {
            return false;
        }
        call.dropped.push(LEFT_OUT);
        (understood.call, understood.body) = (call, body);
        true
    }

    /// Reads the call that a request makes; and when it had come whole.
    async fn read<B>(
        &self,
        endpoint: &'static Endpoint,
        head: &Parts,
        body: B,
    ) -> Result<(Call, Bytes, Instant), Answer>
    where
        B: Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        if endpoint.asks == Asks::Look {
            let call = dialect::read(endpoint, head.uri.path(), &head.headers, b"").map_err(Answer::BadBody)?;
            return Ok((call, Bytes::new(), Instant::now_plus(Span::default())));
        }
        if !http::is_json(&head.headers) {
            return Err(Answer::Forbidden("send the body with `content-type: application/json`".to_owned()));
        }
        if !http::is_plain(&head.headers) {
            return Err(Answer::Forbidden("send the body as it is, without `content-encoding`".to_owned()));
        }
        let body = self.receive(body).await?;
        let since = Instant::now_plus(Span::default());
        let call = self.read_call(endpoint, head, &body).await?;
        Ok((call, body, since))
    }

    /// Reads the body of a request, within its bounds of size and time.
    async fn receive<B>(&self, body: B) -> Result<Bytes, Answer>
    where
        B: Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let bytes_max = self.settings.body_bytes_max;
        let time = Duration::from_millis(self.settings.receive_max.ms());
        match timeout(time, self.inbox.receive(body, bytes_max)).await {
            Ok(Ok(body)) => Ok(body),
            Ok(Err(Unreceived::TooLarge)) => Err(Answer::TooLarge { bytes_max }),
            Ok(Err(Unreceived::BrokeOff(why))) => Err(Answer::BrokeOff(why)),
            Ok(Err(Unreceived::Crowded)) => Err(Answer::Crowded { after: A_MOMENT }),
            Err(_) => Err(Answer::TooSlow { within: self.settings.receive_max }),
        }
    }

    /// Reads what a request says; one with a large body in turn.
    async fn read_call(&self, endpoint: &'static Endpoint, head: &Parts, body: &Bytes) -> Result<Call, Answer> {
        if body.len() < BODY_LARGE {
            return read_here(endpoint, &head.uri, &head.headers, body);
        }
        let (uri, headers, body) = (head.uri.clone(), head.headers.clone(), body.clone());
        let read = self.turns.run(move || read_here(endpoint, &uri, &headers, &body)).await;
        read.unwrap_or_else(|error| Err(Answer::Fault(format!("the request could not be read: {error}"))))
    }

    /// Where a call goes that takes no route.
    pub(crate) fn home_of(&self, came: &Came) -> Result<usize, Answer> {
        match came.endpoint.asks {
            Asks::Look => self.provider_of(came.endpoint.dialect),
            Asks::Answer | Asks::Count => self.provider_for(came.endpoint.dialect, &came.call.model),
        }
    }

    /// The provider that is asked what there is: the first that speaks the dialect and serves whatever model, else the
    /// last, because the one in the box stands first.
    fn provider_of(&self, dialect: Dialect) -> Result<usize, Answer> {
        let speaks = |provider: &Provider<W::Upstream>| provider.dialects.contains(&dialect);
        let any = self.providers.iter().position(|provider| speaks(provider) && (provider.models)(""));
        any.or_else(|| self.providers.iter().rposition(speaks)).ok_or_else(|| Answer::Policy {
            code: "model_unknown",
            message: "no provider in the config speaks this dialect; name it in the `dialects` of one".to_owned(),
        })
    }

    /// The first provider that speaks the dialect and serves the model.
    pub(crate) fn provider_for(&self, dialect: Dialect, model: &str) -> Result<usize, Answer> {
        let serves =
            |provider: &&Provider<W::Upstream>| provider.dialects.contains(&dialect) && (provider.models)(model);
        self.providers.iter().position(|provider| serves(&provider)).ok_or_else(|| {
            let near = self.book.nearest(model).join(", ");
            let hint = if near.is_empty() { String::new() } else { format!(" (did you mean {near}?)") };
            let message = format!("no provider in the config serves `{model}`{hint}; name it in the `models` of one");
            Answer::Policy { code: "model_unknown", message }
        })
    }

    /// The price of a model at a provider.
    pub(crate) fn price(&self, provider: usize, model: &str, at: almoner_units::Timestamp) -> Option<Price> {
        let provider = &self.providers[provider];
        if provider.free {
            return Some(Price::free());
        }
        self.book.find(Some(&provider.name), model, at).or_else(|| self.book.find(None, model, at)).cloned()
    }

    /// Refuses a model that the key may not use, be it called by whatever name, or brought in by a tool.
    fn forbidden(&self, key: &KeyFacts, call: &Call, provider: usize, at: almoner_units::Timestamp) -> Option<Answer> {
        let known_as = |model: &str| self.price(provider, model, at).map(|price| price.model().to_owned());
        let mut asked = std::iter::once(call.model.as_str()).chain(call.brought());
        let model = asked.find(|model| !key.may_use(model, known_as(model).as_deref()))?;
        let name = key.labels.named("key").map_or("", LabelValue::as_str);
        let may: Vec<&str> = key.models.iter().map(ModelPattern::as_str).collect();
        let message = format!(
            "the key `{name}` may not use `{}`; it may use {}; ask whoever made it for another",
            dialect::printable(model),
            may.join(", ")
        );
        Some(Answer::Policy { code: "model_not_allowed", message })
    }

    /// Refuses what no budget's numbers need be asked about.
    fn check_policy(&self, understood: &Understood) -> Result<(), Answer> {
        let Understood { call, price, accounts, .. } = understood;
        if accounts.len() > ACCOUNTS_MAX {
            let mut names: Vec<&str> = accounts.iter().map(|account| account.budget.as_str()).collect();
            names.sort_unstable();
            let message = format!(
                "{} budgets count this call, and at most {ACCOUNTS_MAX} may: {}; merge some of them in the config, or make \
                 the key without limits of its own",
                names.len(),
                names.join(", ")
            );
            return Err(Answer::Policy { code: "too_many_budgets", message });
        }
        if price.is_none() && understood.is_priced && understood.endpoint.asks == Asks::Answer {
            let near = self.book.nearest(&call.model).join(", ");
            let hint = if near.is_empty() { String::new() } else { format!("; the nearest known are {near}") };
            let message = format!(
                "`{}` has no price, and a budget in dollars counts this call{hint}; add a [[price]] for it to the config",
                call.model
            );
            return Err(Answer::Policy { code: "price_missing", message });
        }
        let unknown = call.refused_when_strict();
        if self.settings.strict && !unknown.is_empty() {
            let message = format!("strict mode lets nothing pass that it does not know: {}", unknown.join(", "));
            return Err(Answer::Policy { code: "unknown_member", message });
        }
        Ok(())
    }

    /// A report of the call, as far as it is known before the ledger is asked.
    pub(crate) fn report(&self, id: almoner_units::CallId, understood: &Understood) -> Report {
        Report {
            id,
            at: self.purse.now(),
            route: understood.endpoint.path,
            dialect: understood.endpoint.dialect,
            labels: understood.labels.clone(),
            priority: understood.priority,
            provider: self.providers[understood.provider].name.clone(),
            model: understood.call.model.clone(),
            verdict: Verdict::Unbudgeted,
            seen: Vec::new(),
            waited: almoner_units::Span::default(),
            paced: Vec::new(),
            bound: Vec::new(),
            ask: None,
            price_version: self.book.version().to_owned(),
            unbounded: Vec::new(),
            warnings: understood.warnings.clone(),
            subscription: understood.shown.is_login() && self.providers[understood.provider].credential.is_none(),
            stop: understood.hop.as_ref().map(|hop| hop.note.clone()),
            said: None,
            parent: TraceParent::of(&understood.head.headers),
        }
    }
}

fn read_here(endpoint: &'static Endpoint, uri: &Uri, headers: &HeaderMap, body: &[u8]) -> Result<Call, Answer> {
    let (_, path) = split_key(uri.path());
    dialect::read(endpoint, path, headers, body).map_err(Answer::BadBody)
}

/// An answer of our own as a response.
pub(crate) fn whole(answer: Response<http_body_util::Full<Bytes>>) -> Response<ClientBody> {
    answer.map(|body| http_body_util::combinators::UnsyncBoxBody::new(body.map_err(|never| match never {})))
}

/// Answers to questions about Almoner itself.
fn here(local: Local, is_closed: bool) -> Response<ClientBody> {
    let (status, text) = match local {
        Local::Root => (StatusCode::OK, "Almoner\n"),
        Local::Readyz if is_closed => (StatusCode::SERVICE_UNAVAILABLE, "closed: `almoner status` says why\n"),
        Local::Hello | Local::Healthz | Local::Readyz => (StatusCode::OK, "ok\n"),
    };
    let mut answer = Response::new(full_body(Bytes::from_static(text.as_bytes())));
    *answer.status_mut() = status;
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_takes_no_call_lives_and_is_not_ready() {
        let status = |local, is_closed| here(local, is_closed).status().as_u16();
        assert_eq!((status(Local::Readyz, false), status(Local::Readyz, true)), (200, 503));
        assert_eq!(status(Local::Healthz, true), 200);
    }
}
