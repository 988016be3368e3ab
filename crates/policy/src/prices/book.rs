//! The book: every price that is known, and how one is found.

use std::sync::LazyLock;

use almoner_units::Timestamp;

use super::{Price, UserPrice, read};

/// Every price that is known, with a version that each charge keeps.
#[derive(Clone, Debug)]
pub struct PriceBook {
    version: String,
    /// In the order in which a model is looked for; several of one model have different days from which they hold.
    prices: Vec<Price>,
}

/// The book that ships with the program, read once.
static SHIPPED: LazyLock<PriceBook> = LazyLock::new(|| {
    // The file is part of the program: a fault in it is ours, and a test reads it.
    read::book(include_str!("../../prices/book.json")).unwrap_or_else(|error| panic!("prices/book.json: {error}"))
});

impl PriceBook {
    /// The book that ships with the program.
    #[must_use]
    pub fn shipped() -> &'static Self {
        &SHIPPED
    }

    pub(crate) fn new(version: String, prices: Vec<Price>) -> Self {
        Self { version, prices }
    }

    /// Which book this is: the day on which its prices were taken, and `+own` where a user's prices lie over it.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Every price, in the order in which a model is looked for.
    #[must_use]
    pub fn prices(&self) -> &[Price] {
        &self.prices
    }

    /// The price of the model with exactly this name, or an alias of it, at `provider` at that instant; with no
    /// provider, at the first that has it. `None` is unknown, which is not free.
    ///
    /// The oldest price of a model holds for the time before it, because nothing older is known.
    #[must_use]
    pub fn find(&self, provider: Option<&str>, model: &str, at: Timestamp) -> Option<&Price> {
        let first = self.prices.iter().find(|price| serves(price, provider, model))?;
        let same = self.prices.iter().filter(|price| price.provider == first.provider && price.is_named(model));
        let began = same.clone().filter(|price| price.from.is_none_or(|from| from <= at));
        began.max_by_key(|price| price.from).or_else(|| same.min_by_key(|price| price.from))
    }

    /// At most three known models whose names are most like `model`, the likest first: for "did you mean".
    #[must_use]
    pub fn nearest(&self, model: &str) -> Vec<&str> {
        let names = self.prices.iter().flat_map(|price| std::iter::once(&price.model).chain(&price.aliases));
        let mut known: Vec<(usize, &str)> = names
            .map(|name| (unlikeness(model, name), name.as_str()))
            .filter(|(unlikeness, name)| *unlikeness * 3 <= name.len())
            .collect();
        known.sort_unstable();
        known.dedup();
        known.into_iter().take(3).map(|(_, name)| name).collect()
    }

    /// The book with the user's own price over the shipped one of the same model.
    #[must_use]
    pub fn overlay(self, own: &UserPrice) -> Self {
        let mut book = self.with_built_in(own);
        if !book.version.ends_with("+own") {
            book.version.push_str("+own");
        }
        book
    }

    /// The book with a price of Almoner's own, which is part of the program and so of the version that the book has.
    #[must_use]
    pub fn with_built_in(mut self, own: &UserPrice) -> Self {
        let shipped = self.prices.iter().find(|price| serves(price, own.provider.as_deref(), &own.model));
        let price = own.over(shipped);
        let is_replaced =
            |old: &Price| (&old.provider, &old.model, old.from) == (&price.provider, &price.model, price.from);
        self.prices.retain(|old| !is_replaced(old));
        self.prices.insert(0, price);
        self
    }
}

/// How many slips of the pen lie between two names; what a reseller puts before a `/` is none.
fn unlikeness(asked: &str, known: &str) -> usize {
    let bare = asked.rsplit('/').next().unwrap_or(asked);
    strsim::damerau_levenshtein(asked, known).min(strsim::damerau_levenshtein(bare, known))
}

fn serves(price: &Price, provider: Option<&str>, model: &str) -> bool {
    // A price of the user's own that names no provider holds at every one.
    let is_there = provider.is_none_or(|name| price.provider == name || price.provider.is_empty());
    is_there && price.is_named(model)
}

