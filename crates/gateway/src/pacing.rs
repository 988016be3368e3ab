//! The gate in front of every provider: a call goes at the pace of its provider, its key and whatever else the config
//! paces, and waits for its turn before money is set aside for it.
//!
//! Its place is taken before the purse is asked, so that no money lies still behind a pace. The place counts until the
//! call is sent, so that calls which waited for money are no burst. One that waits for money longer than a moment gives
//! its place back and takes another once it has the money. Time is told by a clock that nobody sets.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use almoner_meter::Reading;
use almoner_policy::Shape;
use almoner_policy::pace::hours::{HOURS, Profile};
use almoner_policy::pace::{
    Asked, Grant, Load, Look, Order, PaceRule, PacedBy, Paces, Rates, Short, Slow, Told, WaiterId,
};
use almoner_units::{Charge, Meter, NanoUsd, Span, Timestamp};
use tokio::sync::{Notify, oneshot};
use tokio::time::sleep;

use crate::dialect::Dialect;
use crate::stack::{Understood, World};
use crate::told_limits::{ToldLimit, ToldLimits};

/// How many calls may wait for a pace.
const WAITING_MAX: usize = 1_000;
/// How long a call may keep its place while it waits for money.
pub(crate) const KEPT_MAX: Duration = Duration::from_secs(1);
/// How long the room sleeps where nothing says when to wake it.
const LOOK: Span = Span::from_secs(1);
/// How many calls to a provider tell how many tokens their input comes to.
const TOLD: usize = 8;
/// What is taken for a call's input before any has told: a token for two bytes, twice what text usually has.
const PERMILLE_FIRST: u64 = 500;

/// A pace as it is shown: what may go in a minute, what went or may go, and who waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaceView {
    /// Its name.
    pub pace: String,
    /// How much may go in a minute.
    pub rates: Rates,
    /// What counts now.
    pub used: Load,
    /// How many calls wait for it.
    pub waiting: usize,
    /// Whether this hour is a learned peak hour.
    pub is_peak: bool,
}

/// What stood in the way of a call, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paced {
    /// The pace.
    pub pace: String,
    /// How long the call waited for it.
    pub waited: Span,
    /// Whether it left the pace to others, because this is a learned peak hour.
    pub is_peak: bool,
}

/// Every pace.
pub(crate) struct Pacing {
    clock: Box<dyn Fn() -> Timestamp + Send + Sync>,
    /// Which hour it is, since 1970 in UTC.
    hour: Box<dyn Fn() -> u64 + Send + Sync>,
    state: Mutex<State>,
    /// Told when who waits may have changed.
    changed: Notify,
    /// How many tokens the input of calls comes to, by provider.
    inputs: Mutex<HashMap<String, Inputs>>,
}

struct State {
    paces: Paces<Ticket>,
    /// Which calls go at which pace. A call that came under other rules goes by these as well: its provider counts it
    /// with all others.
    rules: Arc<[PaceRule]>,
    /// Whether somebody wakes the room.
    is_driven: bool,
}

type Ticket = oneshot::Sender<Result<(Pass, Option<Paced>), Slow>>;

/// What the input of the last calls came to, in tokens for a thousand bytes.
#[derive(Clone, Copy, Debug)]
struct Inputs {
    permille: [u64; TOLD],
    next: usize,
}

impl Default for Inputs {
    fn default() -> Self {
        Self { permille: [PERMILLE_FIRST; TOLD], next: 0 }
    }
}

impl Inputs {
    /// The most that any of the last calls came to, and a tenth more.
    fn expected(&self, bytes: u64) -> u64 {
        let most = self.permille.iter().copied().max().unwrap_or(PERMILLE_FIRST);
        bytes.saturating_mul(most).div_ceil(1000).saturating_mul(11).div_ceil(10)
    }

    fn learn(&mut self, bytes: u64, tokens: u64) {
        // So short a prompt is mostly what stands around it.
        if bytes >= 2_000 {
            self.permille[self.next] = tokens.saturating_mul(1000).div_ceil(bytes).clamp(1, 4_000);
            self.next = (self.next + 1) % TOLD;
        }
    }
}

