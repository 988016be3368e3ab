//! What the journal says of a call, checked against what history says.

use almoner_ledger::{Entry, Fact};
use almoner_store::CallRecord;
use almoner_units::{Charge, Meter};

/// The facts of a call in words, and whether history agrees with them; the journal is the truth where they differ.
pub(crate) fn journal(facts: &[Entry], record: Option<&CallRecord>) -> String {
    if facts.is_empty() {
        return "it held nothing, or the journal no longer reaches it".to_owned();
    }
    let told: Vec<String> = facts.iter().filter_map(in_words).collect();
    let outcome = record.and_then(|record| record.outcome.as_ref()).map(|outcome| outcome.charge);
    let verdict = match (charged(facts), outcome) {
        (None, None) => "its hold is open",
        (Some(truth), Some(history)) if truth == history => "history agrees",
        (Some(_), Some(_)) => "history DIFFERS; the journal is the truth",
        (Some(_), None) => "history has no end of it",
        (None, Some(_)) => "history is ahead of the journal",
    };
    format!("{}; {verdict}", told.join(", "))
}

/// Whether the journal has the end of a call.
pub(crate) fn is_over(facts: &[Entry]) -> bool {
    charged(facts).is_some()
}

fn in_words(entry: &Entry) -> Option<String> {
    let (word, amount) = match &entry.fact {
        Fact::Held(hold) => ("held", Some(hold.amount)),
        Fact::Settled { spent, .. } => ("settled", Some(*spent)),
        Fact::Released { .. } => ("released", None),
        Fact::Assumed { hold, .. } => ("assumed", Some(hold.amount)),
        Fact::Corrected { spent, .. } => ("corrected", Some(*spent)),
        Fact::Added { spent, .. } => ("booked", Some(*spent)),
        _ => return None,
    };
    let amount = amount.map(|amount| format!(" {} and {}", amount.usd(), Meter::Tokens.show(amount[Meter::Tokens])));
    Some(format!("fact {}: {word}{} at {}", entry.seq, amount.unwrap_or_default(), entry.at))
}

/// What is charged for the call by its last fact; nothing while its hold is open.
fn charged(facts: &[Entry]) -> Option<Charge> {
    facts.iter().rev().find_map(|entry| match &entry.fact {
        Fact::Settled { spent, .. } | Fact::Corrected { spent, .. } | Fact::Added { spent, .. } => Some(*spent),
        Fact::Released { reason, .. } => Some(reason.charge()),
        Fact::Assumed { hold, .. } => Some(hold.amount),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use almoner_ledger::ReleaseReason;
    use almoner_store::{Outcome, OutcomeRecord};
    use almoner_units::{CallId, Timestamp, Usage};

    fn record(id: CallId, usd: u64) -> CallRecord {
        let mut charge = Charge::ZERO;
        charge[Meter::Usd] = usd;
        let outcome = OutcomeRecord {
            id,
            at: Timestamp::from_ms(1),
            outcome: Outcome::Settled,
            usage: Usage::default(),
            charge,
            overrun: Charge::ZERO,
            unbounded: Vec::new(),
            status: Some(200),
            duration: None,
            price_version: None,
            note: None,
        };
        CallRecord { verdict: None, outcome: Some(outcome) }
    }

    #[test]
    fn history_is_checked_against_the_journal() {
        let id = CallId::from_bits(7);
        let mut spent = Charge::ZERO;
        spent[Meter::Usd] = 5;
        let facts = [Entry { seq: 3, at: Timestamp::from_ms(2), fact: Fact::Settled { id, spent } }];
        assert!(journal(&facts, Some(&record(id, 5))).ends_with("history agrees"));
        assert!(journal(&facts, Some(&record(id, 6))).contains("DIFFERS"));
        assert!(journal(&facts, None).contains("no end of it"));
        assert!(journal(&[], None).contains("held nothing"));
        let free = Fact::Released { id, reason: ReleaseReason::NeverSent };
        let facts = [Entry { seq: 3, at: Timestamp::from_ms(2), fact: free }];
        assert!(journal(&facts, Some(&record(id, 0))).ends_with("history agrees"));
    }
}
