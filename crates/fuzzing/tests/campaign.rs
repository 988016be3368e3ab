//! Every target for a moment, with the same inputs on every machine.
#![allow(clippy::unwrap_used, reason = "a test may stop")]

use std::fs;
use std::path::PathBuf;

use almoner_fuzzing::{Campaign, TARGETS, Target};

#[track_caller]
fn target(name: &str) -> Target {
    *TARGETS.iter().find(|target| target.name == name).unwrap()
}

#[track_caller]
fn check(name: &str, runs: u64) {
    if let Err(finding) = Campaign::new(target(name), 0).run(0..runs) {
        panic!("{finding}");
    }
}

#[test]
fn server_sent_events_read_alike_however_they_are_cut() {
    check("sse", 200);
}

#[test]
fn lines_of_json_read_alike_however_they_are_cut() {
    check("ndjson", 200);
}

#[test]
fn arrays_of_json_read_alike_however_they_are_cut() {
    check("json_array", 400);
}

#[test]
fn whole_json_reads_alike_however_it_is_cut() {
    check("json", 1500);
}

#[test]
fn what_is_too_long_to_keep_reads_alike_however_it_is_cut() {
    check("oversize", 3);
}

#[test]
fn compressed_bytes_read_alike_however_they_are_cut() {
    check("encoding", 1000);
}

#[test]
fn usage_is_read_as_it_was_told() {
    check("usage", 2000);
}

#[test]
fn a_cap_in_an_object_is_the_only_one() {
    check("nested", 4000);
}

#[test]
fn a_spliced_request_is_what_was_bounded() {
    check("splice", 4000);
}

#[test]
fn a_filtered_stream_is_the_stream() {
    check("stream", 300);
}

#[test]
fn limits_read_what_they_print() {
    check("limit", 10_000);
}

#[test]
fn a_configuration_is_sound_or_refused_with_its_place() {
    check("config", 500);
}

#[test]
fn a_row_of_the_journal_is_a_fact_or_an_error() {
    check("journal", 8000);
}

/// libFuzzer and the tests above try the same targets.
#[test]
fn every_target_has_a_file_for_libfuzzer() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fuzz");
    let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap();
    let mut files: Vec<String> = fs::read_dir(folder.join("fuzz_targets"))
        .unwrap()
        .map(|file| file.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    files.sort();
    let mut names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
    names.sort_unstable();
    assert_eq!(files, names);
    for name in names {
        let file = fs::read_to_string(folder.join("fuzz_targets").join(format!("{name}.rs"))).unwrap();
        assert!(file.contains(&format!("check(\"{name}\", data)")), "{name}");
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name}");
    }
}
