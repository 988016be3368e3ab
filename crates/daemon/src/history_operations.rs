//! The operations that look into history: usage, decisions, throttle stats and events.

use std::collections::BTreeMap;
use std::time::Duration;

use almoner_api::{
    DecisionInfo, DecisionQuery, EventInfo, EventQuery, Reply, ThrottleNumbers, ThrottleStats, UsageQuery, UsageRow,
};
use almoner_ledger::{AccountView, LimitView};
use almoner_store::{Decision, DecisionAsk, DecisionRow, Event, EventKind, Recent, UsageAsk, UsageGroup};
use almoner_units::{
    AccountKey, Buckets, Budget, CalendarUnit, CallId, LabelName, LabelValue, Level, Meter, Span, Timestamp, Window,
    Zone,
};

use crate::clock;
use crate::keeper::Desk;
use crate::operations::{No, Operations, lasting_budgets, no, no_but, parse_label_name, parse_labels};

/// How many rows of usage one answer has at most.
const ROWS_MAX: usize = 10_000;
/// How many decisions or events one answer has where nobody says, and at most.
const PAGE: u32 = 100;
const PAGE_MAX: u32 = 1000;
/// How long somebody may wait for an event.
const WAIT_MAX: Duration = Duration::from_secs(60);
/// How many sessions one answer has at most.
const SESSIONS_MAX: usize = 1000;

const HOUR: Span = Span::from_secs(3600);
const DAY: Span = Span::from_secs(86_400);

impl Operations {
    /// What calls consumed.
    pub(crate) async fn usage(&self, query: UsageQuery) -> Result<Reply, No> {
        let now = clock::read().wall;
        let mut group_by: Vec<LabelName> = Vec::new();
        for name in &query.group_by {
            let label = parse_label_name(name)?;
            // Each row has a value for each of them, so one that is named a thousand times is still one.
            if !group_by.contains(&label) {
                group_by.push(label);
            }
        }
        let ask = UsageAsk {
            group_by: group_by.clone(),
            buckets: buckets(&query)?,
            from: query.from.as_deref().map(|text| moment(text, now)).transpose()?,
            to: query.to.as_deref().map(|text| moment(text, now)).transpose()?,
            labels: parse_labels(&query.labels)?,
            rows_max: ROWS_MAX,
        };
        let found = self.read(move |reader| reader.usage(&ask)).await?;
        let rows = found.groups.into_iter().map(|group| row(group, &group_by)).collect();
        Ok(Reply::Usage { rows, since: found.since.map(|at| at.to_string()), is_cut: found.is_cut })
    }

    /// What was said to calls.
    pub(crate) async fn decisions(&self, query: DecisionQuery) -> Result<Reply, No> {
        let now = clock::read().wall;
        let most = page(query.limit);
        let ask = DecisionAsk {
            decisions: query.decisions.iter().map(|word| decision(word)).collect::<Result<_, _>>()?,
            budget: query.budget,
            labels: parse_labels(&query.labels)?,
            from: query.from.as_deref().map(|text| moment(text, now)).transpose()?,
            to: query.to.as_deref().map(|text| moment(text, now)).transpose()?,
            behind: query.cursor.as_deref().map(behind).transpose()?,
            // One more, to know whether these are the last.
            most: most + 1,
        };
        let mut found = self.read(move |reader| reader.decisions(&ask)).await?;
        let is_more = found.len() > most;
        found.truncate(most);
        let next = found.last().filter(|_| is_more && most > 0).map(cursor);
        Ok(Reply::Decisions { decisions: found.into_iter().map(decided).collect(), next })
    }

    /// What happened, or what happens next.
    pub(crate) async fn events(&self, query: EventQuery) -> Result<Reply, No> {
        let kinds: Vec<EventKind> = query.kinds.iter().map(|word| kind(word)).collect::<Result<_, _>>()?;
        let most = page(query.limit);
        let mut news = self.recorder.news();
        let patience = tokio::time::sleep(Duration::from_millis(query.wait_ms).min(WAIT_MAX));
        tokio::pin!(patience);
        let mut after = query.after;
        if query.wait_ms == 0 {
            self.recorder.written().await;
        }
        loop {
            news.mark_unchanged();
            let kinds = kinds.clone();
            let found = self.history.look(move |reader| reader.events(after, &kinds, most)).await?;
            let is_at_once = query.wait_ms == 0 || most == 0;
            if is_at_once || found.gap || !found.events.is_empty() || patience.is_elapsed() {
                let events = found.events.into_iter().map(told).collect();
                return Ok(Reply::Events { events, last: found.last, gap: found.gap });
            }
            if self.gateway().is_stopping() {
                return Err(no("stopping", "the server was told to stop, and nothing more will happen"));
            }
            after = Some(found.last);
            tokio::select! {
                () = &mut patience => {}
                // Whoever asks keeps the way to the recorder open.
                _ = news.changed() => {}
            }
        }
    }

