//! Routes and prices as they travel.

use serde::{Deserialize, Serialize};

use crate::ProviderInfo;

/// A route: which calls take it, and where it leads.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteInfo {
    /// Its name.
    pub route: String,
    /// In which place it is looked at, from 1 on.
    pub order: u64,
    /// The labels of the calls that take it, as patterns; none: only those that a budget sends here.
    pub filter: Option<Vec<(String, String)>>,
    /// The budgets that send here what they refuse.
    pub budgets: Vec<String>,
    /// How long a stop that another can stand in for may take to begin its answer, in milliseconds.
    pub first_byte_max_ms: Option<u64>,
    /// Where it leads, in order.
    pub stops: Vec<StopInfo>,
}

/// Where a call can go.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopInfo {
    /// The provider; none: the one that serves the model.
    pub provider: Option<String>,
    /// The model; none: the one that the call asks for.
    pub model: Option<String>,
    /// For which reasons a call goes on to it; empty: for any, and without one.
    pub when: Vec<String>,
    /// Which priorities it takes; empty: every one.
    pub priority: Vec<String>,
    /// The labels of the calls that it takes, as patterns.
    pub filter: Vec<(String, String)>,
    /// Who can serve it, and how they are.
    pub providers: Vec<ProviderInfo>,
}

/// What a model costs at a provider.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PriceInfo {
    /// The provider as the price book names it; none: wherever the model is served.
    pub provider: Option<String>,
    /// The model.
    pub model: String,
    /// Other names of the same model.
    pub aliases: Vec<String>,
    /// From when it holds; none: always, or since before anything older is known.
    pub from: Option<String>,
    /// Whether it is the one that is charged now.
    pub in_force: bool,
    /// What tokens cost, the list price first.
    pub rates: Vec<RateInfo>,
    /// What one web search by the provider costs, in nano-dollars; none: nobody knows.
    pub web_search_nano: Option<u64>,
    /// What every token costs where inference is pinned to a region, in percent of the rate.
    pub regional_percent: u64,
    /// The most tokens of input that the model takes.
    pub context_window: Option<u64>,
    /// The most tokens of output that it gives.
    pub max_output: Option<u64>,
    /// When somebody should look at the price again.
    pub review_by: Option<String>,
    /// When the provider stops serving the model.
    pub retires: Option<String>,
    /// Where the price is from.
    pub source: String,
}

/// What a token of each kind costs, in pico-dollars, which is the dollars of a million tokens times a million.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RateInfo {
    /// The class of service.
    pub tier: String,
    /// It holds for calls with more tokens of input than this.
    pub above: u64,
    /// Input that is neither read from nor written to a cache.
    pub input: u64,
    /// Output, reasoning included.
    pub output: u64,
    /// Input read from a cache.
    pub cache_read: u64,
    /// Input written to a cache for five minutes.
    pub cache_write_5m: u64,
    /// Input written to a cache for an hour.
    pub cache_write_1h: u64,
    /// A token of sound.
    pub audio_input: u64,
}
