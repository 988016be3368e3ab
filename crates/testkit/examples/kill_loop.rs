//! `kill_loop [--kills N] [--bad-kills N] [--seed N]`: a real server, killed again and again under load.
//!
//! In front of a provider that keeps the truth and misbehaves by dice, callers of every dialect stream, do not stream,
//! and hang up. What the provider refuses goes on by a route to another model of its price, and is tried again. The
//! server is killed as by `kill -9` at a random moment and started again on the same state. Each time, what the
//! provider billed must not be above what the ledger has charged, that not above the limit, and nothing may be held.
//! When the budget is used up another begins, with a new state and a new provider.
//!
//! Then the same loop runs servers that are known to be wrong, and must find each out: one that lets calls go before
//! their holds are on disk, and one that gives back what a crash left open.
//!
//! It looks for the programs beside itself: `cargo build --package almoner`, and
//! `cargo build --package almoner-daemon --features known-bad --example known_bad`.

use std::error::Error;
use std::io::{Write, stdout};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use almoner_testkit::truth::{Prices, Settings};
use almoner_testkit::{Books, Crowd, Dice, Habits, Household, Tally, TruthProvider, one_budget, priced_provider};
use almoner_units::{NanoUsd, PicoUsdPerToken};

type Res<T> = Result<T, Box<dyn Error>>;

/// How many callers there are at once.
const CALLERS: u64 = 32;
/// The caps they ask for.
const CAPS: [u64; 3] = [512, 1_024, 2_048];
/// Most calls get all the output they may have: then a bound is tight, and a hold that is lost is not made up for by
/// what others held too much.
const AT_CAP: u64 = 7;
/// The budgets, in nano-dollars.
const LIMITS: [u64; 3] = [1_000_000_000, 2_000_000_000, 4_000_000_000];
/// What a million tokens cost, in words and in pico-dollars a token.
const PRICES: (&str, &str) = ("1", "15");
const BILLED: Prices = Prices { input: PicoUsdPerToken::new(1_000_000), output: PicoUsdPerToken::new(15_000_000) };
/// The most calls that a server sees before it is killed, and the most time after the last of them.
const CALLS_MAX: u64 = 200;
const MOMENT_MS_MAX: u64 = 20;
/// How long it may take until so many calls have come.
const LOAD_MAX: Duration = Duration::from_secs(60);

#[tokio::main]
async fn main() -> Res<()> {
    let args = Args::read()?;
    let mut good = Loop::new(args.seed, args.kills, &almoner()?, &["serve", "--listen", "127.0.0.1:0"])?;
    while !good.is_done() {
        good.live().await?;
        if let Some(wrong) = &good.found.wrong {
            return Err(wrong.clone().into());
        }
    }
    say(&good.found.line("kill loop", args.seed))?;
    for word in ["reply-first", "release-on-recovery"] {
        let mut bad = Loop::new(args.seed, args.bad_kills, &known_bad()?, &[word])?;
        while bad.found.overrun_at.is_none() && !bad.is_done() {
            bad.live().await?;
        }
        say(&bad.found.bad_line(word, args.seed))?;
        bad.found.overrun_at.ok_or_else(|| format!("the loop did not find out the server that does {word}"))?;
    }
    Ok(())
}

struct Args {
    kills: u64,
    bad_kills: u64,
    seed: u64,
}

impl Args {
    fn read() -> Res<Self> {
        let mut args = Self { kills: 500, bad_kills: 500, seed: 1 };
        let mut words = std::env::args().skip(1);
        while let Some(flag) = words.next() {
            let value = words.next().ok_or_else(|| format!("`{flag}` needs a number"))?.parse()?;
            match flag.as_str() {
                "--kills" => args.kills = value,
                "--bad-kills" => args.bad_kills = value,
                "--seed" => args.seed = value,
                _ => return Err(format!("there is no flag `{flag}`").into()),
            }
        }
        Ok(args)
    }
}

/// The binary `almoner`, as it is built beside the examples.
fn almoner() -> Res<PathBuf> {
    beside("../almoner", "cargo build --package almoner")
}

fn known_bad() -> Res<PathBuf> {
    beside("known_bad", "cargo build --package almoner-daemon --features known-bad --example known_bad")
}

fn beside(name: &str, build: &str) -> Res<PathBuf> {
    let here = std::env::current_exe()?;
    let path = here.parent().unwrap_or(&here).join(name);
    path.canonicalize().map_err(|_| format!("there is no {}; run `{build}` first", path.display()).into())
}

fn say(line: &str) -> std::io::Result<()> {
    writeln!(stdout(), "{line}")?;
    stdout().flush()
}

/// What the loop found.
#[derive(Default)]
struct Found {
    kills: u64,
    calls: u64,
    tried_again: u64,
    rerouted: u64,
    budgets: u64,
    /// The most that was charged, in thousandths of its limit.
    charged_most: u64,
    /// The most that was billed, in thousandths of what was charged, and of its limit.
    billed_most: u64,
    bill_most: u64,
    /// The limits of all budgets that were used up, and what was charged on them and never billed.
    limits: u64,
    stranded: u64,
    /// At which kill the books were first below the bill, and the bill first above the limit.
    short_at: Option<u64>,
    overrun_at: Option<u64>,
    /// The first thing that was not as it must be.
    wrong: Option<String>,
}

impl Found {
    fn line(&self, name: &str, seed: u64) -> String {
        let Self { kills, calls, tried_again, rerouted, budgets, charged_most, billed_most, .. } = self;
        let stranded = permille(self.stranded, self.limits);
        let chance = permille(3, *kills).min(1_000);
        format!(
            "{name}: n {kills} kills, seeds {seed}, worst case {} of a limit charged and {} of the charge billed, \
             nothing held after a start, journals sound, {calls} calls, {rerouted} went on elsewhere, {tried_again} tried again, {budgets} \
             budgets used up, {} charged and \
             never billed, chance that a kill overruns < {} at 95 %",
            percent(*charged_most),
            percent(*billed_most),
            percent(stranded),
            percent(chance)
        )
    }