impl Price {
    fn is_named(&self, model: &str) -> bool {
        self.model == model || self.aliases.iter().any(|alias| alias == model)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use almoner_units::PicoUsdPerToken;

    const NOW: Timestamp = Timestamp::from_ms(1_795_500_000_000);

    fn book() -> PriceBook {
        PriceBook::shipped().clone()
    }

    #[track_caller]
    fn check(provider: Option<&str>, model: &str, input_per_million: Option<&str>) {
        let found = PriceBook::shipped().find(provider, model, NOW).map(|price| price.rates()[0].input);
        assert_eq!(found, input_per_million.map(|text| PicoUsdPerToken::per_million(text).unwrap()), "{model}");
    }

    #[test]
    fn a_model_is_found_by_its_exact_name_or_an_alias() {
        check(None, "claude-opus-5", Some("5"));
        check(Some("anthropic"), "claude-sonnet-4-5", Some("3"));
        check(Some("anthropic"), "claude-sonnet-4-5-20250929", Some("3"));
        check(None, "gpt-4o-2024-08-06", Some("2.5"));
        check(None, "gpt-4o-2024-05-13", Some("5"));
        check(Some("gemini"), "gemini-2.5-flash", Some("0.3"));
        check(None, "openai/gpt-oss-20b", Some("0.075"));
    }

    #[test]
    fn what_is_not_in_the_book_is_unknown_and_not_free() {
        for unknown in ["", "claude", "claude-opus-5-20991231", "gpt-4o-audio-preview-2024-12-17", "gemma-4-31b-it"] {
            check(None, unknown, None);
        }
        check(Some("openai"), "claude-opus-5", None);
        check(Some("somebody"), "gpt-5", None);
    }

    #[test]
    fn a_slip_of_the_pen_is_answered_with_the_nearest_names() {
        assert_eq!(PriceBook::shipped().nearest("claude-opus5")[0], "claude-opus-5");
        assert_eq!(PriceBook::shipped().nearest("gtp-4o")[0], "gpt-4o");
        assert_eq!(PriceBook::shipped().nearest("anthropic/claude-sonnet-4.6")[0], "claude-sonnet-4-6");
        assert!(PriceBook::shipped().nearest("zzzzzzzzzzzzzzzzzzzzzz").is_empty());
    }

    fn own(model: &str, input: &str) -> UserPrice {
        let million = |text: &str| PicoUsdPerToken::per_million(text).unwrap();
        UserPrice::new(model, million(input), million("15"))
    }

    fn input_at(book: &PriceBook, model: &str, at: Timestamp) -> String {
        book.find(None, model, at).unwrap().rates()[0].input.to_string()
    }

    #[test]
    fn the_users_price_lies_over_the_shipped_one_of_every_alias() {
        let book = book().overlay(&own("claude-sonnet-4-5-20250929", "1")).overlay(&own("my-model", "7"));
        assert_eq!(book.version(), "2026-11-23+own");
        for name in ["claude-sonnet-4-5", "claude-sonnet-4-5-20250929"] {
            assert_eq!(input_at(&book, name, NOW), "$1.00");
        }
        let sonnet = book.find(Some("anthropic"), "claude-sonnet-4-5", NOW).unwrap();
        assert_eq!(sonnet.context_window(), Some(200_000), "what the user does not say stays");
        assert_eq!(sonnet.rates().len(), 1, "the shipped tiers were multiples of another price");
        assert_eq!(input_at(&book, "my-model", NOW), "$7.00");
        assert!(book.find(Some("anywhere"), "my-model", NOW).is_some());
    }

    #[test]
    fn a_price_holds_from_its_day_on_and_the_oldest_before_it() {
        let later = Timestamp::from_ms(NOW.ms() + 1);
        let book = book().overlay(&UserPrice { from: Some(later), ..own("gpt-5", "9") });
        assert_eq!(input_at(&book, "gpt-5", NOW), "$1.25");
        assert_eq!(input_at(&book, "gpt-5", later), "$9.00");
        let book = PriceBook::new("t".into(), vec![]).overlay(&UserPrice { from: Some(later), ..own("new", "9") });
        assert_eq!(input_at(&book, "new", NOW), "$9.00");
    }
}
