//! The developers' recordings: every expectation met, however the bytes are cut, and behind the encoding they came in.
//!
//! The recordings lie beside the checkout and not in it; where they are absent these tests say so and pass.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test may stop and may print")]

use std::fs;
use std::path::PathBuf;

use almoner_meter::exchange::{self, Exchange};
use almoner_meter::{Decoder, Meter};
use serde_json::Value;

/// From a position, the rest of a file is fed in steps of this size to meet the state of one-byte feeding again.
const STRIDE: usize = 128;

/// Files up to this size are also read from the start, whole, for a cut at each of their positions; larger ones for
/// this share of it.
const SMALL: usize = 2 << 10;
const CUTS_OF_LARGE: usize = 50;

/// Reports that a reader adds, or that are words of a human about the numbers.
const NOT_COMPARED: [&str; 2] = ["ambiguous", "alternative"];

struct Recording {
    name: String,
    text: String,
    exchange: Exchange,
}

fn recordings() -> Vec<Recording> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/recorded/exchanges");
    let Ok(entries) = fs::read_dir(&folder) else {
        println!("skipped: no recorded exchanges beside the checkout");
        return Vec::new();
    };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    paths.sort();
    paths.into_iter().map(recording).collect()
}

fn recording(path: PathBuf) -> Recording {
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    let text = fs::read_to_string(path).unwrap();
    let exchange = Exchange::parse(&text).unwrap();
    Recording { name, text, exchange }
}

/// Whether what was read is what was expected: every member is there, and `null` where nothing was said. The costs of
/// the expectation are floats.
fn agrees(read: &Value, expected: &Value) -> bool {
    match (read, expected) {
        (Value::Object(read), Value::Object(expected)) => {
            expected.iter().all(|(name, value)| read.get(name).is_some_and(|read| agrees(read, value)))
        }
        (Value::Array(read), Value::Array(expected)) => {
            read.len() == expected.len() && read.iter().zip(expected).all(|(read, value)| agrees(read, value))
        }
        (Value::Number(read), Value::Number(expected)) => read.as_f64() == expected.as_f64(),
        _ => read == expected,
    }
}

fn expectation(recording: &Recording) -> Value {
    serde_json::from_str::<Value>(&recording.text).unwrap()["expect"].take()
}

fn has_negative(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.as_f64().is_some_and(|number| number < 0.0),
        Value::Array(values) => values.iter().any(has_negative),
        Value::Object(members) => members.values().any(has_negative),
        _ => false,
    }
}

/// Each expectation that is not met, with what was read instead.
fn disagreements(recording: &Recording) -> Vec<String> {
    let (expected, read) = (expectation(recording), exchange::read(&recording.text).unwrap());
    let members = expected.as_object().unwrap().iter().filter(|(name, _)| !NOT_COMPARED.contains(&name.as_str()));
    members
        .filter(|(name, value)| !read.get(name.as_str()).is_some_and(|read| agrees(read, value)))
        .map(|(name, value)| format!("{}: {name} is {}, expected {value}", recording.name, read[name.as_str()]))
        .collect()
}

#[test]
fn every_expectation_is_met() {
    let recordings = recordings();
    let (unclear, clear): (Vec<_>, Vec<_>) =
        recordings.iter().partition(|recording| expectation(recording).get("ambiguous").is_some());
    let wrong: Vec<String> = clear.iter().flat_map(|recording| disagreements(recording)).collect();
    assert!(wrong.is_empty(), "{} disagreements:\n{}", wrong.len(), wrong.join("\n"));
    for recording in &unclear {
        let read = exchange::read(&recording.text).unwrap();
        assert!(!has_negative(&read) && read["ambiguous"].is_string(), "{}: {read}", recording.name);
    }
    println!("{} recordings agree, {} are ambiguous and read without harm", clear.len(), unclear.len());
}

