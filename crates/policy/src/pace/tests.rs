//! One pace and the room, by scripts, and by the naive model.

use proptest::prelude::*;

use super::*;
use almoner_units::{Labels, Priority};

mod hours;

const BEGIN: u64 = 1_000_000;

fn at(secs: &str) -> Timestamp {
    // Tenths of a second.
    let tenths: u64 = format!("{secs}.0").split('.').take(2).collect::<String>().parse().unwrap();
    Timestamp::from_ms(BEGIN + tenths * 100)
}

/// `SECONDS EVENT` a line, on one pace: `ask TOKENS` with `goes`, or what is short and when it opens; `sent`, `back
/// TOKENS`, `used EXPECTED TOKENS`.
#[track_caller]
fn check(rates: Rates, script: &str) {
    let mut pace = Pace::new(rates);
    pace.configure(rates, true);
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let now = at(words[0]);
        let number = |at: usize| words[at].parse::<u64>().unwrap();
        match words[1] {
            "sent" => pace.sent(now),
            "back" => pace.give_back(number(2)),
            "refused" => pace.refused(words.get(2).map(|secs| Span::from_secs(secs.parse().unwrap())), now),
            "told" => pace.told(Told { rpm: Some(number(2)), tpm: Some(number(3)), wait: None }, now),
            "rpm" => {
                pace.used(now);
                let rpm = pace.rates().rpm.map_or("none".to_owned(), |rpm| rpm.to_string());
                assert_eq!(rpm, words[2], "{line}");
            }
            "used" => pace.settle(number(2), number(3), now),
            "ask" => {
                let said = match pace.fits(number(2), now) {
                    Ok(()) => {
                        pace.begin(number(2));
                        "goes".to_owned()
                    }
                    Err(short) => {
                        let what = match short {
                            Short::Requests { .. } => "requests",
                            Short::Tokens { .. } => "tokens",
                            Short::Closed => "closed",
                            Short::Peak => "peak",
                        };
                        let opens = pace.opens_at(number(2), now);
                        let opens = opens.map_or("?".to_owned(), |at| ((at.ms() - BEGIN) / 1000).to_string());
                        format!("{what} {opens}")
                    }
                };
                assert_eq!(said, words[3..].join(" "), "{line}");
            }
            other => panic!("{other}"),
        }
    }
}

const fn rates(rpm: u64, tpm: u64) -> Rates {
    Rates { rpm: if rpm == 0 { None } else { Some(rpm) }, tpm: if tpm == 0 { None } else { Some(tpm) } }
}

#[test]
fn fifty_requests_a_minute_are_fifty_whenever_the_minute_begins() {
    let fifty = "30 ask 0 goes\n 30 sent\n".repeat(50);
    check(rates(50, 0), &format!("{fifty} 30 ask 0 requests 92\n 89 ask 0 requests 92\n 92 ask 0 goes"));
}

#[test]
fn as_many_requests_go_in_a_minute_as_may_and_a_second_more_is_waited_for_the_way() {
    check(
        rates(2, 0),
        "0.9 ask 0 goes
         0.9 sent
         1.0 ask 0 goes
         1.0 sent
         2.0 ask 0 requests 62
         60.9 ask 0 requests 62
         61.9 ask 0 requests 62
         62.0 ask 0 goes
         62.0 ask 0 requests 63",
    );
}

#[test]
fn a_call_that_may_go_and_was_not_sent_counts_and_goes_into_no_burst() {
    check(
        rates(1, 0),
        "0 ask 0 goes
         50 ask 0 requests ?
         100 ask 0 requests ?
         100 sent
         161 ask 0 requests 162
         162 ask 0 goes
         163 back 0
         163 ask 0 goes",
    );
}

#[test]
fn tokens_are_set_aside_until_the_answer_and_what_was_not_used_is_given_back() {
    check(
        rates(0, 100),
        "0 ask 80 goes
         0 sent
         1 ask 40 tokens ?
         120 ask 40 tokens ?
         120 used 80 60
         120 ask 40 goes
         120 ask 1 tokens 182
         121 back 40
         121 ask 41 tokens 182
         182 ask 41 goes",
    );
}

