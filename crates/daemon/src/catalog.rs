//! What can be called and for how much: the routes and the prices in force, in the form in which they travel.

use almoner_api::{PriceInfo, ProviderInfo, RateInfo, Reply, RouteInfo, StopInfo};
use almoner_config::Settings;
use almoner_gateway::Provider;
use almoner_policy::{Price, PriceBook, Rate, Route, Target};
use almoner_units::{BudgetName, LabelName, NanoUsd, Span, Timestamp};

use crate::operations::Operations;
use crate::upstream::Way;
use crate::{clock, describe};

impl Operations {
    /// Every route, and how those are who can serve its stops.
    pub(crate) fn routes(&self) -> Reply {
        let in_force = self.in_force.now();
        let healths = in_force.gateway.healths();
        let mut routes = in_force.routes.clone();
        for known in routes.iter_mut().flat_map(|route| &mut route.stops).flat_map(|stop| &mut stop.providers) {
            if let Some((name, health)) = healths.iter().find(|(name, _)| *name == known.provider) {
                *known = describe::provider(name, health);
            }
        }
        Reply::Routes { routes }
    }

    /// Every price of the book in force.
    pub(crate) fn prices(&self) -> Reply {
        let (book, now) = (&self.in_force.now().book, clock::read().wall);
        let prices = book.prices().iter().map(|price| described(price, book, now)).collect();
        Reply::Prices { version: book.version().to_owned(), prices }
    }
}

/// The routes of a configuration; how its providers are is not in them yet.
pub(crate) fn routes(settings: &Settings, providers: &[Provider<Way>]) -> Vec<RouteInfo> {
    let of = |(order, found): (u64, &Route)| route(order, found, &settings.detours, providers);
    (1..).zip(&settings.routes).map(of).collect()
}

fn route(order: u64, of: &Route, detours: &[(BudgetName, String)], providers: &[Provider<Way>]) -> RouteInfo {
    let leads_here = |(budget, to): &(BudgetName, String)| (*to == of.name).then(|| budget.to_string());
    RouteInfo {
        route: of.name.clone(),
        order,
        filter: of.filter.as_deref().map(in_words),
        budgets: detours.iter().filter_map(leads_here).collect(),
        first_byte_max_ms: of.first_byte_max.map(Span::ms),
        stops: of.targets.iter().map(|target| stop(target, providers)).collect(),
    }
}

fn stop(target: &Target, providers: &[Provider<Way>]) -> StopInfo {
    let serves = |provider: &&Provider<Way>| match (&target.provider, &target.model) {
        (Some(name), _) => provider.name == *name,
        (None, Some(model)) => (provider.models)(model),
        // The config refuses a stop that names neither.
        (None, None) => false,
    };
    let named = |provider: &Provider<Way>| ProviderInfo { provider: provider.name.clone(), ..ProviderInfo::default() };
    StopInfo {
        provider: target.provider.clone(),
        model: target.model.clone(),
        when: target.when.iter().map(ToString::to_string).collect(),
        priority: target.priority.iter().map(ToString::to_string).collect(),
        filter: in_words(&target.filter),
        providers: providers.iter().filter(serves).map(named).collect(),
    }
}

fn in_words(filter: &[(LabelName, String)]) -> Vec<(String, String)> {
    filter.iter().map(|(label, pattern)| (label.to_string(), pattern.clone())).collect()
}

fn described(price: &Price, book: &PriceBook, now: Timestamp) -> PriceInfo {
    let charged = book.find(Some(price.provider()), price.model(), now);
    let instant = |at: Option<Timestamp>| at.map(|at| at.to_string());
    PriceInfo {
        provider: (!price.provider().is_empty()).then(|| price.provider().to_owned()),
        model: price.model().to_owned(),
        aliases: price.aliases().to_vec(),
        from: instant(price.holds_from()),
        in_force: charged.is_some_and(|charged| std::ptr::eq(charged, price)),
        rates: price.rates().iter().map(rate).collect(),
        web_search_nano: price.web_search().map(NanoUsd::get),
        regional_percent: price.regional_percent(),
        context_window: price.context_window(),
        max_output: price.max_output(),
        review_by: instant(price.review_by()),
        retires: instant(price.retires()),
        source: price.source().to_owned(),
    }
}

fn rate(rate: &Rate) -> RateInfo {
    RateInfo {
        tier: rate.tier.name().to_owned(),
        above: rate.above,
        input: rate.input.get(),
        output: rate.output.get(),
        cache_read: rate.read().get(),
        cache_write_5m: rate.write_5m().get(),
        cache_write_1h: rate.write_1h().get(),
        audio_input: rate.audio().get(),
    }
}

#[cfg(test)]
mod tests {
    use almoner_policy::UserPrice;
    use almoner_units::PicoUsdPerToken;

    use super::*;

    const NOW: Timestamp = Timestamp::from_ms(1_795_500_000_000);

    #[test]
    fn of_the_prices_of_a_model_the_one_of_today_is_in_force() {
        let million = |text: &str| PicoUsdPerToken::per_million(text).unwrap();
        let own = UserPrice::new("mine", million("3"), million("15"));
        let tomorrow = UserPrice { from: Some(Timestamp::from_ms(NOW.ms() + 1)), ..own.clone() };
        let book = PriceBook::shipped().clone().overlay(&own).overlay(&tomorrow);
        let known: Vec<PriceInfo> = book.prices().iter().map(|price| described(price, &book, NOW)).collect();
        let mine: Vec<_> = known.iter().filter(|price| price.model == "mine").collect();
        assert_eq!(mine.iter().map(|price| price.in_force).collect::<Vec<_>>(), [false, true]);
        assert_eq!(
            (mine[1].provider.as_ref(), mine[1].rates[0].input, mine[1].rates[0].cache_read),
            (None, 3_000_000, 3_000_000)
        );
        for price in book.prices() {
            let of = |info: &&PriceInfo| info.model == price.model() && info.in_force;
            assert!(known.iter().any(|info| of(&info)), "{} has a price today", price.model());
        }
    }
}
