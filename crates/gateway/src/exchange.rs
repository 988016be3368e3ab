//! The exchange with the provider, once a call may go: send, relay, meter, settle.
//!
//! It runs to its end, whether or not its client stays. From the moment the request is handed to the provider, nothing
//! that the client does can lose its cost.

use std::sync::Arc;
use std::time::Duration;

use almoner_ledger::ReleaseReason;
use almoner_meter::{Decoder, Meter as UsageMeter, Reading};
use almoner_policy::Setback;
use almoner_units::{Charge, Span};
use hyper::body::Bytes;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Request, Response, StatusCode};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout, timeout_at};

use crate::answer::{Answer, Told, UsageFilter, tell, tell_in_vain};
use crate::ask::{Going, Held};
use crate::bill::{Asked, Bill, Tariff, bill};
use crate::dialect::Asks;
use crate::guard::{DROPPED, HoldGuard};
use crate::http;
use crate::models;
use crate::pacing::Pass;
use crate::pipe::{client_body, full_body};
use crate::port::{End, Fullness, Purse, Recorder, Upstream, UpstreamError};
use crate::provider::authorise;
use crate::relay::{ClientBody, Deadline, Home, Leaving, Patience, Relay, UpstreamBody, collect, cut_told, framing};
use crate::report::{Outcome, Report};
use crate::retry::{Again, NotNow};
use crate::stack::{Gateway, Understood, World, whole};
use crate::stopwatch::{FirstByte, added};
use crate::survivor::{Panicked, to_the_end};
use crate::told_limits::told_limits;
use crate::trial::Trial;
use crate::trouble::{Stop, Trouble, plain};
use crate::turns::{Turns, read_whole};

/// The most bytes of an error that are read to see whose it is.
const ERROR_BYTES_MAX: usize = 1 << 20;

/// Sends the call, and gives its answer as soon as that begins. The rest goes on without whoever asked.
pub(crate) async fn exchange<W: World>(gateway: Arc<Gateway<W>>, going: Going<W>) -> Stop {
    let dialect = going.understood.endpoint.dialect;
    // Dropped with whoever waits here.
    let (_stays, gone) = oneshot::channel();
    let leaving = Leaving::new(gone, Arc::clone(&gateway.drains));
    let running = Running::new(gateway, going, leaving);
    to_the_end(running.run()).await.unwrap_or_else(|Panicked| {
        let fault = Answer::Fault("the call ended without an answer; see the server's log".to_owned());
        Stop::Answered(whole(fault.respond(dialect, None)))
    })
}

/// A call on its way.
struct Running<W: World> {
    gateway: Arc<Gateway<W>>,
    understood: Box<Understood>,
    /// How the call is settled and reported, once.
    account: Account<W>,
    /// Tells that the call must be cut; for calls that touch no budget it never does.
    cut: oneshot::Receiver<String>,
    /// Keeps the other end of `cut` for calls that touch no budget.
    _uncut: Option<oneshot::Sender<String>>,
    /// Tells that nobody waits for the answer any more.
    leaving: Leaving,
    fullness: Fullness,
    /// The output cap, where it is not what was asked for.
    cap: Option<u64>,
}

impl<W: World> Running<W> {
    /// Boxed, because it is handed on from step to step, and every step would have room for a copy of it.
    fn new(gateway: Arc<Gateway<W>>, going: Going<W>, leaving: Leaving) -> Box<Self> {
        let Going { understood, report, held, pass } = going;
        let (uncut, never_cut) = oneshot::channel();
        let (mut cut, mut fullness, mut cap, mut clamped, mut guard) =
            (never_cut, Fullness::default(), None, false, None);
        let mut amount = Charge::ZERO;
        if let Some(Held { admitted, fullness: its_fullness, ask, guard: its_guard }) = held {
            clamped = admitted.admission.cap < ask.cap_asked;
            amount = admitted.admission.amount;
            (cut, fullness, cap, guard) = (admitted.cut, its_fullness, Some(admitted.admission.cap), Some(its_guard));
        }
        let account = Account {
            gateway: Arc::clone(&gateway),
            guard,
            pass,
            amount,
            clamped,
            report,
            outcome: Outcome::default(),
            first_byte: FirstByte::default(),
            provider: understood.provider,
            price: understood.price.clone(),
            asked: Asked::by(&understood.call.shape, gateway.providers[understood.provider].pinned),
            is_awaited: understood.endpoint.asks == Asks::Answer,
        };
        Box::new(Self { gateway, understood, account, cut, _uncut: Some(uncut), leaving, fullness, cap })
    }