#[test]
fn a_call_larger_than_the_whole_pace_goes_once_nothing_counts() {
    check(
        rates(0, 100),
        "0 ask 10 goes
         0 sent
         1 used 10 10
         1 ask 500 tokens 63
         63 ask 500 goes
         63 ask 1 tokens ?
         63 sent
         70 used 500 450
         70 ask 1 tokens 132
         132 ask 1 goes",
    );
}

#[test]
fn a_refusal_lowers_the_pace_by_a_quarter_and_each_quiet_minute_raises_it_up_to_what_is_configured() {
    let mut script = String::new();
    for _ in 0..100 {
        script.push_str("0 ask 0 goes\n 0 sent\n");
    }
    check(
        rates(100, 0),
        &format!(
            "{script}
             1 refused
             2 refused
             2 rpm 75
             60 rpm 75
             61 rpm 80
             121 rpm 85
             400 rpm 100
             3601 rpm 100
             4000 refused
             4000 rpm 75
             4060 rpm 80"
        ),
    );
}

#[test]
fn refusals_that_go_on_are_a_lesson_every_ten_seconds() {
    let sent = "0 ask 0 goes\n 0 sent\n".repeat(100);
    check(
        rates(100, 0),
        &format!(
            "{sent} 1 refused\n 6 refused\n 6 rpm 75\n 11 refused\n 11 rpm 56\n 16 refused\n 21 refused\n 21 rpm 42"
        ),
    );
}

#[test]
fn who_has_just_begun_to_send_much_is_not_taken_for_slow() {
    let sent = "0 ask 0 goes\n 0 sent\n".repeat(100);
    check(rates(0, 0), &format!("{sent} 1 refused\n 1 rpm 2250"));
    check(rates(0, 0), &format!("{sent} 59 refused\n 59 rpm 75"));
}

#[test]
fn without_a_configured_pace_there_is_none_until_its_provider_says_one() {
    check(
        rates(0, 0),
        "0 rpm none
         0 refused
         0 rpm 30
         60 rpm 31
         3600 rpm none
         3601 told 40 1000
         3601 rpm 40
         3601 ask 1001 goes
         3601 ask 1 tokens ?",
    );
}

#[test]
fn a_provider_that_says_more_than_can_be_counted_is_heard_without_harm() {
    let most = u64::MAX;
    check(
        rates(0, 0),
        &format!(
            "0 told {most} {most}
             0 ask 5 goes
             0 sent
             0 refused {most}
             0 rpm {}
             1 ask 5 closed 600",
            most - most.div_ceil(4)
        ),
    );
}

#[test]
fn what_its_provider_says_never_raises_what_is_configured() {
    check(rates(50, 0), "0 told 100 0\n 0 rpm 50\n 0 told 40 0\n 0 rpm 40");
}

#[test]
fn it_is_closed_for_as_long_as_its_provider_said_and_for_ten_minutes_at_most() {
    check(
        rates(0, 0),
        "0 refused 7
         1 ask 0 closed 7
         7 ask 0 goes
         20 refused 86400
         619 ask 0 closed 620
         620 ask 0 goes",
    );
}

#[test]
fn a_pace_takes_a_kilobyte() {
    assert!(std::mem::size_of::<Pace>() <= 1_280, "{}", std::mem::size_of::<Pace>());
}

/// What lets calls go; one that is wrong on purpose shows that the property can fail.
trait Gate {
    fn go(&mut self, tokens: u64, now: Timestamp) -> bool;
    fn sent(&mut self, now: Timestamp);
    fn used(&mut self, tokens: u64, used: u64, now: Timestamp);
}

impl Gate for Pace {
    fn go(&mut self, tokens: u64, now: Timestamp) -> bool {
        let fits = self.fits(tokens, now).is_ok();
        if fits {
            self.begin(tokens);
        }
        fits
    }

