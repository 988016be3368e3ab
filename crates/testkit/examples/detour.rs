//! `detour [--rounds N] [--callers N] [--seed N]`: a crowd on one small budget that leads to a free provider.
//!
//! Callers of every dialect, streaming and not, call a real server at once, on a budget of one dollar whose calls take
//! a route to a free provider when it is exhausted; many hang up in the middle of an answer. The bill of the paid
//! provider must not be above the budget by a nano-dollar and at least 97 % of it, and nobody may hear a no. Both
//! providers are too busy for some calls, which are tried again.
//!
//! It looks for the server beside itself: `cargo build --package almoner`.

use std::io::{Write, stdout};
use std::net::SocketAddr;
use std::time::Duration;

use almoner_testkit::proof::{AT_CAP, Args, BILLED, BUSY_ONE_IN, LIMIT, PRICES, Res, household, now};
use almoner_testkit::truth::Settings;
use almoner_testkit::{Crowd, Habits, Tally, TruthProvider, one_budget};
use almoner_units::NanoUsd;

/// The caps that callers ask for.
const CAPS: [u64; 3] = [256, 1_024, 4_096];
/// What must be billed, in thousandths of the budget.
const BILLED_LEAST: u64 = 970;
/// How many answers a caller gets before the crowd goes home.
const ANSWERS: u64 = 12;
/// How long a round may take.
const ROUND_MAX: Duration = Duration::from_secs(300);

#[tokio::main]
async fn main() -> Res<()> {
    let args = Args::read(5)?;
    let mut found = Found { billed_least: u64::MAX, ..Found::default() };
    for seed in args.seeds() {
        found.add(&round(args.callers, seed).await?)?;
    }
    writeln!(stdout(), "{}", found.line(&args))?;
    Ok(())
}

/// The budget of the overshoot, with a way on.
fn config(paid: SocketAddr, free: SocketAddr) -> String {
    let budget = one_budget(paid, NanoUsd::new(LIMIT), PRICES);
    format!(
        r#"{budget}when_exhausted = {{ route = "local" }}

[[provider]]
name = "local"
dialects = ["anthropic", "openai-chat", "openai-responses", "gemini", "ollama"]
base_url = "http://{free}"
models = ["truth-local"]
free = true

[[route]]
name = "local"
to = [{{ provider = "local", model = "truth-local" }}]
"#
    )
}

/// What came of one budget.
struct Round {
    bill: u64,
    charged: u64,
    /// How many calls the free provider got.
    free: u64,
    tally: Tally,
    took: Duration,
}

async fn round(callers: u64, seed: u64) -> Res<Round> {
    let (household, _folder) = household()?;
    let busy_one_in = Some(BUSY_ONE_IN);
    let paid = TruthProvider::start(Settings { prices: BILLED, busy_one_in, ..Settings::default() }).await?;
    let free = TruthProvider::start(Settings { busy_one_in, ..Settings::default() }).await?;
    std::fs::write(&household.config, config(paid.addr(), free.addr()))?;
    let serving = household.serve().await?;
    let crowd = Crowd::gather(Habits { callers, seed, caps: &CAPS, at_cap: AT_CAP });
    let began = now();
    crowd.call(Some(serving.addr()));
    let told = crowd.wait_until(|tally| tally.answered >= callers * ANSWERS || tally.no_money > 0);
    let tally = tokio::time::timeout(ROUND_MAX, told).await?;
    let took = began.elapsed();
    // The crowd goes home before the server does.
    drop(crowd);
    serving.stop().await?;
    paid.quiet().await?;
    let serving = household.serve().await?;
    let charged = household.books().await?.charged();
    serving.stop().await?;
    household.verify().await?;
    Ok(Round { bill: paid.bill().get(), charged, free: free.calls().len() as u64, tally, took })
}

/// What all rounds came to.
#[derive(Default)]
struct Found {
    billed_most: u64,
    billed_least: u64,
    free: u64,
    answered: u64,
    left: u64,
    tried_again: u64,
    took_most: Duration,
}

impl Found {
    fn add(&mut self, round: &Round) -> Res<()> {
        let Round { bill, charged, free, tally, took } = round;
        self.billed_most = self.billed_most.max(*bill);
        self.billed_least = self.billed_least.min(*bill);
        self.free += free;
        self.answered += tally.answered;
        self.left += tally.left;
        self.tried_again += tally.tried_again;
        self.took_most = self.took_most.max(*took);
        let is_kept = *bill <= *charged && *charged <= LIMIT;
        let is_used = u128::from(*bill) * 1_000 >= u128::from(LIMIT) * u128::from(BILLED_LEAST);
        let refused = tally.no_money + tally.slow_downs + tally.faults + tally.broken;
        if is_kept && is_used && refused == 0 && *free > 0 && tally.tried_again > 0 {
            return Ok(());
        }
        Err(format!("billed {bill}, charged {charged}, {free} calls for nothing, {tally:?}").into())
    }

    fn line(&self, args: &Args) -> String {
        let dollars = |nano| NanoUsd::new(nano).to_string();
        format!(
            "detour: n {} callers in {} rounds, seeds {}..{}, worst case billed {} and at least {} of {}, {} calls went on \
             for nothing, {} answered, {} hung up, 0 refused, {} tried again, a round took at most {} ms",
            args.callers,
            args.rounds,
            args.seed,
            args.seed + args.rounds,
            dollars(self.billed_most),
            dollars(self.billed_least),
            dollars(LIMIT),
            self.free,
            self.answered,
            self.left,
            self.tried_again,
            self.took_most.as_millis()
        )
    }
}
