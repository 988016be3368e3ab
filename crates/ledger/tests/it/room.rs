//! The waiting room: priority, then age; smaller calls pass until half the time is over; every wait ends.

use std::collections::BTreeMap;

use almoner_ledger::{AccountId, Ledger, Patience, Reserve, Verdict, WaitingRoom, Who};
use almoner_units::{
    AccountKey, Ask, Budget, CallId, Charge, LevelMarks, Meter, Mode, PicoUsdPerToken, Priority, Span, Timestamp,
};

use crate::script::check;
use crate::world::dice::Dice;

#[test]
fn the_urgent_go_first_and_then_the_old() {
    check(
        "
        budget  team       $1.00
        reserve a team     $1.00
        enter   old team   $0.40 low
        wait    1s
        enter   new team   $0.40 low
        enter   urgent team $0.40 high
        wake                       → nobody; again at +30s
        settle  a          $0.10
        wake                       → urgent held; old held; again at +31s
        settle  urgent     $0.10
        wake                       → new held
    ",
    );
}

#[test]
fn a_smaller_call_passes_a_larger_until_that_has_waited_half_its_time() {
    check(
        "
        budget  team       $1.00
        budget  other      $1.00
        reserve a team     $0.60
        enter   large team $0.90 for 60s
        enter   small team $0.20 for 60s
        wake                       → small held; again at +30s
        keeps out x team   $0.10   → no
        wait    29999ms
        keeps out x team   $0.10   → no
        wait    1ms
        keeps out x team   $0.10   → yes
        keeps out x other  $0.10   → no
        keeps out x team   $0.10 high → no
        keeps out x team   $0.10 low  → yes
        enter   tiny team  $0.01 for 60s
        enter   elsewhere other $0.50 for 60s
        wake                       → elsewhere held; again at +1m
        settle  small      $0.01
        settle  a          $0.01
        wake                       → large held; tiny held
    ",
    );
}

#[test]
fn a_deadline_ends_in_a_refusal() {
    check(
        "
        budget  team       $1.00
        reserve a team     $0.60
        enter   b team     $0.50 for 10s
        wait    5s
        wake                       → nobody; again at +10s
        wait    4999ms
        wake                       → nobody; again at +10s
        wait    1ms
        wake                       → b refused, held
    ",
    );
}

#[test]
fn at_half_its_time_a_call_takes_the_floor() {
    check(
        "
        budget  team       40k tokens
        reserve a team     12000 tokens
        enter   b team     1000 tokens out 32000 for 10s
        wake                       → nobody; again at +5s
        wait    5s
        wake                       → b held
        show    team               → 19750 tokens held, 20250 tokens left
    ",
    );
}

#[test]
fn a_full_room_takes_nobody() {
    check(
        "
        room    1
        budget  team       $1.00
        reserve a team     $0.60
        enter   b team     $0.50   → 1 wait
        enter   c team     $0.50   → c: as many calls are waiting already as may (1); try again in a moment
    ",
    );
}

#[test]
fn who_can_never_fit_does_not_wait() {
    check(
        "
        budget  team       $1.00
        reserve a team     $0.60
        enter   b team     $0.50
        add     x team     $0.55
        wake                       → b refused, exhausted
    ",
    );
}

#[test]
fn an_account_that_a_waiting_call_needs_is_not_swept() {
    check(
        "
        budget  team       $1.00
        budget  idle       $1.00
        reserve a team     $0.60
        enter   b team+idle $0.50
        sweep                      → 2 of 2 accounts kept
        settle  a          $0.10
        wake                       → b held
        settle  b          $0.10
    ",
    );
}

#[test]
fn who_waits_for_a_level_to_fall_keeps_nobody_out() {
    check(
        "
        budget  team       $1.00 / sliding 1h throttle
        budget  firm       $9.00
        add     x team     $0.85
        enter   slow team+firm $0.01 low for 10s
        wait    5s
        wake                       → nobody; again at +10s
        keeps out a firm   $0.10 low → no
        enter   b firm     $0.10 low for 10s
        wake                       → b held; again at +10s
        wait    5s
        wake                       → slow refused, low at soft
    ",
    );
}

#[test]
fn a_level_that_falls_wakes_the_room() {
    check(
        "
        budget  team       $1.00 / sliding 1h throttle
        add     x team     $0.85
        wait    1h
        enter   a team     $0.01 low for 10m
        wake                       → nobody; again at +1h30s
        wait    30s
        wake                       → a held
    ",
    );
}

const START: Timestamp = Timestamp::from_ms(1_764_000_000_000);
const ROOM: usize = 6;

/// The steady clock, which here runs with ledger time.
fn steady(now: Timestamp) -> Span {
    Span::from_ms(now.ms())
}

/// A room at random: who waits, in order of entering, beside what the room itself knows.
struct Crowd {
    dice: Dice,
    ledger: Ledger,
    room: WaitingRoom<u8>,
    accounts: Vec<AccountId>,
    /// By the number of their arrival: the call, since when and until when it waits.
    waiting: BTreeMap<u8, (Reserve, Timestamp, Timestamp)>,
    in_flight: Vec<CallId>,
    now: Timestamp,
    ids: u8,
}

