//! Fills the price book of `almoner-policy` from a published table of model prices.
//!
//! It promises that no price passes through a float: the decimal text of the table becomes whole pico-dollars, or an
//! error. What the table is known to get wrong is left out rather than mended: prices of 0 (unknown is not free),
//! cache writes cheaper than plain input, models billed in pictures, seconds or searches, models retired for months.
//! Facts the table lacks (image sizes, fast mode, regions) stand in this file, each with its source.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::value::RawValue;

/// When the table was taken, which is the version of the book.
const TAKEN: &str = "2026-11-23";
/// When somebody should look at the providers' pages again: list prices moved about once a quarter in 2026.
const REVIEW_BY: &str = "2027-02-23";
/// A model that was gone by then can no longer be billed.
const GONE_BEFORE: &str = "2026-08-23";

/// The providers of the book, in the order in which a model without a provider is looked for, and their price pages.
const PROVIDERS: [(&str, &str); 7] = [
    ("anthropic", "https://platform.claude.com/docs/en/about-claude/pricing"),
    ("openai", "https://developers.openai.com/api/docs/pricing"),
    ("gemini", "https://ai.google.dev/gemini-api/docs/pricing"),
    ("mistral", "https://mistral.ai/pricing"),
    ("xai", "https://docs.x.ai/docs/models"),
    ("groq", "https://groq.com/pricing"),
    ("deepseek", "https://api-docs.deepseek.com/quick_start/pricing"),
];

/// The table's suffix of each service tier, and the book's name for it.
const TIERS: [(&str, &str); 5] = [
    ("", "standard"),
    ("_batches", "batch"),
    ("_flex", "flex"),
    ("_priority", "priority"),
    ("_ultrafast", "ultrafast"),
];

/// The prices of a rate: the book's name, and the table's.
const PARTS: [(&str, &str); 6] = [
    ("input", "input_cost_per_token"),
    ("output", "output_cost_per_token"),
    ("cache_read", "cache_read_input_token_cost"),
    ("cache_write_5m", "cache_creation_input_token_cost"),
    ("cache_write_1h", "cache_creation_input_token_cost_above_1hr"),
    ("audio_input", "input_cost_per_audio_token"),
];

type Row = BTreeMap<String, Box<RawValue>>;

/// A model as the book keeps it. Two models that are equal but for their names are one, with an alias.
#[derive(Clone, PartialEq, Eq)]
struct Model {
    provider: &'static str,
    facts: BTreeMap<&'static str, u64>,
    web_search: Option<String>,
    retires: Option<String>,
    rates: Vec<Rate>,
}

/// What a token costs in one service tier above one size of input, in pico-dollars by part.
#[derive(Clone, PartialEq, Eq)]
struct Rate {
    tier: &'static str,
    above: u64,
    parts: BTreeMap<&'static str, u64>,
}

/// The text of `crates/policy/prices/book.json` for the table `input`.
///
/// # Errors
/// What the table has that the book cannot hold exactly, and the model it stands at.
pub(crate) fn convert(input: &str) -> Result<String, String> {
    let table: BTreeMap<String, Row> = serde_json::from_str(input).map_err(|error| error.to_string())?;
    let mut lines = Vec::new();
    for (provider, _) in PROVIDERS {
        let models = models_of(provider, &table)?;
        lines.extend(fold_aliases(&models).iter().map(|(name, aliases)| line(name, aliases, &models[name])));
    }
    let pages: Vec<String> = PROVIDERS.iter().map(|(name, page)| format!("    {name:?}: {page:?}")).collect();
    Ok(format!(
        "{{\n  \"version\": {TAKEN:?},\n  \"review_by\": {REVIEW_BY:?},\n  \"sources\": {{\n{}\n  }},\n  \"models\": [\n{}\n  ]\n}}\n",
        pages.join(",\n"),
        lines.join(",\n"),
    ))
}

/// The models of one provider that the book keeps, by the name that a request has.
fn models_of(provider: &'static str, table: &BTreeMap<String, Row>) -> Result<BTreeMap<String, Model>, String> {
    let mut models = BTreeMap::new();
    for (full_name, row) in table {
        if text(row, "litellm_provider").as_deref() != Some(provider) || !is_kept(full_name, row) {
            continue;
        }
        let name = full_name.strip_prefix(provider).and_then(|rest| rest.strip_prefix('/')).unwrap_or(full_name);
        let model = model(provider, name, row).map_err(|error| format!("{full_name}: {error}"))?;
        let Some(model) = model else { continue };
        match models.get(name) {
            Some(known) if *known != model => return Err(format!("{full_name}: stands twice, at two prices")),
            _ => models.insert(name.to_owned(), model),
        };
    }
    Ok(models)
}

