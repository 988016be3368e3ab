//! Pages: a list in parts, which stays in order while things come and go between them.

use crate::problem::Problem;
use crate::query::Query;

/// The most that one page has.
pub(crate) const LIMIT_MAX: usize = 1000;
/// What a page has where nobody says it.
const LIMIT: usize = LIMIT_MAX / 10;

/// Which part of a list is asked for.
pub(crate) struct Page {
    limit: usize,
    /// The mark of the last that was seen.
    after: Option<String>,
}

impl Page {
    pub(crate) fn of(query: &Query) -> Result<Self, Problem> {
        let limit = query.get("limit").and_then(|text| text.parse().ok()).unwrap_or(LIMIT);
        let after = query.get("cursor").map(|cursor| opened(cursor).ok_or_else(bad_cursor)).transpose()?;
        Ok(Self { limit, after })
    }

    /// The part of a list, and the cursor of the next. What sets each item apart is its mark, and puts them in order:
    /// the next page begins behind the last mark that was seen, whether or not its item is still there.
    pub(crate) fn take<T>(&self, items: Vec<T>, mark: impl Fn(&T) -> String) -> (Vec<T>, Option<String>) {
        let mut marked: Vec<(String, T)> = items.into_iter().map(|item| (mark(&item), item)).collect();
        marked.retain(|(mark, _)| self.after.as_ref().is_none_or(|after| mark > after));
        marked.sort_by(|(one, _), (other, _)| one.cmp(other));
        let has_more = marked.len() > self.limit;
        marked.truncate(self.limit);
        let cursor = marked.last().filter(|_| has_more).map(|(mark, _)| closed(mark));
        (marked.into_iter().map(|(_, item)| item).collect(), cursor)
    }
}

fn bad_cursor() -> Problem {
    Problem::refused("bad_cursor", "this cursor is none that this server gave; begin without one")
}

/// A mark as a cursor: nobody should read it, or make one.
fn closed(mark: &str) -> String {
    mark.bytes().map(|byte| format!("{byte:02x}")).collect()
}

fn opened(cursor: &str) -> Option<String> {
    if cursor.is_empty() || !cursor.len().is_multiple_of(2) || !cursor.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let digits = cursor.as_bytes().chunks(2).filter_map(|two| std::str::from_utf8(two).ok());
    let bytes: Option<Vec<u8>> = digits.map(|two| u8::from_str_radix(two, 16).ok()).collect();
    String::from_utf8(bytes?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(limit: usize, cursor: Option<&str>) -> Page {
        Page { limit, after: cursor.map(|cursor| opened(cursor).unwrap()) }
    }

    #[test]
    fn what_comes_and_goes_between_two_pages_moves_nothing() {
        let of = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<String>>();
        let (first, cursor) = page(2, None).take(of(&["d", "b", "f"]), Clone::clone);
        assert_eq!(first, ["b", "d"]);
        // `d`, which the page before ended with, is gone; `a` and `e` have come.
        let (next, end) = page(2, cursor.as_deref()).take(of(&["a", "b", "e", "f"]), Clone::clone);
        assert_eq!((next, end), (of(&["e", "f"]), None));
    }

    #[test]
    fn a_cursor_that_somebody_made_up_is_refused() {
        for bad in ["", "x", "abc", "zz", "ff", "%"] {
            assert_eq!(opened(bad), None, "{bad}");
        }
        assert_eq!(opened(&closed("a\0é")).as_deref(), Some("a\0é"));
    }
}
