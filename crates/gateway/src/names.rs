//! The names of one model, none of which is a way around a budget, or to an account of its own.
//!
//! A model has the name that a call uses, and mostly another in the price book. Ollama has many for each: it adds
//! `:latest` where no tag is named, and its own registry where no other is, and reads small and capital letters alike.

use almoner_policy::Price;
use almoner_units::{Budget, Labels};

/// The labels of a call, under each name of its model.
pub(crate) struct Names<'l> {
    /// The name to count by first.
    first: Option<Labels>,
    asked: &'l Labels,
    is_ollama: bool,
}

impl<'l> Names<'l> {
    pub(crate) fn of(asked: &'l Labels, price: Option<&Price>, is_ollama: bool) -> Self {
        let by_book = || with_model(asked, price.map(Price::model).filter(|name| !name.is_empty())?);
        let by_ollama = || with_model(asked, &plain(asked.named("model")?.as_str()));
        let first = by_book().or_else(|| is_ollama.then(by_ollama)?);
        Self { first, asked, is_ollama }
    }

    /// The labels under the name that is not the one asked for, where there is one.
    pub(crate) fn other(self) -> Option<Labels> {
        self.first
    }

    /// By which of these labels a budget counts the call, the first that fits.
    pub(crate) fn counted_by(&self, budget: &Budget) -> Option<&Labels> {
        let mut all = self.first.iter().chain([self.asked]);
        if self.is_ollama {
            // Whichever spelling leads here, it is one account.
            return if all.clone().any(|labels| budget.counts(labels)) || self.is_meant(budget) {
                all.next()
            } else {
                None
            };
        }
        all.find(|labels| budget.counts(labels))
    }

    /// Whether a budget counts the call by another spelling of the model.
    fn is_meant(&self, budget: &Budget) -> bool {
        let Some(asked) = self.asked.named("model").map(|model| plain(model.as_str())) else { return false };
        let mut wanted = budget.filter.iter().filter(|(name, _)| name.as_str() == "model").map(|(_, wanted)| wanted);
        let spelt = wanted.find(|wanted| plain(wanted) == asked).and_then(|wanted| with_model(self.asked, wanted));
        spelt.is_some_and(|labels| budget.counts(&labels))
    }
}

/// The labels with another name of the model; `None` where it is the one that they have.
fn with_model(labels: &Labels, name: &str) -> Option<Labels> {
    if labels.named("model").is_some_and(|model| model.as_str() == name) {
        return None;
    }
    let mut labels = labels.clone();
    labels.set("model".parse().ok()?, name.parse().ok()?);
    Some(labels)
}

/// The shortest name by which Ollama knows a model.
fn plain(name: &str) -> String {
    let name = name.to_ascii_lowercase();
    let name = name.strip_prefix("registry.ollama.ai/").unwrap_or(&name);
    let name = name.strip_prefix("library/").unwrap_or(name);
    name.strip_suffix(":latest").unwrap_or(name).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use almoner_units::{LevelMarks, Mode};

    const SPELT: [&str; 6] =
        ["qwen3", "qwen3:latest", "Qwen3", "QWEN3:Latest", "library/qwen3", "registry.ollama.ai/library/qwen3:latest"];

    fn budget(filter: Option<&str>) -> Budget {
        Budget {
            name: "b".parse().unwrap(),
            filter: filter.map(|model| ("model".parse().unwrap(), model.to_owned())).into_iter().collect(),
            per: vec!["model".parse().unwrap()],
            limits: vec!["$1".parse().unwrap()],
            mode: Mode::StopNew,
            marks: LevelMarks::default(),
        }
    }

    /// The account of a call for this model; nothing where the budget does not count it.
    fn account(model: &str, budget: &Budget, price: Option<&Price>, is_ollama: bool) -> Option<String> {
        let mut labels = Labels::new();
        labels.set("model".parse().unwrap(), model.parse().unwrap());
        let names = Names::of(&labels, price, is_ollama);
        names.counted_by(budget).map(|labels| budget.account(labels).to_string())
    }

    #[test]
    fn every_spelling_that_ollama_takes_for_a_model_is_one_account() {
        let free = Price::free();
        for filter in [None, Some("qwen3"), Some("qwen3:latest"), Some("Qwen3"), Some("qwen*"), Some("library/qwen3")] {
            for model in SPELT {
                let account = account(model, &budget(filter), Some(&free), true);
                assert_eq!(account.as_deref(), Some("b [model=qwen3]"), "{model} by {filter:?}");
            }
        }
        for other in ["qwen3:8b", "me/qwen3", "qwen3-coder"] {
            assert_eq!(account(other, &budget(Some("qwen3:latest")), None, true), None, "{other}");
            assert_eq!(account(other, &budget(None), None, true), Some(format!("b [model={other}]")));
        }
    }

    #[test]
    fn elsewhere_a_name_means_what_it_says_or_what_the_price_book_does() {
        for model in SPELT {
            assert_eq!(account(model, &budget(None), None, false), Some(format!("b [model={model}]")));
        }
        assert_eq!(account("qwen3:latest", &budget(Some("qwen3")), None, false), None);
        let known = Price::unknown("gpt-5");
        assert_eq!(account("gpt-5-2025", &budget(None), Some(&known), false).as_deref(), Some("b [model=gpt-5]"));
        let asked = budget(Some("gpt-5-2025"));
        assert_eq!(account("gpt-5-2025", &asked, Some(&known), false).as_deref(), Some("b [model=gpt-5-2025]"));
    }
}
