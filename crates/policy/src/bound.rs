//! The bound: what a request can cost at most, before it is sent.
//!
//! It promises that no usage a provider may report for the request costs more than [`Ask::charge_at`] of the cap it
//! was sent with. What it cannot promise is refused by name ([`Unboundable`]) or listed by name
//! ([`Bound::unbounded`]). It rests on three facts: a token covers at least one byte of the text or of its NFKC form;
//! no sampling reads more than the model's context window; and the provider holds to the cap on output, but for up to
//! 16 tokens.

mod nfkc;
mod overheads;
mod shape;

pub use nfkc::text_bytes_nfkc;
pub use overheads::Overheads;
pub use shape::{ServerTool, Shape};

use almoner_units::{Ask, Charge, Meter, NanoUsd, PicoUsdPerToken};

use crate::{Price, Reach, Tier, TierAnswer, Writes};

/// Tokens that a provider may bill past the cap of each answer: stop and end-of-text.
const PAST_THE_CAP: u64 = 16;
/// What a message costs beside its text, in tokens.
const PER_MESSAGE: u64 = 8;
/// What a tool costs beside its text, in tokens.
const PER_TOOL: u64 = 64;
/// The window that a beta asks for, in tokens.
const LONG_WINDOW: u64 = 1_000_000;
/// What stands for the window of a free model whose own is not known: more than local servers load by default. It
/// replaces what cannot be measured, and caps nothing.
const LOCAL_WINDOW: u64 = 131_072;

/// What the config says about bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BoundSettings {
    /// The most tokens of output that any call may have.
    pub max_output: u64,
    /// The cap of a call that asks for none.
    pub default_output: u64,
    /// What to allow for the model's hidden template, from [`Overheads::of`].
    pub overhead: u64,
    /// The tier of a call that asks for none, where the provider's own default is known; `None`: the dearest that a
    /// provider may choose unasked.
    pub service_tier: Option<Tier>,
    /// Whether the account's inference is known not to be pinned to a region.
    pub is_global: bool,
}

impl Default for BoundSettings {
    fn default() -> Self {
        Self {
            max_output: 32_000,
            default_output: 4_096,
            overhead: Overheads::FLOOR,
            service_tier: None,
            is_global: false,
        }
    }
}

/// Tokens that somebody counted, for a bound tighter than bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// The text and the messages' frames, counted here.
    Text(u64),
    /// The whole body, counted by the provider: text, tools, images and documents.
    Body(u64),
}

/// What a request can cost at most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    /// The cost as a function of the cap on output.
    pub ask: Ask,
    /// The most tokens of input, of all samplings together.
    pub input_tokens_max: u64,
    /// The price that each of them is held at.
    pub input_price: PicoUsdPerToken,
    /// What the tokens of input are made of, for `explain`; a part the window cuts short stands here uncut.
    pub parts: Vec<(String, u64)>,
    /// What of this request nobody here can bound, by name.
    pub unbounded: Vec<String>,
}

/// Why a request has no bound, and is refused under a hard budget.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unboundable {
    /// Something whose usage nobody here gets to see.
    #[error("what {0} costs is not metered; leave it out")]
    Unmetered(String),
    /// A tool that the provider runs as often as it likes.
    #[error("the provider may use `{0}` without limit; {advice}, or leave it out", advice = advice(.0))]
    NoLimit(String),
    /// A tool whose use has a price that is not known.
    #[error("what a use of `{tool}` costs on `{model}` is not known; add it to a [[price]], or leave the tool out")]
    NoToolPrice {
        /// The tool.
        tool: String,
        /// The model.
        model: String,
    },
    /// Input that only the context window bounds, on a model whose window is not known.
    #[error("{what} can fill the context window of `{model}`, which is not known; add it to a [[price]]")]
    NoWindow {
        /// The input.
        what: String,
        /// The model.
        model: String,
    },
    /// A class of service whose price is not known.
    #[error("what `{model}` costs in `{tier}` mode is not known; ask for the standard tier, or add a [[price]]")]
    NoTierPrice {
        /// The model.
        model: String,
        /// The class of service.
        tier: String,
    },
    /// The sum is more than the ledger can count.
    #[error("the request may cost more than the ledger can count")]
    TooLarge,
}

