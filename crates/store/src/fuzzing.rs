//! A door into the private form of the journal, for the fuzz targets and nobody else.

use crate::wire::{decode, encode};

/// Reads a row; whether it is a fact.
///
/// # Panics
/// Where a fact that was read is another one after it has been written and read again.
#[must_use]
pub fn row(kind: &str, id: &[u8], body: &str) -> bool {
    let fact = match decode(kind, id, body) {
        Ok(fact) => fact,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return false;
        }
    };
    let written = encode(&fact).expect("a fact that was read can be written");
    assert_eq!((written.kind, &*written.id), (kind, id), "a fact changed its kind or its call");
    let again = decode(written.kind, &written.id, &written.body).expect("a fact that was written can be read");
    assert_eq!(again, fact);
    true
}
