//! Every pace, and the room where calls wait for them.
//!
//! A call goes once all of its paces let it, and takes of all at once. Who waits goes in order of priority, then by
//! turns among keys, by turns among the sessions of a key, and then by age. Every ten seconds of waiting raise a call
//! by one step of priority, so that the least urgent is not starved. A pace that the first in line is short of is kept
//! for it; its other paces are not, so that who waits for its own keeps nobody out of the provider's.
//!
//! In a learned peak hour a call of priority low goes only while no more than half of a pace is used, for half of the
//! time that it may wait and for half a minute at most; then it is one among others. Nothing is kept for it meanwhile.
//!
//! The room is bounded, also for each key, and so is every wait. Who cannot go within its time is told so at once.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, HashSet};

use almoner_units::{LabelName, Labels, Priority, Span, Timestamp};

use super::hours::Profile;
use super::{COUNTS_MAX, Load, Pace, PaceRule, Rates, Short, Told};

/// How long a wait raises a call by one step.
const AGEING: Span = Span::from_secs(10);
/// How long a call of priority low leaves half of its paces to others in a peak hour, at most.
const HELD_MAX: Span = Span::from_secs(30);
/// The most profiles that are remembered of paces at which nothing goes.
const PROFILES_MAX: usize = 1_000;
/// The most paces that are known at once; what is beyond shares one for each rule.
const PACES_MAX: usize = 20_000;
/// How often those are looked for at most at which nothing goes, once there are as many.
const SWEPT_EVERY: Span = Span::from_secs(1);
/// The most groups of calls whose turns are remembered.
const TURNS_MAX: usize = 4_096;
/// Which part of the room one key may fill.
const PART_OF_ONE: usize = 4;

/// A call that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WaiterId(u64);

/// What a call asks of its paces.
#[derive(Clone, Debug, Default)]
pub struct Order {
    /// Its paces, from [`Paces::touched`].
    pub paces: Vec<u64>,
    /// The most tokens that it can use.
    pub tokens: u64,
    /// How urgent it is.
    pub priority: Priority,
    /// Its key and its session, each of which has its turn.
    pub groups: [String; 2],
}

/// A call that may go, until it is sent and answered, or gives it back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grant {
    paces: Vec<u64>,
    tokens: u64,
}

impl Grant {
    /// The most tokens that it can use.
    #[must_use]
    pub const fn tokens(&self) -> u64 {
        self.tokens
    }
}

/// The pace that a call waits for or waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PacedBy {
    /// Its name.
    pub pace: String,
    /// What of it is used up.
    pub short: Short,
}

/// A call that may not go within its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slow {
    /// What it waits for; `None` where the room is full.
    pub by: Option<PacedBy>,
    /// How long until it may go, as far as that is known.
    pub after: Span,
}

/// What a pace says to a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// It may go.
    Goes(Grant),
    /// It waits.
    Waits(WaiterId),
    /// It may not go within its time.
    Slow(Slow),
}

#[derive(Debug)]
struct Known {
    name: String,
    /// The name of its rule, and the labels by which that makes paces.
    of: (String, Vec<LabelName>),
    pace: Pace,
}

#[derive(Debug)]
struct Waiter<T> {
    id: WaiterId,
    order: Order,
    since: Timestamp,
    until: Timestamp,
    /// What it was last short of.
    by: Option<PacedBy>,
    ticket: T,
}

/// Every pace, and who waits for them.
#[derive(Debug)]
pub struct Paces<T> {
    known: HashMap<u64, Known>,
    by_name: HashMap<String, u64>,
    waiters: Vec<Waiter<T>>,
    most: usize,
    /// When the paces at which nothing goes were last looked for.
    swept: Option<Timestamp>,
    /// When each group last had its turn.
    turns: HashMap<String, u64>,
    counter: u64,
    next: Option<Timestamp>,
    /// The hour that lasts, since 1970, once somebody has said it.
    hour: Option<u64>,
    /// What was learned before of paces that are not known yet, by their names.
    profiles: HashMap<String, Profile>,
}

