//! What is wrong is said once, with its place, and with what to write instead.

use almoner_config::{ConfigErrors, Flags, Problem, Sources, load};

use crate::{env, load_toml, sources};

/// The errors of a file, as people see them.
#[track_caller]
fn check(text: &str, rendered: &str) {
    let errors = load_toml(text).expect_err("a fault").to_string();
    assert_eq!(errors, rendered.trim_matches('\n'), "\n{errors}");
}

#[test]
fn an_unknown_key_is_shown_with_the_word_that_was_meant() {
    check(
        "max_output = 1\nmax_ouput = 2\n",
        "
error: unknown key `max_ouput` in a configuration
 --> almoner.toml:2:1
  |
2 | max_ouput = 2
  | ^^^^^^^^^
  |
  = help: did you mean `max_output`?
",
    );
}

#[test]
fn a_bad_limit_is_underlined_inside_its_text() {
    check(
        "[[budget]]\nname = \"a\"\nlimit = [\"$5 / day\", \"100k tokns / sliding 1h\"]\n",
        "
error: `tokns` is no meter; the meters are tokens, uncached_tokens, input_tokens, output_tokens, requests and usd
 --> almoner.toml:3:28
  |
3 | limit = [\"$5 / day\", \"100k tokns / sliding 1h\"]
  |                            ^^^^^
  |
  = help: did you mean `tokens`?
",
    );
}

#[test]
fn two_budgets_of_one_name_are_both_shown() {
    check(
        "[[budget]]\nname = \"a\"\nlimit = \"$1\"\n[[budget]]\nlimit = \"$2\"\nname = \"a\"\n",
        "
error: there is another budget named `a`
 --> almoner.toml:6:8
  |
2 | name = \"a\"
  |        --- it stands here
...
6 | name = \"a\"
  |        ^^^
",
    );
}

#[test]
fn everything_is_said_at_once_in_the_order_of_the_file() {
    check(
        "wait_max = \"soon\"\n[[budget]]\nmode = \"stop\"\n",
        "
error: `soon` is not a length of time; write it like `30s`, `90m`, `24h`, `7d` or `1h30m`
 --> almoner.toml:1:12
  |
1 | wait_max = \"soon\"
  |            ^^^^^^

error: a budget needs `name`
 --> almoner.toml:2:1
  |
2 | [[budget]]
  | ^^^^^^^^^^

error: a budget needs `limit`
 --> almoner.toml:2:1
  |
2 | [[budget]]
  | ^^^^^^^^^^

error: `stop` is no mode; write warn, throttle, stop-new, kill-running
 --> almoner.toml:3:8
  |
3 | mode = \"stop\"
  |        ^^^^^^
  |
  = help: did you mean `stop-new`?
",
    );
}

#[test]
fn a_key_in_plain_text_is_refused_and_never_shown() {
    check(
        "[[provider]]\nname = \"a\"\ndialects = [\"anthropic\"]\nbase_url = \"https://a\"\nkey = \"hunter2\"\n",
        "
error: a key does not stand in a configuration
 --> almoner.toml:5:7
  |
5 | key = \"*******\"
  |       ^^^^^^^^^
  |
  = help: write key = { env = \"NAME\" } or key = { file = \"path\" }
",
    );
}

/// A file with one error: where it stands and what it says, to the letter.
#[track_caller]
fn one(path: &str, text: &str, place: &str, message: &str) {
    only(load(&sources(path, text)), &format!("{path}:{place}"), message);
}

#[track_caller]
fn only(loaded: Result<almoner_config::Settings, ConfigErrors>, place: &str, message: &str) {
    let errors = loaded.expect_err(message);
    let told = |problem: &Problem| {
        (problem.location.as_ref().map(ToString::to_string).unwrap_or_default(), problem.message.clone())
    };
    let found: Vec<_> = errors.problems().iter().map(told).collect();
    assert_eq!(found, [(place.to_owned(), message.to_owned())], "\n{errors}");
}

#[track_caller]
fn toml(text: &str, place: &str, message: &str) {
    one("a.toml", text, place, message);
}

#[test]
fn bad_toml() {
    toml("x", "1:2", "this is not valid TOML: key with no value, expected `=`");
    toml("a = 1\r\nb = \r\n", "2:5", "this is not valid TOML: string values must be quoted, expected literal string");
    toml("strict = true\nstrict = false", "2:1", "this is not valid TOML: duplicate key");
    toml("max_output = \"unclosed", "1:23", "this is not valid TOML: invalid basic string, expected `\"`");
    toml(
        "listen = [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]",
        "1:42",
        "lists and tables are nested more than 32 deep here",
    );
}

#[test]
fn bad_values() {
    toml(
        "listen = \"0.0.0.0:4141\"\nrequire_key = false",
        "2:15",
        "everybody who reaches 0.0.0.0:4141 would spend from the budgets without a key",
    );
    toml("hosts = [\"https://a.example\"]", "1:10", "`https://a.example` is no name of a host");
    toml("hosts = [\"a.example\", 7]", "1:23", "this must be text, not a number");
    toml("listen = \"localhost\"", "1:10", "`localhost` is no address with a port; write it like 127.0.0.1:4141");
    toml("listen = 4141", "1:10", "this must be text, not a number");
    toml("state = \"\"", "1:9", "this is empty");
    toml("state = \"~/x\"", "1:9", "`~` is the shell's; write the path in full");
    toml("strict = \"true\"", "1:10", "this must be true or false, not text");
    toml("max_output = 0", "1:14", "`0` is no whole number from 1 to 10000000");
    toml("max_output = -5", "1:14", "`-5` is no whole number from 1 to 10000000");
    toml("max_output = 1.5", "1:14", "`1.5` is no whole number from 1 to 10000000");
    toml(
        "max_output = 99999999999999999999999",
        "1:14",
        "`99999999999999999999999` is no whole number from 1 to 10000000",
    );
    toml("max_output = 100\ndefault_output = 200", "2:18", "`default_output` is 200, above `max_output`, which is 100");
    toml("wait_max = 30", "1:12", "this must be text, not a number");
    toml("ping_after = 15", "1:14", "this must be text, not a number");
    toml("wait_max = 1979-05-27", "1:12", "this must be text, not a date");
    toml("drain_max = \"0s\"", "1:13", "`0s` is out of range; a length of time is between 1ms and 100 years");
    toml("connections_max = 0", "1:19", "`0` is no whole number from 1 to 1048576");
    toml("bodies_bytes_max = 1", "1:20", "`1` is no whole number from 1024 to 1099511627776");
    toml("body_bytes_max = 1", "1:18", "`1` is no whole number from 1024 to 1073741824");
    toml("budgets = []", "1:1", "unknown key `budgets` in a configuration");
    toml("budget = []", "1:10", "this list of `budget` is empty; leave it out");
    toml("[budget]\nname = \"a\"", "1:1", "there can be many of `budget`, so it is a list");
    toml("budget = [1]", "1:11", "a budget is a table, not a number");
}

#[test]
fn bad_providers() {
    let with = |rest: &str| format!("[[provider]]\nname = 'a'\ndialects = ['anthropic']\n{rest}");
    let at = |url: &str| with(&format!("base_url = '{url}'"));
    let keyed = |key: &str| with(&format!("base_url = 'https://a'\nkey = {key}"));
    toml(
        &with("base_url = 'https://a'\nservice_tier = 'prioritty'"),
        "5:16",
        "`prioritty` is no service tier; write default, flex, priority, standard",
    );
    toml(&with(""), "1:1", "a provider needs `base_url`");
    toml(&at("a.example"), "4:12", "a base URL begins with `https://` or `http://`");
    toml(
        &at("https://me:pw@a.example"),
        "4:12",
        "a base URL holds no login; give the key as `key = { env = \"NAME\" }`",
    );
    toml(&at("http://localhost:4141/x"), "4:12", "this is Almoner's own address: it listens on 127.0.0.1:4141");
    toml(&at("https://a:port"), "4:12", "the port is not a number from 1 to 65535");
    toml(&keyed("{ env = 'NOT_SET' }"), "5:15", "the variable NOT_SET is not set");
    toml(&keyed("{ env = 'sk-ant-api03-x' }"), "5:15", "the name of a variable has capital letters, digits and `_`");
    toml(
        &keyed("{ file = 'open.key' }"),
        "5:16",
        "open.key has mode 0644, so others can read the key; run `chmod 600 open.key`",
    );
    toml(&keyed("{ file = 'none.key' }"), "5:16", "cannot read none.key: entity not found");
    toml(&keyed("{ }"), "5:7", "a key has one of `env` and `file`");
    toml(
        "[[provider]]\nname='a b'\ndialects=['gemini']\nbase_url='https://a'",
        "2:6",
        "the name of a provider has 1 to 64 letters, digits, `-`, `_` or `.`",
    );
    toml(
        "[[provider]]\nname='a'\ndialects=['openai']\nbase_url='https://a'",
        "3:11",
        "`openai` is no dialect; write anthropic, openai-chat, openai-responses, gemini, ollama",
    );
    toml("[[provider]]\nname='a'\ndialects=[]\nbase_url='https://a'", "3:10", "a provider speaks at least one dialect");
    let twin = at("https://a");
    toml(&format!("{twin}\n{twin}"), "6:8", "there is another provider named `a`");
}

#[test]
fn bad_prices() {
    let with = |rest: &str| format!("[[price]]\nmodel = 'm'\noutput = 1\n{rest}");
    toml(&with(""), "1:1", "a price needs `input`");
    toml(&with("input = -1"), "4:9", "`-1` is no price");
    toml(&with("input = nan"), "4:9", "`nan` is no price");
    toml(&with("input = 1e-3"), "4:9", "`1e-3` is no price");
    toml(&with("input = 0.0000001"), "4:9", "`0.0000001` has more than 6 decimals");
    toml(&with("input = true"), "4:9", "this must be a price in dollars per million tokens, not true or false");
    toml(&with("input = 1\ncache_raed = 1"), "5:1", "unknown key `cache_raed` in a price");
    toml(&with("input = 1\ncontext_window = 0"), "5:18", "`0` is no whole number from 1 to 1000000000");
    let twin = with("input = 1");
    toml(&format!("{twin}\n{twin}"), "6:9", "there is another price for `m`");
}

#[test]
fn bad_budgets() {
    let with = |rest: &str| format!("[[budget]]\nname = 'a'\n{rest}");
    let limited = |rest: &str| with(&format!("limit = '$1'\n{rest}"));
    toml(&with("limit = []"), "3:9", "a budget has at least one limit, such as `$5 / day`");
    toml(
        &with("limit = '$0 / day'"),
        "3:10",
        "a limit of 0 lets no call pass; to stop all calls, say so with mode = \"stop-new\" and `1 requests`",
    );
    toml(&with("limit = '-5 tokens'"), "3:10", "`-5` is negative; a limit is more than 0");
    toml(
        &with("limit = '$5 / day in Mars/Olympus'"),
        "3:15",
        "`Mars/Olympus` is no time zone; write an IANA name such as Europe/Berlin or UTC",
    );
    toml(
        &with("limit = '$5 / fortnight'"),
        "3:15",
        "`fortnight` is no window; write `lifetime`, `24h`, `sliding 1h`, or `hour`, `day`, `week` or `month`, with `in ZONE` if not UTC",
    );
    toml(
        &with("limit = \"\"\"\n100x tokens\"\"\""),
        "4:1",
        "`100x` is not a count; write it like `500`, `100k` or `1.5M`",
    );
    toml(&with("limit = \"\\u0031x tokens\""), "3:9", "`1x` is not a count; write it like `500`, `100k` or `1.5M`");
    toml(&with("limit = 5"), "3:9", "this must be text, not a number");
    toml(&limited("where = 'x'"), "4:9", "`where` is a table such as { provider = \"anthropic\" }, not text");
    toml(
        &limited("where = { provder = 'x' }"),
        "4:11",
        "`provder` is no label; labels are key, team, user, session, task, command, agent, subagent, provider, model, task_type, complexity, priority, and tag.NAME for your own",
    );
    toml(&limited("where = { model = 'a*b' }"), "4:19", "a `*` stands for anything only at the end of a value");
    toml(
        &limited("where = { tag.'a b' = 'x' }"),
        "4:15",
        "`tag.a b` is no label; labels are key, team, user, session, task, command, agent, subagent, provider, model, task_type, complexity, priority, and tag.NAME for your own",
    );
    toml(&limited("where.provider = ''"), "4:18", "this is empty");
    toml(
        &limited("per = ['sesion']"),
        "4:8",
        "`sesion` is no label; labels are key, team, user, session, task, command, agent, subagent, provider, model, task_type, complexity, priority, and tag.NAME for your own",
    );
    toml(&limited("per = ['user', 'user']"), "4:16", "`user` is given twice");
    toml(&limited("mode = 'thorttle'"), "4:8", "`thorttle` is no mode; write warn, throttle, stop-new, kill-running");
    toml(
        &limited("levels = [70, 80, 90]"),
        "4:10",
        "`levels` are four percentages: where warning, soft, hard and critical begin",
    );
    toml(&limited("levels = [70, 80, 90, 101]"), "4:23", "`101` is no whole number from 1 to 100");
    toml(
        &limited("levels = [90, 80, 70, 60]"),
        "4:10",
        "level marks must rise from at least 1 to at most 100 percent; these are [90, 80, 70, 60]",
    );
    toml(
        &limited("reserve = 'expected'"),
        "4:11",
        "reserve = \"expected\" is not there yet: it comes with a later version",
    );
    toml(&limited("reserve = 'worst'"), "4:11", "`worst` is no way to reserve; write worst-case, expected");
    toml(
        "[[budget]]\nname = ' a'\nlimit = '$1'",
        "2:8",
        "` a` is no name of a budget; it must be one line of 1 to 128 characters without space around it",
    );
}

#[test]
fn a_call_that_could_touch_too_many_accounts() {
    let budgets = |count: usize, filter: fn(usize) -> String| -> String {
        let budget = |at| format!("[[budget]]\nname = 'b{at}'\nlimit = '$1'\n{}\n", filter(at));
        (1..=count).map(budget).collect()
    };
    assert!(load_toml(&budgets(16, |_| String::new())).is_ok());
    assert!(load_toml(&budgets(40, |at| format!("where = {{ team = 't{at}' }}"))).is_ok());
    toml(
        &budgets(17, |_| String::new()),
        "66:8",
        "one call could be counted by 17 of these budgets; it may be by at most 16",
    );
}

#[test]
fn bad_json() {
    let json = |text: &str, place: &str, message: &str| one("a.json", text, place, message);
    json("{\n  \"strict\": tru\n}", "2:16", "this is not valid JSON: expected ident");
    json("{\"strict\": true", "1:15", "this is not valid JSON: EOF while parsing an object");
    json("{} {}", "1:4", "this is not valid JSON: trailing characters");
    json("[]", "1:1", "a configuration is a table, not a list");
    json("{\n \"strict\": true, \"strict\": true}", "2:18", "`strict` is given twice");
    json("{\"max_output\": 1e3}", "1:16", "`1e3` is no whole number from 1 to 10000000");
    json(
        "{\"budget\": [\n {\"name\": \"a\", \"limit\": [\"5 tokns\"]}]}",
        "2:29",
        "`tokns` is no meter; the meters are tokens, uncached_tokens, input_tokens, output_tokens, requests and usd",
    );
    json("{\"strict\": null}", "1:12", "this must be true or false, not nothing");
    json("{\"listen\": \"\\ud800\"}", "1:19", "this is not valid JSON: unexpected end of hex escape");
    json(
        &format!("{}{}", "[".repeat(200), "]".repeat(200)),
        "1:34",
        "lists and tables are nested more than 32 deep here",
    );
}

#[test]
fn bad_yaml() {
    let yaml = |text: &str, place: &str, message: &str| one("a.yaml", text, place, message);
    yaml(
        "budget:\n- name: a\n  limit: 5 tokns / day\n",
        "3:12",
        "`tokns` is no meter; the meters are tokens, uncached_tokens, input_tokens, output_tokens, requests and usd",
    );
    yaml(
        "budget:\n- name: a\n  limit: \"5 tokns\"\n",
        "3:13",
        "`tokns` is no meter; the meters are tokens, uncached_tokens, input_tokens, output_tokens, requests and usd",
    );
    yaml("strict: true\nstrict: true\n", "2:1", "`strict` is given twice");
    yaml("strict: yes\n", "1:9", "`yes` is neither `true` nor `false`");
    yaml("a: &x 1\n", "1:7", "anchors, aliases and tags of YAML are not read here; write the value itself");
    yaml("listen: !!str x\n", "1:15", "anchors, aliases and tags of YAML are not read here; write the value itself");
    yaml("strict: true\n---\nstrict: true\n", "3:1", "a configuration is one YAML document; here a second begins");
    yaml("strict: [\n", "1:9", "this is not valid YAML: unclosed bracket '['");
    yaml("[a]: 1\n", "1:1", "the name of a setting is a word");
    yaml("wait_max: ~\n", "1:11", "this must be text, not nothing");
    yaml("- 1\n", "1:1", "a configuration is a table, not a list");
}

#[test]
fn the_environment_and_the_flags_are_shown_like_a_file() {
    let from =
        |variables: &[(&str, &str)], flags: Flags| load(&Sources { env: env(variables), flags, ..Sources::empty("s") });
    let variable = |name, value| from(&[(name, value)], Flags::default());
    only(variable("ALMONER_STRICT", "maybe"), "environment:1:16", "`maybe` is neither `true` nor `false`");
    only(variable("ALMONER_LISTN", "hunter2"), "environment:1:1", "unknown variable ALMONER_LISTN");
    only(
        variable("ALMONER_OPENAI_BASE_URL", "x"),
        "environment:1:25",
        "a base URL begins with `https://` or `http://`",
    );
    only(
        variable("ANTHROPIC_API_KEY", "a b"),
        "",
        "the key in the variable ANTHROPIC_API_KEY has characters that no key has",
    );
    let listen = Flags { listen: Some("1.2.3.4".to_owned()), ..Flags::default() };
    let errors = from(&[], listen).unwrap_err().to_string();
    assert!(errors.contains("1 | --listen 1.2.3.4\n  |          ^^^^^^^"), "{errors}");
    let homeless = Sources { state_dir: None, ..Sources::empty("") };
    only(load(&homeless), "", "no folder for state is known: this user has no home");
}

#[test]
fn a_million_faults_are_told_as_fifty() {
    let text: String = (0..1000).map(|at| format!("x{at} = 1\n")).collect();
    assert_eq!(load_toml(&text).unwrap_err().problems().len(), 50);
}

#[test]
fn a_route_to_a_provider_that_is_wrong_is_not_told_that_there_is_none() {
    let errors = load_toml(
        "[[provider]]\nname = \"mine\"\nbase_url = \"https://mine.example\"\ndialects = [\"anthropic\"]\n\
         key = { env = \"NOBODY_SET_THIS\" }\n\
         [[route]]\nname = \"r\"\nwhere = {}\nto = [{ provider = \"mine\" }, { provider = \"thine\" }]\n",
    );
    let errors = errors.expect_err("two faults");
    let messages: Vec<&str> = errors.problems().iter().map(|problem| problem.message.as_str()).collect();
    assert_eq!(messages, ["the variable NOBODY_SET_THIS is not set", "no provider is named `thine`"]);
}