    fn bad_line(&self, name: &str, seed: u64) -> String {
        let at = |kill: Option<u64>| kill.map_or_else(|| "never".to_owned(), |kill| format!("at kill {kill}"));
        format!(
            "kill loop against {name}: n {} kills, seeds {seed}, worst case {} of a limit billed, books short {}, bill \
             over the limit {}",
            self.kills,
            percent(self.bill_most),
            at(self.short_at),
            at(self.overrun_at)
        )
    }

    /// Compares the books after a start with the bill.
    fn compare(&mut self, books: Books, bill: u64, limit: u64) {
        let charged = books.charged();
        self.charged_most = self.charged_most.max(permille(charged, limit));
        self.billed_most = self.billed_most.max(permille(bill, charged));
        self.bill_most = self.bill_most.max(permille(bill, limit));
        if bill > charged {
            self.short_at.get_or_insert(self.kills);
        }
        if bill > limit {
            self.overrun_at.get_or_insert(self.kills);
        }
        let is_right = bill <= charged && charged <= limit && books.held == 0 && books.open_holds == 0;
        if !is_right {
            let kills = self.kills;
            self.wrong.get_or_insert(format!("after kill {kills}: billed {bill}, limit {limit}, {books:?}"));
        }
    }
}

/// Thousandths, rounded up.
fn permille(part: u64, whole: u64) -> u64 {
    let thousandths = u128::from(part) * 1_000;
    u64::try_from(thousandths.div_ceil(u128::from(whole.max(1)))).unwrap_or(u64::MAX)
}

fn percent(permille: u64) -> String {
    format!("{}.{} %", permille / 10, permille % 10)
}

/// Where calls go on to that the provider refuses: as if to another, whose bill is on the same budget.
fn way_on(provider: SocketAddr) -> String {
    let spare = priced_provider("spare", provider, PRICES);
    format!(
        r#"{spare}
[[route]]
name = "on"
where = {{ model = "truth-model" }}
to = [
  {{ provider = "truth" }},
  {{ provider = "spare", model = "spare-model", when = ["429", "provider down", "timeout"] }},
]
"#
    )
}

/// The loop over one kind of server.
struct Loop {
    kills_max: u64,
    dice: Dice,
    household: Household,
    _folder: tempfile::TempDir,
    found: Found,
}

impl Loop {
    fn new(seed: u64, kills_max: u64, server: &std::path::Path, words: &[&str]) -> Res<Self> {
        let folder = tempfile::tempdir()?;
        let household = Household {
            almoner: almoner()?,
            server: (server.to_owned(), words.iter().map(Into::into).collect()),
            state: folder.path().join("state"),
            config: folder.path().join("almoner.toml"),
        };
        let found = Found::default();
        Ok(Self { kills_max, dice: Dice::new(seed), household, _folder: folder, found })
    }

    fn is_done(&self) -> bool {
        self.found.kills >= self.kills_max
    }

    /// The life of one budget, from its first call until it is used up, found to be overrun, or the loop is done.
    async fn live(&mut self) -> Res<()> {
        let seed = self.dice.throw();
        let limit = *self.dice.pick(&LIMITS);
        let provider =
            TruthProvider::start(Settings { seed: Some(seed), prices: BILLED, ..Settings::default() }).await?;
        self.begin(&provider, limit)?;
        let crowd = Crowd::gather(Habits { callers: CALLERS, seed, caps: &CAPS, at_cap: AT_CAP });
        let bill = || provider.bill().get();
        let books = loop {
            let serving = self.household.serve().await?;
            let books = self.household.books().await?;
            self.found.compare(books, bill(), limit);
            let is_over = crowd.tally().no_money > 0 || bill() > limit;
            if is_over || self.is_done() {
                serving.stop().await?;
                break books;
            }
            self.load(&crowd, serving.addr()).await?;
            serving.kill().await?;
            crowd.call(None);
            self.found.kills += 1;
            // What the server sent may still be on its way to the provider, who bills it when it arrives.
            provider.quiet().await?;
        };
        self.household.verify().await?;
        self.found.calls += crowd.tally().calls;
        self.found.tried_again += crowd.tally().tried_again;
        self.found.rerouted += crowd.tally().rerouted;
        if crowd.tally().no_money > 0 {
            self.found.budgets += 1;
            self.found.limits += limit;
            self.found.stranded += books.charged().saturating_sub(bill());
        }
        Ok(())
    }

    /// A new state, for a new budget at a new provider.
    fn begin(&self, provider: &TruthProvider, limit: u64) -> Res<()> {
        if self.household.state.exists() {
            std::fs::remove_dir_all(&self.household.state)?;
        }
        let config = one_budget(provider.addr(), NanoUsd::new(limit), PRICES) + &way_on(provider.addr());
        Ok(std::fs::write(&self.household.config, config)?)
    }

    /// Lets the crowd call a server until a moment by dice has come.
    async fn load(&mut self, crowd: &Crowd, addr: SocketAddr) -> Res<()> {
        let before = crowd.tally();
        let calls = before.calls + CALLERS + self.dice.up_to(CALLS_MAX);
        crowd.call(Some(addr));
        let is_loaded = |tally: &Tally| tally.calls >= calls || tally.no_money > before.no_money;
        tokio::time::timeout(LOAD_MAX, crowd.wait_until(is_loaded)).await?;
        tokio::time::sleep(Duration::from_millis(self.dice.up_to(MOMENT_MS_MAX))).await;
        Ok(())
    }
}
