//! An answer as pieces of its body, before anything is done to the bytes.

use super::Plan;
use super::Telling;
use super::request::Wanted;

/// The most pieces that the text of one choice is streamed in.
const PIECES_MAX: u64 = 16;

/// What the answer tells about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) input: u64,
    pub(super) output: u64,
}

/// What a dialect needs to write an answer down.
pub(super) struct Script<'a> {
    pub(super) wanted: &'a Wanted,
    pub(super) id: String,
    /// Tokens of output of each choice, as made.
    pub(super) made: u64,
    pub(super) told: Told,
    pub(super) telling: Telling,
}

impl<'a> Script<'a> {
    pub(super) fn new(wanted: &'a Wanted, plan: &Plan, id: String) -> Self {
        let made = plan.output_under(wanted.cap);
        let output = made.saturating_mul(wanted.choices);
        let told = Told { input: plan.say_input.unwrap_or(wanted.input), output: plan.say_output.unwrap_or(output) };
        Self { wanted, id, made, told, telling: plan.telling }
    }

    /// Whether the answer ends because its cap is reached.
    pub(super) fn is_capped(&self) -> bool {
        self.made >= self.wanted.cap
    }

    /// The whole text of a choice: a short word for each token.
    pub(super) fn text(&self) -> String {
        words(self.made)
    }

    /// The text of a choice in pieces.
    pub(super) fn pieces(&self) -> Vec<String> {
        let size = self.made.div_ceil(PIECES_MAX).max(1);
        (0..self.made.div_ceil(size)).map(|piece| words(size.min(self.made - piece * size))).collect()
    }

    /// What is told with the `done`-th of `all` pieces, if anything.
    pub(super) fn told_with(&self, done: usize, all: usize) -> Option<Told> {
        match self.telling {
            Telling::Last | Telling::Absent => None,
            Telling::Repeated => Some(self.told),
            Telling::Cumulative => Some(Told { output: share(self.told.output, done, all), ..self.told }),
        }
    }

    /// Whether the usage is told at all.
    pub(super) fn tells(&self) -> bool {
        self.telling != Telling::Absent
    }
}

fn words(count: u64) -> String {
    "tok ".repeat(usize::try_from(count).unwrap_or(0))
}

fn share(whole: u64, done: usize, all: usize) -> u64 {
    let (done, all) = (u128::try_from(done).unwrap_or(0), u128::try_from(all.max(1)).unwrap_or(1));
    u64::try_from(u128::from(whole) * done / all).unwrap_or(whole)
}