/// The size of a call's input: its bytes, and bytes in the place of what has none.
fn bytes(shape: &Shape) -> u64 {
    let parts = [
        (shape.text_bytes, 1),
        // What stands around every prompt, and around tools where there are any.
        (1, 1_000),
        (shape.tools.min(1), 1_000),
        (shape.messages, 16),
        (shape.tools, 128),
        (shape.images, 3_200),
        (shape.pages, 6_000),
        (shape.documents, 60_000),
        (shape.sounds, 6_000),
    ];
    parts.iter().fold(0, |sum: u64, (count, each)| sum.saturating_add(count.saturating_mul(*each)))
}

/// What a provider counts of a call's input: Anthropic leaves out what it reads from a cache, the others do not.
fn counted(dialect: Dialect, reading: &Reading) -> (u64, u64) {
    let charge = Charge::of(&reading.usage, NanoUsd::default());
    let all = if dialect == Dialect::Anthropic { Meter::UncachedTokens } else { Meter::Tokens };
    let output = charge[Meter::OutputTokens];
    (charge[all].saturating_sub(output), output)
}

/// Whether a provider counts what a call may put out, even where it does not: OpenAI counts the larger of the prompt
/// and the cap when the request comes, and gives nothing back. Others who speak like it may not; that is the safe side.
const fn counts_the_cap(dialect: Dialect) -> bool {
    matches!(dialect, Dialect::Chat | Dialect::Responses)
}

/// What is known of a call beside itself.
#[derive(Clone, Copy)]
pub(crate) struct Known<'a> {
    /// The name of its provider.
    pub(crate) provider: &'a str,
    /// What its output is taken for where it asks for none.
    pub(crate) default_output: u64,
}

/// The way of one call past its paces.
pub(crate) struct Gate {
    pacing: Arc<Pacing>,
    order: Order,
    provider: String,
    dialect: Dialect,
    bytes: u64,
    input: u64,
    /// The cap that it came with.
    asked: Option<u64>,
}

