//! History as it is read while a server writes it: on a connection of its own, which holds nobody up.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use almoner_units::{Buckets, CallId, LabelName, LabelValue, Timestamp};
use rusqlite::types::Value as Sql;
use rusqlite::{Connection, OpenFlags, Row};

use super::record::{CallRecord, Decision, EventKind};
use super::sums::{Columns, MINUTE_MS};
use super::{Events, KeyUsed, PATIENCE, UsageSums, calls, clip, count, events, keys};
use crate::error::ReadError;

/// How many groups one bucket may have before the smallest are left out.
const GROUPS_MAX: usize = 200_000;

/// A history, open to read.
#[derive(Debug)]
pub struct HistoryReader {
    connection: Connection,
    path: PathBuf,
}

/// Ends what a reader is doing, from another thread.
pub use rusqlite::InterruptHandle as Interrupt;

/// Which usage is asked for.
#[derive(Clone, Debug, Default)]
pub struct UsageAsk {
    /// The labels by whose values it is grouped.
    pub group_by: Vec<LabelName>,
    /// By which buckets of time; `None`: all of it together.
    pub buckets: Option<Buckets>,
    /// From the minute that this lies in.
    pub from: Option<Timestamp>,
    /// Before this, the whole of its minute included.
    pub to: Option<Timestamp>,
    /// Only calls with these labels.
    pub labels: Vec<(LabelName, LabelValue)>,
    /// How many rows at most.
    pub rows_max: usize,
}

/// One bucket of one group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageGroup {
    /// When the bucket begins.
    pub begins_at: Option<Timestamp>,
    /// The values of the labels asked for, in that order.
    pub values: Vec<String>,
    /// What its calls came to.
    pub sums: UsageSums,
}

/// Usage that was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usages {
    /// By bucket; in each the dearest first.
    pub groups: Vec<UsageGroup>,
    /// The first minute of which anything is known.
    pub since: Option<Timestamp>,
    /// Whether there are more groups than were asked for.
    pub is_cut: bool,
}

/// Which decisions are asked for.
#[derive(Clone, Debug, Default)]
pub struct DecisionAsk {
    /// Only these; empty: all.
    pub decisions: Vec<Decision>,
    /// Only those that this budget decided.
    pub budget: Option<String>,
    /// Only calls with these labels.
    pub labels: Vec<(LabelName, LabelValue)>,
    /// From then on.
    pub from: Option<Timestamp>,
    /// Before then.
    pub to: Option<Timestamp>,
    /// Only those behind this one, in the order in which they come.
    pub behind: Option<(Timestamp, CallId)>,
    /// How many at most.
    pub most: usize,
}

/// A decision in short, and how its call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecisionRow {
    /// The call.
    pub id: CallId,
    /// When it was decided.
    pub at: Timestamp,
    /// What was decided, by its word.
    pub decision: String,
    /// Why, in words.
    pub reason: String,
    /// The budget that decided.
    pub budget: Option<String>,
    /// Its account.
    pub account: Option<String>,
    /// The provider.
    pub provider: Option<String>,
    /// The model.
    pub model: Option<String>,
    /// The labels of the call.
    pub labels: BTreeMap<String, String>,
    /// How long it waited, in milliseconds.
    pub waited_ms: u64,
    /// How it ended, by its word.
    pub outcome: Option<String>,
    /// The HTTP status of its answer.
    pub status: Option<u16>,
    /// What is charged for it, in tokens.
    pub tokens: Option<u64>,
    /// What is charged for it, in nano-dollars.
    pub cost_nano: Option<u64>,
}

/// What was used of late by one session, or by all calls: settled and assumed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recent {
    /// Tokens since the first of the two moments.
    pub tokens: [u64; 2],
    /// Nano-dollars since each of the two moments.
    pub nano: [u64; 2],
}

