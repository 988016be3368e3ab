//! Facts as the journal keeps them: a kind, the id of the call, and a JSON body, by types made by hand.
//!
//! The journal outlives every version of the code, so its form is written here, once, and not derived from what the
//! ledger happens to look like. Reading checks everything that a type of ours promises; text that is none of ours is an
//! error and never a panic.

mod fact;
mod key;
mod parts;
mod snapshot;

pub(crate) use fact::{decode, encode};
pub(crate) use key::StoredKeyWire;
pub(crate) use parts::{AssumedWire, KeyWire, ViewWire, labels_from_json, labels_to_json};
pub(crate) use snapshot::{HeadWire, PartWire, closed_from_bytes, closed_to_bytes};

/// Why the body of a row cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WireError {
    #[error("no fact is of kind `{}`", .0.escape_debug())]
    Kind(String),
    #[error("a fact of kind `{kind}` has an id of {len} bytes")]
    Id { kind: &'static str, len: usize },
    #[error("its body is not what this version writes: {0}")]
    Json(#[from] serde_json::Error),
    #[error("its body has a {what} that is none: {text}")]
    Word { what: &'static str, text: String },
}

impl WireError {
    pub(crate) fn word(what: &'static str, text: impl std::fmt::Display) -> Self {
        Self::Word { what, text: text.to_string() }
    }
}
