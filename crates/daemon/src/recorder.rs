//! The recorder: writes history on a thread of its own, in batches, and keeps the sums that `status` shows.
//!
//! History may lag and may be lost. Where more comes than can be written, events are dropped and counted; nobody who
//! enforces a budget ever waits for it.
//!
//! Whoever serves calls hands over what is known of one as it is, and counts on. It is put into the words of history on
//! the recorder's thread, where most calls have ended by then, so that what they were is moved and not copied.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Thread;
use std::time::Duration;

use almoner_api::KeySummary;
use almoner_gateway::{Outcome as CallOutcome, Paced, Report, StopNote, Verdict};
use almoner_ledger::{AccountView, Entry, Fact, Ledger};
use almoner_store::{
    BoundPart, Decision, EventKind, EventRecord, History, HistoryEvent, Outcome, OutcomeRecord, ThrottleAction,
    ThrottleRecord, VerdictRecord,
};
use almoner_units::{Charge, Labels, Meter, Span, Timestamp};
use tokio::sync::{oneshot, watch};

use crate::happened::Budgets;
use crate::log::CallLog;
use crate::metrics::Metrics;
use crate::traces::Traces;
use crate::{clock, happened};

/// How many events may wait to be written.
const QUEUE_MAX: usize = 65_536;
/// How many are written in one transaction.
const BATCH_MAX: usize = 4096;
/// How long events may wait for others to share their transaction.
const LINGER: Duration = Duration::from_millis(250);
/// How long whoever reads history waits for what was told before.
const WRITTEN_MAX: Duration = Duration::from_secs(1);
/// How often what cannot be written is tried; each waits for two seconds where another process writes.
const TRIES: u32 = 5;
/// How often history is looked through for what is old.
const TIDY_EVERY: Span = Span::from_secs(60);
/// How many causes of what cannot be bounded are told apart.
const CAUSES_MAX: usize = 1000;

/// What the recorder is told.
enum News {
    /// A call was decided.
    Decided(Arc<Report>),
    /// A call that went has ended.
    Ended(Arc<Report>, Box<CallOutcome>),
    /// Something else, in the words of history.
    Event(HistoryEvent),
    /// Somebody wants to read what was told before, and hears when it is written.
    Awaited(oneshot::Sender<()>),
}

/// The way to history; cheap to clone.
#[derive(Clone)]
pub(crate) struct Recorder {
    queue: SyncSender<News>,
    sums: Arc<Sums>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) calls: CallLog,
    pub(crate) traces: Traces,
    /// The number of the last event that was written.
    last_event: Arc<watch::Sender<u64>>,
    keep: Arc<Mutex<Keep>>,
    /// The thread that writes, to wake it from its lingering.
    thread: Thread,
}

/// What is kept, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Keep {
    /// What is older is forgotten.
    pub(crate) age: Span,
    /// How many bytes history may take before the oldest calls are forgotten.
    pub(crate) bytes: u64,
    /// Whether every call is an event.
    pub(crate) call_events: bool,
}

/// What `status` shows of the calls since the server began.
#[derive(Debug, Default)]
pub(crate) struct Sums {
    dropped: AtomicU64,
    by_cause: Mutex<Causes>,
    by_key: Mutex<BTreeMap<String, KeySummary>>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Causes {
    /// What calls cost beyond their holds, in nano-dollars.
    pub(crate) overrun_nano: BTreeMap<String, u64>,
    /// Calls with a part that could not be bounded.
    pub(crate) unbounded: BTreeMap<String, u64>,
}

impl Recorder {
    /// Starts the thread that writes `history`.
    pub(crate) fn start(history: History, keep: Keep) -> std::io::Result<(Self, std::thread::JoinHandle<()>)> {
        let (queue, events) = sync_channel(QUEUE_MAX);
        let last_event = Arc::new(watch::Sender::new(history.last_event()));
        let (sums, keep) = (Arc::<Sums>::default(), Arc::new(Mutex::new(keep)));
        let writer =
            Writer { history, last_event: Arc::clone(&last_event), sums: Arc::clone(&sums), keep: Arc::clone(&keep) };
        let write = move || writer.write_all(&events);
        let writing = std::thread::Builder::new().name("recorder".to_owned()).spawn(write)?;
        let thread = writing.thread().clone();
        let (metrics, calls, traces) = (Arc::default(), CallLog::default(), Traces::default());
        Ok((Self { queue, sums, metrics, calls, traces, last_event, keep, thread }, writing))
    }