impl HistoryReader {
    /// Opens the history in `dir`.
    ///
    /// # Errors
    /// [`ReadError`] where there is none that can be read.
    pub fn open(dir: &Path) -> Result<Self, ReadError> {
        let path = dir.join("history.db");
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let open = || {
            let connection = Connection::open_with_flags(&path, flags)?;
            connection.busy_timeout(PATIENCE)?;
            Ok(connection)
        };
        let connection = open().map_err(|source| ReadError::Sqlite { file: path.clone(), source })?;
        Ok(Self { connection, path })
    }

    /// The way to end what this reader is doing, where nobody waits for it any longer.
    #[must_use]
    pub fn interrupt(&self) -> Interrupt {
        self.connection.get_interrupt_handle()
    }

    /// What is known about a call.
    ///
    /// # Errors
    /// [`ReadError`] where the row cannot be read.
    pub fn explain(&self, id: CallId) -> Result<Option<CallRecord>, ReadError> {
        calls::explain(&self.connection, &self.path, id)
    }

    /// What the calls of one key have used, or of all of them.
    ///
    /// # Errors
    /// [`ReadError`] where history cannot be read.
    pub fn keys(&self, key: Option<&str>) -> Result<Vec<KeyUsed>, ReadError> {
        keys::used(&self.connection, key).map_err(|source| self.failed(source))
    }

    /// What calls came to.
    ///
    /// # Errors
    /// [`ReadError`] where history cannot be read.
    pub fn usage(&mut self, ask: &UsageAsk) -> Result<Usages, ReadError> {
        let path = self.path.clone();
        let mut read = || usage(&*self.connection.transaction()?, ask);
        read().map_err(|source| ReadError::Sqlite { file: path, source })
    }

    /// What was said to calls, the newest first.
    ///
    /// # Errors
    /// [`ReadError`] where history cannot be read.
    pub fn decisions(&self, ask: &DecisionAsk) -> Result<Vec<DecisionRow>, ReadError> {
        decisions(&self.connection, ask).map_err(|source| self.failed(source))
    }

    /// The events behind one, or the latest.
    ///
    /// # Errors
    /// [`ReadError`] where history cannot be read.
    pub fn events(&mut self, after: Option<u64>, kinds: &[EventKind], most: usize) -> Result<Events, ReadError> {
        let path = self.path.clone();
        events::read(&mut self.connection, after, kinds, most)
            .map_err(|source| ReadError::Sqlite { file: path, source })
    }

    /// What each session, or one of them, has used since two moments, of which the first is the later; `None` is what
    /// has no session.
    ///
    /// # Errors
    /// [`ReadError`] where history cannot be read.
    pub fn recent(
        &self,
        since: [Timestamp; 2],
        session: Option<&str>,
    ) -> Result<Vec<(Option<String>, Recent)>, ReadError> {
        recent(&self.connection, since, session).map_err(|source| self.failed(source))
    }

    /// How many bytes the history takes, what is free in it left out.
    ///
    /// # Errors
    /// [`ReadError`] where history cannot be read.
    pub fn bytes(&self) -> Result<u64, ReadError> {
        super::bytes(&self.connection).map_err(|source| self.failed(source))
    }

    fn failed(&self, source: rusqlite::Error) -> ReadError {
        ReadError::Sqlite { file: self.path.clone(), source }
    }
}

/// The groups of one bucket, while its minutes are read.
#[derive(Default)]
struct Groups {
    at: HashMap<Vec<String>, usize>,
    sums: Vec<(Vec<String>, Columns)>,
    /// Where each set of labels is counted; `None` where it is not.
    of_set: HashMap<i64, Option<usize>>,
}

impl Groups {
    fn place(
        &mut self,
        set: i64,
        values: impl FnOnce() -> rusqlite::Result<Option<Vec<String>>>,
    ) -> rusqlite::Result<Option<usize>> {
        if let Some(known) = self.of_set.get(&set) {
            return Ok(*known);
        }
        let place = values()?.map(|values| {
            let next = self.sums.len();
            let at = *self.at.entry(values.clone()).or_insert(next);
            if at == next {
                self.sums.push((values, Columns::default()));
            }
            at
        });
        self.of_set.insert(set, place);
        Ok(place)
    }

