//! The way of a call along its route: where it begins, where it goes on to, and what its client is told of that.
//!
//! Each stop is a call of its own to the ledger, with its own id and hold, on the model that really runs there. The
//! next stop begins when the one before has ended, and only while no byte of an answer has gone to the client. Where
//! every stop fails, the client gets the answer of the first, as it would without a route; where that was worth another
//! try, the answer of its last try; and where it was that there is no money, of the first that was only busy. A call
//! without a route begins straight, and comes here when it is tried again.

use std::collections::HashMap;
use std::sync::Arc;

use almoner_policy::{Route, Setback, Target, Trail, When};
use almoner_units::{Budget, BudgetName, CallId, Labels, Priority, Span};
use hyper::Response;

use crate::answer::{Answer, tell_attempts, tell_in_vain, tell_route};
use crate::ask::ask;
use crate::dialect::{self, Asks};
use crate::hop::Hop;
use crate::labels::{Said, labels};
use crate::names::Names;
use crate::port::Purse;
use crate::provider::Shown;
use crate::reject::{Of, Rejection, reject};
use crate::relay::ClientBody;
use crate::report::StopNote;
use crate::retry::{Again, Tries};
use crate::stack::{Came, Gateway, World};
use crate::stays::{self, Stay, Stays};
use crate::trial::Trial;
use crate::trouble::{Ending, Stop, Trouble, plain};

/// The most stops of one call, whatever routes lead on to others.
const STOPS_MAX: usize = 8;

/// Every route that there is.
#[derive(Debug, Default)]
pub(crate) struct Roads {
    routes: Vec<Arc<Route>>,
    /// The routes of the calls that a budget refuses.
    detours: HashMap<BudgetName, Arc<Route>>,
    /// The sessions that stay elsewhere than at their first choice.
    stays: Arc<Stays>,
}

impl Roads {
    pub(crate) fn new(routes: Vec<Route>, detours: Vec<(BudgetName, String)>) -> Self {
        let routes: Vec<Arc<Route>> = routes.into_iter().map(Arc::new).collect();
        let named = |name: &str| routes.iter().find(|route| route.name == name).cloned();
        let detours = detours.into_iter().filter_map(|(budget, name)| Some((budget, named(&name)?))).collect();
        Self { routes, detours, stays: Arc::default() }
    }

    /// The same routes in the place of others. A session stays by the number of a target, which means the same only
    /// while no route has changed.
    pub(crate) fn instead_of(self, old: &Self) -> Self {
        let stays = if self.routes == old.routes { Arc::clone(&old.stays) } else { self.stays };
        Self { stays, ..self }
    }
}

/// Takes a call to where it is answered, or to the end of its way.
pub(crate) async fn travel<W: World>(gateway: Arc<Gateway<W>>, came: Box<Came>) -> Response<ClientBody> {
    let home = gateway.home_of(&came);
    if gateway.roads.routes.is_empty() || came.endpoint.asks == Asks::Look {
        return straight(gateway, came, home).await;
    }
    // What this needs, no other call should have to carry.
    Box::pin(along(gateway, came, home)).await
}

/// Takes a call along its route.
async fn along<W: World>(
    gateway: Arc<Gateway<W>>,
    came: Box<Came>,
    home: Result<usize, Answer>,
) -> Response<ClientBody> {
    let endpoint = came.endpoint;
    match Journey::begin(Arc::clone(&gateway), *came, home) {
        Ok(journey) => journey.go().await,
        Err(rejection) => reject(&gateway, endpoint, *rejection),
    }
}

/// Takes a call on that was tried once, and is worth another try at the only place where it can go.
async fn once_more<W: World>(
    gateway: Arc<Gateway<W>>,
    came: Came,
    home: usize,
    trouble: Trouble,
) -> Response<ClientBody> {
    let endpoint = came.endpoint;
    let mut journey = match Journey::begin(Arc::clone(&gateway), came, Ok(home)) {
        Ok(journey) => journey,
        Err(rejection) => return reject(&gateway, endpoint, *rejection),
    };
    if let Some(point) = journey.next() {
        journey.note(&point, trouble);
    }
    journey.go().await
}

