//! Streams on their way to a client: what is withheld of them, and where they can be cut.

use almoner_gateway::answer::{Answer, StreamSoFar, UsageFilter, cut};
use almoner_gateway::dialect::Dialect;
use almoner_meter::Framing;
use hyper::body::Bytes;

use crate::framing::pieces;

/// How the events of a stream may lie in its bytes.
const FRAMINGS: [Framing; 3] = [Framing::Sse, Framing::Ndjson, Framing::JsonArray];

/// Any stream in any pieces: the same bytes pass, and the same end fits.
pub(crate) fn stream(data: &[u8]) {
    let Some((&[choice, cuts], answer)) = data.split_first_chunk::<2>() else { return };
    let whole = filtered(&[answer]);
    assert_eq!(filtered(&pieces(answer, cuts)), whole);
    assert_eq!(filtered(&answer.chunks(1).collect::<Vec<_>>()), whole);
    assert!(is_part_of(&whole, answer), "bytes pass that did not come");
    let tells_usage = ["usage", "\\u"].iter().any(|word| answer.windows(word.len()).any(|at| at == word.as_bytes()));
    assert!(tells_usage || whole == answer, "what is no usage is withheld");
    let dialect = Dialect::ALL[usize::from(choice) % Dialect::ALL.len()];
    let framing = FRAMINGS[usize::from(choice / 8) % FRAMINGS.len()];
    ends_alike(dialect, framing, answer, cuts);
    stops_at_a_border(dialect, framing, answer, usize::from(choice) * 4);
}

fn filtered(pieces: &[&[u8]]) -> Vec<u8> {
    let mut filter = UsageFilter::new();
    let mut passed = Vec::new();
    for piece in pieces {
        passed.extend_from_slice(&filter.push(&Bytes::copy_from_slice(piece)));
    }
    passed.extend_from_slice(&filter.finish());
    passed
}

/// Whether `part` is `all` with some bytes left out.
fn is_part_of(part: &[u8], all: &[u8]) -> bool {
    let mut all = all.iter();
    part.iter().all(|byte| all.any(|other| other == byte))
}

/// An end that is put behind a stream depends on its bytes alone, and stands as an event of its own.
fn ends_alike(dialect: Dialect, framing: Framing, answer: &[u8], cuts: u8) {
    let why = Answer::Stopped("it is spent".to_owned());
    let (mut whole, mut cut_up) = (StreamSoFar::new(dialect, framing), StreamSoFar::new(dialect, framing));
    whole.pass(answer);
    pieces(answer, cuts).iter().for_each(|piece| cut_up.pass(piece));
    let end = cut(&whole, &why);
    assert_eq!(end, cut(&cut_up, &why));
    assert_eq!(end.is_empty(), whole.has_ended());
    // An object that is open inside an array cannot be closed.
    let is_closable = framing != Framing::JsonArray || whole.at_border();
    whole.pass(&end);
    assert!(!is_closable || end.is_empty() || whole.at_border(), "the end of a cut stream is open");
}

/// What is passed up to a border leads to one, or takes all there is.
fn stops_at_a_border(dialect: Dialect, framing: Framing, answer: &[u8], at: usize) {
    let (before, next) = answer.split_at(at.min(answer.len()));
    let mut so_far = StreamSoFar::new(dialect, framing);
    so_far.pass(before);
    let taken = so_far.to_border(next);
    so_far.pass(&next[..taken]);
    assert!(taken == next.len() || so_far.at_border(), "a stream stops inside an event");
}
