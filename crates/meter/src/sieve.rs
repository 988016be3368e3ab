//! The cheap look that spares most events a parse.
//!
//! A sieve only ever decides what is not worth parsing: a name that it finds may stand inside a model's text, and then
//! the parse finds no such member. A name that is followed by `null` or `false` says nothing.

use memchr::memmem::Finder;

/// The quoted names whose mention makes an event worth a parse.
pub(crate) struct Sieve(Vec<Finder<'static>>);

impl Sieve {
    pub(crate) fn new(quoted_names: &[&'static str]) -> Self {
        Self(quoted_names.iter().map(|name| Finder::new(*name)).collect())
    }

    /// Whether the event may say something under one of the names.
    pub(crate) fn catches(&self, event: &[u8]) -> bool {
        self.0.iter().any(|name| says_something(name, event))
    }
}

fn says_something(name: &Finder<'_>, event: &[u8]) -> bool {
    let after = |at: usize| event.get(at + name.needle().len()..).unwrap_or_default();
    name.find_iter(event).any(|at| !is_nothing(after(at)))
}

fn is_nothing(after_name: &[u8]) -> bool {
    let value = after_name.trim_ascii_start().strip_prefix(b":").map(<[u8]>::trim_ascii_start);
    value.is_some_and(|value| value.starts_with(b"null") || value.starts_with(b"false"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_name_that_says_something_is_caught() {
        let sieve = Sieve::new(&["\"usage\"", "\"done\""]);
        for (event, caught) in [
            (r#"{"usage":{"a":1}}"#, true),
            (r#"{"usage" : null, "text":"hi"}"#, false),
            (r#"{"usage":null,"x":{"usage":{}}}"#, true),
            (r#"{"done":false}"#, false),
            (r#"{"done": true}"#, true),
            (r#"{"type":"done"}"#, true),
            (r#"{"text":"the \"usage\" field"}"#, false),
            (r#"{"text":"usage"}"#, true),
            (r#"{"usage""#, true),
            ("", false),
        ] {
            assert_eq!(sieve.catches(event.as_bytes()), caught, "{event}");
        }
    }
}