/// Whether a model is billed by the token of text and can still be called.
fn is_kept(name: &str, row: &Row) -> bool {
    let is_text = text(row, "mode").is_some_and(|mode| ["chat", "responses", "embedding"].contains(&mode.as_str()));
    // Their bill is not a function of the request: they search, speak, train or call other models on their own.
    let by_name = ["ft:", "search", "audio", "tts", "deep-research", "computer-use", "multi-agent", "beta", "exp"];
    let other_units = ["output_cost_per_audio_token", "output_cost_per_image", "output_cost_per_video_token"];
    is_text
        && !by_name.iter().any(|part| name.contains(part))
        && !other_units.iter().any(|key| row.contains_key(*key))
        && text(row, "deprecation_date").is_none_or(|day| day.as_str() >= GONE_BEFORE)
}

/// The model in `row`, or nothing where the table does not know its price.
fn model(provider: &'static str, name: &str, row: &Row) -> Result<Option<Model>, String> {
    let input = price(row, "input_cost_per_token")?.unwrap_or(0);
    let output = price(row, "output_cost_per_token")?.unwrap_or(0);
    let is_embedding = text(row, "mode").is_some_and(|mode| mode == "embedding");
    if input == 0 || (output == 0 && !is_embedding) {
        return Ok(None);
    }
    if price(row, "output_cost_per_reasoning_token")?.is_some_and(|reasoning| reasoning > output) {
        return Err("reasoning is dearer than output, which the book cannot say".to_owned());
    }
    let mut rates = rates(provider, row)?;
    rates.extend(fast(provider, name, &rates[0]));
    for rate in &mut rates {
        rate.parts.extend(sound(provider, name).map(|pico| ("audio_input", pico)));
    }
    let mut facts = known_facts(provider, name);
    for (fact, key) in [("context_window", "max_input_tokens"), ("max_output", "max_output_tokens")] {
        facts.extend(row.get(key).and_then(|raw| raw.get().parse().ok()).map(|count| (fact, count)));
    }
    let web_search = web_search(provider, row)?;
    Ok(Some(Model { provider, facts, web_search, retires: text(row, "deprecation_date"), rates }))
}

/// Every tier at every size of input that the table knows, each complete, the standard one first.
fn rates(provider: &str, row: &Row) -> Result<Vec<Rate>, String> {
    let mut rates: Vec<Rate> = Vec::new();
    for (suffix, tier) in TIERS {
        for above in thresholds(row) {
            let size = if above == 0 { String::new() } else { format!("_above_{}k_tokens", above / 1000) };
            let mut parts = BTreeMap::new();
            for (part, key) in PARTS {
                parts.extend(price(row, &format!("{key}{size}{suffix}"))?.map(|pico| (part, pico)));
            }
            if !(parts.contains_key("input") || parts.contains_key("output")) {
                continue;
            }
            complete(&mut parts, &rates, tier, above);
            settle_writes(provider, &mut parts);
            // GPT-5 nano has the priority price of another model in the table, and no such class at the provider.
            if tier != "standard" && parts["output"] < parts["input"] && parts["output"] > 0 {
                continue;
            }
            rates.push(Rate { tier, above, parts });
        }
    }
    Ok(rates)
}

/// Fills what the table leaves out of a rate by the dearer of the same tier's lower size and the standard tier's
/// same size, so that a gap is never a discount.
fn complete(parts: &mut BTreeMap<&'static str, u64>, known: &[Rate], tier: &str, above: u64) {
    let kin = known
        .iter()
        .filter(|rate| (rate.tier == tier && rate.above < above) || (rate.tier == "standard" && rate.above == above));
    let mut dearest: BTreeMap<&'static str, u64> = BTreeMap::new();
    for (part, pico) in kin.flat_map(|rate| &rate.parts) {
        let most = dearest.entry(part).or_insert(0);
        *most = (*most).max(*pico);
    }
    for (part, pico) in dearest {
        // Writes follow from the input of their own rate, below.
        if !part.starts_with("cache_write") {
            parts.entry(part).or_insert(pico);
        }
    }
}

/// Drops cache writes cheaper than plain input, which are faults of the table, and gives Anthropic's the documented
/// 1.25 and 2 times input where the table has none.
/// Source: <https://platform.claude.com/docs/en/build-with-claude/prompt-caching>
fn settle_writes(provider: &str, parts: &mut BTreeMap<&'static str, u64>) {
    let input = parts.get("input").copied().unwrap_or(0);
    parts.retain(|part, pico| !part.starts_with("cache_write") || *pico >= input);
    if provider == "anthropic" {
        parts.entry("cache_write_5m").or_insert((input * 5).div_ceil(4));
        parts.entry("cache_write_1h").or_insert(input * 2);
    }
}

