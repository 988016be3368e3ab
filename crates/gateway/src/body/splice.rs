//! Changing members of a body in place.
//!
//! Every byte outside the members that are set or removed stays as it came. Commas are kept right however many
//! neighbours are removed at once.

use std::ops::Range;

use hyper::body::Bytes;

use super::document::Member;

/// Where the members of one object stand. It keeps no text but their names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    object: Range<usize>,
    members: Vec<Place>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    name: Box<str>,
    key_start: usize,
    value: Range<usize>,
}

impl Layout {
    pub(super) fn of<'m, 'd: 'm>(object: Range<usize>, members: impl Iterator<Item = &'m Member<'d>>) -> Self {
        let place = |member: &Member<'_>| Place {
            name: member.name.as_ref().into(),
            key_start: member.key.span().start,
            value: member.value.span(),
        };
        Self { object, members: members.map(place).collect() }
    }
}

/// Changes to a body, collected and then made at once.
#[derive(Debug, Default)]
pub struct Splice {
    edits: Vec<(Range<usize>, String)>,
}

impl Splice {
    /// No change.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Changes members of one object: those named in `removed` go, those in `set` get a new value, in place where
    /// they stand already and at the end where they do not. A value is JSON text.
    ///
    /// Call it once for each object, and not for an object inside a value that is set or removed elsewhere.
    pub fn object(&mut self, layout: &Layout, set: &[(&str, String)], removed: &[&str]) {
        let goes = |place: &Place| removed.contains(&&*place.name);
        let mut kept_before = false;
        for (at, place) in layout.members.iter().enumerate() {
            if goes(place) {
                self.edits.push((removal(layout, at, kept_before), String::new()));
                continue;
            }
            kept_before = true;
            if let Some((_, value)) = set.iter().find(|(name, _)| *name == &*place.name) {
                self.edits.push((place.value.clone(), value.clone()));
            }
        }
        let stands = |name: &str| layout.members.iter().any(|place| &*place.name == name && !goes(place));
        let end = layout.members.last().map_or(layout.object.start + 1, |place| place.value.end);
        for (name, value) in set.iter().filter(|(name, _)| !stands(name)) {
            let comma = if kept_before { "," } else { "" };
            self.edits.push((end..end, format!("{comma}\"{name}\":{value}")));
            kept_before = true;
        }
    }

    /// The body with the changes made; the same bytes where there are none.
    ///
    /// # Panics
    /// Where two changes touch the same bytes, or leave the body: its layouts were another body's.
    #[must_use]
    pub fn apply(mut self, body: &Bytes) -> Bytes {
        if self.edits.is_empty() {
            return body.clone();
        }
        // Stable, so that what is inserted at one place keeps its order.
        self.edits.sort_by_key(|(span, _)| (span.start, span.end));
        let more: usize = self.edits.iter().map(|(_, text)| text.len()).sum();
        let mut changed = Vec::with_capacity(body.len() + more);
        let mut done = 0;
        for (span, text) in &self.edits {
            assert!(done <= span.start && span.end <= body.len(), "changes to a body overlap at {span:?}");
            changed.extend_from_slice(&body[done..span.start]);
            changed.extend_from_slice(text.as_bytes());
            done = span.end;
        }
        changed.extend_from_slice(&body[done..]);
        changed.into()
    }
}

/// The bytes that go with member `at`: back to the end of the one before it where one stays, and on to the beginning
/// of the next where none does, so that exactly one comma goes too.
fn removal(layout: &Layout, at: usize, kept_before: bool) -> Range<usize> {
    let place = &layout.members[at];
    match layout.members.get(at + 1) {
        _ if kept_before => layout.members[at - 1].value.end..place.value.end,
        Some(next) => place.key_start..next.key_start,
        None => place.key_start..place.value.end,
    }
}