/// A pace as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// Its name.
    pub name: String,
    /// How much may go in a minute.
    pub rates: Rates,
    /// What counts now.
    pub used: Load,
    /// How many calls wait for it.
    pub waiting: usize,
    /// Whether this hour is a learned peak hour.
    pub is_peak: bool,
    /// What is known of the hours of the day, where it follows its provider.
    pub profile: Option<Profile>,
}

/// An answer to who waited: that it may go, and how long it waited for what; or that it may not.
type Answered<T> = (T, Result<(Grant, Span, Option<PacedBy>), Slow>);

impl<T> Paces<T> {
    /// No pace yet, and a room for so many calls.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self {
            known: HashMap::new(),
            by_name: HashMap::new(),
            waiters: Vec::new(),
            most,
            swept: None,
            turns: HashMap::new(),
            counter: 0,
            next: None,
            hour: None,
            profiles: HashMap::new(),
        }
    }

    /// What was learned of the hours of the day before, for a pace of this name.
    pub fn remember(&mut self, name: String, profile: Profile) {
        if self.profiles.len() < PROFILES_MAX {
            self.profiles.insert(name, profile.plausible());
        }
    }

    /// What is known of the hours of the day, by the names of paces, in their order.
    #[must_use]
    pub fn profiles(&self) -> BTreeMap<String, Profile> {
        let known = self.known.values().filter_map(|known| Some((known.name.clone(), known.pace.profile()?)));
        self.profiles.iter().map(|(name, profile)| (name.clone(), profile.clone())).chain(known).collect()
    }

    /// It is this hour now, counted from 1970 in UTC.
    pub fn hour(&mut self, hour: u64, now: Timestamp) {
        if self.hour.replace(hour) != Some(hour) {
            self.known.values_mut().for_each(|known| known.pace.hour(hour, now));
        }
    }

    /// The paces of a call with these labels, by these rules. A pace whose rates were changed has the new ones from now
    /// on, with what went at it.
    pub fn touched<'r>(
        &mut self,
        rules: impl Iterator<Item = &'r PaceRule>,
        labels: &Labels,
        now: Timestamp,
    ) -> Vec<u64> {
        rules.filter_map(|rule| Some(self.open(rule.pace_of(labels)?, rule, now))).collect()
    }

    /// Puts rules in the place of others: a pace that is known has the rates of its rule at once, and one whose rule is
    /// gone keeps nobody waiting. Whoever waits is to be woken after this.
    pub fn configure(&mut self, before: &[PaceRule], rules: &[PaceRule]) {
        for known in self.known.values_mut() {
            let is_its = |rule: &&PaceRule| known.of.0 == rule.name && known.of.1 == rule.per;
            match (rules.iter().find(is_its), before.iter().any(|rule| is_its(&rule))) {
                (Some(rule), _) => known.pace.configure(rule.rates, rule.adaptive),
                (None, true) => known.pace.configure(Rates::default(), false),
                // It is a key's own.
                (None, false) => {}
            }
        }
    }

    fn open(&mut self, name: String, rule: &PaceRule, now: Timestamp) -> u64 {
        if let Some(id) = self.by_name.get(&name) {
            self.known.get_mut(id).into_iter().for_each(|known| known.pace.configure(rule.rates, rule.adaptive));
            return *id;
        }
        if self.known.len() >= PACES_MAX && self.swept.is_none_or(|then| now.since(then) >= SWEPT_EVERY) {
            self.swept = Some(now);
            self.sweep(now);
        }
        let name = if self.known.len() >= PACES_MAX { format!("{} [others]", rule.name) } else { name };
        if let Some(id) = self.by_name.get(&name) {
            return *id;
        }
        self.counter += 1;
        self.by_name.insert(name.clone(), self.counter);
        let mut pace = Pace::new(rule.rates);
        pace.configure(rule.rates, rule.adaptive);
        if rule.adaptive {
            self.profiles.remove(&name).into_iter().for_each(|profile| pace.remember(profile));
            self.hour.into_iter().for_each(|hour| pace.hour(hour, now));
        }
        let of = (rule.name.clone(), rule.per.clone());
        self.known.insert(self.counter, Known { name, of, pace });
        self.counter
    }

    /// Forgets the paces at which nothing goes, but for what they know of the hours.
    fn sweep(&mut self, now: Timestamp) {
        let awaited: HashSet<u64> = self.waiters.iter().flat_map(|waiter| waiter.order.paces.iter().copied()).collect();
        let gone: Vec<_> =
            self.known.extract_if(|id, known| !awaited.contains(id) && known.pace.is_idle(now)).collect();
        for (_, Known { name, pace, .. }) in gone {
            pace.profile().into_iter().for_each(|profile| self.remember(name.clone(), profile));
        }
        self.by_name.retain(|_, id| self.known.contains_key(id));
    }

    /// Asks for a call: it may go, waits until `until`, or is refused.
    pub fn ask(&mut self, order: Order, ticket: T, now: Timestamp, until: Timestamp) -> (Asked, Vec<Answered<T>>) {
        let is_held = is_held(&order, now, now, until);
        let by = if self.waiters.is_empty() {
            match self.take(&order, is_held, now) {
                Ok(grant) => return (Asked::Goes(grant), Vec::new()),
                Err(by) => Some(by),
            }
        } else {
            self.short(&order, is_held, now)
        };
        if let Some(slow) = self.cannot_wait(&order, by.as_ref(), now, until) {
            return (Asked::Slow(slow), Vec::new());
        }
        self.note_wait(by.as_ref());
        self.counter += 1;
        let id = WaiterId(self.counter);
        self.waiters.push(Waiter { id, order, since: now, until, by, ticket });
        (Asked::Waits(id), self.wake(now))
    }

    /// Notes that a call waits for a pace. That one leaves it to others says nothing of how busy it is.
    fn note_wait(&mut self, by: Option<&PacedBy>) {
        let Some(by) = by.filter(|by| by.short != Short::Peak) else { return };
        let known = self.by_name.get(&by.pace).and_then(|id| self.known.get_mut(id));
        known.into_iter().for_each(|known| known.pace.waited());
    }

    /// Why a call had better not wait.
    fn cannot_wait(&mut self, order: &Order, by: Option<&PacedBy>, now: Timestamp, until: Timestamp) -> Option<Slow> {
        let of_its_key = self.waiters.iter().filter(|waiter| waiter.order.groups[0] == order.groups[0]).count();
        if self.waiters.len() >= self.most || of_its_key >= self.most.div_ceil(PART_OF_ONE) {
            return Some(Slow { by: None, after: self.after(order, now) });
        }
        let by = by?;
        (until <= now || self.waits_in_vain(order, now, until))
            .then(|| Slow { by: Some(by.clone()), after: self.after(order, now) })
    }

    /// Whether no request of it can go before its time is up. Tokens may be given back at any moment, and a request
    /// that was not sent; one that went has gone.
    fn waits_in_vain(&mut self, order: &Order, now: Timestamp, until: Timestamp) -> bool {
        let is_late = |known: &mut Known| known.pace.requests_open_at(now).is_some_and(|at| at > until);
        order.paces.iter().any(|id| self.known.get_mut(id).is_some_and(is_late))
    }

    /// How long until a call may go, if nobody else does.
    fn after(&mut self, order: &Order, now: Timestamp) -> Span {
        let opens = |known: &mut Known| known.pace.opens_at(order.tokens, now).unwrap_or_else(|| now.after(COUNTS_MAX));
        let at = order.paces.iter().filter_map(|id| self.known.get_mut(id).map(opens)).max();
        at.map_or(Span::from_secs(1), |at| at.since(now)).max(Span::from_secs(1))
    }

    /// What stands in the way of a call.
    fn short(&mut self, order: &Order, is_held: bool, now: Timestamp) -> Option<PacedBy> {
        order.paces.iter().find_map(|id| {
            let known = self.known.get_mut(id)?;
            let fits = if is_held { Pace::fits_low } else { Pace::fits };
            let short = fits(&mut known.pace, order.tokens, now).err()?;
            Some(PacedBy { pace: known.name.clone(), short })
        })
    }

    /// Lets a call go, where all its paces do.
    fn take(&mut self, order: &Order, is_held: bool, now: Timestamp) -> Result<Grant, PacedBy> {
        if let Some(by) = self.short(order, is_held, now) {
            return Err(by);
        }
        for id in &order.paces {
            self.known.get_mut(id).into_iter().for_each(|known| known.pace.begin(order.tokens));
        }
        self.note_turn(order);
        Ok(Grant { paces: order.paces.clone(), tokens: order.tokens })
    }

    fn note_turn(&mut self, order: &Order) {
        self.counter += 1;
        if self.turns.len() >= TURNS_MAX {
            let oldest = self.counter.saturating_sub(TURNS_MAX as u64 / 2);
            self.turns.retain(|_, turn| *turn > oldest);
        }
        for group in [key_of(order), session_of(order)] {
            self.turns.insert(group, self.counter);
        }
    }

    /// Lets go who may, and tells whose time is up.
    pub fn wake(&mut self, now: Timestamp) -> Vec<Answered<T>> {
        let mut answered = Vec::new();
        let mut kept = HashMap::new();
        self.next = None;
        // Who goes has had its turn, and the line is another.
        while let Some((at, grant)) = self.first_to_go(&mut kept, now) {
            let waiter = self.waiters.swap_remove(at);
            answered.push((waiter.ticket, Ok((grant, now.since(waiter.since), waiter.by))));
        }
        for waiter in self.waiters.iter_mut().filter(|waiter| waiter.by.is_none()) {
            waiter.by = waiter.order.paces.iter().find_map(|id| kept.get(id)).cloned();
        }
        for at in (0..self.waiters.len()).rev().filter(|at| self.waiters[*at].until <= now).collect::<Vec<_>>() {
            let waiter = self.waiters.swap_remove(at);
            let slow = Slow { after: self.after(&waiter.order, now), by: waiter.by };
            answered.push((waiter.ticket, Err(slow)));
        }
        self.next = self.waiters.iter().map(|waiter| waiter.until).chain(self.next).min();
        answered
    }

    /// Lets the first in line go who may, and keeps the paces of those before it that they are short of.
    fn first_to_go(&mut self, kept: &mut HashMap<u64, PacedBy>, now: Timestamp) -> Option<(usize, Grant)> {
        for at in self.line(now) {
            if self.waiters[at].order.paces.iter().any(|id| kept.contains_key(id)) {
                continue;
            }
            let order = self.waiters[at].order.clone();
            let is_held = self.waiters[at].is_held(now);
            match self.take(&order, is_held, now) {
                Ok(grant) => return Some((at, grant)),
                // It keeps nothing: what it leaves is for others.
                Err(by) if by.short == Short::Peak => {
                    let held_until = self.waiters[at].held_until();
                    let opens = self.opens_to_low(&order, now).map_or(held_until, |opens| opens.min(held_until));
                    self.next = self.next.into_iter().chain([opens]).min();
                    self.waiters[at].by = Some(by);
                }
                Err(by) => {
                    let opens = self.keep(&order, kept, now);
                    self.next = [self.next, opens].into_iter().flatten().min();
                    self.waiters[at].by = Some(by);
                }
            }
        }
        None
    }

    /// When the paces of a call of priority low open to such calls.
    fn opens_to_low(&mut self, order: &Order, now: Timestamp) -> Option<Timestamp> {
        let opens = |known: &mut Known| known.pace.opens_to_low_at(order.tokens, now);
        order.paces.iter().filter_map(|id| self.known.get_mut(id).and_then(opens)).max()
    }

    /// Keeps the paces for a call that it is short of, and gives when they open.
    fn keep(&mut self, order: &Order, kept: &mut HashMap<u64, PacedBy>, now: Timestamp) -> Option<Timestamp> {
        let mut opens = None;
        for id in &order.paces {
            let Some(known) = self.known.get_mut(id) else { continue };
            if let Err(short) = known.pace.fits(order.tokens, now) {
                kept.insert(*id, PacedBy { pace: known.name.clone(), short });
                opens = known.pace.opens_at(order.tokens, now).max(opens);
            }
        }
        opens
    }

    /// All who wait, in line.
    fn line(&self, now: Timestamp) -> Vec<usize> {
        let mut line: Vec<usize> = (0..self.waiters.len()).collect();
        line.sort_by_cached_key(|at| self.place(&self.waiters[*at], now));
        line
    }

    /// Where a call stands in line.
    fn place(&self, waiter: &Waiter<T>, now: Timestamp) -> (Reverse<u64>, u64, u64, Timestamp, WaiterId) {
        let turn = |group: &str| self.turns.get(group).copied().unwrap_or(0);
        let urgency = waiter.order.priority as u64 + now.since(waiter.since).ms() / AGEING.ms();
        let (key, session) = (turn(&key_of(&waiter.order)), turn(&session_of(&waiter.order)));
        (Reverse(urgency), key, session, waiter.since, waiter.id)
    }

    /// When it is next worth waking, even if nothing is given back.
    #[must_use]
    pub const fn next_change(&self) -> Option<Timestamp> {
        self.next
    }

    /// Takes out who waits no more; whether it was there.
    pub fn leave(&mut self, id: WaiterId) -> bool {
        let before = self.waiters.len();
        self.waiters.retain(|waiter| waiter.id != id);
        self.waiters.len() < before
    }

    /// How many calls wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiters.len()
    }

    /// A call goes.
    pub fn sent(&mut self, grant: &Grant, now: Timestamp) {
        self.each(grant, |pace| pace.sent(now));
    }

    /// It does not go after all.
    pub fn give_back(&mut self, grant: &Grant) {
        self.each(grant, |pace| pace.give_back(grant.tokens));
    }

    /// What it can use is less than was thought.
    pub fn lower(&mut self, grant: &mut Grant, tokens: u64) {
        let to = tokens.min(grant.tokens);
        self.each(grant, |pace| pace.lower(grant.tokens, to));
        grant.tokens = to;
    }

    /// The provider answered, and says this of itself.
    pub fn told(&mut self, grant: &Grant, told: Told, now: Timestamp) {
        self.each(grant, |pace| pace.told(told, now));
    }

    /// The provider refused, and said to wait so long.
    pub fn refused(&mut self, grant: &Grant, wait: Option<Span>, now: Timestamp) {
        self.each(grant, |pace| pace.refused(wait, now));
    }

    /// It was answered, and used so many tokens.
    pub fn settle(&mut self, grant: &Grant, used: u64, now: Timestamp) {
        self.each(grant, |pace| pace.settle(grant.tokens, used, now));
    }

    fn each(&mut self, grant: &Grant, mut what: impl FnMut(&mut Pace)) {
        for id in &grant.paces {
            // A pace that something goes at is never forgotten.
            self.known.get_mut(id).into_iter().for_each(|known| what(&mut known.pace));
        }
    }

    /// Every pace, the busiest first.
    pub fn look(&mut self, now: Timestamp) -> Vec<Look> {
        let mut waiting: HashMap<u64, usize> = HashMap::new();
        for id in self.waiters.iter().flat_map(|waiter| &waiter.order.paces) {
            *waiting.entry(*id).or_default() += 1;
        }
        let look = |(id, known): (&u64, &mut Known)| {
            let used = known.pace.used(now);
            Look {
                name: known.name.clone(),
                rates: known.pace.rates(),
                used,
                waiting: waiting.get(id).copied().unwrap_or(0),
                is_peak: known.pace.is_peak(),
                profile: known.pace.profile(),
            }
        };
        let mut all: Vec<_> = self.known.iter_mut().map(look).collect();
        let busy = |look: &Look| Reverse((look.waiting, look.used.requests));
        all.sort_by(|one, other| busy(one).cmp(&busy(other)).then(one.name.cmp(&other.name)));
        all
    }
}

/// Until when a call leaves half of its paces to others in a peak hour, if it is of priority low.
fn held_until(since: Timestamp, until: Timestamp) -> Timestamp {
    since.after(Span::from_ms(until.since(since).ms() / 2).min(HELD_MAX))
}

/// Whether a call leaves half of its paces to others now, should this be a peak hour.
fn is_held(order: &Order, since: Timestamp, now: Timestamp, until: Timestamp) -> bool {
    order.priority == Priority::Low && (now < held_until(since, until) || since == until)
}

impl<T> Waiter<T> {
    fn held_until(&self) -> Timestamp {
        held_until(self.since, self.until)
    }

    fn is_held(&self, now: Timestamp) -> bool {
        is_held(&self.order, self.since, now, self.until)
    }
}

fn key_of(order: &Order) -> String {
    format!("key {}", order.groups[0])
}

fn session_of(order: &Order) -> String {
    let [key, session] = &order.groups;
    format!("session {key} {session}")
}