    fn sent(&mut self, now: Timestamp) {
        Pace::sent(self, now);
    }

    fn used(&mut self, tokens: u64, used: u64, now: Timestamp) {
        self.settle(tokens, used, now);
    }
}

/// The generic cell rate algorithm: a burst of a whole minute's worth, and the rate besides.
struct Gcra {
    rpm: u64,
    free_at: u64,
}

impl Gate for Gcra {
    fn go(&mut self, _: u64, now: Timestamp) -> bool {
        let (step, now) = (60_000 / self.rpm, now.ms());
        let free_at = self.free_at.max(now) + step;
        if free_at > now + 60_000 {
            return false;
        }
        self.free_at = free_at;
        true
    }

    fn sent(&mut self, _: Timestamp) {}

    fn used(&mut self, _: u64, _: u64, _: Timestamp) {}
}

/// A minute that begins anew on the minute.
#[derive(Default)]
struct Calendar {
    rpm: u64,
    minute: u64,
    count: u64,
}

impl Gate for Calendar {
    fn go(&mut self, _: u64, now: Timestamp) -> bool {
        if self.minute != now.ms() / 60_000 {
            (self.minute, self.count) = (now.ms() / 60_000, 0);
        }
        self.count += 1;
        self.count <= self.rpm
    }

    fn sent(&mut self, _: Timestamp) {}

    fn used(&mut self, _: u64, _: u64, _: Timestamp) {}
}

#[derive(Clone, Debug)]
struct Step {
    wait_ms: u64,
    tokens: u64,
    held_up_ms: u64,
    on_its_way_ms: u64,
    takes_ms: u64,
    used_permille: u64,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = (0..8_000u64, 1..60u64, 0..90_000u64, 0..1_000u64, 0..150_000u64, 0..=1000u64, 0..4u8);
    let step = step.prop_map(|(wait_ms, tokens, held_up_ms, on_its_way_ms, takes_ms, used_permille, kind)| Step {
        wait_ms: if kind == 0 { 0 } else { wait_ms },
        tokens,
        held_up_ms: if kind == 1 { held_up_ms } else { 0 },
        on_its_way_ms,
        takes_ms,
        used_permille,
    });
    proptest::collection::vec(step, 1..150)
}

/// What the provider gets: the most requests and tokens in any 60 s, if its tokens count as they arrive, or as they are
/// used up to the last.
fn worst(gate: &mut dyn Gate, steps: &[Step], tokens_count_late: bool) -> Load {
    #[derive(PartialEq, Eq, PartialOrd, Ord)]
    enum Event {
        Used(u64, u64),
        Sent,
    }
    let mut now = BEGIN;
    let mut ahead: std::collections::BTreeSet<(u64, usize, Event)> = std::collections::BTreeSet::new();
    let mut arrived: Vec<(u64, u64, u64)> = Vec::new();
    let happen = |gate: &mut dyn Gate, ahead: &mut std::collections::BTreeSet<(u64, usize, Event)>, until: u64| {
        while ahead.first().is_some_and(|(at, ..)| *at <= until) {
            match ahead.pop_first().unwrap() {
                (at, _, Event::Sent) => gate.sent(Timestamp::from_ms(at)),
                (at, _, Event::Used(tokens, used)) => gate.used(tokens, used, Timestamp::from_ms(at)),
            }
        }
    };
    for (at, step) in steps.iter().enumerate() {
        now += step.wait_ms;
        happen(gate, &mut ahead, now);
        if gate.go(step.tokens, Timestamp::from_ms(now)) {
            let sent = now + step.held_up_ms;
            let arrives = sent + step.on_its_way_ms;
            let answered = arrives + step.takes_ms;
            let used = step.tokens * step.used_permille / 1000;
            ahead.insert((sent, at, Event::Sent));
            ahead.insert((answered, at, Event::Used(step.tokens, used)));
            arrived.push((arrives, 1, 0));
            arrived.push((if tokens_count_late { answered } else { arrives }, 0, used));
        }
    }
    arrived.sort_unstable();
    let within = |from: u64| arrived.iter().filter(move |(at, ..)| (from..from + 60_000).contains(at));
    let sum = |from: u64| within(from).fold((0, 0), |(r, t), (_, one, tokens)| (r + one, t + tokens));
    let sums: Vec<(u64, u64)> = arrived.iter().map(|(at, ..)| sum(*at)).collect();
    Load {
        requests: sums.iter().map(|(requests, _)| *requests).max().unwrap_or(0),
        tokens: sums.iter().map(|(_, tokens)| *tokens).max().unwrap_or(0),
    }
}

