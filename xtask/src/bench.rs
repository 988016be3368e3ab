//! `cargo xtask bench [--short] [--keep] [NAME…]`: how fast everything is, as ratios measured side by side in one run.
//!
//! The pure crates and the ledger on disk are measured by examples of theirs, which print figures; the gateway stands
//! beside nginx here. What is asked stands beside each figure. `--short` is for trying the bench itself out, and
//! `--keep` puts the table into docs/benchmarks.md.
//!
//! `cargo xtask bench peers` sets other gateways beside ours, which it installs first; it is measured only when it is
//! named, and its table has a place of its own on the page.
//!
//! The gateway's part wants nginx, wrk and taskset: `apt-get install nginx-light wrk util-linux`. Nothing is left
//! running, nothing is listened on but loopback, and every state lies in a folder that is removed.

#![allow(
    clippy::disallowed_methods,
    clippy::float_arithmetic,
    clippy::cast_precision_loss,
    reason = "a measurement reads clocks, waits, and divides"
)]

mod figure;
mod gateway;
mod machine;
mod many;
mod overspend;
mod peers;
mod process;

use std::fs;

use crate::proofs::Program;
use crate::{Outcome, root, run};
use figure::Figure;
use gateway::Street;
use machine::Quiet;

/// How long everything is measured.
#[derive(Clone, Copy)]
struct Size {
    rounds: usize,
    /// Of each load on each way in each round.
    seconds: usize,
    streams: usize,
    /// Keys of the crowd, each with ten sessions.
    keys: usize,
}

impl Size {
    fn told(self, cores: &str) -> String {
        format!("{} rounds of {} s a load, on cores {cores}", self.rounds, self.seconds)
    }
}

const FULL: Size = Size { rounds: 5, seconds: 3, streams: 5000, keys: 10_000 };
const SHORT: Size = Size { rounds: 2, seconds: 1, streams: 500, keys: 100 };

/// The examples that print figures, by the name of their part.
const EXAMPLES: [(&str, Program); 4] = [
    ("ledger", Program::new("ledger", "throughput")),
    ("meter", Program::new("meter", "throughput")),
    ("policy", Program::new("policy", "throughput")),
    ("durable", Program::new("daemon", "durable")),
];

/// The parts that are measured here.
const HERE: [&str; 4] = ["gateway", "streams", "dialects", "crowd"];

/// The part that is measured alone, and only when it is named: it installs what it measures.
const PEERS: &str = "peers";

/// Where in the page the table of a whole run stands, and that of the peers.
const MARKS: [&str; 2] = ["<!-- the table begins -->\n", "<!-- the table ends -->\n"];
const PEERS_MARKS: [&str; 2] = ["<!-- the table of the peers begins -->\n", "<!-- the table of the peers ends -->\n"];

pub(crate) fn run(args: &[String]) -> Outcome {
    let (flags, names): (Vec<&str>, Vec<&str>) = args.iter().map(String::as_str).partition(|arg| arg.starts_with('-'));
    if let Some(unknown) = flags.iter().find(|flag| !["--short", "--keep"].contains(flag)) {
        return Err(format!("`{unknown}` is unknown; write `cargo xtask bench [--short] [--keep] [NAME…]`"));
    }
    let size = if flags.contains(&"--short") { SHORT } else { FULL };
    let is_kept = flags.contains(&"--keep");
    if names == [PEERS] {
        let page = beside_peers(size)?;
        print!("\n{page}");
        return if is_kept { keep(&page, PEERS_MARKS) } else { Ok(()) };
    }
    let parts: Vec<&str> = EXAMPLES.iter().map(|(name, _)| *name).chain(HERE).collect();
    if let Some(unknown) = names.iter().find(|name| !parts.contains(name)) {
        return Err(format!("there is no part `{unknown}`; the parts are {}, and, alone, {PEERS}", parts.join(", ")));
    }
    if is_kept && !names.is_empty() {
        return Err(format!("the page keeps whole runs; leave the names away, or name `{PEERS}` alone"));
    }
    let is_meant = |part: &str| names.is_empty() || names.contains(&part);
    let page = measure(size, is_meant)?;
    print!("\n{page}");
    if is_kept { keep(&page, MARKS) } else { Ok(()) }
}

/// Measures ours beside its peers.
fn beside_peers(size: Size) -> Result<String, String> {
    build()?;
    let quiet = Quiet::begin();
    let cores = cores();
    let (figures, missing) = peers::peers(&cores, size)?;
    let left_out: String = missing.iter().map(|line| format!("{line}\n\n")).collect();
    Ok(format!("{}; {}\n\n{left_out}{}", size.told(&cores), quiet.end(), figure::table(&figures)))
}