/// The sizes of input from which the table has other prices, 0 first.
fn thresholds(row: &Row) -> BTreeSet<u64> {
    let above = |key: &String| -> Option<u64> {
        let thousands = key.strip_prefix("input_cost_per_token_above_")?.strip_suffix("k_tokens")?;
        thousands.parse::<u64>().ok().map(|thousands| thousands * 1000)
    };
    row.keys().filter_map(above).chain([0]).collect()
}

/// Fast mode, which the table lacks: twice the standard rate, caches included, where a price is published.
///
/// As of 2026-11-23:
/// - Opus 4.8 and Opus 5: $10 and $50, by platform.claude.com/docs/en/build-with-claude/fast-mode; openrouter.ai and
///   vercel.com list the same for Opus 5.
/// - Opus 5.5 and Fable 5.2: the same page supports them, and its price for them is not known here. So they have no
///   rate, and are refused by name.
/// - Opus 4.6 and 4.7: no longer supported (4.7 until 2026-07-24, by code.claude.com/docs/en/fast-mode).
fn fast(provider: &str, name: &str, standard: &Rate) -> Option<Rate> {
    let is_fast = provider == "anthropic" && (name.starts_with("claude-opus-5") || name.starts_with("claude-opus-4-8"));
    // What Opus 5.5 costs in fast mode is not known here, so it has no rate and is refused.
    let is_known = is_fast && !name.starts_with("claude-opus-5-5");
    is_known.then(|| Rate {
        tier: "fast",
        above: 0,
        parts: standard.parts.iter().map(|(part, pico)| (*part, pico * 2)).collect(),
    })
}

/// What a token of sound costs where the table has no price for it, in pico-dollars.
///
/// Mistral bills what Voxtral Small hears by the second. As of 2026-11-23 the dearest price found for it is $100 for a
/// million seconds, as openrouter.ai lists the model; at 12.5 tokens a second that is $8 for a million tokens.
fn sound(provider: &str, name: &str) -> Option<u64> {
    (provider == "mistral" && name.starts_with("voxtral-small")).then_some(8_000_000)
}

/// What the table lacks: the most tokens an image can cost, and the surcharge in percent for inference that is pinned
/// to a region.
///
/// A page of a document has no maximum: 1,500 to 3,000 tokens of text beside the page as an image are a usual
/// range, and a page crowded on purpose has more. So the book gives none, and a document counts as the window.
/// Source: <https://platform.claude.com/docs/en/build-with-claude/pdf-support>
fn known_facts(provider: &str, name: &str) -> BTreeMap<&'static str, u64> {
    let mut facts = BTreeMap::new();
    facts.extend(image_tokens(provider, name).map(|tokens| ("image_tokens", tokens)));
    if has_regional_surcharge(provider, name) {
        facts.insert("regional_percent", 110);
    }
    facts
}

/// Whether a model costs a tenth more where inference is pinned to a region.
///
/// As of 2026-11-23:
/// - Anthropic: from Opus 4.6 and Sonnet 4.6 on; the models named 4.5 refuse the member. By
///   platform.claude.com/docs/en/manage-claude/data-residency, and 1.1 times by docs.aws.amazon.com/claude-platform.
/// - OpenAI: what was released from 5 March 2026 on, which is GPT-5.4, at its regional addresses; names that move are
///   taken for new. By developers.openai.com/api/docs/guides/data-residency.
fn has_regional_surcharge(provider: &str, name: &str) -> bool {
    let since_gpt_5_4 =
        ["gpt-5.4", "gpt-5.5", "gpt-5.6", "gpt-6", "gpt-daybreak", "daybreak", "gpt-rosalind", "chat-latest"];
    match provider {
        "anthropic" => !name.contains("-4-5"),
        "openai" => since_gpt_5_4.iter().any(|start| name.starts_with(start)),
        _ => false,
    }
}

