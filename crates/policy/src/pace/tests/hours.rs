//! What the hours of the day teach a pace, by days that are told in a few words, and by a provider that is busy at two.

use super::super::hours::{Hour, Profile};
use super::super::*;
use super::{Room, rates};
use almoner_units::Priority;

const HOUR_MS: u64 = 3_600_000;
/// A midnight.
const DAY: u64 = 20_000 * 24;

/// A pace whose clock and whose wall clock go side by side.
struct Days {
    pace: Pace,
    /// Whether anybody tells it the hour.
    knows_hours: bool,
}

impl Days {
    fn new(rpm: u64) -> Self {
        let mut pace = Pace::new(rates(rpm, 0));
        pace.configure(rates(rpm, 0), true);
        Self { pace, knows_hours: true }
    }

    fn at(&mut self, hour: u64, minute: u64) -> Timestamp {
        let now = Timestamp::from_ms((hour - DAY) * HOUR_MS + minute * 60_000 + 1_000);
        if self.knows_hours {
            self.pace.hour(hour, now);
        }
        now
    }

    /// So many go at once, as far as they may; how many did.
    fn go(&mut self, most: u64, now: Timestamp) -> u64 {
        let mut went = 0;
        while went < most && self.pace.fits(0, now).is_ok() {
            self.pace.begin(0);
            self.pace.sent(now);
            self.pace.settle(0, 0, now);
            went += 1;
        }
        went
    }

    fn rpm(&mut self, now: Timestamp) -> Option<u64> {
        self.pace.used(now);
        self.pace.rates().rpm
    }
}

/// Days of which each line is `DAY HOUR:MINUTE EVENT`: `go N`, `refused`, `waits N`, `rpm N`, `peak yes`.
#[track_caller]
fn check(rpm: u64, script: &str) {
    let mut days = Days::new(rpm);
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let number = |text: &str| text.parse::<u64>().unwrap();
        let (hour, minute) = words[1].split_once(':').unwrap();
        let now = days.at(DAY + number(words[0]) * 24 + number(hour), number(minute));
        match words[2] {
            "go" => assert_eq!(days.go(number(words[3]), now), number(words[3]), "{line}"),
            "refused" => days.pace.refused(None, now),
            "waits" => (0..number(words[3])).for_each(|_| days.pace.waited()),
            "rpm" => {
                let rpm = days.rpm(now).map_or("none".to_owned(), |rpm| rpm.to_string());
                assert_eq!(rpm, words[3], "{line}");
            }
            "peak" => assert_eq!(if days.pace.is_peak() { "yes" } else { "no" }, words[3], "{line}"),
            other => panic!("{other}"),
        }
    }
}

#[test]
fn an_hour_that_was_refused_is_begun_with_what_it_bore_and_rises_from_there() {
    check(
        100,
        "0 9:00 rpm 100
         0 9:05 go 70
         0 9:07 go 1
         0 9:08 go 1
         0 9:10 go 80
         0 9:10 refused
         0 9:10 rpm 75
         0 9:12 go 5
         0 10:30 rpm 100
         1 8:59 rpm 100
         1 9:00 rpm 75
         1 9:02 rpm 85
         1 9:50 rpm 100
         2 9:00 rpm 75",
    );
}

#[test]
fn an_hour_that_bore_more_is_not_begun_where_the_one_before_it_ended() {
    check(
        100,
        "0 14:00 rpm 100
         0 14:05 go 95
         0 14:10 go 5
         0 14:13 go 5
         1 13:58 go 40
         1 13:57 refused
         1 13:58 refused
         1 13:58 rpm 56
         1 14:00 rpm 83
         2 14:00 rpm 100",
    );
}

#[test]
fn no_hour_is_begun_above_what_is_configured_and_one_that_nobody_tried_is_no_limit() {
    check(
        100,
        "0 9:05 go 100
         0 9:05 refused
         0 9:05 rpm 75
         1 9:00 rpm 75
         1 12:05 go 3
         1 12:09 go 3
         2 12:00 rpm 100",
    );
    let mut days = Days::new(100);
    let hour = Hour { day: DAY / 24, borne: Load { requests: 5_000, tokens: 0 }, refusals: 32, ..Hour::default() };
    days.pace.remember(Profile { hours: [hour; 24] });
    let now = days.at(DAY + 24, 0);
    assert_eq!(days.rpm(now), Some(100));
}

#[test]
fn what_was_learned_of_an_hour_fades_within_days_of_quiet() {
    check(
        100,
        "0 9:05 go 40
         0 9:05 refused
         0 9:05 rpm 75
         1 9:00 rpm 75
         7 9:00 rpm 75
         9 9:00 rpm 100",
    );
    // One that followed no limit is forgotten after a month even if nobody comes by.
    let hour = Hour { day: 100, borne: Load { requests: 50, tokens: 0 }, refusals: 1_000, ..Hour::default() };
    let profile = Profile { hours: [hour; 24] };
    assert!(!profile.is_empty(129) && profile.is_empty(130) && profile.is_empty(99));
}

