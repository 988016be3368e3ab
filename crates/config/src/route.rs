//! Routes, as a file gives them.

use almoner_policy::{ModelPattern, Route, Target, When};
use almoner_units::{BudgetName, Priority};

use crate::budget::{Placed, filter};
use crate::fields::Fields;
use crate::layers::Origin;
use crate::place::Place;
use crate::problem::{Fault, Report};
use crate::provider::{DialectName, Provider};
use crate::tree::{Kind, Node};
use crate::value;
use almoner_units::nearest;

/// The most targets of one route: each is another hold and another wait.
pub(crate) const TARGETS_MAX: usize = 8;

const KEYS: [&str; 4] = ["name", "where", "to", "first_byte_max"];
const TARGET_KEYS: [&str; 5] = ["provider", "model", "when", "priority", "where"];

/// Where the calls of a budget go that it refuses.
pub(crate) type Detour = (BudgetName, String);

/// A route with the places that later checks point at.
pub(crate) struct PlacedRoute {
    pub(crate) route: Route,
    name_at: Place,
    targets_at: Vec<Place>,
}

pub(crate) fn route(node: &Node, providers: &[Provider], report: &mut Report) -> Option<PlacedRoute> {
    let fields = Fields::open(node, "a route", &KEYS, report)?;
    let name_node = fields.need("name", report);
    let name = name_node.and_then(|node| report.take(value::parsed::<BudgetName>(node)));
    let wanted = match fields.get("where") {
        None => Some(None),
        Some(node) => filter(node, report).map(|filter| Some(filter.into_iter().map(|(pair, _)| pair).collect())),
    };
    let first_byte_max = fields.get("first_byte_max").map(|node| report.take(value::span(node)));
    let first_byte_max = first_byte_max.map_or(Some(None), |span| span.map(Some));
    let targets = fields.need("to", report).and_then(|node| targets(node, providers, report));

    let (targets, targets_at): (Vec<Target>, Vec<Place>) = targets?.into_iter().unzip();
    let route = Route { name: name?.to_string(), filter: wanted?, targets, first_byte_max: first_byte_max? };
    note(&route, &fields, report);
    let placed = PlacedRoute { route, name_at: name_node?.place.clone(), targets_at };
    refuse_translation(&placed, providers, report);
    Some(placed)
}

fn note(route: &Route, fields: &Fields<'_>, report: &mut Report) {
    let targets: Vec<String> = route.targets.iter().map(shown).collect();
    let wanted = route.filter.iter().flatten().map(|(name, value)| format!("{name}={value}"));
    let shown = [("where", wanted.collect::<Vec<_>>().join(", ")), ("to", targets.join(", "))];
    for (key, shown) in shown {
        let origin = fields.get(key).map_or(Origin::Default, |node| Origin::File(report.texts.locate(&node.place)));
        report.note(format!("route.\"{}\".{key}", route.name), &shown, origin);
    }
}

/// `qwen3:8b@local`.
fn shown(target: &Target) -> String {
    let part = |part: &Option<String>| part.clone().unwrap_or_else(|| "*".to_owned());
    format!("{}@{}", part(&target.model), part(&target.provider))
}

fn targets(node: &Node, providers: &[Provider], report: &mut Report) -> Option<Vec<(Target, Place)>> {
    let items = value::one_or_many(node);
    if items.is_empty() || items.len() > TARGETS_MAX {
        let message = format!("a route has 1 to {TARGETS_MAX} targets, not {}", items.len());
        report.error(
            Fault::at(&node.place, message).help("such as to = [{ provider = \"local\", model = \"qwen3:8b\" }]"),
        );
        return None;
    }
    let read = |(at, item)| Some((target(item, at == 0, providers, report)?, item.place.clone()));
    // Every target is read, so that the faults of all of them are told.
    items.iter().enumerate().map(read).collect::<Vec<_>>().into_iter().collect()
}

