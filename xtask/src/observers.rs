//! `cargo xtask observers`: the traces and the metrics of a real server, read with the libraries of OpenTelemetry and
//! Prometheus, so that not only readers of our own find them right.

use crate::clients::binary;
use crate::{Outcome, run};

const SCRIPT: &str = "crates/testkit/observers/run.sh";

pub(crate) fn run(_: &[String]) -> Outcome {
    install()?;
    read()
}

/// The same as a part of all tests; `None` where the machine cannot have the libraries, which is said.
pub(crate) fn run_where_possible() -> Option<Outcome> {
    if let Err(why) = install() {
        println!("skipped: the libraries of OpenTelemetry and Prometheus, because they cannot be installed: {why}");
        return None;
    }
    Some(read())
}

fn install() -> Outcome {
    run::to_end(&mut run::program("bash", &[SCRIPT]))
}

fn read() -> Outcome {
    run::to_end(&mut run::cargo(&["build", "--quiet", "--package", "almoner"]))?;
    run::to_end(&mut run::program("bash", &[SCRIPT, &binary().to_string_lossy()]))
}
