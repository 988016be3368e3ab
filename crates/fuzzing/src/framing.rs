//! Any bytes in any framing, cut anywhere: one reading, with texts that are bounded.

use almoner_meter::{Decoder, Dialect, EVENT_MAX, Fault, Framing, Meter, Reading};

/// The longest text that a reading may keep, with room for the mark of a cut.
const TEXT_MAX: usize = 4096;

/// Server-sent events.
pub(crate) fn sse(data: &[u8]) {
    framed(Framing::Sse, data);
}

/// A JSON object a line.
pub(crate) fn ndjson(data: &[u8]) {
    framed(Framing::Ndjson, data);
}

/// JSON objects inside an array.
pub(crate) fn json_array(data: &[u8]) {
    framed(Framing::JsonArray, data);
}

/// One JSON value.
pub(crate) fn json(data: &[u8]) {
    framed(Framing::Json, data);
}

/// An input for the targets of this file.
pub(crate) fn input(dialect: Dialect, cuts: u8, answer: &str) -> Vec<u8> {
    let number = Dialect::ALL.iter().position(|known| *known == dialect).unwrap_or(0);
    let number = u8::try_from(number).unwrap_or(0);
    [&[number, cuts], answer.as_bytes()].concat()
}

fn framed(framing: Framing, data: &[u8]) {
    let Some((&[dialect, cuts], answer)) = data.split_first_chunk::<2>() else { return };
    let dialect = dialect_of(dialect);
    cut_anywhere(dialect, framing, answer, &pieces(answer, cuts));
    let reading = cut_anywhere(dialect, framing, answer, &answer.chunks(1).collect::<Vec<_>>());
    is_bounded(&reading);
    // A longer look at the start never changes what the framing was taken for.
    if let Some(chosen) = Framing::choose(None, &answer[..answer.len().min(cuts.into())]) {
        assert_eq!(Framing::choose(None, answer), Some(chosen));
    }
}

fn dialect_of(number: u8) -> Dialect {
    Dialect::ALL[usize::from(number) % Dialect::ALL.len()]
}

/// Reads an answer whole and in pieces: the same state before its end, and the same reading after it.
pub(crate) fn cut_anywhere(dialect: Dialect, framing: Framing, answer: &[u8], pieces: &[&[u8]]) -> Reading {
    let (mut whole, mut cut) = (Meter::new(dialect, framing), Meter::new(dialect, framing));
    whole.feed(answer);
    pieces.iter().for_each(|piece| cut.feed(piece));
    assert!(whole == cut, "the state of the meter depends on the cuts");
    assert_eq!(whole.so_far(), cut.so_far());
    let reading = whole.finish();
    assert_eq!(cut.finish(), reading);
    reading
}

/// Pieces of sizes that one byte decides: mostly short ones, some of them empty.
pub(crate) fn pieces(mut bytes: &[u8], cuts: u8) -> Vec<&[u8]> {
    let mut pieces = Vec::new();
    let mut size = cuts;
    while !bytes.is_empty() {
        size = size.wrapping_mul(29).wrapping_add(11);
        let (piece, rest) = bytes.split_at(bytes.len().min(usize::from(size >> 2)));
        pieces.push(piece);
        bytes = rest;
    }
    pieces
}

fn is_bounded(reading: &Reading) {
    let error = reading.error.clone().unwrap_or_default();
    let own = [&reading.model, &reading.message_id, &reading.stop_reason, &error.kind, &error.status, &error.message];
    for text in own.into_iter().flatten() {
        assert!(text.len() <= TEXT_MAX, "a text of {} bytes is kept", text.len());
    }
    assert!(reading.usage_present || reading.usage.output.is_none(), "output that nobody told");
    if let Some(cost) = reading.reported_cost_usd {
        assert!(!cost.to_string().is_empty());
        let _ = cost.nano_usd_up();
    }
}

/// An answer in which one byte is stretched around the most that is kept of an event.
pub(crate) fn oversize(data: &[u8]) {
    let Some((&[dialect, framing, cuts, at, more], answer)) = data.split_first_chunk::<5>() else { return };
    let framing = [Framing::Sse, Framing::Ndjson, Framing::JsonArray, Framing::Json][usize::from(framing) % 4];
    let at = answer.len() * usize::from(at) / 256;
    let Some(stretched) = answer.get(at) else { return };
    let room = EVENT_MAX.saturating_sub(answer.len()) + usize::from(more);
    let long = [&answer[..at], &vec![*stretched; room], &answer[at..]].concat();
    let size = (room / 3 + usize::from(cuts)).max(1);
    let pieces: Vec<&[u8]> = long.chunks(size).collect();
    is_bounded(&cut_anywhere(dialect_of(dialect), framing, &long, &pieces));
}

/// Compressed bytes, true or false.
pub(crate) fn encoding(data: &[u8]) {
    let Some((&[dialect, name, cuts], bytes)) = data.split_first_chunk::<3>() else { return };
    let name = ["gzip", "deflate", "br", "zstd", "identity"][usize::from(name) % 5];
    let decoder = || {
        let meter = Meter::new(dialect_of(dialect), Framing::Sse);
        Decoder::new(Some(name), meter).unwrap_or_else(|error| panic!("{error}"))
    };
    let (mut whole, mut cut) = (decoder(), decoder());
    whole.feed(bytes);
    pieces(bytes, cuts).iter().for_each(|piece| cut.feed(piece));
    let (whole, cut) = (whole.finish(), cut.finish());
    is_bounded(&whole);
    is_bounded(&cut);
    // Of bytes that do not decode a library learns sooner or later, depending on how much it gets at once: that of
    // brotli does, in Rust and in C.
    let decodes = |reading: &Reading| reading.faults.times(Fault::Encoding) == 0;
    if decodes(&whole) && decodes(&cut) {
        assert_eq!(whole, cut);
    }
}
