//! Routes: every key once, and every fault with its place.

use almoner_config::Settings;
use almoner_policy::When;
use almoner_units::{Level, Priority, Span};

use crate::load_toml;

const PROVIDERS: &str = "
[[provider]]
name = 'anthropic'
dialects = ['anthropic']
base_url = 'https://api.anthropic.com'
[[provider]]
name = 'openai'
dialects = ['openai-chat']
base_url = 'https://api.openai.com'
[[provider]]
name = 'local'
dialects = ['anthropic', 'openai-chat']
base_url = 'http://127.0.0.1:11434'
models = ['qwen3*']
free = true
";

#[track_caller]
fn good(text: &str) -> Settings {
    load_toml(&format!("{text}{PROVIDERS}")).unwrap_or_else(|errors| panic!("{errors}"))
}

/// The only fault of a file, and where it stands.
#[track_caller]
fn bad(text: &str, place: &str, message: &str, help: Option<&str>) {
    let errors = load_toml(&format!("{text}{PROVIDERS}")).expect_err("a fault");
    let [problem] = errors.problems() else { panic!("{errors}") };
    let location = problem.location.as_ref().map(|at| format!("{}:{}", at.line, at.column));
    assert_eq!((location.as_deref(), problem.message.as_str()), (Some(place), message), "{errors}");
    assert_eq!(problem.help.as_deref(), help, "{errors}");
}

/// A route with these lines.
fn route(lines: &str) -> String {
    format!("[[route]]\nname = 'r'\nwhere = {{ model = 'claude-*' }}\n{lines}\n")
}

#[test]
fn every_key_of_a_route_is_read() {
    let settings = good(
        "
        [[route]]
        name = 'opus'
        where = { model = 'claude-opus-*', tag.team = 'x' }
        first_byte_max = '20s'
        to = [
          { provider = 'anthropic' },
          { model = 'claude-haiku-4-5', when = ['level >= hard', 429], priority = ['low', 'normal'] },
          { provider = 'local', model = 'qwen3:8b', when = 'exhausted', where = { complexity = 'simple' } },
        ]
        [[route]]
        name = 'local'
        to = { provider = 'local', model = 'qwen3:8b' }
        [[budget]]
        name = 'day'
        limit = '$5 / day'
        when_exhausted = { route = 'local' }
        ",
    );
    let [opus, local] = &settings.routes[..] else { panic!("{:?}", settings.routes) };
    assert_eq!((opus.name.as_str(), opus.first_byte_max), ("opus", Some(Span::from_secs(20))));
    assert_eq!(opus.filter.as_ref().map(Vec::len), Some(2));
    assert_eq!((opus.targets[0].provider.as_deref(), opus.targets[0].model.as_deref()), (Some("anthropic"), None));
    assert_eq!(opus.targets[1].when, [When::LevelAtLeast(Level::Hard), When::RateLimited]);
    assert_eq!(opus.targets[1].priority, [Priority::Low, Priority::Normal]);
    assert_eq!((&opus.targets[2].when[..], opus.targets[2].filter.len()), (&[When::Exhausted][..], 1));
    assert_eq!((local.filter.as_ref(), local.targets.len()), (None, 1));
    assert_eq!(settings.detours, [("day".parse().unwrap(), "local".to_owned())]);
    assert!(settings.warnings().is_empty(), "{:?}", settings.warnings());
}

#[test]
fn a_target_is_somewhere() {
    bad(&route("to = [{ }]"), "4:7", "a target names a `provider`, a `model`, or both", None);
    let eight = "such as to = [{ provider = \"local\", model = \"qwen3:8b\" }]";
    bad(&route("to = []"), "4:6", "a route has 1 to 8 targets, not 0", Some(eight));
    let nine = format!("to = [{}]", "{ provider = 'anthropic' },".repeat(9));
    bad(&route(&nine), "4:6", "a route has 1 to 8 targets, not 9", Some(eight));
    let named = "no provider is named `lokal`";
    bad(&route("to = [{ provider = 'lokal' }]"), "4:20", named, Some("did you mean `local`?"));
    let one = "a target has one model, by its whole name";
    bad(&route("to = [{ model = 'claude-*' }]"), "4:17", one, None);
    let serves = "`local` does not serve `llama4`; its `models` are qwen3*";
    bad(&route("to = [{ provider = 'local', model = 'llama4' }]"), "4:37", serves, None);
}

