//! The text that Prometheus reads: families of samples, each family with its help and its type, told once.
//!
//! Numbers are written digit by digit, so that no money becomes a float on its way out.

use std::fmt::Write;

/// How a family's numbers behave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It only rises, until the server starts again.
    Counter,
    /// It rises and falls.
    Gauge,
    /// How often values were no larger than some bounds.
    Histogram,
}

impl Kind {
    const fn word(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// A page of metrics.
#[derive(Default)]
pub(crate) struct Page(String);

/// A family whose samples are being written.
pub(crate) struct Family<'p> {
    page: &'p mut String,
    name: &'static str,
}

impl Page {
    /// Begins a family.
    pub(crate) fn family(&mut self, name: &'static str, kind: Kind, help: &str) -> Family<'_> {
        // Nothing that is written to a text fails.
        let _ = writeln!(self.0, "# HELP {name} {}\n# TYPE {name} {}", help.replace('\n', " "), kind.word());
        Family { page: &mut self.0, name }
    }

    /// A family with one sample.
    pub(crate) fn one(&mut self, name: &'static str, kind: Kind, help: &str, value: impl Into<Value>) {
        self.family(name, kind, help).sample(&[], value);
    }

    pub(crate) fn into_text(self) -> String {
        self.0
    }
}

impl Family<'_> {
    /// Writes a sample with these labels.
    pub(crate) fn sample(&mut self, labels: &[(&str, &str)], value: impl Into<Value>) {
        self.named("", labels, value.into());
    }

    /// Writes the samples of a histogram of values in millionths.
    pub(crate) fn histogram(&mut self, labels: &[(&str, &str)], seen: &Seen) {
        for (bound, count) in &seen.buckets {
            let bound = bound.map_or_else(|| "+Inf".to_owned(), |bound| Value::Millionths(bound).to_string());
            self.named("_bucket", &[labels, &[("le", &bound)]].concat(), Value::Whole(*count));
        }
        self.named("_sum", labels, seen.sum);
        let count = seen.buckets.last().map_or(0, |(_, count)| *count);
        self.named("_count", labels, Value::Whole(count));
    }

    fn named(&mut self, suffix: &str, labels: &[(&str, &str)], value: Value) {
        let pairs: Vec<String> = labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
        let labels = if pairs.is_empty() { String::new() } else { format!("{{{}}}", pairs.join(",")) };
        let _ = writeln!(self.page, "{}{suffix}{labels} {value}", self.name);
    }
}

/// A label's value as the format has it; what would move a terminal's cursor is left out.
fn escaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for sign in value.chars() {
        match sign {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            sign if sign.is_control() => text.push(char::REPLACEMENT_CHARACTER),
            sign => text.push(sign),
        }
    }
    text
}

/// A number, with the part of one that it is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    /// Ones.
    Whole(u64),
    /// Of seconds: milliseconds.
    Thousandths(u64),
    /// Of seconds: microseconds. Of a histogram that counts: as it is.
    Millionths(u64),
    /// Of dollars: nano-dollars.
    Billionths(u64),
}

impl From<u64> for Value {
    fn from(whole: u64) -> Self {
        Self::Whole(whole)
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Self {
        Self::Whole(truth.into())
    }
}

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (number, digits) = match self {
            Self::Whole(number) => return write!(f, "{number}"),
            Self::Thousandths(number) => (number, 3),
            Self::Millionths(number) => (number, 6),
            Self::Billionths(number) => (number, 9),
        };
        let one = 10_u64.pow(digits);
        let part = format!("{:0digits$}", number % one, digits = digits as usize);
        match part.trim_end_matches('0') {
            "" => write!(f, "{}", number / one),
            part => write!(f, "{}.{part}", number / one),
        }
    }
}

/// What a histogram has seen.
pub(crate) struct Seen {
    /// How many values were no larger than each bound, in millionths; the last has none.
    pub(crate) buckets: Vec<(Option<u64>, u64)>,
    pub(crate) sum: Value,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_digit_by_digit() {
        for (value, text) in [
            (Value::Whole(u64::MAX), "18446744073709551615"),
            (Value::Thousandths(1_500), "1.5"),
            (Value::Millionths(5), "0.000005"),
            (Value::Billionths(1_000_000_000), "1"),
            (Value::Billionths(12_345_678_901), "12.345678901"),
            (Value::Billionths(0), "0"),
        ] {
            assert_eq!(value.to_string(), text);
        }
    }

    #[test]
    fn a_label_ends_no_line_and_no_quote() {
        let mut page = Page::default();
        page.family("m", Kind::Gauge, "One\nline.").sample(&[("a", "x\"\\\n\u{1b}[31my")], 1);
        assert_eq!(page.into_text(), "# HELP m One line.\n# TYPE m gauge\nm{a=\"x\\\"\\\\\u{fffd}\u{fffd}[31my\"} 1\n");
    }
}
