//! What a body weighs: its text, its tools, its media, and what it only points to.

use super::*;

#[test]
fn text_counts_without_its_escapes_and_grown_as_nfkc_grows_it() {
    let bytes = |content: &str| {
        let shape = call(ANTHROPIC, &format!(r#"{{"model":"m","messages":[{{"content":"{content}"}}]}}"#)).shape;
        (shape.text_bytes, shape.text_bytes_nfkc)
    };
    let (empty, _) = bytes("");
    assert_eq!(bytes("abc"), (empty + 3, empty + 3));
    assert_eq!(bytes("\\n\\u0041"), (empty + 2, empty + 2));
    assert_eq!(bytes("\u{fdfa}"), (empty + 3, empty + 33));
    assert_eq!(bytes("\\ufdfa"), (empty + 3, empty + 33));
}

#[test]
fn tools_count_as_they_stand_and_no_less() {
    let bytes = |more: &str| call(CHAT, &ask(more)).shape.text_bytes;
    let schema = r#"{"type":"function","function":{"name":"f","parameters":{"a":"\n"}}}"#;
    let tools = format!("[{schema}]");
    assert!(bytes(&format!(",\"tools\":{tools}")) - bytes("") > u64::try_from(tools.len()).unwrap());
    assert!(bytes(&format!(",\"response_format\":{schema}")) - bytes("") > u64::try_from(schema.len()).unwrap());
    assert_eq!(bytes(r#","stop":["a very long sequence"],"temperature":1"#), bytes(""));
}

#[test]
fn media_count_by_the_piece() {
    let content = |endpoint: &'static Endpoint, content: &Json| {
        let body = json!({ "model": "m", "messages": [{ "role": "user", "content": content }] });
        call(endpoint, &body.to_string()).shape
    };
    let data = "A".repeat(100_000);
    let image = json!([{ "type": "image", "source": { "type": "base64", "media_type": "image/png", "data": data } }]);
    let shape = content(ANTHROPIC, &image);
    assert_eq!((shape.images, shape.opaque.len()), (1, 0));
    assert!(shape.text_bytes < 300, "{}", shape.text_bytes);
    // In the result of a tool as well.
    let result = json!([{ "type": "tool_result", "tool_use_id": "t", "content": image }]);
    assert_eq!(content(ANTHROPIC, &result).images, 1);
    let pdf =
        json!([{ "type": "document", "source": { "type": "base64", "media_type": "application/pdf", "data": data } }]);
    let shape = content(ANTHROPIC, &pdf);
    assert_eq!(shape.documents, 1);
    assert!(shape.text_bytes < 300);
    // What says that it is media and is text counts as both.
    let odd = json!([{ "type": "document", "source": { "type": "base64", "media_type": "text/plain", "data": data } }]);
    assert!(content(ANTHROPIC, &odd).text_bytes > 100_000);
    let text = json!([{ "type": "document", "source": { "type": "text", "media_type": "text/plain", "data": data } }]);
    let shape = content(ANTHROPIC, &text);
    assert_eq!(shape.documents, 0);
    assert!(shape.text_bytes > 100_000);

    let chat = json!([
        { "type": "image_url", "image_url": { "url": format!("data:image/png;base64,{data}") } },
        { "type": "input_audio", "input_audio": { "data": data, "format": "wav" } },
        { "type": "file", "file": { "file_data": data, "filename": "a.pdf" } },
    ]);
    let shape = content(CHAT, &chat);
    assert_eq!((shape.images, shape.sounds, shape.documents, shape.opaque.len()), (1, 1, 1, 0));
    assert!(shape.text_bytes < 500, "{}", shape.text_bytes);
}

#[test]
fn what_is_not_in_the_body_is_opaque() {
    let opaque = |endpoint: &'static Endpoint, content: &str| {
        call(endpoint, &format!(r#"{{"model":"m","messages":[{{"role":"user","content":[{content}]}}]}}"#)).shape.opaque
    };
    assert_eq!(opaque(ANTHROPIC, r#"{"type":"image","source":{"type":"url","url":"https://x"}}"#), ["a URL"]);
    assert_eq!(opaque(ANTHROPIC, r#"{"type":"document","source":{"type":"file","file_id":"f"}}"#), ["a file id"]);
    assert_eq!(opaque(ANTHROPIC, r#"{"type":"container_upload","file_id":"f"}"#), ["a file in the container"]);
    assert_eq!(opaque(ANTHROPIC, r#"{"type":"hologram","file_id":"f"}"#), ["content of an unknown type"]);
    assert_eq!(opaque(ANTHROPIC, r#"{"type":"whisper","text":"f"}"#), Vec::<String>::new());
    assert_eq!(opaque(CHAT, r#"{"type":"image_url","image_url":{"url":"https://x"}}"#), ["a URL"]);
    assert_eq!(opaque(CHAT, r#"{"type":"image_url","image_url":"https://x"}"#), ["a URL"]);
    assert_eq!(opaque(CHAT, r#"{"type":"file","file":{"file_id":"f"}}"#), ["a file id"]);
    assert_eq!(opaque(CHAT, r#"{"type":"video_url","video_url":{"url":"x"}}"#), ["content of an unknown type"]);
}