#[test]
fn a_reason_to_go_on_is_one_that_is_known() {
    let then = |target: &str| route(&format!("to = [{{ provider = 'anthropic' }}, {target}]"));
    let unknown = "`exausted` is no reason to go on; write exhausted, level >= hard, provider down, 429 or timeout";
    let meant = Some("did you mean `exhausted`?");
    bad(&then("{ provider = 'local', when = ['exausted'] }"), "4:65", unknown, meant);
    let first = "the first target is where calls go while nothing is in the way, so it has no `when`";
    bad(&route("to = [{ provider = 'local', when = ['429'] }]"), "4:29", first, None);
    let priority = "`hihg` is no priority; write low, normal, high, critical";
    let meant = Some("did you mean `high`?");
    bad(&then("{ provider = 'local', priority = 'hihg' }"), "4:68", priority, meant);
}

#[test]
fn what_would_need_a_translation_is_refused() {
    let message = "no call to `anthropic` (anthropic) can go on to `openai` (openai-chat): that would need a \
                   translation between dialects, which does not exist yet";
    let help = Some("name a provider that speaks the same dialect; Ollama and llama.cpp speak several");
    bad(&route("to = [{ provider = 'anthropic' }, { provider = 'openai', model = 'gpt-5' }]"), "4:35", message, help);
    good(&route("to = [{ provider = 'anthropic' }, { provider = 'local', model = 'qwen3:8b' }]"));
    let budget = "[[budget]]\nname = 'b'\nlimit = '$1'\nwhere = { provider = 'anthropic' }\n\
                  when_exhausted = { route = 'gpt' }\n[[route]]\nname = 'gpt'\n\
                  to = [{ provider = 'openai', model = 'gpt-5' }]\n";
    bad(budget, "5:28", message, help);
}

#[test]
fn the_name_of_a_free_provider_is_a_route_to_its_usual_model() {
    let budget =
        |route: &str| format!("[[budget]]\nname = 'b'\nlimit = '$1'\nwhen_exhausted = {{ route = '{route}' }}\n");
    let settings = good(&budget("local"));
    let [local] = &settings.routes[..] else { panic!("{:?}", settings.routes) };
    assert_eq!((local.name.as_str(), local.filter.as_ref()), ("local", None));
    assert_eq!(
        (local.targets[0].provider.as_deref(), local.targets[0].model.as_deref()),
        (Some("local"), Some("qwen3"))
    );
    assert_eq!(settings.detours, [("b".parse().unwrap(), "local".to_owned())]);
    // Where it would cost something, somebody has to say which model that is.
    let help = "declare it: [[route]] name = \"openai\", to = [{ provider = \"…\", model = \"…\" }]";
    bad(&budget("openai"), "4:28", "no route is named `openai`", Some(help));
}

#[test]
fn a_budget_leads_to_a_route_that_exists() {
    let budget =
        |more: &str| format!("[[budget]]\nname = 'b'\nlimit = '$1'\n{more}\n{}", route("to = { provider = 'local' }"));
    let help = "declare it: [[route]] name = \"lokal\", to = [{ provider = \"…\", model = \"…\" }]";
    bad(&budget("when_exhausted = { route = 'lokal' }"), "4:28", "no route is named `lokal`", Some(help));
    bad(
        &budget("when_exhausted = 'local'"),
        "4:18",
        "what happens when a budget is exhausted is a table, not text",
        None,
    );
    let settings = good("[[route]]\nname = 'r'\nto = { provider = 'local' }\n");
    let [warning] = settings.warnings() else { panic!("{:?}", settings.warnings()) };
    assert_eq!(warning.message, "no call takes the route `r`: it has no `where`, and no budget leads to it");
    let settings = good(&budget("mode = 'warn'\nwhen_exhausted = { route = 'r' }"));
    let [warning] = settings.warnings() else { panic!("{:?}", settings.warnings()) };
    assert_eq!(warning.message, "this budget refuses nothing, so no call takes its route");
}
