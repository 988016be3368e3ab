//! What the operating system says of this process, where it says so.

use super::text::{Kind, Page, Value};

/// Writes what is known of the process.
pub(crate) fn tell(page: &mut Page, started_ms: u64) {
    let started = Value::Thousandths(started_ms);
    page.one("process_start_time_seconds", Kind::Gauge, "When the server began, in seconds since 1970.", started);
    if let Some(resident) = resident() {
        page.one("process_resident_memory_bytes", Kind::Gauge, "Memory in use.", resident);
    }
    if let Some(open) = open_fds() {
        page.one("process_open_fds", Kind::Gauge, "Open file descriptors.", open);
    }
    if let Some(most) = rustix::process::getrlimit(rustix::process::Resource::Nofile).current {
        page.one("process_max_fds", Kind::Gauge, "The most file descriptors that may be open.", most);
    }
    let cpu = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let part = |value: i64| u64::try_from(value).unwrap_or(0);
    let micros = part(cpu.tv_sec).saturating_mul(1_000_000).saturating_add(part(cpu.tv_nsec) / 1000);
    let help = "Processor time used, in seconds.";
    page.one("process_cpu_seconds_total", Kind::Counter, help, Value::Millionths(micros));
}

fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib.saturating_mul(1024))
}

fn open_fds() -> Option<u64> {
    let open = std::fs::read_dir("/proc/self/fd").ok()?.count();
    // One of them is the folder itself.
    u64::try_from(open).ok()?.checked_sub(1)
}