proptest! {
    #[test]
    fn in_no_minute_more_reaches_the_provider_than_may(
        steps in steps(), rpm in 1..20u64, tpm in 60..400u64, late: bool
    ) {
        let worst = worst(&mut Pace::new(rates(rpm, tpm)), &steps, late);
        prop_assert!(worst.requests <= rpm, "{} of {rpm} requests", worst.requests);
        prop_assert!(worst.tokens <= tpm, "{} of {tpm} tokens", worst.tokens);
    }
}

#[test]
fn the_same_property_finds_gcra_and_the_minute_of_the_calendar() {
    let bad: [fn(u64) -> Box<dyn Gate>; 2] =
        [|rpm| Box::new(Gcra { rpm, free_at: 0 }), |rpm| Box::new(Calendar { rpm, ..Calendar::default() })];
    for make in bad {
        let mut runner = proptest::test_runner::TestRunner::deterministic();
        let found = runner.run(&(steps(), 1..20u64), |(steps, rpm)| {
            let worst = worst(make(rpm).as_mut(), &steps, false);
            prop_assert!(worst.requests <= rpm);
            Ok(())
        });
        assert!(found.is_err(), "a gate that lets twice as much pass was not found");
    }
}

/// A room over one pace for all and one for each key. `SECONDS in NAME KEY SESSION PRIORITY TOKENS` asks, with what it
/// hears; `SECONDS wake` and `SECONDS used EXPECTED TOKENS` tell who goes.
struct Room {
    paces: Paces<String>,
    rules: Vec<PaceRule>,
    wait_max: Span,
    /// Those that went and are not answered.
    went: Vec<Grant>,
}

impl Room {
    fn new(all: Rates, each: Rates, most: usize) -> Self {
        let rule = |name: &str, per: &[&str], rates| PaceRule {
            name: name.to_owned(),
            filter: Vec::new(),
            per: per.iter().map(|name| name.parse().unwrap()).collect(),
            rates,
            adaptive: false,
        };
        let rules = vec![rule("all", &[], all), rule("each", &["key"], each)];
        Self { paces: Paces::new(most), rules, wait_max: Span::from_secs(600), went: Vec::new() }
    }

    #[track_caller]
    fn check(&mut self, script: &str) {
        for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let words: Vec<&str> = line.split_whitespace().collect();
            let now = at(words[0]);
            let answered = match words[1] {
                "in" => {
                    let mut labels = Labels::new();
                    labels.set("key".parse().unwrap(), words[3].parse().unwrap());
                    let order = Order {
                        paces: self.paces.touched(self.rules.iter(), &labels, now),
                        tokens: words[6].parse().unwrap(),
                        priority: Priority::ALL.into_iter().find(|known| known.name() == words[5]).unwrap(),
                        groups: [words[3].to_owned(), words[4].to_owned()],
                    };
                    let (asked, answered) = self.paces.ask(order, words[2].to_owned(), now, now.after(self.wait_max));
                    let said = match asked {
                        Asked::Goes(grant) => {
                            self.paces.sent(&grant, now);
                            self.went.push(grant);
                            "goes".to_owned()
                        }
                        Asked::Waits(_) => "waits".to_owned(),
                        Asked::Slow(slow) => {
                            format!("slow {} {}", slow.by.as_ref().map_or("full", |by| &by.pace), slow.after)
                        }
                    };
                    assert_eq!(said, words[7], "{line}");
                    answered
                }
                "wake" => self.paces.wake(now),
                other => panic!("{other}"),
            };
            let mut told = Vec::new();
            for (name, answer) in answered {
                match answer {
                    Ok((grant, ..)) => {
                        self.paces.sent(&grant, now);
                        told.push(name);
                    }
                    Err(slow) => told.push(format!("{name}:slow:{}", slow.after)),
                }
            }
            let expected: &[&str] = if words[1] == "in" { &words[8..] } else { &words[2..] };
            assert_eq!(told, expected, "{line}");
        }
    }
}

