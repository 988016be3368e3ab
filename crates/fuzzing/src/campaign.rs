//! Random changes to seeds, run after run, until a promise breaks.

use std::fmt;
use std::fs;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use crate::dice::Dice;
use crate::{Target, WORDS};

/// No input grows beyond this; what needs megabytes has a target that stretches its input.
const LEN_MAX: usize = 16 << 10;

/// The most changes that one input gets.
const CHANGES_MAX: usize = 6;

/// A target, its seeds, and the chance that changes them.
pub struct Campaign {
    target: Target,
    seeds: Vec<Vec<u8>>,
    seed: u64,
}

/// An input that breaks a promise.
#[derive(Debug)]
pub struct Finding {
    /// The target's name.
    pub target: &'static str,
    /// The seed of the campaign.
    pub seed: u64,
    /// Which run of the campaign it was; `None` for a seed as it stands.
    pub run: Option<u64>,
    /// The input itself.
    pub input: Vec<u8>,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { target, seed, run, input } = self;
        match run {
            Some(run) => write!(f, "{target}: run {run} of seed {seed}")?,
            None => write!(f, "{target}: an input that nobody changed")?,
        }
        write!(f, " breaks a promise with b\"{}\"", input.escape_ascii())
    }
}

impl Campaign {
    /// A campaign with the target's own seeds, and with the recordings beside the checkout where there are any.
    #[must_use]
    pub fn new(target: Target, seed: u64) -> Self {
        let mut seeds = (target.seeds)();
        seeds.extend(target.recorded_framing.map(recorded).unwrap_or_default());
        Self { target, seeds, seed }
    }

    /// The inputs that the others are made from.
    #[must_use]
    pub fn seeds(&self) -> &[Vec<u8>] {
        &self.seeds
    }

    /// Tries every seed as it stands, and then a changed one for each run.
    ///
    /// # Errors
    /// The first [`Finding`].
    pub fn run(&self, runs: Range<u64>) -> Result<(), Finding> {
        self.seeds.iter().try_for_each(|seed| self.check(None, seed.clone()))?;
        runs.into_iter().try_for_each(|run| self.check(Some(run), self.input(run)))
    }

    /// The input of one run.
    #[must_use]
    pub fn input(&self, run: u64) -> Vec<u8> {
        let mut dice = Dice::new(self.seed, run);
        let mut input = dice.one_of(&self.seeds).clone();
        for _ in 0..=dice.below(CHANGES_MAX) {
            change(&mut input, &mut dice, &self.seeds);
        }
        input.truncate(LEN_MAX);
        input
    }

    fn check(&self, run: Option<u64>, input: Vec<u8>) -> Result<(), Finding> {
        let outcome = catch_unwind(AssertUnwindSafe(|| (self.target.property)(&input)));
        outcome.map_err(|_| Finding { target: self.target.name, seed: self.seed, run, input })
    }
}

/// Bytes that mean something to one reader or another.
const MARKS: &[u8] = b"{}[]\",:\\/$ -+.eE0159\r\n\t#=&*!|>\0\x7f\x80\xff\xef\xbb\xbf";

/// Numbers at the borders of types.
const NUMBERS: [&str; 10] = [
    "0",
    "1",
    "-1",
    "1e5",
    "0.5",
    "4294967296",
    "9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "null",
];

/// Makes one change.
fn change(input: &mut Vec<u8>, dice: &mut Dice, seeds: &[Vec<u8>]) {
    let at = dice.below(input.len() + 1);
    match dice.below(10) {
        0 => set(input, at, dice.byte()),
        1 => set(input, at, *dice.one_of(MARKS)),
        2 => flip(input, at, dice),
        3 => drop(input.drain(range(input, dice))),
        4 => {
            let copy = input[range(input, dice)].to_vec();
            insert(input, at, &copy);
        }
        5 => insert(input, at, dice.one_of(&WORDS).as_bytes()),
        6 => number(input, at, dice),
        7 => {
            let other = dice.one_of(seeds);
            let part = range(other, dice);
            insert(input, at, &other[part]);
        }
        8 => repeat(input, dice),
        _ => insert(input, at, &[*dice.one_of(MARKS)]),
    }
}

fn set(input: &mut [u8], at: usize, byte: u8) {
    if let Some(place) = input.get_mut(at) {
        *place = byte;
    }
}

fn flip(input: &mut [u8], at: usize, dice: &mut Dice) {
    if let Some(place) = input.get_mut(at) {
        *place ^= 1 << dice.below(8);
    }
}

fn insert(input: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    input.splice(at..at, bytes.iter().copied());
}

/// A stretch of the input: mostly a short one.
fn range(input: &[u8], dice: &mut Dice) -> Range<usize> {
    let start = dice.below(input.len() + 1);
    let most = input.len() - start;
    let length = if dice.below(4) == 0 { dice.below(most + 1) } else { dice.below(most.min(24) + 1) };
    start..start + length
}

/// Puts a number of the border in place of the next one in the input.
fn number(input: &mut Vec<u8>, from: usize, dice: &mut Dice) {
    let Some(start) = input[from..].iter().position(u8::is_ascii_digit).map(|at| from + at) else { return };
    let end = input[start..].iter().position(|byte| !byte.is_ascii_digit()).map_or(input.len(), |at| start + at);
    input.splice(start..end, dice.one_of(&NUMBERS).bytes());
}

fn repeat(input: &mut Vec<u8>, dice: &mut Dice) {
    let part = range(input, dice);
    let copies = input[part.clone()].repeat(1 + dice.below(64));
    insert(input, part.end, &copies[..copies.len().min(LEN_MAX)]);
}

/// The recorded answers of one framing, where the recordings lie beside the checkout.
fn recorded(framing: &str) -> Vec<Vec<u8>> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/recorded/exchanges");
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    let answer = |path: PathBuf| {
        let file: serde_json::Value = serde_json::from_str(&fs::read_to_string(path).ok()?).ok()?;
        let dialect: almoner_meter::Dialect = file["provider"].as_str()?.parse().ok()?;
        let body = file["response_body"].as_str().filter(|body| body.len() <= LEN_MAX)?;
        let is_meant = file["framing"].as_str() == Some(framing);
        is_meant.then(|| crate::framing::input(dialect, 7, body))
    };
    paths.into_iter().filter_map(answer).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seeds;

    fn planted(data: &[u8]) {
        assert!(!data.windows(3).any(|three| three == b"}}}"), "a planted fault");
    }

    /// The known-bad variant of every campaign: what breaks is found, and comes again from its seed and run.
    #[test]
    fn a_planted_fault_is_found_and_comes_again() {
        let target = Target { name: "planted", property: planted, seeds: seeds::json, recorded_framing: None };
        let campaign = Campaign::new(target, 1);
        let finding = campaign.run(0..20_000).unwrap_err();
        assert_eq!(campaign.input(finding.run.unwrap()), finding.input);
        assert!(finding.to_string().contains("}}}"), "{finding}");
    }

    #[test]
    fn no_input_grows_past_its_bound() {
        let target = Target { name: "length", property: |_| (), seeds: seeds::splice, recorded_framing: None };
        let campaign = Campaign::new(target, 2);
        assert!((0..2000).all(|run| campaign.input(run).len() <= LEN_MAX));
    }
}
