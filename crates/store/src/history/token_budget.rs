//! The table `token_budget`: a picture of the accounts, one row each, made anew from the ledger whenever it is wanted.
//!
//! 8_RISKS-REQ-031 asks for this table by name.

use almoner_ledger::{AccountView, LimitView};
use almoner_units::{Meter, Timestamp};
use rusqlite::Transaction;

use super::clip;

pub(super) fn put(batch: &Transaction<'_>, views: &[AccountView], at: Timestamp) -> rusqlite::Result<()> {
    batch.execute("DELETE FROM token_budget", [])?;
    let mut insert = batch.prepare_cached(
        "INSERT OR REPLACE INTO token_budget (account, total_used, hard_limit, updated_at, meter, window, level)
         VALUES (?1, ?2, ?3, coalesce(datetime(?4 / 1000, 'unixepoch'), 'never'), ?5, ?6, ?7)",
    )?;
    for view in views {
        let Some(shown) = shown(view) else { continue };
        insert.execute((
            view.key.to_string(),
            clip(used(shown)),
            clip(shown.limit.amount),
            clip(at.ms()),
            shown.limit.meter.name(),
            shown.limit.window.to_string(),
            view.level.name(),
        ))?;
    }
    Ok(())
}

/// The limit that an account's row shows: the fullest that counts tokens, or the fullest where none does.
fn shown(view: &AccountView) -> Option<&LimitView> {
    let fullest = |tokens: bool| {
        let counts = |limit: &&LimitView| !tokens || counts_tokens(limit.limit.meter);
        view.limits.iter().filter(counts).max_by(|one, other| fuller(one, other))
    };
    fullest(true).or_else(|| fullest(false))
}

fn counts_tokens(meter: Meter) -> bool {
    matches!(meter, Meter::Tokens | Meter::UncachedTokens | Meter::InputTokens | Meter::OutputTokens)
}

/// Compares used ÷ amount of two limits, without dividing.
fn fuller(one: &LimitView, other: &LimitView) -> std::cmp::Ordering {
    let cross = |a: &LimitView, b: &LimitView| u128::from(used(a)) * u128::from(b.limit.amount);
    cross(one, other).cmp(&cross(other, one))
}

fn used(limit: &LimitView) -> u64 {
    limit.spent.saturating_add(limit.assumed)
}
