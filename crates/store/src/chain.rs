//! The hash chain: every row carries a hash over itself and the row before it.
//!
//! SQLite does not notice a flipped bit, and nobody notices an edit by hand. With the chain, a row that is changed,
//! left out, added or moved breaks the link of the row after it, or the high-water mark beside the database.

use std::fmt;

/// The hash of a row and of all rows before it: the first 16 bytes of a blake3.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Chain([u8; 16]);

/// A row of the journal as the chain covers it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Link<'a> {
    pub(crate) seq: u64,
    pub(crate) at_ms: u64,
    pub(crate) kind: &'a str,
    pub(crate) id: &'a [u8],
    pub(crate) body: &'a str,
}

impl Chain {
    /// What the first row of a ledger follows: rows of another ledger do not fit behind it.
    pub(crate) fn origin(ledger: &[u8; 16]) -> Self {
        Self(hash(&[b"almoner journal", ledger]))
    }

    pub(crate) const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    pub(crate) const fn bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// The hash of `link`, which follows this one.
    pub(crate) fn next(&self, link: &Link<'_>) -> Self {
        let (seq, at) = (link.seq.to_le_bytes(), link.at_ms.to_le_bytes());
        Self(hash(&[&self.0, &seq, &at, link.kind.as_bytes(), link.id, link.body.as_bytes()]))
    }
}

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The first 16 bytes of a blake3 over `parts`, each with its length before it, so that no byte can move from one part
/// to the next.
pub(crate) fn hash(parts: &[&[u8]]) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    let mut first = [0; 16];
    first.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    first
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_a_row_and_the_row_before_it_is_in_the_hash() {
        let origin = Chain::origin(&[1; 16]);
        let row = Link { seq: 1, at_ms: 2, kind: "held", id: b"x", body: "{}" };
        let others = [
            Link { seq: 2, ..row },
            Link { at_ms: 3, ..row },
            Link { kind: "hel", ..row },
            Link { id: b"", ..row },
            Link { body: "{ }", ..row },
            Link { kind: "heldx", id: b"", ..row },
        ];
        for other in &others {
            assert_ne!(origin.next(&row), origin.next(other), "{other:?}");
        }
        assert_ne!(origin.next(&row), Chain::origin(&[2; 16]).next(&row));
    }
}
