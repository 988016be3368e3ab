//! A false world around a real gateway: a purse over a real ledger, a provider that answers as it is told, and a record
//! of every end and report.

use std::collections::{HashMap, VecDeque};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;

use almoner_gateway::dialect::Dialect;
use almoner_gateway::{
    Admitted, ClientBody, Credential, Decision, DeskError, End, Gateway, GatewaySettings, Hosts, KeyFacts, Keys,
    Outcome, Patience, Pinned, Provider, Purse, Question, Recorder, Refused, Report, Upstream, UpstreamBody,
    UpstreamError, World,
};
use almoner_ledger::{AccountView, Ledger, Patience as Waits, Refusal, RefusalReason, Reserve, Verdict, Who};
use almoner_policy::pace::PaceRule;
use almoner_policy::{PriceBook, Route};
use almoner_units::{Budget, BudgetName, CallId, LevelMarks, Mode, Span, Timestamp};
use http_body_util::channel::{Channel, Sender};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::{Request, Response};
use tokio::sync::oneshot;

pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;
type Sending = Pin<Box<dyn Future<Output = Result<Response<UpstreamBody>, UpstreamError>> + Send>>;
type Script = Box<dyn FnMut(Request<Bytes>) -> Sending + Send>;

pub(crate) const NOW: Timestamp = Timestamp::from_ms(1_795_500_000_000);

/// What happened, and what is to happen.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) ledger: Ledger,
    pub(crate) ends: Vec<(CallId, End)>,
    pub(crate) reports: Vec<Reported>,
    pub(crate) decided: Vec<CallId>,
    pub(crate) is_closed: bool,
    pub(crate) sent: Vec<Request<Bytes>>,
    pub(crate) cuts: Vec<oneshot::Sender<String>>,
    /// Whether the purse says yes and nobody is there to hear it.
    pub(crate) admits_and_stalls: bool,
    /// After how long there is money for each of the next calls; who may not wait so long is refused.
    pub(crate) money_comes_after: VecDeque<Span>,
    /// How long the purse takes to answer.
    pub(crate) thinks: std::time::Duration,
    /// The keys that are good.
    pub(crate) keys: HashMap<String, Arc<KeyFacts>>,
    script: VecDeque<Script>,
    ids: u16,
    began: Option<tokio::time::Instant>,
    /// How long it is after [`NOW`], for all but the ledger.
    pub(crate) later: Span,
}

#[derive(Clone, Default)]
pub(crate) struct Shared(pub(crate) Arc<Mutex<State>>);

impl Shared {
    pub(crate) fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}

impl Purse for Shared {
    fn new_call(&self) -> CallId {
        let mut state = self.state();
        state.ids += 1;
        let [high, low] = state.ids.to_be_bytes();
        let mut dice = [low; 10];
        dice[9] = low.wrapping_add(high);
        CallId::new(NOW, dice)
    }

    fn is_closed(&self) -> bool {
        self.state().is_closed
    }

    fn now(&self) -> Timestamp {
        NOW.after(self.state().later)
    }

    fn steady(&self) -> Span {
        let now = tokio::time::Instant::now();
        let began = *self.state().began.get_or_insert(now);
        Span::from_ms(now.duration_since(began).as_millis().try_into().unwrap())
    }

    async fn reserve(&self, question: Question) -> Result<Decision, DeskError> {
        let comes_after = self.state().money_comes_after.pop_front().unwrap_or_default();
        let waited = comes_after.min(question.wait_max);
        if waited > Span::default() {
            tokio::time::sleep(std::time::Duration::from_millis(waited.ms())).await;
        }
        let (decision, stalls, thinks) = {
            let mut state = self.state();
            let open = |key| state.ledger.open(key, &question.key, NOW).unwrap();
            let accounts: Vec<_> = question.accounts.iter().map(open).collect();
            let call = Reserve {
                id: question.id,
                accounts: accounts.clone().into(),
                ask: question.ask,
                priority: question.priority,
                lasts: question.hold_max,
                can_tighten: question.can_tighten,
            };
            let seen: Vec<AccountView> = accounts.iter().filter_map(|id| state.ledger.view(*id, NOW)).collect();
            if comes_after > waited {
                let refusal = held_by_others(&seen[0], &question);
                return Ok(Decision::Refused(Box::new(Refused { refusal, seen, waited, at: NOW })));
            }
            let (cutter, cut) = oneshot::channel();
            let decision = match state.ledger.reserve(&call, Waits::Spent, NOW)? {
                Verdict::Admitted(admission) => {
                    state.cuts.push(cutter);
                    Decision::Admitted(Box::new(Admitted { admission, seen, waited, cut }))
                }
                Verdict::Tighten => Decision::Tighten,
                Verdict::Waits(refusal) | Verdict::Refused(refusal) => {
                    Decision::Refused(Box::new(Refused { refusal, seen, waited, at: NOW }))
                }
            };
            (decision, state.admits_and_stalls, state.thinks)
        };
        tokio::time::sleep(thinks).await;
        if stalls {
            poll_fn(|_| Poll::<()>::Pending).await;
        }
        Ok(decision)
    }