#[test]
fn the_more_urgent_goes_first_and_who_has_waited_long_is_more_urgent() {
    Room::new(rates(1, 0), rates(0, 0), 100).check(
        "0 in a k s normal 0 goes
         1 in low k s low 0 waits
         2 in normal k s normal 0 waits
         2 in high k s high 0 waits
         62 wake high
         100 in late k s critical 0 waits
         124 wake normal
         186 wake low
         248 wake late",
    );
    Room::new(rates(1, 0), rates(0, 0), 100).check(
        "0 in a k s normal 0 goes
         1 in low k s low 0 waits
         40 in high k s high 0 waits
         62 wake low
         124 wake high",
    );
}

#[test]
fn keys_and_then_their_sessions_take_turns() {
    Room::new(rates(1, 0), rates(0, 0), 100).check(
        "0 in a1 a s1 normal 0 goes
         55 in a2 a s1 normal 0 waits
         55 in a3 a s1 normal 0 waits
         55 in a4 a s2 normal 0 waits
         56 in b1 b s1 normal 0 waits
         56 in b2 b s1 normal 0 waits
         62 wake b1
         124 wake a4
         186 wake b2
         248 wake a2
         310 wake a3",
    );
}

#[test]
fn who_waits_for_its_own_pace_keeps_nobody_out_of_that_of_all() {
    Room::new(rates(10, 0), rates(1, 0), 100).check(
        "0 in a1 a s high 0 goes
         0 in a2 a s high 0 waits
         0 in b1 b s low 0 waits b1
         62 wake a2",
    );
}

#[test]
fn a_large_call_that_is_first_in_line_is_not_passed_by_small_ones() {
    Room::new(rates(0, 100), rates(0, 0), 100).check(
        "0 in a k s normal 90 goes
         1 in large k s normal 50 waits
         2 in small k s normal 5 waits
         2 in urgent k s high 5 waits urgent",
    );
}

#[test]
fn who_waits_behind_others_is_told_what_they_wait_for() {
    let mut room = Room::new(rates(0, 100), rates(0, 0), 100);
    room.check(
        "0 in a k s normal 90 goes
         1 in large k s normal 50 waits
         2 in small k s normal 5 waits",
    );
    room.paces.settle(&room.went.remove(0), 0, at("3"));
    let went = room.paces.wake(at("3"));
    let by: Vec<_> = went.into_iter().map(|(name, answer)| (name, answer.unwrap().2.unwrap().pace)).collect();
    assert_eq!(by, [("large".to_owned(), "all".to_owned()), ("small".to_owned(), "all".to_owned())]);
    // Whose time is up behind another is told the same.
    let mut room = Room { wait_max: Span::from_secs(9), ..Room::new(rates(0, 100), rates(0, 0), 100) };
    room.check(
        "0 in a k s normal 90 goes
         1 in large k s normal 50 waits
         2 in small k s normal 5 waits",
    );
    let slow: Vec<_> = room.paces.wake(at("20")).into_iter().map(|(_, answer)| answer.unwrap_err().by).collect();
    assert!(slow.len() == 2 && slow.iter().all(|by| by.as_ref().is_some_and(|by| by.pace == "all")), "{slow:?}");
}

