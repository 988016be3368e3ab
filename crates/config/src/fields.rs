//! A table that is being read: its members by name, and a fault for each name it should not have.

use std::collections::HashMap;

use crate::place::Place;
use crate::problem::{Fault, Report};
use crate::tree::{Key, Kind, Node};
use almoner_units::nearest;

/// The members of one table.
#[derive(Clone, Copy)]
pub(crate) struct Fields<'a> {
    what: &'static str,
    pub(crate) place: &'a Place,
    members: &'a [(Key, Node)],
}

impl<'a> Fields<'a> {
    /// Opens a table that describes `what` and may have the keys `known`.
    pub(crate) fn open(node: &'a Node, what: &'static str, known: &[&str], report: &mut Report) -> Option<Self> {
        let Kind::Table(members) = &node.kind else {
            report.error(Fault::at(&node.place, format!("{what} is a table, not {}", node.what())));
            return None;
        };
        for (key, _) in members.iter().filter(|(key, _)| !known.contains(&key.name.as_str())) {
            report.error(unknown(key, what, known));
        }
        Some(Self { what, place: &node.place, members })
    }

    pub(crate) fn get(&self, name: &str) -> Option<&'a Node> {
        self.members.iter().find(|(key, _)| key.name == name).map(|(_, node)| node)
    }

    /// Where the key stands, for what is wrong with its being there at all.
    pub(crate) fn key(&self, name: &str) -> Option<&'a Place> {
        self.members.iter().find(|(key, _)| key.name == name).map(|(key, _)| &key.place)
    }

    /// The member, or `None` with a fault that names it.
    pub(crate) fn need(&self, name: &str, report: &mut Report) -> Option<&'a Node> {
        let found = self.get(name);
        if found.is_none() {
            report.error(Fault::at(self.place, format!("{} needs `{name}`", self.what)));
        }
        found
    }
}

/// What others call our keys.
const OTHER_WORDS: [(&str, &str); 10] = [
    ("port", "listen"),
    ("host", "listen"),
    ("bind", "listen"),
    ("address", "listen"),
    ("server", "listen"),
    ("amount", "limit"),
    ("max", "limit"),
    ("url", "base_url"),
    ("endpoint", "base_url"),
    ("api_key", "key"),
];

fn unknown(key: &Key, what: &str, known: &[&str]) -> Fault {
    let words = format!("the keys of {what} are {}", known.join(", "));
    let other = OTHER_WORDS.iter().find(|(other, ours)| *other == key.name && known.contains(ours));
    let meant = other.map(|(_, ours)| *ours).or_else(|| nearest(&key.name, known.iter().copied()));
    Fault::at(&key.place, format!("unknown key `{}` in {what}", key.name)).help(words).nearest(meant)
}

/// Notes a fault for each table that has the same values under `keys` as one before it, even where either is bad
/// elsewhere.
pub(crate) fn refuse_twins(tables: &[Node], what: &str, keys: &[&str], report: &mut Report) {
    let mut seen: HashMap<Vec<Option<&str>>, &Place> = HashMap::new();
    for table in tables {
        let values: Vec<Option<&str>> = keys.iter().map(|key| member_text(table, key)).collect();
        let Some((name, place)) = values[0].zip(member(table, keys[0]).map(|node| &node.place)) else { continue };
        if let Some(first) = seen.insert(values, place) {
            report.error(Fault::at(place, format!("there is another {what} `{name}`")).also(first, "it stands here"));
        }
    }
}

fn member<'a>(table: &'a Node, name: &str) -> Option<&'a Node> {
    let Kind::Table(members) = &table.kind else { return None };
    members.iter().find(|(key, _)| key.name == name).map(|(_, node)| node)
}

fn member_text<'a>(table: &'a Node, name: &str) -> Option<&'a str> {
    match &member(table, name)?.kind {
        Kind::Text(text) | Kind::Word(text) => Some(text),
        _ => None,
    }
}