    fn end(&self, id: CallId, end: End) {
        let mut state = self.state();
        drop(match end.clone() {
            End::Settled(spent) => state.ledger.settle(id, spent, NOW).map(drop),
            End::Released(reason) => state.ledger.release(id, reason, NOW),
            End::Assumed(cause) => state.ledger.assume(id, &cause, NOW),
        });
        // As the keeper does: a call that has ended cannot be cut any more.
        state.cuts.clear();
        state.ends.push((id, end));
    }
}

/// What is said to a call whose money others still hold when its time is up.
fn held_by_others(account: &AccountView, question: &Question) -> Refusal {
    Refusal {
        account: account.key.clone(),
        limit: account.limits[0].limit.clone(),
        spent: 0,
        assumed: 0,
        held: account.limits[0].limit.amount,
        asked: 1,
        level: account.level,
        priority: question.priority,
        reason: RefusalReason::Held,
        changes_at: None,
    }
}

impl Keys for Shared {
    fn find(&self, key: &str) -> Option<Arc<KeyFacts>> {
        self.state().keys.get(key).cloned()
    }

    fn is_good(&self, key: &str) -> bool {
        let state = self.state();
        state.keys.values().any(|facts| facts.labels.named("key").is_some_and(|known| known.as_str() == key))
    }
}

/// A call as history heard of it.
#[derive(Debug)]
pub(crate) struct Reported {
    report: Arc<Report>,
    pub(crate) outcome: Outcome,
}

impl std::ops::Deref for Reported {
    type Target = Report;

    fn deref(&self) -> &Report {
        &self.report
    }
}

impl Recorder for Shared {
    fn decided(&self, report: &Arc<Report>) {
        self.state().decided.push(report.id);
    }

    fn ended(&self, report: Arc<Report>, outcome: Outcome) {
        self.state().reports.push(Reported { report, outcome });
    }
}

impl Upstream for Shared {
    fn send(
        &self,
        request: Request<Bytes>,
    ) -> impl Future<Output = Result<Response<UpstreamBody>, UpstreamError>> + Send {
        let mut state = self.state();
        let (head, body) = request.into_parts();
        state.sent.push(Request::from_parts(head.clone(), body.clone()));
        let mut script = state.script.pop_front().expect("the provider is asked no more often than the test says");
        drop(state);
        script(Request::from_parts(head, body))
    }
}

pub(crate) struct Test;

impl World for Test {
    type Purse = Shared;
    type Recorder = Shared;
    type Keys = Shared;
    type Upstream = Shared;
}

/// A gateway under test.
pub(crate) struct Bench {
    pub(crate) shared: Shared,
    pub(crate) gateway: Arc<Gateway<Test>>,
}

pub(crate) fn budget(name: &str, limit: &str, mode: Mode) -> Budget {
    Budget {
        name: name.parse().unwrap(),
        filter: Vec::new(),
        per: Vec::new(),
        limits: vec![limit.parse().unwrap()],
        mode,
        marks: LevelMarks::default(),
    }
}

impl Bench {
    pub(crate) fn new(budgets: Vec<Budget>) -> Self {
        Self::at(Pinned::default(), budgets)
    }

    /// One in whose config the providers' accounts are described so.
    pub(crate) fn at(pinned: Pinned, budgets: Vec<Budget>) -> Self {
        Self::with(pinned, budgets, Vec::new(), Vec::new(), (Span::from_secs(1), 0))
    }

