//! Prices of the user's own, laid over the price book.

use almoner_units::PicoUsdPerToken;

use crate::fields::Fields;
use crate::layers::Origin;
use crate::problem::Report;
use crate::tree::Node;
use crate::value;

/// The price of a model, as its user knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserPrice {
    /// The model, by its exact name.
    pub model: String,
    /// The provider at which it costs this; every one, where none is named.
    pub provider: Option<String>,
    /// Of a token of input.
    pub input: PicoUsdPerToken,
    /// Of a token of output.
    pub output: PicoUsdPerToken,
    /// Of a token read from a cache.
    pub cache_read: Option<PicoUsdPerToken>,
    /// Of a token written to a cache for five minutes.
    pub cache_write_5m: Option<PicoUsdPerToken>,
    /// Of a token written to a cache for an hour.
    pub cache_write_1h: Option<PicoUsdPerToken>,
    /// How many tokens the model can take in.
    pub context_window: Option<u64>,
    /// How many tokens it can put out.
    pub max_output: Option<u64>,
}

const KEYS: [&str; 9] = [
    "model",
    "provider",
    "input",
    "output",
    "cache_read",
    "cache_write_5m",
    "cache_write_1h",
    "context_window",
    "max_output",
];

/// More tokens than any model will take for long.
const TOKENS_MAX: u64 = 1_000_000_000;

pub(crate) fn price(node: &Node, report: &mut Report) -> Option<UserPrice> {
    let fields = Fields::open(node, "a price", &KEYS, report)?;
    let model = fields.need("model", report).and_then(|node| report.take(value::text(node)));
    let provider = fields.get("provider").map(|node| report.take(value::text(node).map(str::to_owned)));
    let [input, output] =
        ["input", "output"].map(|key| fields.need(key, report).and_then(|node| report.take(value::price(node))));
    let [cache_read, cache_write_5m, cache_write_1h] = ["cache_read", "cache_write_5m", "cache_write_1h"]
        .map(|key| fields.get(key).map(|node| report.take(value::price(node))));
    let [context_window, max_output] = ["context_window", "max_output"]
        .map(|key| fields.get(key).map(|node| report.take(value::count(1..=TOKENS_MAX)(node))));
    let price = UserPrice {
        model: model?.to_owned(),
        provider: given(provider)?,
        input: input?,
        output: output?,
        cache_read: given(cache_read)?,
        cache_write_5m: given(cache_write_5m)?,
        cache_write_1h: given(cache_write_1h)?,
        context_window: given(context_window)?,
        max_output: given(max_output)?,
    };
    let shown = format!("input {}, output {} per million tokens", price.input, price.output);
    let origin = Origin::File(report.texts.locate(fields.place));
    report.note(format!("price.{}", price.model), &shown, origin);
    Some(price)
}

/// What may be absent, unless it was there and bad.
fn given<T>(value: Option<Option<T>>) -> Option<Option<T>> {
    match value {
        Some(None) => None,
        Some(value) => Some(value),
        None => Some(None),
    }
}
