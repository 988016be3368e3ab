//! How much of the hour and the day is used, for each session and for all of them together.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Number, Value};

/// The numbers of one session, or of all calls.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThrottleNumbers {
    /// Tokens of the hour.
    pub tokens_hour: u64,
    /// Tokens of the day.
    pub tokens_day: u64,
    /// Cost of the hour, in nano-dollars.
    pub cost_hour_nano: u64,
    /// Cost of the day, in nano-dollars.
    pub cost_day_nano: u64,
    /// `NONE`, `WARNING`, `SOFT`, `HARD` or `CRITICAL`.
    pub throttle_level: String,
}

/// The numbers of all calls, and of each session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThrottleStats {
    /// Those of all calls.
    pub global: ThrottleNumbers,
    /// Those of each session, by its name.
    pub sessions: BTreeMap<String, ThrottleNumbers>,
    /// Whether there are more sessions than are listed; those that used the most of the day are.
    pub is_cut: bool,
}

impl ThrottleNumbers {
    /// The members `tokens_hour`, `tokens_day`, `cost_hour`, `cost_day` and `throttle_level`, with costs as numbers in
    /// dollars.
    #[must_use]
    pub fn in_dollars(&self) -> Value {
        let members = [
            ("tokens_hour", self.tokens_hour.into()),
            ("tokens_day", self.tokens_day.into()),
            ("cost_hour", dollars(self.cost_hour_nano)),
            ("cost_day", dollars(self.cost_day_nano)),
            ("throttle_level", self.throttle_level.as_str().into()),
        ];
        members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<Map<_, _>>().into()
    }
}

impl ThrottleStats {
    /// `{"global": {…}, "sessions": {"NAME": {…}}}`, each with costs as numbers in dollars.
    #[must_use]
    pub fn in_dollars(&self) -> Value {
        let sessions: Map<_, _> = self.sessions.iter().map(|(name, of)| (name.clone(), of.in_dollars())).collect();
        serde_json::json!({ "global": self.global.in_dollars(), "sessions": sessions })
    }
}

/// Nano-dollars as a number in dollars. The sum is whole; a number of JSON has room for fifteen digits of it, so that
/// less than a million dollars is told to the last nano-dollar.
fn dollars(nano: u64) -> Value {
    let text = format!("{}.{:09}", nano / 1_000_000_000, nano % 1_000_000_000);
    let text = text.trim_end_matches('0');
    let whole = text.strip_suffix('.');
    whole.unwrap_or(text).parse::<Number>().map_or(Value::Null, Value::Number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cost_is_told_in_dollars_to_the_last_nano_dollar() {
        for (nano, text) in [
            (0, "0"),
            (1, "1e-9"),
            (5_000_000_000, "5"),
            (1_500_000_000, "1.5"),
            (30_000, "0.00003"),
            (999_999_999_999_999, "999999.999999999"),
        ] {
            let told = dollars(nano);
            let same: f64 = text.parse().unwrap();
            assert_eq!(told.as_f64(), Some(same), "{told}");
            assert!(told.is_number());
        }
        assert_eq!(dollars(999_999_999_999_999).to_string(), "999999.999999999");
    }

    #[test]
    fn the_members_are_those_that_were_asked_for() {
        let of = |level: &str| ThrottleNumbers {
            tokens_hour: 7,
            tokens_day: 8,
            cost_hour_nano: 1_250_000_000,
            cost_day_nano: 2_000_000_000,
            throttle_level: level.to_owned(),
        };
        let sessions = [("global".to_owned(), of("SOFT"))].into_iter().collect();
        let stats = ThrottleStats { global: of("NONE"), sessions, is_cut: false };
        let member = |level| {
            serde_json::json!({
                "tokens_hour": 7, "tokens_day": 8, "cost_hour": 1.25, "cost_day": 2, "throttle_level": level
            })
        };
        // A session may be called as it likes.
        let expected = serde_json::json!({ "global": member("NONE"), "sessions": { "global": member("SOFT") } });
        assert_eq!(stats.in_dollars(), expected);
    }
}