    /// One with routes, and with those of the calls that budgets refuse. It has a free provider for them, `local`, and
    /// one without a key, `other`.
    pub(crate) fn routed(budgets: Vec<Budget>, routes: Vec<Route>, detours: &[(&str, &str)]) -> Self {
        let detours = detours.iter().map(|(budget, route)| (budget.parse().unwrap(), (*route).to_owned())).collect();
        Self::with(Pinned::default(), budgets, routes, detours, (Span::from_secs(1), 0))
    }

    /// One whose calls go at these paces, and may wait two minutes for their turn.
    pub(crate) fn paced(budgets: Vec<Budget>, routes: Vec<Route>, rules: Vec<PaceRule>) -> Self {
        let waits = (Span::from_secs(120), 0);
        let Self { shared, gateway } = Self::with(Pinned::default(), budgets, routes, Vec::new(), waits);
        let gateway = Arc::into_inner(gateway).expect("nobody else has it yet").with_paces(rules);
        Self { shared, gateway: Arc::new(gateway) }
    }

    /// The same, with these paces from now on, as after a reload.
    pub(crate) fn repaced(&self, rules: Vec<PaceRule>) -> Self {
        let Self { shared, gateway } = Self::paced(Vec::new(), Vec::new(), rules);
        let gateway = Arc::into_inner(gateway).expect("nobody else has it yet").instead_of(&self.gateway);
        gateway.put_paces();
        Self { shared, gateway: Arc::new(gateway) }
    }

    /// One with routes that sends a call again up to five times, within a minute.
    pub(crate) fn retrying(budgets: Vec<Budget>, routes: Vec<Route>) -> Self {
        Self::with(Pinned::default(), budgets, routes, Vec::new(), (Span::from_secs(60), 5))
    }

    fn with(
        pinned: Pinned,
        budgets: Vec<Budget>,
        routes: Vec<Route>,
        detours: Vec<(BudgetName, String)>,
        (wait_max, retries): (Span, u32),
    ) -> Self {
        let shared = Shared::default();
        budgets.iter().for_each(|budget| shared.state().ledger.set_budget(budget.clone(), Who("test".into()), NOW));
        let provider = |name: &str, dialects| Provider {
            name: name.to_owned(),
            dialects,
            base_url: format!("http://{name}.test"),
            credential: Credential::new("sk-own"),
            models: Box::new(|_| true),
            free: name == "ollama",
            pinned,
            retries_max: retries,
            way: shared.clone(),
        };
        let second = Span::from_secs(1);
        let settings = GatewaySettings {
            max_output: 32_000,
            default_output: 4_096,
            hosts: Hosts::default(),
            require_key: false,
            strict: false,
            wait_max,
            ping_after: Span::from_secs(15),
            receive_max: second,
            body_bytes_max: 1 << 20,
            bodies_bytes_max: 1 << 20,
            patience: Patience {
                client: second,
                provider: Span::from_secs(5),
                drain: second,
                answer: Span::from_secs(10),
            },
        };
        let local = Provider {
            dialects: vec![Dialect::Anthropic, Dialect::Chat],
            credential: None,
            models: Box::new(|model| model.starts_with("qwen")),
            free: true,
            ..provider("local", Vec::new())
        };
        let other =
            Provider { credential: None, models: Box::new(|_| false), ..provider("other", vec![Dialect::Anthropic]) };
        let providers = vec![
            local,
            provider("anthropic", vec![Dialect::Anthropic]),
            provider("openai", vec![Dialect::Chat, Dialect::Responses]),
            provider("gemini", vec![Dialect::Gemini]),
            provider("ollama", vec![Dialect::Ollama]),
            other,
        ];
        let book = PriceBook::shipped().clone();
        let gateway = Gateway::new(shared.clone(), shared.clone(), shared.clone(), providers, settings, book);
        let gateway = gateway.with_routes(routes, detours);
        gateway.set_budgets(budgets);
        Self { shared, gateway: Arc::new(gateway) }
    }

    /// A gateway with one budget of `$1` that refuses.
    pub(crate) fn dollar() -> Self {
        Self::new(vec![budget("firm", "$1", Mode::StopNew)])
    }