#[test]
fn an_ambiguous_recording_is_read_in_one_of_its_two_ways() {
    for recording in recordings() {
        let expected = expectation(&recording);
        if expected.get("ambiguous").is_none() {
            continue;
        }
        let read = exchange::read(&recording.text).unwrap();
        for name in ["input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens"] {
            let either = [&expected[name], &expected["alternative"][name]];
            assert!(either.contains(&&read[name]), "{}: {name} is {}, expected {either:?}", recording.name, read[name]);
        }
    }
}

/// Cuts each recording at each of its positions.
///
/// Feeding the whole rest anew for each position would take time with the square of the size. Instead one meter is fed
/// byte by byte, and at each position a meter that came there in one piece since the last stride is compared with it,
/// state by state; from there it takes the rest of the stride and the next one in one piece, and must meet it again.
/// Equal states give equal readings, so that every cut into two is covered by its pieces.
#[test]
fn a_recording_reads_the_same_wherever_it_is_cut() {
    let mut positions = 0;
    for Recording { name, exchange, .. } in recordings() {
        let body = exchange.body();
        let whole = exchange.report_in([body]);
        let states = strides(&exchange);
        assert_eq!(exchange.report(states.last().unwrap().clone()), whole, "{name}, byte by byte");
        for at in 0..=body.len() {
            let stride = at / STRIDE;
            let end = body.len().min((stride + 2) * STRIDE);
            let mut meter = states[stride].clone();
            meter.feed(&body[stride * STRIDE..at]);
            meter.feed(&body[at..end]);
            assert!(meter == states[end.div_ceil(STRIDE)], "{name}, cut at {at}");
        }
        positions += body.len();
    }
    println!("cut at each of {positions} positions");
}

/// The meter at the start, at each stride and at the end, when it is fed byte by byte.
fn strides(exchange: &Exchange) -> Vec<Meter> {
    let mut meter = exchange.meter();
    let mut states = vec![meter.clone()];
    for piece in exchange.body().chunks(STRIDE) {
        piece.iter().for_each(|byte| meter.feed(&[*byte]));
        states.push(meter.clone());
    }
    states
}

#[test]
fn a_recording_reads_the_same_in_two_pieces() {
    for Recording { name, exchange, .. } in recordings() {
        let body = exchange.body();
        let whole = exchange.report_in([body]);
        let step = if body.len() <= SMALL { 1 } else { body.len() / CUTS_OF_LARGE };
        for at in (0..body.len()).step_by(step) {
            let (head, tail) = body.split_at(at);
            assert_eq!(exchange.report_in([head, tail]), whole, "{name}, cut at {at}");
        }
    }
}

#[test]
fn no_recording_is_doubted() {
    let mut read = 0;
    for Recording { name, text, exchange } in recordings() {
        let request = serde_json::from_str::<Value>(&text).unwrap()["request"].to_string();
        let mut meter = exchange.meter();
        meter.feed(exchange.body());
        // Whoever takes the request's names and frames for text as well doubts sooner.
        assert_eq!(meter.finish().implausible(u64::try_from(request.len()).unwrap()), None, "{name}");
        read += 1;
    }
    println!("{read} recordings are plausible");
}

#[test]
fn what_was_sent_encoded_reads_as_what_it_decodes_to() {
    let mut encoded = 0;
    for Recording { name, exchange, .. } in recordings() {
        let Some(wire) = exchange.wire() else { continue };
        let mut meter = exchange.meter();
        meter.feed(exchange.body());
        let plain = meter.finish();
        for size in [1, 7, 100, wire.body.len()] {
            let mut decoder = Decoder::new(Some(&wire.content_encoding), exchange.meter()).unwrap();
            wire.body.chunks(size).for_each(|piece| decoder.feed(piece));
            assert_eq!(decoder.finish(), plain, "{name}, by {size}");
        }
        encoded += 1;
    }
    println!("{encoded} encoded recordings read as their plain form");
}