    /// How much of the hour and the day is used, by one session or by each, and by all together.
    ///
    /// Where a budget that counts every call limits the hour or the day, its account says how much of it is used, for
    /// that is what its calls are judged by; what no budget counts, history adds up over the last 60 minutes and 24
    /// hours.
    pub(crate) async fn throttle_stats(&self, session: Option<String>) -> Result<Reply, No> {
        let wanted: Option<LabelValue> =
            session.as_deref().map(|name| name.parse().map_err(|error| no("bad_label", error))).transpose()?;
        let of_desk = wanted.clone();
        let (accounts, now) = self.at_desk(move |desk, now| (counting(desk, of_desk.as_ref(), now), now)).await?;
        let since = [HOUR, DAY].map(|span| Timestamp::from_ms(now.ms().saturating_sub(span.ms())));
        let recent = self.read(move |reader| reader.recent(since, None)).await?;
        let mut stats = stats(&accounts, recent);
        if let Some(name) = session {
            let of = stats.sessions.remove(&name).unwrap_or_else(nothing);
            stats.sessions = BTreeMap::from([(name, of)]);
            stats.is_cut = false;
        } else {
            cut(&mut stats);
        }
        Ok(Reply::Throttle(Box::new(stats)))
    }
}

/// `7d` ago, or an instant, or a date.
fn moment(text: &str, now: Timestamp) -> Result<Timestamp, No> {
    if let Ok(span) = text.parse::<Span>() {
        return Ok(Timestamp::from_ms(now.ms().saturating_sub(span.ms())));
    }
    text.parse().map_err(|error| no_but("bad_date", error, "or a span such as 7d, which is so long ago"))
}

fn buckets(query: &UsageQuery) -> Result<Option<Buckets>, No> {
    let zone = match &query.zone {
        Some(name) => name.parse().map_err(|error| no("bad_zone", error))?,
        None => Zone::utc(),
    };
    let unit = query.bucket.as_deref().map(|word| word.parse().map_err(|error| no("bad_bucket", error))).transpose()?;
    Ok(unit.map(|unit| Buckets { unit, zone }))
}

/// How many of something are asked for at once.
fn page(limit: Option<u32>) -> usize {
    limit.unwrap_or(PAGE).min(PAGE_MAX) as usize
}

fn decision(word: &str) -> Result<Decision, No> {
    let words = || Decision::ALL.iter().map(|known| known.word()).collect::<Vec<_>>().join(", ");
    let unknown = || no_but("bad_decision", format!("`{}` is no decision", word.escape_debug()), words());
    Decision::of_word(word).ok_or_else(unknown)
}

fn kind(word: &str) -> Result<EventKind, No> {
    let words = || EventKind::ALL.iter().map(|known| known.word()).collect::<Vec<_>>().join(", ");
    let unknown = || no_but("bad_kind", format!("`{}` is no kind of event", word.escape_debug()), words());
    EventKind::of_word(word).ok_or_else(unknown)
}

/// `MILLISECONDS.ID`: where a page of decisions ended.
fn cursor(last: &DecisionRow) -> String {
    format!("{}.{}", last.at.ms(), last.id)
}

fn behind(text: &str) -> Result<(Timestamp, CallId), No> {
    let read = || {
        let (ms, id) = text.split_once('.')?;
        Some((Timestamp::from_ms(ms.parse().ok()?), id.parse().ok()?))
    };
    read().ok_or_else(|| no_but("bad_cursor", "this is no cursor", "take the `next` of an answer as it is"))
}

fn row(group: UsageGroup, by: &[LabelName]) -> UsageRow {
    let sums = group.sums;
    UsageRow {
        begins_at: group.begins_at.map(|at| at.to_string()),
        labels: by.iter().map(ToString::to_string).zip(group.values).collect(),
        calls: sums.calls,
        refused: sums.refused,
        input: sums.input,
        cache_read: sums.cache_read,
        cache_write_5m: sums.cache_write_5m,
        cache_write_1h: sums.cache_write_1h,
        output: sums.output,
        reasoning: sums.reasoning,
        tokens: sums.tokens,
        cost_nano: sums.cost_nano,
        assumed_calls: sums.assumed_calls,
        assumed_tokens: sums.assumed_tokens,
        assumed_nano: sums.assumed_nano,
    }
}

fn decided(row: DecisionRow) -> DecisionInfo {
    DecisionInfo {
        id: row.id.to_string(),
        at: row.at.to_string(),
        decision: row.decision,
        because: row.reason,
        budget: row.budget,
        account: row.account,
        provider: row.provider,
        model: row.model,
        labels: row.labels.into_iter().collect(),
        waited_ms: row.waited_ms,
        outcome: row.outcome,
        status: row.status,
        tokens: row.tokens,
        cost_nano: row.cost_nano,
    }
}

