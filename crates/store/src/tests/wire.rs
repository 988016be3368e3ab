//! Facts survive their rows, and rows that strangers wrote are errors.

use almoner_ledger::{AccountId, AssumedHold, ClosedCall, Correction, Ended, Fact, Hold, ReleaseReason};
use almoner_units::{
    Ask, Budget, CallId, Charge, Level, LevelMarks, Meter, Mode, PicoUsdPerToken, Priority, Span, Timestamp, Window,
};
use proptest::prelude::*;

use super::world::{START, account, budget, who};
use crate::wire::{closed_from_bytes, closed_to_bytes, decode, encode};

fn charge(amount: u64) -> Charge {
    let mut charge = Charge::ZERO;
    for (at, meter) in (0..).zip(Meter::ALL) {
        charge[meter] = amount.saturating_add(at);
    }
    charge
}

fn hold() -> Hold {
    Hold {
        id: CallId::new(START, [3; 10]),
        accounts: [AccountId(0), AccountId(u32::MAX)].into(),
        ask: Ask::new(charge(9), 2, PicoUsdPerToken::new(u64::MAX), 77_777),
        priority: Priority::Critical,
        cap: 5000,
        amount: charge(u64::MAX),
        expires_at: START.after(Span::from_secs(600)),
    }
}

/// A fact of every kind, with the awkward values: the largest numbers, quotes, every window.
fn every_fact() -> Vec<Fact> {
    let id = CallId::new(START, [3; 10]);
    let words = "she said \"no\" \\ \n\u{1b}[31m ünïcödé".to_owned();
    let windows = ["$5 / sliding 1h", "1M tokens / day in America/New_York", "7 requests / 1d1ms", "1 usd", "$1/week"];
    let large = Budget {
        filter: vec![("model".parse().unwrap(), "claude-*".to_owned())],
        mode: Mode::KillRunning,
        marks: LevelMarks::new([1, 2, 3, 100]).unwrap(),
        ..budget("a \"budget\"", &["session", "tag.x"], &windows)
    };
    let mut odd = budget("odd", &[], &["$1"]);
    odd.limits[0].window = Window::Fixed(Span::from_ms(u64::MAX));
    let assumed = AssumedHold { hold: hold(), held_by: 1, assumed_by: u64::MAX, assumed_at: START, corrected: None };
    let before = Correction { spent: charge(7), at: START };
    let again = AssumedHold { corrected: Some(before), ..assumed.clone() };
    vec![
        Fact::BudgetSet { budget: large, by: who(), keeps_past: true },
        Fact::BudgetSet { budget: odd, by: who(), keeps_past: false },
        Fact::BudgetRemoved { name: "odd".parse().unwrap(), by: who(), keeps_past: true },
        Fact::AccountOpened {
            account: AccountId(7),
            key: account("odd", &[("session", "a=b, c"), ("tag.x", "y")]),
            opener: words.clone(),
        },
        Fact::AccountDropped { account: AccountId(7) },
        Fact::Held(hold()),
        Fact::Settled { id, spent: charge(0) },
        Fact::Released { id, reason: ReleaseReason::NeverSent },
        Fact::Released { id, reason: ReleaseReason::RefusedUpstream { status: 599 } },
        Fact::Assumed { hold: hold(), held_by: 12, cause: words.clone() },
        Fact::Corrected { assumed, spent: charge(3), by: who(), reason: words.clone() },
        Fact::Corrected { assumed: again, spent: charge(4), by: who(), reason: words.clone() },
        Fact::Added { id, accounts: [].into(), spent: charge(4), by: who(), reason: words.clone() },
        Fact::Reset { account: AccountId(1), by: who(), reason: words, restarts: true },
        Fact::Snapshot { upto: u64::MAX, digest: [0xab; 16] },
        Fact::LevelChanged { account: AccountId(1), limit: 255, from: Level::None, to: Level::Critical },
    ]
}

#[test]
fn every_fact_survives_its_row() {
    for fact in every_fact() {
        let row = encode(&fact).unwrap();
        assert_eq!(decode(row.kind, &row.id, &row.body).unwrap(), fact, "{}", row.body);
    }
}

#[test]
fn a_row_with_a_member_too_many_or_too_few_is_an_error() {
    for fact in every_fact() {
        let row = encode(&fact).unwrap();
        let more = row.body.replacen('{', "{\"more\":1,", 1);
        assert!(decode(row.kind, &row.id, &more).is_err(), "{more}");
        let cut = &row.body[..row.body.len() - 1];
        assert!(decode(row.kind, &row.id, cut).is_err(), "{cut}");
        let id = if row.id.is_empty() { &[0; 16][..] } else { &[] };
        assert!(decode(row.kind, id, &row.body).is_err(), "{} with an id of {} bytes", row.kind, id.len());
    }
}

proptest! {
    #[test]
    fn no_bytes_make_the_decoder_of_closed_calls_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        if let Some(calls) = closed_from_bytes(&bytes) {
            prop_assert_eq!(closed_from_bytes(&closed_to_bytes(&calls)), Some(calls));
        }
    }

    #[test]
    fn closed_calls_survive_their_bytes(
        calls in prop::collection::vec((any::<u64>(), any::<u128>(), 0..4_usize, any::<u64>()), 0..20),
    ) {
        let call = |(at, id, how, amount): (u64, u128, usize, u64)| {
            let settled = Ended::Settled { held: charge(amount), spent: charge(amount / 2) };
            let how = [None, Some(Ended::Released), Some(Ended::Assumed), Some(settled)][how];
            ClosedCall { at: Timestamp::from_ms(at), id: CallId::from_bits(id), how }
        };
        let calls: Vec<ClosedCall> = calls.into_iter().map(call).collect();
        prop_assert_eq!(closed_from_bytes(&closed_to_bytes(&calls)), Some(calls));
    }

    #[test]
    fn no_text_makes_the_decoder_panic(kind in 0..16_usize, id in prop::collection::vec(any::<u8>(), 0..20), body in ".*") {
        let row = encode(&every_fact()[kind]).unwrap();
        let _ = decode(row.kind, &id, &body);
        let _ = decode(&body, &id, &row.body);
    }

    /// Changed bodies either fail or are read as what they now say: what is read is written alike and read again.
    #[test]
    fn a_body_with_changed_bytes_is_an_error_or_another_fact(
        kind in 0..16_usize,
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let row = encode(&every_fact()[kind]).unwrap();
        let mut body = row.body.into_bytes();
        for (at, byte) in edits {
            let at = at.index(body.len());
            body[at] = byte;
        }
        let body = String::from_utf8_lossy(&body);
        if let Ok(fact) = decode(row.kind, &row.id, &body) {
            let again = encode(&fact).unwrap();
            prop_assert_eq!(decode(again.kind, &again.id, &again.body).unwrap(), fact);
        }
    }
}