#[test]
fn an_hour_is_a_peak_hour_once_it_had_trouble_on_two_days_and_more_than_others() {
    check(
        100,
        "0 9:05 refused
         0 9:15 refused
         0 9:25 refused
         0 9:30 peak no
         1 9:00 peak no
         1 9:05 refused
         2 9:00 peak yes
         2 10:00 peak no
         20 9:00 peak no",
    );
    // Where every hour is as bad, none is a peak.
    let mut script = String::new();
    for hour in 0..48 {
        script.push_str(&format!("{} {}:05 refused\n{} {}:35 refused\n", hour / 24, hour % 24, hour / 24, hour % 24));
    }
    check(100, &format!("{script} 2 9:00 peak no"));
    // Calls that waited for it are trouble as well, ten of them like one refusal.
    check(100, "0 9:05 waits 30\n 1 9:05 waits 19\n 2 9:00 peak yes");
    check(100, "0 9:05 waits 5\n 1 9:05 waits 5\n 2 9:00 peak no");
}

/// How often a provider refuses within some days that bears 200 requests a minute but for two hours a day, in which it
/// bears 20, and how many it takes of 100 that come every minute.
fn lived(knows_hours: bool) -> (u64, u64) {
    let mut days = Days { knows_hours, ..Days::new(120) };
    let (mut refused, mut taken) = (0, 0);
    for hour in DAY..DAY + 7 * 24 {
        let bears = if (14..16).contains(&(hour % 24)) { 20 } else { 200 };
        for minute in 0..60 {
            let now = days.at(hour, minute);
            let went = days.go(100, now);
            if went > bears {
                refused += went - bears;
                days.pace.refused(None, now);
            }
            taken += went.min(bears);
        }
    }
    (refused, taken)
}

#[test]
fn a_pace_that_knows_the_hours_is_refused_less_and_sends_more_than_one_that_goes_on_as_it_was() {
    let ((refused, taken), (without, taken_without)) = (lived(true), lived(false));
    assert!(refused * 10 < without * 9, "{refused} refused with the hours, {without} without");
    assert!(taken > taken_without, "{taken} taken with the hours, {taken_without} without");
}

#[test]
fn no_profile_is_too_bad_to_be_read() {
    let worst = Hour {
        day: u64::MAX,
        borne: Load { requests: u64::MAX, tokens: u64::MAX },
        refusals: u32::MAX,
        waits: u32::MAX,
        days: u32::MAX,
    };
    for day in [0, 1, DAY / 24, DAY / 24 + 1, u64::MAX] {
        let profile = Profile { hours: [Hour { day, ..worst }; 24] };
        let mut days = Days::new(50);
        days.pace.remember(profile.plausible());
        for hour in 0..100 {
            let now = days.at(DAY + hour, 3);
            days.pace.refused(None, now);
            assert!(days.rpm(now).is_some_and(|rpm| (1..=50).contains(&rpm)));
        }
        assert!(days.pace.profile().is_some());
    }
}

/// A room whose pace for all, of so many requests, is in a learned peak hour.
fn peak(rpm: u64) -> Room {
    let mut room = Room::new(rates(rpm, 0), rates(0, 0), 100);
    room.rules[0].adaptive = true;
    let mut profile = Profile::default();
    profile.hours[9] = Hour { day: DAY / 24 - 1, refusals: 64, days: 5, ..Hour::default() };
    room.paces.remember("all".to_owned(), profile);
    room.paces.hour(DAY + 9, super::at("0"));
    room
}

#[test]
fn in_a_peak_hour_calls_of_priority_low_leave_half_of_a_pace_to_others_but_not_for_ever() {
    assert_eq!(Priority::default(), Priority::Normal);
    peak(4).check(
        "0 in l1 k s low 0 goes
         0 in n1 k s normal 0 goes
         1 in l2 k s low 0 waits
         2 in n2 k s normal 0 waits n2
         3 in h1 k s high 0 waits h1
         4 in n3 k s normal 0 waits
         62 wake l2 n3",
    );
    // Half a minute later it is one among others.
    peak(4).check(
        "0 in n1 k s normal 0 goes
         0 in n2 k s normal 0 goes
         1 in l1 k s low 0 waits
         30.9 wake
         31 wake l1",
    );
    // In another hour it goes like everyone.
    let mut room = peak(4);
    room.paces.hour(DAY + 10, super::at("0"));
    room.check("0 in n1 k s normal 0 goes\n 0 in n2 k s normal 0 goes\n 1 in l1 k s low 0 goes");
}

#[test]
fn who_waits_in_a_peak_hour_is_told_so_and_is_woken_in_time() {
    let mut room = peak(2);
    let order = |priority, room: &mut Room| Order {
        paces: room.paces.touched(room.rules.iter().take(1), &almoner_units::Labels::new(), super::at("0")),
        priority,
        ..Order::default()
    };
    let first = order(Priority::Normal, &mut room);
    let (Asked::Goes(grant), _) = room.paces.ask(first, String::new(), super::at("0"), super::at("30")) else {
        panic!()
    };
    room.paces.sent(&grant, super::at("0"));
    let low = order(Priority::Low, &mut room);
    let (asked, _) = room.paces.ask(low, "low".to_owned(), super::at("1"), super::at("21"));
    assert!(matches!(asked, Asked::Waits(_)));
    // After half of its time.
    assert_eq!(room.paces.next_change(), Some(super::at("11")));
    let gone = room.paces.wake(super::at("11")).remove(0);
    let (_, waited, by) = gone.1.unwrap();
    assert_eq!(
        (waited.to_string().as_str(), by),
        ("10s", Some(PacedBy { pace: "all".to_owned(), short: Short::Peak }))
    );
    // Who may not wait is told at once.
    let low = order(Priority::Low, &mut room);
    let (Asked::Slow(_), _) = room.paces.ask(low, "none".to_owned(), super::at("12"), super::at("12")) else {
        panic!()
    };
}
