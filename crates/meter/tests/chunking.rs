//! Any bytes, cut anywhere: the reading is the same, and the state too.

mod common;

use almoner_meter::{Dialect, Framing, Meter};
use common::in_pieces;
use proptest::collection::vec;
use proptest::prelude::*;

/// Pieces of every dialect's answers, of every framing, and of what breaks them.
const PIECES: [&str; 40] = [
    "data: ",
    "data:",
    "data",
    "event: message_start\n",
    ": ping\n",
    "\n",
    "\r",
    "\r\n",
    "\n\n",
    "\u{feff}",
    "[DONE]",
    "{",
    "}",
    "[",
    "]",
    ",",
    "\"",
    "\\\"",
    "\\",
    ":",
    " ",
    "null",
    "-1",
    "1e300",
    "{\"type\":\"message_start\",\"message\":{\"model\":\"m\",\"usage\":{\"input_tokens\":7,\"output_tokens\":1}}}",
    "{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":9}}",
    "{\"type\":\"message_stop\"}",
    "{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\"}}",
    "{\"model\":\"m\",\"choices\":[{\"delta\":{\"content\":\"\\\"usage\\\"\"},\"finish_reason\":null}],\"usage\":null}",
    "{\"choices\":[{\"finish_reason\":\"stop\"}]}",
    "{\"choices\":[],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":3}}",
    "{\"x_groq\":{\"usage\":{\"prompt_tokens\":6}}}",
    "{\"type\":\"response.completed\",\"response\":{\"status\":\"completed\",\"usage\":{\"input_tokens\":4}}}",
    "{\"candidates\":[{\"finishReason\":\"STOP\"}],\"usageMetadata\":{\"promptTokenCount\":8,\"thoughtsTokenCount\":2}}",
    "{\"usageMetadata\":{\"promptTokenCount\":3}}",
    "{\"model\":\"m\",\"done\":false}",
    "{\"done\":true,\"eval_count\":2}",
    "\"usage\"",
    "\"usage\":{",
    "\u{0}\u{1F980}",
];

fn answer() -> impl Strategy<Value = Vec<u8>> {
    let known = proptest::sample::select(&PIECES[..]).prop_map(|piece| piece.as_bytes().to_vec());
    let event = proptest::sample::select(&PIECES[24..37]).prop_map(|json| format!("data: {json}\n\n").into_bytes());
    let noise = vec(any::<u8>(), 0..6);
    vec(prop_oneof![4 => known, 3 => event, 1 => noise], 0..24).prop_map(|pieces| pieces.concat())
}

fn framing() -> impl Strategy<Value = Framing> {
    proptest::sample::select(&[Framing::Sse, Framing::Sse, Framing::Ndjson, Framing::JsonArray, Framing::Json][..])
}

/// Cuts bytes into pieces of these sizes, the last one repeated.
fn cut<'a>(mut bytes: &'a [u8], sizes: &[usize]) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    for size in sizes {
        let (piece, rest) = bytes.split_at(bytes.len().min(*size));
        pieces.push(piece);
        bytes = rest;
    }
    pieces.push(bytes);
    pieces
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_cut_reads_the_same(
        bytes in answer(),
        sizes in vec(0_usize..40, 0..40),
        dialect in proptest::sample::select(&Dialect::ALL[..]),
        framing in framing(),
    ) {
        let whole = in_pieces(dialect, framing, [&bytes[..]]);
        prop_assert_eq!(&in_pieces(dialect, framing, cut(&bytes, &sizes)), &whole);
        prop_assert_eq!(&in_pieces(dialect, framing, bytes.chunks(1)), &whole);
    }

    #[test]
    fn the_state_after_any_cut_is_the_same(
        bytes in answer(),
        at in any::<prop::sample::Index>(),
        dialect in proptest::sample::select(&Dialect::ALL[..]),
        framing in framing(),
    ) {
        let (head, tail) = bytes.split_at(at.index(bytes.len() + 1));
        let (mut whole, mut halves) = (Meter::new(dialect, framing), Meter::new(dialect, framing));
        whole.feed(&bytes);
        halves.feed(head);
        halves.feed(tail);
        prop_assert!(whole == halves);
        prop_assert_eq!(whole.so_far(), halves.so_far());
    }

    #[test]
    fn the_framing_does_not_hang_on_how_much_is_seen(bytes in answer(), at in any::<prop::sample::Index>()) {
        let some = &bytes[..at.index(bytes.len() + 1)];
        if let Some(chosen) = Framing::choose(None, some) {
            prop_assert_eq!(Framing::choose(None, &bytes), Some(chosen));
        }
    }
}
