//! `overshoot [--rounds N] [--callers N] [--seed N]`: a crowd on one small budget, and what the provider bills.
//!
//! Callers of every dialect, streaming and not, call a real server at once, on a budget of one dollar, and many hang up
//! in the middle of an answer. The provider is too busy for some calls, which the server tries again. Each caller goes
//! on until it hears that there is no money. The bill must not be above the budget by a nano-dollar; and because a
//! false no is a defect as well, at least 97 % must be spent when the first caller hears it. Nothing else goes wrong in
//! this world, so in the end the books must be the bill.
//!
//! It looks for the server beside itself: `cargo build --package almoner`.

use std::io::{Write, stdout};
use std::time::Duration;

use almoner_testkit::proof::{AT_CAP, Args, BILLED, BUSY_ONE_IN, LIMIT, PRICES, Res, household, now};
use almoner_testkit::truth::Settings;
use almoner_testkit::{Books, Crowd, Habits, Tally, TruthProvider, one_budget};
use almoner_units::NanoUsd;
use serde_json::Value;

/// The caps that callers ask for.
const CAPS: [u64; 4] = [256, 1_024, 4_096, 32_000];
/// What must be spent at the first no, in thousandths of the budget.
const SPENT_LEAST: u64 = 970;
/// How long a round may take.
const ROUND_MAX: Duration = Duration::from_secs(300);

#[tokio::main]
async fn main() -> Res<()> {
    let args = Args::read(20)?;
    let mut found = Found { spent_least: u64::MAX, ..Found::default() };
    for seed in args.seeds() {
        found.add(&round(args.callers, seed).await?)?;
    }
    writeln!(stdout(), "{}", found.line(&args))?;
    Ok(())
}

/// What came of one budget.
struct Round {
    bill: u64,
    /// The books once everything has ended.
    books: Books,
    tally: Tally,
    took: Duration,
}

impl Round {
    /// A member of the first answer that said that there is no money.
    fn at_first_no(&self, name: &str) -> u64 {
        let answer = self.tally.first_no_money.as_ref();
        // Chat's amounts are texts.
        let amount = |fact: &Value| fact.as_u64().or_else(|| fact.as_str()?.parse().ok());
        // Ollama's error is a text, and the facts stand beside it.
        let facts =
            |answer: &Value| [&answer["error"]["almoner"], &answer["almoner"]].map(|facts| amount(&facts[name]));
        answer.and_then(|answer| facts(answer).into_iter().flatten().next()).unwrap_or(0)
    }
}

async fn round(callers: u64, seed: u64) -> Res<Round> {
    let (household, _folder) = household()?;
    let settings = Settings { prices: BILLED, busy_one_in: Some(BUSY_ONE_IN), ..Settings::default() };
    let provider = TruthProvider::start(settings).await?;
    std::fs::write(&household.config, one_budget(provider.addr(), NanoUsd::new(LIMIT), PRICES))?;
    let serving = household.serve().await?;
    let crowd = Crowd::gather(Habits { callers, seed, caps: &CAPS, at_cap: AT_CAP });
    let began = now();
    crowd.call(Some(serving.addr()));
    let told = crowd.wait_until(|tally| tally.no_money >= callers);
    let tally = tokio::time::timeout(ROUND_MAX, told).await?;
    let took = began.elapsed();
    // What callers left behind is read to its end, and settled.
    serving.stop().await?;
    provider.quiet().await?;
    let serving = household.serve().await?;
    let books = household.books().await?;
    serving.stop().await?;
    household.verify().await?;
    Ok(Round { bill: provider.bill().get(), books, tally, took })
}

/// What all rounds came to.
#[derive(Default)]
struct Found {
    bill_most: u64,
    /// The least that was spent at the first no, and the most that was assumed or held there.
    spent_least: u64,
    assumed_most: u64,
    held_most: u64,
    calls: u64,
    left: u64,
    no_money: u64,
    slow_downs: u64,
    tried_again: u64,
    took_most: Duration,
}

impl Found {
    fn add(&mut self, round: &Round) -> Res<()> {
        let Round { bill, books, tally, took } = round;
        let [spent, assumed, held] = ["spent", "assumed", "held"].map(|name| round.at_first_no(name));
        self.bill_most = self.bill_most.max(*bill);
        self.spent_least = self.spent_least.min(spent);
        self.assumed_most = self.assumed_most.max(assumed);
        self.held_most = self.held_most.max(held);
        self.calls += tally.calls;
        self.left += tally.left;
        self.no_money += tally.no_money;
        self.slow_downs += tally.slow_downs;
        self.tried_again += tally.tried_again;
        self.took_most = self.took_most.max(*took);
        let is_kept = *bill <= LIMIT && books.held == 0 && books.charged() <= LIMIT && *bill <= books.charged();
        let is_used = u128::from(spent) * 1_000 >= u128::from(LIMIT) * u128::from(SPENT_LEAST);
        if is_kept && is_used && tally.tried_again > 0 {
            return Ok(());
        }
        Err(format!("billed {bill}, {books:?}, at the first no: spent {spent}, assumed {assumed}, held {held}").into())
    }

    fn line(&self, args: &Args) -> String {
        let dollars = |nano| NanoUsd::new(nano).to_string();
        format!(
            "overshoot: n {} callers in {} rounds, seeds {}..{}, worst case billed {} of {}, at the first no money \
             spent at least {} with at most {} assumed and {} held, {} calls, {} hung up, {} heard no money, {} heard \
             slow down, {} tried again, a round took at most {} ms",
            args.callers,
            args.rounds,
            args.seed,
            args.seed + args.rounds,
            dollars(self.bill_most),
            dollars(LIMIT),
            dollars(self.spent_least),
            dollars(self.assumed_most),
            dollars(self.held_most),
            self.calls,
            self.left,
            self.no_money,
            self.slow_downs,
            self.tried_again,
            self.took_most.as_millis()
        )
    }
}
