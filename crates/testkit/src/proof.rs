//! What the proofs have in common that send a crowd to one small budget: their flags, their prices and their household.

use std::error::Error;
use std::time::Instant;

use almoner_units::PicoUsdPerToken;

use crate::Household;
use crate::truth::Prices;

/// How such a proof fails.
pub type Res<T> = Result<T, Box<dyn Error>>;

/// The budget, in nano-dollars.
pub const LIMIT: u64 = 1_000_000_000;
/// What a million tokens cost, in words: the floor of the dearest call, 4,096 tokens of output, is bounded by less than
/// a hundredth of the budget.
pub const PRICES: (&str, &str) = ("0.5", "2");
/// The same in pico-dollars a token.
pub const BILLED: Prices = Prices { input: PicoUsdPerToken::new(500_000), output: PicoUsdPerToken::new(2_000_000) };
/// Of eight calls, how many get all the output they may have.
pub const AT_CAP: u64 = 3;
/// One in so many calls is refused at first, as by a provider that is too busy.
pub const BUSY_ONE_IN: u64 = 12;

/// The flags of such a proof.
#[derive(Clone, Copy, Debug)]
pub struct Args {
    /// How many budgets are used up.
    pub rounds: u64,
    /// How many callers use each.
    pub callers: u64,
    /// Where the dice begin; each round has the next.
    pub seed: u64,
}

impl Args {
    /// Reads `--rounds N`, `--callers N` and `--seed N`.
    ///
    /// # Errors
    /// Where there is another flag, or no number behind one.
    pub fn read(rounds: u64) -> Res<Self> {
        let mut args = Self { rounds, callers: 200, seed: 1 };
        let mut words = std::env::args().skip(1);
        while let Some(flag) = words.next() {
            let value = words.next().ok_or_else(|| format!("`{flag}` needs a number"))?.parse()?;
            match flag.as_str() {
                "--rounds" => args.rounds = value,
                "--callers" => args.callers = value,
                "--seed" => args.seed = value,
                _ => return Err(format!("there is no flag `{flag}`").into()),
            }
        }
        Ok(args)
    }

    /// The seed of each round.
    #[must_use]
    pub const fn seeds(&self) -> std::ops::Range<u64> {
        self.seed..self.seed + self.rounds
    }
}

/// A household in a folder of its own, with the binary `almoner` as it is built beside the examples.
///
/// # Errors
/// Where there is no folder to be had, or no binary.
pub fn household() -> std::io::Result<(Household, tempfile::TempDir)> {
    let folder = tempfile::tempdir()?;
    let here = std::env::current_exe()?;
    let almoner = here.parent().unwrap_or(&here).join("../almoner").canonicalize()?;
    let household = Household {
        server: (almoner.clone(), ["serve", "--listen", "127.0.0.1:0"].map(Into::into).to_vec()),
        almoner,
        state: folder.path().join("state"),
        config: folder.path().join("almoner.toml"),
    };
    Ok((household, folder))
}

/// The time that a round takes is a figure, and decides nothing.
#[must_use]
#[allow(clippy::disallowed_methods)]
pub fn now() -> Instant {
    Instant::now()
}
