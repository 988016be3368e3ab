//! What is allowed and probably not meant.

use almoner_units::{Meter, counted};

use crate::budget::Placed;
use crate::price::UserPrice;
use crate::problem::{Fault, Report};
use crate::provider::Provider;
use crate::tree::Node;
use almoner_units::nearest;

/// The tokens of a typical call: a turn of a coding agent sends 50 to 86 KB, which is 12,000 to 20,000 tokens.
pub const TYPICAL_CALL_TOKENS: u64 = 12_000;

/// A budget below so many typical calls ends most tasks half done.
pub const TYPICAL_CALLS_MIN: u64 = 20;

pub(crate) fn advise(providers: &[Provider], prices: &[(&Node, UserPrice)], budgets: &[Placed], report: &mut Report) {
    budgets.iter().for_each(|placed| small_limits(placed, report));
    for placed in budgets {
        let conditions = placed.budget.filter.iter().zip(&placed.filter_at);
        for ((_, wanted), place) in conditions.filter(|((name, _), _)| name.as_str() == "provider") {
            let consequence = "so this budget counts nothing";
            report_stranger(wanted, place, consequence, providers, report);
        }
    }
    for (node, price) in prices {
        let provider = price.provider.iter();
        provider.for_each(|name| report_stranger(name, &node.place, "so this price is never used", providers, report));
    }
}

/// Warns of limits that a coding agent reaches after a few turns. Cache reads are most of a turn, so a limit that does
/// not count them lasts longer and is left alone.
fn small_limits(placed: &Placed, report: &mut Report) {
    for (limit, place) in placed.budget.limits.iter().zip(&placed.limits_at) {
        let counts_whole_turns = matches!(limit.meter, Meter::Tokens | Meter::InputTokens);
        if counts_whole_turns && limit.amount < TYPICAL_CALL_TOKENS * TYPICAL_CALLS_MIN {
            let turns = counted(limit.amount / TYPICAL_CALL_TOKENS, "turn");
            let message = format!("`{limit}` is about {turns} of a coding agent, at {TYPICAL_CALL_TOKENS} tokens each");
            let help = "count `uncached_tokens`, or allow for at least 20 turns";
            report.warn(Fault::at(place, message).help(help));
        }
    }
}

fn report_stranger(
    wanted: &str,
    place: &crate::place::Place,
    consequence: &str,
    providers: &[Provider],
    report: &mut Report,
) {
    let names = || providers.iter().map(|provider| provider.name.as_str());
    let is_meant = |name: &str| match wanted.strip_suffix('*') {
        Some(beginning) => name.starts_with(beginning),
        None => name == wanted,
    };
    if !names().any(is_meant) {
        let message = format!("no provider is named `{wanted}`, {consequence}");
        report.warn(Fault::at(place, message).nearest(nearest(wanted, names())));
    }
}