impl Crowd {
    fn new(seed: u64) -> Self {
        let mut ledger = Ledger::new();
        let accounts = ["one", "two", "three"].map(|name| {
            let budget = Budget {
                name: name.parse().unwrap(),
                filter: Vec::new(),
                per: Vec::new(),
                limits: vec!["100 tokens / sliding 10m".parse().unwrap()],
                mode: Mode::StopNew,
                marks: LevelMarks::default(),
            };
            ledger.set_budget(budget, Who("a test".to_owned()), START);
            ledger.open(&AccountKey { budget: name.parse().unwrap(), per: Vec::new() }, "key", START).unwrap()
        });
        let room = WaitingRoom::new(ROOM);
        let (waiting, in_flight) = (BTreeMap::new(), Vec::new());
        Self {
            dice: Dice::new(seed),
            ledger,
            room,
            accounts: accounts.to_vec(),
            waiting,
            in_flight,
            now: START,
            ids: 0,
        }
    }

    fn step(&mut self) {
        match self.dice.below(4) {
            0 | 1 => self.arrive(),
            2 if !self.in_flight.is_empty() => {
                let at = self.dice.index(self.in_flight.len());
                let mut spent = Charge::ZERO;
                spent[Meter::Tokens] = self.dice.below(4);
                self.ledger.settle(self.in_flight.swap_remove(at), spent, self.now).unwrap();
            }
            _ => self.now = self.now.after(Span::from_ms(self.dice.below(20_000))),
        }
        self.wake();
    }

    fn arrive(&mut self) {
        self.ids = self.ids.wrapping_add(1);
        let mut fixed = Charge::ZERO;
        fixed[Meter::Tokens] = self.dice.between(1, 90);
        let touched = (0..3).filter(|_| self.dice.once_in(2)).map(|at| self.accounts[at]).collect();
        let call = Reserve {
            id: CallId::new(self.now, [self.ids; 10]),
            accounts: touched,
            ask: Ask::new(fixed, 1, PicoUsdPerToken::ZERO, 0),
            priority: *self.dice.pick(&Priority::ALL),
            lasts: Span::from_secs(600),
            can_tighten: false,
        };
        let waits = !self.room.keeps_out(&call, steady(self.now));
        let must_wait = match waits.then(|| self.ledger.reserve(&call, Patience::Fresh, self.now).unwrap()) {
            Some(Verdict::Admitted(_)) => {
                self.in_flight.push(call.id);
                false
            }
            Some(Verdict::Waits(_)) | None => true,
            _ => false,
        };
        let until = self.now.after(Span::from_ms(self.dice.between(1000, 60_000)));
        if must_wait && self.room.enter(call.clone(), self.ids, steady(self.now), steady(until)).is_ok() {
            self.waiting.insert(self.ids, (call, self.now, until));
        }
        assert!(self.room.len() <= ROOM);
    }

    fn wake(&mut self) {
        let ahead: Vec<Reserve> = self.ahead();
        let (mut admitted, mut in_time) = (Vec::new(), Vec::new());
        for (number, verdict) in self.room.wake(&mut self.ledger, self.now, steady(self.now)) {
            let (call, _, until) = self.waiting.remove(&number).unwrap();
            if let Ok(Verdict::Admitted(_)) = verdict {
                admitted.push(call.id);
                // At its deadline a call takes what there is, whoever waits: better than a refusal that need not be.
                in_time.extend((until > self.now).then_some(call.id));
            }
        }
        assert_eq!(self.room.len(), self.waiting.len());
        assert!(self.waiting.values().all(|(_, _, until)| *until > self.now), "a wait outlived its deadline");
        let next = self.room.next_change(self.now, steady(self.now));
        assert!(next.is_none_or(|next| next.ms() > 0), "the room would spin");
        self.check_order(&ahead, &in_time);
        self.in_flight.extend(admitted);
    }

    /// Those who wait, most urgent first, then oldest.
    fn ahead(&self) -> Vec<Reserve> {
        let mut all: Vec<_> = self.waiting.values().collect();
        all.sort_by_key(|(call, since, _)| (std::cmp::Reverse(call.priority), *since));
        all.into_iter().map(|(call, ..)| call.clone()).collect()
    }

    /// Nobody passed a call that has waited half its time for an account both need, and nobody waits who could go.
    fn check_order(&self, ahead: &[Reserve], admitted: &[CallId]) {
        for (at, call) in ahead.iter().enumerate() {
            let shares = |other: &&Reserve| other.accounts.iter().any(|id| call.accounts.contains(id));
            let blocked = ahead[..at].iter().filter(shares).any(|other| self.has_waited_half(other.id));
            if admitted.contains(&call.id) {
                assert!(!blocked, "{} passed a call that keeps its accounts", call.id);
            } else if self.waiter(call.id).is_some() && !blocked {
                let verdict = self.ledger.clone().reserve(call, Patience::Fresh, self.now).unwrap();
                assert!(matches!(verdict, Verdict::Waits(_)), "{} waits and could have {verdict:?}", call.id);
            }
        }
    }

    fn waiter(&self, id: CallId) -> Option<&(Reserve, Timestamp, Timestamp)> {
        self.waiting.values().find(|(call, ..)| call.id == id)
    }

    fn has_waited_half(&self, id: CallId) -> bool {
        self.waiter(id).is_some_and(|(_, since, until)| 2 * self.now.since(*since).ms() >= until.since(*since).ms())
    }
}

#[test]
fn every_wait_ends_and_nobody_is_passed_over() {
    for seed in 0..40 {
        let mut crowd = Crowd::new(seed);
        for _ in 0..200 {
            crowd.step();
        }
    }
}
