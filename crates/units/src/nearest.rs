//! The valid word that somebody probably meant.

/// Longer words are nobody's slip of the finger.
const WORD_BYTES_MAX: usize = 64;

/// The shortest beginning of a word that says which one is meant.
const BEGINNING_BYTES_MIN: usize = 3;

/// The known word that is nearest to `word`, if any is near enough to have been meant.
#[must_use]
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.len() > WORD_BYTES_MAX {
        return None;
    }
    let word = word.to_lowercase();
    let known: Vec<&str> = known.into_iter().collect();
    let distance = |known: &str| strsim::damerau_levenshtein(&word, &known.to_lowercase());
    let (distance, best) = known.iter().map(|known| (distance(known), *known)).min_by_key(|(distance, _)| *distance)?;
    if distance <= best.len().max(word.len()) / 3 {
        return Some(best);
    }
    only_one_that_begins(&word, &known)
}

/// The known word that begins like this, where only one does.
fn only_one_that_begins<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let mut begin = known.iter().filter(|known| word.len() >= BEGINNING_BYTES_MIN && known.starts_with(word));
    begin.next().filter(|_| begin.next().is_none()).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_word_and_a_stranger_none() {
        let known = ["limit", "levels", "listen"];
        assert_eq!(nearest("limt", known), Some("limit"));
        assert_eq!(nearest("LISTEN", known), Some("listen"));
        assert_eq!(nearest("limits", known), Some("limit"));
        assert_eq!(nearest("colour", known), None);
        assert_eq!(nearest("stop", ["warn", "stop-new"]), Some("stop-new"));
        assert_eq!(nearest("cache", ["cache_read", "cache_write"]), None, "two begin so");
        assert_eq!(nearest("st", ["stop-new"]), None);
        assert_eq!(nearest(&"x".repeat(100), known), None);
    }
}
