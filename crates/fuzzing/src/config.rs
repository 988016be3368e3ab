//! Configuration files of any content, in each of their forms.

use std::io;
use std::path::PathBuf;

use almoner_config::{BudgetsFrom, ConfigErrors, ConfigFile, Settings, Sources, load};
use almoner_units::Limit;

/// Any text as a configuration: settings that are sound, or errors that stand somewhere.
pub(crate) fn config(data: &[u8]) {
    let Some((form, text)) = data.split_first() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    let path = PathBuf::from(["almoner.toml", "almoner.json", "almoner.yaml"][usize::from(*form) % 3]);
    let file = ConfigFile { path, text: text.to_owned() };
    let mut sources = Sources { file: Some(file), ..Sources::empty("state") };
    // No file but this one is read, whatever it names.
    sources.read_key = |_| Err(io::Error::other("there are no other files"));
    match load(&sources) {
        Ok(settings) => is_sound(&settings),
        Err(errors) => stand_somewhere(&errors, text),
    }
}

fn is_sound(settings: &Settings) {
    // Where others come in, they need a key.
    assert!(settings.listen.ip().is_loopback() || settings.require_key);
    assert!(settings.default_output <= settings.max_output);
    for setting in settings.origins() {
        is_printable(&format!("{setting:?}"));
    }
    if let BudgetsFrom::File(budgets) = &settings.budgets {
        assert!(!budgets.is_empty());
        for limit in budgets.iter().flat_map(|budget| &budget.limits) {
            assert_eq!(limit.to_string().parse::<Limit>().as_ref(), Ok(limit));
        }
    }
}

fn stand_somewhere(errors: &ConfigErrors, text: &str) {
    assert!((1..=50).contains(&errors.problems().len()), "{} problems", errors.problems().len());
    let lines = text.matches('\n').count() + 1;
    for problem in errors.problems() {
        assert!(!problem.message.is_empty());
        is_printable(&problem.to_string());
        if let Some(place) = &problem.location {
            assert!((1..=lines).contains(&place.line) && place.column >= 1, "{place}: there are {lines} lines");
        }
    }
}

/// What a stranger's file makes us print must not speak to the terminal.
fn is_printable(shown: &str) {
    assert!(!shown.chars().any(|c| c.is_control() && c != '\n'), "control characters in {shown:?}");
}