    /// The groups, the dearest first.
    fn told(self, begins_at: Option<Timestamp>) -> Vec<UsageGroup> {
        let group = |(values, columns): (Vec<String>, Columns)| UsageGroup { begins_at, values, sums: columns.sums() };
        let mut groups: Vec<UsageGroup> = self.sums.into_iter().map(group).collect();
        let weight = |group: &UsageGroup| {
            let sums = group.sums;
            (
                sums.cost_nano.saturating_add(sums.assumed_nano),
                sums.tokens.saturating_add(sums.assumed_tokens),
                sums.calls,
            )
        };
        groups.sort_by(|one, other| weight(other).cmp(&weight(one)).then_with(|| one.values.cmp(&other.values)));
        groups
    }
}

fn usage(connection: &Connection, ask: &UsageAsk) -> rusqlite::Result<Usages> {
    let first: Option<i64> = connection.query_row("SELECT min(minute) FROM usage_minutes", [], |row| row.get(0))?;
    let minute = |at: Timestamp| clip(at.ms()).div_euclid(MINUTE_MS);
    let from = ask.from.map_or(0, minute);
    // The minute in which `to` lies counts as well, unless nothing of it does.
    let to = ask.to.map_or(i64::MAX, |to| clip(to.ms()).saturating_add(MINUTE_MS - 1).div_euclid(MINUTE_MS));
    let mut labels_of = connection.prepare("SELECT labels FROM label_sets WHERE id = ?1")?;
    let mut values_of = |set: i64| -> rusqlite::Result<Option<Vec<String>>> {
        let labels: String = labels_of.query_row([set], |row| row.get(0))?;
        let labels: BTreeMap<String, String> = serde_json::from_str(&labels).unwrap_or_default();
        let value = |name: &LabelName| labels.get(name.as_str()).map_or("none", String::as_str);
        let is_meant = ask.labels.iter().all(|(name, wanted)| value(name) == wanted.as_str());
        Ok(is_meant.then(|| ask.group_by.iter().map(|name| value(name).to_owned()).collect()))
    };
    let mut minutes = connection.prepare(
        "SELECT minute, label_set, calls, refused, input, cache_read, cache_write_5m, cache_write_1h, output,
                reasoning, tokens, cost_nano, assumed_calls, assumed_tokens, assumed_nano
           FROM usage_minutes WHERE minute >= ?1 AND minute < ?2 ORDER BY minute",
    )?;
    let mut rows = minutes.query([from, to])?;
    let mut told = Usages { since: first.map(instant), ..Usages::default() };
    let (mut groups, mut begins, mut ends) = (Groups::default(), None, i64::MIN);
    while let Some(row) = rows.next()? {
        let at: i64 = row.get(0)?;
        if at >= ends {
            told.groups.extend(std::mem::take(&mut groups).told(begins));
            (begins, ends) = bucket(ask.buckets.as_ref(), at);
            if told.groups.len() > ask.rows_max {
                break;
            }
        }
        let set: i64 = row.get(1)?;
        if let Some(place) = groups.place(set, || values_of(set))? {
            groups.sums[place].1.add(row, 2)?;
        }
        if groups.sums.len() > GROUPS_MAX {
            told.is_cut = true;
            break;
        }
    }
    told.groups.extend(groups.told(begins));
    told.is_cut |= told.groups.len() > ask.rows_max;
    told.groups.truncate(ask.rows_max);
    Ok(told)
}

/// When the bucket of a minute begins, and the first minute behind it.
fn bucket(buckets: Option<&Buckets>, minute: i64) -> (Option<Timestamp>, i64) {
    let Some(buckets) = buckets else { return (None, i64::MAX) };
    let (from, to) = buckets.around(instant(minute));
    (Some(from), clip(to.ms()).saturating_add(MINUTE_MS - 1).div_euclid(MINUTE_MS))
}

fn instant(minute: i64) -> Timestamp {
    Timestamp::from_ms(count(minute.saturating_mul(MINUTE_MS)))
}

