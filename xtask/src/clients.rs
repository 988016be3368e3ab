//! `cargo xtask clients`: real agents and SDKs, through a real Almoner, against a scripted provider.
//!
//! They are scripts in `crates/testkit/clients`: `setup.sh` installs the clients at their pinned versions, and every
//! other `*.sh` is one client's story, which ends in success or says what differed.

use std::path::{Path, PathBuf};

use crate::{Outcome, root, run};

const SCRIPTS: &str = "crates/testkit/clients";
const SETUP: &str = "setup.sh";

pub(crate) fn run(_: &[String]) -> Outcome {
    let scripts = scripts(&root().join(SCRIPTS));
    if scripts.is_empty() {
        println!("no client is scripted yet; {SCRIPTS}/*.sh is where one goes");
        return Ok(());
    }
    let mut failed = Vec::new();
    for script in scripts {
        let name = script.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        match run::to_end(&mut run::program("bash", &[&script.to_string_lossy()])) {
            Ok(()) => println!("client {name}: ok"),
            Err(why) if script.ends_with(SETUP) => return Err(why),
            Err(why) => {
                println!("client {name}: {why}");
                failed.push(name);
            }
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(format!("failed: {}", failed.join(", "))) }
}

/// The scripts by name, the set-up first.
fn scripts(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut scripts: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|it| it == "sh")).collect();
    scripts.sort_by_key(|path| (!path.ends_with(SETUP), path.clone()));
    scripts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_directory_has_no_scripts() {
        assert_eq!(scripts(Path::new("no/such/place")), Vec::<PathBuf>::new());
    }
}
