//! What the provider does with a call, chosen by headers or by dice.

use crate::Dice;

/// How a call is answered. The default is an honest, short, prompt answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Milliseconds before the first byte of the answer.
    pub first_byte_ms: u64,
    /// Whether the answer waits at the gate until it is released.
    pub gate: bool,
    /// Milliseconds before each piece of the body.
    pub chunk_ms: u64,
    /// The size of the pieces; 0: each event, or the whole body.
    pub chunk_bytes: usize,
    /// Tokens of output for each choice, at most the cap; `None`: 16.
    pub output: Option<u64>,
    /// Tokens of output beyond the cap, made and billed: the provider breaks its word.
    pub over: u64,
    /// How the usage is told.
    pub telling: Telling,
    /// The input that is told, where it is not what is billed.
    pub say_input: Option<u64>,
    /// The output that is told, where it is not what is billed.
    pub say_output: Option<u64>,
    /// After how many bytes of the body it breaks off.
    pub cut: Option<usize>,
    /// How it breaks off.
    pub cut_end: CutEnd,
    /// Whether the connection is reset before any answer.
    pub reset: bool,
    /// A failure instead of an answer.
    pub status: Option<u16>,
    /// The `retry-after` of a failure, in seconds.
    pub retry_after: Option<u64>,
    /// Whether the failure has no body.
    pub empty: bool,
    /// Whether the body is packed with gzip, whatever was asked for.
    pub gzip: bool,
}

/// How a stream tells its usage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Telling {
    /// Once, at the end.
    #[default]
    Last,
    /// With every piece, each time what was used so far.
    Cumulative,
    /// With every piece, each time the whole.
    Repeated,
    /// Never, streamed or not.
    Absent,
}

/// How a body that is cut off ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CutEnd {
    /// The connection closes in the middle.
    #[default]
    Close,
    /// The connection is reset.
    Reset,
    /// As if that had been all.
    Clean,
}

/// A knob that does not exist, or a value that it does not take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanError(pub String);

impl std::fmt::Display for PlanError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the plan has no `{}`", self.0.escape_debug())
    }
}

impl std::error::Error for PlanError {}

impl Plan {
    /// What the header of a knob begins with: `x-truth-output: 5`.
    pub const HEADER: &'static str = "x-truth-";

    /// Reads a plan as words: `output=cap usage=absent cut=100`.
    ///
    /// # Errors
    /// [`PlanError`] for a word that is no knob with a value.
    pub fn read(text: &str) -> Result<Self, PlanError> {
        let mut plan = Self::default();
        for word in text.split_whitespace() {
            let (knob, value) = word.split_once('=').ok_or_else(|| PlanError(word.to_owned()))?;
            plan.turn(knob, value)?;
        }
        Ok(plan)
    }

    /// Turns one knob.
    ///
    /// # Errors
    /// [`PlanError`] for a knob that does not exist, or a value that it does not take.
    pub fn turn(&mut self, knob: &str, value: &str) -> Result<(), PlanError> {
        self.set(knob, value.trim()).ok_or_else(|| PlanError(format!("{knob}={value}")))
    }

    fn set(&mut self, knob: &str, value: &str) -> Option<()> {
        match knob {
            "first-byte-ms" => self.first_byte_ms = value.parse().ok()?,
            "gate" => self.gate = value.parse().ok()?,
            "chunk-ms" => self.chunk_ms = value.parse().ok()?,
            "chunk-bytes" => self.chunk_bytes = value.parse().ok()?,
            "output" if value == "cap" => self.output = Some(u64::MAX),
            "output" => self.output = Some(value.parse().ok()?),
            "over" => self.over = value.parse().ok()?,
            "usage" => self.telling = telling(value)?,
            "say-input" => self.say_input = Some(value.parse().ok()?),
            "say-output" => self.say_output = Some(value.parse().ok()?),
            "cut" => self.cut = Some(value.parse().ok()?),
            "cut-end" => self.cut_end = cut_end(value)?,
            "reset" => self.reset = value.parse().ok()?,
            "status" => self.status = Some(value.parse().ok().filter(|status| (400..=599).contains(status))?),
            "retry-after" => self.retry_after = Some(value.parse().ok()?),
            "empty" => self.empty = value.parse().ok()?,
            "gzip" => self.gzip = value.parse().ok()?,
            _ => return None,
        }
        Some(())
    }

