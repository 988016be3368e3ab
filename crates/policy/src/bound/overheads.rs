//! What a model reads beside what a request says: its hidden template.

use std::collections::BTreeMap;

/// The most hidden tokens seen of each model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overheads(BTreeMap<String, u64>);

impl Overheads {
    /// The least that is allowed for, in tokens, however little was seen.
    pub const FLOOR: u64 = 1_024;

    /// What to allow for the hidden template of `model`, in tokens: a quarter more than the most that was seen.
    #[must_use]
    pub fn of(&self, model: &str) -> u64 {
        let seen = self.0.get(model).copied().unwrap_or(0);
        seen.saturating_add(seen.div_ceil(4)).max(Self::FLOOR)
    }

    /// Learns that a call of `model` had `seen` tokens of input beyond what its text, messages and tools explain. The
    /// allowance rises at once and never falls.
    pub fn raise(&mut self, model: &str, seen: u64) {
        let known = self.0.entry(model.to_owned()).or_default();
        *known = seen.max(*known);
    }

    /// The most that was seen, by model, to be kept over a restart by raising it again.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.0.iter().map(|(model, seen)| (model.as_str(), *seen))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(seen: &[u64], allowed: u64) {
        let mut overheads = Overheads::default();
        for seen in seen {
            overheads.raise("m", *seen);
        }
        assert_eq!(overheads.of("m"), allowed, "{seen:?}");
        assert_eq!(overheads.of("another"), Overheads::FLOOR);
    }

    #[test]
    fn the_allowance_is_a_quarter_above_the_most_that_was_seen() {
        check(&[], 1_024);
        check(&[10], 1_024);
        check(&[2_000], 2_500);
        check(&[2_001, 7], 2_502);
        check(&[u64::MAX], u64::MAX);
    }
}
