//! Calendar windows: where the hour, day, week or month that contains an instant ends, in the budget's own zone.
//!
//! A window is made from the instant it must contain, so a day of no length, which Apia had in 2011, is never opened.

use almoner_units::{CalendarUnit, Timestamp, Zone};
use jiff::{ToSpan, Zoned, civil::Weekday};

/// The first instant after the calendar window that contains `at`.
pub(crate) fn ends_at(unit: CalendarUnit, zone: &Zone, at: Timestamp) -> Timestamp {
    next_start(unit, zone, at).unwrap_or(Timestamp::from_ms(u64::MAX))
}

/// The start of the window after the one that contains `at`; `None` past the end of the calendar.
fn next_start(unit: CalendarUnit, zone: &Zone, at: Timestamp) -> Option<Timestamp> {
    let instant = jiff::Timestamp::from_millisecond(i64::try_from(at.ms()).ok()?).ok()?;
    let here = instant.to_zoned(zone.rules().clone());
    let next = match unit {
        CalendarUnit::Hour => return next_hour(&here),
        CalendarUnit::Day => here.date().checked_add(1.day()).ok()?,
        CalendarUnit::Week => here.date().nth_weekday(1, Weekday::Monday).ok()?,
        CalendarUnit::Month => here.date().first_of_month().checked_add(1.month()).ok()?,
    };
    // Where a zone skips a whole date, the start of that date is the start of the next one that exists.
    millis(&next.to_zoned(zone.rules().clone()).ok()?.start_of_day().ok()?)
}

/// The next full hour on the zone's own clock, or the moment at which that clock is next changed, where that is sooner.
///
/// The clock may change in the middle of an hour or repeat one; each stretch of the same offset is counted by itself,
/// so no window is longer than an hour of real time.
fn next_hour(here: &Zoned) -> Option<Timestamp> {
    let hour = here.datetime().with().minute(0).second(0).subsec_nanosecond(0).build().ok()?;
    let next = here.offset().to_timestamp(hour.checked_add(1.hour()).ok()?).ok()?;
    let changed = here.time_zone().following(here.timestamp()).next().map(|change| change.timestamp());
    let end = changed.map_or(next, |changed| changed.min(next));
    u64::try_from(end.as_millisecond()).ok().map(Timestamp::from_ms)
}

fn millis(zoned: &Zoned) -> Option<Timestamp> {
    u64::try_from(zoned.timestamp().as_millisecond()).ok().map(Timestamp::from_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(unit: CalendarUnit, zone: &str, at: &str, end: &str) {
        let read = |text: &str| {
            let instant: jiff::Timestamp = text.parse().unwrap();
            Timestamp::from_ms(u64::try_from(instant.as_millisecond()).unwrap())
        };
        assert_eq!(ends_at(unit, &zone.parse().unwrap(), read(at)), read(end), "{zone} {at}");
    }

    #[test]
    fn days_end_at_midnight_in_their_own_zone() {
        check(CalendarUnit::Day, "UTC", "2026-11-23T13:00:00Z", "2026-11-24T00:00:00Z");
        check(CalendarUnit::Day, "Asia/Tokyo", "2026-11-23T13:00:00Z", "2026-11-23T15:00:00Z");
        check(CalendarUnit::Day, "UTC", "2026-11-24T00:00:00Z", "2026-11-25T00:00:00Z");
    }

    #[test]
    fn days_are_as_long_as_the_clocks_make_them() {
        // 23 hours, 25 hours, and 24.5 hours on Lord Howe.
        check(CalendarUnit::Day, "America/New_York", "2026-03-08T05:00:00Z", "2026-03-09T04:00:00Z");
        check(CalendarUnit::Day, "America/New_York", "2026-11-01T04:00:00Z", "2026-11-02T05:00:00Z");
        check(CalendarUnit::Day, "Australia/Lord_Howe", "2026-04-04T13:00:00Z", "2026-04-05T13:30:00Z");
        // In Beirut and Havana, a day of that kind begins at 01:00.
        check(CalendarUnit::Day, "America/Havana", "2026-03-07T12:00:00Z", "2026-03-08T05:00:00Z");
    }

    #[test]
    fn a_day_that_never_was_is_never_opened() {
        // Apia went from the 29th of December 2011 to the 31st.
        check(CalendarUnit::Day, "Pacific/Apia", "2011-12-30T05:00:00Z", "2011-12-30T10:00:00Z");
        check(CalendarUnit::Day, "Pacific/Apia", "2011-12-30T10:00:00Z", "2011-12-31T10:00:00Z");
    }

    #[test]
    fn weeks_begin_on_monday_and_months_on_the_first() {
        check(CalendarUnit::Week, "Europe/Berlin", "2026-11-23T12:00:00Z", "2026-11-29T23:00:00Z");
        check(CalendarUnit::Week, "UTC", "2026-11-22T12:00:00Z", "2026-11-23T00:00:00Z");
        check(CalendarUnit::Month, "UTC", "2028-02-29T12:00:00Z", "2028-03-01T00:00:00Z");
        check(CalendarUnit::Month, "Europe/Berlin", "2026-01-31T12:00:00Z", "2026-01-31T23:00:00Z");
        check(CalendarUnit::Month, "UTC", "2026-12-31T23:59:59.999Z", "2027-01-01T00:00:00Z");
    }

    #[test]
    fn hours_follow_the_zone_and_never_last_longer_than_one() {
        check(CalendarUnit::Hour, "UTC", "2026-11-23T13:59:59.999Z", "2026-11-23T14:00:00Z");
        check(CalendarUnit::Hour, "Asia/Kolkata", "2026-11-23T13:00:00Z", "2026-11-23T13:30:00Z");
        // The hour that is repeated in autumn is two windows.
        check(CalendarUnit::Hour, "America/New_York", "2026-11-01T05:30:00Z", "2026-11-01T06:00:00Z");
        check(CalendarUnit::Hour, "America/New_York", "2026-11-01T06:30:00Z", "2026-11-01T07:00:00Z");
    }

    #[test]
    fn in_forty_years_of_odd_zones_every_window_contains_its_instant() {
        let zones = ["America/Sao_Paulo", "Asia/Beirut", "Africa/Casablanca", "Pacific/Apia", "Antarctica/Troll"];
        for zone in zones {
            let zone: Zone = zone.parse().unwrap();
            let mut at = Timestamp::from_ms(0);
            while at < Timestamp::from_ms(2_145_916_800_000) {
                for unit in CalendarUnit::ALL {
                    assert!(ends_at(unit, &zone, at) > at, "{zone:?} {unit:?} {at}");
                }
                let end = ends_at(CalendarUnit::Day, &zone, at);
                assert!(end.since(at).ms() <= 26 * 3_600_000, "{zone:?} {at}");
                at = end;
            }
        }
    }
}
