//! The body of a counting call: the members of a message that decide its input, and no others, because the provider
//! refuses those that it does not count.

use hyper::body::Bytes;

use crate::body::{BadBody, Document};

/// What Anthropic's counting call takes.
const COUNTED: [&str; 10] = [
    "model",
    "messages",
    "system",
    "tools",
    "tool_choice",
    "thinking",
    "mcp_servers",
    "context_management",
    // The schema of a structured answer is input too.
    "output_config",
    "output_format",
];

/// What OpenAI's takes of a response.
const COUNTED_OF_RESPONSES: [&str; 12] = [
    "model",
    "input",
    "instructions",
    "conversation",
    "parallel_tool_calls",
    "personality",
    "previous_response_id",
    "reasoning",
    "text",
    "tool_choice",
    "tools",
    "truncation",
];

/// The body that asks how many tokens of input this message has.
///
/// # Errors
/// [`BadBody`] where the body is no JSON object.
pub(crate) fn counting_body(body: &[u8], _: &str) -> Result<Bytes, BadBody> {
    only(&COUNTED, body)
}

/// The body that asks how many tokens of input this response reads.
///
/// # Errors
/// [`BadBody`] where the body is no JSON object.
pub(crate) fn counting_body_of_responses(body: &[u8], _: &str) -> Result<Bytes, BadBody> {
    only(&COUNTED_OF_RESPONSES, body)
}

fn only(names: &[&str], body: &[u8]) -> Result<Bytes, BadBody> {
    let document = Document::read(body)?;
    let root = document.root()?;
    let counted = root.iter().filter(|(name, _)| names.contains(name));
    let members: Vec<String> = counted.map(|(name, value)| format!("\"{name}\":{}", value.raw())).collect();
    Ok(format!("{{{}}}", members.join(",")).into())
}

#[cfg(test)]
mod count_tests {
    use super::*;

    #[test]
    fn of_a_response_too() {
        let body = br#"{"model":"m","max_output_tokens":5,"input":"hi","client_metadata":{},"tools":[]}"#;
        assert_eq!(counting_body_of_responses(body, "m").unwrap(), r#"{"model":"m","input":"hi","tools":[]}"#);
    }

    #[test]
    fn only_what_is_counted_is_asked_about() {
        let body = br#"{"model":"m", "max_tokens": 5, "stream":true,"messages":[{"role": "user"}],"metadata":{}}"#;
        assert_eq!(counting_body(body, "m").unwrap(), r#"{"model":"m","messages":[{"role": "user"}]}"#);
        let body = br#"{"model":"m","output_config":{"format":{"type":"json_schema"}},"max_tokens":5}"#;
        assert_eq!(
            counting_body(body, "m").unwrap(),
            r#"{"model":"m","output_config":{"format":{"type":"json_schema"}}}"#
        );
    }
}