/// What to do instead of using what has no limit. None of these tells how often it runs in one call: Anthropic's loop
/// ends at an iteration limit that its documents do not number, and OpenAI's chat answers do not count their searches.
fn advice(name: &str) -> &'static str {
    let table = [
        ("mcp", "connect to the MCP server from the client, and pass its tools as your own"),
        ("code_execution", "run the code in the client, with a tool of your own"),
        ("tool_search", "search in the client and answer with `tool_reference` blocks, or load every tool"),
        ("web_search_options", "search with a tool of your own"),
        ("compaction", "use `context_management` with a `compact_20260112` edit, which has a bound"),
        ("web_", "let the model alone use it (`\"allowed_callers\": [\"direct\"]`)"),
    ];
    let known = table.into_iter().find(|(start, _)| name.starts_with(start));
    known.map_or("put the call under a budget of mode `warn`, which counts and does not refuse", |(_, advice)| advice)
}

/// What a request can cost at most, by its bytes.
///
/// # Errors
/// [`Unboundable`] where something in it has no bound.
pub fn bound(shape: &Shape, price: &Price, settings: &BoundSettings) -> Result<Bound, Unboundable> {
    bound_of(shape, price, settings, by_bytes(shape, settings))
}

/// What a request can cost at most, by a count of its tokens and 2 % and 64 more; never above the bound by its bytes.
///
/// # Errors
/// [`Unboundable`] where something in it has no bound.
pub fn bound_counted(
    shape: &Shape,
    counted: Counted,
    price: &Price,
    settings: &BoundSettings,
) -> Result<Bound, Unboundable> {
    let by_bytes = bound(shape, price, settings)?;
    let measured = match counted {
        Counted::Text(tokens) => Measured {
            parts: vec![part("counted text", with_margin(tokens)), part("tools", shape.tools.saturating_mul(PER_TOOL))],
            has_media: false,
        },
        Counted::Body(tokens) => Measured { parts: vec![part("counted body", with_margin(tokens))], has_media: true },
    };
    let by_count = bound_of(shape, price, settings, measured)?;
    let is_tighter = by_count.input_tokens_max < by_bytes.input_tokens_max;
    Ok(if is_tighter { by_count } else { by_bytes })
}

fn with_margin(tokens: u64) -> u64 {
    tokens.saturating_add(tokens.div_ceil(50)).saturating_add(64)
}

/// The parts of the input that were measured, and whether images and documents are among them.
struct Measured {
    parts: Vec<(String, u64)>,
    has_media: bool,
}

fn by_bytes(shape: &Shape, settings: &BoundSettings) -> Measured {
    let parts = vec![
        part("text", shape.text_bytes.max(shape.text_bytes_nfkc)),
        part("hidden template", settings.overhead),
        part("messages", shape.messages.saturating_mul(PER_MESSAGE)),
        part("tools", shape.tools.saturating_mul(PER_TOOL)),
    ];
    Measured { parts, has_media: false }
}

fn part(name: &str, tokens: u64) -> (String, u64) {
    (name.to_owned(), tokens)
}

fn sum(parts: &[(String, u64)]) -> u64 {
    parts.iter().fold(0, |sum, (_, tokens)| sum.saturating_add(*tokens))
}

