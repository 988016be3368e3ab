//! Every key, once, and where its value comes from.

use std::path::Path;

use almoner_config::{BudgetsFrom, Credential, DefaultTier, DialectName, Flags, Settings, Sources, load, sample};
use almoner_units::{Budget, Mode, Span};

use crate::{env, load_toml, sources};

#[track_caller]
fn good(text: &str) -> Settings {
    load_toml(text).unwrap_or_else(|errors| panic!("{errors}"))
}

#[track_caller]
fn budgets(settings: &Settings) -> &[Budget] {
    match &settings.budgets {
        BudgetsFrom::File(budgets) => budgets,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_file_that_says_nothing_leaves_everything_as_it_is() {
    for text in ["", "\n", "# nothing\n", "\u{feff}"] {
        let settings = good(text);
        assert_eq!(settings.listen.to_string(), "127.0.0.1:4141");
        assert_eq!(settings.state_dir, Path::new("/home/me/state"));
        assert_eq!(settings.budgets, BudgetsFrom::Defaults);
        assert_eq!((settings.max_output, settings.default_output), (32_000, 4_096));
        assert!(!settings.strict);
        assert_eq!((settings.wait_max, settings.ping_after), (Span::from_secs(30), Span::from_secs(45)));
        assert!(settings.providers.iter().all(|provider| provider.retries == 5));
        assert_eq!(settings.stream_idle_max, Span::from_secs(60));
        assert_eq!(settings.provider_idle_max, Span::from_secs(600));
        assert_eq!(settings.connect_max, Span::from_secs(10));
        assert_eq!(settings.drain_max, Span::from_secs(30));
        assert_eq!(settings.receive_max, Span::from_secs(60));
        assert_eq!((settings.header_bytes_max, settings.body_bytes_max), (64 << 10, 32 << 20));
        assert_eq!((settings.bodies_bytes_max, settings.connections_max), (256 << 20, 10_000));
        assert_eq!((settings.history_keep, settings.history_bytes_max), (Span::from_secs(90 * 86_400), 4 << 30));
        assert!(!settings.history_calls);
        assert!(settings.prices.is_empty() && settings.warnings().is_empty());
        let names: Vec<&str> = settings.providers.iter().map(|provider| provider.name.as_str()).collect();
        assert_eq!(names, ["anthropic", "openai", "gemini", "ollama"]);
        assert!(settings.providers.iter().all(|provider| provider.key == Credential::PassThrough));
    }
}

#[test]
fn every_setting_of_one_value_is_read() {
    let settings = good(
        r#"
        listen = "[::1]:9"
        state = "/var/x"
        strict = true
        no_budgets = true
        max_output = 10_000
        default_output = 0x10
        wait_max = "1s"
        ping_after = "7s"
        stream_idle_max = "2s"
        provider_idle_max = "3s"
        connect_max = "4s"
        drain_max = "5s"
        receive_max = "6s"
        header_bytes_max = 2048
        body_bytes_max = 4096
        bodies_bytes_max = 8192
        connections_max = 7
        history_keep = "30d"
        history_bytes_max = 1048576
        history_calls = true
        "#,
    );
    assert_eq!(settings.listen.to_string(), "[::1]:9");
    assert_eq!(settings.state_dir, Path::new("/var/x"));
    assert!(settings.strict);
    assert_eq!(settings.budgets, BudgetsFrom::None);
    assert_eq!((settings.max_output, settings.default_output), (10_000, 16));
    let spans = [settings.wait_max, settings.stream_idle_max, settings.provider_idle_max];
    assert_eq!(spans.map(Span::ms), [1000, 2000, 3000]);
    assert_eq!(settings.ping_after, Span::from_secs(7));
    let spans = [settings.connect_max, settings.drain_max, settings.receive_max];
    assert_eq!(spans.map(Span::ms), [4000, 5000, 6000]);
    assert_eq!((settings.header_bytes_max, settings.body_bytes_max), (2048, 4096));
    assert_eq!((settings.bodies_bytes_max, settings.connections_max), (8192, 7));
    assert_eq!((settings.history_keep, settings.history_bytes_max), (Span::from_secs(30 * 86_400), 1 << 20));
    assert!(settings.history_calls);
}

#[test]
fn a_key_is_required_wherever_others_reach_the_port() {
    let required = |text: &str| good(text).require_key;
    assert!(!required("") && !required("listen = \"[::1]:9\"") && required("require_key = true"));
    for open in ["0.0.0.0:4141", "[::]:4141", "10.0.0.5:4141", "192.168.1.2:1"] {
        let settings = good(&format!("listen = \"{open}\""));
        assert!(settings.require_key, "{open}");
        let warnings = settings.warnings().iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        assert!(warnings.contains("unencrypted"), "{warnings}");
    }
    // Nothing turns it off there: no layer, and no flag.
    let mut open = sources("almoner.toml", "listen = \"0.0.0.0:4141\"");
    open.env = env(&[("ALMONER_REQUIRE_KEY", "false")]);
    assert!(load(&open).unwrap_err().to_string().contains("would spend from the budgets"));
    open.env.clear();
    open.flags = Flags { personal: true, ..Flags::default() };
    assert!(load(&open).unwrap_err().to_string().contains("--personal"));
    // On loopback the flag says what the file does not.
    let mut closed = sources("almoner.toml", "require_key = true");
    closed.flags = Flags { personal: true, ..Flags::default() };
    assert!(!load(&closed).unwrap().require_key);
    closed.flags = Flags { require_key: true, ..Flags::default() };
    closed.file = None;
    assert!(load(&closed).unwrap().require_key);
}

#[test]
fn hosts_are_a_list_or_a_text_with_commas() {
    assert_eq!(good("").hosts, ["localhost"]);
    let named = good("hosts = [\"Almoner.Corp\", \"b\"]\nrequire_key = true");
    assert_eq!((named.hosts.as_slice(), named.warnings().len()), (&["almoner.corp".to_owned(), "b".to_owned()][..], 0));
    check_warning(
        "hosts = [\"a.example\"]",
        "whoever reaches this server as `a.example` spends from the budgets without a key",
    );
    let mut named = sources("almoner.toml", "");
    named.env = env(&[("ALMONER_HOSTS", "a.example, b.example")]);
    let settings = load(&named).unwrap();
    assert_eq!(settings.hosts, ["a.example", "b.example"]);
    let shown = settings.origins().iter().find(|setting| setting.key == "hosts").unwrap();
    assert_eq!(shown.value, "a.example, b.example");
}

#[test]
fn the_usual_output_is_never_above_the_most() {
    assert_eq!(good("max_output = 1000").default_output, 1000);
}

#[test]
fn every_key_of_a_provider_is_read() {
    let text = r#"
        retries = 3
        [[provider]]
        name = "a"
        dialects = ["anthropic", "openai-chat", "openai-responses", "gemini", "ollama"]
        base_url = "https://a.example/api/"
        key = { env = "A_KEY" }
        models = ["qwen3*", "exact"]
        free = true
        service_tier = "default"
        region_premium = false
        retries = 0
        [[provider]]
        name = "b"
        dialects = ["gemini"]
        base_url = "http://localhost:1"
        key.file = "good.key"
    "#;
    let mut sources = sources("etc/almoner.toml", text);
    sources.env = env(&[("A_KEY", "sk-hunter1")]);
    let settings = load(&sources).unwrap();
    let [a, b] = &settings.providers[..] else { panic!("two providers") };
    assert_eq!((a.name.as_str(), a.base_url.as_str(), a.free), ("a", "https://a.example/api", true));
    assert_eq!(a.dialects, DialectName::ALL);
    assert_eq!((a.service_tier, a.region_premium), (Some(DefaultTier::Standard), Some(false)));
    assert_eq!((b.service_tier, b.region_premium), (None, None));
    assert_eq!((a.retries, b.retries), (0, 3));
    assert!(a.models[0].matches("qwen3:8b") && a.models[1].matches("exact"));
    let secret = |key: &Credential| match key {
        Credential::Secret(secret) => secret.expose().to_owned(),
        Credential::PassThrough => panic!("a secret"),
    };
    assert_eq!((secret(&a.key), secret(&b.key)), ("sk-hunter1".to_owned(), "hunter2".to_owned()));
    let printed = format!("{settings:?}");
    assert!(!printed.contains("hunter"), "{printed}");
    let key_b = settings.origins().iter().find(|setting| setting.key == "provider.b.key").unwrap();
    assert_eq!(key_b.value, "hidden, from etc/good.key");
}

#[test]
fn the_known_providers_take_their_keys_and_addresses_from_the_environment() {
    let mut sources = sources("almoner.toml", "");
    sources.env = env(&[
        ("ANTHROPIC_API_KEY", "sk-ant-x"),
        ("OPENAI_API_KEY", ""),
        ("ALMONER_ANTHROPIC_BASE_URL", "http://127.0.0.1:9/"),
        ("ALMONER_TEST_ANYTHING", "1"),
        ("PATH", "/bin"),
    ]);
    let settings = load(&sources).unwrap();
    assert!(matches!(settings.providers[0].key, Credential::Secret(_)));
    assert_eq!(settings.providers[0].base_url, "http://127.0.0.1:9");
    assert_eq!(settings.providers[1].key, Credential::PassThrough, "an empty variable says nothing");
}

#[test]
fn prices_are_exact_however_they_are_written() {
    let settings = good(
        r#"
        [[price]]
        model = "m"
        provider = "anthropic"
        input = 0.1
        output = "$15"
        cache_read = 0.01
        cache_write_5m = 3
        cache_write_1h = 1_000.5
        context_window = 200_000
        max_output = 64000
        [[price]]
        model = "m"
        input = 0
        output = 0.0
        "#,
    );
    let price = &settings.prices[0];
    assert_eq!((price.model.as_str(), price.provider.as_deref()), ("m", Some("anthropic")));
    assert_eq!((price.input.get(), price.output.get()), (100_000, 15_000_000));
    let cache = [price.cache_read, price.cache_write_5m, price.cache_write_1h].map(|price| price.unwrap().get());
    assert_eq!(cache, [10_000, 3_000_000, 1_000_500_000]);
    assert_eq!((price.context_window, price.max_output), (Some(200_000), Some(64_000)));
    assert_eq!(settings.prices[1].input.get(), 0);
}

#[test]
fn every_key_of_a_budget_is_read() {
    let settings = good(
        r#"
        [[budget]]
        name = "a"
        where = { provider = "anthropic", model = "claude-*", tag.team = "x", "tag.area" = "y" }
        per = ["session", "tag.team"]
        limit = ["$5 / day", "1M tokens / sliding 1h"]
        mode = "kill-running"
        levels = [10, 20, 30, 40]
        reserve = "worst-case"
        [[budget]]
        name = "b"
        per = "user"
        limit = "$5"
        "#,
    );
    let [a, b] = budgets(&settings) else { panic!("two budgets") };
    let filter: Vec<String> = a.filter.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(filter, ["provider=anthropic", "model=claude-*", "tag.team=x", "tag.area=y"]);
    assert_eq!(a.per.iter().map(ToString::to_string).collect::<Vec<_>>(), ["session", "tag.team"]);
    assert_eq!(a.limits.iter().map(ToString::to_string).collect::<Vec<_>>(), ["$5.00 / day", "1M tokens / sliding 1h"]);
    assert_eq!((a.mode, a.marks.percents()), (Mode::KillRunning, [10, 20, 30, 40]));
    assert_eq!((b.mode, b.per.len(), b.limits.len()), (Mode::StopNew, 1, 1));
}

#[test]
fn flags_beat_the_environment_beats_the_file_beats_the_default() {
    let mut sources =
        sources("almoner.toml", "listen = '127.0.0.1:1'\nstrict = true\nwait_max = '1s'\nmax_output = 7\n");
    sources.env =
        env(&[("ALMONER_LISTEN", "127.0.0.1:2"), ("ALMONER_STRICT", "false"), ("ALMONER_MAX_OUTPUT", "8_000")]);
    sources.flags = Flags { listen: Some("127.0.0.1:3".to_owned()), ..Flags::default() };
    let settings = load(&sources).unwrap();
    assert_eq!(settings.listen.port(), 3);
    assert!(!settings.strict);
    assert_eq!((settings.max_output, settings.wait_max), (8_000, Span::from_secs(1)));
    let origin = |key: &str| {
        let setting = settings.origins().iter().find(|setting| setting.key == key).unwrap();
        format!("{} {}", setting.value, setting.origin)
    };
    assert_eq!(origin("listen"), "127.0.0.1:3 --listen");
    assert_eq!(origin("strict"), "false ALMONER_STRICT");
    assert_eq!(origin("wait_max"), "1s almoner.toml:3:12");
    assert_eq!(origin("drain_max"), "30s default");
}

#[test]
fn the_flags_are_read() {
    let mut sources = sources("almoner.toml", "[[budget]]\nname = 'a'\nlimit = '$1'\n");
    sources.flags = Flags { state: Some("s".into()), no_budgets: true, strict: true, ..Flags::default() };
    let settings = load(&sources).unwrap();
    assert_eq!((settings.state_dir.as_path(), settings.strict), (Path::new("s"), true));
    assert_eq!(settings.budgets, BudgetsFrom::None);
    assert!(settings.warnings()[0].message.contains("turns off the 1 of the file"));
}

#[test]
fn a_relative_path_in_a_file_begins_at_the_file() {
    let settings = load(&sources("/etc/almoner/almoner.toml", "state = 'data'")).unwrap();
    assert_eq!(settings.state_dir, Path::new("/etc/almoner/data"));
}

#[test]
fn the_sample_loads_without_a_word() {
    let settings = good(sample());
    assert_eq!(budgets(&settings).len(), 3);
    assert_eq!(settings.warnings(), []);
}

#[test]
fn json_and_yaml_say_the_same() {
    let toml = "max_output = 9000\n[[price]]\nmodel = 'm'\ninput = 0.3\noutput = 1\n\
        [[budget]]\nname = 'a'\nwhere = { tag.x = 'y' }\nlimit = ['$5 / day']\nlevels = [1, 2, 3, 4]\n";
    let json = r#"{"max_output": 9000, "price": [{"model": "m", "input": 0.3, "output": 1}],
        "budget": [{"name": "a", "where": {"tag.x": "y"}, "limit": ["$5 / day"], "levels": [1, 2, 3, 4]}]}"#;
    let yaml = "max_output: 9000\nprice:\n- {model: m, input: 0.3, output: 1}\nbudget:\n- name: a\n  where:\n    \
        tag.x: y\n  limit: $5 / day\n  levels: [1, 2, 3, 4]\n";
    let told = |path: &str, text: &str| {
        let settings = load(&sources(path, text)).unwrap_or_else(|errors| panic!("{errors}"));
        (settings.max_output, settings.prices, settings.budgets)
    };
    assert_eq!(told("a.json", json), told("a.toml", toml));
    assert_eq!(told("a.yaml", yaml), told("a.toml", toml));
    for (path, empty) in [("a.json", ""), ("a.json", "{}"), ("a.yaml", ""), ("a.yml", "---\n"), ("a.yml", "# x")] {
        assert!(load(&sources(path, empty)).is_ok(), "{path} {empty:?}");
    }
}

#[track_caller]
fn check_warning(text: &str, message: &str) {
    let settings = good(text);
    let warnings: Vec<&str> = settings.warnings().iter().map(|problem| problem.message.as_str()).collect();
    assert_eq!(warnings, [message]);
}

#[test]
fn what_is_probably_not_meant_is_said() {
    let budget = |rest: &str| format!("[[budget]]\nname = 'a'\n{rest}\n");
    check_warning(
        &budget("limit = ['$1', '10k tokens / 24h']"),
        "`10k tokens / 1d` is about 0 turns of a coding agent, at 12000 tokens each",
    );
    check_warning(
        &budget("limit = '$1'\nwhere = { provider = 'antropic' }"),
        "no provider is named `antropic`, so this budget counts nothing",
    );
    check_warning(
        "[[price]]\nmodel = 'm'\nprovider = 'x'\ninput = 1\noutput = 1",
        "no provider is named `x`, so this price is never used",
    );
    let provider = |url: &str| format!("[[provider]]\nname = 'a'\ndialects = ['anthropic']\nbase_url = '{url}'\n");
    check_warning(&provider("http://a.example"), "keys and prompts go to this address unencrypted");
    check_warning(
        &provider("https://a.example/api/v1"),
        "the path of every call brings its version along, so this one would be there twice",
    );
    for quiet in ["limit = '100k uncached_tokens / day'", "limit = '240k tokens'", "limit = '3 requests'"] {
        assert_eq!(good(&budget(quiet)).warnings(), []);
    }
}

#[test]
fn traces_go_where_we_are_told_before_where_every_program_is() {
    let url = |text: &str, variables: &[(&str, &str)]| {
        let settings = load(&Sources { env: env(variables), ..sources("almoner.toml", text) })
            .unwrap_or_else(|errors| panic!("{errors}"));
        let warnings = settings.warnings().iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        (settings.traces.map(|traces| traces.url), warnings)
    };
    let file = "otlp = \"https://file\"";
    let standard = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318/");
    let to = |url: &str| (Some(format!("{url}/v1/traces")), String::new());
    assert_eq!(url("", &[]), (None, String::new()));
    assert_eq!(url("", &[standard]), to("http://127.0.0.1:4318"));
    assert_eq!(url(file, &[standard]), to("https://file"));
    assert_eq!(url(file, &[standard, ("ALMONER_OTLP", "https://own/v1/traces")]), to("https://own"));
    assert_eq!(url("otlp = \"off\"", &[standard]), (None, String::new()));
    for off in [("OTEL_SDK_DISABLED", "true"), ("OTEL_TRACES_EXPORTER", "none")] {
        assert_eq!(url("", &[standard, off]), (None, String::new()));
    }
    // What is said to every program stops none.
    let (none, warning) = url("", &[("OTEL_EXPORTER_OTLP_ENDPOINT", "collector-secret:4317")]);
    assert!(none.is_none() && warning.contains("no traces are sent") && !warning.contains("secret"), "{warning}");
    let (none, warning) = url("", &[standard, ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")]);
    assert!(none.is_none() && warning.contains("gRPC"), "{warning}");
    let (_, warning) = url("otlp = \"http://elsewhere\"", &[]);
    assert!(warning.contains("unencrypted"), "{warning}");
}

#[test]
fn the_credential_of_a_collector_is_a_secret() {
    let variables = [
        ("ALMONER_OTLP", "http://127.0.0.1:4318"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "Authorization=Bearer%20hunter2, x-team = a,bad,worse=\u{1b}"),
        ("OTEL_SERVICE_NAME", "house"),
    ];
    let settings = load(&Sources { env: env(&variables), ..sources("almoner.toml", "") }).unwrap();
    assert!(!format!("{settings:?}").contains("hunter2"));
    let traces = settings.traces.unwrap();
    let headers: Vec<_> = traces.headers.iter().map(|(name, value)| (name.as_str(), value.expose())).collect();
    assert_eq!(headers, [("authorization", "Bearer hunter2"), ("x-team", "a")]);
    assert_eq!(traces.service, "house");
}