    async fn run(mut self: Box<Self>) -> Stop {
        let request = match self.request() {
            Ok(request) => request,
            Err(answer) => return self.fail(&answer, End::Released(ReleaseReason::NeverSent), Some(Setback::Unfit)),
        };
        self.account.guard.iter_mut().for_each(HoldGuard::sent);
        self.account.pass.iter_mut().for_each(Pass::sent);
        self.understood.trial.take().into_iter().for_each(Trial::sent);
        self.account.outcome.added = added(&self.understood, &self.account.report);
        let since = Instant::now_plus(Span::default());
        let sent = self.send(request).await.map(|answer| self.account.first_byte.watch(answer, since));
        self.note_health(&sent);
        self.note_limits(&sent);
        match sent {
            Ok(answer) if answer.status().as_u16() >= 400 => self.refused_upstream(answer).await,
            Ok(answer) if !answer.status().is_success() => self.sent_elsewhere(&answer),
            Ok(answer) if self.understood.endpoint.asks != Asks::Answer => self.pass_on(answer).await,
            Ok(answer) => self.relay(answer).await,
            Err(Unanswered { answer, end, setback }) => self.fail(&answer, end, setback),
        }
    }

    /// The request as the provider gets it.
    fn request(&self) -> Result<Request<Bytes>, Answer> {
        let Understood { endpoint, call, body, head, shown, provider, .. } = &*self.understood;
        let provider = &self.gateway.providers[*provider];
        let path = endpoint.path_for(&call.model);
        let query = head.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
        let fault = |error: &dyn std::fmt::Display| Answer::Fault(format!("the call has no address: {error}"));
        let uri = format!("{}{path}{query}", provider.base_url).parse().map_err(|error| fault(&error))?;
        let body = match self.cap {
            Some(cap) => call.rewrite(body, cap),
            None => body.clone(),
        };
        let mut request = Request::new(body);
        *request.method_mut() = if endpoint.asks == Asks::Look { hyper::Method::GET } else { hyper::Method::POST };
        *request.uri_mut() = uri;
        *request.headers_mut() = http::onward(&head.headers);
        if !authorise(request.headers_mut(), endpoint.dialect, provider.credential.as_ref(), shown) && !provider.free {
            let message = format!(
                "no credential for `{}`: give `almoner serve` its key by environment, or send your own",
                provider.name
            );
            return Err(Answer::Unauthorized(message));
        }
        Ok(request)
    }

