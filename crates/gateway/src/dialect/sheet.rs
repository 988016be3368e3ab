//! What a body says, as far as it has been read: the counts that decide its price, and the weight of its text.

use almoner_policy::{ServerTool, Shape};

use super::members::{Member, Members, sorted};
use super::printable;
use super::weight::Weight;
use crate::body::Object;

/// How many unknown names are kept; a body may bring thousands.
const NAMES_MAX: usize = 32;

/// What has been read of a body.
#[derive(Default)]
pub(super) struct Sheet {
    pub(super) shape: Shape,
    pub(super) weight: Weight,
}

impl Sheet {
    /// A sheet on which every member of a body is weighed as what it is, and those that nobody here knows are named.
    pub(super) fn of(root: &Object<'_>, known: &Members) -> Self {
        let mut sheet = Self::default();
        for (name, value, member) in sorted(root, known) {
            match member {
                Some(Member::Text) => sheet.weight.add(Weight::text(value)),
                Some(Member::Json) => sheet.weight.add(Weight::json(value)),
                Some(Member::Setting | Member::Neutral) => {}
                None => {
                    sheet.weight.add(Weight::json(value));
                    sheet.unknown(name);
                }
            }
        }
        sheet
    }

    /// Keeps a name that nobody here knows, once.
    pub(super) fn unknown(&mut self, name: &str) {
        let name = printable(name);
        if self.shape.unknown.len() < NAMES_MAX && !self.shape.unknown.contains(&name) {
            self.shape.unknown.push(name);
        }
    }

    /// Names what the body only points to, once.
    pub(super) fn opaque(&mut self, what: &str) {
        if !self.shape.opaque.iter().any(|known| known == what) {
            self.shape.opaque.push(what.to_owned());
        }
    }

    /// Adds a tool that the provider runs.
    pub(super) fn server_tool(&mut self, name: &str, max_uses: Option<u64>) {
        self.shape.server_tools.push(ServerTool { name: printable(name), max_uses, brings: None });
    }

    /// The bytes of the text so far.
    pub(super) fn text_bytes(&self) -> u64 {
        let mut shape = Shape::default();
        self.weight.tell(&mut shape);
        shape.text_bytes.max(shape.text_bytes_nfkc)
    }

    /// What was read, once all was.
    pub(super) fn shape(mut self) -> Shape {
        self.weight.tell(&mut self.shape);
        self.shape
    }
}
