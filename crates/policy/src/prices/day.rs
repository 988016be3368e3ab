//! Days as instants, for the dates in the book.

use almoner_units::Timestamp;

const DAY_MS: u64 = 86_400_000;

/// The first instant in UTC of a day written `2026-11-23`; `None` where the text is no day since 1970.
pub(crate) fn start_of(day: &str) -> Option<Timestamp> {
    let mut parts = day.split('-').map(|part| part.parse::<u64>().ok());
    let (year, month, date) = (parts.next()??, parts.next()??, parts.next()??);
    if parts.next().is_some()
        || !(1970..=9999).contains(&year)
        || !(1..=12).contains(&month)
        || !(1..=31).contains(&date)
    {
        return None;
    }
    // Counted in years that begin in March, so that the leap day is the last of its year.
    let (year, month) = if month < 3 { (year - 1, month + 9) } else { (year, month - 3) };
    let days_of_years = 365 * year + year / 4 - year / 100 + year / 400;
    let days = days_of_years + (153 * month + 2) / 5 + date - 1;
    // 719,468 days lie between the first of March of year 0 and 1970.
    days.checked_sub(719_468).map(|days| Timestamp::from_ms(days * DAY_MS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(day: &str, instant: &str) {
        assert_eq!(start_of(day).unwrap().to_string(), format!("{instant}T00:00:00Z"));
    }

    #[test]
    fn a_day_is_its_first_instant() {
        for day in ["1970-01-01", "2000-02-29", "2024-02-29", "2026-11-23", "2026-12-31", "2027-01-01", "2100-03-01"] {
            check(day, day);
        }
    }

    #[test]
    fn a_text_that_is_no_day_is_none() {
        for bad in ["", "2026", "2026-13-01", "2026-00-01", "2026-01-32", "26-1-1", "2026-01-01-01", "x-y-z"] {
            assert_eq!(start_of(bad), None, "{bad}");
        }
    }
}