/// Takes a call to the only place where it can go.
async fn straight<W: World>(
    gateway: Arc<Gateway<W>>,
    came: Box<Came>,
    home: Result<usize, Answer>,
) -> Response<ClientBody> {
    let endpoint = came.endpoint;
    let aimed = match home {
        Ok(provider) => gateway.aim(*came, provider, None).map(|understood| (provider, understood)),
        Err(answer) => Err(Box::new(Rejection { answer, of: Of::Key(came.who.key.labels.clone()) })),
    };
    match aimed {
        Err(rejection) => reject(&gateway, endpoint, *rejection),
        Ok((home, understood)) => match ask(Arc::clone(&gateway), understood).await {
            Stop::Answered(response) => response,
            Stop::Setback(mut trouble) => match trouble.came.take() {
                Some(came) => Box::pin(once_more(gateway, *came, home, *trouble)).await,
                None => end(&gateway, endpoint, trouble.ending),
            },
        },
    }
}

/// The last word of a call.
fn end<W: World>(
    gateway: &Gateway<W>,
    endpoint: &'static dialect::Endpoint,
    ending: Option<Ending>,
) -> Response<ClientBody> {
    match ending {
        Some(Ending::Response(response)) => response,
        Some(Ending::Rejection(rejection)) => reject(gateway, endpoint, *rejection),
        None => {
            let answer = Answer::Fault("the call has a route that leads nowhere".to_owned());
            reject(gateway, endpoint, Rejection { answer, of: Of::Nobody })
        }
    }
}

/// A call on its way.
struct Journey<W: World> {
    gateway: Arc<Gateway<W>>,
    came: Came,
    /// Whom its client's own credential is for.
    home: Option<usize>,
    /// Its labels at home.
    labels: Labels,
    /// The same with the model's name in the price book, where the call uses another: by either it takes a route.
    known_as: Option<Labels>,
    priority: Priority,
    /// The way it is on, behind those that it has left.
    legs: Vec<Leg>,
    /// What stood in its way so far.
    met: Vec<Setback>,
    /// The same in words, for the client: from where to where, and why.
    told: Vec<String>,
    /// Where it was last, the call that it was there, and why it went on.
    last: Option<Left>,
    /// The route of a budget that refused it.
    detour: Option<Arc<Route>>,
    /// The last answer of its first stop; where that was final, of the first that was only busy.
    ending: Option<Ending>,
    /// Which stop that was.
    ending_of: Option<Point>,
    /// Whether it tells that time alone brings no money.
    is_final: bool,
    /// The stops that are worth another try, each after its wait, in the order in which they were tried.
    again: Vec<(Point, Span)>,
    /// How often it was tried again.
    tries: Tries,
    /// Whether that was as often as makes sense.
    in_vain: bool,
    /// Where it could have gone, but for the level of a budget or a provider that is down.
    passed_by: Option<Point>,
    /// Its session with this model, by which it may stay where it was.
    session: Option<String>,
    /// Where its session stays, while it is tried first.
    stay: Option<Stay>,
    /// The first stop of its own choice.
    first: Option<Point>,
    stops: usize,
}

/// A stretch of the way: a route, or the way home where it takes none.
#[derive(Clone)]
struct Leg {
    route: Option<Arc<Route>>,
    targets: Arc<[Target]>,
    trail: Trail,
}

/// Where a call goes next.
#[derive(Clone)]
struct Point {
    leg: usize,
    target: usize,
    /// Whether it goes whatever the level of its budgets and the health of the provider, because there is nowhere else.
    anyhow: bool,
    /// Whether it was there before.
    again: bool,
}

impl Point {
    const fn new(leg: usize, target: usize) -> Self {
        Self { leg, target, anyhow: false, again: false }
    }

    /// Whether these are the same stop.
    const fn is_at(&self, other: &Self) -> bool {
        self.leg == other.leg && self.target == other.target
    }
}

/// A stop that a call has left.
#[derive(Clone)]
struct Left {
    place: String,
    call: Option<CallId>,
    why: String,
}

