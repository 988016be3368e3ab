//! The tables `label_sets` and `usage_minutes`: what calls came to, added up as they are written down.
//!
//! A flush gathers what its calls change and writes one row for each minute and set of labels, so that a busy server
//! pays for a few rows a flush. What a call counted before it got another end is taken back.

use std::collections::HashMap;

use almoner_units::Meter;
use rusqlite::{CachedStatement, OptionalExtension, Row, Transaction};

use super::record::{Decision, Outcome, OutcomeRecord, VerdictRecord};
use super::{clip, count};

/// How many sets of labels are remembered with their numbers.
const KNOWN_MAX: usize = 10_000;
/// How many numbers are added up.
const SUMS: usize = 13;
/// A minute, in milliseconds.
pub(super) const MINUTE_MS: i64 = 60_000;

/// The numbers of the sets of labels that were written last.
#[derive(Debug, Default)]
pub(super) struct KnownSets(HashMap<String, i64>);

/// What calls came to. It is added to what is written, so that what counts no longer is negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sums {
    last_ms: i64,
    /// In the order of the columns.
    amounts: [i64; SUMS],
}

impl Sums {
    fn of_decision(decision: Decision, at_ms: i64) -> Self {
        let mut sums = Self { last_ms: at_ms, ..Self::default() };
        match decision {
            Decision::Admitted => sums.amounts[0] = 1,
            Decision::SlowDown | Decision::Refused | Decision::Rejected => sums.amounts[1] = 1,
            Decision::Booked => {}
        }
        sums
    }

    fn of_outcome(outcome: &OutcomeRecord) -> Self {
        let usage = &outcome.usage;
        let parts =
            [usage.input, usage.cache_read, usage.cache_write_5m, usage.cache_write_1h, usage.output, usage.reasoning];
        let charge = &outcome.charge;
        let is_assumed = outcome.outcome == Outcome::Assumed;
        Self::ended(
            parts.map(|part| clip(part.unwrap_or(0))),
            is_assumed,
            clip(charge[Meter::Tokens]),
            clip(charge[Meter::Usd]),
        )
    }

    fn ended(parts: [i64; 6], is_assumed: bool, tokens: i64, nano: i64) -> Self {
        let [input, read, write_5m, write_1h, output, reasoning] = parts;
        let charged = if is_assumed { [0, 0, 1, tokens, nano] } else { [tokens, nano, 0, 0, 0] };
        let [tokens, nano, assumed, assumed_tokens, assumed_nano] = charged;
        let amounts = [
            0,
            0,
            input,
            read,
            write_5m,
            write_1h,
            output,
            reasoning,
            tokens,
            nano,
            assumed,
            assumed_tokens,
            assumed_nano,
        ];
        Self { last_ms: 0, amounts }
    }

    fn add(&mut self, other: &Self) {
        self.last_ms = self.last_ms.max(other.last_ms);
        self.amounts.iter_mut().zip(other.amounts).for_each(|(sum, more)| *sum = sum.saturating_add(more));
    }

    fn taken_back(mut self) -> Self {
        self.amounts.iter_mut().for_each(|amount| *amount = amount.saturating_neg());
        self
    }
}

/// Adds up one batch, and writes it when all of it is in.
pub(super) struct Adder<'batch> {
    batch: &'batch Transaction<'batch>,
    before: CachedStatement<'batch>,
    by_place: HashMap<(i64, i64), Sums>,
}

const BEFORE: &str =
    "SELECT at_ms, labels, outcome, coalesce(input, 0), coalesce(cache_read, 0), coalesce(cache_write_5m, 0),
            coalesce(cache_write_1h, 0), coalesce(output, 0), coalesce(reasoning, 0), coalesce(tokens, 0),
            coalesce(cost_nano, 0)
       FROM calls WHERE id = ?1";

const ADD: &str =
    "INSERT INTO usage_minutes VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)
     ON CONFLICT (minute, label_set) DO UPDATE SET
         last_ms = max(last_ms, excluded.last_ms), calls = calls + excluded.calls,
         refused = refused + excluded.refused, input = input + excluded.input,
         cache_read = cache_read + excluded.cache_read, cache_write_5m = cache_write_5m + excluded.cache_write_5m,
         cache_write_1h = cache_write_1h + excluded.cache_write_1h, output = output + excluded.output,
         reasoning = reasoning + excluded.reasoning, tokens = tokens + excluded.tokens,
         cost_nano = cost_nano + excluded.cost_nano, assumed_calls = assumed_calls + excluded.assumed_calls,
         assumed_tokens = assumed_tokens + excluded.assumed_tokens,
         assumed_nano = assumed_nano + excluded.assumed_nano";

impl<'batch> Adder<'batch> {
    pub(super) fn new(batch: &'batch Transaction<'_>) -> rusqlite::Result<Self> {
        Ok(Self { batch, before: batch.prepare_cached(BEFORE)?, by_place: HashMap::new() })
    }

    /// Adds a call that was just decided, and its end where that came in the same batch and stands in no row yet.
    pub(super) fn decided(
        &mut self,
        verdict: &VerdictRecord,
        labels: &str,
        outcome: Option<&OutcomeRecord>,
        known: &mut KnownSets,
    ) -> rusqlite::Result<()> {
        let (at_ms, set) = (clip(verdict.at.ms()), self.set(known, labels)?);
        self.add(at_ms, set, &Sums::of_decision(verdict.decision, at_ms));
        outcome.into_iter().for_each(|outcome| self.add(at_ms, set, &Sums::of_outcome(outcome)));
        Ok(())
    }

