//! Whatever stands in a file, a load ends in settings or in errors that can be printed; it never panics.

use almoner_config::{Flags, Sources, load};
use proptest::prelude::*;

use crate::{env, sources};

const FORMS: [&str; 3] = ["a.toml", "a.json", "a.yaml"];

/// Loads a text in every form, and prints what comes of it.
fn survives(text: &str) {
    for path in FORMS {
        match load(&sources(path, text)) {
            Ok(settings) => drop(format!("{settings:?}")),
            Err(errors) => assert!(!errors.problems().is_empty() && !errors.to_string().is_empty()),
        }
    }
}

/// Texts of the pieces that configurations are made of, in any order.
fn pieces() -> impl Strategy<Value = String> {
    const PIECES: [&str; 44] = [
        "[[budget]]",
        "[[provider]]",
        "[price]",
        "\n",
        "\r\n",
        " ",
        "\t",
        "  ",
        "name",
        "limit",
        "where",
        "key",
        "per",
        "levels",
        "=",
        ":",
        ": ",
        "- ",
        ",",
        "{",
        "}",
        "[",
        "]",
        "\"",
        "'",
        "\"\"\"",
        "'''",
        "|",
        ">",
        "&a",
        "*a",
        "!!t",
        "#",
        "---",
        "\\u0031",
        "\u{feff}",
        "\0",
        "ü",
        "\u{202e}",
        "$5 / day",
        "100k tokns",
        "1e9",
        "0x_1",
        "1979-05-27",
    ];
    prop::collection::vec(prop::sample::select(&PIECES[..]), 0..60).prop_map(|pieces| pieces.concat())
}

/// A well-formed budget whose values are anything.
fn budget() -> impl Strategy<Value = String> {
    let value = prop_oneof![".{0,20}", "[0-9kM$./ a-z-]{0,20}", Just("\u{1b}[31m\r\n".to_owned())];
    let key =
        prop::sample::select(&["name", "limit", "per", "mode", "where", "levels", "reserve", "when_exhausted"][..]);
    let member = (key, value).prop_map(|(key, value)| format!("{}: {}", quoted(key), quoted(&value)));
    prop::collection::vec(member, 0..8).prop_map(|members| format!("{{\"budget\": [{{{}}}]}}", members.join(", ")))
}

/// A well-formed route whose values are anything.
fn route() -> impl Strategy<Value = String> {
    let value = prop_oneof![".{0,20}", "(exhausted|level >= |429|local|\\*){0,3}"];
    let key = prop::sample::select(&["provider", "model", "when", "priority", "where"][..]);
    let member = (key, value).prop_map(|(key, value)| format!("{}: {}", quoted(key), quoted(&value)));
    let target = prop::collection::vec(member, 0..5).prop_map(|members| format!("{{{}}}", members.join(", ")));
    let targets = prop::collection::vec(target, 0..10);
    (".{0,9}", targets)
        .prop_map(|(name, to)| format!("{{\"route\": [{{\"name\": {}, \"to\": [{}]}}]}}", quoted(&name), to.join(", ")))
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

proptest! {
    #[test]
    fn any_text(text in any::<String>()) {
        survives(&text);
    }

    #[test]
    fn any_pieces(text in pieces()) {
        survives(&text);
    }

    #[test]
    fn any_values(text in budget()) {
        survives(&text);
    }

    #[test]
    fn any_targets(text in route()) {
        survives(&text);
    }

    #[test]
    fn any_cut_or_hole_in_the_sample(from in 0_usize..3000, to in 0_usize..3000) {
        let sample = almoner_config::sample();
        let (from, to) = (from.min(sample.len()), to.min(sample.len()));
        survives(&format!("{}{}", &sample[..from], &sample[to..]));
    }

    #[test]
    fn any_environment(name in "ALMONER_[A-Z_]{0,12}|ALMONER_(LISTEN|STATE|WAIT_MAX|MAX_OUTPUT)", value in any::<String>()) {
        let flags = Flags { listen: Some(value.clone()), state: Some(value.clone().into()), ..Flags::default() };
        let loaded = load(&Sources { env: env(&[(&name, &value)]), flags, ..Sources::empty("s") });
        drop(format!("{loaded:?}"));
    }
}

#[test]
fn deep_nesting_is_an_error_and_no_overflow() {
    let deep = 20_000;
    for (open, close) in [("[", "]"), ("{\"a\":", "}"), ("a = {", "}"), ("- ", ""), ("{", "}"), ("a.", "")] {
        survives(&format!("{}{}", open.repeat(deep), close.repeat(deep)));
        survives(&format!("strict = {}1{}", open.repeat(deep), close.repeat(deep)));
        survives(&format!("strict: {}1{}", open.repeat(deep), close.repeat(deep)));
    }
    survives(&format!("{}b = 1", "a.".repeat(deep)));
    survives(&format!("[{}b]", "a.".repeat(deep)));
    survives(&(0..2000).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect::<String>());
}

#[test]
fn aliases_cannot_make_a_small_file_endless() {
    let bomb: String = (1..30).map(|at| format!("a{at}: &a{at} [*a{}, *a{}]\n", at - 1, at - 1)).collect();
    survives(&format!("a0: &a0 x\n{bomb}"));
}

#[test]
fn long_lines_and_words_are_cut_short_in_messages() {
    let errors = load(&sources("a.toml", &format!("{} = 1", "x".repeat(500_000)))).unwrap_err();
    assert!(errors.problems()[0].message.len() < 1000);
    assert!(errors.to_string().len() < 10_000, "{}", errors.to_string().len());
}

#[test]
fn a_byte_order_mark_and_windows_line_ends_are_no_fault() {
    let windows = almoner_config::sample().replace('\n', "\r\n");
    let settings = load(&sources("a.toml", &format!("\u{feff}{windows}"))).unwrap();
    assert_eq!(settings.providers.len(), 3);
    let errors = load(&sources("a.toml", "\u{feff}strict = true\r\nlimt = 1\r\n")).unwrap_err();
    assert_eq!(errors.problems()[0].location.as_ref().map(ToString::to_string).as_deref(), Some("a.toml:2:1"));
}