fn bound_of(shape: &Shape, price: &Price, settings: &BoundSettings, measured: Measured) -> Result<Bound, Unboundable> {
    if let Some(what) = shape.unmetered.first() {
        return Err(Unboundable::Unmetered(what.clone()));
    }
    let first = first_input(shape, price, measured)?;
    let mut tools = tools_input(shape, price)?;
    add_compactions(&mut tools, shape, price, first.tokens)?;
    let input = first.tokens.saturating_add(tools.tokens);
    let (reach, unbounded) = reach(shape, price, settings, input)?;
    let input_price = dearest(shape, price, |price| price.dearest_input(&reach));
    let output_price = dearest(shape, price, |price| price.dearest_output(&reach));
    let past_the_cap = PAST_THE_CAP.saturating_mul(choices(shape)).saturating_mul(tools.samplings);
    let beyond = past_the_cap.saturating_add(shape.output_beyond_cap).saturating_add(tools.output);
    let fixed = fixed(input, input_price, beyond, output_price, tools.uses_cost).ok_or(Unboundable::TooLarge)?;
    let ask = Ask::new(fixed, choices(shape), output_price, cap(shape, price, settings));
    let mut parts = first.parts;
    parts.extend(tools.parts);
    parts.push(part("output past the cap", beyond));
    Ok(Bound { ask, input_tokens_max: input, input_price, parts, unbounded })
}

/// What the call costs before its first token of output under the cap; `None` where a sum leaves its type.
fn fixed(
    input: u64,
    input_price: PicoUsdPerToken,
    output: u64,
    output_price: PicoUsdPerToken,
    uses: NanoUsd,
) -> Option<Charge> {
    let pico = NanoUsd::pico(input_price, input).checked_add(NanoUsd::pico(output_price, output))?;
    let mut fixed = Charge::ZERO;
    fixed[Meter::Tokens] = input.checked_add(output)?;
    fixed[Meter::UncachedTokens] = fixed[Meter::Tokens];
    fixed[Meter::InputTokens] = input;
    fixed[Meter::OutputTokens] = output;
    fixed[Meter::Requests] = 1;
    fixed[Meter::Usd] = NanoUsd::from_pico(pico)?.checked_add(uses)?.get();
    Some(fixed)
}

/// The least of what was asked, what the model gives and what the config allows; where nothing was asked, the
/// config's default on top of the thinking.
fn cap(shape: &Shape, price: &Price, settings: &BoundSettings) -> u64 {
    let default = || settings.default_output.saturating_add(shape.thinking.unwrap_or(0));
    let asked = shape.max_output.unwrap_or_else(default);
    asked.min(price.max_output().unwrap_or(u64::MAX)).min(settings.max_output)
}

fn choices(shape: &Shape) -> u64 {
    shape.choices.max(1)
}

/// What the first sampling reads.
struct FirstInput {
    tokens: u64,
    parts: Vec<(String, u64)>,
}

/// The input of the first sampling: what was measured and what it shows, no more than the window; or the whole window
/// where something in it cannot be measured.
fn first_input(shape: &Shape, price: &Price, measured: Measured) -> Result<FirstInput, Unboundable> {
    let media = media(shape, price, measured.has_media);
    let mut parts = measured.parts;
    parts.extend(media.inside);
    let inside = match media.unmeasured.first() {
        Some(what) => {
            let window = window(shape, price, what)?;
            parts.push((format!("context window, for {}", media.unmeasured.join(", ")), window));
            window
        }
        None => known_window(shape, price).unwrap_or(u64::MAX).min(sum(&parts)),
    };
    let tokens = inside.saturating_add(sum(&media.outside));
    parts.extend(media.outside);
    Ok(FirstInput { tokens, parts })
}

/// What a request shows and plays beside its text.
struct Media<'a> {
    /// Tokens that take room in the window.
    inside: Vec<(String, u64)>,
    /// Tokens that are only billed.
    outside: Vec<(String, u64)>,
    /// What has no known maximum but the window.
    unmeasured: Vec<&'a str>,
}

/// The media of a request, but for those that are already `counted`.
fn media<'a>(shape: &'a Shape, price: &Price, counted: bool) -> Media<'a> {
    let mut media = Media { inside: Vec::new(), outside: Vec::new(), unmeasured: Vec::new() };
    media.unmeasured.extend(shape.opaque.iter().map(String::as_str));
    if shape.sounds > 0 {
        media.unmeasured.push("sound");
    }
    if !price.images_fill_window() {
        // Whoever counts an image may count what it is, and not what it is billed at.
        media.outside.extend(price.image_tokens().map(|each| part("images", shape.images.saturating_mul(each))));
    } else if !counted {
        media.add("images", "an image", shape.images, price.image_tokens());
    }
    if !counted {
        media.add("pages", "a document", shape.pages, price.page_tokens());
        media.add("documents", "a document", shape.documents, None);
    }
    media
}

