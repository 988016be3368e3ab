//! A conversation of plain text and nothing else: what can be counted here, because its hidden form is published.

use std::borrow::Cow;

use almoner_policy::{Message, count_chat};

use super::members::{Member, Members, sorted};
use crate::body::{Document, Object, Value};

/// One message of plain text.
struct Spoken<'d> {
    role: Cow<'d, str>,
    text: Cow<'d, str>,
    name: Option<Cow<'d, str>>,
}

impl Spoken<'_> {
    fn message(&self) -> Message<'_> {
        Message { role: &self.role, text: &self.text, name: self.name.as_deref() }
    }
}

/// Whether the input of a body is messages of plain text, and nothing else that a model reads.
pub(super) fn is_plain(root: &Object<'_>, known: &Members) -> bool {
    let says_nothing_else = sorted(root, known).all(|(name, _, member)| match member {
        Some(Member::Setting | Member::Neutral) => true,
        Some(Member::Text) => name == "messages",
        Some(Member::Json) | None => false,
    });
    says_nothing_else && root.told("messages").is_some_and(|messages| messages.items().all(|one| spoken(one).is_some()))
}

/// The tokens of a chat body of plain text; `None` where it is none, its model's vocabulary is not published, or when
/// told to stop.
pub(crate) fn count_plain(model: &str, body: &[u8], keep_going: &mut dyn FnMut() -> bool) -> Option<u64> {
    let document = Document::read(body).ok()?;
    let root = document.root().ok()?;
    let spoken = root.told("messages")?.items().map(spoken).collect::<Option<Vec<_>>>()?;
    let messages: Vec<Message<'_>> = spoken.iter().map(Spoken::message).collect();
    count_chat(model, &messages, keep_going)
}

/// A message with a role, a text and perhaps a name; `None` where it says anything else.
fn spoken(message: Value<'_>) -> Option<Spoken<'_>> {
    let message = message.object("messages[]").ok()?;
    let is_known = |name: &str| ["role", "content", "name"].contains(&name);
    if message.iter().any(|(name, value)| !is_known(name) && !value.is_null()) {
        return None;
    }
    let name = match message.told("name") {
        Some(name) => Some(name.text()?),
        None => None,
    };
    Some(Spoken { role: message.told("role")?.text()?, text: message.told("content")?.text()?, name })
}

#[cfg(test)]
mod plain_tests {
    use super::*;

    fn count(more: &str) -> Option<u64> {
        let body = format!("{{\"model\":\"gpt-4o\",\"messages\":[{{\"role\":\"user\",\"content\":\"hello\"}}{more}]}}");
        count_plain("gpt-4o", body.as_bytes(), &mut || true)
    }

    #[test]
    fn plain_text_is_counted_and_nothing_else() {
        assert_eq!(count(""), Some(8));
        assert_eq!(count(r#",{"role":"assistant","content":"hello","name":null,"refusal":null}"#), Some(13));
        for other in [
            r#",{"role":"user","content":[{"type":"text","text":"hello"}]}"#,
            r#",{"role":"assistant","content":null,"tool_calls":[]}"#,
            r#",{"role":"assistant","content":"hello","tool_calls":[]}"#,
            r#",{"role":"user","content":"hello","name":7}"#,
            r#","hello""#,
        ] {
            assert_eq!(count(other), None, "{other}");
        }
    }

    #[test]
    fn a_count_stops_when_it_is_told_to() {
        let body = br#"{"model":"gpt-4o","messages":[{"role":"user","content":"hello"}]}"#;
        assert_eq!(count_plain("gpt-4o", body, &mut || false), None);
    }
}
