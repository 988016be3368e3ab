//! Who plays: the budgets, and the calls that touch them.

use almoner_ledger::Question;
use almoner_units::{
    AccountKey, Ask, Budget, CalendarUnit, CallId, Charge, LabelName, LabelValue, LevelMarks, Limit, Meter, Mode,
    PicoUsdPerToken, Priority, Span, Timestamp, Window, Zone,
};

use crate::dice::Dice;

const MINUTE: u64 = 60_000;

/// The zones of a wide history: two with summer time, one that changes by half an hour, one that is half an hour off.
const ZONES: [&str; 4] = ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata"];

/// The budgets of a history; those of a wide one have windows in other zones as well.
pub(crate) fn budgets(is_wide: bool, dice: &mut Dice) -> Vec<Budget> {
    (0..dice.between(2, 5)).map(|number| budget(number, is_wide, dice)).collect()
}

fn budget(number: u64, is_wide: bool, dice: &mut Dice) -> Budget {
    let mut limits: Vec<Limit> = Vec::new();
    for _ in 0..dice.between(1, 2) {
        let mut limit = limit(dice);
        if is_wide && dice.one_in(2) {
            limit.window = local(dice);
        }
        // Two limits alike are one counter to the ledger, and would be two to the auditor.
        if limits.iter().all(|known| (known.meter, &known.window) != (limit.meter, &limit.window)) {
            limits.push(limit);
        }
    }
    let per = if dice.one_in(3) { vec![session()] } else { Vec::new() };
    let name = format!("budget {number}").parse().expect("a name of letters and digits");
    Budget { name, filter: Vec::new(), per, limits, mode: mode(dice), marks: LevelMarks::default() }
}

pub(crate) fn mode(dice: &mut Dice) -> Mode {
    dice.pick(&[Mode::StopNew, Mode::StopNew, Mode::StopNew, Mode::KillRunning, Mode::Throttle, Mode::Warn])
}

fn limit(dice: &mut Dice) -> Limit {
    let meter = dice.pick(&[Meter::Usd, Meter::Usd, Meter::Usd, Meter::Tokens, Meter::Requests]);
    Limit { meter, amount: amount(meter, dice), window: window(dice) }
}

/// A limit that a few to a few dozen calls fill.
pub(crate) fn amount(meter: Meter, dice: &mut Dice) -> u64 {
    let calls = dice.between(2, 30);
    match meter {
        Meter::Requests => calls,
        Meter::Usd => calls * dice.between(100_000, 900_000),
        _ => calls * dice.between(100, 1_000),
    }
}

fn window(dice: &mut Dice) -> Window {
    let units = [CalendarUnit::Hour, CalendarUnit::Day, CalendarUnit::Week];
    match dice.below(8) {
        0..=2 => Window::Lifetime,
        3 => Window::Fixed(Span::from_ms(dice.between(10_000, 20 * MINUTE))),
        4..=6 => Window::Sliding(Span::from_ms(dice.between(20_000, 60 * MINUTE))),
        _ => Window::Calendar(dice.pick(&units), Zone::utc()),
    }
}

/// A window of the calendar in some zone.
fn local(dice: &mut Dice) -> Window {
    let unit = dice.pick(&[CalendarUnit::Hour, CalendarUnit::Day, CalendarUnit::Day, CalendarUnit::Week]);
    Window::Calendar(unit, dice.pick(&ZONES).parse().expect("a known zone"))
}

fn session() -> LabelName {
    "session".parse().expect("a known label")
}

/// Accounts of some of the budgets, at least one.
pub(crate) fn accounts(budgets: &[Budget], dice: &mut Dice) -> Vec<AccountKey> {
    let session: LabelValue = format!("s{}", dice.below(3)).parse().expect("a short value");
    let key = |budget: &Budget| AccountKey {
        budget: budget.name.clone(),
        per: budget.per.iter().map(|name| (name.clone(), session.clone())).collect(),
    };
    let first = dice.place(budgets.len());
    let touched = |at: &usize, dice: &mut Dice| *at == first || !dice.one_in(3);
    (0..budgets.len()).filter(|at| touched(at, dice)).map(|at| key(&budgets[at])).collect()
}

/// A question about a new call.
pub(crate) fn question(budgets: &[Budget], wall: Timestamp, dice: &mut Dice) -> Question {
    let mut fixed = Charge::ZERO;
    let input = dice.between(1, 600);
    fixed[Meter::Tokens] = input;
    fixed[Meter::UncachedTokens] = input;
    fixed[Meter::InputTokens] = input;
    fixed[Meter::Requests] = 1;
    fixed[Meter::Usd] = input * dice.between(100, 1_000);
    let price = PicoUsdPerToken::new(dice.pick(&[0, 333, 75_000, 1_500_000]));
    let mut ask = Ask::new(fixed, dice.between(1, 2), price, dice.between(0, 400));
    ask.cap_comfortable = ask.cap_asked.min(dice.between(0, 200));
    ask.cap_floor = ask.cap_comfortable.min(dice.between(0, 100));
    Question {
        id: CallId::new(wall, dice.bytes()),
        accounts: accounts(budgets, dice),
        key: "one".to_owned(),
        ask,
        priority: dice.pick(&Priority::ALL),
        can_tighten: dice.one_in(10),
        wait_max: Span::from_ms(dice.pick(&[0, 500, 5_000, 30_000])),
        hold_max: Span::from_ms(dice.pick(&[40_000, 5 * MINUTE, 60 * MINUTE])),
    }
}

/// What the provider bills for a call that may cost `most`: at times its whole bound, at times nearly nothing.
pub(crate) fn bill(most: &Charge, dice: &mut Dice) -> Charge {
    let permille = dice.pick(&[1000, 1000, 300, 50, dice.clone().below(1001)]);
    let mut bill = Charge::ZERO;
    for (meter, amount) in most.iter() {
        bill[meter] = amount * permille / 1000;
    }
    bill[Meter::Requests] = 1;
    bill
}