    /// Sends the request and waits for the head of the answer.
    async fn send(&mut self, request: Request<Bytes>) -> Result<Response<UpstreamBody>, Unanswered> {
        let patience = self.gateway.settings.patience;
        let first_byte_max = self.understood.hop.as_ref().and_then(|hop| hop.first_byte_max());
        let most = patience.provider.min(patience.answer).min(first_byte_max.unwrap_or(patience.answer));
        let sending = timeout(
            Duration::from_millis(most.ms()),
            self.gateway.providers[self.understood.provider].way.send(request),
        );
        let sent = tokio::select! {
            biased;
            why = cut_told(&mut self.cut) => {
                let answer = Answer::Policy { code: "cut_running", message: why.clone() };
                return Err(Unanswered { answer, end: End::Assumed(why), setback: None });
            }
            sent = sending => sent,
            why = self.leaving.too_long(patience.drain) => {
                let answer = Answer::TimedOut(why.clone());
                return Err(Unanswered { answer, end: End::Assumed(why), setback: None });
            }
        };
        let (answer, end, setback) = match sent {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error @ UpstreamError::NeverSent(..))) => {
                let end = End::Released(ReleaseReason::NeverSent);
                (Answer::Unreachable(error.to_string()), end, Setback::ProviderDown)
            }
            Ok(Err(error @ UpstreamError::NoAnswer(..))) => {
                (Answer::TimedOut(error.to_string()), End::Assumed(error.to_string()), Setback::ProviderDown)
            }
            Err(_) => {
                let why = format!("no answer within {most}");
                (Answer::TimedOut(why.clone()), End::Assumed(why), Setback::Timeout)
            }
        };
        Err(Unanswered { answer, end, setback: Some(setback) })
    }

    /// Keeps what an answer tells of its provider's limits. A refusal tells more once it is read.
    fn note_limits(&self, sent: &Result<Response<UpstreamBody>, Unanswered>) {
        if let (Some(pass), Ok(answer)) = (&self.account.pass, sent)
            && answer.status().is_success()
        {
            pass.told(&told_limits(answer.headers(), self.gateway.purse.now()));
        }
    }

    /// Keeps what the call tells of its provider.
    fn note_health(&self, sent: &Result<Response<UpstreamBody>, Unanswered>) {
        let (at, now) = (self.understood.provider, self.gateway.purse.now());
        match sent {
            Ok(answer) if answer.status().is_server_error() => {
                let by = self.gateway.who_failed(&self.understood);
                self.gateway.health(at).failed(&format!("answered {}", answer.status().as_u16()), Some(by), now);
            }
            Ok(_) => self.gateway.health(at).well(now),
            // Who was cut off on our side tells nothing.
            Err(Unanswered { setback: None, .. }) => {}
            Err(Unanswered { answer, end, .. }) => {
                // Whom nothing was sent to, no request has provoked.
                let was_sent = !matches!(end, End::Released(_));
                let by = was_sent.then(|| self.gateway.who_failed(&self.understood));
                self.gateway.health(at).failed(&plain(&answer.message()), by, now);
            }
        }
    }

    /// Answers in our own words, because there is no answer of the provider's.
    fn fail(mut self: Box<Self>, answer: &Answer, end: End, setback: Option<Setback>) -> Stop {
        let (id, dialect) = (self.account.report.id, self.understood.endpoint.dialect);
        self.account.outcome.status = answer.status(dialect).as_u16();
        let note = answer.message();
        let response = whole(answer.respond(dialect, Some(id)));
        // Who is known to be down is not waited for.
        let is_down = || self.gateway.health(self.understood.provider).down_since().is_some();
        let not_now = (matches!(answer, Answer::Unreachable(_)) && !is_down()).then(NotNow::default);
        let why = plain(&note);
        self.stop(setback, why, response, not_now, Bill { end, cost: None, note })
    }

    /// The end of this stop, which is the end of the call where there is no setback.
    fn stop(
        mut self: Box<Self>,
        setback: Option<Setback>,
        why: String,
        mut response: Response<ClientBody>,
        not_now: Option<NotNow>,
        bill: Bill,
    ) -> Stop {
        let Some(setback) = setback else {
            self.account.close(bill, None);
            return Stop::Answered(response);
        };
        let again = not_now.map_or(Again::No, |not_now| self.gateway.when_again(&self.understood, not_now));
        if again == Again::InVain {
            tell_in_vain(response.headers_mut());
        }
        let mut trouble = Trouble::of_provider(self.account.report.id, setback, why, response);
        let leads_on = self.understood.hop.as_ref().is_some_and(|hop| hop.goes_on(&trouble));
        let is_over = again == Again::No || again == Again::InVain;
        self.account.outcome.goes_on = leads_on || !is_over;
        self.account.close(bill, None);
        trouble.again = again;
        // Who is on a journey has kept what came.
        if !is_over && self.understood.hop.is_none() {
            trouble.came = Some(Box::new(self.understood.back()));
        }
        Stop::Setback(Box::new(trouble))
    }

    /// Passes a provider's refusal on, and releases the hold where the provider bills nothing for it.
    async fn refused_upstream(mut self: Box<Self>, answer: Response<UpstreamBody>) -> Stop {
        let (parts, body) = answer.into_parts();
        let status = parts.status;
        let read = collect(body, ERROR_BYTES_MAX, self.gateway.settings.patience).await;
        let said = read.as_ref().map(|body| serde_json::from_slice(body).unwrap_or_default()).unwrap_or_default();
        let is_unbilled = is_unbilled(status, &said, self.understood.endpoint.dialect.tongue().own_error);
        let end = if is_unbilled {
            End::Released(ReleaseReason::RefusedUpstream { status: status.as_u16() })
        } else {
            End::Assumed(format!("status {status} from something between us and the provider"))
        };
        let now = self.gateway.purse.now();
        let not_now = is_unbilled.then(|| NotNow::of(status, &parts.headers, &said, now)).flatten();
        if let (Some(pass), Some(not_now), 429) = (&self.account.pass, &not_now, status.as_u16()) {
            pass.slowed(not_now.told);
        }
        self.account.outcome.status = status.as_u16();
        let response = self.refusal(&parts, read);
        let setback = match status.as_u16() {
            429 => Some(Setback::RateLimited),
            500.. => Some(Setback::ProviderDown),
            _ => None,
        };
        let provider = &self.gateway.providers[self.understood.provider].name;
        let why = format!("`{provider}` answered {}", status.as_u16());
        let bill = Bill { end, cost: None, note: format!("the provider answered {status}") };
        self.stop(setback, why, response, not_now, bill)
    }

    /// A provider's refusal for the client, as it came; where it could not be read, in our words under its status.
    fn refusal(&self, parts: &hyper::http::response::Parts, read: Result<Bytes, String>) -> Response<ClientBody> {
        let (mut response, headers) = match read {
            Ok(body) => (Response::new(full_body(body)), self.headers(&parts.headers)),
            Err(why) => {
                let status = parts.status.as_u16();
                let answer =
                    Answer::Unread(format!("the provider answered {status}, and its error could not be read: {why}"));
                let response = answer.respond(self.understood.endpoint.dialect, Some(self.account.report.id));
                let mut headers = self.headers(&parts.headers);
                headers.remove(header::CONTENT_ENCODING);
                headers.extend(response.headers().clone());
                (whole(response), headers)
            }
        };
        *response.status_mut() = parts.status;
        *response.headers_mut() = headers;
        response.headers_mut().remove(header::CONTENT_LENGTH);
        response
    }

    /// Ends a call that the provider sent elsewhere. Nobody follows, the client neither: there it would be asked for
    /// its credential and past every budget.
    fn sent_elsewhere(mut self: Box<Self>, answer: &Response<UpstreamBody>) -> Stop {
        let status = answer.status();
        self.account.outcome.status = status.as_u16();
        // By these the same request has yet to be made; any other may have come after it.
        let end = match status.as_u16() {
            301 | 307 | 308 => End::Released(ReleaseReason::RefusedUpstream { status: status.as_u16() }),
            _ => End::Assumed(format!("the provider answered {status}")),
        };
        let provider = &self.gateway.providers[self.understood.provider].name;
        let answer = Answer::Elsewhere(format!("`{provider}` answered {status}"));
        self.fail(&answer, end, None)
    }

    /// Passes on the answer to a question that costs nothing.
    async fn pass_on(self: Box<Self>, answer: Response<UpstreamBody>) -> Stop {
        let (parts, body) = answer.into_parts();
        let body = match collect(body, ERROR_BYTES_MAX, self.gateway.settings.patience).await {
            Ok(body) => body,
            Err(why) => {
                let end = End::Released(ReleaseReason::NeverSent);
                return self.fail(&Answer::Unreachable(why), end, Some(Setback::ProviderDown));
            }
        };
        let mut response = Response::new(full_body(self.shown(body)));
        *response.headers_mut() = self.headers(&parts.headers);
        response.headers_mut().remove(header::CONTENT_LENGTH);
        Stop::Answered(response)
    }

    /// Of a provider's own list of models, those that the key may use.
    fn shown(&self, body: hyper::body::Bytes) -> hyper::body::Bytes {
        let Understood { endpoint, key, provider, .. } = &*self.understood;
        if endpoint.asks != Asks::Look || key.models.is_empty() {
            return body;
        }
        let now = self.account.report.at;
        models::narrowed(&body, |model| {
            let price = self.gateway.price(*provider, model, now);
            key.may_use(model, price.as_ref().map(almoner_policy::Price::model))
        })
    }

    /// Relays an answer. One that does not stream is read whole before it is passed on, so that it is settled first.
    async fn relay(mut self: Box<Self>, answer: Response<UpstreamBody>) -> Stop {
        let (parts, body) = answer.into_parts();
        self.account.outcome.status = parts.status.as_u16();
        let text = |name| parts.headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        let plain_stream = self.understood.endpoint.dialect.tongue().plain_stream;
        let framing = framing(text(header::CONTENT_TYPE), self.understood.call.stream.then_some(plain_stream));
        let meter = UsageMeter::new(self.understood.endpoint.meter, framing);
        let Ok(meter) = Decoder::new(text(header::CONTENT_ENCODING), meter) else {
            return Stop::Answered(self.relay_unread(&parts, body));
        };
        let mut response = Response::new(());
        *response.status_mut() = parts.status;
        *response.headers_mut() = self.headers(&parts.headers);
        if framing == almoner_meter::Framing::Json {
            return self.relay_whole(response, body, meter).await;
        }
        let adds_usage = self.cap.is_some() && self.understood.call.adds_usage();
        // A stream may lose its usage here, or end with words of ours.
        response.headers_mut().remove(header::CONTENT_LENGTH);
        let (sender, client) = client_body();
        let dialect = self.understood.endpoint.dialect;
        // A stream may last for an hour: what was asked, and the buffers that its headers lie in, go now.
        drop((parts, self.understood));
        let relay = Relay {
            dialect,
            framing,
            meter: Some(meter),
            filter: adds_usage.then(UsageFilter::new),
            cut: self.cut,
            patience: self.gateway.settings.patience,
            drains: Arc::clone(&self.gateway.drains),
            turns: self.gateway.turns.clone(),
        };
        let account = self.account;
        // It reads on at its own pace and by its own deadlines, whether or not the client reads.
        tokio::spawn(relay.run(body, sender, move |home| account.settle(&home)));
        Stop::Answered(response.map(|()| client))
    }

    async fn relay_whole(mut self: Box<Self>, response: Response<()>, body: UpstreamBody, meter: Decoder) -> Stop {
        let patience = self.gateway.settings.patience;
        let read = tokio::select! {
            biased;
            why = cut_told(&mut self.cut) => Err((Answer::Stopped(why), None)),
            read = take_whole(&self.gateway.turns, body, meter, patience) => read,
            why = self.leaving.too_long(patience.drain) => Err((Answer::TimedOut(why), None)),
        };
        match read {
            Ok((reading, body)) => {
                self.account.settle(&Home { reading, broke: None, ended: true });
                Stop::Answered(response.map(|()| full_body(body)))
            }
            Err((answer, setback)) => self.fail(&answer, End::Assumed(answer.message()), setback),
        }
    }

    /// Relays an answer in an encoding that nobody here can read: what it cost stays assumed.
    fn relay_unread(self: Box<Self>, parts: &hyper::http::response::Parts, body: UpstreamBody) -> Response<ClientBody> {
        let why = "the answer came in an encoding that cannot be read".to_owned();
        let mut response = Response::new(body);
        *response.status_mut() = parts.status;
        *response.headers_mut() = self.headers(&parts.headers);
        self.account.close(Bill { end: End::Assumed(why.clone()), cost: None, note: why }, None);
        response
    }

    /// The provider's headers, with ours.
    fn headers(&self, from: &HeaderMap) -> HeaderMap {
        let mut to = http::back(from);
        let report = &self.account.report;
        let tightest = self.fullness.tightest.as_ref().map(|(key, view, left)| (key, &view.limit, *left));
        let asked = self.understood.call.asked_output;
        let told = Told {
            call: report.id,
            level: self.fullness.level,
            tightest,
            capped: self.cap.filter(|cap| asked != Some(*cap)).map(|cap| (asked, cap)),
            prices: &report.price_version,
            unbounded: &report.unbounded,
            dropped: &self.understood.call.dropped,
            warnings: &report.warnings,
        };
        tell(&mut to, &told);
        to
    }
}

