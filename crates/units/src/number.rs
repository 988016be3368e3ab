//! Counts as people write them: `100k`, `1.5M`, `1_000`.

use std::fmt;

/// Why a text is no count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NumberError {
    /// The text is not a whole number, with or without `k`, `M` or `G`.
    #[error("`{0}` is not a count; write it like `500`, `100k` or `1.5M`")]
    NotACount(String),
    /// The number is larger than 2^64 - 1.
    #[error("`{0}` is too large")]
    TooLarge(String),
}

/// Reads a count: digits with `_` between them, an optional fraction, and `k`, `M` or `G` for thousands.
pub(crate) fn parse_count(text: &str) -> Result<u64, NumberError> {
    let bad = || NumberError::NotACount(text.to_owned());
    let (digits, zeros) = match text.char_indices().next_back() {
        Some((at, 'k' | 'K')) => (&text[..at], 3),
        Some((at, 'm' | 'M')) => (&text[..at], 6),
        Some((at, 'g' | 'G')) => (&text[..at], 9),
        _ => (text, 0),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let whole = whole.replace('_', "");
    let fraction = fraction.trim_end_matches('0');
    let digits_only = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !digits_only(&whole) || !digits_only(fraction) || fraction.len() > zeros {
        return Err(bad());
    }
    format!("{whole}{fraction:0<zeros$}").parse().map_err(|_| NumberError::TooLarge(text.to_owned()))
}

/// Writes a count the short way where that loses nothing: 100k, 1.5M, 1234567.
pub(crate) fn write_count(f: &mut fmt::Formatter<'_>, count: u64) -> fmt::Result {
    for (unit, suffix) in [(1_000_000_000, "G"), (1_000_000, "M"), (1_000, "k")] {
        if count >= unit && count.is_multiple_of(unit / 10) {
            let tenth = (count % unit) / (unit / 10);
            return if tenth == 0 {
                write!(f, "{}{suffix}", count / unit)
            } else {
                write!(f, "{}.{tenth}{suffix}", count / unit)
            };
        }
    }
    write!(f, "{count}")
}

/// A count with its noun in one or in many: `1 call`, `2 calls`. The noun is one that takes an `s`.
#[must_use]
pub fn counted(count: u64, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_not_many_and_nothing_is() {
        assert_eq!([0, 1, 2].map(|count| counted(count, "open hold")), ["0 open holds", "1 open hold", "2 open holds"]);
    }

    #[test]
    fn counts_read_as_people_write_them() {
        let read = |text| parse_count(text).unwrap();
        assert_eq!(read("500"), 500);
        assert_eq!(read("100k"), 100_000);
        assert_eq!(read("1.5M"), 1_500_000);
        assert_eq!(read("1_000_000"), 1_000_000);
        assert_eq!(read("2G"), 2_000_000_000);
        for bad in ["", "k", "-1", "1.5", "1.2345k", "ten", "1e3", "+1", "1,000"] {
            assert!(matches!(parse_count(bad), Err(NumberError::NotACount(_))), "{bad}");
        }
        assert!(matches!(parse_count("99999999999G"), Err(NumberError::TooLarge(_))));
    }
}
