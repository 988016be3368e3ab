//! Every content encoding, cut anywhere, broken, unknown and hostile.
#![allow(clippy::unwrap_used, reason = "a test may stop")]

mod common;

use std::io::Write as _;

use almoner_meter::{Decoder, Dialect, Fault, Framing, Meter};
use common::line;
use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use ruzstd::encoding::{CompressionLevel, compress_to_vec};

const ANSWER: &str = "data: {\"model\":\"m\",\"choices\":[{\"delta\":{\"content\":\"hello, hello, hello\"}}]}\n\n\
    data: {\"model\":\"m\",\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":2}}\n\ndata: [DONE]\n\n";

const READ: &str = "in 7 read 0 5m 0 1h 0 out 2 think - | m finished -";

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn bare(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Brotli as RFC 7932 lets it be stored: one uncompressed metablock of at most 64 KiB, then the empty last one.
fn brotli(bytes: &[u8]) -> Vec<u8> {
    // WBITS 16 (one 0 bit), not last, four nibbles, length - 1, uncompressed.
    let bits = (bytes.len() - 1) << 4 | 1 << 20;
    let mut stored = bits.to_le_bytes()[..3].to_vec();
    stored.extend_from_slice(bytes);
    stored.push(3);
    stored
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    compress_to_vec(bytes, CompressionLevel::Fastest)
}

fn decoder(encoding: &str) -> Decoder {
    Decoder::new(Some(encoding), Meter::new(Dialect::OpenAiChat, Framing::Sse)).unwrap()
}

fn read_in(encoding: &str, pieces: &[&[u8]]) -> almoner_meter::Reading {
    let mut decoder = decoder(encoding);
    pieces.iter().for_each(|piece| decoder.feed(piece));
    decoder.finish()
}

fn encoded() -> Vec<(&'static str, Vec<u8>)> {
    let answer = ANSWER.as_bytes();
    vec![
        ("identity", answer.to_vec()),
        ("", answer.to_vec()),
        ("gzip", gzip(answer)),
        (" X-GZIP ", [gzip(&answer[..50]), gzip(&answer[50..])].concat()),
        ("deflate", zlib(answer)),
        ("deflate", bare(answer)),
        ("br", brotli(answer)),
        ("zstd", zstd(answer)),
        ("zstd", [zstd(&answer[..50]), zstd(&answer[50..])].concat()),
    ]
}

#[test]
fn every_encoding_reads_the_same_wherever_it_is_cut() {
    for (encoding, bytes) in encoded() {
        for at in 0..=bytes.len() {
            let (head, tail) = bytes.split_at(at);
            assert_eq!(line(&read_in(encoding, &[head, tail])), READ, "{encoding} cut at {at}");
        }
        let bytewise: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(line(&read_in(encoding, &bytewise)), READ, "{encoding} byte by byte");
    }
}

#[test]
fn what_decodes_is_read_before_the_end() {
    let answer = ANSWER.as_bytes();
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(answer).unwrap();
    encoder.flush().unwrap();
    for (encoding, bytes) in
        [("gzip", encoder.get_ref().clone()), ("br", brotli(answer)), ("identity", answer.to_vec())]
    {
        let mut decoder = decoder(encoding);
        decoder.feed(&bytes);
        assert_eq!(decoder.so_far().usage.input, Some(7), "{encoding}");
    }
}

#[test]
fn broken_bytes_are_a_fault_and_keep_what_came_before() {
    for (encoding, mut bytes) in encoded().into_iter().skip(2) {
        for at in 0..bytes.len() {
            bytes[at] ^= 0x55;
            let _ = read_in(encoding, &[&bytes]);
            bytes[at] ^= 0x55;
        }
        let junk = read_in(encoding, &[b"\xFF not what the header says", b"and more"]);
        assert_eq!((junk.usage_present, junk.faults.times(Fault::Encoding)), (false, 1), "{encoding}");
    }
    let tail = read_in("gzip", &[&gzip(ANSWER.as_bytes()), b"junk"]);
    assert_eq!(tail.usage.input, Some(7));
}

#[test]
fn a_zstd_window_or_block_past_the_bounds_is_refused() {
    let magic = [0x28, 0xB5, 0x2F, 0xFD];
    let huge_window = [&magic[..], &[0x00, 0xFF]].concat();
    let huge_single = [&magic[..], &[0xE0, 0, 0, 0, 0, 1, 0, 0, 0]].concat();
    let huge_block = [&magic[..], &[0x00, 0x00, 0xFC, 0xFF, 0xFF]].concat();
    for bytes in [huge_window, huge_single, huge_block] {
        assert_eq!(read_in("zstd", &[&bytes]).faults.times(Fault::Encoding), 1, "{bytes:?}");
    }
}

#[test]
fn an_unknown_encoding_is_refused_by_name() {
    let meter = Meter::new(Dialect::OpenAiChat, Framing::Sse);
    let error = Decoder::new(Some("gzip, br"), meter).err().unwrap();
    assert!(error.to_string().starts_with("the content encoding `gzip, br` is not known"));
}
