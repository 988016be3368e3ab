//! Rows of the journal, as a disk may give them back.

use almoner_store::fuzzing::row;

/// A kind and an id, each ended by a line end, and the body: a fact that survives being written again, or an error.
pub(crate) fn journal(data: &[u8]) {
    let mut parts = data.splitn(3, |byte| *byte == b'\n');
    let [Some(kind), Some(id), Some(body)] = [parts.next(), parts.next(), parts.next()] else { return };
    let (Ok(kind), Ok(body)) = (std::str::from_utf8(kind), std::str::from_utf8(body)) else { return };
    let _ = row(kind, id, body);
}