/// Why there is no answer of the provider's.
struct Unanswered {
    answer: Answer,
    end: End,
    /// What stood in the way; `None` where the call is over for good.
    setback: Option<Setback>,
}

/// Whether the provider bills nothing for an answer with this status: it is its own refusal, or one of a request that
/// never reached a model. One that tells usage bills it, whatever else it says.
fn is_unbilled(status: StatusCode, body: &serde_json::Value, own_error: &[&str]) -> bool {
    let own = own_error.iter().any(|message| body.pointer(message).is_some_and(serde_json::Value::is_string));
    let is_refused = status.is_client_error() && status != StatusCode::REQUEST_TIMEOUT && status.as_u16() != 499;
    body.pointer("/usage").is_none_or(serde_json::Value::is_null) && (own || is_refused)
}

/// Takes a whole answer, and reads what it tells; its time runs until it is read.
async fn take_whole(
    turns: &Turns,
    body: UpstreamBody,
    meter: Decoder,
    patience: Patience,
) -> Result<(Reading, Bytes), (Answer, Option<Setback>)> {
    let ends_at = Instant::now_plus(patience.answer);
    let down = |why| (Answer::TimedOut(why), Some(Setback::ProviderDown));
    let body = collect(body, almoner_meter::BODY_MAX, patience).await.map_err(down)?;
    match timeout_at(ends_at, read_whole(turns, meter, body.clone())).await {
        Ok(Ok(reading)) => Ok((reading, body)),
        Ok(Err(error)) => Err((Answer::Fault(format!("the answer could not be read: {error}")), None)),
        Err(_) => Err((Answer::TimedOut(format!("the answer was not read within {}", patience.answer)), None)),
    }
}

