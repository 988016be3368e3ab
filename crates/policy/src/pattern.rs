//! Patterns for the names of models.

/// The name of a model, or of many: a `*` stands for any run of characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelPattern(String);

impl ModelPattern {
    /// The pattern in a text.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The pattern as it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the model is one of those meant.
    #[must_use]
    pub fn matches(&self, model: &str) -> bool {
        let Some((first, rest)) = self.0.split_once('*') else { return self.0 == model };
        let Some(mut model) = model.strip_prefix(first) else { return false };
        let (middle, last) = rest.rsplit_once('*').unwrap_or(("", rest));
        // The earliest place for each part leaves the most room for those after it.
        for part in middle.split('*').filter(|part| !part.is_empty()) {
            let Some(at) = model.find(part) else { return false };
            model = &model[at + part.len()..];
        }
        model.ends_with(last)
    }

    /// Whether a list of patterns lets a model be used that is asked for by `name` and that the price book knows as
    /// `known_as`. An empty list lets every model be used.
    ///
    /// What the book says a model is counts for more than what it is called: else `small-latest`, which may stand for
    /// the dearest model tomorrow, would pass wherever `small-*` may. A pattern without a `*` means the very name that
    /// it is, and so whoever wrote it.
    #[must_use]
    pub fn allow(list: &[Self], name: &str, known_as: Option<&str>) -> bool {
        let known_as = known_as.filter(|known| !known.is_empty()).unwrap_or(name);
        list.is_empty() || list.iter().any(|pattern| pattern.matches(known_as) || pattern.0 == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_run_of_characters() {
        let matches = |pattern: &str, model| ModelPattern::new(pattern).matches(model);
        assert!(matches("qwen3*", "qwen3:8b"));
        assert!(matches("*", ""));
        assert!(matches("a*b*c", "a-b-b-c"));
        assert!(matches("gpt-4", "gpt-4"));
        assert!(!matches("gpt-4", "gpt-4o"));
        assert!(!matches("qwen3*", "qwen2"));
        assert!(!matches("ab*ba", "aba"));
    }

    #[test]
    fn another_name_of_a_model_is_no_way_around_a_list() {
        let list = |patterns: &[&str]| patterns.iter().map(|text| ModelPattern::new(text)).collect::<Vec<_>>();
        let allowed = |patterns: &[&str], name, known_as| ModelPattern::allow(&list(patterns), name, known_as);
        assert!(allowed(&[], "anything", None));
        // Nobody knows more of the model than its name.
        assert!(allowed(&["qwen3*"], "qwen3:8b", None) && allowed(&["qwen3*"], "qwen3:8b", Some("")));
        assert!(!allowed(&["qwen3*"], "llama3", None));
        // A dated name, where the list has the name that it is known by.
        assert!(allowed(&["claude-opus-5"], "claude-opus-5-20260101", Some("claude-opus-5")));
        // A name that looks like what is allowed, and stands for something else.
        assert!(!allowed(&["claude-haiku*"], "claude-haiku-best", Some("claude-opus-5")));
        // The list names this very name.
        assert!(allowed(&["claude-haiku*", "our-best"], "our-best", Some("claude-opus-5")));
    }
}
