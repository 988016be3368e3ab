//! How fast holds become durable, through the same keeper that serves the gateway, beside what the same disk does at
//! that moment.
//!
//! `cargo run --release -p almoner-daemon --example durable -- [all|row] [DIR]`
//!
//! `row` prints only how long one durable row takes, in milliseconds. DIR is the temporary folder unless it is named;
//! what is written there is removed. A reserve is timed in turns with an append and `fdatasync` of 4 KiB in the same
//! folder, because disks change their mind from second to second.
#![allow(clippy::disallowed_methods, clippy::print_stdout, clippy::float_arithmetic, clippy::cast_precision_loss)]

use std::error::Error;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use almoner_daemon::open_purse;
use almoner_gateway::{Decision, End, Purse, Question};
use almoner_units::{AccountKey, Ask, Budget, Charge, LevelMarks, Meter, Mode, PicoUsdPerToken, Priority, Span};

type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

const ROUNDS: usize = 5;
/// Reserves and raw appends in a round.
const TURNS: usize = 150;
/// How long each number of calls in flight runs in a round.
const CLOSED_LOOP: Duration = Duration::from_secs(2);
const IN_FLIGHT: [usize; 3] = [1, 8, 64];

#[tokio::main]
async fn main() -> Outcome {
    let mut args = std::env::args().skip(1);
    let what = args.next().unwrap_or_else(|| "all".to_owned());
    let base = args.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let dir = base.join(format!("almoner-durable-{}", std::process::id()));
    let outcome = match what.as_str() {
        "row" => row(&dir).await,
        _ => all(&dir).await,
    };
    std::fs::remove_dir_all(&dir)?;
    outcome
}

async fn row(dir: &Path) -> Outcome {
    let bench = Bench::open(dir)?;
    let mut took = Vec::new();
    for _ in 0..TURNS {
        took.push(bench.timed_call().await?);
    }
    println!("{:.6}", median(&mut took));
    Ok(())
}

async fn all(dir: &Path) -> Outcome {
    let bench = Arc::new(Bench::open(dir)?);
    let mut raw = Raw::open(&dir.join("raw"))?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let (mut reserves, mut appends) = (Vec::new(), Vec::new());
        for _ in 0..TURNS {
            reserves.push(bench.timed_call().await?);
            appends.push(raw.timed_append()?);
        }
        ours.push(median(&mut reserves));
        theirs.push(median(&mut appends));
    }
    let more: Vec<f64> = ours.iter().zip(&theirs).map(|(ours, theirs)| ours - theirs).collect();
    tell("durable reserve alone, p50", "ms", &ours);
    tell("4 KiB and fdatasync, p50", "ms", &theirs);
    tell("durable reserve beyond fdatasync", "at most 0.3 ms", &more);
    let mut rates = [const { Vec::new() }; IN_FLIGHT.len()];
    let mut facts = [const { Vec::new() }; IN_FLIGHT.len()];
    for _ in 0..ROUNDS {
        for (at, in_flight) in IN_FLIGHT.into_iter().enumerate() {
            let (rate, shared) = Bench::many(&bench, in_flight).await?;
            rates[at].push(rate);
            facts[at].push(shared);
        }
    }
    for (at, in_flight) in IN_FLIGHT.into_iter().enumerate() {
        tell(&format!("durable, {in_flight} in flight"), "commands/s", &rates[at]);
        tell(&format!("durable, {in_flight} in flight, commands a commit"), "", &facts[at]);
    }
    let (alone, many) = (&rates[0], &rates[IN_FLIGHT.len() - 1]);
    let ratio: Vec<f64> = many.iter().zip(alone).map(|(many, alone)| many / alone).collect();
    tell("durable, 64 in flight / alone", "at least 15 ×", &ratio);
    Ok(())
}

/// A line that `cargo xtask bench` reads.
fn tell(what: &str, goal: &str, rounds: &[f64]) {
    let rounds: Vec<String> = rounds.iter().map(|round| format!("{round:.6}")).collect();
    println!("bench: {what} | {goal} | {}", rounds.join(" "));
}

