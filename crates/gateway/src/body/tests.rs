//! Bodies as strangers send them, and changes that must leave the rest alone.

use hyper::body::Bytes;
use proptest::prelude::*;

use super::*;

#[track_caller]
fn refused(body: &[u8], expected: &str) {
    let read = Document::read(body).and_then(|document| document.root().map(|_| ()));
    assert_eq!(read.unwrap_err().to_string(), expected, "{}", String::from_utf8_lossy(body));
}

#[track_caller]
fn spliced(body: &str, set: &[(&str, &str)], removed: &[&str], expected: &str) {
    let document = Document::read(body.as_bytes()).unwrap();
    let mut splice = Splice::new();
    let set: Vec<(&str, String)> = set.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    splice.object(&document.root().unwrap().layout(), &set, removed);
    let changed = splice.apply(&Bytes::copy_from_slice(body.as_bytes()));
    assert_eq!(String::from_utf8_lossy(&changed), expected, "{body}");
}

#[test]
fn what_is_no_object_is_refused_with_the_place() {
    refused(b"", "the body is not JSON: a value should stand at byte 0");
    refused(b"[]", "the body is not a JSON object; send one with at least `model` and `messages`");
    refused(b"{} {}", "the body is not JSON: nothing more should stand at byte 3");
    refused(b"{\"a\":1,}", "the body is not JSON: the name of a member should stand at byte 7");
    refused(b"{\"a\":[1,]}", "the body is not JSON: a value should stand at byte 8");
    refused(b"{\"a\" 1}", "the body is not JSON: a colon should stand at byte 5");
    refused(b"{'a':1}", "the body is not JSON: the name of a member should stand at byte 1");
    refused(b"{\"a\":01}", "the body is not JSON: a comma or the end of a list should stand at byte 6");
    refused(b"{\"a\":+1}", "the body is not JSON: a value should stand at byte 5");
    refused(b"{\"a\":1.}", "the body is not JSON: a digit should stand at byte 7");
    refused(b"{\"a\":NaN}", "the body is not JSON: a value should stand at byte 5");
    refused(b"{\"a\":nul}", "the body is not JSON: a value should stand at byte 5");
    refused(b"{\"a\":\"\n\"}", "the body is not JSON: no bare control character should stand at byte 6");
    refused(b"{\"a\":\"\\x\"}", "the body is not JSON: a known escape should stand at byte 7");
    refused(b"{\"a\":\"\\u12g4\"}", "the body is not JSON: four hexadecimal digits after \\u should stand at byte 7");
    refused(b"{\"a\":\"", "the body is not JSON: the end of a text should stand at byte 6");
    refused(b"{\"a\":/*x*/1}", "the body is not JSON: a value should stand at byte 5");
    refused(b"\xef\xbb\xbf{}", "the body is not JSON: a value should stand at byte 0");
    refused(b"{\"a\":\"\xff\"}", "the body is not UTF-8: byte 6 begins no character");
    refused(b"{\"a\":\"\xed\xa0\x80\"}", "the body is not UTF-8: byte 6 begins no character");
}

#[test]
fn depth_and_number_of_values_are_bounded() {
    let nested = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
    assert!(Document::read(nested(DEPTH_MAX - 1).as_bytes()).is_ok());
    refused(nested(DEPTH_MAX).as_bytes(), "the body nests more than 128 levels deep at byte 132");
    refused("[".repeat(10_000_000).as_bytes(), "the body nests more than 128 levels deep at byte 128");
    let many = format!("{{\"a\":[{}0]}}", "0,".repeat(VALUES_MAX));
    refused(many.as_bytes(), "the body has more than 1048576 values");
}