impl<W: World> Journey<W> {
    fn begin(gateway: Arc<Gateway<W>>, came: Came, home: Result<usize, Answer>) -> Result<Self, Box<Rejection>> {
        let (home, lost) = match home {
            Ok(provider) => (Some(provider), None),
            Err(answer) => (None, Some(answer)),
        };
        let provider = home.map_or("", |home| gateway.providers[home].name.as_str());
        let said = Said { session: came.call.session.as_deref(), provider, model: &came.call.model };
        let (labels, priority) = labels(&came.head.headers, &came.who.key, said);
        let price = home.and_then(|home| gateway.price(home, &came.call.model, gateway.purse.now()));
        let speaks_ollama = |home: usize| gateway.providers[home].dialects.contains(&dialect::Dialect::Ollama);
        let is_ollama = home.is_some_and(speaks_ollama);
        let known_as = Names::of(&labels, price.as_ref(), is_ollama).other();
        let session = stays::session(&labels, &came.call.model);
        let stay = session.as_ref().and_then(|session| gateway.roads.stays.of(session, gateway.purse.now()));
        let mut journey = Self {
            gateway,
            home,
            labels,
            known_as,
            priority,
            legs: Vec::new(),
            met: Vec::new(),
            told: Vec::new(),
            last: None,
            detour: None,
            ending: lost.map(|answer| {
                Ending::Rejection(Box::new(Rejection { answer, of: Of::Key(came.who.key.labels.clone()) }))
            }),
            ending_of: None,
            is_final: false,
            again: Vec::new(),
            tries: Tries::default(),
            in_vain: false,
            passed_by: None,
            session,
            stay: None,
            first: None,
            stops: 0,
            came,
        };
        if !stay.is_some_and(|stay| journey.go_back_to(stay)) {
            journey.set_out();
        }
        Ok(journey)
    }

    /// Begins where its session stays; whether there is such a place.
    fn go_back_to(&mut self, stay: Stay) -> bool {
        let named = self.gateway.roads.routes.iter().find(|route| route.name == stay.route).cloned();
        let takes = |target: &Target| self.names().any(|labels| target.takes(labels, self.priority));
        let Some(route) = named.filter(|route| route.targets.get(stay.target).is_some_and(takes)) else { return false };
        self.enter(&route);
        let by = self.by(&route).clone();
        let Some(leg) = self.legs.last_mut() else { return false };
        leg.trail = Trail::new(&leg.targets, &by, self.priority, Some(stay.target));
        self.met.push(stay.setback);
        let why = format!("its session stays there since {}: {}", stay.since, stay.why);
        self.last = Some(Left { place: self.came.call.model.clone(), call: None, why });
        self.stay = Some(stay);
        true
    }

    /// Takes the route that is its own, where some target of it takes the call; else the way home.
    fn set_out(&mut self) {
        let takes = |route: &&Arc<Route>| self.names().any(|labels| route.takes(labels));
        let route = self.gateway.roads.routes.iter().find(takes).cloned();
        if let Some(route) = route {
            self.enter(&route);
            if self.legs.last().is_some_and(|leg| leg.trail.clone().advance(&leg.targets, &[]).is_some()) {
                return;
            }
            self.legs.clear();
        }
        let Some(home) = self.home else { return };
        let provider = Some(self.gateway.providers[home].name.clone());
        let targets: Arc<[Target]> = [Target { provider, ..Target::default() }].into();
        let trail = Trail::new(&targets, &self.labels, self.priority, None);
        self.legs.push(Leg { route: None, targets, trail });
    }

    /// Its labels, with each name of its model.
    fn names(&self) -> impl Iterator<Item = &Labels> {
        std::iter::once(&self.labels).chain(&self.known_as)
    }

    /// The labels by which it takes a route.
    fn by(&self, route: &Route) -> &Labels {
        self.names().find(|labels| route.takes(labels)).unwrap_or(&self.labels)
    }

    fn enter(&mut self, route: &Arc<Route>) {
        let targets: Arc<[Target]> = route.targets.clone().into();
        let trail = Trail::new(&targets, self.by(route), self.priority, None);
        self.legs.push(Leg { route: Some(Arc::clone(route)), targets, trail });
    }

    /// Goes to where it is answered, or to the end of its way.
    async fn go(mut self) -> Response<ClientBody> {
        while let Some(point) = self.onward().await {
            match self.stop_at(&point).await {
                Stop::Answered(response) => return self.arrive(&point, response),
                Stop::Setback(trouble) => self.note(&point, *trouble),
            }
        }
        self.give_up()
    }

