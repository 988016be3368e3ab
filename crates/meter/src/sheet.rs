//! Reading counts off a usage object, where every number is suspect.

use serde_json::{Map, Value};

use crate::{Fault, Faults};

/// A usage object as the provider wrote it.
pub(crate) type Object = Map<String, Value>;

/// A usage object under examination, with the place to put what is wrong with it.
pub(crate) struct Sheet<'a> {
    pub(crate) usage: &'a Object,
    pub(crate) faults: &'a mut Faults,
}

impl Sheet<'_> {
    /// The count at a dotted path; `None` where it was not said, and a fault where it is no count.
    pub(crate) fn at(&mut self, path: &'static str) -> Option<u64> {
        let value = self.find(path)?;
        let count = value.as_u64();
        if count.is_none() {
            self.faults.note(Fault::NotACount(path));
        }
        count
    }

    /// The count at a path, where not to say it means that there was none.
    pub(crate) fn at_or_zero(&mut self, path: &'static str) -> Option<u64> {
        if self.has(path) { self.at(path) } else { Some(0) }
    }

    /// The first of these paths that says something; 0 where none does.
    pub(crate) fn first_or_zero(&mut self, paths: &[&'static str]) -> Option<u64> {
        let said = paths.iter().find(|path| self.has(path));
        said.map_or(Some(0), |path| self.at(path))
    }

    /// Whether something was said at a path.
    pub(crate) fn has(&self, path: &str) -> bool {
        self.find(path).is_some()
    }

    /// The sum of two counts; unknown where either is, and a fault where it is too large.
    pub(crate) fn sum(&mut self, one: Option<u64>, other: Option<u64>) -> Option<u64> {
        sum(one, other, self.faults)
    }

    fn find(&self, path: &str) -> Option<&Value> {
        let (first, rest) = path.split_once('.').map_or((path, None), |(first, rest)| (first, Some(rest)));
        let value = self.usage.get(first);
        let value = rest.map_or(value, |name| value.and_then(|inner| inner.get(name)));
        value.filter(|value| !value.is_null())
    }
}

/// The sum of two counts; unknown where either is, and a fault where it is too large.
pub(crate) fn sum(one: Option<u64>, other: Option<u64>, faults: &mut Faults) -> Option<u64> {
    let sum = one?.checked_add(other?);
    if sum.is_none() {
        faults.note(Fault::SumTooLarge);
    }
    sum
}

/// What is left of the input when cache reads and writes are taken out: uncached, read, written.
///
/// They may overlap (each fits, both do not): then what was read is taken out once. Where one alone does not fit, the
/// parts are cut so that they add up to the input.
pub(crate) fn split_input(
    input: Option<u64>,
    read: Option<u64>,
    written: Option<u64>,
    faults: &mut Faults,
) -> (Option<u64>, Option<u64>, Option<u64>) {
    let (Some(all), Some(from), Some(to)) = (input, read, written) else {
        return (None, read, written);
    };
    if let Some(rest) = all.checked_sub(from).and_then(|rest| rest.checked_sub(to)) {
        return (Some(rest), read, written);
    }
    if from <= all && to <= all {
        faults.note(Fault::CacheOverlap);
        return (Some(all - from), read, written);
    }
    faults.note(Fault::CacheExceedsInput);
    let from = from.min(all);
    (Some(0), Some(from), Some(all - from))
}
