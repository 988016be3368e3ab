//! From the settings to the providers and prices that the gateway works with.

use std::collections::HashMap;

use almoner_config::{Credential as Configured, DefaultTier, DialectName, Settings};
use almoner_gateway::dialect::Dialect;
use almoner_gateway::{Credential, Pinned, Provider, provider_paces};
use almoner_policy::pace::PaceRule;
use almoner_policy::{PriceBook, Tier, UserPrice};
use almoner_rehearsal::{INPUT_PRICE, MODEL, OUTPUT_PRICE};

use crate::upstream::{NoWay, Way};

/// The name of the provider in the box.
const REHEARSAL: &str = "rehearsal";

/// The price book in force: the shipped one, the rehearsal's price, and the user's own over both.
#[must_use]
pub fn price_book(settings: &Settings) -> PriceBook {
    let mut rehearsal = UserPrice::new(MODEL, INPUT_PRICE, OUTPUT_PRICE);
    rehearsal.provider = Some(REHEARSAL.to_owned());
    rehearsal.context_window = Some(1_000_000);
    let book = PriceBook::shipped().clone().with_built_in(&rehearsal);
    settings.prices.iter().map(own_price).fold(book, |book, price| book.overlay(&price))
}

fn own_price(price: &almoner_config::UserPrice) -> UserPrice {
    UserPrice {
        provider: price.provider.clone(),
        cache_read: price.cache_read,
        cache_write_5m: price.cache_write_5m,
        cache_write_1h: price.cache_write_1h,
        context_window: price.context_window,
        max_output: price.max_output,
        ..UserPrice::new(&price.model, price.input, price.output)
    }
}

/// Every provider of the settings, and the one in the box before them. A way that is known already, by its address,
/// keeps its connections.
pub(crate) fn providers(
    settings: &Settings,
    book: &PriceBook,
    known: &HashMap<String, Way>,
) -> Result<Vec<Provider<Way>>, NoWay> {
    let configured = settings.providers.iter().map(|provider| configured(provider, settings, book, known));
    std::iter::once(Ok(rehearsal())).chain(configured).collect()
}

/// The paces of the providers, and those beside them.
pub(crate) fn paces(settings: &Settings) -> Vec<PaceRule> {
    let providers = settings.providers.iter().flat_map(|provider| {
        // Where each client brings its own credential, what one of them was refused says nothing of the others.
        let is_one_account = provider.free || provider.key != Configured::PassThrough;
        provider_paces(&provider.name, provider.rates, provider.adaptive && is_one_account)
    });
    providers.chain(settings.paces.iter().cloned()).collect()
}

fn rehearsal() -> Provider<Way> {
    Provider {
        name: REHEARSAL.to_owned(),
        dialects: Dialect::ALL.to_vec(),
        base_url: "http://rehearsal".to_owned(),
        credential: Credential::new("rehearsal"),
        models: Box::new(|model| model == MODEL),
        free: false,
        pinned: Pinned::default(),
        retries_max: 0,
        way: Way::Rehearsal,
    }
}

fn configured(
    provider: &almoner_config::Provider,
    settings: &Settings,
    book: &PriceBook,
    known: &HashMap<String, Way>,
) -> Result<Provider<Way>, NoWay> {
    let way = match known.get(&provider.base_url) {
        Some(way) => way.clone(),
        None => Way::to(&provider.base_url, settings.connect_max)?,
    };
    let credential = match &provider.key {
        Configured::PassThrough => None,
        Configured::Secret(secret) => Credential::new(secret.expose()),
    };
    Ok(Provider {
        name: provider.name.clone(),
        dialects: provider.dialects.iter().filter_map(|dialect| spoken(*dialect)).collect(),
        base_url: provider.base_url.clone(),
        credential,
        models: serves(provider, settings, book),
        free: provider.free,
        pinned: Pinned {
            service_tier: provider.service_tier.map(tier),
            regional: provider.region_premium.or_else(|| is_regional(&provider.base_url)),
        },
        retries_max: provider.retries,
        way,
    })
}

/// Whether an address is one of those that OpenAI has for each region, or the one for all; `None` for any other.
fn is_regional(base_url: &str) -> Option<bool> {
    let host = base_url.strip_prefix("https://")?.split(['/', ':']).next()?;
    let region = host.strip_suffix("api.openai.com")?;
    (region.is_empty() || region.ends_with('.')).then_some(!region.is_empty())
}

/// The price book's tier of an account's default.
const fn tier(default: DefaultTier) -> Tier {
    match default {
        DefaultTier::Standard => Tier::Standard,
        DefaultTier::Flex => Tier::Flex,
        DefaultTier::Priority => Tier::Priority,
    }
}

/// The dialects that have a route today.
fn spoken(dialect: DialectName) -> Option<Dialect> {
    match dialect {
        DialectName::Anthropic => Some(Dialect::Anthropic),
        DialectName::OpenAiChat => Some(Dialect::Chat),
        DialectName::OpenAiResponses => Some(Dialect::Responses),
        DialectName::Gemini => Some(Dialect::Gemini),
        DialectName::Ollama => Some(Dialect::Ollama),
    }
}

/// Which models a provider serves: those that it names; else those that the price book knows it by, and those that the
/// book knows by nobody else.
fn serves(
    provider: &almoner_config::Provider,
    settings: &Settings,
    book: &PriceBook,
) -> Box<dyn Fn(&str) -> bool + Send + Sync> {
    let patterns = provider.models.clone();
    if !patterns.is_empty() {
        return Box::new(move |model| patterns.iter().any(|pattern| pattern.matches(model)));
    }
    let name = provider.name.clone();
    let others: Vec<String> =
        settings.providers.iter().map(|other| other.name.clone()).filter(|other| *other != name).collect();
    let book = book.clone();
    Box::new(move |model| {
        let at = crate::clock::read().wall;
        let known_by = |provider: &str| book.find(Some(provider), model, at).is_some();
        known_by(&name) || (model != MODEL && !others.iter().any(|other| known_by(other)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openais_address_tells_the_region() {
        for (address, regional) in [
            ("https://api.openai.com", Some(false)),
            ("https://eu.api.openai.com/", Some(true)),
            ("https://us.api.openai.com:443/x", Some(true)),
            ("https://notapi.openai.com", None),
            ("https://api.openai.com.example", None),
            ("https://api.anthropic.com", None),
            ("http://127.0.0.1:8080", None),
        ] {
            assert_eq!(is_regional(address), regional, "{address}");
        }
    }
}
