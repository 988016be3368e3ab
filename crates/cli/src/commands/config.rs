//! `almoner config check|print`

use std::process::ExitCode;

use almoner_config::{Flags, Settings};

use crate::args::{Common, Config};
use crate::client::settings;
use crate::fail::Outcome;
use crate::show;

pub(crate) fn run(common: &Common, command: &Config) -> Outcome {
    let settings = settings(common, Flags::default())?;
    match command {
        Config::Check if common.json => show::json(&serde_json::json!({ "warnings": warnings(&settings) }))?,
        Config::Check => {
            let warnings = warnings(&settings);
            warnings.iter().for_each(show::line);
            show::line(if warnings.is_empty() { "the configuration is fine" } else { "usable, with warnings" });
        }
        Config::Print if common.json => show::json(&facts(&settings))?,
        Config::Print => print(&settings),
    }
    Ok(ExitCode::SUCCESS)
}

fn warnings(settings: &Settings) -> Vec<String> {
    settings.warnings().iter().map(ToString::to_string).collect()
}

fn print(settings: &Settings) {
    for setting in settings.origins() {
        let value = if setting.value.is_empty() { "-" } else { &setting.value };
        show::line(format!("{} = {value}  # {}", setting.key, setting.origin));
    }
}

fn facts(settings: &Settings) -> serde_json::Value {
    let of = |setting: &almoner_config::Setting| serde_json::json!({ "key": setting.key, "value": setting.value, "origin": setting.origin.to_string() });
    settings.origins().iter().map(of).collect()
}