#[test]
fn the_room_is_bounded_and_no_key_fills_it() {
    Room::new(rates(1, 0), rates(0, 0), 8).check("0 in a k s normal 0 goes\n 1 in b k s normal 0 waits");
    let mut room = Room::new(rates(1, 0), rates(0, 0), 4);
    room.check("0 in a k s normal 0 goes\n 1 in b k s normal 0 waits");
    let order = |key: &str, room: &mut Room| Order {
        paces: room.paces.touched(room.rules.iter(), &Labels::new(), at("1")),
        groups: [key.to_owned(), String::new()],
        ..Order::default()
    };
    for (key, waits) in [("k", false), ("l", true), ("m", true), ("n", true), ("o", false)] {
        let order = order(key, &mut room);
        let (asked, _) = room.paces.ask(order, key.to_owned(), at("1"), at("600"));
        match asked {
            Asked::Waits(_) => assert!(waits, "{key}"),
            Asked::Slow(slow) => assert!(!waits && slow.by.is_none() && slow.after == Span::from_secs(61), "{slow:?}"),
            Asked::Goes(_) => panic!("{key}"),
        }
    }
    assert_eq!(room.paces.waiting(), 4);
}

#[test]
fn who_cannot_go_within_its_time_is_told_at_once_and_who_could_when_its_time_is_up() {
    let mut room = Room::new(rates(1, 100), rates(0, 0), 100);
    room.wait_max = Span::from_secs(30);
    let order = |tokens, room: &mut Room| Order {
        paces: room.paces.touched(room.rules.iter(), &Labels::new(), at("0")),
        tokens,
        ..Order::default()
    };
    let first = order(80, &mut room);
    let (Asked::Goes(grant), _) = room.paces.ask(first, String::new(), at("0"), at("30")) else { panic!() };
    room.paces.sent(&grant, at("0"));
    let second = order(1, &mut room);
    let (Asked::Slow(slow), _) = room.paces.ask(second, String::new(), at("1"), at("31")) else { panic!() };
    assert_eq!((slow.after, slow.by.unwrap().pace), (Span::from_secs(61), "all".to_owned()));
    let third = order(1, &mut room);
    assert!(matches!(room.paces.ask(third, "third".to_owned(), at("40"), at("70")).0, Asked::Waits(_)));
    assert_eq!(room.paces.next_change(), Some(at("62")));
    let fourth = order(90, &mut room);
    let (Asked::Waits(id), _) = room.paces.ask(fourth, "fourth".to_owned(), at("40"), at("70")) else { panic!() };
    let went: Vec<String> = room.paces.wake(at("62")).into_iter().map(|(name, _)| name).collect();
    assert_eq!(went, ["third"]);
    assert!(room.paces.leave(id) && !room.paces.leave(id));
    assert_eq!(room.paces.waiting(), 0);
}

#[test]
fn paces_that_nothing_goes_at_are_forgotten_and_who_is_beyond_the_bound_shares_one() {
    let mut room = Room::new(rates(0, 0), rates(1, 0), 10);
    let mut labels = Labels::new();
    for number in 0..25_000u32 {
        labels.set("key".parse().unwrap(), format!("k{number}").parse().unwrap());
        let order = Order { paces: room.paces.touched(room.rules.iter(), &labels, at("0")), ..Order::default() };
        let (asked, _) = room.paces.ask(order, String::new(), at("0"), at("0"));
        if let Asked::Goes(grant) = asked {
            room.paces.sent(&grant, at("0"));
        }
    }
    assert!(room.paces.look(at("0")).len() <= 20_002, "{}", room.paces.look(at("0")).len());
    labels.set("key".parse().unwrap(), "late".parse().unwrap());
    room.paces.touched(room.rules.iter(), &labels, at("100"));
    assert!(room.paces.look(at("100")).len() <= 3);
    assert!(room.rules.len() == 2);
}
