//! Stars over what looks like a secret, so that the line an error shows never holds one.
//!
//! It works on bare text, not on the tree, because a line that does not even parse is shown too. It may star out too
//! much; it keeps every byte where it was.

use std::ops::Range;

/// The last word of the keys whose value may be a secret, such as `api_key`.
const KEYS: [&str; 7] = ["key", "apikey", "token", "secret", "password", "authorization", "bearer"];

/// How the secrets of the providers, and our own, begin.
const BEGINNINGS: [&str; 7] = ["sk-", "alm_", "AIza", "gsk_", "xai-", "ghp_", "eyJ"];

/// The text of a source with a star for every byte of what looks like a secret: by its look, or by its key.
pub(crate) fn masked(text: &str) -> String {
    starred(text, by_look(text).chain(by_key(text)))
}

/// The text of a message with a star for every byte of what looks like a secret; its words are no keys.
#[must_use]
pub fn masked_message(text: &str) -> String {
    starred(text, by_look(text))
}

fn starred(text: &str, secrets: impl Iterator<Item = Range<usize>>) -> String {
    let mut bytes = text.as_bytes().to_vec();
    for secret in secrets {
        bytes[secret].fill(b'*');
    }
    // Whole characters were starred, so the rest is as valid as it was.
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What begins like a secret, and logins in addresses.
fn by_look(text: &str) -> impl Iterator<Item = Range<usize>> {
    let begins = |word: &str| BEGINNINGS.iter().any(|beginning| word.starts_with(beginning));
    let bare = |(at, word): (usize, &'_ str)| at + colour(&text[..at], word)..at + word.len();
    let known = words(text).map(bare).filter(move |word| begins(&text[word.clone()]));
    known.chain(logins(text))
}

/// How many bytes of a word are the end of what sets a terminal's colour, as `31m` in `ESC [31msk-`, and no word.
fn colour(before: &str, word: &str) -> usize {
    let rest = word.trim_start_matches(|c: char| c.is_ascii_digit());
    let is_escape = rest.len() < word.len() || before.ends_with("\u{1b}[");
    let rest = rest.strip_prefix(|c: char| c.is_ascii_alphabetic()).filter(|_| is_escape);
    rest.map_or(0, |rest| word.len() - rest.len())
}

/// The values of keys that should not have one.
fn by_key(text: &str) -> impl Iterator<Item = Range<usize>> {
    let last = |word: &str| word.rsplit(['_', '-']).next().unwrap_or(word).to_ascii_lowercase();
    let is_key = move |word: &str| KEYS.contains(&last(word).as_str());
    words(text).filter(move |(_, word)| is_key(word)).filter_map(|(at, word)| value_after(text, at + word.len()))
}

/// Every run of letters, digits, `_` and `-`, with where it begins.
fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    text.split(move |c| !is_part(c))
        .filter(|word| !word.is_empty())
        .map(move |word| (word.as_ptr() as usize - text.as_ptr() as usize, word))
}

/// The value that a key which ends at `end` is given on its line, unless that is a table, which only says where the
/// secret is.
fn value_after(text: &str, end: usize) -> Option<Range<usize>> {
    let line = text[end..].lines().next()?;
    let rest = line.trim_start_matches(['"', '\'']).trim_start().strip_prefix(['=', ':'])?;
    let rest = rest.trim_start().trim_start_matches(['"', '\'']);
    if rest.starts_with('{') {
        return None;
    }
    let value = rest.split(['"', '\'', '}']).next()?;
    let at = value.as_ptr() as usize - text.as_ptr() as usize;
    Some(at..at + value.trim_end().len())
}

/// What stands between `://` and `@` in addresses.
fn logins(text: &str) -> impl Iterator<Item = Range<usize>> {
    text.match_indices("://").filter_map(|(at, mark)| {
        let start = at + mark.len();
        let host = text[start..].split(|c: char| c.is_whitespace() || "/\"'".contains(c)).next()?;
        host.rfind('@').map(|end| start..start + end)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, shown: &str) {
        let masked = masked(text);
        assert_eq!(masked, shown);
        assert_eq!(masked.len(), text.len());
    }

    #[test]
    fn what_looks_like_a_secret_is_starred_out() {
        check("key = \"hunter2\"", "key = \"*******\"");
        check("{\"key\": \"hunter2\", \"b\": 1}", "{\"key\": \"*******\", \"b\": 1}");
        check("name = sk-ant-1, listen = 3", "name = ********, listen = 3");
        check("key: hunter2", "key: *******");
        check("ANTHROPIC_API-KEY = hunter2", "ANTHROPIC_API-KEY = *******");
        check("key = hünter", "key = *******");
        check("base_url = \"https://me:pw@host/x\"", "base_url = \"https://*****@host/x\"");
    }

    #[test]
    fn a_message_may_speak_of_keys() {
        assert_eq!(masked_message("cannot read a.key: not found"), "cannot read a.key: not found");
        assert_eq!(masked_message("`sk-ant-1` is no word"), "`********` is no word");
    }

    #[test]
    fn a_colour_hides_no_secret_that_is_glued_to_it() {
        for colour in ["\u{1b}[31m", "\u{1b}[1;31m", "\u{1b}[m", "\u{1b}[2K"] {
            assert_eq!(masked_message(&format!("got {colour}sk-ant-1234.")), format!("got {colour}***********."));
        }
        assert_eq!(masked_message("msk-cluster, 31m, 2nd"), "msk-cluster, 31m, 2nd");
    }

    #[test]
    fn what_only_says_where_a_secret_is_stays() {
        for text in
            ["key = { env = \"ANTHROPIC_API_KEY\" }", "per = [\"key\"]", "limit = \"1k tokens / day\"", "key", ""]
        {
            check(text, text);
        }
    }
}
