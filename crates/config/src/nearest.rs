//! The valid word that somebody probably meant.

/// Longer words are nobody's slip of the finger.
const WORD_BYTES_MAX: usize = 64;

/// The known word that is nearest to `word`, if any is near enough to have been meant.
#[must_use]
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.len() > WORD_BYTES_MAX {
        return None;
    }
    let word = word.to_lowercase();
    let distance = |known: &str| strsim::damerau_levenshtein(&word, &known.to_lowercase());
    let (distance, best) =
        known.into_iter().map(|known| (distance(known), known)).min_by_key(|(distance, _)| *distance)?;
    (distance <= best.len().max(word.len()) / 3).then_some(best)
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
        assert_eq!(nearest(&"x".repeat(100), known), None);
    }
}
