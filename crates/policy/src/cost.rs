//! What a call cost, from the usage its provider reported.
//!
//! Exact: parts are added up in pico-dollars and rounded up once per call. What the provider did not say counts
//! nothing here; whether it said anything is the caller's question ([`Usage::is_known`]), because unknown is not 0.

use almoner_units::{NanoUsd, PicoUsdPerToken, Usage};

use crate::{Price, Rate, Tier, TierAnswer};

/// What a bill depends on beside the tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extras {
    /// The service tier that the answer names, in the provider's word; `None`: the standard one.
    pub service_tier: Option<String>,
    /// Whether the call was one of a batch.
    pub batch: bool,
    /// Whether the answer says that it came in Anthropic's fast mode.
    pub fast: bool,
    /// Whether the answer says that inference was pinned to a region.
    pub regional: bool,
    /// Web searches that the provider made and bills.
    pub web_searches: u64,
    /// The part of the plain input that was sound.
    pub audio_input: u64,
    /// The part of what was read from a cache that was sound.
    pub audio_read: u64,
}

/// Why the cost of a call cannot be said.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CostError {
    /// The call was served at a tier whose price is not known.
    #[error("`{model}` was served at `{tier}`, for which the price book has no price; add a [[price]] for it")]
    NoTier {
        /// The model.
        model: String,
        /// The provider's word.
        tier: String,
    },
    /// The provider made searches whose price is not known.
    #[error("`{model}` made {count} web searches, for which the price book has no price; add a [[price]] with one")]
    NoSearch {
        /// The model.
        model: String,
        /// How many.
        count: u64,
    },
    /// The sum is more than the ledger can count.
    #[error("the call cost more than the ledger can count, which is about 18.4 billion dollars")]
    TooLarge,
}

/// What a call cost.
///
/// Above a long-context threshold the whole call, output included, is billed at the dearer rate: that is how
/// Anthropic, Google, OpenAI and xAI print it. A tier word that nobody knows costs the dearest rate of the price.
///
/// # Errors
/// [`CostError`] where a part was consumed that has no price, or the sum is too large.
pub fn cost(usage: &Usage, extras: &Extras, price: &Price) -> Result<NanoUsd, CostError> {
    let tiers = tiers(extras, price)?;
    let input_total = usage.input_total();
    let dearest = tiers.into_iter().map(|tier| tokens(usage, extras, price.rate(tier, input_total))).max();
    let percent = if extras.regional { u128::from(price.regional_percent()) } else { 100 };
    let tokens = dearest.flatten().and_then(|pico| pico.checked_mul(percent)).ok_or(CostError::TooLarge)?;
    let searches = searches(extras.web_searches, price)?;
    let pico = tokens.div_ceil(100).checked_add(searches).ok_or(CostError::TooLarge)?;
    NanoUsd::from_pico(pico).ok_or(CostError::TooLarge)
}

/// The tiers that the call may have been billed at: one, but for a word that nobody knows.
fn tiers(extras: &Extras, price: &Price) -> Result<Vec<Tier>, CostError> {
    let asked = match &extras.service_tier {
        _ if extras.fast => "fast",
        _ if extras.batch => "batch",
        Some(name) => name.as_str(),
        None => return Ok(vec![Tier::Standard]),
    };
    match price.tier(asked) {
        TierAnswer::Known(tier) => Ok(vec![tier]),
        TierAnswer::Unknown => Ok(Tier::ALL.to_vec()),
        TierAnswer::Unpriced => Err(CostError::NoTier { model: price.model().to_owned(), tier: asked.to_owned() }),
    }
}

/// The tokens of a call at one rate, in pico-dollars; `None` where the sum leaves the type.
fn tokens(usage: &Usage, extras: &Extras, rate: &Rate) -> Option<u128> {
    let input = usage.input.unwrap_or(0);
    let audio = extras.audio_input.min(input);
    let read = usage.cache_read.unwrap_or(0);
    let audio_read = extras.audio_read.min(read);
    let parts = [
        (rate.input, input - audio),
        (rate.audio(), audio),
        (rate.read(), read - audio_read),
        (rate.audio_read(), audio_read),
        (rate.write_5m(), usage.cache_write_5m.unwrap_or(0)),
        (rate.write_1h(), usage.cache_write_1h.unwrap_or(0)),
        (rate.output, usage.output.unwrap_or(0)),
    ];
    parts
        .into_iter()
        .try_fold(0_u128, |sum, (price, count): (PicoUsdPerToken, u64)| sum.checked_add(NanoUsd::pico(price, count)))
}