/// How a call is settled and reported.
struct Account<W: World> {
    gateway: Arc<Gateway<W>>,
    guard: Option<HoldGuard<W::Purse>>,
    /// Its place at the pace of its provider.
    pass: Option<Pass>,
    /// What is held.
    amount: Charge,
    /// Whether its budget gave it less output than it could have had.
    clamped: bool,
    report: Arc<Report>,
    outcome: Outcome,
    first_byte: FirstByte,
    provider: usize,
    price: Option<Arc<almoner_policy::Price>>,
    asked: Asked,
    /// Whether history waits to be told; a question that costs nothing is no call.
    is_awaited: bool,
}

/// What is dropped without an end fell over a fault of ours, or the server ends before it: history is told what is
/// charged for it.
impl<W: World> Drop for Account<W> {
    fn drop(&mut self) {
        if self.is_awaited {
            let end = self.guard.as_ref().map_or_else(|| End::Assumed(DROPPED.to_owned()), HoldGuard::dropped);
            self.end(Bill { end, cost: None, note: DROPPED.to_owned() }, None);
        }
    }
}

impl<W: World> Account<W> {
    /// Books what an answer told.
    fn settle(mut self, home: &Home) {
        let tariff = Tariff {
            book: &self.gateway.book,
            provider: &self.gateway.providers[self.provider].name,
            price: self.price.as_deref(),
            asked: &self.asked,
            at: self.report.at,
        };
        let bill = bill(home, tariff);
        if let (End::Settled(_), Some(why)) = (&bill.end, home.reading.implausible(self.asked.text_bytes)) {
            // What is told is booked; that it can hardly be true is counted where everybody sees it.
            self.outcome.unbounded.push(why.to_owned());
        }
        self.note_cap(&home.reading);
        self.close(bill, Some(&home.reading));
    }

