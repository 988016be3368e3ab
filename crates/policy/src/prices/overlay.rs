//! The user's own prices, from `[[price]]` in the config.

use almoner_units::{NanoUsd, PicoUsdPerToken, Timestamp};

use super::{Price, Rate};

/// A price that the user gives, over the shipped one of the same model or for a model that the book lacks.
///
/// Dollars per million tokens become a [`PicoUsdPerToken`] by [`PicoUsdPerToken::per_million`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserPrice {
    /// The provider as the book names it; `None`: wherever the model is served.
    pub provider: Option<String>,
    /// The model, as a request names it.
    pub model: String,
    /// A token of plain input.
    pub input: PicoUsdPerToken,
    /// A token of output.
    pub output: PicoUsdPerToken,
    /// A token read from a cache; `None`: as dear as plain input.
    pub cache_read: Option<PicoUsdPerToken>,
    /// A token written to a cache for five minutes; `None`: 1.25 × input for Anthropic's models, else no premium.
    pub cache_write_5m: Option<PicoUsdPerToken>,
    /// A token written to a cache for an hour; `None`: 2 × input for Anthropic's models, else as the other write.
    pub cache_write_1h: Option<PicoUsdPerToken>,
    /// What one web search by the provider costs.
    pub web_search: Option<NanoUsd>,
    /// The most tokens of input that the model takes.
    pub context_window: Option<u64>,
    /// The most tokens of output that the model gives.
    pub max_output: Option<u64>,
    /// The instant from which the price holds; `None`: always.
    pub from: Option<Timestamp>,
}

impl UserPrice {
    /// A price with nothing but what every model has.
    #[must_use]
    pub fn new(model: &str, input: PicoUsdPerToken, output: PicoUsdPerToken) -> Self {
        Self {
            provider: None,
            model: model.to_owned(),
            input,
            output,
            cache_read: None,
            cache_write_5m: None,
            cache_write_1h: None,
            web_search: None,
            context_window: None,
            max_output: None,
            from: None,
        }
    }

    /// The price in full, with the facts of the shipped one that the user does not give. Its tiers are left out: they
    /// were multiples of another price.
    pub(crate) fn over(&self, shipped: Option<&Price>) -> Price {
        let mut price = shipped.cloned().unwrap_or_else(|| Price {
            model: self.model.clone(),
            provider: self.provider.clone().unwrap_or_default(),
            ..Price::flat(self.input, self.output)
        });
        price.rates = vec![self.rate(&price.provider)];
        price.web_search = self.web_search.or(price.web_search);
        price.context_window = self.context_window.or(price.context_window);
        price.max_output = self.max_output.or(price.max_output);
        price.from = self.from;
        // The user answers for it, and is not told to look at it again.
        price.review_by = None;
        "your config".clone_into(&mut price.source);
        price
    }

    fn rate(&self, provider: &str) -> Rate {
        let has_premium = provider == "anthropic" || self.model.starts_with("claude");
        let input = self.input.get();
        let premium = |pico: u64| has_premium.then(|| PicoUsdPerToken::new(pico));
        Rate {
            input: self.input,
            output: self.output,
            cache_read: self.cache_read,
            cache_write_5m: self.cache_write_5m.or_else(|| premium(input.saturating_mul(5).div_ceil(4))),
            cache_write_1h: self.cache_write_1h.or_else(|| premium(input.saturating_mul(2))),
            ..Rate::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(model: &str, write_5m: &str, write_1h: &str) {
        let million = |text: &str| PicoUsdPerToken::per_million(text).unwrap();
        let rate = UserPrice::new(model, million("4"), million("15")).over(None).rates[0];
        assert_eq!((rate.write_5m(), rate.write_1h()), (million(write_5m), million(write_1h)), "{model}");
    }

    #[test]
    fn cache_writes_cost_a_premium_where_the_provider_takes_one() {
        check("claude-of-mine", "5", "8");
        check("llama-of-mine", "4", "4");
    }
}
