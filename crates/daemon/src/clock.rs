//! The real clocks and dice, read here and nowhere else.

use almoner_ledger::Reading;
use almoner_units::{Span, Timestamp};

/// Reads the wall clock and a clock that nobody sets, at the same moment.
pub(crate) fn read() -> Reading {
    Reading { wall: wall(), steady: steady() }
}

/// The wall clock.
#[allow(clippy::disallowed_methods)]
fn wall() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_ms(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// A clock that nobody sets and that runs on while the machine sleeps.
fn steady() -> Span {
    #[cfg(target_os = "linux")]
    let id = rustix::time::ClockId::Boottime;
    #[cfg(not(target_os = "linux"))]
    let id = rustix::time::ClockId::Monotonic;
    let now = rustix::time::clock_gettime(id);
    let part = |value: i64| u64::try_from(value).unwrap_or(0);
    Span::from_ms(part(now.tv_sec).saturating_mul(1000).saturating_add(part(now.tv_nsec) / 1_000_000))
}

/// A moment of a clock that nobody sets, from which a short time can be measured.
#[allow(clippy::disallowed_methods)]
pub(crate) fn moment() -> std::time::Instant {
    std::time::Instant::now()
}

/// Random bytes from the operating system.
///
/// # Panics
/// Where the operating system has none to give: nothing that follows could be trusted.
pub(crate) fn dice<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    bytes
}
