//! `almoner meter FILE…`

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::fail::{Failed, Manner, Outcome};
use crate::show;

/// Prints one JSON object a file, in the order given. A file that cannot be read is told on standard error, and the
/// rest is still printed.
pub(crate) fn run(files: &[PathBuf]) -> Outcome {
    let mut code = ExitCode::SUCCESS;
    for file in files {
        match read(file) {
            Ok(usage) => show::line(usage),
            Err(failure) => code = failure.report(Manner::Words),
        }
    }
    Ok(code)
}

fn read(file: &Path) -> Result<serde_json::Value, Failed> {
    let about = |error: &dyn std::fmt::Display| Failed::new("unreadable", format!("{}: {error}", file.display()));
    let text = std::fs::read_to_string(file).map_err(|error| about(&error))?;
    almoner_meter::exchange::read(&text).map_err(|error| about(&error))
}
