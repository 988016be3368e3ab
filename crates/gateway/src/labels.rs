//! The labels of a call: from its key, from our own headers, and from what clients send anyway.
//!
//! A client can narrow itself by headers; it can never leave the budgets of its key, because what the key says wins.

use almoner_units::{LabelName, LabelValue, Labels, Priority};
use hyper::HeaderMap;

use crate::port::KeyFacts;

/// Headers that set a label, ours first; the first that is there counts.
const HEADERS: [(&str, &str); 9] = [
    ("session", "x-almoner-session"),
    ("session", "x-claude-code-session-id"),
    ("session", "session_id"),
    ("session", "session-id"),
    ("session", "x-session-id"),
    ("task", "x-almoner-task"),
    ("command", "x-almoner-command"),
    ("agent", "x-almoner-agent"),
    ("subagent", "x-claude-code-agent-id"),
];

/// What a call says about itself in its body.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Said<'a> {
    pub(crate) session: Option<&'a str>,
    pub(crate) provider: &'a str,
    pub(crate) model: &'a str,
}

/// The labels and the priority of a call. A header whose value cannot be a label is left out, and
/// so is never shown; [`crate::heed`] tells of it.
pub(crate) fn labels(headers: &HeaderMap, key: &KeyFacts, said: Said<'_>) -> (Labels, Priority) {
    let mut labels = Labels::new();
    put(&mut labels, "session", said.session);
    for (label, header) in HEADERS.iter().rev() {
        put(&mut labels, label, text(headers, header));
    }
    if let Some(thread) = text(headers, "thread-id").filter(|thread| is_aside(headers, thread)) {
        put(&mut labels, "subagent", Some(thread));
    }
    put(&mut labels, "task_type", text(headers, "x-almoner-task-type"));
    text(headers, "x-almoner-tags").into_iter().flat_map(tags).for_each(|(name, value)| {
        put(&mut labels, &format!("tag.{name}"), Some(value));
    });
    let priority = priority(headers, key);
    put(&mut labels, "priority", Some(priority.name()));
    put(&mut labels, "provider", Some(said.provider));
    put(&mut labels, "model", Some(said.model));
    for (name, value) in key.labels.iter() {
        labels.set(name.clone(), value.clone());
    }
    (labels, priority)
}

/// Whether a thread of Codex is a subagent's: the one that a session began with has the session's own name.
fn is_aside(headers: &HeaderMap, thread: &str) -> bool {
    ["session-id", "session_id"].iter().find_map(|name| text(headers, name)).is_some_and(|session| session != thread)
}

/// What the client asks for, but never more than its key allows.
fn priority(headers: &HeaderMap, key: &KeyFacts) -> Priority {
    let asked = text(headers, "x-almoner-priority").and_then(|word| word.parse().ok());
    asked.unwrap_or(Priority::Normal).min(key.priority_max)
}

/// `a=1, b=2`.
pub(crate) fn tags(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.split(',').filter_map(|tag| tag.split_once('=')).map(|(name, value)| (name.trim(), value.trim()))
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn put(labels: &mut Labels, name: &str, value: Option<&str>) {
    let Some(value) = value else { return };
    if let (Ok(name), Ok(value)) = (name.parse::<LabelName>(), value.parse::<LabelValue>()) {
        labels.set(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(headers: &[(&'static str, &'static str)], key: &KeyFacts) -> (Vec<String>, Priority) {
        let headers: HeaderMap =
            headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        let (labels, priority) =
            labels(&headers, key, Said { session: Some("body"), provider: "anthropic", model: "claude" });
        let shown = labels.iter().filter(|(name, _)| !["provider", "model", "priority"].contains(&name.as_str()));
        (shown.map(|(name, value)| format!("{name}={value}")).collect(), priority)
    }

    #[test]
    fn the_most_deliberate_source_of_a_label_wins() {
        let anyone = KeyFacts::anyone();
        assert_eq!(check(&[], &anyone).0, ["session=body"]);
        assert_eq!(check(&[("x-claude-code-session-id", "cc")], &anyone).0, ["session=cc"]);
        let both = [("x-claude-code-session-id", "cc"), ("x-almoner-session", "mine"), ("x-almoner-tags", "a=1, b=2")];
        assert_eq!(check(&both, &anyone).0, ["session=mine", "tag.a=1", "tag.b=2"]);
        let work = [("x-almoner-task", "t"), ("x-almoner-command", "/fix"), ("x-almoner-task-type", "testing")];
        assert_eq!(check(&work, &anyone).0, ["command=/fix", "session=body", "task=t", "task_type=testing"]);
    }

    #[test]
    fn a_thread_of_codex_is_a_subagent_unless_it_is_the_sessions_own() {
        let anyone = KeyFacts::anyone();
        assert_eq!(check(&[("session-id", "s"), ("thread-id", "s")], &anyone).0, ["session=s"]);
        assert_eq!(check(&[("session-id", "s"), ("thread-id", "t")], &anyone).0, ["session=s", "subagent=t"]);
        assert_eq!(check(&[("session_id", "s"), ("thread-id", "t")], &anyone).0, ["session=s", "subagent=t"]);
        assert_eq!(check(&[("thread-id", "t")], &anyone).0, ["session=body"]);
    }

    #[test]
    fn a_header_never_changes_what_the_key_says() {
        let mut key = KeyFacts::anyone();
        key.labels.set("session".parse().unwrap(), "fixed".parse().unwrap());
        assert_eq!(check(&[("x-almoner-session", "other")], &key).0, ["session=fixed"]);
    }

    #[test]
    fn priority_is_lowered_by_a_header_and_never_raised() {
        let anyone = KeyFacts::anyone();
        assert_eq!(check(&[], &anyone).1, Priority::Normal);
        assert_eq!(check(&[("x-almoner-priority", "low")], &anyone).1, Priority::Low);
        assert_eq!(check(&[("x-almoner-priority", "critical")], &anyone).1, Priority::High);
        assert_eq!(check(&[("x-almoner-priority", "urgent!")], &anyone).1, Priority::Normal);
    }
}
