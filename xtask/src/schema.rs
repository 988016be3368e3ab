//! `cargo xtask schema`: schemathesis asks a real server everything that its OpenAPI document allows, and what it does
//! not. Answers that are not as the document says, faults of the server and requests that are let in without a token
//! are findings.

use crate::clients::{Server, World};
use crate::{Outcome, run};

const SCRIPT: &str = "crates/testkit/schema/run.sh";

pub(crate) fn run(args: &[String]) -> Outcome {
    run::to_end(&mut run::cargo(&["build", "--quiet", "--package", "almoner"]))?;
    let world = World::new()?;
    let server = Server::start(&world, &[])?;
    let token = std::fs::read_to_string(world.state().join("admin.token"));
    let token = token.map_err(|why| format!("the admin's token cannot be read: {why}"))?;
    let args: Vec<&str> =
        [SCRIPT, &server.address, token.trim()].into_iter().chain(args.iter().map(String::as_str)).collect();
    let asked = run::to_end(&mut run::program("bash", &args)).map_err(|why| why.replace(token.trim(), "***"));
    server.stop()?;
    asked
}
