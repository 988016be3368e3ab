//! Which calls go at which pace, as a config or a key says it.

use almoner_units::{LabelName, Labels, counts};

/// How much may go in a minute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    /// Requests, from 1 on.
    pub rpm: Option<u64>,
    /// Tokens, from 1 on.
    pub tpm: Option<u64>,
}

impl Rates {
    /// Whether anything may go, however much.
    #[must_use]
    pub const fn is_free(&self) -> bool {
        self.rpm.is_none() && self.tpm.is_none()
    }

    /// Half of each, rounded up.
    #[must_use]
    pub fn half(&self) -> Self {
        let half = |rate: u64| rate.div_ceil(2);
        Self { rpm: self.rpm.map(half), tpm: self.tpm.map(half) }
    }
}

impl std::fmt::Display for Rates {
    /// `50 requests/min, 40000 tokens/min`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.rpm, self.tpm) {
            (None, None) => f.write_str("no limit"),
            (Some(rpm), None) => write!(f, "{rpm} requests/min"),
            (None, Some(tpm)) => write!(f, "{tpm} tokens/min"),
            (Some(rpm), Some(tpm)) => write!(f, "{rpm} requests/min, {tpm} tokens/min"),
        }
    }
}

/// What stands for the value of a label that a call does not have.
const NONE: &str = "none";

/// A value of a label in the name of a pace: in quotes where it could be taken for something else.
fn shown(value: &str) -> String {
    let is_plain = value != NONE && !value.contains(['"', ',', '=', '[', ']']);
    if is_plain { value.to_owned() } else { format!("{value:?}") }
}

/// A pace for some calls, or for each of some groups of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaceRule {
    /// What it is called.
    pub name: String,
    /// The labels that its calls have, each with its value.
    pub filter: Vec<(LabelName, String)>,
    /// The labels by each combination of whose values it is another pace.
    pub per: Vec<LabelName>,
    /// How much may go in a minute.
    pub rates: Rates,
    /// Whether it follows what its provider says of itself, downwards and no further up than it says.
    pub adaptive: bool,
}

impl PaceRule {
    /// The name of the pace at which a call with these labels goes by this rule: `each agent [agent=claude]`. No two
    /// paces of a rule have one name.
    pub(super) fn pace_of(&self, labels: &Labels) -> Option<String> {
        if !counts(&self.filter, labels) {
            return None;
        }
        let value = |name: &LabelName| labels.get(name).map_or_else(|| NONE.to_owned(), |value| shown(value.as_str()));
        let per: Vec<String> = self.per.iter().map(|name| format!("{name}={}", value(name))).collect();
        Some(if per.is_empty() { self.name.clone() } else { format!("{} [{}]", self.name, per.join(", ")) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_paces_have_one_name() {
        let per = vec!["agent".parse().unwrap(), "user".parse().unwrap()];
        let rule = PaceRule { name: "p".into(), filter: Vec::new(), per, rates: Rates::default(), adaptive: false };
        let name = |pairs: &[(&str, &str)]| {
            let labels = pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
            rule.pace_of(&labels).unwrap()
        };
        let table: [(&[(&str, &str)], &str); 6] = [
            (&[("agent", "a b"), ("user", "c")], "p [agent=a b, user=c]"),
            (&[("agent", "a")], "p [agent=a, user=none]"),
            (&[("agent", "a"), ("user", "none")], "p [agent=a, user=\"none\"]"),
            (&[("agent", "a, user=b"), ("user", "c")], "p [agent=\"a, user=b\", user=c]"),
            (&[("agent", "a"), ("user", "b, user=c")], "p [agent=a, user=\"b, user=c\"]"),
            (&[("agent", "\"a\""), ("user", "c")], "p [agent=\"\\\"a\\\"\", user=c]"),
        ];
        for (labels, expected) in table {
            assert_eq!(name(labels), expected);
        }
    }
}
