//! Paths and queries: how they are split, and their `%XX` undone.

use crate::problem::Problem;

/// A part of a path or a query with its `%XX` undone; what is no text then is refused.
pub(crate) fn decoded(part: &str, is_query: bool) -> Result<String, Problem> {
    let bad = || Problem::unreadable("bad_address", "the address has a `%` in it that begins no character");
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.as_bytes();
    while let [first, more @ ..] = rest {
        rest = more;
        match first {
            b'%' => {
                let digits = more.get(..2).filter(|two| two.iter().all(u8::is_ascii_hexdigit)).ok_or_else(bad)?;
                let digits = std::str::from_utf8(digits).map_err(|_| bad())?;
                bytes.push(u8::from_str_radix(digits, 16).map_err(|_| bad())?);
                rest = &more[2..];
            }
            b'+' if is_query => bytes.push(b' '),
            byte => bytes.push(*byte),
        }
    }
    String::from_utf8(bytes).map_err(|_| bad())
}

/// The places that a pattern such as `/budgets/{budget}` has in a path, as they were sent; none where it does not fit.
pub(crate) fn fit<'p>(pattern: &str, path: &'p str) -> Option<Vec<&'p str>> {
    let mut places = Vec::new();
    let (mut wanted, mut found) = (pattern.split('/'), path.split('/'));
    loop {
        match (wanted.next(), found.next()) {
            (None, None) => return Some(places),
            (Some(place), Some(part)) if place.starts_with('{') && !part.is_empty() => places.push(part),
            (Some(word), Some(part)) if word == part => {}
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_gives_the_places_of_a_path() {
        assert_eq!(fit("/b/{x}/reset", "/b/each%20session/reset"), Some(vec!["each%20session"]));
        for none in ["/b//reset", "/b/x", "/b/x/reset/", "/b/x/y/reset", ""] {
            assert_eq!(fit("/b/{x}/reset", none), None, "{none}");
        }
    }

    #[test]
    fn what_is_no_text_is_refused() {
        assert_eq!(decoded("a%2Fb%20%c3%a9+", false).unwrap(), "a/b é+");
        assert_eq!(decoded("a+b", true).unwrap(), "a b");
        for bad in ["%", "%2", "%zz", "%ff", "%+1"] {
            assert_eq!(decoded(bad, false).unwrap_err().status, 400, "{bad}");
        }
    }
}
