//! How many commands a second the ledger takes on one core: reserve and settle over four resolved accounts with one
//! limit each, without a journal.
//!
//! `cargo run --release -p almoner-ledger --example throughput`

// Only a measurement may look at the clock and print.
#![allow(clippy::print_stdout, clippy::disallowed_methods, clippy::float_arithmetic, clippy::cast_precision_loss)]

use std::time::Instant;

use almoner_ledger::{AccountId, Ledger, Patience, Reserve, Verdict, Who};
use almoner_units::{AccountKey, Ask, Budget, CallId, Charge, LevelMarks, Meter, PicoUsdPerToken, Span, Timestamp};

const START: Timestamp = Timestamp::from_ms(1_764_000_000_000);
const ROUNDS: usize = 5;
const CALLS: u64 = 500_000;
/// How many calls are in flight at a time.
const IN_FLIGHT: usize = 64;

fn main() {
    for (name, limits) in [
        (
            "four windows of four kinds",
            ["$9000000 / lifetime", "9G tokens / day", "$900000 / sliding 1h", "9M requests / 24h"],
        ),
        (
            "four sliding windows",
            ["$9000000 / sliding 1h", "9G tokens / sliding 1h", "$900000 / sliding 24h", "9M requests / sliding 1h"],
        ),
    ] {
        let rates: Vec<String> = (0..ROUNDS).map(|_| round(&limits).to_string()).collect();
        // A line that `cargo xtask bench` reads.
        println!("bench: ledger, {name} | at least 1000000 commands/s | {}", rates.join(" "));
    }
}

/// Commands a second in one round.
fn round(limits: &[&str; 4]) -> u64 {
    let mut ledger = Ledger::new();
    let accounts: Box<[AccountId]> =
        limits.iter().enumerate().map(|(at, limit)| open(&mut ledger, at, limit)).collect();
    let mut in_flight = std::collections::VecDeque::with_capacity(IN_FLIGHT);
    let began = Instant::now();
    for number in 0..CALLS {
        let now = START.after(Span::from_ms(number));
        let call = call(number, &accounts, now);
        let verdict = ledger.reserve(&call, Patience::Fresh, now);
        assert!(matches!(verdict, Ok(Verdict::Admitted(_))), "{verdict:?}");
        in_flight.push_back(call.id);
        if in_flight.len() == IN_FLIGHT {
            let oldest = in_flight.pop_front().expect("it is full");
            ledger.settle(oldest, spent(), now).expect("it is held");
        }
        // The journal takes the facts in batches.
        if number % 64 == 0 {
            assert!(!ledger.take_facts().is_empty());
        }
    }
    for id in in_flight {
        ledger.settle(id, spent(), ledger.now()).expect("it is held");
    }
    (2 * CALLS as u128 * 1_000_000_000 / began.elapsed().as_nanos()).try_into().expect("a rate fits")
}

fn open(ledger: &mut Ledger, at: usize, limit: &str) -> AccountId {
    let name: almoner_units::BudgetName = format!("budget {at}").parse().expect("a good name");
    let budget = Budget {
        name: name.clone(),
        filter: Vec::new(),
        per: Vec::new(),
        limits: vec![limit.parse().expect("a good limit")],
        mode: almoner_units::Mode::StopNew,
        marks: LevelMarks::default(),
    };
    ledger.set_budget(budget, Who("bench".to_owned()), START);
    ledger.open(&AccountKey { budget: name, per: Vec::new() }, "key", START).expect("its budget is set")
}

fn call(number: u64, accounts: &[AccountId], now: Timestamp) -> Reserve {
    let mut fixed = Charge::ZERO;
    fixed[Meter::Tokens] = 1000;
    fixed[Meter::Requests] = 1;
    fixed[Meter::Usd] = 3_000_000;
    let mut random = [0; 10];
    random[2..].copy_from_slice(&number.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes());
    Reserve {
        id: CallId::new(now, random),
        accounts: accounts.into(),
        ask: Ask::new(fixed, 1, PicoUsdPerToken::new(15_000_000), 10_000),
        priority: almoner_units::Priority::Normal,
        lasts: Span::from_secs(600),
        can_tighten: false,
    }
}

fn spent() -> Charge {
    let mut spent = Charge::ZERO;
    spent[Meter::Tokens] = 1500;
    spent[Meter::Requests] = 1;
    spent[Meter::Usd] = 9_000_000;
    spent
}
