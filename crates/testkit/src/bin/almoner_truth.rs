//! The provider that keeps the truth, as a process of its own: it outlives whatever is killed in front of it.
//!
//! `almoner-truth [--seed N] [--plan 'output=cap …'] [--input-pico N] [--output-pico N]` prints its address as its
//! first line, and serves until it is ended.

use std::error::Error;
use std::io::{Write, stdout};

use almoner_testkit::truth::{Plan, Settings, TruthProvider};
use almoner_units::PicoUsdPerToken;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let provider = TruthProvider::start(settings(std::env::args().skip(1))?).await?;
    writeln!(stdout(), "{}", provider.addr())?;
    stdout().flush()?;
    std::future::pending().await
}

fn settings(mut words: impl Iterator<Item = String>) -> Result<Settings, Box<dyn Error>> {
    let mut settings = Settings::default();
    while let Some(flag) = words.next() {
        let value = words.next().ok_or_else(|| format!("`{flag}` needs a value"))?;
        match flag.as_str() {
            "--seed" => settings.seed = Some(value.parse()?),
            "--plan" => settings.plan = Plan::read(&value)?,
            "--input-pico" => settings.prices.input = PicoUsdPerToken::new(value.parse()?),
            "--output-pico" => settings.prices.output = PicoUsdPerToken::new(value.parse()?),
            _ => return Err(format!("`{flag}` is no flag of almoner-truth").into()),
        }
    }
    Ok(settings)
}