impl Media<'_> {
    fn add(&mut self, name: &str, one: &'static str, count: u64, each: Option<u64>) {
        match each {
            _ if count == 0 => {}
            Some(each) => self.inside.push(part(name, count.saturating_mul(each))),
            None => self.unmeasured.push(one),
        }
    }
}

/// The most that one sampling can read of all its inputs, where it is known.
fn known_window(shape: &Shape, price: &Price) -> Option<u64> {
    let window = price.context_window()?;
    let window = if shape.long_context { window.max(LONG_WINDOW) } else { window };
    Some(window.saturating_mul(shape.inputs.max(1)))
}

/// The most that one sampling can read, where `what` can fill it.
fn window(shape: &Shape, price: &Price, what: &str) -> Result<u64, Unboundable> {
    let local = || price.is_free().then(|| LOCAL_WINDOW.saturating_mul(shape.inputs.max(1)));
    let no_window = || Unboundable::NoWindow { what: what.to_owned(), model: price.model().to_owned() };
    known_window(shape, price).or_else(local).ok_or_else(no_window)
}

/// What the provider's own doings add: a whole window for each sampling after the first.
struct ToolsInput {
    tokens: u64,
    samplings: u64,
    output: u64,
    uses_cost: NanoUsd,
    parts: Vec<(String, u64)>,
}

fn tools_input(shape: &Shape, price: &Price) -> Result<ToolsInput, Unboundable> {
    let mut all = ToolsInput { tokens: 0, samplings: 1, output: 0, uses_cost: NanoUsd::ZERO, parts: Vec::new() };
    for tool in &shape.server_tools {
        let uses = tool.max_uses.ok_or_else(|| Unboundable::NoLimit(tool.name.clone()))?;
        let own = window(shape, price, &tool.name)?;
        // A model that is brought in reads a window of its own, beside the one that asked it.
        let brought = tool.brings.as_ref().map_or(Ok(0), |other| window(shape, other, &tool.name))?;
        let tokens = own.saturating_add(brought).saturating_mul(uses);
        let cost = u64::checked_mul(use_cost(tool, price)?.get(), uses).ok_or(Unboundable::TooLarge)?;
        all.uses_cost = all.uses_cost.checked_add(NanoUsd::new(cost)).ok_or(Unboundable::TooLarge)?;
        all.tokens = all.tokens.saturating_add(tokens);
        all.samplings = all.samplings.saturating_add(uses);
        all.output = all.output.saturating_add(brought_output(tool)?.saturating_mul(uses));
        all.parts.push((format!("{uses} uses of {}", tool.name), tokens));
    }
    Ok(all)
}

/// Adds the summaries that the provider writes of a long context. It looks at the length at the beginning of every
/// sampling, so there is one before each at most, which reads a window and writes what the model can write at once:
/// nobody says that the caller's cap holds for it. A context that cannot get so long is never compacted.
fn add_compactions(all: &mut ToolsInput, shape: &Shape, price: &Price, first: u64) -> Result<(), Unboundable> {
    let Some(compacts_at) = shape.compacts_at else { return Ok(()) };
    if first < compacts_at && all.samplings == 1 {
        return Ok(());
    }
    let (summaries, window) = (all.samplings, window(shape, price, "compaction")?);
    let tokens = window.saturating_mul(summaries);
    all.tokens = all.tokens.saturating_add(tokens);
    all.samplings = all.samplings.saturating_add(summaries);
    all.output = all.output.saturating_add(price.max_output().unwrap_or(window).saturating_mul(summaries));
    all.parts.push((format!("{summaries} compactions"), tokens));
    Ok(())
}