fn searches(count: u64, price: &Price) -> Result<u128, CostError> {
    if count == 0 {
        return Ok(0);
    }
    let no_price = || CostError::NoSearch { model: price.model().to_owned(), count };
    let each = price.web_search().ok_or_else(no_price)?;
    (u128::from(each.get()) * 1000).checked_mul(u128::from(count)).ok_or(CostError::TooLarge)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{PriceBook, UserPrice};
    use almoner_units::Timestamp;

    const NOW: Timestamp = Timestamp::from_ms(1_795_500_000_000);

    /// Input, output, cache read, written for 5 minutes, written for 1 hour.
    fn usage(counts: [u64; 5]) -> Usage {
        let [input, output, cache_read, cache_write_5m, cache_write_1h] = counts.map(Some);
        Usage { input, output, cache_read, cache_write_5m, cache_write_1h, reasoning: None }
    }

    #[track_caller]
    fn check(model: &str, counts: [u64; 5], extras: &Extras, dollars: &str) {
        let price = PriceBook::shipped().find(None, model, NOW).unwrap();
        assert_eq!(cost(&usage(counts), extras, price), Ok(dollars.parse().unwrap()), "{model} {counts:?}");
    }

    fn at(tier: &str) -> Extras {
        Extras { service_tier: Some(tier.to_owned()), ..Extras::default() }
    }

    #[test]
    fn each_part_of_a_call_has_its_own_price() {
        let plain = Extras::default();
        check("claude-opus-5", [1_000_000, 0, 0, 0, 0], &plain, "$5");
        check("claude-opus-5", [0, 1_000_000, 0, 0, 0], &plain, "$25");
        check("claude-opus-5", [0, 0, 1_000_000, 0, 0], &plain, "$0.5");
        check("claude-opus-5", [0, 0, 0, 1_000_000, 0], &plain, "$6.25");
        check("claude-opus-5", [0, 0, 0, 0, 1_000_000], &plain, "$10");
        check("claude-opus-5", [1, 1, 1, 1, 1], &plain, "$0.00004675");
        check("gpt-4o", [10, 10, 10, 0, 0], &plain, "$0.0001375");
    }

    #[test]
    fn a_call_is_rounded_up_once() {
        // $0.01 a million is 10,000 pico-dollars: whole calls round, never their parts.
        check("claude-haiku-5-5", [0, 0, 1, 0, 0], &Extras::default(), "$0.00000001");
        let price = Price::flat(PicoUsdPerToken::new(1), PicoUsdPerToken::new(1));
        assert_eq!(cost(&usage([1, 1, 0, 0, 0]), &Extras::default(), &price), Ok(NanoUsd::new(1)));
        assert_eq!(cost(&Usage::default(), &Extras::default(), &price), Ok(NanoUsd::ZERO));
        // 110 % of 9,091 pico-dollars are 10,000.1, which is more than 10 nano-dollars.
        let price = Price { regional_percent: 110, ..price };
        let regional = Extras { regional: true, ..Extras::default() };
        assert_eq!(cost(&usage([9_091, 0, 0, 0, 0]), &regional, &price), Ok(NanoUsd::new(11)));
    }

    #[test]
    fn past_its_threshold_the_whole_call_is_dearer() {
        let plain = Extras::default();
        check("claude-haiku-5-5", [100_000, 1_000_000, 0, 0, 0], &plain, "$0.51");
        check("claude-haiku-5-5", [100_001, 1_000_000, 0, 0, 0], &plain, "$2.5500005");
        // Reads and writes fill the context as plain input does.
        check("claude-haiku-5-5", [1, 0, 50_000, 50_000, 0], &plain, "$0.0337505");
        check("gemini-2.5-pro", [200_001, 1000, 0, 0, 0], &plain, "$0.5150025");
        check("gpt-6-sol", [272_001, 1000, 0, 0, 0], &at("flex"), "$0.5515020".trim_end_matches('0'));
    }

    #[test]
    fn each_tier_has_its_rate_or_the_standard_one() {
        let million = [1_000_000, 0, 0, 0, 0];
        check("gpt-5", million, &at("default"), "$1.25");
        check("gpt-5", million, &at("flex"), "$0.625");
        check("gpt-5", million, &at("priority"), "$2.5");
        check("gpt-5", million, &at("fast"), "$2.5");
        check("gpt-5", million, &Extras { batch: true, ..Extras::default() }, "$0.625");
        check("gpt-5.1", million, &at("a tier of tomorrow"), "$2.5");
        check("claude-opus-5", million, &at("priority"), "$5");
        check("claude-opus-5", million, &Extras { fast: true, ..Extras::default() }, "$10");
        check("claude-opus-5", million, &Extras { regional: true, ..Extras::default() }, "$5.5");
    }

    #[test]
    fn searches_and_sound_cost_their_own() {
        check("claude-opus-5", [0; 5], &Extras { web_searches: 3, ..Extras::default() }, "$0.03");
        check("gemini-2.5-flash", [30, 0, 0, 0, 0], &Extras { audio_input: 10, ..Extras::default() }, "$0.000016");
        // Ten seconds at $100 a million of them, and 12.5 tokens each.
        check("voxtral-small-latest", [125, 0, 0, 0, 0], &Extras { audio_input: 125, ..Extras::default() }, "$0.001");
        // ai.google.dev/gemini-api/docs/pricing: a cached million of text $0.03, of sound $0.1.
        let cached = Extras { audio_read: 1_000_000, ..Extras::default() };
        check("gemini-2.5-flash", [0, 0, 2_000_000, 0, 0], &cached, "$0.13");
        check("gemini-2.5-flash-lite", [0, 0, 1_000_000, 0, 0], &cached, "$0.03");
        check("gemini-3-flash-preview", [0, 0, 1_000_000, 0, 0], &cached, "$0.1");
        check("claude-opus-5", [0, 0, 1_000_000, 0, 0], &cached, "$0.5");
    }

    #[test]
    fn what_has_no_price_is_said_and_not_free() {
        let fast = Extras { fast: true, ..Extras::default() };
        let sonnet = PriceBook::shipped().find(None, "claude-sonnet-5", NOW).unwrap();
        assert!(matches!(cost(&usage([1; 5]), &fast, sonnet), Err(CostError::NoTier { .. })));
        let searching = Extras { web_searches: 1, ..Extras::default() };
        let own =
            PriceBook::shipped().clone().overlay(&UserPrice::new("m", PicoUsdPerToken::ZERO, PicoUsdPerToken::new(1)));
        let price = own.find(None, "m", NOW).unwrap();
        assert!(matches!(cost(&usage([1; 5]), &searching, price), Err(CostError::NoSearch { count: 1, .. })));
        assert_eq!(cost(&usage([u64::MAX; 5]), &Extras::default(), sonnet), Err(CostError::TooLarge));
        assert_eq!(cost(&usage([9; 5]), &fast, &Price::free()), Ok(NanoUsd::ZERO));
    }
}