impl Pacing {
    pub(crate) fn new(
        clock: impl Fn() -> Timestamp + Send + Sync + 'static,
        hour: impl Fn() -> u64 + Send + Sync + 'static,
    ) -> Self {
        Self {
            clock: Box::new(clock),
            hour: Box::new(hour),
            state: Mutex::new(State { paces: Paces::new(WAITING_MAX), rules: Arc::default(), is_driven: false }),
            changed: Notify::new(),
            inputs: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// By the names of providers, which are those of configs.
    fn inputs(&self) -> MutexGuard<'_, HashMap<String, Inputs>> {
        self.inputs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// Puts these rules in force, for those who wait as well.
    pub(crate) fn put(self: &Arc<Self>, rules: &[PaceRule]) {
        {
            let state = &mut *self.state();
            state.paces.configure(&state.rules, rules);
            state.rules = rules.into();
        }
        self.wake();
    }

    /// The gate of a call; `None` where nothing paces it.
    pub(crate) fn gate(self: &Arc<Self>, call: &Understood, known: Known<'_>) -> Option<Gate> {
        let own = call.key.pace.as_ref();
        let paces = {
            let mut state = self.state();
            let rules = Arc::clone(&state.rules);
            if rules.is_empty() && own.is_none() {
                return None;
            }
            let (hour, now) = ((self.hour)(), self.now());
            state.paces.hour(hour, now);
            state.paces.touched(rules.iter().chain(own), &call.labels, now)
        };
        if paces.is_empty() {
            return None;
        }
        let bytes = bytes(&call.call.shape);
        let input = self.inputs().entry(known.provider.to_owned()).or_default().expected(bytes);
        let output = call.call.shape.max_output.unwrap_or(known.default_output);
        let name = |label| call.labels.named(label).map_or_else(String::new, ToString::to_string);
        let order = Order {
            paces,
            tokens: input.saturating_add(output.saturating_mul(call.call.shape.choices.max(1))),
            priority: call.priority,
            groups: [name("key"), name("session")],
        };
        let (provider, dialect) = (known.provider.to_owned(), call.endpoint.dialect);
        let asked = call.call.shape.max_output;
        Some(Gate { pacing: Arc::clone(self), order, provider, dialect, bytes, input, asked })
    }

    /// Tells the answers to those that waited.
    fn tell(self: &Arc<Self>, answered: Vec<Answered>) {
        for (ticket, answer) in answered {
            let answer = answer.map(|(grant, waited, by)| {
                let paced = by.map(|by| Paced { pace: by.pace, waited, is_peak: by.short == Short::Peak });
                (Pass::new(Arc::clone(self), grant), paced)
            });
            // Whoever has gone gives back what it gets here.
            drop(ticket.send(answer));
        }
    }

    /// Lets go who may.
    fn wake(self: &Arc<Self>) {
        let answered = {
            let mut state = self.state();
            if state.paces.waiting() == 0 {
                return;
            }
            state.paces.wake(self.now())
        };
        self.tell(answered);
        self.changed.notify_one();
    }

    /// Sees to it that somebody wakes the room as time goes by.
    fn keep_awake(self: &Arc<Self>) {
        let is_driven = std::mem::replace(&mut self.state().is_driven, true);
        if is_driven {
            self.changed.notify_one();
        } else {
            tokio::spawn(Arc::clone(self).drive());
        }
    }

    async fn drive(self: Arc<Self>) {
        loop {
            let (answered, next) = {
                let mut state = self.state();
                state.paces.hour((self.hour)(), self.now());
                let answered = state.paces.wake(self.now());
                state.is_driven = state.paces.waiting() > 0;
                (answered, state.is_driven.then(|| state.paces.next_change()))
            };
            self.tell(answered);
            let Some(next) = next else { return };
            let until = next.map_or(LOOK, |at| at.since(self.now()));
            tokio::select! {
                () = sleep(Duration::from_millis(until.ms().max(1))) => {}
                () = self.changed.notified() => {}
            }
        }
    }

    /// What was learned of the hours of the day before, for a pace of this name.
    pub(crate) fn remember(&self, pace: String, profile: Profile) {
        self.state().paces.remember(pace, profile);
    }

    /// What is known of the hours of the day, by the names of paces; nothing of those that know nothing.
    pub(crate) fn profiles(&self) -> BTreeMap<String, Profile> {
        let day = (self.hour)() / HOURS as u64;
        let mut profiles = self.state().paces.profiles();
        profiles.retain(|_, profile| !profile.is_empty(day));
        profiles
    }

    /// Every pace at which something went in the last minute, or that is configured and was ever used.
    pub(crate) fn look(&self) -> Vec<PaceView> {
        let now = self.now();
        let all = {
            let mut state = self.state();
            state.paces.hour((self.hour)(), now);
            state.paces.look(now)
        };
        // What may go without end is no pace, until it is learned.
        let known = all.into_iter().filter(|look| !look.rates.is_free() || look.waiting > 0);
        let view =
            |Look { name, rates, used, waiting, is_peak, .. }| PaceView { pace: name, rates, used, waiting, is_peak };
        known.map(view).collect()
    }
}

type Answered = (Ticket, Result<(Grant, Span, Option<PacedBy>), Slow>);

impl Gate {
    /// Waits for its turn, so long at most.
    pub(crate) async fn pass(&self, wait_max: Span) -> Result<(Pass, Option<Paced>), Slow> {
        let (ticket, answer) = oneshot::channel();
        let (asked, answered) = {
            let (mut state, now) = (self.pacing.state(), self.pacing.now());
            state.paces.ask(self.order.clone(), ticket, now, now.after(wait_max))
        };
        self.pacing.tell(answered);
        let id = match asked {
            Asked::Goes(grant) => return Ok((Pass::new(Arc::clone(&self.pacing), grant), None)),
            Asked::Slow(slow) => return Err(slow),
            Asked::Waits(id) => id,
        };
        self.pacing.keep_awake();
        let _place = Place { pacing: &self.pacing, id };
        answer.await.unwrap_or_else(|_| Err(Slow { by: None, after: Span::from_secs(1) }))
    }

    /// Lowers what a call sets aside to what it can use now that its cap is known, and makes it ready to be told how it
    /// ended.
    pub(crate) fn fit(&self, pass: &mut Pass, cap: Option<u64>) {
        if let Some(cap) = cap {
            pass.lower(self.input.saturating_add(cap));
        }
        let cap = cap.or(self.asked).unwrap_or(0);
        pass.of = Some(Of { provider: self.provider.clone(), dialect: self.dialect, bytes: self.bytes, cap });
    }
}

/// A place in the room. Whoever leaves it, leaves it to those behind.
struct Place<'a> {
    pacing: &'a Arc<Pacing>,
    id: WaiterId,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let left = self.pacing.state().paces.leave(self.id);
        if left {
            self.pacing.wake();
        }
    }
}

/// What of a call is counted as used, and tells how much such input is.
struct Of {
    provider: String,
    dialect: Dialect,
    bytes: u64,
    /// The cap that its provider saw.
    cap: u64,
}