/// The output of a model that a tool brings in, which no cap of this call holds.
fn brought_output(tool: &ServerTool) -> Result<u64, Unboundable> {
    let Some(other) = &tool.brings else { return Ok(0) };
    other.max_output().ok_or_else(|| Unboundable::NoLimit(tool.name.clone()))
}

/// What one use of a tool costs beside its tokens.
fn use_cost(tool: &ServerTool, price: &Price) -> Result<NanoUsd, Unboundable> {
    let is_one_of = |names: &[&str]| names.iter().any(|name| tool.name.starts_with(name));
    // Fetching, looking for tools, asking another model and making a long context shorter cost only their tokens.
    let is_free = price.counts_nothing() || is_one_of(&["web_fetch", "tool_search", "advisor", "compaction"]);
    let is_search = is_one_of(&["web_search", "google_search"]);
    let cost = if is_free { Some(NanoUsd::ZERO) } else { price.web_search().filter(|_| is_search) };
    cost.ok_or_else(|| Unboundable::NoToolPrice { tool: tool.name.clone(), model: price.model().to_owned() })
}

/// The dearest by `of`, of the model and of those that its tools bring in.
fn dearest(shape: &Shape, price: &Price, of: impl Fn(&Price) -> PicoUsdPerToken) -> PicoUsdPerToken {
    let brought = shape.server_tools.iter().filter_map(|tool| tool.brings.as_ref());
    brought.map(&of).fold(of(price), PicoUsdPerToken::max)
}

/// How far up the price a request can get, and what of it nobody knows.
fn reach(
    shape: &Shape,
    price: &Price,
    settings: &BoundSettings,
    input: u64,
) -> Result<(Reach, Vec<String>), Unboundable> {
    let mut unbounded = shape.unknown.clone();
    let tiers = tiers(shape, price, settings)?.unwrap_or_else(|| {
        unbounded.push("service_tier".to_owned());
        Tier::ALL.to_vec()
    });
    if shape.long_context && price.context_window().is_some_and(|window| window < LONG_WINDOW) {
        // The window it asks for may have prices that the book's entry for the smaller one does not.
        unbounded.push("long context".to_owned());
    }
    let writes = if price.writes_unasked() { shape.writes.max(Writes::FiveMinutes) } else { shape.writes };
    let regional = shape.regional.unwrap_or(!settings.is_global);
    // A file or a URL may hold sound as well as anything else.
    let audio = shape.sounds > 0 || !shape.opaque.is_empty();
    let asked = Reach { input, tiers, writes, audio, regional };
    if shape.unknown.is_empty() {
        return Ok((asked, unbounded));
    }
    // What nobody knows can ask for anything that has a price.
    let all = Reach { tiers: Tier::ALL.to_vec(), writes: Writes::Hour, audio: true, regional: true, ..asked };
    Ok((all, unbounded))
}

/// The tiers that the request can be billed at beside the standard one; `None` for a word that nobody knows.
fn tiers(shape: &Shape, price: &Price, settings: &BoundSettings) -> Result<Option<Vec<Tier>>, Unboundable> {
    let asked = match shape.service_tier.as_deref() {
        None | Some("auto") => Some(settings.service_tier.map_or(vec![Tier::Priority], |tier| vec![tier])),
        Some(name) => named_tier(name, price)?.map(|tier| vec![tier]),
    };
    let fast = if shape.fast { named_tier("fast", price)? } else { None };
    Ok(asked.map(|tiers| tiers.into_iter().chain(fast).collect()))
}

fn named_tier(name: &str, price: &Price) -> Result<Option<Tier>, Unboundable> {
    match price.tier(name) {
        TierAnswer::Known(tier) => Ok(Some(tier)),
        TierAnswer::Unknown => Ok(None),
        TierAnswer::Unpriced => {
            Err(Unboundable::NoTierPrice { model: price.model().to_owned(), tier: name.to_owned() })
        }
    }
}

#[cfg(test)]
mod tests;
