//! Buckets: the stretches of time over which usage is added up for whoever looks at it.
//!
//! A bucket is found from an instant in it, so buckets never overlap and leave nothing out, however clocks are changed.

use std::str::FromStr;

use jiff::{ToSpan, Zoned};

use crate::{Timestamp, Zone};

/// How long a bucket is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BucketUnit {
    /// A minute.
    Minute,
    /// An hour on the zone's own clock, cut where that clock is changed.
    Hour,
    /// A date, 23 to 25 hours where clocks are changed.
    Day,
    /// A month.
    Month,
}

impl BucketUnit {
    /// Every one, the shortest first, with its word.
    pub const WORDS: [(&'static str, Self); 4] =
        [("minute", Self::Minute), ("hour", Self::Hour), ("day", Self::Day), ("month", Self::Month)];
}

/// A text that names no bucket.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is no bucket of time; write minute, hour, day or month", .0.escape_debug())]
pub struct BucketError(pub String);

impl FromStr for BucketUnit {
    type Err = BucketError;

    fn from_str(text: &str) -> Result<Self, BucketError> {
        let known = Self::WORDS.iter().find(|(word, _)| *word == text);
        known.map(|(_, unit)| *unit).ok_or_else(|| BucketError(text.chars().take(64).collect()))
    }
}

/// Divides time into buckets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Buckets {
    /// How long each is.
    pub unit: BucketUnit,
    /// The zone in which they begin.
    pub zone: Zone,
}

impl Buckets {
    /// The bucket that an instant lies in: when it begins, and when the next one does. One beyond the calendar is all
    /// of time.
    #[must_use]
    pub fn around(&self, at: Timestamp) -> (Timestamp, Timestamp) {
        self.find(at).unwrap_or((Timestamp::default(), Timestamp::from_ms(u64::MAX)))
    }

    fn find(&self, at: Timestamp) -> Option<(Timestamp, Timestamp)> {
        let instant = jiff::Timestamp::from_millisecond(i64::try_from(at.ms()).ok()?).ok()?;
        let here = instant.to_zoned(self.zone.rules().clone());
        let date = here.date();
        let (from, to) = match self.unit {
            BucketUnit::Minute => return minute(at),
            BucketUnit::Hour => return hour(&here),
            BucketUnit::Day => (date, date.checked_add(1.day()).ok()?),
            BucketUnit::Month => (date.first_of_month(), date.first_of_month().checked_add(1.month()).ok()?),
        };
        let midnight = |date: jiff::civil::Date| date.to_zoned(here.time_zone().clone()).ok()?.start_of_day().ok();
        Some((millis(midnight(from)?.timestamp()), millis(midnight(to)?.timestamp())))
    }
}

/// Every offset that is in use is of whole minutes, so a minute is the same everywhere.
fn minute(at: Timestamp) -> Option<(Timestamp, Timestamp)> {
    let from = at.ms() - at.ms() % 60_000;
    Some((Timestamp::from_ms(from), Timestamp::from_ms(from.checked_add(60_000)?)))
}

fn hour(here: &Zoned) -> Option<(Timestamp, Timestamp)> {
    let full = here.datetime().with().minute(0).second(0).subsec_nanosecond(0).build().ok()?;
    let from = here.offset().to_timestamp(full).ok()?;
    let to = here.offset().to_timestamp(full.checked_add(1.hour()).ok()?).ok()?;
    // The change that made the clock what it is may be the instant itself.
    let until_here = here.timestamp().checked_add(1.nanosecond()).ok()?;
    let before = here.time_zone().preceding(until_here).next().map(|change| change.timestamp());
    let after = here.time_zone().following(here.timestamp()).next().map(|change| change.timestamp());
    Some((millis(before.map_or(from, |at| at.max(from))), millis(after.map_or(to, |at| at.min(to)))))
}

/// An instant before 1970 is its first moment: no call is older.
fn millis(at: jiff::Timestamp) -> Timestamp {
    Timestamp::from_ms(u64::try_from(at.as_millisecond()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(bucket: &str, zone: &str, at: &str, from: &str, to: &str) {
        let buckets = Buckets { unit: bucket.parse().unwrap(), zone: zone.parse().unwrap() };
        let read = |text: &str| text.parse::<Timestamp>().unwrap();
        assert_eq!(buckets.around(read(at)), (read(from), read(to)), "{bucket} in {zone} around {at}");
    }

    #[test]
    fn an_instant_lies_in_the_bucket_that_began_last() {
        let at = "2026-11-23T13:07:59Z";
        check("minute", "Asia/Tokyo", at, "2026-11-23T13:07:00Z", "2026-11-23T13:08:00Z");
        check("hour", "UTC", at, "2026-11-23T13:00:00Z", "2026-11-23T14:00:00Z");
        check("hour", "Asia/Kolkata", at, "2026-11-23T12:30:00Z", "2026-11-23T13:30:00Z");
        check("day", "UTC", at, "2026-11-23", "2026-11-24");
        check("day", "Asia/Kolkata", at, "2026-11-22T18:30:00Z", "2026-11-23T18:30:00Z");
        check("month", "Europe/Berlin", at, "2026-10-31T23:00:00Z", "2026-11-30T23:00:00Z");
        check("month", "UTC", "2026-12-01", "2026-12-01", "2027-01-01");
    }

    #[test]
    fn buckets_are_as_long_as_the_clocks_make_them() {
        check("day", "America/New_York", "2026-11-01T12:00:00Z", "2026-11-01T04:00:00Z", "2026-11-02T05:00:00Z");
        check("day", "America/New_York", "2026-03-08T12:00:00Z", "2026-03-08T05:00:00Z", "2026-03-09T04:00:00Z");
        // On Lord Howe the clock goes back by half an hour, at 02:00 to 01:30.
        let [a, b, c, d] =
            ["2026-04-04T14:00:00Z", "2026-04-04T15:00:00Z", "2026-04-04T15:30:00Z", "2026-04-04T16:30:00Z"];
        check("hour", "Australia/Lord_Howe", "2026-04-04T14:59:00Z", a, b);
        check("hour", "Australia/Lord_Howe", b, b, c);
        check("hour", "Australia/Lord_Howe", "2026-04-04T15:29:00Z", b, c);
        check("hour", "Australia/Lord_Howe", c, c, d);
    }

    #[test]
    fn what_lies_beyond_the_calendar_is_one_bucket() {
        let buckets = Buckets { unit: BucketUnit::Day, zone: Zone::utc() };
        let all = (Timestamp::default(), Timestamp::from_ms(u64::MAX));
        assert_eq!(buckets.around(Timestamp::from_ms(u64::MAX)), all);
        assert!("week".parse::<BucketUnit>().is_err());
    }
}
