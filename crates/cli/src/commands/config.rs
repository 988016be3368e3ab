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
        Config::Print { origin } if common.json => show::json(&facts(&settings, *origin))?,
        Config::Print { origin } => print(&settings, *origin),
    }
    Ok(ExitCode::SUCCESS)
}

fn warnings(settings: &Settings) -> Vec<String> {
    settings.warnings().iter().map(ToString::to_string).collect()
}

fn print(settings: &Settings, origin: bool) {
    for setting in settings.origins() {
        let from = if origin { format!("  # {}", setting.origin) } else { String::new() };
        show::line(format!("{} = {}{from}", setting.key, setting.value));
    }
}

fn facts(settings: &Settings, origin: bool) -> serde_json::Value {
    let of = |setting: &almoner_config::Setting| {
        let mut fact = serde_json::json!({ "key": setting.key, "value": setting.value });
        if origin {
            fact["origin"] = setting.origin.to_string().into();
        }
        fact
    };
    settings.origins().iter().map(of).collect()
}
