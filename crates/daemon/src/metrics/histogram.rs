//! Histograms: how often something was no larger than some bounds. Whoever counts waits for nobody.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::text::{Seen, Value};

/// A second in the unit that histograms count in.
const SECOND: u64 = 1_000_000;

/// The bounds of what takes a part of a millisecond: our own work, and a disk's.
pub(crate) const SHORT: &[u64] = &[50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, SECOND];
/// The bounds of what takes seconds: a model's work.
pub(crate) const LONG: &[u64] = &[
    50_000,
    100_000,
    250_000,
    500_000,
    SECOND,
    2_500_000,
    5 * SECOND,
    10 * SECOND,
    30 * SECOND,
    60 * SECOND,
    120 * SECOND,
    300 * SECOND,
    600 * SECOND,
];
/// The bounds of how many there are of something.
pub(crate) const MANY: &[u64] =
    &[SECOND, 2 * SECOND, 5 * SECOND, 10 * SECOND, 50 * SECOND, 250 * SECOND, 1000 * SECOND];

/// A histogram.
#[derive(Debug)]
pub(crate) struct Histogram {
    bounds: &'static [u64],
    /// How many were no larger than each bound, and larger than the one before; the last has no bound.
    counts: Vec<AtomicU64>,
    sum: AtomicU64,
}

impl Histogram {
    pub(crate) fn new(bounds: &'static [u64]) -> Self {
        let counts = std::iter::repeat_with(AtomicU64::default).take(bounds.len() + 1).collect();
        Self { bounds, counts, sum: AtomicU64::default() }
    }

    pub(crate) fn took(&self, time: Duration) {
        self.see(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
    }

    pub(crate) fn counted(&self, many: u64) {
        self.see(many.saturating_mul(SECOND));
    }

    fn see(&self, value: u64) {
        let at = self.bounds.partition_point(|bound| *bound < value);
        self.counts[at].fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(value, Ordering::Relaxed);
    }

    pub(crate) fn seen(&self) -> Seen {
        let mut so_far = 0;
        let bounds = self.bounds.iter().copied().map(Some).chain([None]);
        let buckets = bounds.zip(&self.counts).map(|(bound, count)| {
            so_far += count.load(Ordering::Relaxed);
            (bound, so_far)
        });
        Seen { buckets: buckets.collect(), sum: Value::Millionths(self.sum.load(Ordering::Relaxed)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_counted_at_its_bound_and_at_all_above() {
        let histogram = Histogram::new(&[10, 20]);
        [10, 11, 500].iter().for_each(|micros| histogram.took(Duration::from_micros(*micros)));
        let seen = histogram.seen();
        assert_eq!(seen.buckets, [(Some(10), 1), (Some(20), 2), (None, 3)]);
        assert_eq!(seen.sum, Value::Millionths(521));
    }
}