    /// Where to go next; where nothing leads on, back to the first stop that is worth another try, after its wait.
    async fn onward(&mut self) -> Option<Point> {
        if let Some(point) = self.next() {
            return Some(point);
        }
        let left = self.came.waits.left(self.gateway.settings.wait_max);
        let fits = |(_, wait): &(Point, Span)| *wait <= left;
        let (point, wait) = self.again.iter().position(fits).map(|at| self.again.remove(at))?;
        if !self.came.waits.during(self.gateway.pause(wait)).await {
            return None;
        }
        self.tries.retries = self.tries.retries.saturating_add(1);
        if let Some(left) = &mut self.last {
            left.why.push_str(&format!("; it was tried again after {wait}"));
        }
        Some(Point { again: true, ..point })
    }

    /// Where to go next: along the route, by the detour of the budget that refused, or back to what it has passed by.
    fn next(&mut self) -> Option<Point> {
        if self.stops >= STOPS_MAX {
            return None;
        }
        loop {
            let at = self.legs.len().checked_sub(1)?;
            let leg = &mut self.legs[at];
            if let Some(target) = leg.trail.advance(&leg.targets, &self.met) {
                return Some(Point::new(at, target));
            }
            match self.detour.take() {
                Some(route) => self.enter(&route),
                None => return self.passed_by.take().map(|point| Point { anyhow: true, ..point }),
            }
        }
    }

    async fn stop_at(&mut self, point: &Point) -> Stop {
        if self.stay.is_none() {
            self.first.get_or_insert_with(|| point.clone());
        }
        let target = self.legs[point.leg].targets[point.target].clone();
        let (provider, mut came) = match self.fit(&target) {
            Ok(fit) => fit,
            Err(why) => {
                let message = format!("no target of its route takes this call: {why}");
                let answer = Answer::Policy { code: "no_route", message };
                let of = Of::Key(self.came.who.key.labels.clone());
                return Stop::Setback(Box::new(Trouble::unfit(why, Some(Box::new(Rejection { answer, of })))));
            }
        };
        if Some(provider) != self.home {
            // The client means it for one provider, and nobody else shall see it.
            came.who.shown = Shown::default();
        }
        let trial = match self.pass_by(point, provider) {
            Ok(trial) => trial,
            Err(down) => return Stop::Setback(down),
        };
        let hop = Box::new(self.hop(point, provider));
        match self.gateway.aim(came, provider, Some(hop)) {
            Ok(mut understood) => {
                // What is tried again has a bound of its own.
                self.stops += usize::from(!point.again);
                (understood.tries, understood.trial) = (self.tries, trial);
                ask(Arc::clone(&self.gateway), understood).await
            }
            Err(rejection) => {
                Stop::Setback(Box::new(Trouble::unfit(plain(&rejection.answer.message()), Some(rejection))))
            }
        }
    }

    /// Passes by a provider that is down, where the way leads on from there; else it has the call, which may be the one
    /// that tries it.
    fn pass_by(&self, point: &Point, provider: usize) -> Result<Option<Trial>, Box<Trouble>> {
        let leg = &self.legs[point.leg];
        if point.anyhow || !leg.trail.leads_on(&leg.targets, &self.met, Setback::ProviderDown) {
            return Ok(None);
        }
        let mut health = self.gateway.health(provider);
        if health.claim(self.gateway.purse.now()) {
            let is_trial = health.down_since().is_some();
            drop(health);
            return Ok(is_trial.then(|| self.gateway.trial(provider)));
        }
        let why = health.last_failure().map_or_else(String::new, |(_, why)| format!(": {why}"));
        let why = format!("`{}` is down{why}", self.gateway.providers[provider].name);
        Err(Box::new(Trouble { setback: Setback::ProviderDown, ..Trouble::unfit(why, None) }))
    }

