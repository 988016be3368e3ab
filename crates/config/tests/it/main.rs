//! The configuration from outside: texts in, settings or rendered faults out.

mod bad;
mod book;
mod good;
mod hostile;
mod paces;
mod routes;
mod system;

use std::path::Path;

use almoner_config::{ConfigErrors, ConfigFile, KeyFile, Settings, Sources, load};

/// Sources with this file, a home of our own, and key files that are told by their name.
fn sources(path: &str, text: &str) -> Sources {
    Sources {
        file: Some(ConfigFile { path: path.into(), text: text.to_owned() }),
        read_key: |path: &Path| match path.file_name().and_then(|name| name.to_str()) {
            Some("open.key") => Ok(KeyFile { mode: Some(0o100_644), owner: None, text: "hunter2".to_owned() }),
            Some("good.key") => Ok(KeyFile { mode: Some(0o100_600), owner: None, text: "hunter2\n".to_owned() }),
            _ => Err(std::io::ErrorKind::NotFound.into()),
        },
        ..Sources::empty("/home/me/state")
    }
}

fn load_toml(text: &str) -> Result<Settings, ConfigErrors> {
    load(&sources("almoner.toml", text))
}

fn env(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}