/// A call that may go. Dropped before it was sent, it leaves its place to others; dropped after, it counts in full,
/// because nobody can say any more what it used.
pub(crate) struct Pass {
    pacing: Arc<Pacing>,
    grant: Option<Grant>,
    is_sent: bool,
    /// What of it is counted once it is answered.
    of: Option<Of>,
}

impl Pass {
    fn new(pacing: Arc<Pacing>, grant: Grant) -> Self {
        Self { pacing, grant: Some(grant), is_sent: false, of: None }
    }

    fn lower(&mut self, tokens: u64) {
        if let Some(grant) = &mut self.grant {
            self.pacing.state().paces.lower(grant, tokens);
        }
        self.pacing.wake();
    }

    /// From now on it counts by the time at which it was sent.
    pub(crate) fn sent(&mut self) {
        if let (Some(grant), false) = (&self.grant, std::mem::replace(&mut self.is_sent, true)) {
            self.pacing.state().paces.sent(grant, self.pacing.now());
        }
    }

    /// Its provider answered, and says this of its limits.
    pub(crate) fn told(&self, limits: &ToldLimits) {
        let limit = |told: Option<ToldLimit>| told.and_then(|told| told.limit);
        let told = Told { rpm: limit(limits.requests), tpm: limit(limits.tokens), wait: limits.wait };
        if let Some(grant) = self.grant.as_ref().filter(|_| told != Told::default()) {
            self.pacing.state().paces.told(grant, told, self.pacing.now());
        }
    }

    /// Its provider refused, because it gets too many, and said to wait so long.
    pub(crate) fn slowed(&self, wait: Option<Span>) {
        if let Some(grant) = &self.grant {
            self.pacing.state().paces.refused(grant, wait, self.pacing.now());
        }
    }

    /// It was answered, with so much used.
    pub(crate) fn answered(mut self, reading: &Reading) {
        if reading.usage == almoner_units::Usage::default() {
            return;
        }
        let Some(Of { provider, dialect, bytes, cap }) = self.of.take() else { return };
        let (input, output) = counted(dialect, reading);
        self.pacing.inputs().entry(provider).or_default().learn(bytes, input);
        let used = input.saturating_add(output);
        self.settle(if counts_the_cap(dialect) { used.max(cap) } else { used });
    }

    /// It was refused, and used no tokens.
    pub(crate) fn refused(mut self) {
        self.settle(0);
    }

    fn settle(&mut self, used: u64) {
        if !self.is_sent {
            return;
        }
        if let Some(grant) = self.grant.take() {
            self.pacing.state().paces.settle(&grant, used, self.pacing.now());
            self.pacing.wake();
        }
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        match &self.grant {
            Some(grant) if self.is_sent => {
                let tokens = grant.tokens();
                self.settle(tokens);
            }
            Some(grant) => {
                self.pacing.state().paces.give_back(grant);
                self.pacing.wake();
            }
            None => {}
        }
    }
}

/// The paces of a provider: that of its config for all its calls, and one for each of its models that follows what the
/// provider says, because a provider that refuses one model takes calls of another.
#[must_use]
pub fn provider_paces(name: &str, rates: Rates, adaptive: bool) -> Vec<PaceRule> {
    let (Ok(provider), Ok(model)) = ("provider".parse(), "model".parse()) else { return Vec::new() };
    let filter = vec![(provider, name.to_owned())];
    let of_all = PaceRule { name: name.to_owned(), filter, per: Vec::new(), rates, adaptive: false };
    let of_each = PaceRule { per: vec![model], adaptive: true, ..of_all.clone() };
    let all = (!rates.is_free()).then_some(of_all);
    all.into_iter().chain(adaptive.then_some(of_each)).collect()
}

impl<W: World> crate::stack::Gateway<W> {
    /// What was learned of the hours of the day before, by the names of paces.
    pub fn remember_hours(&self, profiles: BTreeMap<String, Profile>) {
        profiles.into_iter().for_each(|(pace, profile)| self.pacing.remember(pace, profile));
    }

    /// What is known of the hours of the day, by the names of paces.
    #[must_use]
    pub fn hours(&self) -> BTreeMap<String, Profile> {
        self.pacing.profiles()
    }

    /// Every pace, with what went at it in the last minute.
    #[must_use]
    pub fn paces(&self) -> Vec<PaceView> {
        self.pacing.look()
    }
}