    /// The provider of a target, and the call as it is put to it; or why it cannot take it.
    fn fit(&self, target: &Target) -> Result<(usize, Came), String> {
        let (gateway, dialect) = (&self.gateway, self.came.endpoint.dialect);
        let model = target.model.as_deref().unwrap_or(&self.came.call.model);
        let provider = match &target.provider {
            Some(name) => gateway.providers.iter().position(|provider| provider.name == *name),
            None => gateway.provider_for(dialect, model).ok(),
        };
        let provider = provider.ok_or_else(|| format!("no provider serves `{model}` in this dialect"))?;
        let known = &gateway.providers[provider];
        if !known.dialects.contains(&dialect) {
            return Err(format!(
                "`{}` does not speak the dialect of this call, and none is translated yet",
                known.name
            ));
        }
        if target.model.is_none() && self.home != Some(provider) && !(known.models)(model) {
            return Err(format!("`{}` does not serve `{model}`", known.name));
        }
        if known.credential.is_none() && !known.free && self.home.is_some_and(|home| home != provider) {
            return Err(format!(
                "`{}` has no key of its own in the config, and the client's is for another",
                known.name
            ));
        }
        Ok((provider, self.renamed(model)?))
    }

    /// The call with another model in the place of its own.
    fn renamed(&self, model: &str) -> Result<Came, String> {
        let mut came = self.came.clone();
        if came.call.model == model {
            return Ok(came);
        }
        let endpoint = came.endpoint;
        let body = dialect::with_model(endpoint, &came.body, model).map_err(|bad| bad.to_string())?;
        let path = endpoint.path_for(model);
        came.call = dialect::read(endpoint, &path, &came.head.headers, &body).map_err(|bad| bad.to_string())?;
        came.body = body;
        Ok(came)
    }

    /// What the stop knows of its way.
    fn hop(&self, point: &Point, provider: usize) -> Hop {
        let leg = &self.legs[point.leg];
        let because = self.last.as_ref().map(|left| left.why.clone());
        let continues = self.last.as_ref().and_then(|left| left.call);
        let route = leg.route.as_ref();
        Hop {
            note: StopNote { route: route.map(|route| route.name.clone()), because, continues, spared: Vec::new() },
            targets: Arc::clone(&leg.targets),
            trail: leg.trail.clone(),
            met: self.met.clone(),
            detours: self.open_detours().cloned().collect(),
            first_byte_max: route.and_then(|route| route.first_byte_max),
            leaves_from: leg.trail.leaves_from(&leg.targets).filter(|_| !point.anyhow),
            spares: self.spares(point, provider),
            is_patient: false,
        }
    }

    /// The budgets whose detour it has not taken yet.
    fn open_detours(&self) -> impl Iterator<Item = &BudgetName> {
        let is_open = |route: &Arc<Route>| {
            !self.legs.iter().any(|leg| leg.route.as_ref().is_some_and(|taken| taken.name == route.name))
        };
        self.gateway.roads.detours.iter().filter(move |(_, route)| is_open(route)).map(|(budget, _)| budget)
    }

    /// The budgets that do not stop the call at a free stop that stands in for others: those that count it at home. It
    /// is here because they refuse it, or would have: the stop takes whom they refuse, and here it costs nothing.
    fn spares(&self, point: &Point, provider: usize) -> Vec<BudgetName> {
        let target = &self.legs[point.leg].targets[point.target];
        let takes_the_refused = target.when.is_empty() || target.when.contains(&When::Exhausted);
        let is_refused = self.met.iter().any(|setback| matches!(setback, Setback::Exhausted(_)));
        let stands_in = is_refused || (takes_the_refused && !self.met.is_empty());
        if !stands_in || !self.gateway.providers[provider].free {
            return Vec::new();
        }
        let all = self.gateway.budgets();
        let all = all.iter().chain(&self.came.who.key.budgets);
        let counts = |budget: &&Budget| self.names().any(|labels| budget.counts(labels));
        all.filter(counts).map(|budget| budget.name.clone()).collect()
    }

