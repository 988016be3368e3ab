//! Budgets, as a file gives them.

use almoner_units::{Budget, BudgetName, LabelName, LabelValue, LevelMarks, Limit, Mode};

use crate::fields::Fields;
use crate::layers::Origin;
use crate::place::Place;
use crate::problem::{Fault, Report};
use crate::tree::{Key, Kind, Node};
use crate::value;
use almoner_units::nearest;

const KEYS: [&str; 8] = ["name", "where", "per", "limit", "mode", "levels", "reserve", "when_exhausted"];

/// A budget with the places that later checks point at.
pub(crate) struct Placed {
    pub(crate) budget: Budget,
    pub(crate) name_at: Place,
    /// Where each of its limits stands.
    pub(crate) limits_at: Vec<Place>,
    /// Where each value of its filter stands.
    pub(crate) filter_at: Vec<Place>,
    /// The route that the calls take which it refuses, and where that is said.
    pub(crate) detour: Option<(String, Place)>,
}

pub(crate) fn budget(node: &Node, report: &mut Report) -> Option<Placed> {
    let fields = Fields::open(node, "a budget", &KEYS, report)?;
    let name_node = fields.need("name", report);
    let name = name_node.and_then(|node| report.take(value::parsed::<BudgetName>(node)));
    let limits = fields.need("limit", report).and_then(|node| limits(node, report));
    let filter = fields.get("where").map_or(Some(Vec::new()), |node| filter(node, report));
    let per = fields.get("per").map_or(Some(Vec::new()), |node| per(node, report));
    let mode = fields.get("mode").map_or(Some(Mode::default()), |node| report.take(mode(node)));
    let marks = fields.get("levels").map_or(Some(LevelMarks::default()), |node| report.take(marks(node)));
    let detour = fields.get("when_exhausted").map(|node| detour(node, report));
    let detour = detour.map_or(Some(None), |detour| detour.map(Some));
    refuse_what_is_to_come(&fields, report);

    let (limits, limits_at): (Vec<Limit>, Vec<Place>) = limits?.into_iter().unzip();
    let (filter, filter_at): (Vec<_>, Vec<Place>) = filter?.into_iter().unzip();
    let budget = Budget { name: name?, filter, per: per?, limits, mode: mode?, marks: marks? };
    note(&budget, &fields, report);
    Some(Placed { budget, name_at: name_node?.place.clone(), limits_at, filter_at, detour: detour? })
}

fn note(budget: &Budget, fields: &Fields<'_>, report: &mut Report) {
    for (key, shown) in shown(budget) {
        let origin = fields.get(key).map_or(Origin::Default, |node| Origin::File(report.texts.locate(&node.place)));
        report.note(format!("budget.\"{}\".{key}", budget.name), &shown, origin);
    }
}

/// Notes a budget that nobody asked for.
pub(crate) fn note_default(budget: &Budget, report: &mut Report) {
    for (key, shown) in shown(budget) {
        report.note(format!("budget.\"{}\".{key}", budget.name), &shown, Origin::Default);
    }
}

