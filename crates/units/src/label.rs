//! Labels: the attributes of a call by which budgets choose and divide.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The names a label may have, beside `tag.*`.
const NAMES: [&str; 13] = [
    "key",
    "team",
    "user",
    "session",
    "task",
    "command",
    "agent",
    "subagent",
    "provider",
    "model",
    "task_type",
    "complexity",
    "priority",
];

/// The name of a label: one of the thirteen, or `tag.` and a word.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LabelName(Arc<str>);

impl LabelName {
    /// Every name that is not a tag.
    pub const KNOWN: [&'static str; 13] = NAMES;

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A text that can be neither the name nor the value of a label.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LabelError {
    /// The name is not known.
    #[error("`{}` is no label; labels are {}, and tag.NAME for your own", .0.escape_debug(), NAMES.join(", "))]
    UnknownName(String),
    /// The value is empty, too long or has control characters.
    #[error("`{}` can be no label's value: it must be 1 to 128 characters without control characters", .0.escape_debug())]
    BadValue(String),
}

impl FromStr for LabelName {
    type Err = LabelError;

    fn from_str(text: &str) -> Result<Self, LabelError> {
        let is_tag = text.strip_prefix("tag.").is_some_and(is_word);
        if is_tag || NAMES.contains(&text) {
            return Ok(Self(text.into()));
        }
        Err(LabelError::UnknownName(text.chars().take(128).collect()))
    }
}

fn is_word(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

impl fmt::Display for LabelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// The value of a label: 1 to 128 characters, none of them a control character.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LabelValue(Arc<str>);

impl LabelValue {
    /// What a call without the label has, so that a missing label never skips a budget.
    #[must_use]
    pub fn none() -> Self {
        Self("none".into())
    }

    /// What a call has whose own value is one too many to be counted apart.
    #[must_use]
    pub fn overflow() -> Self {
        Self("overflow".into())
    }

    /// The value as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for LabelValue {
    type Err = LabelError;

    fn from_str(text: &str) -> Result<Self, LabelError> {
        if text.is_empty() || text.chars().count() > 128 || text.chars().any(char::is_control) {
            return Err(LabelError::BadValue(text.chars().take(128).collect()));
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for LabelValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// The labels of one call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels(BTreeMap<LabelName, LabelValue>);

impl Labels {
    /// No labels.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a label; the last value wins.
    pub fn set(&mut self, name: LabelName, value: LabelValue) {
        self.0.insert(name, value);
    }

    /// The value of a label, if the call has it.
    #[must_use]
    pub fn get(&self, name: &LabelName) -> Option<&LabelValue> {
        self.0.get(name)
    }

    /// The value of the label with this name, if the call has it.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&LabelValue> {
        self.0.iter().find(|(known, _)| known.as_str() == name).map(|(_, value)| value)
    }

    /// Every label, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&LabelName, &LabelValue)> {
        self.0.iter()
    }
}

impl FromIterator<(LabelName, LabelValue)> for Labels {
    fn from_iter<I: IntoIterator<Item = (LabelName, LabelValue)>>(labels: I) -> Self {
        Self(labels.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_names_and_tags_are_labels() {
        for good in ["session", "task_type", "tag.team-a"] {
            assert!(good.parse::<LabelName>().is_ok(), "{good}");
        }
        for bad in ["", "sesion", "tag.", "tag.a b", "Session"] {
            assert!(bad.parse::<LabelName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_value_cannot_carry_control_bytes() {
        assert!("worker_1".parse::<LabelValue>().is_ok());
        for bad in ["", "a\r\nx-evil: 1", "\u{1b}[2J", &"x".repeat(129)] {
            assert!(bad.parse::<LabelValue>().is_err(), "{bad:?}");
        }
    }
}