    /// Remembers whether the answer ended at a cap that its budget set.
    fn note_cap(&self, reading: &Reading) {
        let at_cap =
            matches!(reading.stop_reason.as_deref(), Some("max_tokens" | "length" | "incomplete" | "MAX_TOKENS"));
        self.gateway.clamps.note(&self.report.labels, at_cap && self.clamped);
    }

    /// Ends the hold and reports the call.
    fn close(mut self, bill: Bill, reading: Option<&Reading>) {
        self.end(bill, reading);
    }

    fn end(&mut self, bill: Bill, reading: Option<&Reading>) {
        let outcome = &mut self.outcome;
        outcome.word = word(&bill.end, self.guard.is_some());
        outcome.note = bill.note;
        outcome.cost = bill.cost;
        outcome.model = reading.and_then(|reading| reading.model.clone());
        outcome.usage = reading.map(|reading| reading.usage).unwrap_or_default();
        outcome.took = self.gateway.purse.now().since(self.report.at);
        outcome.first_byte = self.first_byte.took();
        outcome.charge = charged(&bill.end, &self.amount);
        if let (End::Settled(charge), true) = (&bill.end, self.guard.is_some()) {
            let over = charge.saturating_sub(&self.amount);
            outcome.overrun = over;
            if over != Charge::ZERO {
                let belied = reading.and_then(|reading| self.asked.belied_by(reading, self.price.as_deref()));
                outcome.note = overrun_cause(&over, belied).to_owned();
                self.learn(charge);
            }
        }
        match (self.pass.take(), reading, &bill.end) {
            (Some(pass), Some(reading), _) => pass.answered(reading),
            (Some(pass), None, End::Released(_)) => pass.refused(),
            // Unknown means spent.
            (pass, ..) => drop(pass),
        }
        if let Some(guard) = &mut self.guard {
            guard.end(bill.end);
        }
        if std::mem::take(&mut self.is_awaited) {
            self.gateway.recorder.ended(Arc::clone(&self.report), std::mem::take(&mut self.outcome));
        }
    }

