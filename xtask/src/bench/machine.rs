//! How quiet the machine was while it measured, in words that name no machine.

use std::fs;

/// What `/proc` told when the measuring began.
pub(crate) struct Quiet {
    load: String,
    ticks: Option<Ticks>,
}

/// Ticks of all processors since the machine began.
#[derive(Clone, Copy)]
struct Ticks {
    all: f64,
    steal: f64,
}

impl Quiet {
    pub(crate) fn begin() -> Self {
        Self { load: load(), ticks: ticks() }
    }

    /// The load before and after, and which part of the time went to other guests of the same host.
    pub(crate) fn end(&self) -> String {
        let steal = self.ticks.zip(ticks()).map_or_else(
            || "unknown".to_owned(),
            |(before, after)| {
                format!("{:.1} %", 100.0 * (after.steal - before.steal) / (after.all - before.all).max(1.0))
            },
        );
        let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
        format!("{cores} cores, load {} before and {} after, steal {steal}", self.load, load())
    }
}

/// The mean number of running tasks over the last minute.
fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().filter(|load| !load.is_empty()).unwrap_or("unknown").to_owned()
}

fn ticks() -> Option<Ticks> {
    let text = fs::read_to_string("/proc/stat").ok()?;
    let fields: Vec<f64> =
        text.lines().next()?.split_whitespace().skip(1).filter_map(|field| field.parse().ok()).collect();
    // user, nice, system, idle, iowait, irq, softirq, steal; guests are counted in user already.
    Some(Ticks { all: fields.iter().take(8).sum(), steal: *fields.get(7)? })
}
