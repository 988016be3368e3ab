//! `cargo xtask openapi`: writes the published document of the REST interface anew.

use crate::{Outcome, root, run};

/// The document that programs are made from; a test of `web` compares it with what the server gives.
const PUBLISHED: &str = "docs/openapi.json";

pub(crate) fn run(_: &[String]) -> Outcome {
    let mut cargo = run::cargo(&["run", "--quiet", "--package", "almoner", "--", "openapi"]);
    let output = cargo.output().map_err(|why| format!("cargo could not be started: {why}"))?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    std::fs::write(root().join(PUBLISHED), output.stdout).map_err(|why| format!("{PUBLISHED} cannot be written: {why}"))
}