    /// A plan by dice: every honest misfortune, and never a lie about money. A call costs at most what its cap allows,
    /// so a budget that bounds its calls must survive any run of these.
    #[must_use]
    pub fn roll(dice: &mut Dice) -> Self {
        let mut plan = Self { output: roll_output(dice), telling: roll_telling(dice), ..Self::default() };
        plan.first_byte_ms = dice.up_to(3);
        plan.gzip = dice.once_in(10);
        plan.reset = dice.once_in(40);
        if dice.once_in(8) {
            plan.cut = usize::try_from(dice.up_to(2_000)).ok();
            plan.cut_end = *dice.pick(&[CutEnd::Close, CutEnd::Reset, CutEnd::Clean]);
        }
        if dice.once_in(12) {
            plan.status = Some(*dice.pick(&[400, 401, 429, 500, 502, 503, 529]));
            plan.retry_after = (plan.status == Some(429)).then_some(1);
            plan.empty = dice.once_in(3);
        }
        if dice.once_in(12) {
            plan.chunk_bytes = usize::try_from(dice.up_to(63) + 1).unwrap_or(1);
        }
        plan
    }

    /// Refuses one in so many calls in the provider's own words, because it is too busy.
    pub fn be_busy(&mut self, dice: &mut Dice, one_in: u64) {
        if dice.once_in(one_in) {
            self.status = Some(*dice.pick(&[429, 500, 502, 503, 529]));
            self.retry_after = (self.status == Some(429)).then_some(0);
            (self.empty, self.reset, self.cut) = (false, false, None);
        }
    }

    /// The tokens of output of each choice, under this cap.
    #[must_use]
    pub fn output_under(&self, cap: u64) -> u64 {
        self.output.unwrap_or(Self::SHORT).min(cap).saturating_add(self.over)
    }

    /// The tokens of output of an answer whose plan says nothing.
    const SHORT: u64 = 16;

    /// Whether a call that was read and understood is paid for.
    #[must_use]
    pub const fn is_billed(&self) -> bool {
        match self.status {
            Some(status) => status >= 500 && self.empty,
            None => true,
        }
    }
}

fn telling(value: &str) -> Option<Telling> {
    Some(match value {
        "last" => Telling::Last,
        "cumulative" => Telling::Cumulative,
        "repeated" => Telling::Repeated,
        "absent" => Telling::Absent,
        _ => return None,
    })
}

fn cut_end(value: &str) -> Option<CutEnd> {
    Some(match value {
        "close" => CutEnd::Close,
        "reset" => CutEnd::Reset,
        "clean" => CutEnd::Clean,
        _ => return None,
    })
}

/// Often exactly the cap, because that is where a bound is tight.
fn roll_output(dice: &mut Dice) -> Option<u64> {
    match dice.up_to(3) {
        0 => Some(u64::MAX),
        1 => Some(dice.up_to(4_000)),
        _ => Some(dice.up_to(64)),
    }
}

fn roll_telling(dice: &mut Dice) -> Telling {
    use Telling::{Absent, Cumulative, Last, Repeated};
    *dice.pick(&[Last, Last, Last, Last, Last, Cumulative, Repeated, Absent])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_reads_as_words() {
        let plan = Plan::read("output=cap usage=absent cut=100 cut-end=reset status=529 empty=true").unwrap();
        let cut = (plan.cut, plan.cut_end);
        assert_eq!((plan.output, plan.telling, cut), (Some(u64::MAX), Telling::Absent, (Some(100), CutEnd::Reset)));
        assert!(plan.is_billed());
        for bad in ["output", "output=-1", "status=200", "usage=maybe", "speed=9", "cut-end=soft"] {
            assert!(Plan::read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn no_throw_of_the_dice_passes_the_cap() {
        for seed in 0..2_000 {
            let plan = Plan::roll(&mut Dice::new(seed));
            assert!(plan.output_under(7) <= 7, "seed {seed}");
            assert_eq!((plan.over, plan.say_input, plan.say_output), (0, None, None), "seed {seed}");
        }
    }

    #[test]
    fn a_failure_with_the_providers_own_words_costs_nothing() {
        for (words, billed) in
            [("", true), ("status=500", false), ("status=500 empty=true", true), ("status=429 empty=true", false)]
        {
            assert_eq!(Plan::read(words).unwrap().is_billed(), billed, "{words}");
        }
    }
}
