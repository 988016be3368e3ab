//! Paces: every key once, and every fault with its place.

use almoner_policy::pace::Rates;

use crate::load_toml;

const PROVIDER: &str = "
[[provider]]
name = 'anthropic'
dialects = ['anthropic']
base_url = 'https://api.anthropic.com'
";

#[test]
fn every_key_of_a_pace_is_read_and_shown() {
    let settings = load_toml(&format!(
        "
        [[pace]]
        name = 'each agent'
        where = {{ agent = 'c*', tag.team = 'x' }}
        per = ['agent', 'session']
        rpm = 60
        tpm = 100_000
        {PROVIDER}
        rpm = 50
        tpm = 40_000"
    ))
    .unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(settings.providers[0].rates, Rates { rpm: Some(50), tpm: Some(40_000) });
    let pace = &settings.paces[0];
    assert_eq!((pace.name.as_str(), pace.rates), ("each agent", Rates { rpm: Some(60), tpm: Some(100_000) }));
    let names: Vec<&str> = pace.filter.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!((names, pace.per.len()), (vec!["agent", "tag.team"], 2));
    let shown = |key: &str| settings.origins().iter().find(|setting| setting.key == key).unwrap().value.clone();
    assert_eq!(shown("pace.\"each agent\".per"), "agent, session");
    assert_eq!(shown("pace.\"each agent\".rpm"), "60");
    assert_eq!(shown("provider.anthropic.tpm"), "40000");
}

/// The only fault of a file, and where it stands.
#[track_caller]
fn bad(text: &str, place: &str, message: &str, help: Option<&str>) {
    let errors = load_toml(&format!("{text}{PROVIDER}")).expect_err("a fault");
    let [problem] = errors.problems() else { panic!("{errors}") };
    let location = problem.location.as_ref().map(|at| format!("{}:{}", at.line, at.column));
    assert_eq!((location.as_deref(), problem.message.as_str()), (Some(place), message), "{errors}");
    assert_eq!(problem.help.as_deref(), help, "{errors}");
}

#[test]
fn a_bad_pace_is_told_by_its_place() {
    bad("[[pace]]\nname = 'x'\nrmp = 1\nrpm = 1", "3:1", "unknown key `rmp` in a pace", Some("did you mean `rpm`?"));
    bad("[[pace]]\nname = 'x'\nrpm = 0", "3:7", "`0` is no whole number from 1 to 10000000", None);
    bad("[[pace]]\nname = 'x'", "1:1", "a pace says `rpm`, `tpm`, or both", Some("such as rpm = 50, tpm = 40_000"));
    bad(
        "[[pace]]\nname = 'anthropic'\nrpm = 1",
        "2:8",
        "the pace of the provider `anthropic` has this name",
        Some("write `rpm` and `tpm` into its [[provider]]"),
    );
    bad(
        "[[pace]]\nname = 'x'\nper = 'agnet'\nrpm = 1",
        "3:7",
        "`agnet` is no label; labels are key, team, user, session, task, command, agent, subagent, provider, model, task_type, complexity, priority, and tag.NAME for your own",
        Some("did you mean `agent`?"),
    );
}