fn decisions(connection: &Connection, ask: &DecisionAsk) -> rusqlite::Result<Vec<DecisionRow>> {
    let mut query = "SELECT id, at_ms, verdict, reason, budget, account, provider, model, labels, waited_ms, outcome,
                            status, tokens, cost_nano
                       FROM calls WHERE verdict IS NOT NULL"
        .to_owned();
    let mut values: Vec<Sql> = Vec::new();
    let mut only = |condition: &str, given: Vec<Sql>| {
        query.push_str(" AND ");
        query.push_str(condition);
        values.extend(given);
    };
    if let Some((at, id)) = ask.behind {
        let at = Sql::from(clip(at.ms()));
        only("at_ms <= ? AND (at_ms < ? OR id < ?)", vec![at.clone(), at, id.to_string().into()]);
    }
    ask.from.iter().for_each(|from| only("at_ms >= ?", vec![clip(from.ms()).into()]));
    ask.to.iter().for_each(|to| only("at_ms < ?", vec![clip(to.ms()).into()]));
    if !ask.decisions.is_empty() {
        let words: Vec<String> = ask.decisions.iter().map(|decision| format!("'{}'", decision.word())).collect();
        only(&format!("verdict IN ({})", words.join(", ")), Vec::new());
    }
    ask.budget.iter().for_each(|budget| only("budget = ?", vec![budget.clone().into()]));
    for (name, value) in &ask.labels {
        let path = format!("$.\"{name}\"");
        only("coalesce(labels ->> ?, 'none') = ?", vec![path.into(), value.as_str().to_owned().into()]);
    }
    query.push_str(" ORDER BY at_ms DESC, id DESC LIMIT ?");
    values.push(i64::try_from(ask.most).unwrap_or(i64::MAX).into());
    let mut rows = connection.prepare(&query)?;
    rows.query_map(rusqlite::params_from_iter(values), decision)?.collect()
}

fn decision(row: &Row<'_>) -> rusqlite::Result<DecisionRow> {
    let id: String = row.get(0)?;
    let id = id.parse().map_err(|error: almoner_units::NameError| {
        rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, Box::new(error))
    })?;
    let number = |column| Ok::<_, rusqlite::Error>(row.get::<_, Option<i64>>(column)?.map(count));
    Ok(DecisionRow {
        id,
        at: Timestamp::from_ms(count(row.get(1)?)),
        decision: row.get(2)?,
        reason: row.get::<_, Option<String>>(3)?.unwrap_or_default(),
        budget: row.get(4)?,
        account: row.get(5)?,
        provider: row.get(6)?,
        model: row.get(7)?,
        labels: serde_json::from_str(&row.get::<_, String>(8)?).unwrap_or_default(),
        waited_ms: number(9)?.unwrap_or(0),
        outcome: row.get(10)?,
        status: row.get(11)?,
        tokens: number(12)?,
        cost_nano: number(13)?,
    })
}

fn recent(
    connection: &Connection,
    since: [Timestamp; 2],
    session: Option<&str>,
) -> rusqlite::Result<Vec<(Option<String>, Recent)>> {
    let [hour, day] = since.map(|at| clip(at.ms()).div_euclid(MINUTE_MS));
    let mut rows = connection.prepare(
        "SELECT session, sum(iif(minute > ?1, tokens + assumed_tokens, 0)), sum(tokens + assumed_tokens),
                sum(iif(minute > ?1, cost_nano + assumed_nano, 0)), sum(cost_nano + assumed_nano)
           FROM usage_minutes JOIN label_sets ON label_sets.id = label_set
          WHERE minute > ?2 AND (?3 IS NULL OR session = ?3)
          GROUP BY session",
    )?;
    let read = |row: &Row<'_>| {
        let number = |column| row.get::<_, i64>(column).map(count);
        Ok((row.get(0)?, Recent { tokens: [number(1)?, number(2)?], nano: [number(3)?, number(4)?] }))
    };
    rows.query_map((hour, day, session), read)?.collect()
}