/// Measures the parts that are meant, and tells what was found as Markdown.
fn measure(size: Size, is_meant: impl Fn(&str) -> bool) -> Result<String, String> {
    if HERE.iter().any(|part| is_meant(part)) {
        build()?;
    }
    let quiet = Quiet::begin();
    let mut figures = Vec::new();
    for (_, program) in EXAMPLES.iter().filter(|(name, _)| is_meant(name)) {
        println!("\n{program}");
        run::line_by_line(&mut program.command(&["--release"], &[]), |line| match Figure::of_line(line) {
            Some(figure) => figures.push(figure),
            None => println!("{line}"),
        })?;
    }
    let cores = cores();
    if is_meant("gateway") {
        println!("\ngateway");
        let street = Street::open(&cores)?;
        figures.push(street.idle_memory());
        figures.extend(street.calls(size)?);
        figures.extend(street.first_bytes(size)?);
    }
    if is_meant("streams") {
        println!("\nstreams");
        figures.push(gateway::open_streams(&cores, size.streams)?);
    }
    if is_meant("dialects") {
        println!("\ndialects");
        figures.extend(many::dialects(&cores, size)?);
    }
    if is_meant("crowd") {
        println!("\ncrowd");
        figures.extend(many::crowd(&cores, size)?);
    }
    Ok(format!("{}; {}\n\n{}", size.told(&cores), quiet.end(), figure::table(&figures)))
}

/// What the parts that are measured here start, optimised.
fn build() -> Outcome {
    for package in [
        &["--package", "almoner"][..],
        &["--package", "almoner-daemon", "--example", "durable"],
        &["--package", "almoner-testkit", "--example", "streams"],
    ] {
        run::to_end(run::cargo(&["build", "--quiet", "--release"]).args(package))?;
    }
    Ok(())
}

/// The cores that load, ways and upstream share: two, where there are two.
fn cores() -> String {
    let last = std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(2) - 1;
    format!("0-{last}")
}

/// Puts the table into the page that keeps the last one, between its own marks.
fn keep(page: &str, marks: [&str; 2]) -> Outcome {
    let path = root().join("docs/benchmarks.md");
    let text = fs::read_to_string(&path).map_err(|why| format!("docs/benchmarks.md cannot be read: {why}"))?;
    let replaced = replace(&text, page, marks).ok_or("docs/benchmarks.md has no place for the table")?;
    fs::write(&path, replaced).map_err(|why| format!("docs/benchmarks.md cannot be written: {why}"))
}

/// The page with another table between its marks.
fn replace(text: &str, table: &str, marks: [&str; 2]) -> Option<String> {
    let (before, rest) = text.split_once(marks[0])?;
    let (_, after) = rest.split_once(marks[1])?;
    Some(format!("{before}{}{table}{}{after}", marks[0], marks[1]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_keeps_the_last_table() {
        let page = format!("before\n{}old\n{}after\n", MARKS[0], MARKS[1]);
        let new = replace(&page, "new\n", MARKS);
        assert_eq!(new.as_deref(), Some(page.replace("old", "new").as_str()));
        assert_eq!(replace("no marks\n", "new\n", MARKS), None);
    }

    #[test]
    fn the_page_has_a_place_for_either_table_and_neither_touches_the_other() {
        let page = fs::read_to_string(root().join("docs/benchmarks.md")).unwrap();
        let new = replace(&page, "new\n", PEERS_MARKS).unwrap();
        assert_eq!(
            replace(&new, "", MARKS),
            replace(&page, "", MARKS).and_then(|page| replace(&page, "new\n", PEERS_MARKS))
        );
    }

    /// Ten kilobytes of an answer are read in a tenth of a millisecond at 100 MB/s.
    #[test]
    fn the_kept_run_reads_every_dialects_usage_far_within_a_tenth_of_a_millisecond_for_ten_kilobytes() {
        let page = fs::read_to_string(root().join("docs/benchmarks.md")).unwrap();
        let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| meter, ")).collect();
        assert!(rows.len() >= 4, "the page has {} rows of the meter", rows.len());
        for row in rows {
            let median = row.split('|').nth(2).and_then(|cell| cell.trim().strip_suffix(" MB/s"));
            let median: u64 = median.and_then(|rate| rate.replace(',', "").parse().ok()).unwrap_or(0);
            assert!(median >= 100, "{row}");
        }
    }
}
