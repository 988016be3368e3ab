//! What must hold for any bytes that a stranger sends: one property for each reader of ours, tried in two ways.
//!
//! A property takes bytes, lets a reader have them, and panics where a promise breaks. `fuzz/` hands each property to
//! libFuzzer, which follows the coverage and runs for hours. [`Campaign`] changes small seeds at random on the stable
//! toolchain, for a number of runs and not of seconds, so that an ordinary test can have it. The first bytes of an
//! input choose what is not bytes: a dialect, a cut, a cap.

mod campaign;
mod config;
mod dice;
mod framing;
mod journal;
mod limit;
mod nested;
mod pick;
mod seeds;
mod splice;
mod stream;
mod usage;

pub use campaign::{Campaign, Finding};
pub use seeds::WORDS;

/// A reader of ours under strange bytes.
#[derive(Clone, Copy)]
pub struct Target {
    /// Its name: that of its file in `fuzz/fuzz_targets`, and of the argument that chooses it.
    pub name: &'static str,
    /// Panics where the bytes break a promise.
    pub property: fn(&[u8]),
    /// Small inputs to begin with, written from the documented forms.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// The framing whose recorded answers are good seeds, by its name in a recording.
    pub recorded_framing: Option<&'static str>,
}

/// Every target.
pub const TARGETS: [Target; 13] = [
    Target { name: "sse", property: framing::sse, seeds: seeds::sse, recorded_framing: Some("sse") },
    Target { name: "ndjson", property: framing::ndjson, seeds: seeds::ndjson, recorded_framing: Some("ndjson") },
    Target {
        name: "json_array",
        property: framing::json_array,
        seeds: seeds::json_array,
        recorded_framing: Some("json-array"),
    },
    Target { name: "json", property: framing::json, seeds: seeds::json, recorded_framing: Some("json") },
    Target { name: "oversize", property: framing::oversize, seeds: seeds::oversize, recorded_framing: None },
    Target { name: "encoding", property: framing::encoding, seeds: seeds::encoding, recorded_framing: None },
    Target { name: "usage", property: usage::usage, seeds: seeds::usage, recorded_framing: None },
    Target { name: "splice", property: splice::splice, seeds: seeds::splice, recorded_framing: None },
    Target { name: "nested", property: nested::nested, seeds: seeds::nested, recorded_framing: None },
    Target { name: "stream", property: stream::stream, seeds: seeds::stream, recorded_framing: None },
    Target { name: "limit", property: limit::limit, seeds: seeds::limit, recorded_framing: None },
    Target { name: "config", property: config::config, seeds: seeds::config, recorded_framing: None },
    Target { name: "journal", property: journal::journal, seeds: seeds::journal, recorded_framing: None },
];

/// Tries one input on the target of this name.
///
/// # Panics
/// Where a promise breaks, and where there is no such target.
pub fn check(name: &str, data: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name);
    (target.unwrap_or_else(|| panic!("no target is named `{name}`")).property)(data);
}
