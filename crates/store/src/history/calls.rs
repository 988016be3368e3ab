//! The table `calls`: one row for each call that was decided, with all that `almoner explain` shows.

use std::collections::BTreeMap;
use std::path::Path;

use almoner_ledger::AccountView;
use almoner_units::{CallId, Charge, LabelValue, Labels, Meter, Span, Timestamp, Usage};
use rusqlite::{CachedStatement, Connection, OptionalExtension, Row, Statement, ToSql, Transaction};
use serde::{Deserialize, Serialize};

use super::record::{BoundPart, CallRecord, Decision, Outcome, OutcomeRecord, VerdictRecord};
use super::{clip, count};
use crate::error::ReadError;
use crate::wire::{KeyWire, ViewWire, WireError, labels_from_json, labels_to_json};

/// A part of a bound, as the column `bound` keeps it.
#[derive(Serialize, Deserialize)]
struct PartWire {
    name: String,
    meter: String,
    amount: u64,
}

/// Writes calls down in one transaction; what it has to say to SQLite is read once for all of them.
pub(super) struct Writer<'batch> {
    verdict: CachedStatement<'batch>,
    outcome: CachedStatement<'batch>,
    both: CachedStatement<'batch>,
}

impl<'batch> Writer<'batch> {
    pub(super) fn new(batch: &'batch Transaction<'_>) -> rusqlite::Result<Self> {
        let (verdict, outcome) = (batch.prepare_cached(VERDICT)?, batch.prepare_cached(OUTCOME)?);
        Ok(Self { verdict, outcome, both: batch.prepare_cached(BOTH)? })
    }

    pub(super) fn verdict(&mut self, verdict: &VerdictRecord, labels: &str) -> rusqlite::Result<()> {
        bind_verdict(&mut self.verdict, verdict, labels)?;
        self.verdict.raw_execute().map(drop)
    }

    /// Writes down what a call came to. Where the row of its verdict was lost, a new one says at least this.
    pub(super) fn outcome(&mut self, outcome: &OutcomeRecord) -> rusqlite::Result<()> {
        bind_outcome(&mut self.outcome, outcome)?;
        self.outcome.raw_bind_parameter(1, outcome.id.to_string())?;
        self.outcome.raw_bind_parameter(2, clip(outcome.id.made_at().ms()))?;
        self.outcome.raw_execute().map(drop)
    }

    /// Writes down a call that was decided and has ended since: one row instead of one that is changed at once.
    pub(super) fn both(
        &mut self,
        verdict: &VerdictRecord,
        labels: &str,
        outcome: &OutcomeRecord,
    ) -> rusqlite::Result<()> {
        bind_outcome(&mut self.both, outcome)?;
        bind_verdict(&mut self.both, verdict, labels)?;
        self.both.raw_execute().map(drop)
    }
}

const VERDICT: &str =
    "INSERT INTO calls (id, at_ms, labels, session_id, command, provider, model, verdict, budget, account,
                        account_key, reason, numbers, bound, cap, held, waited_ms, price_version)
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)
     ON CONFLICT (id) DO UPDATE SET
         at_ms = excluded.at_ms, labels = excluded.labels, session_id = excluded.session_id,
         command = excluded.command, provider = excluded.provider, model = excluded.model,
         verdict = excluded.verdict, budget = excluded.budget, account = excluded.account,
         account_key = excluded.account_key, reason = excluded.reason, numbers = excluded.numbers,
         bound = excluded.bound, cap = excluded.cap, held = excluded.held, waited_ms = excluded.waited_ms,
         price_version = coalesce(calls.price_version, excluded.price_version)";

const OUTCOME: &str =
    "INSERT INTO calls (id, at_ms, ended_at_ms, outcome, input, cache_read, cache_write_5m, cache_write_1h,
                        output, reasoning, charge, tokens, cost_nano, overrun, overrun_nano, unbounded, status,
                        duration_ms, price_version, note)
     VALUES (?1, ?2, ?19, ?20, ?21, ?22, ?23, ?24, ?25, ?26, ?27, ?28, ?29, ?30, ?31, ?32, ?33, ?34, ?35, ?36)
     ON CONFLICT (id) DO UPDATE SET
         ended_at_ms = excluded.ended_at_ms, outcome = excluded.outcome, input = excluded.input,
         cache_read = excluded.cache_read, cache_write_5m = excluded.cache_write_5m,
         cache_write_1h = excluded.cache_write_1h, output = excluded.output, reasoning = excluded.reasoning,
         charge = excluded.charge, tokens = excluded.tokens, cost_nano = excluded.cost_nano,
         overrun = excluded.overrun, overrun_nano = excluded.overrun_nano, unbounded = excluded.unbounded,
         status = excluded.status, duration_ms = excluded.duration_ms,
         price_version = coalesce(excluded.price_version, calls.price_version), note = excluded.note";