fn median(took: &mut [f64]) -> f64 {
    took.sort_by(f64::total_cmp);
    took[took.len() / 2]
}

fn ms(took: Duration) -> f64 {
    took.as_secs_f64() * 1000.0
}

/// A keeper over four accounts, and what its commits wrote.
struct Bench<P> {
    purse: P,
    accounts: Vec<AccountKey>,
    commits: Arc<AtomicUsize>,
}

impl Bench<()> {
    fn open(dir: &Path) -> Outcome<Bench<impl Purse>> {
        let mut budgets = Vec::new();
        for name in ["one", "two", "three", "four"] {
            budgets.push(Budget {
                name: name.parse()?,
                filter: Vec::new(),
                per: Vec::new(),
                limits: vec!["$1000000000 / month".parse()?],
                mode: Mode::StopNew,
                marks: LevelMarks::default(),
            });
        }
        let accounts = budgets.iter().map(|budget| AccountKey { budget: budget.name.clone(), per: Vec::new() });
        let accounts = accounts.collect();
        let commits = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&commits);
        let purse = open_purse(dir, budgets, move |_| {
            counted.fetch_add(1, Ordering::Relaxed);
        })?;
        Ok(Bench { purse, accounts, commits })
    }
}

impl<P: Purse> Bench<P> {
    /// One reserve, timed in milliseconds, and its settle, which rides with the next.
    async fn timed_call(&self) -> Outcome<f64> {
        let question = self.question();
        let (id, began) = (question.id, Instant::now());
        let decision = self.purse.reserve(question).await?;
        let took = ms(began.elapsed());
        if !matches!(decision, Decision::Admitted(_)) {
            return Err(format!("a call that fits was not let go: {decision:?}").into());
        }
        self.purse.end(id, End::Settled(charge()));
        Ok(took)
    }

    fn question(&self) -> Question {
        Question {
            id: self.purse.new_call(),
            accounts: self.accounts.clone(),
            key: "bench".to_owned(),
            ask: Ask::new(charge(), 1, PicoUsdPerToken::new(15_000_000), 8192),
            priority: Priority::Normal,
            can_tighten: false,
            wait_max: Span::from_secs(30),
            hold_max: Span::from_secs(600),
        }
    }
}

impl<P: Purse> Bench<P> {
    /// Reserves and settles in closed loops: commands a second, and commands a commit.
    async fn many(bench: &Arc<Self>, in_flight: usize) -> Outcome<(f64, f64)> {
        let (began, commits) = (Instant::now(), bench.commits.load(Ordering::Relaxed));
        let callers = (0..in_flight).map(|_| {
            let bench = Arc::clone(bench);
            tokio::spawn(async move {
                let mut calls = 0_usize;
                while began.elapsed() < CLOSED_LOOP {
                    bench.timed_call().await?;
                    calls += 1;
                }
                Outcome::Ok(calls)
            })
        });
        let mut calls = 0;
        for caller in callers.collect::<Vec<_>>() {
            calls += caller.await??;
        }
        let commands = 2.0 * calls as f64;
        let commits = bench.commits.load(Ordering::Relaxed) - commits;
        Ok((commands / began.elapsed().as_secs_f64(), commands / commits.max(1) as f64))
    }
}

fn charge() -> Charge {
    let mut charge = Charge::ZERO;
    for (meter, amount) in [(Meter::Usd, 12_345_678), (Meter::Tokens, 4_321), (Meter::Requests, 1)] {
        charge[meter] = amount;
    }
    charge
}

/// What the disk itself can do.
struct Raw(File);

impl Raw {
    fn open(path: &Path) -> Outcome<Self> {
        Ok(Self(OpenOptions::new().create(true).append(true).open(path)?))
    }

    fn timed_append(&mut self) -> Outcome<f64> {
        let began = Instant::now();
        self.0.write_all(&[7; 4096])?;
        self.0.sync_data()?;
        Ok(ms(began.elapsed()))
    }
}