    /// Keeps as much from now on.
    pub(crate) fn keep(&self, keep: Keep) {
        *self.keep.lock().unwrap_or_else(PoisonError::into_inner) = keep;
    }

    /// The same, which also tells the log of calls.
    pub(crate) fn telling(self, calls: CallLog) -> Self {
        Self { calls, ..self }
    }

    /// The same, which also tells a collector of traces.
    pub(crate) fn tracing(self, traces: Traces) -> Self {
        Self { traces, ..self }
    }

    /// Waits until what was told so far is written, so that whoever reads history finds what they have just done. Where
    /// the disk does not keep up, not for long: what was written by then is read.
    pub(crate) async fn written(&self) {
        let (told, written) = oneshot::channel();
        if self.queue.try_send(News::Awaited(told)).is_ok() {
            self.thread.unpark();
            drop(tokio::time::timeout(WRITTEN_MAX, written).await);
        }
    }

    pub(crate) fn put(&self, event: HistoryEvent) {
        self.tell(News::Event(event));
    }

    /// Tells of something that happened now; `data` is an object.
    pub(crate) fn happened(&self, kind: EventKind, message: String, data: serde_json::Value) {
        self.event(happened::event(clock::read().wall, kind, message, data));
    }

    /// Tells of something that happened.
    pub(crate) fn event(&self, event: EventRecord) {
        self.put(HistoryEvent::Event(Box::new(event)));
    }

    /// Wakes whoever waits for events: what it has is the number of the last one.
    pub(crate) fn news(&self) -> watch::Receiver<u64> {
        self.last_event.subscribe()
    }

    /// How much of what was told was lost, because more came than could be written.
    pub(crate) fn dropped(&self) -> u64 {
        self.sums.dropped.load(Ordering::Relaxed)
    }

