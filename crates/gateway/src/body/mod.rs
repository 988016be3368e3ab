//! Request bodies: read where they lie, changed only where they must be.
//!
//! A body is indexed once, in one pass over its bytes; nothing is copied and nothing is written anew. It promises that
//! a member means one thing (keys are compared after unescaping, and a second one of the same name is refused), and
//! that a change leaves every other byte as it came, because providers' prompt caches depend on it. It leaves out what
//! members mean: that is a dialect's business.

mod document;
mod scan;
mod splice;
#[cfg(test)]
mod tests;

pub use document::{Document, Object, Value};
pub use splice::{Layout, Splice};

/// How deeply a body may nest.
pub const DEPTH_MAX: usize = 128;

/// How many values and keys a body may have: its index takes 16 bytes for each.
pub const VALUES_MAX: usize = 1 << 20;

/// Why a body cannot be read. It is the client's to mend, whatever its budget.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadBody {
    /// Its bytes are no text.
    #[error("the body is not UTF-8: byte {at} begins no character")]
    NotUtf8 {
        /// The first byte that is wrong.
        at: usize,
    },
    /// Its text is no JSON.
    #[error("the body is not JSON: {wanted} should stand at byte {at}")]
    NotJson {
        /// Where it goes wrong.
        at: usize,
        /// What should stand there.
        wanted: &'static str,
    },
    /// It is JSON, but not an object.
    #[error("the body is not a JSON object; send one with at least `model` and `messages`")]
    NotAnObject,
    /// It nests too deeply.
    #[error("the body nests more than {DEPTH_MAX} levels deep at byte {at}")]
    TooDeep {
        /// Where it does.
        at: usize,
    },
    /// It has too many values.
    #[error("the body has more than {VALUES_MAX} values")]
    TooManyValues,
    /// An object has the same member twice, so that the provider may read another one than we do.
    #[error("`{name}` stands twice in one object, the second time at byte {at}; send it once")]
    Duplicate {
        /// The name of the member, in printable form.
        name: String,
        /// Where the second stands.
        at: usize,
    },
    /// A member that decides the price has a value that cannot be read.
    #[error("`{member}` must be {wanted}")]
    Wrong {
        /// The member.
        member: String,
        /// What it must be.
        wanted: &'static str,
    },
}

impl BadBody {
    pub(crate) fn wrong(member: &str, wanted: &'static str) -> Self {
        Self::Wrong { member: member.to_owned(), wanted }
    }
}
