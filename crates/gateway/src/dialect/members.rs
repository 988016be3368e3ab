//! What the members of a body are to the price.

use crate::body::{Object, Value};

/// What a member is to the price.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Member {
    /// Priced: text that the model reads.
    Text,
    /// Priced: JSON that the model reads, as JSON.
    Json,
    /// Priced: read by name, and no text to the model.
    Setting,
    /// It changes neither what is read nor what is billed.
    Neutral,
}

/// The members that somebody documented, by name.
pub(super) type Members = [(&'static str, Member)];

/// The members that say something, each with what it is; `None` is what nobody here knows.
pub(super) fn sorted<'o>(
    root: &'o Object<'_>,
    known: &Members,
) -> impl Iterator<Item = (&'o str, Value<'o>, Option<Member>)> {
    root.iter().filter(|(_, value)| !value.is_null()).map(|(name, value)| {
        let member = known.iter().find(|(known, _)| *known == name).map(|(_, member)| *member);
        (name, value, member)
    })
}