    fn tell(&self, news: News) {
        if let Err(TrySendError::Full(_)) = self.queue.try_send(news) {
            self.sums.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The journal has made so many facts last, in so long where calls waited for it.
    pub(crate) fn committed(&self, facts: usize, took: Option<Duration>) {
        if let Some(took) = took {
            self.metrics.commits.note(took, facts);
        }
    }

    pub(crate) fn causes(&self) -> Causes {
        self.sums.by_cause.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What the calls of a key have used since the server began.
    pub(crate) fn of_key(&self, key: &str) -> KeySummary {
        self.sums.by_key.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned().unwrap_or_default()
    }

    /// Forgets what the calls of these keys have used.
    pub(crate) fn forget_keys(&self, gone: &[String]) {
        let mut keys = self.sums.by_key.lock().unwrap_or_else(PoisonError::into_inner);
        gone.iter().for_each(|key| drop(keys.remove(key)));
    }

    /// Takes what the ledger has just made durable: levels that changed, and what people changed.
    pub(crate) fn facts(&self, entries: &[Entry], ledger: &Ledger, budgets: &mut Budgets) {
        for entry in entries {
            if let Some(record) = level_changed(entry, ledger) {
                happened::throttled(&record).into_iter().for_each(|event| self.event(event));
                self.put(HistoryEvent::Throttle(Box::new(record)));
            }
            happened::of_fact(entry, ledger, budgets).into_iter().for_each(|event| self.event(event));
        }
    }

    /// Takes what every account looks like now.
    pub(crate) fn accounts(&self, views: Vec<AccountView>, at: Timestamp) {
        self.put(HistoryEvent::TokenBudget { views, at });
    }

    fn add_up(&self, report: &Report, outcome: &CallOutcome) {
        if outcome.overrun != Charge::ZERO || !(report.unbounded.is_empty() && outcome.unbounded.is_empty()) {
            self.add_causes(report, outcome);
        }
        let Some(key) = report.labels.named("key") else { return };
        let mut keys = self.sums.by_key.lock().unwrap_or_else(PoisonError::into_inner);
        add_to_key(keys.entry(key.to_string()).or_default(), report, outcome);
    }

    fn add_causes(&self, report: &Report, outcome: &CallOutcome) {
        let mut causes = self.sums.by_cause.lock().unwrap_or_else(PoisonError::into_inner);
        if outcome.overrun != Charge::ZERO {
            *causes.overrun_nano.entry(outcome.note.clone()).or_default() += outcome.overrun.usd().get();
        }
        for what in report.unbounded.iter().chain(&outcome.unbounded) {
            // Clients name these, and may name new ones for ever.
            let is_room = causes.unbounded.len() < CAUSES_MAX || causes.unbounded.contains_key(what);
            let what = if is_room { what.clone() } else { "others".to_owned() };
            *causes.unbounded.entry(what).or_default() += 1;
        }
    }
}

fn add_to_key(sum: &mut KeySummary, report: &Report, outcome: &CallOutcome) {
    match report.verdict {
        // Whoever sent it gets its answer elsewhere, or from the next try; what may have cost something counts.
        _ if outcome.goes_on && outcome.word != "assumed" => {}
        Verdict::Refused(_) | Verdict::Rejected(_) => sum.refused += 1,
        Verdict::Admitted { .. } | Verdict::Unbudgeted => sum.calls += 1,
    }
    sum.tokens += outcome.charge[Meter::Tokens];
    match outcome.word {
        "assumed" => sum.assumed_nano += outcome.charge.usd().get(),
        _ => sum.cost_nano += outcome.charge.usd().get(),
    }
}

impl almoner_gateway::Recorder for Recorder {
    fn decided(&self, report: &Arc<Report>) {
        self.tell(News::Decided(Arc::clone(report)));
    }

    fn ended(&self, report: Arc<Report>, outcome: CallOutcome) {
        self.add_up(&report, &outcome);
        self.metrics.ended(&report, &outcome);
        self.calls.ended(&report, &outcome);
        self.traces.ended(&report, &outcome);
        if word(&outcome).is_some() {
            self.tell(News::Ended(report, Box::new(outcome)));
        }
    }
}

/// The thread that writes history.
struct Writer {
    history: History,
    last_event: Arc<watch::Sender<u64>>,
    sums: Arc<Sums>,
    keep: Arc<Mutex<Keep>>,
}

impl Writer {
    /// Writes what comes until nobody can send any more, and forgets what is old in between.
    fn write_all(mut self, news: &Receiver<News>) {
        let mut tidy = Tidy::default();
        loop {
            let keep = *self.keep.lock().unwrap_or_else(PoisonError::into_inner);
            match news.recv_timeout(tidy.patience()) {
                Ok(first) => {
                    linger(&first);
                    let mut news = batch(first, news);
                    let awaited = news.extract_if(.., |news| matches!(news, News::Awaited(_))).collect::<Vec<_>>();
                    self.write(&in_words(news, keep.call_events));
                    awaited.into_iter().for_each(tell_written);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            tidy.step(&mut self.history, keep);
        }
    }

    /// Writes events; another process that writes may stand in the way for a while. What cannot be written is lost, and
    /// the ledger does not care.
    fn write(&mut self, events: &[HistoryEvent]) {
        if !(0..TRIES).any(|_| self.history.flush(events).is_ok()) {
            self.sums.dropped.fetch_add(events.len() as u64, Ordering::Relaxed);
        }
        let last = self.history.last_event();
        self.last_event.send_if_modified(|known| std::mem::replace(known, last) != last);
    }
}

/// Forgets what is old, a step at a time, so that nobody whose news are to be written waits long.
#[derive(Default)]
struct Tidy {
    /// When it begins again, by the clock that nobody sets.
    again_at: Span,
    /// How much was forgotten since it began.
    forgotten: usize,
}

impl Tidy {
    fn patience(&self) -> Duration {
        Duration::from_millis(self.again_at.ms().saturating_sub(clock::read().steady.ms()))
    }

    fn step(&mut self, history: &mut History, keep: Keep) {
        let now = clock::read();
        if now.steady < self.again_at {
            return;
        }
        let before = Timestamp::from_ms(now.wall.ms().saturating_sub(keep.age.ms()));
        // What cannot be forgotten now is the next time.
        let some = match history.prune(before).unwrap_or(0) {
            0 => history.shrink(keep.bytes).unwrap_or(0),
            some => some,
        };
        self.forgotten += some;
        if some == 0 {
            if std::mem::take(&mut self.forgotten) > 0 {
                drop(history.forget_labels());
            }
            self.again_at = Span::from_ms(now.steady.ms().saturating_add(TIDY_EVERY.ms()));
        }
    }
}

/// The first news and those that have come since, however steadily more of them come.
fn batch(first: News, news: &Receiver<News>) -> Vec<News> {
    std::iter::once(first).chain(news.try_iter()).take(BATCH_MAX).collect()
}

fn tell_written(awaited: News) {
    if let News::Awaited(reader) = awaited {
        // Whoever asked may have left.
        let _ = reader.send(());
    }
}

/// The news in the words of history, in their order.
fn in_words(news: Vec<News>, call_events: bool) -> Vec<HistoryEvent> {
    let mut events = Vec::with_capacity(news.len());
    let event = |event: EventRecord| HistoryEvent::Event(Box::new(event));
    // From the last to the first: once the end of a call is told, nobody else needs to know what it was.
    for news in news.into_iter().rev() {
        match news {
            News::Ended(report, outcome) => {
                events.extend(call_events.then(|| event(happened::ended(&report, &outcome))));
                events.extend((outcome.overrun != Charge::ZERO).then(|| event(happened::overrun(&report, &outcome))));
                events.extend(ended(&report, *outcome).map(|record| HistoryEvent::Outcome(Box::new(record))));
            }
            News::Decided(report) => {
                let throttled = throttled(&report);
                events.extend(throttled.as_ref().and_then(happened::throttled).map(event));
                events.extend(call_events.then(|| event(happened::decided(&report, decision(&report).word()))));
                let throttled = throttled.map(|record| HistoryEvent::Throttle(Box::new(record)));
                events.push(HistoryEvent::Verdict(Box::new(verdict(Arc::unwrap_or_clone(report)))));
                events.extend(throttled);
            }
            News::Event(event) => events.push(event),
            News::Awaited(_) => {}
        }
    }
    events.reverse();
    events
}

/// Lets other events come, unless somebody waits: who sends one now finds nobody to wake.
fn linger(first: &News) {
    if !matches!(first, News::Awaited(_)) {
        std::thread::park_timeout(LINGER);
    }
}

fn decision(report: &Report) -> Decision {
    match &report.verdict {
        Verdict::Admitted { .. } | Verdict::Unbudgeted => Decision::Admitted,
        Verdict::Refused(_) if report.said.as_ref().is_some_and(|said| said.status == 429) => Decision::SlowDown,
        Verdict::Refused(_) => Decision::Refused,
        Verdict::Rejected(_) => Decision::Rejected,
    }
}

fn verdict(report: Report) -> VerdictRecord {
    let decision = decision(&report);
    let (cap, held) = match &report.verdict {
        Verdict::Admitted { cap, held, .. } => (Some(*cap), *held),
        Verdict::Unbudgeted | Verdict::Refused(_) | Verdict::Rejected(_) => (None, Charge::ZERO),
    };
    let fullest = report.seen.iter().max_by_key(|view| view.level).map(|view| view.key.clone());
    let account = match &report.verdict {
        Verdict::Refused(refusal) => Some(refusal.account.clone()),
        _ => fullest,
    };
    let part = |(name, amount): (String, u64)| {
        let meter = if name.starts_with("output") { Meter::OutputTokens } else { Meter::InputTokens };
        BoundPart { name, meter, amount }
    };
    let reason = std::iter::once(reason(&report))
        .chain(report.stop.iter().flat_map(on_its_way))
        .chain(report.paced.iter().map(paced))
        .chain(report.warnings)
        .collect::<Vec<_>>()
        .join("; ");
    VerdictRecord {
        id: report.id,
        at: report.at,
        labels: report.labels,
        provider: Some(report.provider).filter(|provider| !provider.is_empty()),
        model: Some(report.model).filter(|model| !model.is_empty()),
        decision,
        account,
        reason,
        numbers: report.seen,
        bound: report.bound.into_iter().map(part).collect(),
        cap,
        held,
        waited: report.waited,
        price_version: Some(report.price_version),
    }
}

fn reason(report: &Report) -> String {
    let subscription = if report.subscription { "; paid by a subscription, charged at list price" } else { "" };
    let said = || report.said.as_ref().map_or("", |said| said.message.as_str());
    match &report.verdict {
        Verdict::Admitted { cap, asked: Some(asked), .. } if cap < asked => {
            format!("fits, with {cap} of the {asked} output tokens asked for{subscription}")
        }
        Verdict::Admitted { .. } => format!("fits{subscription}"),
        Verdict::Unbudgeted => format!("touches no budget{subscription}"),
        Verdict::Refused(_) => said().to_owned(),
        Verdict::Rejected(code) => format!("{code}: {}", said()),
    }
}

/// How long a call waited for a pace.
fn paced(paced: &Paced) -> String {
    let why = if paced.is_peak { ": a peak hour" } else { "" };
    format!("paced {} by pace `{}`{why}", paced.waited, paced.pace)
}

/// How a call came to a stop of its route.
fn on_its_way(stop: &StopNote) -> Vec<String> {
    let route = stop.route.iter().map(|route| format!("by route `{route}`"));
    let before = stop.because.iter().map(|why| match stop.continues {
        Some(call) => format!("continues call {call}, because {why}"),
        None => format!("not where it would have gone first, because {why}"),
    });
    let spared = stop.spared.iter().map(|budget| format!("not counted by budget `{budget}`, which refused it"));
    route.chain(before).chain(spared).collect()
}

/// How a call that went came out; nothing for one that did not.
fn word(outcome: &CallOutcome) -> Option<Outcome> {
    match outcome.word {
        "settled" | "unbudgeted" => Some(Outcome::Settled),
        "released" => Some(Outcome::Released),
        "assumed" => Some(Outcome::Assumed),
        _ => None,
    }
}

fn ended(report: &Report, outcome: CallOutcome) -> Option<OutcomeRecord> {
    Some(OutcomeRecord {
        id: report.id,
        at: report.at.after(outcome.took),
        outcome: word(&outcome)?,
        usage: outcome.usage,
        charge: outcome.charge,
        overrun: outcome.overrun,
        unbounded: report.unbounded.iter().cloned().chain(outcome.unbounded).collect(),
        // None where the call ended before its answer began.
        status: Some(outcome.status).filter(|status| *status > 0),
        duration: Some(outcome.took),
        price_version: Some(report.price_version.clone()),
        note: Some(outcome.note).filter(|note| !note.is_empty()),
    })
}

/// What a budget did to the call, where it did anything.
fn throttled(report: &Report) -> Option<ThrottleRecord> {
    let fullest = report.seen.iter().max_by_key(|view| view.level)?;
    let (account, limit, charged, action) = match &report.verdict {
        Verdict::Refused(refusal) => {
            let charged = refusal.spent.saturating_add(refusal.assumed).saturating_add(refusal.held);
            (&refusal.account, &refusal.limit, charged, ThrottleAction::Refused)
        }
        Verdict::Admitted { .. } if report.waited.ms() > 0 => {
            let limit = fullest.limits.iter().max_by_key(|limit| limit.level)?;
            (&fullest.key, &limit.limit, limit.charged(), ThrottleAction::Waited)
        }
        Verdict::Admitted { .. } if fullest.level > almoner_units::Level::None => {
            let limit = fullest.limits.iter().max_by_key(|limit| limit.level)?;
            (&fullest.key, &limit.limit, limit.charged(), ThrottleAction::Warned)
        }
        _ => return None,
    };
    Some(ThrottleRecord {
        at: report.at,
        call: Some(report.id),
        labels: report.labels.clone(),
        account: account.clone(),
        limit: limit.clone(),
        charged,
        level: fullest.level,
        level_before: None,
        action,
        priority: Some(report.priority),
        reason: reason(report),
    })
}

/// A level that changed, as history tells it.
fn level_changed(entry: &Entry, ledger: &Ledger) -> Option<ThrottleRecord> {
    let Fact::LevelChanged { account, limit, from, to } = &entry.fact else { return None };
    let view = ledger.view(*account, entry.at)?;
    let limit = view.limits.get(usize::from(*limit))?;
    Some(ThrottleRecord {
        at: entry.at,
        call: None,
        labels: view.key.per.iter().cloned().collect::<Labels>(),
        account: view.key.clone(),
        limit: limit.limit.clone(),
        charged: limit.charged(),
        level: *to,
        level_before: Some(*from),
        action: ThrottleAction::LevelChanged,
        priority: None,
        reason: format!("{} is at {to}, after {from}", limit.limit),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a call was when it was decided.
    fn report() -> Arc<Report> {
        Arc::new(Report {
            id: almoner_units::CallId::new(Timestamp::default(), [7; 10]),
            at: Timestamp::default(),
            route: "/v1/messages",
            dialect: almoner_gateway::dialect::Dialect::Anthropic,
            labels: Labels::new(),
            priority: almoner_units::Priority::Normal,
            provider: "anthropic".to_owned(),
            model: "claude".to_owned(),
            verdict: Verdict::Unbudgeted,
            seen: Vec::new(),
            waited: almoner_units::Span::default(),
            paced: Vec::new(),
            bound: Vec::new(),
            ask: None,
            price_version: "1".to_owned(),
            unbounded: vec!["service_tier".to_owned()],
            warnings: vec!["a label was left out".to_owned()],
            subscription: false,
            stop: None,
            said: None,
            parent: None,
        })
    }

    #[test]
    fn a_call_is_told_in_order_whether_or_not_it_has_ended() {
        let late =
            CallOutcome { word: "settled", unbounded: vec!["implausible usage".to_owned()], ..Default::default() };
        let (gone, runs) = (report(), report());
        let news =
            vec![News::Decided(Arc::clone(&gone)), News::Ended(gone, Box::new(late)), News::Decided(runs.clone())];
        let events = in_words(news, false);
        let [HistoryEvent::Verdict(first), HistoryEvent::Outcome(end), HistoryEvent::Verdict(second)] = &events[..]
        else {
            panic!("{events:?}")
        };
        assert_eq!(first, second, "what is moved is what would be copied");
        assert_eq!(first.reason, "touches no budget; a label was left out");
        assert_eq!(end.unbounded, ["service_tier", "implausible usage"]);
        assert_eq!(runs.model, "claude", "whoever still runs keeps what it was");
    }

    #[test]
    fn a_stop_that_was_left_for_the_next_is_no_call_of_its_key() {
        let mut sum = KeySummary::default();
        for (word, goes_on) in [("released", true), ("released", true), ("settled", false), ("assumed", true)] {
            add_to_key(&mut sum, &report(), &CallOutcome { word, goes_on, ..Default::default() });
        }
        assert_eq!((sum.calls, sum.refused), (2, 0), "the one that was answered, and one that may have cost something");
    }

    #[test]
    fn what_is_old_is_forgotten_and_then_not_looked_for_a_while() {
        let dir = tempfile::tempdir().unwrap();
        let mut history = History::open(dir.path()).unwrap();
        let id = report().id;
        history.flush(&in_words(vec![News::Decided(report())], true)).unwrap();
        let keep = Keep { age: Span::from_secs(3600), bytes: u64::MAX, call_events: true };
        let mut tidy = Tidy::default();
        assert_eq!(tidy.patience(), Duration::ZERO);
        tidy.step(&mut history, keep);
        assert_eq!(history.explain(id).unwrap(), None);
        assert_eq!(tidy.patience(), Duration::ZERO, "there may be more");
        tidy.step(&mut history, keep);
        assert!(tidy.patience() > Duration::ZERO);
        history.flush(&in_words(vec![News::Decided(report())], true)).unwrap();
        tidy.step(&mut history, keep);
        assert!(history.explain(id).unwrap().is_some(), "it is not time yet");
    }

    #[tokio::test]
    async fn who_reads_finds_what_was_told_before() {
        let dir = tempfile::tempdir().unwrap();
        let history = History::open(dir.path()).unwrap();
        let keep = Keep { age: Span::from_ms(u64::MAX), bytes: u64::MAX, call_events: false };
        let (recorder, writing) = Recorder::start(history, keep).unwrap();
        let reader = almoner_store::HistoryReader::open(dir.path()).unwrap();
        almoner_gateway::Recorder::decided(&recorder, &report());
        recorder.written().await;
        assert!(reader.explain(report().id).unwrap().is_some());
        drop(recorder);
        writing.join().unwrap();
    }

    #[test]
    fn a_flood_of_events_does_not_keep_the_first_from_being_written() {
        let (queue, events) = sync_channel(2 * BATCH_MAX);
        let event = || News::Event(HistoryEvent::TokenBudget { views: Vec::new(), at: Timestamp::default() });
        (0..2 * BATCH_MAX).for_each(|_| drop(queue.send(event())));
        assert_eq!(batch(event(), &events).len(), BATCH_MAX);
    }
}
