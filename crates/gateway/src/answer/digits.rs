//! Amounts that no client takes for a status.
//!
//! opencode sends a call again where the text of an error, or any of its body, has the digits of such a status in it,
//! be they part of an amount, a name or a date: to it, a limit of `$500.00` is a provider that is down. So in an answer
//! that is to end it, those digits never stand side by side.

use serde_json::Value;

/// What is looked for, anywhere in a text.
const STATUSES: [&str; 6] = ["429", "500", "502", "503", "504", "524"];

/// How the command begins that a sentence ends with.
const COMMAND: &str = "`almoner budgets set ";

/// A sentence for a person: `$500.00` becomes `$5_00.00`. In its command stands `''` instead, which is nothing to a
/// shell, within quotes and without, so that it can be typed as it is.
pub(super) fn apart(sentence: &str) -> String {
    let (words, command) = sentence.split_at(sentence.rfind(COMMAND).unwrap_or(sentence.len()));
    seconds(words, |digit| format!("_{digit}")) + &seconds(command, |digit| format!("''{digit}"))
}

/// An object for programs, in its bytes: a digit is written by its number, which every reader of JSON reads as that
/// digit. It must stand in a text, as [`texts`] makes it.
pub(super) fn escaped(json: &str) -> String {
    seconds(json, |digit| format!("\\u{:04x}", u32::from(digit)))
}

/// Facts with each amount as a text: a number has no other way to be written that every reader takes for whole.
pub(super) fn texts(mut facts: Value) -> Value {
    for fact in facts.as_object_mut().into_iter().flat_map(serde_json::Map::values_mut).filter(|fact| fact.is_number())
    {
        *fact = fact.to_string().into();
    }
    facts
}

/// A text with the second digit of each status written in another way.
fn seconds(text: &str, write: impl Fn(char) -> String) -> String {
    let mut written = String::with_capacity(text.len());
    for (at, c) in text.char_indices() {
        let is_second = at.checked_sub(1).and_then(|first| text.get(first..first + 3));
        match is_second {
            Some(three) if STATUSES.contains(&three) => written.push_str(&write(c)),
            _ => written.push(c),
        }
    }
    written
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn has_a_status(text: &str) -> bool {
        STATUSES.iter().any(|status| text.contains(status))
    }

    #[test]
    fn the_digits_stand_apart_and_the_command_can_be_typed() {
        let sentence = "budget `cap-500` has $0.125 left of $1500.00 / day. Raise it with \
                        `almoner budgets set cap-500 '$5000.00 / day'`.";
        assert_eq!(
            apart(sentence),
            "budget `cap-5_00` has $0.125 left of $15_00.00 / day. Raise it with \
             `almoner budgets set cap-5''00 '$5''000.00 / day'`."
        );
    }

    #[test]
    fn a_number_is_a_text_and_reads_as_it_was() {
        let body =
            escaped(&texts(json!({ "asked": 153_975_000, "limit": 7, "level": "none", "at": null })).to_string());
        assert_eq!(body, r#"{"asked":"153975\u003000","at":null,"level":"none","limit":"7"}"#);
    }

    proptest! {
        #[test]
        fn no_text_has_a_status_left(text in "[0-9\u{1}-\u{1f}a-f.\\\\\"]{0,40}") {
            let body = escaped(&json!({ "text": text }).to_string());
            prop_assert!(!has_a_status(&body) && !has_a_status(&apart(&text)), "{}", body);
            prop_assert_eq!(serde_json::from_str::<Value>(&body).unwrap(), json!({ "text": text }));
            prop_assert_eq!(apart(&text).replace('_', ""), text);
        }
    }
}