    fn note(&mut self, point: &Point, trouble: Trouble) {
        if self.stay.take().is_some() {
            // It cannot stay there any more, and begins as one that is new.
            self.legs.clear();
            self.met.clear();
            self.last = None;
            return self.set_out();
        }
        let place = self.place(point);
        let is_passed_by = trouble.call.is_none() && trouble.setback == Setback::ProviderDown;
        if is_passed_by || matches!(trouble.setback, Setback::Level(_)) {
            self.passed_by.get_or_insert_with(|| point.clone());
        }
        if let Some(budget) = trouble.budget.as_ref().filter(|budget| self.open_detours().any(|open| open == *budget)) {
            self.detour = self.gateway.roads.detours.get(budget).cloned();
        }
        self.met.push(trouble.setback);
        if self.ends_by(point, &trouble) {
            self.is_final = trouble.is_final;
            self.ending = trouble.ending.or(self.ending.take());
            self.ending_of = Some(point.clone());
        }
        self.again.retain(|(known, _)| !known.is_at(point));
        match trouble.again {
            Again::In { wait, print } => {
                self.tries.print.get_or_insert(print);
                self.again.push((point.clone(), wait));
            }
            // However many stops there are, all its tries have one bound.
            Again::InVain => (self.in_vain, self.again) = (true, Vec::new()),
            Again::No => {}
        }
        self.tell_from(&place);
        self.last = Some(Left { place, call: trouble.call, why: trouble.why });
    }

    /// Whether its client gets this answer where nothing leads on: that of its first stop. But whom its money stopped
    /// there for ever, and who could have gone elsewhere only not now, is told to come back.
    fn ends_by(&self, point: &Point, trouble: &Trouble) -> bool {
        self.ending.is_none()
            || self.ending_of.as_ref().is_some_and(|first| first.is_at(point))
            || (self.is_final && trouble.setback == Setback::RateLimited)
    }

    /// Keeps in words how it came to a place.
    fn tell_from(&mut self, place: &str) {
        // Who was tried again where it was is told of by the number of its tries.
        if let Some(left) = self.last.as_ref().filter(|left| left.place != place) {
            self.told.push(format!("{} to {place}; because {}", left.place, left.why));
        }
    }

    /// `claude-opus-5@anthropic`.
    fn place(&self, point: &Point) -> String {
        let target = &self.legs[point.leg].targets[point.target];
        let model = target.model.as_deref().unwrap_or(&self.came.call.model);
        let served = || self.gateway.provider_for(self.came.endpoint.dialect, model).ok();
        let served = target.provider.clone().or_else(|| Some(self.gateway.providers[served()?].name.clone()));
        format!("{model}@{}", served.as_deref().unwrap_or("nobody"))
    }

    /// The answer of the place where it arrived, with the way that it took.
    fn arrive(mut self, point: &Point, mut response: Response<ClientBody>) -> Response<ClientBody> {
        let place = self.place(point);
        self.tell_from(&place);
        self.keep_stay(point);
        let route = self.legs[point.leg].route.as_ref().map(|route| route.name.as_str());
        tell_route(response.headers_mut(), route, &self.told);
        tell_attempts(response.headers_mut(), self.tries.retries);
        response
    }

    /// Keeps the session here, where this is not its first choice.
    fn keep_stay(&self, point: &Point) {
        let (Some(session), None) = (&self.session, &self.stay) else { return };
        let stays = &self.gateway.roads.stays;
        let is_first = self.first.as_ref().is_none_or(|first| first.is_at(point));
        let route = self.legs[point.leg].route.as_ref().filter(|_| !is_first);
        // Why the money was gone matters longest: the stop may be free of what refused the first.
        let refused = self.met.iter().find(|setback| matches!(setback, Setback::Exhausted(_)));
        let setback = refused.or(self.met.last()).copied();
        let (Some(route), Some(setback), Some(left)) = (route, setback, &self.last) else {
            return stays.forget(session);
        };
        let stay = Stay {
            route: route.name.clone(),
            target: point.target,
            setback,
            why: left.why.clone(),
            since: self.gateway.purse.now(),
        };
        stays.put(session.clone(), stay);
    }

    /// The answer of the first stop, with the way that led nowhere.
    fn give_up(mut self) -> Response<ClientBody> {
        if let Some(left) = self.last.as_ref().filter(|_| !self.told.is_empty()) {
            self.told.push(format!("no further than {}; because {}", left.place, left.why));
        }
        let mut response = end(&self.gateway, self.came.endpoint, self.ending);
        let route = self.legs.iter().rev().find_map(|leg| leg.route.as_ref()).map(|route| route.name.as_str());
        tell_route(response.headers_mut(), route, &self.told);
        tell_attempts(response.headers_mut(), self.tries.retries);
        if self.in_vain {
            tell_in_vain(response.headers_mut());
        }
        response
    }
}
