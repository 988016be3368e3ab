//! What can be called and for how much, as it travels: routes and prices.

use std::collections::BTreeMap;

use almoner_api::{PriceInfo, RateInfo, RouteInfo, StopInfo};
use schemars::JsonSchema;
use serde::Serialize;

use crate::resources::ProviderView;

/// A route: which calls take it, and where it leads.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Route")]
pub(crate) struct RouteView {
    /// Its name.
    pub(crate) route: String,
    /// In which place it is looked at, from 1 on: a call takes the first that fits.
    order: u64,
    /// The calls that take it: those whose labels fit all of these patterns. None: only those that a budget sends here.
    r#where: Option<BTreeMap<String, String>>,
    /// The budgets that send here what they refuse.
    budgets: Vec<String>,
    /// How long a stop that another can stand in for may take to begin its answer, in milliseconds.
    first_byte_max_ms: Option<u64>,
    /// Where it leads, in order.
    stops: Vec<StopView>,
}

/// Where a call can go.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Stop")]
struct StopView {
    /// The provider; none: the one that serves the model.
    provider: Option<String>,
    /// The model; none: the one that the call asks for.
    model: Option<String>,
    /// For which reasons a call goes on to it, such as `exhausted`, `level >= hard`, `provider down`, `429` or
    /// `timeout`; empty: for any, and without one.
    when: Vec<String>,
    /// Which priorities it takes; empty: every one.
    priority: Vec<String>,
    /// The calls that it takes: those whose labels fit all of these patterns.
    r#where: BTreeMap<String, String>,
    /// Who can serve it, and how they are now.
    providers: Vec<ProviderView>,
}

/// A part of the price book. Where `next_cursor` is there, the rest comes by sending it as `cursor`.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Prices")]
pub(crate) struct PricesView {
    /// Which book it is; `+own` where prices of the configuration lie over it.
    pub(crate) version: String,
    /// What was asked for.
    pub(crate) items: Vec<PriceView>,
    /// Where the next part begins; none where this is the last.
    pub(crate) next_cursor: Option<String>,
}

/// What a model costs at a provider.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Price")]
pub(crate) struct PriceView {
    /// The provider as the price book names it; none: wherever the model is served.
    provider: Option<String>,
    /// The model.
    model: String,
    /// Other names of the same model.
    aliases: Vec<String>,
    /// From when it holds; none: always.
    from: Option<String>,
    /// Whether it is the one that is charged now: not one of another day, or that another lies over.
    in_force: bool,
    /// What tokens cost, the list price first.
    rates: Vec<RateView>,
    /// What one web search by the provider costs, in nano-dollars; none: nobody knows.
    web_search_usd_nano: Option<u64>,
    /// What every token costs where inference is pinned to a region, in percent of the rate.
    regional_percent: u64,
    /// The most tokens of input that the model takes.
    context_window: Option<u64>,
    /// The most tokens of output that it gives.
    max_output: Option<u64>,
    /// When somebody should look at the price again.
    review_by: Option<String>,
    /// When the provider stops serving the model.
    retires: Option<String>,
    /// Where the price is from.
    source: String,
}

/// What one token of each kind costs, in pico-dollars: $3 a million tokens are 3000000.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Rate")]
struct RateView {
    /// The class of service: `standard`, `batch`, `flex`, `priority`, `fast` or `ultrafast`.
    tier: String,
    /// It holds for calls with more tokens of input, of every kind together, than this.
    above_input_tokens: u64,
    /// Input that is neither read from nor written to a cache.
    input_usd_pico: u64,
    /// Output, reasoning included.
    output_usd_pico: u64,
    /// Input read from a cache.
    cache_read_usd_pico: u64,
    /// Input written to a cache for five minutes.
    cache_write_5m_usd_pico: u64,
    /// Input written to a cache for an hour.
    cache_write_1h_usd_pico: u64,
    /// A token of sound.
    audio_input_usd_pico: u64,
}

impl PriceView {
    /// Whether it is one of this provider, and of a model with this name; none: of any.
    pub(crate) fn is_of(&self, provider: Option<&str>, model: Option<&str>) -> bool {
        let is_named = |model: &str| self.model == model || self.aliases.iter().any(|alias| alias == model);
        provider.is_none_or(|name| self.provider.as_deref() == Some(name)) && model.is_none_or(is_named)
    }

    /// What sets it apart from every other price of the book.
    pub(crate) fn mark(&self) -> String {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        format!("{}\0{}\0{}", text(&self.provider), self.model, text(&self.from))
    }
}

impl From<RouteInfo> for RouteView {
    fn from(of: RouteInfo) -> Self {
        let RouteInfo { route, order, filter, budgets, first_byte_max_ms, stops } = of;
        Self {
            route,
            order,
            r#where: filter.map(|filter| filter.into_iter().collect()),
            budgets,
            first_byte_max_ms,
            stops: stops.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<StopInfo> for StopView {
    fn from(of: StopInfo) -> Self {
        let StopInfo { provider, model, when, priority, filter, providers } = of;
        let providers = providers.into_iter().map(Into::into).collect();
        Self { provider, model, when, priority, r#where: filter.into_iter().collect(), providers }
    }
}

impl From<PriceInfo> for PriceView {
    fn from(of: PriceInfo) -> Self {
        Self {
            provider: of.provider,
            model: of.model,
            aliases: of.aliases,
            from: of.from,
            in_force: of.in_force,
            rates: of.rates.into_iter().map(Into::into).collect(),
            web_search_usd_nano: of.web_search_nano,
            regional_percent: of.regional_percent,
            context_window: of.context_window,
            max_output: of.max_output,
            review_by: of.review_by,
            retires: of.retires,
            source: of.source,
        }
    }
}

impl From<RateInfo> for RateView {
    fn from(of: RateInfo) -> Self {
        let RateInfo { tier, above, input, output, cache_read, cache_write_5m, cache_write_1h, audio_input } = of;
        Self {
            tier,
            above_input_tokens: above,
            input_usd_pico: input,
            output_usd_pico: output,
            cache_read_usd_pico: cache_read,
            cache_write_5m_usd_pico: cache_write_5m,
            cache_write_1h_usd_pico: cache_write_1h,
            audio_input_usd_pico: audio_input,
        }
    }
}
