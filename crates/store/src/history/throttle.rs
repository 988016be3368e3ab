//! The table `throttle_events`.

use rusqlite::Transaction;

use super::clip;
use super::record::ThrottleRecord;

pub(super) fn record(batch: &Transaction<'_>, event: &ThrottleRecord) -> rusqlite::Result<()> {
    let label = |name: &str| event.labels.named(name).map(ToString::to_string);
    let percent = u128::from(event.charged) * 100 / u128::from(event.limit.amount.max(1));
    batch
        .prepare_cached(
            "INSERT INTO throttle_events (at_ms, session_id, level, level_before, action, priority, budget, account,
                                          meter, amount, charged, percent, window, reason, command, model, call_id,
                                          task, agent)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19)",
        )?
        .execute(rusqlite::params![
            clip(event.at.ms()),
            label("session").unwrap_or_else(|| "none".to_owned()),
            event.level.name(),
            event.level_before.map(almoner_units::Level::name),
            event.action.word(),
            event.priority.map(almoner_units::Priority::name),
            event.account.budget.as_str(),
            event.account.to_string(),
            event.limit.meter.name(),
            clip(event.limit.amount),
            clip(event.charged),
            i64::try_from(percent).unwrap_or(i64::MAX),
            event.limit.window.to_string(),
            event.reason,
            label("command"),
            label("model"),
            event.call.map(|id| id.to_string()),
            label("task"),
            label("agent"),
        ])
        .map(drop)
}
