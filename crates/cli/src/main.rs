//! The binary `almoner`: reads the command line, asks the server or starts it, and prints what came of it.

mod args;
mod client;
mod commands;
mod examples;
mod fail;
mod show;

use std::process::ExitCode;

use args::{Cli, Command};
use clap::Parser;
use fail::Manner;

/// Many small pieces are asked for in one thread and given back in another, for as long as the server runs.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return fail::misspoken(&error),
    };
    let manner = manner(&cli);
    let outcome = match cli.command {
        Command::Serve(serve) => commands::serve::run(&cli.common, &serve),
        Command::Exec(exec) => commands::exec::run(&cli.common, &exec),
        Command::Status => commands::status::run(&cli.common),
        Command::Metrics => commands::metrics::run(&cli.common),
        Command::Reload => commands::reload::run(&cli.common),
        Command::Budgets(budgets) => commands::budgets::run(&cli.common, budgets),
        Command::Keys(keys) => commands::keys::run(&cli.common, keys),
        Command::Token(token) => commands::token::run(&cli.common, token),
        Command::Openapi => commands::token::openapi(),
        Command::Usage(usage) => commands::usage::run(&cli.common, usage),
        Command::Decisions(decisions) => commands::decisions::run(&cli.common, decisions),
        Command::Events(events) => commands::events::run(&cli.common, events),
        Command::Explain { id } => commands::explain::run(&cli.common, id),
        Command::Holds(args::Holds::List) => commands::holds::list(&cli.common),
        Command::Correct(correct) => commands::holds::correct(&cli.common, correct),
        Command::Meter { files } => commands::meter::run(&files),
        Command::Prices(prices) => commands::prices::run(&cli.common, &prices),
        Command::Config(config) => commands::config::run(&cli.common, &config),
        Command::Completions { shell } => commands::shell::completions(shell),
        Command::Man { out } => commands::shell::man(out.as_deref()),
        Command::Ledger(ledger) => commands::ledger::run(&cli.common, &ledger),
    };
    outcome.unwrap_or_else(|failure| failure.report(manner))
}

/// How a failure of this command is told.
fn manner(cli: &Cli) -> Manner {
    match (cli.common.json, &cli.command) {
        (false, _) => Manner::Words,
        (true, Command::Exec(_)) => Manner::JsonAside,
        (true, _) => Manner::Json,
    }
}