const BOTH: &str = "INSERT OR REPLACE INTO calls
         (id, at_ms, labels, session_id, command, provider, model, verdict, budget, account, account_key, reason,
          numbers, bound, cap, held, waited_ms, price_version, ended_at_ms, outcome, input, cache_read,
          cache_write_5m, cache_write_1h, output, reasoning, charge, tokens, cost_nano, overrun, overrun_nano,
          unbounded, status, duration_ms, note)
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, coalesce(?35, ?18), ?19, ?20,
             ?21, ?22, ?23, ?24, ?25, ?26, ?27, ?28, ?29, ?30, ?31, ?32, ?33, ?34, ?36)";

/// Where the columns of an outcome begin among the parameters.
const OUTCOME_AT: usize = 19;

/// Gives a statement the columns of a verdict, which are its first parameters.
fn bind_verdict(insert: &mut Statement<'_>, verdict: &VerdictRecord, labels: &str) -> rusqlite::Result<()> {
    let label = |name: &str| verdict.labels.named(name).map(LabelValue::as_str);
    let part = |part: &BoundPart| PartWire {
        name: part.name.clone(),
        meter: part.meter.name().to_owned(),
        amount: part.amount,
    };
    let account = verdict.account.as_ref();
    bind(
        insert,
        1,
        rusqlite::params![
            verdict.id.to_string(),
            clip(verdict.at.ms()),
            labels,
            label("session"),
            label("command"),
            verdict.provider,
            verdict.model,
            verdict.decision.word(),
            account.map(|key| key.budget.as_str()),
            account.map(ToString::to_string),
            account.map(|key| json(&KeyWire::from(key))).transpose()?,
            verdict.reason,
            json(&verdict.numbers.iter().map(ViewWire::from).collect::<Vec<_>>())?,
            json(&verdict.bound.iter().map(part).collect::<Vec<_>>())?,
            verdict.cap.map(clip),
            charge_json(&verdict.held)?,
            clip(verdict.waited.ms()),
            verdict.price_version,
        ],
    )
}

/// Gives a statement the columns of an outcome, which stand behind those of a verdict.
fn bind_outcome(insert: &mut Statement<'_>, outcome: &OutcomeRecord) -> rusqlite::Result<()> {
    let usage = &outcome.usage;
    bind(
        insert,
        OUTCOME_AT,
        rusqlite::params![
            clip(outcome.at.ms()),
            outcome.outcome.word(),
            usage.input.map(clip),
            usage.cache_read.map(clip),
            usage.cache_write_5m.map(clip),
            usage.cache_write_1h.map(clip),
            usage.output.map(clip),
            usage.reasoning.map(clip),
            charge_json(&outcome.charge)?,
            clip(outcome.charge[Meter::Tokens]),
            clip(outcome.charge[Meter::Usd]),
            charge_json(&outcome.overrun)?,
            clip(outcome.overrun[Meter::Usd]),
            json(&outcome.unbounded)?,
            outcome.status,
            outcome.duration.map(|span| clip(span.ms())),
            outcome.price_version,
            outcome.note,
        ],
    )
}

fn bind(statement: &mut Statement<'_>, from: usize, values: &[&dyn ToSql]) -> rusqlite::Result<()> {
    values.iter().enumerate().try_for_each(|(at, value)| statement.raw_bind_parameter(from + at, value))
}

pub(super) fn explain(connection: &Connection, file: &Path, id: CallId) -> Result<Option<CallRecord>, ReadError> {
    let columns = |row: &Row<'_>| Ok((VerdictColumns::read(row)?, OutcomeColumns::read(row)?));
    let row = connection
        .query_row("SELECT * FROM calls WHERE id = ?1", [id.to_string()], columns)
        .optional()
        .map_err(|source| ReadError::Sqlite { file: file.to_owned(), source })?;
    let Some((verdict, outcome)) = row else { return Ok(None) };
    let damaged = |error: WireError| ReadError::Damaged {
        file: file.to_owned(),
        table: "calls",
        row: id.to_string(),
        what: error.to_string(),
    };
    Ok(Some(CallRecord {
        verdict: verdict.record(id).map_err(damaged)?,
        outcome: outcome.record(id).map_err(damaged)?,
    }))
}

/// The columns that a verdict wrote.
struct VerdictColumns {
    at_ms: i64,
    labels: String,
    provider: Option<String>,
    model: Option<String>,
    verdict: Option<String>,
    account: Option<String>,
    reason: Option<String>,
    numbers: Option<String>,
    bound: Option<String>,
    cap: Option<i64>,
    held: Option<String>,
    waited_ms: Option<i64>,
    price_version: Option<String>,
}