fn told(event: Event) -> EventInfo {
    EventInfo { id: event.id, at: event.at.to_string(), kind: event.kind, message: event.message, data: event.data }
}

/// An account that speaks for a session or for all calls, and whether its budget counts every one of them.
struct Counting {
    view: AccountView,
    counts_all: bool,
}

/// The accounts of one session, or of each, and of all calls; those of keys are none of these.
fn counting(desk: &Desk, session: Option<&LabelValue>, now: Timestamp) -> Vec<Counting> {
    let speaks = |budget: &&Budget| budget.per.iter().all(|label| label.as_str() == "session");
    let budgets: BTreeMap<_, bool> =
        lasting_budgets(desk).filter(speaks).map(|budget| (budget.name.clone(), budget.filter.is_empty())).collect();
    let views = match session {
        None => desk.ledger.views(now),
        Some(session) => {
            let accounts = lasting_budgets(desk).filter(speaks).map(|budget| AccountKey {
                budget: budget.name.clone(),
                per: budget.per.iter().map(|label| (label.clone(), session.clone())).collect(),
            });
            accounts.filter_map(|key| desk.ledger.view(desk.ledger.find(&key)?, now)).collect()
        }
    };
    let of =
        |view: AccountView| budgets.get(&view.key.budget).map(|counts_all| Counting { counts_all: *counts_all, view });
    views.into_iter().filter_map(of).collect()
}

/// What is known of one session or of all, before it is told.
#[derive(Default)]
struct Gathered<'a> {
    accounts: Vec<&'a Counting>,
    recent: Recent,
}

