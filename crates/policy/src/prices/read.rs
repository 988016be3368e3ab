//! Reads the book's own file: one JSON object with dollars per million tokens as decimal text.
//!
//! Prices are text and not JSON numbers, so that no reader can make floats of them. A member that is not known here is
//! an error: a slip in a price's name must not become a price of nothing.

use std::collections::BTreeMap;

use almoner_units::{NanoUsd, PicoUsdPerToken};
use serde::Deserialize;

use super::{Price, PriceBook, Rate, Tier, day};

/// What is wrong with a price book's file.
#[derive(Debug, thiserror::Error)]
pub enum BookError {
    /// It is not JSON of the book's form.
    #[error("the price book cannot be read: {0}")]
    Form(#[from] serde_json::Error),
    /// A value is not what its member's name says.
    #[error("the price book's `{model}`: `{text}` is no {what}")]
    Value {
        /// The model at which it stands.
        model: String,
        /// What it should be.
        what: &'static str,
        /// What it is.
        text: String,
    },
    /// A model has no standard rate from the first token on, or has it not in the first place.
    #[error("the price book's `{0}` must begin with its standard rate from the first token on")]
    NoRate(String),
    /// A name stands for two prices of the same provider and day.
    #[error("the price book's `{0}` stands twice")]
    Twice(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BookFile {
    version: String,
    review_by: String,
    sources: BTreeMap<String, String>,
    models: Vec<ModelFile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ModelFile {
    provider: String,
    model: String,
    #[serde(default)]
    aliases: Vec<String>,
    context_window: Option<u64>,
    max_output: Option<u64>,
    image_tokens: Option<u64>,
    #[serde(default)]
    images_outside_window: bool,
    page_tokens: Option<u64>,
    web_search: Option<String>,
    regional_percent: Option<u64>,
    from: Option<String>,
    review_by: Option<String>,
    retires: Option<String>,
    source: Option<String>,
    rates: Vec<RateFile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RateFile {
    tier: Option<String>,
    #[serde(default)]
    above: u64,
    input: String,
    output: Option<String>,
    cache_read: Option<String>,
    cache_write_5m: Option<String>,
    cache_write_1h: Option<String>,
    audio_input: Option<String>,
}

/// The book in a file's text.
pub(crate) fn book(text: &str) -> Result<PriceBook, BookError> {
    let file: BookFile = serde_json::from_str(text)?;
    let prices: Result<Vec<Price>, BookError> = file.models.iter().map(|model| price(model, &file)).collect();
    let prices = prices?;
    let mut names = std::collections::BTreeSet::new();
    for price in &prices {
        for name in std::iter::once(&price.model).chain(&price.aliases) {
            if !names.insert((&price.provider, name, price.from)) {
                return Err(BookError::Twice(name.clone()));
            }
        }
    }
    Ok(PriceBook::new(file.version, prices))
}

fn price(model: &ModelFile, file: &BookFile) -> Result<Price, BookError> {
    let read_day = |text: &String| value(&model.model, "day", text, day::start_of(text));
    let search = |text: &String| value(&model.model, "amount of dollars", text, text.parse::<NanoUsd>().ok());
    let rates: Result<Vec<Rate>, BookError> = model.rates.iter().map(|rate| read_rate(&model.model, rate)).collect();
    let rates = rates?;
    if rates.first().is_none_or(|rate| rate.tier != Tier::Standard || rate.above != 0) {
        return Err(BookError::NoRate(model.model.clone()));
    }
    Ok(Price {
        provider: model.provider.clone(),
        model: model.model.clone(),
        aliases: model.aliases.clone(),
        rates,
        context_window: model.context_window,
        max_output: model.max_output,
        image_tokens: model.image_tokens,
        images_outside_window: model.images_outside_window,
        page_tokens: model.page_tokens,
        web_search: model.web_search.as_ref().map(search).transpose()?,
        regional_percent: model.regional_percent.unwrap_or(100),
        from: model.from.as_ref().map(read_day).transpose()?,
        review_by: Some(read_day(model.review_by.as_ref().unwrap_or(&file.review_by))?),
        retires: model.retires.as_ref().map(read_day).transpose()?,
        is_unknown: false,
        source: model.source.as_ref().or_else(|| file.sources.get(&model.provider)).cloned().unwrap_or_default(),
    })
}

fn read_rate(model: &str, rate: &RateFile) -> Result<Rate, BookError> {
    let million =
        |text: &String| value(model, "price per million tokens", text, PicoUsdPerToken::per_million(text).ok());
    let optional = |text: &Option<String>| text.as_ref().map(million).transpose();
    let tier = rate.tier.as_ref().map(|name| value(model, "service tier", name, Tier::named(name))).transpose()?;
    Ok(Rate {
        tier: tier.unwrap_or_default(),
        above: rate.above,
        input: million(&rate.input)?,
        // What only reads, such as an embedding, has no output to bill.
        output: optional(&rate.output)?.unwrap_or_default(),
        cache_read: optional(&rate.cache_read)?,
        cache_write_5m: optional(&rate.cache_write_5m)?,
        cache_write_1h: optional(&rate.cache_write_1h)?,
        audio_input: optional(&rate.audio_input)?,
    })
}

fn value<T>(model: &str, what: &'static str, text: &str, read: Option<T>) -> Result<T, BookError> {
    read.ok_or_else(|| BookError::Value { model: model.to_owned(), what, text: text.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(models: &str) -> String {
        format!(r#"{{"version":"t","review_by":"2027-02-23","sources":{{}},"models":[{models}]}}"#)
    }

    #[track_caller]
    fn check_fault(models: &str, says: &str) {
        let error = book(&file(models)).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }

    #[test]
    fn a_fault_in_the_file_is_named() {
        check_fault(r#"{"provider":"p","model":"m","rates":[{"imput":"1"}]}"#, "imput");
        check_fault(r#"{"provider":"p","model":"m","rates":[{"input":"1e3"}]}"#, "`1e3` is no price");
        check_fault(r#"{"provider":"p","model":"m","rates":[{"input":1}]}"#, "cannot be read");
        check_fault(r#"{"provider":"p","model":"m","rates":[]}"#, "standard rate");
        check_fault(r#"{"provider":"p","model":"m","rates":[{"above":5,"input":"1"}]}"#, "standard rate");
        check_fault(
            r#"{"provider":"p","model":"m","rates":[{"tier":"gold","input":"1"}]}"#,
            "`gold` is no service tier",
        );
        check_fault(r#"{"provider":"p","model":"m","from":"soon","rates":[{"input":"1"}]}"#, "`soon` is no day");
        let m = r#"{"provider":"p","model":"m","rates":[{"input":"1"}]}"#;
        check_fault(&format!("{m},{m}"), "stands twice");
    }

    #[test]
    fn the_shipped_book_reads() {
        let book = PriceBook::shipped();
        assert_eq!(book.version(), "2026-11-23");
        assert!(book.prices().len() > 150);
        assert!(book.prices().iter().all(|price| price.source().starts_with("https://")));
    }
}