impl VerdictColumns {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            at_ms: row.get("at_ms")?,
            labels: row.get("labels")?,
            provider: row.get("provider")?,
            model: row.get("model")?,
            verdict: row.get("verdict")?,
            account: row.get("account_key")?,
            reason: row.get("reason")?,
            numbers: row.get("numbers")?,
            bound: row.get("bound")?,
            cap: row.get("cap")?,
            held: row.get("held")?,
            waited_ms: row.get("waited_ms")?,
            price_version: row.get("price_version")?,
        })
    }

    fn record(self, id: CallId) -> Result<Option<VerdictRecord>, WireError> {
        let Some(word) = self.verdict else { return Ok(None) };
        let decision = Decision::of_word(&word).ok_or_else(|| WireError::word("verdict", &word))?;
        let account = self.account.map(|text| serde_json::from_str::<KeyWire>(&text)?.try_into());
        let views: Vec<ViewWire> = list(self.numbers.as_deref())?;
        let parts: Vec<PartWire> = list(self.bound.as_deref())?;
        let part = |part: PartWire| {
            let meter = part.meter.parse().map_err(|error| WireError::word("meter", error))?;
            Ok::<_, WireError>(BoundPart { name: part.name, meter, amount: part.amount })
        };
        Ok(Some(VerdictRecord {
            id,
            at: Timestamp::from_ms(count(self.at_ms)),
            labels: labels_from_json(&self.labels)?,
            provider: self.provider,
            model: self.model,
            decision,
            account: account.transpose()?,
            reason: self.reason.unwrap_or_default(),
            numbers: views.into_iter().map(AccountView::try_from).collect::<Result<_, _>>()?,
            bound: parts.into_iter().map(part).collect::<Result<_, _>>()?,
            cap: self.cap.map(count),
            held: charge_of(self.held.as_deref())?,
            waited: Span::from_ms(count(self.waited_ms.unwrap_or(0))),
            price_version: self.price_version,
        }))
    }
}

/// The columns that an outcome wrote.
struct OutcomeColumns {
    ended_at_ms: Option<i64>,
    outcome: Option<String>,
    usage: [Option<i64>; 6],
    charge: Option<String>,
    overrun: Option<String>,
    unbounded: Option<String>,
    status: Option<u16>,
    duration_ms: Option<i64>,
    price_version: Option<String>,
    note: Option<String>,
}

impl OutcomeColumns {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            ended_at_ms: row.get("ended_at_ms")?,
            outcome: row.get("outcome")?,
            usage: [
                row.get("input")?,
                row.get("cache_read")?,
                row.get("cache_write_5m")?,
                row.get("cache_write_1h")?,
                row.get("output")?,
                row.get("reasoning")?,
            ],
            charge: row.get("charge")?,
            overrun: row.get("overrun")?,
            unbounded: row.get("unbounded")?,
            status: row.get("status")?,
            duration_ms: row.get("duration_ms")?,
            price_version: row.get("price_version")?,
            note: row.get("note")?,
        })
    }

    fn record(self, id: CallId) -> Result<Option<OutcomeRecord>, WireError> {
        let Some(word) = self.outcome else { return Ok(None) };
        let outcome = Outcome::of_word(&word).ok_or_else(|| WireError::word("outcome", &word))?;
        let [input, cache_read, cache_write_5m, cache_write_1h, output, reasoning] =
            self.usage.map(|part| part.map(count));
        Ok(Some(OutcomeRecord {
            id,
            at: Timestamp::from_ms(count(self.ended_at_ms.unwrap_or(0))),
            outcome,
            usage: Usage { input, cache_read, cache_write_5m, cache_write_1h, output, reasoning },
            charge: charge_of(self.charge.as_deref())?,
            overrun: charge_of(self.overrun.as_deref())?,
            unbounded: list(self.unbounded.as_deref())?,
            status: self.status,
            duration: self.duration_ms.map(|ms| Span::from_ms(count(ms))),
            price_version: self.price_version,
            note: self.note,
        }))
    }
}

/// A charge by the names of its meters, for people who query it with `json_extract`.
fn charge_json(charge: &Charge) -> rusqlite::Result<String> {
    json(&charge.iter().map(|(meter, amount)| (meter.name(), amount)).collect::<BTreeMap<_, _>>())
}

fn charge_of(text: Option<&str>) -> Result<Charge, WireError> {
    let mut charge = Charge::ZERO;
    let amounts: BTreeMap<String, u64> = text.map_or(Ok(BTreeMap::new()), serde_json::from_str)?;
    for (name, amount) in amounts {
        charge[name.parse().map_err(|error| WireError::word("meter", error))?] = amount;
    }
    Ok(charge)
}

fn list<T: for<'a> Deserialize<'a>>(text: Option<&str>) -> Result<Vec<T>, WireError> {
    Ok(text.map_or(Ok(Vec::new()), serde_json::from_str)?)
}

/// The labels of a call, as the columns have them.
pub(super) fn labels_json(labels: &Labels) -> rusqlite::Result<String> {
    labels_to_json(labels).map_err(unwritable)
}

fn json(value: &impl Serialize) -> rusqlite::Result<String> {
    serde_json::to_string(value).map_err(unwritable)
}

fn unwritable(error: serde_json::Error) -> rusqlite::Error {
    rusqlite::Error::ToSqlConversionFailure(error.into())
}