fn stats(accounts: &[Counting], recent: Vec<(Option<String>, Recent)>) -> ThrottleStats {
    let (mut all, mut sessions) = (Gathered::default(), BTreeMap::<String, Gathered<'_>>::new());
    for account in accounts {
        match account.view.key.per.first() {
            None => all.accounts.push(account),
            Some((_, session)) => sessions.entry(session.to_string()).or_default().accounts.push(account),
        }
    }
    for (session, of) in recent {
        all.recent = sum(all.recent, of);
        let session = session.unwrap_or_else(|| LabelValue::none().to_string());
        let known = sessions.entry(session).or_default();
        known.recent = sum(known.recent, of);
    }
    let sessions = sessions.into_iter().map(|(name, of)| (name, numbers(&of))).collect();
    ThrottleStats { global: numbers(&all), sessions, is_cut: false }
}

fn sum(one: Recent, other: Recent) -> Recent {
    let add = |one: [u64; 2], other: [u64; 2]| [one[0].saturating_add(other[0]), one[1].saturating_add(other[1])];
    Recent { tokens: add(one.tokens, other.tokens), nano: add(one.nano, other.nano) }
}

fn numbers(of: &Gathered<'_>) -> ThrottleNumbers {
    let level = of.accounts.iter().map(|account| account.view.level).max().unwrap_or(Level::None);
    let used = |meters: &[Meter], span| used(&of.accounts, meters, span);
    let tokens = [Meter::Tokens, Meter::UncachedTokens];
    ThrottleNumbers {
        tokens_hour: used(&tokens, HOUR).unwrap_or(of.recent.tokens[0]),
        tokens_day: used(&tokens, DAY).unwrap_or(of.recent.tokens[1]),
        cost_hour_nano: used(&[Meter::Usd], HOUR).unwrap_or(of.recent.nano[0]),
        cost_day_nano: used(&[Meter::Usd], DAY).unwrap_or(of.recent.nano[1]),
        throttle_level: level.name().to_uppercase(),
    }
}

/// What the accounts that count every call say is charged over `span`, in the first meter that one of them counts.
fn used(accounts: &[&Counting], meters: &[Meter], span: Span) -> Option<u64> {
    let limits: Vec<&LimitView> = accounts
        .iter()
        .filter(|account| account.counts_all)
        .flat_map(|account| &account.view.limits)
        .filter(|limit| lasts(&limit.limit.window) == Some(span))
        .collect();
    let charged = |meter: &Meter| {
        let of = limits.iter().filter(|limit| limit.limit.meter == *meter);
        of.map(|limit| limit.spent.saturating_add(limit.assumed)).max()
    };
    meters.iter().find_map(charged)
}

/// How long a window is; a calendar's hour and day are taken for what they are called.
fn lasts(window: &Window) -> Option<Span> {
    match window {
        Window::Fixed(span) | Window::Sliding(span) => Some(*span),
        Window::Calendar(CalendarUnit::Hour, _) => Some(HOUR),
        Window::Calendar(CalendarUnit::Day, _) => Some(DAY),
        Window::Calendar(CalendarUnit::Week | CalendarUnit::Month, _) | Window::Lifetime => None,
    }
}

fn nothing() -> ThrottleNumbers {
    numbers(&Gathered::default())
}

/// Keeps the sessions that used the most of the day.
fn cut(stats: &mut ThrottleStats) {
    if stats.sessions.len() <= SESSIONS_MAX {
        return;
    }
    let mut by_use: Vec<_> = std::mem::take(&mut stats.sessions).into_iter().collect();
    by_use.sort_by_key(|(_, of)| std::cmp::Reverse((of.cost_day_nano, of.tokens_day)));
    by_use.truncate(SESSIONS_MAX);
    stats.sessions = by_use.into_iter().collect();
    stats.is_cut = true;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kinds_of_events_are_those_that_the_interface_names() {
        let named: Vec<&str> = almoner_api::EVENT_KINDS.iter().map(|(word, _)| *word).collect();
        assert_eq!(EventKind::ALL.iter().map(|kind| kind.word()).collect::<Vec<_>>(), named);
    }

    #[test]
    fn a_cursor_is_read_as_it_was_written_and_nothing_else_is_one() {
        let id = CallId::new(Timestamp::from_ms(7), [1; 10]);
        assert_eq!(behind(&format!("7.{id}")).unwrap(), (Timestamp::from_ms(7), id));
        for bad in ["", "7", "7.x", ".", "-1.01a20955-985f-7f09-8c96-dcc8be37073e"] {
            assert_eq!(behind(bad).unwrap_err().code, "bad_cursor", "{bad}");
        }
    }

    #[test]
    fn a_moment_is_a_date_or_so_long_ago() {
        let now = Timestamp::from_ms(86_400_000);
        assert_eq!(moment("1h", now).unwrap(), Timestamp::from_ms(82_800_000));
        assert_eq!(moment("2d", now).unwrap(), Timestamp::default(), "no call is older");
        assert_eq!(moment("1970-01-01T00:00:01Z", now).unwrap(), Timestamp::from_ms(1000));
        assert_eq!(moment("yesterday", now).unwrap_err().code, "bad_date");
    }

    fn account(key: &str, limits: &[(&str, u64, u64)], level: Level, counts_all: bool) -> Counting {
        let limit = |(text, spent, assumed): &(&str, u64, u64)| LimitView {
            limit: text.parse().unwrap(),
            spent: *spent,
            assumed: *assumed,
            held: 1_000_000,
            level,
            resets_at: None,
        };
        let per = key.split_once('=').map(|(label, value)| (label.parse().unwrap(), value.parse().unwrap()));
        let view = AccountView {
            key: AccountKey { budget: "b".parse().unwrap(), per: per.into_iter().collect() },
            mode: almoner_units::Mode::Throttle,
            level,
            open_holds: 0,
            limits: limits.iter().map(limit).collect(),
        };
        Counting { view, counts_all }
    }

    #[test]
    fn what_a_budget_counts_is_told_by_its_account_and_the_rest_by_history() {
        let accounts = [
            account("", &[("500k uncached_tokens / sliding 1h", 70, 5), ("$1000 / month", 1, 0)], Level::None, true),
            account("session=a", &[("1M tokens / day", 40, 2), ("2M uncached_tokens / day", 3, 0)], Level::Soft, true),
            account("session=a", &[("$1 / 1h", 9, 0)], Level::Hard, false),
            account("session=a", &[("$5 / hour", 8, 1), ("$9 / sliding 1h", 7, 0)], Level::Warning, true),
        ];
        let recent = Recent { tokens: [100, 200], nano: [300, 400] };
        let stats = stats(&accounts, vec![(Some("a".to_owned()), recent), (None, recent)]);
        let numbers = |tokens_hour, tokens_day, cost_hour_nano, cost_day_nano, level: &str| ThrottleNumbers {
            tokens_hour,
            tokens_day,
            cost_hour_nano,
            cost_day_nano,
            throttle_level: level.to_owned(),
        };
        assert_eq!(stats.global, numbers(75, 400, 600, 800, "NONE"));
        assert_eq!(stats.sessions["a"], numbers(100, 42, 9, 400, "HARD"));
        assert_eq!(stats.sessions["none"], numbers(100, 200, 300, 400, "NONE"));
    }

    #[test]
    fn of_very_many_sessions_those_that_used_the_most_are_told() {
        let recent = |number: u64| (Some(format!("s{number}")), Recent { tokens: [0, number], nano: [0, 0] });
        let mut stats = stats(&[], (1..=1001).map(recent).collect());
        cut(&mut stats);
        assert_eq!((stats.sessions.len(), stats.is_cut, stats.sessions.contains_key("s1")), (1000, true, false));
    }
}