    /// The provider's next answer.
    pub(crate) fn then<F>(&self, mut script: impl FnMut(Request<Bytes>) -> F + Send + 'static) -> &Self
    where
        F: Future<Output = Result<Response<UpstreamBody>, UpstreamError>> + Send + 'static,
    {
        self.shared.state().script.push_back(Box::new(move |request| Box::pin(script(request))));
        self
    }

    /// The provider's next answer, all there at once.
    pub(crate) fn answers(&self, status: u16, headers: &[(&'static str, &'static str)], body: &'static str) -> &Self {
        let headers = headers.to_vec();
        self.then(move |_| {
            let mut answer = Response::new(whole(body));
            *answer.status_mut() = status.try_into().unwrap();
            for (name, value) in &headers {
                answer.headers_mut().append(*name, value.parse().unwrap());
            }
            async move { Ok(answer) }
        })
    }

    /// The provider's next answer, a stream that the test writes.
    pub(crate) fn streams(&self) -> Sender<Bytes, BoxError> {
        self.writes("text/event-stream")
    }

    /// The provider's next answer, of this type, which the test writes.
    pub(crate) fn writes(&self, kind: &'static str) -> Sender<Bytes, BoxError> {
        let (sender, channel) = Channel::<Bytes, BoxError>::new(64);
        let mut body = Some(UpstreamBody::new(channel));
        self.then(move |_| {
            let mut answer = Response::new(body.take().unwrap());
            answer.headers_mut().insert("content-type", kind.parse().unwrap());
            async move { Ok(answer) }
        });
        sender
    }

    pub(crate) fn call(
        &self,
        request: Request<Full<Bytes>>,
    ) -> impl Future<Output = Response<ClientBody>> + Send + use<> {
        Arc::clone(&self.gateway).handle(request)
    }

    pub(crate) async fn messages(&self, more: &str) -> Response<ClientBody> {
        self.call(post("/v1/messages", "claude-opus-5", more)).await
    }

    pub(crate) async fn chat(&self, more: &str) -> Response<ClientBody> {
        self.call(post("/v1/chat/completions", "gpt-4o", more)).await
    }

    pub(crate) async fn responses(&self, more: &str) -> Response<ClientBody> {
        self.call(ask("/v1/responses", format!("{{\"model\":\"gpt-5.2\",\"input\":\"hi\"{more}}}"))).await
    }

    /// How the calls ended, in a word each.
    pub(crate) fn ends(&self) -> Vec<&'static str> {
        let word = |end: &End| match end {
            End::Settled(_) => "settled",
            End::Released(_) => "released",
            End::Assumed(_) => "assumed",
        };
        self.shared.state().ends.iter().map(|(_, end)| word(end)).collect()
    }

    /// How many holds are open.
    pub(crate) fn open_holds(&self) -> usize {
        self.shared.state().ledger.holds().len()
    }

    /// The body of the last request that the provider got.
    pub(crate) fn last_sent(&self) -> serde_json::Value {
        serde_json::from_slice(self.shared.state().sent.last().unwrap().body()).unwrap()
    }
}

pub(crate) fn post(path: &str, model: &str, more: &str) -> Request<Full<Bytes>> {
    ask(path, format!("{{\"model\":\"{model}\",\"messages\":[{{\"role\":\"user\",\"content\":\"hi\"}}]{more}}}"))
}

pub(crate) fn ask(path: &str, body: String) -> Request<Full<Bytes>> {
    let request = Request::post(path).header("host", "127.0.0.1:4141").header("content-type", "application/json");
    request.body(Full::new(body.into())).unwrap()
}

pub(crate) fn whole(body: &'static str) -> UpstreamBody {
    UpstreamBody::new(Full::new(Bytes::from_static(body.as_bytes())).map_err(|never| match never {}))
}

/// Everything that the client gets, and whether it ended as a body should.
pub(crate) async fn read(response: Response<ClientBody>) -> (String, bool) {
    let mut body = response.into_body();
    let mut text = Vec::new();
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => text.extend_from_slice(&frame.into_data().unwrap_or_default()),
            Err(_) => return (String::from_utf8(text).unwrap(), false),
        }
    }
    (String::from_utf8(text).unwrap(), true)
}

/// Lets every task that can run do so.
pub(crate) async fn settle_down() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}