fn target(node: &Node, is_first: bool, providers: &[Provider], report: &mut Report) -> Option<Target> {
    let fields = Fields::open(node, "a target", &TARGET_KEYS, report)?;
    let provider = text(&fields, "provider", report)?;
    let model = text(&fields, "model", report)?;
    if provider.is_none() && model.is_none() {
        report.error(Fault::at(fields.place, "a target names a `provider`, a `model`, or both"));
    }
    if let Some(node) = fields.get("provider") {
        let known = known(node, providers, &report.wrong_providers);
        report.take(known);
    }
    if let Some(node) = fields.get("model") {
        report.take(one_model(node, provider.as_deref(), providers));
    }
    let when = fields.get("when").map_or(Some(Vec::new()), |node| list(node, report, when));
    let priority = fields.get("priority").map_or(Some(Vec::new()), |node| list(node, report, priority));
    let wanted = fields.get("where").map_or(Some(Vec::new()), |node| filter(node, report));
    if let Some(place) = fields.key("when").filter(|_| is_first) {
        let message = "the first target is where calls go while nothing is in the way, so it has no `when`";
        report.error(Fault::at(place, message));
    }
    let filter = wanted?.into_iter().map(|(pair, _)| pair).collect();
    Some(Target { provider, model, when: when?, priority: priority?, filter })
}

/// A text that may be absent; `None` where it is there and is none.
fn text(fields: &Fields<'_>, key: &str, report: &mut Report) -> Option<Option<String>> {
    let Some(node) = fields.get(key) else { return Some(None) };
    report.take(value::text(node)).map(|text| Some(text.to_owned()))
}

fn list<T>(node: &Node, report: &mut Report, read: fn(&Node) -> Result<T, Fault>) -> Option<Vec<T>> {
    value::one_or_many(node).iter().map(|item| report.take(read(item))).collect()
}

fn when(node: &Node) -> Result<When, Fault> {
    let text = match &node.kind {
        Kind::Number(number) => number,
        _ => value::text(node)?,
    };
    text.parse().map_err(|error: almoner_policy::UnknownWhen| {
        Fault::at(&node.place, error.to_string()).nearest(nearest(text, When::WORDS))
    })
}

fn priority(node: &Node) -> Result<Priority, Fault> {
    value::choice(node, "priority", &Priority::ALL.map(|priority| (priority.name(), priority)))
}

/// A provider by its name. One that is there and wrong was told of already.
fn known(node: &Node, providers: &[Provider], wrong: &[String]) -> Result<(), Fault> {
    let name = value::text(node)?;
    if wrong.iter().any(|known| known == name) {
        return Ok(());
    }
    let names = || providers.iter().map(|provider| provider.name.as_str());
    let unknown = || Fault::at(&node.place, format!("no provider is named `{name}`")).nearest(nearest(name, names()));
    names().find(|known| *known == name).map(drop).ok_or_else(unknown)
}

/// A target's model is the one that is put into the call, and its provider must serve it.
fn one_model(node: &Node, provider: Option<&str>, providers: &[Provider]) -> Result<(), Fault> {
    let model = value::text(node)?;
    if model.contains('*') {
        return Err(Fault::at(&node.place, "a target has one model, by its whole name"));
    }
    let named = providers.iter().find(|known| Some(known.name.as_str()) == provider);
    let serves =
        |named: &Provider| named.models.is_empty() || named.models.iter().any(|model_of| model_of.matches(model));
    match named.filter(|named| !serves(named)) {
        None => Ok(()),
        Some(named) => {
            let patterns: Vec<&str> = named.models.iter().map(ModelPattern::as_str).collect();
            let message =
                format!("`{}` does not serve `{model}`; its `models` are {}", named.name, patterns.join(", "));
            Err(Fault::at(&node.place, message))
        }
    }
}

/// Refuses a target that no call could reach without a translation: it speaks no dialect of the first.
fn refuse_translation(placed: &PlacedRoute, providers: &[Provider], report: &mut Report) {
    let Some(first) = placed.route.targets.first().and_then(|target| spoken(target, providers)) else { return };
    for (target, place) in placed.route.targets.iter().zip(&placed.targets_at).skip(1) {
        let Some(other) = spoken(target, providers).filter(|other| !share(&first.dialects, &other.dialects)) else {
            continue;
        };
        report.error(untranslated(&first.name, &first.dialects, other, place));
    }
}

fn untranslated(from: &str, dialects: &[DialectName], to: &Provider, place: &Place) -> Fault {
    let words = |dialects: &[DialectName]| dialects.iter().map(|one| one.name()).collect::<Vec<_>>().join(", ");
    let message = format!(
        "no call to `{from}` ({}) can go on to `{}` ({}): that would need a translation between dialects, which does not \
         exist yet",
        words(dialects),
        to.name,
        words(&to.dialects)
    );
    Fault::at(place, message).help("name a provider that speaks the same dialect; Ollama and llama.cpp speak several")
}