    /// Raises what is allowed for the model's hidden input, so that the same call is bounded the next time.
    fn learn(&self, charge: &Charge) {
        use almoner_units::Meter::InputTokens;
        let beyond = charge[InputTokens].saturating_sub(self.amount[InputTokens]);
        let mut overheads = self.gateway.overheads.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let known = overheads.of(&self.report.model);
        overheads.raise(&self.report.model, known.saturating_add(beyond));
    }
}

/// Why a call cost more than its bound, by the meter that passed it.
fn overrun_cause(over: &Charge, belied: Option<&'static str>) -> &'static str {
    use almoner_units::Meter::{InputTokens, OutputTokens};
    match (over[InputTokens] > 0, over[OutputTokens] > 0) {
        (_, true) => "the provider passed the output cap",
        (true, false) => "the input was more than its bound",
        (false, false) => belied.unwrap_or("the price was more than its bound"),
    }
}

/// What is charged for a call that held `amount` and ended so.
fn charged(end: &End, amount: &Charge) -> Charge {
    match end {
        End::Settled(charge) => *charge,
        End::Released(reason) => reason.charge(),
        End::Assumed(_) => *amount,
    }
}

fn word(end: &End, budgeted: bool) -> &'static str {
    match end {
        _ if !budgeted => "unbudgeted",
        End::Settled(_) => "settled",
        End::Released(_) => "released",
        End::Assumed(_) => "assumed",
    }
}
