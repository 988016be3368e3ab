//! `fuzz -- run TARGET SECONDS [SEED]`, and what libFuzzer begins with: `fuzz -- seeds TARGET DIR`, `fuzz -- words`.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program speaks to the person who started it")]
#![allow(clippy::disallowed_methods, reason = "whoever asks for seconds needs a clock")]

use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use almoner_fuzzing::{Campaign, TARGETS, Target, WORDS};

/// How many runs go by between two looks at the clock.
const BATCH: u64 = 200;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &[&str]) -> Result<(), Box<dyn Error>> {
    match *args {
        ["targets"] => TARGETS.iter().for_each(|target| println!("{}", target.name)),
        ["words"] => WORDS.iter().for_each(|word| println!("\"{}\"", quoted(word))),
        ["seeds", target, dir] => write_seeds(named(target)?, Path::new(dir))?,
        ["run", target, seconds] => campaign(named(target)?, seconds.parse()?, 0)?,
        ["run", target, seconds, seed] => campaign(named(target)?, seconds.parse()?, seed.parse()?)?,
        _ => return Err("write `run TARGET SECONDS [SEED]`, `seeds TARGET DIR`, `targets` or `words`".into()),
    }
    Ok(())
}

fn named(name: &str) -> Result<Target, String> {
    let names = || TARGETS.map(|target| target.name).join(", ");
    let found = TARGETS.into_iter().find(|target| target.name == name);
    found.ok_or_else(|| format!("no target is named `{name}`; there are {}", names()))
}

/// A word as a dictionary of libFuzzer has it.
fn quoted(word: &str) -> String {
    let byte = |byte: u8| match byte {
        b'"' | b'\\' => format!("\\{}", char::from(byte)),
        b' '..=b'~' => char::from(byte).to_string(),
        _ => format!("\\x{byte:02x}"),
    };
    word.bytes().map(byte).collect()
}

fn write_seeds(target: Target, dir: &Path) -> std::io::Result<()> {
    fs::create_dir_all(dir)?;
    let campaign = Campaign::new(target, 0);
    campaign.seeds().iter().enumerate().try_for_each(|(at, seed)| fs::write(dir.join(format!("seed-{at:03}")), seed))
}

fn campaign(target: Target, seconds: u64, seed: u64) -> Result<(), String> {
    let campaign = Campaign::new(target, seed);
    let (start, most) = (Instant::now(), Duration::from_secs(seconds));
    let mut runs = 0;
    while start.elapsed() < most {
        campaign.run(runs..runs + BATCH).map_err(|finding| finding.to_string())?;
        runs += BATCH;
    }
    println!("fuzz {}: n {runs} runs, seeds {seed}, findings 0", target.name);
    Ok(())
}