/// The most tokens one image can cost; nothing where no maximum is documented, so that it counts as a whole context
/// window.
///
/// As of 2026-11-23:
/// - Anthropic: a token for each 28 × 28 pixels after scaling, 4,784 from Opus 4.7 on and about 1,600 before; 4,800 for
///   all. By platform.claude.com/docs/en/build-with-claude/vision.
/// - GPT-4o, GPT-4 Turbo, o1 and o3: 85, and 170 for each of at most 8 tiles (2,048 × 768 pixels in tiles of 512).
///   GPT-4o mini: 2,833, and 5,667 for each. By developers.openai.com/api/docs/guides/images-vision, as the next.
/// - GPT-4.1, o4-mini and GPT-5 to 5.3: at most 1,536 patches of 32 × 32, times at most 2.46 (nano), which is 3,779.
/// - GPT-5.4 and GPT-5.5: at most 10,000 patches in their original size, times at most 2.46.
/// - GPT-5.6, GPT-6 and names that move: no maximum.
/// - Gemini 3 and 4: 2,240 at ultra-high resolution. By ai.google.dev/gemini-api/docs/media-resolution.
fn image_tokens(provider: &str, name: &str) -> Option<u64> {
    let starts = |prefixes: &[&str]| prefixes.iter().any(|prefix| name.starts_with(prefix));
    match provider {
        "anthropic" => Some(4_800),
        "openai" if starts(&["gpt-4o-mini"]) => Some(2_833 + 8 * 5_667),
        "openai" if starts(&["gpt-4o", "gpt-4-turbo", "o1", "o3"]) => Some(85 + 8 * 170),
        "openai" if starts(&["gpt-4.1", "o4-mini"]) => Some(3_800),
        "openai" if starts(&["gpt-5.6", "gpt-6", "gpt-daybreak", "daybreak", "chat-latest"]) => None,
        "openai" if starts(&["gpt-5.4", "gpt-5.5"]) => Some(24_600),
        "openai" if starts(&["gpt-5"]) => Some(3_800),
        "gemini" if starts(&["gemini-3", "gemini-4"]) => Some(2_300),
        _ => None,
    }
}

/// What one web search costs in dollars.
fn web_search(provider: &str, row: &Row) -> Result<Option<String>, String> {
    // Source: https://platform.claude.com/docs/en/about-claude/pricing, $10 per 1,000 on every model.
    if provider == "anthropic" {
        return Ok(Some("0.01".to_owned()));
    }
    let Some(raw) = row.get("search_context_cost_per_query") else { return Ok(None) };
    let sizes: BTreeMap<String, Box<RawValue>> = serde_json::from_str(raw.get()).map_err(|error| error.to_string())?;
    let picos: Result<Vec<u64>, String> = sizes.values().map(|raw| pico(raw.get())).collect();
    Ok(picos?.into_iter().max().map(|dearest| decimal(dearest, 12)))
}

/// The names that stand for themselves, each with the dated and `-latest` names that are the same model at the same
/// price.
fn fold_aliases(models: &BTreeMap<String, Model>) -> BTreeMap<String, Vec<String>> {
    let mut folded: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, model) in models {
        let twin = undated(name).filter(|short| models.get(*short).is_some_and(|known| is_same(known, model)));
        match twin {
            Some(short) => folded.entry(short.to_owned()).or_default().push(name.clone()),
            None => drop(folded.entry(name.clone()).or_default()),
        }
    }
    folded
}

/// Whether two names cost the same; a dated name may have an end that its undated name does not.
fn is_same(one: &Model, other: &Model) -> bool {
    let timeless = |model: &Model| Model { retires: None, ..model.clone() };
    timeless(one) == timeless(other)
}

/// `claude-x` of `claude-x-20250929`, `gpt-x` of `gpt-x-2025-08-07`, `grok-x` of `grok-x-0309` and `grok-x-latest`.
fn undated(name: &str) -> Option<&str> {
    let is_date = |text: &str| ["0000", "00000000", "0000-00-00"].contains(&shape(text).as_str());
    let mut cuts = name.match_indices('-').map(|(at, _)| (&name[..at], &name[at + 1..]));
    cuts.find(|(_, rest)| *rest == "latest" || is_date(rest)).map(|(short, _)| short)
}

/// The text with a 0 for every digit.
fn shape(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect()
}

/// One model as one line of the book.
fn line(name: &str, aliases: &[String], model: &Model) -> String {
    let mut members = vec![format!("\"provider\":{:?},\"model\":{name:?}", model.provider)];
    if !aliases.is_empty() {
        members.push(format!("\"aliases\":{aliases:?}").replace(", ", ","));
    }
    members.extend(model.facts.iter().map(|(fact, count)| format!("{fact:?}:{count}")));
    // Its images are billed at 33 times the tokens that they are, as the vision guide says.
    if model.provider == "openai" && name.starts_with("gpt-4o-mini") {
        members.push("\"images_outside_window\":true".to_owned());
    }
    members.extend(model.web_search.iter().map(|dollars| format!("\"web_search\":{dollars:?}")));
    members.extend(model.retires.iter().map(|day| format!("\"retires\":{day:?}")));
    let rates: Vec<String> = model.rates.iter().map(rate_object).collect();
    members.push(format!("\"rates\":[\n      {}]", rates.join(",\n      ")));
    format!("    {{{}}}", members.join(","))
}