    /// Adds the end of a call whose row is about to change; where it had another end, that is taken back.
    pub(super) fn ended(&mut self, outcome: &OutcomeRecord, known: &mut KnownSets) -> rusqlite::Result<()> {
        // The truth about a call that was forgotten: what was assumed for it is in the sums of its labels, which nobody
        // knows any more. To add the truth as well would count the call twice.
        let Some((at_ms, labels, before)) = self.before(outcome)? else { return Ok(()) };
        let set = self.set(known, &labels)?;
        self.add(at_ms, set, &before.taken_back());
        self.add(at_ms, set, &Sums::of_outcome(outcome));
        Ok(())
    }

    /// When a call was decided, its labels, and what its end counts so far; none where this is known no more.
    fn before(&mut self, of: &OutcomeRecord) -> rusqlite::Result<Option<(i64, String, Sums)>> {
        let read = |row: &Row<'_>| {
            let outcome: Option<String> = row.get(2)?;
            let mut parts = [0; 6];
            for (at, part) in parts.iter_mut().enumerate() {
                *part = row.get(3 + at)?;
            }
            let is_assumed = outcome.as_deref() == Some(Outcome::Assumed.word());
            let sums = outcome.map_or_else(
                || Ok::<_, rusqlite::Error>(Sums::default()),
                |_| Ok(Sums::ended(parts, is_assumed, row.get(9)?, row.get(10)?)),
            )?;
            Ok((row.get(0)?, row.get(1)?, sums))
        };
        let found = self.before.query_row([of.id.to_string()], read).optional()?;
        let is_first = of.outcome != Outcome::Corrected;
        Ok(found.or_else(|| is_first.then(|| (clip(of.id.made_at().ms()), "{}".to_owned(), Sums::default()))))
    }

    fn add(&mut self, at_ms: i64, set: i64, sums: &Sums) {
        self.by_place.entry((at_ms.div_euclid(MINUTE_MS), set)).or_default().add(sums);
    }

    /// The number of a set of labels, given to it where it has none.
    fn set(&self, known: &mut KnownSets, labels: &str) -> rusqlite::Result<i64> {
        if let Some(id) = known.0.get(labels) {
            return Ok(*id);
        }
        let add = "INSERT INTO label_sets (labels) VALUES (?1) ON CONFLICT (labels) DO UPDATE SET labels = labels RETURNING id";
        let id = self.batch.prepare_cached(add)?.query_row([labels], |row| row.get(0))?;
        if known.0.len() >= KNOWN_MAX {
            known.0.clear();
        }
        known.0.insert(labels.to_owned(), id);
        Ok(id)
    }

    /// Writes the sums.
    pub(super) fn write(self) -> rusqlite::Result<()> {
        let mut add = self.batch.prepare_cached(ADD)?;
        for ((minute, set), sums) in self.by_place {
            for (at, value) in [minute, set, sums.last_ms].into_iter().chain(sums.amounts).enumerate() {
                add.raw_bind_parameter(at + 1, value)?;
            }
            add.raw_execute()?;
        }
        Ok(())
    }
}

impl KnownSets {
    /// Forgets the numbers, where what is written was taken back or removed.
    pub(super) fn forget(&mut self) {
        self.0.clear();
    }
}

/// What was added up, read back; the columns are those from `calls` on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UsageSums {
    /// How many calls went.
    pub calls: u64,
    /// How many were refused.
    pub refused: u64,
    /// Input that was neither read from nor written to a cache.
    pub input: u64,
    /// Input read from a cache.
    pub cache_read: u64,
    /// Input written to a cache for five minutes.
    pub cache_write_5m: u64,
    /// Input written to a cache for an hour.
    pub cache_write_1h: u64,
    /// Output, reasoning included.
    pub output: u64,
    /// The part of the output that was reasoning.
    pub reasoning: u64,
    /// All tokens whose number is known.
    pub tokens: u64,
    /// The cost that is known, in nano-dollars.
    pub cost_nano: u64,
    /// How many calls are charged without news.
    pub assumed_calls: u64,
    /// What they are charged, in tokens.
    pub assumed_tokens: u64,
    /// What they are charged, in nano-dollars.
    pub assumed_nano: u64,
}

/// Sums while they are read, by column.
#[derive(Clone, Copy, Default)]
pub(super) struct Columns([i64; SUMS]);

impl Columns {
    /// Adds the columns of a row that begin at `first`.
    pub(super) fn add(&mut self, row: &Row<'_>, first: usize) -> rusqlite::Result<()> {
        for (at, sum) in self.0.iter_mut().enumerate() {
            *sum = sum.saturating_add(row.get(first + at)?);
        }
        Ok(())
    }

    pub(super) fn sums(&self) -> UsageSums {
        let [
            calls,
            refused,
            input,
            cache_read,
            cache_write_5m,
            cache_write_1h,
            output,
            reasoning,
            tokens,
            cost_nano,
            assumed_calls,
            assumed_tokens,
            assumed_nano,
        ] = self.0.map(count);
        UsageSums {
            calls,
            refused,
            input,
            cache_read,
            cache_write_5m,
            cache_write_1h,
            output,
            reasoning,
            tokens,
            cost_nano,
            assumed_calls,
            assumed_tokens,
            assumed_nano,
        }
    }
}