/// What a budget says, key by key, as `config print` shows it.
fn shown(budget: &Budget) -> [(&'static str, String); 5] {
    let list = |items: Vec<String>| items.join(", ");
    [
        ("limit", list(budget.limits.iter().map(ToString::to_string).collect())),
        ("where", list(budget.filter.iter().map(|(name, value)| format!("{name}={value}")).collect())),
        ("per", list(budget.per.iter().map(ToString::to_string).collect())),
        ("mode", budget.mode.to_string()),
        ("levels", list(budget.marks.percents().iter().map(ToString::to_string).collect())),
    ]
}

fn limits(node: &Node, report: &mut Report) -> Option<Vec<(Limit, Place)>> {
    let items = value::one_or_many(node);
    if items.is_empty() {
        report.error(Fault::at(&node.place, "a budget has at least one limit, such as `$5 / day`"));
    }
    items.iter().map(|item| Some((report.take(value::limit(item))?, item.place.clone()))).collect()
}

/// Where calls go that the budget refuses: `{ route = "local" }`.
fn detour(node: &Node, report: &mut Report) -> Option<(String, Place)> {
    let fields = Fields::open(node, "what happens when a budget is exhausted", &["route"], report)?;
    let route = fields.need("route", report)?;
    let name = report.take(value::text(route))?;
    Some((name.to_owned(), route.place.clone()))
}

/// The filter of a budget or a route. `tag.team = "x"` is one label, though TOML sees a table in it.
pub(crate) fn filter(node: &Node, report: &mut Report) -> Option<Vec<((LabelName, String), Place)>> {
    let Kind::Table(members) = &node.kind else {
        report.error(Fault::at(
            &node.place,
            format!("`where` is a table such as {{ provider = \"anthropic\" }}, not {}", node.what()),
        ));
        return None;
    };
    let mut filter = Vec::new();
    for (key, value) in members {
        match &value.kind {
            Kind::Table(tags) if key.name == "tag" => {
                filter.extend(
                    tags.iter().map(|(tag, value)| condition(&format!("tag.{}", tag.name), tag, value, report)),
                );
            }
            _ => filter.push(condition(&key.name, key, value, report)),
        }
    }
    filter.into_iter().collect()
}

fn condition(name: &str, key: &Key, value: &Node, report: &mut Report) -> Option<((LabelName, String), Place)> {
    let name = report.take(label(name, &key.place));
    let wanted = report.take(wanted(value));
    Some(((name?, wanted?), value.place.clone()))
}

fn label(name: &str, place: &Place) -> Result<LabelName, Fault> {
    let unknown =
        |error: almoner_units::LabelError| Fault::at(place, error.to_string()).nearest(nearest(name, LabelName::KNOWN));
    name.parse().map_err(unknown)
}

fn wanted(node: &Node) -> Result<String, Fault> {
    let text = value::text(node)?;
    let beginning = text.strip_suffix('*').unwrap_or(text);
    if beginning.contains('*') {
        return Err(Fault::at(&node.place, "a `*` stands for anything only at the end of a value"));
    }
    value::parsed::<LabelValue>(node).map(|value| value.to_string())
}

pub(crate) fn per(node: &Node, report: &mut Report) -> Option<Vec<LabelName>> {
    let mut labels: Vec<LabelName> = Vec::new();
    for item in value::one_or_many(node) {
        let label = report.take(value::text(item).and_then(|name| label(name, &item.place)))?;
        if labels.contains(&label) {
            report.error(Fault::at(&item.place, format!("`{label}` is given twice")));
        }
        labels.push(label);
    }
    Some(labels)
}

fn mode(node: &Node) -> Result<Mode, Fault> {
    value::choice(node, "mode", &Mode::ALL.map(|mode| (mode.name(), mode)))
}

fn marks(node: &Node) -> Result<LevelMarks, Fault> {
    let percents = value::list(node)?.iter().map(value::count(1..=100)).collect::<Result<Vec<u64>, Fault>>()?;
    let percents: Vec<u8> = percents.into_iter().filter_map(|percent| u8::try_from(percent).ok()).collect();
    let four = percents.try_into().map_err(|_| {
        Fault::at(&node.place, "`levels` are four percentages: where warning, soft, hard and critical begin")
            .help("such as levels = [70, 80, 90, 95]")
    })?;
    LevelMarks::new(four).map_err(|error| Fault::at(&node.place, error.to_string()))
}

/// Refuses by name what the design has and this version has not, so that nobody believes it in force.
fn refuse_what_is_to_come(fields: &Fields<'_>, report: &mut Report) {
    if let Some(node) = fields.get("reserve") {
        report.take(reserve(node));
    }
}

fn reserve(node: &Node) -> Result<(), Fault> {
    if value::choice(node, "way to reserve", &[("worst-case", true), ("expected", false)])? {
        return Ok(());
    }
    let message = "reserve = \"expected\" is not there yet: it comes with a later version";
    Err(Fault::at(&node.place, message).help("write \"worst-case\", or leave `reserve` out"))
}