fn rate_object(rate: &Rate) -> String {
    let mut members = Vec::new();
    if rate.tier != "standard" {
        members.push(format!("\"tier\":{:?}", rate.tier));
    }
    if rate.above > 0 {
        members.push(format!("\"above\":{}", rate.above));
    }
    let priced = PARTS.iter().filter_map(|(part, _)| Some((part, rate.parts.get(part)?)));
    members.extend(priced.map(|(part, pico)| format!("{part:?}:\"{}\"", decimal(*pico, 6))));
    format!("{{{}}}", members.join(","))
}

fn text(row: &Row, key: &str) -> Option<String> {
    row.get(key).and_then(|raw| serde_json::from_str(raw.get()).ok())
}

fn price(row: &Row, key: &str) -> Result<Option<u64>, String> {
    row.get(key).map(|raw| pico(raw.get()).map_err(|error| format!("{key}: {error}"))).transpose()
}

/// Reads a decimal number of dollars, such as `1.25e-06`, as whole pico-dollars.
fn pico(text: &str) -> Result<u64, String> {
    let bad = || format!("`{text}` is no whole number of pico-dollars");
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let fraction = fraction.trim_end_matches('0');
    let shift = exponent.parse::<i32>().map_err(|_| bad())? + 12 - i32::try_from(fraction.len()).map_err(|_| bad())?;
    let digits: u64 = format!("{whole}{fraction}").parse().map_err(|_| bad())?;
    if digits == 0 {
        return Ok(0);
    }
    // A whole number may end in zeros that the exponent takes back: `10e-13` is 1 pico-dollar.
    let power = 10_u64.checked_pow(shift.unsigned_abs()).ok_or_else(bad)?;
    if shift >= 0 {
        return digits.checked_mul(power).ok_or_else(bad);
    }
    digits.is_multiple_of(power).then_some(digits / power).ok_or_else(bad)
}

/// `amount` × 10^-`places` as the shortest decimal text.
fn decimal(amount: u64, places: u32) -> String {
    let unit = 10_u64.pow(places);
    let fraction = format!("{:0width$}", amount % unit, width = places as usize);
    let text = format!("{}.{}", amount / unit, fraction.trim_end_matches('0'));
    text.trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decimal_text_becomes_whole_pico_dollars_or_an_error() {
        let cases = [("1.25e-06", 1_250_000), ("3e-07", 300_000), ("1.71875e-07", 171_875), ("0.01", 10_000_000_000)];
        for (text, whole) in cases {
            assert_eq!(pico(text), Ok(whole), "{text}");
        }
        assert_eq!(pico("0.0"), Ok(0));
        assert_eq!(pico("10e-13"), Ok(1));
        for bad in ["1e-13", "-1e-06", "null", "1e99", "1.5e-12"] {
            assert!(pico(bad).is_err(), "{bad}");
        }
        assert_eq!(decimal(1_250_000, 6), "1.25");
        assert_eq!(decimal(10_000_000_000, 12), "0.01");
        assert_eq!(decimal(5_000_000, 6), "5");
    }

    #[test]
    fn a_dated_name_is_an_alias_only_at_the_same_price() {
        assert_eq!(undated("claude-sonnet-4-5-20250929"), Some("claude-sonnet-4-5"));
        assert_eq!(undated("gpt-5-2025-08-07"), Some("gpt-5"));
        assert_eq!(undated("gpt-4-0613"), Some("gpt-4"));
        assert_eq!(undated("grok-4.3-latest"), Some("grok-4.3"));
        assert_eq!(undated("gpt-5"), None);
        assert_eq!(undated("claude-opus-4-5"), None);
        assert_eq!(undated("claude-haiku-4-5-20251001"), Some("claude-haiku-4-5"));
    }

    #[test]
    fn the_committed_book_is_what_the_table_gives() {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
        let Ok(table) = std::fs::read_to_string(format!("{root}/../shared/prices/model-prices.json")) else {
            return println!("skipped: ../shared/prices is not here");
        };
        let book = std::fs::read_to_string(format!("{root}/crates/policy/prices/book.json")).unwrap();
        assert!(convert(&table).unwrap() == book, "book.json is not what `cargo xtask prices convert` prints");
    }
}
