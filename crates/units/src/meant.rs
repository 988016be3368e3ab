//! What somebody meant who wrote a limit as people speak: `5 dollars a day`, `100k/h`, `$5 per day`.
//!
//! A guess is only ever offered, never taken: what a limit says is decided by its own grammar alone.

use crate::{Limit, Zone};

/// The longest text that is guessed at; longer ones are no slip of the pen.
const TEXT_MAX: usize = 80;

/// The limit that a text probably means, where one reading of its words makes a limit.
pub(crate) fn meant(text: &str) -> Option<Limit> {
    if text.len() > TEXT_MAX {
        return None;
    }
    let words: Vec<Word> = text.split_whitespace().flat_map(parts).filter_map(|word| read(&word)).collect();
    let mut guess = Guess::default();
    words.into_iter().for_each(|word| guess.take(word));
    guess.limit()
}

/// The parts of a word: `100k/h` has three, a time zone with its own `/` has one.
fn parts(word: &str) -> Vec<String> {
    if word.contains('/') && word.parse::<Zone>().is_ok() {
        return vec![word.to_owned()];
    }
    word.replace('/', " / ").split_whitespace().map(str::to_owned).collect()
}

/// What one word says.
enum Word {
    Dollars(Option<String>),
    Number(String),
    Meter(String),
    Per,
    Sliding,
    Window(&'static str),
    Zone(String),
}

fn read(word: &str) -> Option<Word> {
    let small = word.to_lowercase();
    Some(match small.as_str() {
        "/" | "per" | "a" | "an" | "each" | "every" => Word::Per,
        "$" | "dollar" | "dollars" | "usd" | "us$" | "bucks" => Word::Dollars(None),
        "token" | "toks" | "tok" => Word::Meter("tokens".to_owned()),
        "request" | "reqs" | "req" | "call" | "calls" => Word::Meter("requests".to_owned()),
        "sliding" | "rolling" | "last" | "any" => Word::Sliding,
        "h" | "hr" | "hour" | "hours" | "hourly" => Word::Window("hour"),
        "d" | "day" | "days" | "daily" => Word::Window("day"),
        "w" | "week" | "weeks" | "weekly" => Word::Window("week"),
        "month" | "months" | "monthly" | "mo" => Word::Window("month"),
        "lifetime" | "total" | "overall" | "ever" => Word::Window("lifetime"),
        // What says nothing by itself.
        "in" | "the" | "of" | "at" | "most" | "max" | "," => return None,
        _ if small.contains('$') => Word::Dollars(Some(number(&small.replace('$', "")))),
        _ if small.starts_with(|c: char| c.is_ascii_digit()) => Word::Number(number(&small)),
        _ if word.parse::<Zone>().is_ok() => Word::Zone(word.to_owned()),
        _ => Word::Meter(small),
    })
}

/// A number without commas: `1,000` has one between thousands, `5,50` before its cents.
fn number(text: &str) -> String {
    match text.rsplit_once(',') {
        Some((whole, end)) if end.len() != 3 => format!("{}.{end}", whole.replace(',', "")),
        _ => text.replace(',', ""),
    }
}

/// The parts of a limit, as far as they are known.
#[derive(Default)]
struct Guess {
    amount: Option<String>,
    meter: Option<String>,
    is_money: bool,
    span: Option<String>,
    is_sliding: bool,
    window: Option<&'static str>,
    zone: Option<String>,
    /// More than one word claims to be the same part, so nobody knows what was meant.
    is_muddled: bool,
}

impl Guess {
    fn take(&mut self, word: Word) {
        match word {
            Word::Per => {}
            Word::Dollars(number) => {
                self.is_money = true;
                if let Some(number) = number {
                    self.is_muddled |= self.amount.replace(number).is_some();
                }
            }
            Word::Number(number) if self.amount.is_none() => self.amount = Some(number),
            Word::Number(number) => self.is_muddled |= self.span.replace(number).is_some(),
            Word::Meter(meter) => self.is_muddled |= self.meter.replace(meter).is_some(),
            Word::Sliding => self.is_sliding = true,
            Word::Window(window) => self.is_muddled |= self.window.replace(window).is_some(),
            Word::Zone(zone) => self.is_muddled |= self.zone.replace(zone).is_some(),
        }
    }

    fn limit(self) -> Option<Limit> {
        let window = self.window()?;
        let amount = self.amount?;
        let has_unit = amount.ends_with(['k', 'm', 'g']);
        let sum = match (self.is_money, self.meter) {
            (true, None) => format!("${amount}"),
            (false, Some(meter)) => format!("{amount} {meter}"),
            // Nobody counts dollars by the thousand.
            (false, None) if has_unit => format!("{amount} tokens"),
            _ => return None,
        };
        format!("{sum} / {window}").parse().ok().filter(|_| !self.is_muddled)
    }

    fn window(&self) -> Option<String> {
        let zone = self.zone.as_ref().map_or_else(String::new, |zone| format!(" in {zone}"));
        match (&self.span, self.window, self.is_sliding) {
            // `sliding 1h`, `5 hours`: a span, where its unit stands beside it or in it.
            (Some(span), unit, true) => Some(format!("sliding {span}{}", short(unit)?)),
            (Some(span), unit, false) => Some(format!("{span}{}", short(unit)?)),
            (None, Some(unit), true) => Some(format!("sliding 1{}", short(Some(unit))?)),
            (None, Some(window), false) => Some(format!("{window}{zone}")),
            (None, None, true) => None,
            (None, None, false) => Some("lifetime".to_owned()),
        }
    }
}

/// The unit of a span as it is written in one.
fn short(unit: Option<&str>) -> Option<&'static str> {
    match unit {
        None => Some(""),
        Some("hour") => Some("h"),
        Some("day") => Some("d"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, limit: &str) {
        assert!(text.parse::<Limit>().is_err(), "`{text}` is a limit already");
        assert_eq!(meant(text).map_or_else(|| "nothing".to_owned(), |limit| limit.to_string()), limit, "{text}");
    }

    #[test]
    fn what_people_say_is_understood() {
        check("5 dollars a day", "$5.00 / day");
        check("100k/h", "100k tokens / hour");
        check("$5 per day", "$5.00 / day");
        check("5$ / day", "$5.00 / day");
        check("5 dollars", "$5.00 / lifetime");
        check("$5 daily", "$5.00 / day");
        check("$1,000 / month", "$1000.00 / month");
        check("$5,50 / day", "$5.50 / day");
        check("100k tokens per hour", "100k tokens / hour");
        check("100k tokens in the last 5 hours", "100k tokens / sliding 5h");
        check("10 calls/hour", "10 requests / hour");
        check("$5 / day Europe/Berlin", "$5.00 / day in Europe/Berlin");
        check("$10 a month in Asia/Tokyo", "$10.00 / month in Asia/Tokyo");
        check("1m uncached_tokens each 2 days", "1M uncached_tokens / 2d");
    }

    #[test]
    fn what_nobody_understands_is_not_guessed_at() {
        for text in ["", "5", "5 / day", "EUR 5 / day", "5 apples", "$5 $6 / day", "$5 / day / week", "$0 a day"] {
            check(text, "nothing");
        }
        check(&"$5 a day ".repeat(20), "nothing");
    }
}