#[test]
fn a_member_means_one_thing() {
    refused(br#"{"n":1,"n":2}"#, "`n` stands twice in one object, the second time at byte 7; send it once");
    let escaped = br#"{"max_tokens":1,"max\u005ftokens":2}"#;
    refused(escaped, "`max_tokens` stands twice in one object, the second time at byte 16; send it once");
    let many: String = (0..40).map(|at| format!("\"m{at}\":1,")).collect();
    let last = format!("{{{many}\"m7\":2}}");
    assert!(Document::read(last.as_bytes()).unwrap().root().is_err());
}

#[test]
fn names_that_only_look_alike_are_other_members() {
    let body = "{\"max_tokens\":1,\"Max_Tokens\":2,\"max_tokens\\u0000\":3,\"max_tokens \":4,\"m\u{430}x_tokens\":5}";
    let document = Document::read(body.as_bytes()).unwrap();
    let root = document.root().unwrap();
    assert_eq!(root.get("max_tokens").and_then(Value::count), Some(1));
    assert_eq!(root.iter().count(), 5);
}

#[test]
fn texts_mean_what_their_escapes_say() {
    let read = |text: &str| {
        let body = format!("{{\"a\":{text}}}");
        let document = Document::read(body.as_bytes()).unwrap();
        document.root().unwrap().get("a").unwrap().text().map(std::borrow::Cow::into_owned)
    };
    assert_eq!(read(r#""plain""#).as_deref(), Some("plain"));
    assert_eq!(read(r#""a\n\t\"\\\/\b\f\r""#).as_deref(), Some("a\n\t\"\\/\u{8}\u{c}\r"));
    assert_eq!(read(r#""\u00e9\u4f60\ud83e\udd80!""#).as_deref(), Some("é你🦀!"));
    assert_eq!(read(r#""\ud83e""#).as_deref(), Some("\u{fffd}"));
    assert_eq!(read(r#""\ud83ex""#).as_deref(), Some("\u{fffd}x"));
    assert_eq!(read(r#""\ud83e\u0041""#).as_deref(), Some("\u{fffd}A"));
    assert_eq!(read(r#""\udd80\ud83e\udd80""#).as_deref(), Some("\u{fffd}🦀"));
    assert_eq!(read("1"), None);
}

#[test]
fn only_digits_are_a_count() {
    let read = |number: &str| {
        let body = format!("{{\"a\":{number}}}");
        Document::read(body.as_bytes()).unwrap().root().unwrap().get("a").unwrap().count()
    };
    assert_eq!(read("0"), Some(0));
    assert_eq!(read("18446744073709551615"), Some(u64::MAX));
    for other in ["18446744073709551616", "1e5", "1E5", "1.0", "-1", "-0", "\"1\"", "null", "true", "[1]"] {
        assert_eq!(read(other), None, "{other}");
    }
}

#[test]
fn a_change_leaves_every_other_byte_alone() {
    spliced(r#"{ "a" : 1 , "b":2}"#, &[("a", "9")], &[], r#"{ "a" : 9 , "b":2}"#);
    spliced(r#"{"a":1}"#, &[("b", "2")], &[], r#"{"a":1,"b":2}"#);
    spliced("{ }", &[("b", "2"), ("c", "3")], &[], "{\"b\":2,\"c\":3 }");
    spliced(r#"{"a":1, "b":2, "c":3}"#, &[], &["a"], r#"{"b":2, "c":3}"#);
    spliced(r#"{"a":1, "b":2, "c":3}"#, &[], &["b"], r#"{"a":1, "c":3}"#);
    spliced(r#"{"a":1, "b":2, "c":3}"#, &[], &["c"], r#"{"a":1, "b":2}"#);
    spliced(r#"{"a":1, "b":2, "c":3}"#, &[], &["a", "b"], r#"{"c":3}"#);
    spliced(r#"{"a":1, "b":2, "c":3}"#, &[], &["b", "c"], r#"{"a":1}"#);
    spliced(r#"{"a":1, "b":2, "c":3}"#, &[("d", "4")], &["a", "b", "c"], r#"{"d":4}"#);
    spliced(r#"{"a":1, "b":2, "c":3}"#, &[("b", "5"), ("d", "4")], &["a", "c"], r#"{"b":5,"d":4}"#);
    spliced(r#"{"a\u005f":1}"#, &[("a_", "2")], &[], r#"{"a\u005f":2}"#);
    spliced(r#"{"a":{"a":1}}"#, &[("a", "2")], &[], r#"{"a":2}"#);
}

#[test]
fn objects_inside_one_another_are_changed_together() {
    let body = Bytes::from_static(br#"{"o":{"x":1,"y":2},"a":3}"#);
    let document = Document::read(&body).unwrap();
    let root = document.root().unwrap();
    let inner = root.get("o").unwrap().object("o").unwrap();
    let mut splice = Splice::new();
    splice.object(&root.layout(), &[("b", "4".to_owned())], &["a"]);
    splice.object(&inner.layout(), &[("x", "9".to_owned()), ("z", "8".to_owned())], &["y"]);
    assert_eq!(splice.apply(&body), br#"{"o":{"x":9,"z":8},"b":4}"#.as_slice());
}

#[test]
fn no_change_is_the_same_bytes() {
    let body = Bytes::from_static(b"{\"a\":1}");
    assert_eq!(Splice::new().apply(&body).as_ptr(), body.as_ptr());
}

#[test]
fn values_are_found_by_name_wherever_they_stand() {
    let body = br#"{"m":[{"cache_control":{"ttl":"1h"}},{"k":[{"cache\u005fcontrol":null}]}],"x":"cache_control"}"#;
    let document = Document::read(body).unwrap();
    let root = document.root().unwrap();
    let found: Vec<&str> = root.value().values_named("cache_control").map(Value::raw).collect();
    assert_eq!(found, [r#"{"ttl":"1h"}"#, "null"]);
}

/// JSON as strangers might write it, with spaces and escapes of its own.
fn json() -> impl Strategy<Value = String> {
    let text = prop::collection::vec(
        prop_oneof![
            "[a-c_ ]{0,3}",
            Just("\\u005f".to_owned()),
            Just("\\n".to_owned()),
            Just("\\ud83e\\udd80".to_owned()),
            "\\PC{0,2}".prop_map(|text| text.replace(['"', '\\'], "")),
        ],
        0..4,
    )
    .prop_map(|parts| format!("\"{}\"", parts.concat()));
    let space = "[ \n\t]{0,2}";
    let leaf = prop_oneof![
        text.clone(),
        Just("null".to_owned()),
        Just("true".to_owned()),
        "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,3})?([eE][+-]?[0-9]{1,2})?",
    ];
    leaf.prop_recursive(4, 40, 5, move |inner| {
        let item = (space, inner.clone(), space).prop_map(|(before, item, after)| format!("{before}{item}{after}"));
        let member = (text.clone(), space, item.clone())
            .prop_map(|(name, before, value)| format!("{before}{name}{before}:{value}"));
        prop_oneof![
            prop::collection::vec(item, 0..5).prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::vec(member, 0..6).prop_map(|members| format!("{{{}}}", members.join(","))),
        ]
    })
}

proptest! {
    #[test]
    fn the_scanner_agrees_with_serde(text in json()) {
        let body = format!("{{\"a\":{text}}}");
        prop_assert!(Document::read(body.as_bytes()).is_ok(), "{}", body);
        let theirs = serde_json::from_str::<serde_json::Value>(&body);
        let is_too_large = theirs.as_ref().is_err_and(|error| error.to_string().contains("out of range"));
        prop_assert!(theirs.is_ok() || is_too_large, "{}", body);
    }

    #[test]
    fn damaged_json_is_judged_as_serde_judges_it(text in json(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut body = format!("{{\"a\":{text}}}").into_bytes();
        let at = at.index(body.len());
        body[at] = byte;
        let ours = Document::read(&body);
        let theirs = serde_json::from_slice::<serde_json::Value>(&body);
        match ours {
            Ok(_) => {
                // serde refuses half a surrogate pair and a number too large for a float; both are the provider's
                // to judge.
                let is_theirs = theirs.as_ref().is_err_and(|error| {
                    let error = error.to_string();
                    error.contains("surrogate") || error.contains("hex escape") || error.contains("out of range")
                });
                prop_assert!(theirs.is_ok() || is_theirs, "{}", String::from_utf8_lossy(&body));
            }
            Err(BadBody::NotAnObject) => {}
            Err(_) => prop_assert!(theirs.is_err(), "{}", String::from_utf8_lossy(&body)),
        }
    }

    #[test]
    fn no_bytes_make_the_scanner_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Document::read(&body).and_then(|document| document.root().map(|_| ()));
    }

    #[test]
    fn a_splice_changes_what_it_names_and_nothing_else(
        values in prop::collection::vec(json(), 0..6),
        remove in prop::collection::vec(any::<bool>(), 6),
        cap in prop::option::of(0..6_usize),
    ) {
        // Member `m0`… with one of them, perhaps, the cap.
        let name = |at: usize| if Some(at) == cap { "max_tokens".to_owned() } else { format!("m{at}") };
        let members: Vec<String> =
            values.iter().enumerate().map(|(at, value)| format!("\"{}\" : {value}", name(at))).collect();
        let body = format!("{{ {} }}", members.join(" , "));
        let removed: Vec<String> =
            (0..values.len()).filter(|at| remove[*at] && Some(*at) != cap).map(name).collect();
        let removed: Vec<&str> = removed.iter().map(String::as_str).collect();

        let document = Document::read(body.as_bytes()).unwrap();
        let mut splice = Splice::new();
        splice.object(&document.root().unwrap().layout(), &[("max_tokens", "77".to_owned())], &removed);
        let changed = splice.apply(&Bytes::from(body.clone().into_bytes()));

        let after = Document::read(&changed).unwrap();
        let after = after.root().unwrap();
        let caps: Vec<u64> =
            after.iter().filter(|(name, _)| *name == "max_tokens").filter_map(|(_, value)| value.count()).collect();
        prop_assert_eq!(caps, [77]);
        let kept: Vec<(String, &str)> = (0..values.len())
            .filter(|at| Some(*at) != cap && !remove[*at])
            .map(|at| (name(at), values[at].as_str()))
            .collect();
        let found: Vec<(String, &str)> = after
            .iter()
            .filter(|(name, _)| *name != "max_tokens")
            .map(|(name, value)| (name.to_owned(), value.raw()))
            .collect();
        prop_assert_eq!(found, kept);
    }
}

#[test]
fn a_megabyte_is_read_in_one_pass() {
    let text = "Some words with \\n an escape and é. ".repeat(1000);
    let message = format!("{{\"role\":\"user\",\"content\":[{{\"type\":\"text\",\"text\":\"{text}\"}}]}}");
    let body = format!("{{\"model\":\"m\",\"messages\":[{}]}}", vec![message; 28].join(","));
    assert!(body.len() > 1_000_000);
    let document = Document::read(body.as_bytes()).unwrap();
    let root = document.root().unwrap();
    assert_eq!(root.get("messages").unwrap().items().count(), 28);
}
