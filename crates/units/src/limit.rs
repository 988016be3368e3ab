//! Limits: an amount of a meter in a window, such as `100k tokens / sliding 1h`.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use crate::meant::meant;
use crate::number::{parse_count, write_count};
use crate::{Meter, NanoUsd, Window};

/// An amount of a meter in a window; the amount is never 0.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Limit {
    /// What is counted.
    pub meter: Meter,
    /// How much of it, in the meter's unit: a count, or nano-dollars.
    pub amount: u64,
    /// Over which stretch of time.
    pub window: Window,
}

impl fmt::Display for Limit {
    /// The form that [`Limit::from_str`] reads: `$5.00 / sliding 1h`, `100k tokens / day`, `$2.00 / lifetime`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.meter {
            Meter::Usd => write!(f, "{}", NanoUsd::new(self.amount))?,
            meter => {
                write_count(f, self.amount)?;
                write!(f, " {meter}")?;
            }
        }
        write!(f, " / {}", self.window)
    }
}

/// Why a text is no limit, and where in it the fault stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitError {
    text: String,
    at: Range<usize>,
    message: String,
}

impl LimitError {
    /// The bytes of the text that are at fault.
    #[must_use]
    pub fn at(&self) -> Range<usize> {
        self.at.clone()
    }

    /// What is wrong and what to write instead, without the picture.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The limit that was probably meant, where its words say one in another way.
    #[must_use]
    pub fn meant(&self) -> Option<Limit> {
        meant(&self.text)
    }
}

impl std::error::Error for LimitError {}

impl fmt::Display for LimitError {
    /// The fault, then the text with carets under the place, then what was probably meant.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown: String = self.text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let before = self.text[..self.at.start].chars().count();
        let carets = self.text[self.at.clone()].chars().count().max(1);
        write!(f, "{}\n  {shown}\n  {}{}", self.message, " ".repeat(before), "^".repeat(carets))?;
        self.meant().map_or(Ok(()), |meant| write!(f, "\ndid you mean `{meant}`?"))
    }
}

impl FromStr for Limit {
    type Err = LimitError;

    fn from_str(text: &str) -> Result<Self, LimitError> {
        let (sum, window) = match text.split_once('/') {
            Some((sum, window)) => (sum, Some(window)),
            None => (text, None),
        };
        let (meter, amount) = parse_sum(text, sum)?;
        let window = match window {
            None => Window::Lifetime,
            Some(window) => window.parse().map_err(|error| fault(text, window, format!("{error}")))?,
        };
        Ok(Self { meter, amount, window })
    }
}

/// Reads `$5`, `5 usd` or `100k tokens`.
fn parse_sum(text: &str, sum: &str) -> Result<(Meter, u64), LimitError> {
    let words: Vec<&str> = sum.split_whitespace().collect();
    let (meter, number) = match words[..] {
        [money] if money.starts_with('$') => (Meter::Usd, money),
        [number, word] => (parse_meter(text, word)?, number),
        _ => {
            let message = "a limit is an amount in a window, such as `$5 / day` or `100k tokens / sliding 1h`";
            return Err(fault(text, sum, message.to_owned()));
        }
    };
    let amount = parse_amount(meter, number).map_err(|message| fault(text, number, message))?;
    if amount == 0 {
        let message =
            "a limit of 0 lets no call pass; to stop all calls, say so with mode = \"stop-new\" and `1 requests`";
        return Err(fault(text, number, message.to_owned()));
    }
    Ok((meter, amount))
}

fn parse_meter(text: &str, word: &str) -> Result<Meter, LimitError> {
    match word {
        "token" => Ok(Meter::Tokens),
        "request" => Ok(Meter::Requests),
        _ => word.parse().map_err(|error: crate::UnknownMeter| fault(text, word, error.to_string())),
    }
}

fn parse_amount(meter: Meter, number: &str) -> Result<u64, String> {
    if number.trim_start_matches('$').starts_with('-') {
        return Err(format!("`{number}` is negative; a limit is more than 0"));
    }
    match meter {
        Meter::Usd => number.parse().map(NanoUsd::get).map_err(|error| error.to_string()),
        _ => parse_count(number).map_err(|error| error.to_string()),
    }
}

/// The fault that stands where `part`, a slice of `text`, stands; its outer white space is not underlined.
fn fault(text: &str, part: &str, message: String) -> LimitError {
    let trimmed = part.trim();
    let start = trimmed.as_ptr() as usize - text.as_ptr() as usize;
    LimitError { text: text.to_owned(), at: start..start + trimmed.len(), message }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CalendarUnit, Span, Zone};

    #[track_caller]
    fn check(text: &str, printed: &str) {
        let limit: Limit = text.parse().unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(limit.to_string(), printed);
        assert_eq!(printed.parse::<Limit>().unwrap(), limit);
    }

    #[test]
    fn limits_read_and_print() {
        check("100k tokens / sliding 1h", "100k tokens / sliding 1h");
        check("1M tokens / day", "1M tokens / day");
        check("$5 / sliding 1h", "$5.00 / sliding 1h");
        check("$1000 / month in Europe/Berlin", "$1000.00 / month in Europe/Berlin");
        check("10k tokens / 24h", "10k tokens / 1d");
        check("$2", "$2.00 / lifetime");
        check("2.5 usd/week", "$2.50 / week");
        check("1 request / hour", "1 requests / hour");
        check("1_234 uncached_tokens / lifetime", "1234 uncached_tokens / lifetime");
    }

    #[test]
    fn the_parts_of_a_limit_are_what_the_text_says() {
        let limit: Limit = "$50 / day in Asia/Tokyo".parse().unwrap();
        assert_eq!(limit.meter, Meter::Usd);
        assert_eq!(limit.amount, 50_000_000_000);
        assert_eq!(limit.window, Window::Calendar(CalendarUnit::Day, "Asia/Tokyo".parse::<Zone>().unwrap()));
        assert_eq!("1 tokens / sliding 90s".parse::<Limit>().unwrap().window, Window::Sliding(Span::from_secs(90)));
    }

    #[track_caller]
    fn check_fault(text: &str, underlined: &str, says: &str) {
        let error = text.parse::<Limit>().unwrap_err();
        assert_eq!(&text[error.at()], underlined, "{error}");
        assert!(error.message().contains(says), "{error}");
    }

    #[test]
    fn a_bad_limit_is_underlined_where_it_is_bad() {
        check_fault("100k tokns / day", "tokns", "is no meter");
        check_fault("10q tokens / day", "10q", "is not a count");
        check_fault("$5 / fortnight", "fortnight", "is no window");
        check_fault("$5 / day in Mars/Olympus", "day in Mars/Olympus", "is no time zone");
        check_fault("$0 / day", "$0", "limit of 0");
        check_fault("0 tokens", "0", "limit of 0");
        check_fault("$-5 / day", "$-5", "negative");
        check_fault("-1k tokens / day", "-1k", "negative");
        check_fault("", "", "an amount in a window");
        check_fault("$5 / 0s", "0s", "out of range");
        check_fault("$5 / sliding 10ms", "sliding 10ms", "at least 1s");
    }

    #[test]
    fn the_picture_has_carets_under_the_fault() {
        let error = "100k tokns / day".parse::<Limit>().unwrap_err();
        assert!(error.to_string().ends_with("\n  100k tokns / day\n       ^^^^^"), "{error}");
    }
}
