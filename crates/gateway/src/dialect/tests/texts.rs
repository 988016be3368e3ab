//! Requests without a conversation: embeddings, and texts that go on.

use super::*;

#[test]
fn embeddings_read_each_input_and_write_nothing() {
    let read = |input: &str| {
        let body = format!(r#"{{"model":"m","input":{input},"encoding_format":"base64","dimensions":256}}"#);
        let call = call(EMBEDDINGS, &body);
        assert_eq!((call.asked_output, call.shape.max_output), (Some(0), Some(0)));
        assert!(call.shape.unknown.is_empty());
        assert_eq!(call.rewrite(&Bytes::from(body.clone()), 9), body, "nothing is written into it");
        (call.shape.inputs, call.shape.text_bytes, call.shape.opaque.len())
    };
    assert_eq!(read(r#""hello""#), (1, 7, 0));
    assert_eq!(read(r#"["hello","you"]"#), (2, 12, 0));
    assert_eq!(read("[100257,17,4]"), (1, 3, 0));
    assert_eq!(read("[[100257,17],[4]]"), (2, 3, 0));
    // What an input is for is told to the model in words of the server's own, with each.
    assert_eq!(read(r#"["hello","you"],"input_type":"query""#), (2, 12 + 2 * 64, 0));
    assert_eq!(read(r#"[{"image":"x"}]"#), (1, 0, 1));
    assert_eq!(read("[]"), (0, 0, 0));
    let wrong = "`input` must be a text, an array of texts, or an array of tokens";
    for body in [r#"{"model":"m"}"#, r#"{"model":"m","input":[["x"]]}"#, r#"{"model":"m","input":[[1.5]]}"#] {
        refused(EMBEDDINGS, body, wrong);
    }
}

#[test]
fn a_text_that_goes_on_is_paid_for_each_prompt_and_each_try() {
    let read = |more: &str| call(TEXTS, &format!(r#"{{"model":"m"{more}}}"#));
    let rewritten = |more: &str, expected: &str| {
        let body = format!(r#"{{"model":"m"{more}}}"#);
        let sent = call(TEXTS, &body).rewrite(&Bytes::from(body), 100);
        assert_eq!(String::from_utf8_lossy(&sent), format!(r#"{{"model":"m"{expected}}}"#));
    };
    let shape = read(r#","prompt":["a","b","c"],"n":2,"best_of":4,"suffix":"end","logprobs":5"#).shape;
    assert_eq!((shape.choices, shape.inputs, shape.max_output), (12, 3, Some(16)));
    assert!(shape.unknown.is_empty() && shape.text_bytes == 24, "{shape:?}");
    let shape = read(r#","prompt":[1,2,3]"#).shape;
    assert_eq!((shape.choices, shape.inputs, shape.text_bytes), (1, 1, 3));
    let echoed = |more: &str| read(&format!(r#","prompt":"hello","echo":true{more}"#)).shape.output_beyond_cap;
    assert_eq!((echoed(""), echoed(r#","n":3"#), echoed(r#","n":2,"best_of":5"#)), (7, 21, 35));
    // `"end"` is read with each of the three prompts.
    assert_eq!(read(r#","prompt":["a","b","c"],"suffix":"end""#).shape.text_bytes, 3 * 3 + 3 * 5);
    assert_eq!(read("").asked_output, Some(16));
    rewritten(r#","prompt":"a""#, r#","prompt":"a","max_tokens":16"#);
    rewritten(r#","prompt":"a","max_tokens":900"#, r#","prompt":"a","max_tokens":100"#);
    rewritten(r#","prompt":"a","n_predict":900,"max_tokens":50"#, r#","prompt":"a","max_tokens":50"#);
    rewritten(
        r#","prompt":"a","max_tokens":9,"stream":true"#,
        r#","prompt":"a","max_tokens":9,"stream":true,"stream_options":{"include_usage":true}"#,
    );
    refused(TEXTS, r#"{"model":"m","prompt":"a","n":0}"#, "`n` must be at least 1");
    refused(
        TEXTS,
        r#"{"model":"m","prompt":"a","max_tokens":-1}"#,
        "`max_tokens` must be a whole number, 0 or more, written in digits alone",
    );
}
