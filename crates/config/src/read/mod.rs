//! From the text of a file to its tree: one file for each form.

mod json;
mod toml;
mod yaml;

use std::path::Path;

use crate::place::Place;
use crate::problem::{Fault, Report};
use crate::tree::{Key, Kind, Node};

/// How deep lists and tables may nest; no setting needs more than four.
const DEPTH_MAX: usize = 32;

/// The tree of a file, or `None` with every fault of its form noted. The name's ending says the form: `.json`, `.yaml`
/// or `.yml`, else TOML.
pub(crate) fn read(path: &Path, text: &str, report: &mut Report) -> Option<Node> {
    // An editor's byte order mark is no part of what a person wrote.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let source = Source { text, id: report.texts.add(&path.display().to_string(), text) };
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or("").to_ascii_lowercase();
    let tree = match ending.as_str() {
        "json" => json::read(&source),
        "yaml" | "yml" => yaml::read(&source),
        _ => toml::read(&source),
    };
    tree.map_err(|faults| faults.into_iter().for_each(|fault| report.error(fault))).ok()
}

/// A text with its number among the texts.
struct Source<'a> {
    text: &'a str,
    id: usize,
}

impl Source<'_> {
    fn place(&self, span: std::ops::Range<usize>) -> Place {
        Place { text: self.id, span }
    }

    fn node(&self, span: std::ops::Range<usize>, kind: Kind) -> Node {
        Node::written_in(self.text, self.place(span), kind)
    }
}

fn too_deep(place: &Place) -> Fault {
    Fault::at(place, format!("lists and tables are nested more than {DEPTH_MAX} deep here"))
}

/// The first key that a table has twice.
fn twice(members: &[(Key, Node)]) -> Result<(), Fault> {
    let mut seen = std::collections::HashMap::new();
    for (key, _) in members {
        if let Some(first) = seen.insert(key.name.as_str(), &key.place) {
            return Err(Fault::at(&key.place, format!("`{}` is given twice", key.name)).also(first, "first here"));
        }
    }
    Ok(())
}