fn spoken<'p>(target: &Target, providers: &'p [Provider]) -> Option<&'p Provider> {
    providers.iter().find(|provider| Some(&provider.name) == target.provider.as_ref())
}

fn share(one: &[DialectName], other: &[DialectName]) -> bool {
    one.iter().any(|dialect| other.contains(dialect))
}

/// The routes that budgets name and nobody wrote, because they lead to one free provider of that name.
pub(crate) fn implied(
    budgets: &[Placed],
    routes: &[PlacedRoute],
    providers: &[Provider],
    report: &mut Report,
) -> Vec<PlacedRoute> {
    let mut implied: Vec<PlacedRoute> = Vec::new();
    for (name, place) in budgets.iter().filter_map(|placed| placed.detour.as_ref()) {
        if routes.iter().chain(&implied).any(|known| known.route.name == *name) {
            continue;
        }
        let Some(target) = providers.iter().find(|provider| provider.name == *name).and_then(usual) else { continue };
        report.note(format!("route.\"{name}\".to"), &shown(&target), Origin::Default);
        let route = Route { name: name.clone(), filter: None, targets: vec![target], first_byte_max: None };
        implied.push(PlacedRoute { route, name_at: place.clone(), targets_at: vec![place.clone()] });
    }
    implied
}

/// What is run at a free provider where nobody says: the shortest name that the first of its `models` stands for, as
/// `qwen3` for `qwen3*`.
fn usual(provider: &Provider) -> Option<Target> {
    let model = provider.models.first()?.as_str().replace('*', "");
    let is_name = model.ends_with(|last: char| last.is_ascii_alphanumeric());
    (provider.free && is_name).then(|| Target {
        provider: Some(provider.name.clone()),
        model: Some(model),
        when: Vec::new(),
        priority: Vec::new(),
        filter: Vec::new(),
    })
}

/// Where budgets send the calls that they refuse: each to a route that exists.
pub(crate) fn detours(
    budgets: &[Placed],
    routes: &[PlacedRoute],
    providers: &[Provider],
    report: &mut Report,
) -> Vec<Detour> {
    let mut detours = Vec::new();
    for placed in budgets {
        let Some((name, place)) = &placed.detour else { continue };
        let names = || routes.iter().map(|route| route.route.name.as_str());
        let Some(route) = routes.iter().find(|route| route.route.name == *name) else {
            let help = format!("declare it: [[route]] name = \"{name}\", to = [{{ provider = \"…\", model = \"…\" }}]");
            let fault = Fault::at(place, format!("no route is named `{name}`")).help(help);
            report.error(fault.nearest(nearest(name, names())));
            continue;
        };
        if !placed.budget.mode.is_hard() {
            let message = "this budget refuses nothing, so no call takes its route";
            report.warn(Fault::at(place, message).help("give it another mode than `warn`"));
        }
        refuse_detour(placed, route, place, providers, report);
        detours.push((placed.budget.name.clone(), name.clone()));
    }
    for route in routes.iter().filter(|route| route.route.filter.is_none()) {
        if !detours.iter().any(|(_, name)| *name == route.route.name) {
            let message =
                format!("no call takes the route `{}`: it has no `where`, and no budget leads to it", route.route.name);
            report.warn(Fault::at(&route.name_at, message).help("where = {} takes every call"));
        }
    }
    detours
}

/// Refuses to lead the calls of one provider to where nobody speaks like it.
fn refuse_detour(placed: &Placed, route: &PlacedRoute, place: &Place, providers: &[Provider], report: &mut Report) {
    let wanted = placed.budget.filter.iter().find(|(name, _)| name.as_str() == "provider").map(|(_, wanted)| wanted);
    let Some(from) = providers.iter().find(|provider| Some(&provider.name) == wanted) else { return };
    let targets: Vec<_> = route.route.targets.iter().map(|target| spoken(target, providers)).collect();
    let is_deaf = |target: &Option<&Provider>| target.is_some_and(|target| !share(&from.dialects, &target.dialects));
    if let (true, Some(Some(first))) = (targets.iter().all(is_deaf), targets.first()) {
        report.error(untranslated(&from.name, &from.dialects, first, place));
    }
}
