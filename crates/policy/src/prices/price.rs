//! One model's price: its rates, and the dearest of them that a request can reach.

use almoner_units::{NanoUsd, PicoUsdPerToken, Timestamp};

/// The class of service that a provider bills a call at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tier {
    /// The list price.
    #[default]
    Standard,
    /// Answered within a day.
    Batch,
    /// Cheaper and slower.
    Flex,
    /// OpenAI's and Google's faster class; OpenAI also calls it `fast`.
    Priority,
    /// Anthropic's fast mode.
    Fast,
    /// OpenAI's fastest class.
    Ultrafast,
}

impl Tier {
    /// Every tier.
    pub const ALL: [Self; 6] = [Self::Standard, Self::Batch, Self::Flex, Self::Priority, Self::Fast, Self::Ultrafast];

    /// The name in the book and in messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Batch => "batch",
            Self::Flex => "flex",
            Self::Priority => "priority",
            Self::Fast => "fast",
            Self::Ultrafast => "ultrafast",
        }
    }

    /// The tier with this name; `None` for a word that names none.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|tier| tier.name() == name)
    }
}

/// What a token costs in one tier, from one size of input on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rate {
    /// The class of service.
    pub tier: Tier,
    /// The rate holds for calls with more tokens of input, of every kind together, than this.
    pub above: u64,
    /// A token of input that is neither read from nor written to a cache.
    pub input: PicoUsdPerToken,
    /// A token of output, reasoning included.
    pub output: PicoUsdPerToken,
    /// A token read from a cache; `None`: as dear as plain input.
    pub cache_read: Option<PicoUsdPerToken>,
    /// A token written to a cache for five minutes, or for as long as the provider likes; `None`: no premium.
    pub cache_write_5m: Option<PicoUsdPerToken>,
    /// A token written to a cache for an hour; `None`: as dear as the other write.
    pub cache_write_1h: Option<PicoUsdPerToken>,
    /// A token of sound; `None`: as dear as plain input.
    pub audio_input: Option<PicoUsdPerToken>,
}

impl Rate {
    /// What a token read from a cache costs.
    #[must_use]
    pub fn read(&self) -> PicoUsdPerToken {
        self.cache_read.unwrap_or(self.input)
    }

    /// What a token written to a cache for five minutes costs.
    #[must_use]
    pub fn write_5m(&self) -> PicoUsdPerToken {
        self.cache_write_5m.unwrap_or(self.input)
    }

    /// What a token written to a cache for an hour costs.
    #[must_use]
    pub fn write_1h(&self) -> PicoUsdPerToken {
        self.cache_write_1h.unwrap_or_else(|| self.write_5m())
    }

    /// What a token of sound costs.
    #[must_use]
    pub fn audio(&self) -> PicoUsdPerToken {
        self.audio_input.unwrap_or(self.input)
    }

    /// What a token of sound read from a cache costs, rounded up: wherever sound has a price of its own, the cache
    /// takes the same share off it as off text.
    #[must_use]
    pub fn audio_read(&self) -> PicoUsdPerToken {
        if self.input == PicoUsdPerToken::ZERO {
            return self.read().max(self.audio());
        }
        let pico = u128::from(self.read().get()) * u128::from(self.audio().get());
        let share = pico.div_ceil(u128::from(self.input.get()));
        PicoUsdPerToken::new(u64::try_from(share).unwrap_or(u64::MAX))
    }

    fn dearest_input(&self, reach: &Reach) -> PicoUsdPerToken {
        let write = match reach.writes {
            Writes::None => self.input,
            Writes::FiveMinutes => self.write_5m(),
            Writes::Hour => self.write_1h().max(self.write_5m()),
        };
        let audio = if reach.audio { self.audio().max(self.audio_read()) } else { self.input };
        self.input.max(self.read()).max(write).max(audio)
    }
}

/// Which cache writes a request can lead to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Writes {
    /// None that cost more than plain input.
    #[default]
    None,
    /// Writes that live five minutes, or as long as the provider likes.
    FiveMinutes,
    /// Writes that live an hour, and the shorter ones.
    Hour,
}

/// How far up the rates of a price a request can get.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// The most tokens of input it can have, in every sampling together.
    pub input: u64,
    /// The tiers it can be billed at; empty: the standard one.
    pub tiers: Vec<Tier>,
    /// The cache writes it can lead to.
    pub writes: Writes,
    /// Whether it can carry sound.
    pub audio: bool,
    /// Whether it can be billed at the surcharge for a pinned region.
    pub regional: bool,
}

/// What a price says to a service tier by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TierAnswer {
    /// The calls of that name are billed at this tier, or at the standard one.
    Known(Tier),
    /// A faster class that costs more, and the book does not know how much.
    Unpriced,
    /// No word that the book knows.
    Unknown,
}

/// What one model of one provider costs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Price {
    pub(crate) provider: String,
    pub(crate) model: String,
    pub(crate) aliases: Vec<String>,
    /// The standard rate from the first token on stands first.
    pub(crate) rates: Vec<Rate>,
    pub(crate) context_window: Option<u64>,
    pub(crate) max_output: Option<u64>,
    pub(crate) image_tokens: Option<u64>,
    pub(crate) images_outside_window: bool,
    pub(crate) page_tokens: Option<u64>,
    pub(crate) web_search: Option<NanoUsd>,
    pub(crate) regional_percent: u64,
    pub(crate) from: Option<Timestamp>,
    pub(crate) review_by: Option<Timestamp>,
    pub(crate) retires: Option<Timestamp>,
    pub(crate) source: String,
    /// Whether it stands for a price that nobody knows.
    pub(crate) is_unknown: bool,
}

impl Price {
    /// What a model on one's own machine costs, for a provider that is declared free.
    #[must_use]
    pub fn free() -> Self {
        let mut price = Self::flat(PicoUsdPerToken::ZERO, PicoUsdPerToken::ZERO);
        price.web_search = Some(NanoUsd::ZERO);
        price
    }

    /// What stands for the price of a model that has none, where tokens are counted and no dollars: not even its window
    /// is known, and unlike a free one it need not be a model on one's own machine.
    #[must_use]
    pub fn unknown(model: &str) -> Self {
        let mut price = Self::flat(PicoUsdPerToken::ZERO, PicoUsdPerToken::ZERO);
        price.model = model.to_owned();
        price.is_unknown = true;
        price
    }

    /// A price with one rate and nothing else known.
    #[must_use]
    pub fn flat(input: PicoUsdPerToken, output: PicoUsdPerToken) -> Self {
        Self {
            provider: String::new(),
            model: String::new(),
            aliases: Vec::new(),
            rates: vec![Rate { input, output, ..Rate::default() }],
            context_window: None,
            max_output: None,
            image_tokens: None,
            images_outside_window: false,
            page_tokens: None,
            web_search: None,
            regional_percent: 100,
            from: None,
            review_by: None,
            retires: None,
            source: String::new(),
            is_unknown: false,
        }
    }

    /// This price with another context window, in tokens of input.
    #[must_use]
    pub fn with_context_window(mut self, tokens: u64) -> Self {
        self.context_window = Some(tokens);
        self
    }

    /// The provider as the book names it; empty for a price of the user's own that names none.
    #[must_use]
    pub fn provider(&self) -> &str {
        &self.provider
    }

    /// The model's name without a date, where it has one.
    #[must_use]
    pub fn model(&self) -> &str {
        &self.model
    }

    /// Other names of the same model at the same price.
    #[must_use]
    pub fn aliases(&self) -> &[String] {
        &self.aliases
    }

    /// Every rate, the standard one from the first token on first.
    #[must_use]
    pub fn rates(&self) -> &[Rate] {
        &self.rates
    }

    /// The most tokens of input that the model takes.
    #[must_use]
    pub fn context_window(&self) -> Option<u64> {
        self.context_window
    }

    /// The most tokens of output that the model gives.
    #[must_use]
    pub fn max_output(&self) -> Option<u64> {
        self.max_output
    }

    /// The most tokens that one image costs.
    #[must_use]
    pub fn image_tokens(&self) -> Option<u64> {
        self.image_tokens
    }

    /// Whether the tokens of an image take room in the context window; where not, they are only billed.
    #[must_use]
    pub fn images_fill_window(&self) -> bool {
        !self.images_outside_window
    }

    /// The most tokens that one page of a document costs.
    #[must_use]
    pub fn page_tokens(&self) -> Option<u64> {
        self.page_tokens
    }

    /// What one web search by the provider costs.
    #[must_use]
    pub fn web_search(&self) -> Option<NanoUsd> {
        self.web_search
    }

    /// What every token costs where inference is pinned to a region, in percent of the rate: 100 or more.
    #[must_use]
    pub fn regional_percent(&self) -> u64 {
        self.regional_percent
    }

    /// From when the price holds; `None`: always.
    #[must_use]
    pub fn holds_from(&self) -> Option<Timestamp> {
        self.from
    }

    /// The page where the provider prints the price.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// When somebody should look at that page again.
    #[must_use]
    pub fn review_by(&self) -> Option<Timestamp> {
        self.review_by
    }

    /// When the provider stops serving the model.
    #[must_use]
    pub fn retires(&self) -> Option<Timestamp> {
        self.retires
    }

    /// Whether the price is past its review date.
    #[must_use]
    pub fn is_stale(&self, at: Timestamp) -> bool {
        self.review_by.is_some_and(|day| at >= day)
    }

    /// Whether nothing that the model does costs anything.
    #[must_use]
    pub fn is_free(&self) -> bool {
        !self.is_unknown && self.counts_nothing()
    }

    /// Whether it counts no dollars, because the model is free or because nobody knows what it costs.
    pub(crate) fn counts_nothing(&self) -> bool {
        self.rates.iter().all(|rate| {
            rate.output == PicoUsdPerToken::ZERO
                && rate.dearest_input(&Reach { writes: Writes::Hour, audio: true, ..Reach::default() })
                    == PicoUsdPerToken::ZERO
        })
    }

    /// The rate of a call with so much input, of every kind together, at this tier. A tier without a rate of its own
    /// is billed at the standard one.
    #[must_use]
    pub fn rate(&self, tier: Tier, input_total: u64) -> &Rate {
        let tier = if self.has_tier(tier) { tier } else { Tier::Standard };
        let holds = |rate: &&Rate| rate.tier == tier && (rate.above == 0 || input_total > rate.above);
        self.rates.iter().filter(holds).max_by_key(|rate| rate.above).unwrap_or(&self.rates[0])
    }

    /// Whether the tier has a rate of its own.
    #[must_use]
    pub fn has_tier(&self, tier: Tier) -> bool {
        self.rates.iter().any(|rate| rate.tier == tier)
    }

    /// The tier that a call of this service-tier name is billed at, as a request asks for it or an answer reports it.
    #[must_use]
    pub fn tier(&self, name: &str) -> TierAnswer {
        match name {
            "default" | "auto" | "standard_only" | "scale" | "on_demand" => TierAnswer::Known(Tier::Standard),
            // OpenAI renamed its priority class, and keeps both words.
            "fast" if !self.has_tier(Tier::Fast) && self.has_tier(Tier::Priority) => TierAnswer::Known(Tier::Priority),
            _ => match Tier::named(name) {
                Some(Tier::Fast | Tier::Ultrafast) if self.counts_nothing() => TierAnswer::Known(Tier::Standard),
                Some(tier @ (Tier::Fast | Tier::Ultrafast)) if !self.has_tier(tier) => TierAnswer::Unpriced,
                Some(tier) => TierAnswer::Known(tier),
                None => TierAnswer::Unknown,
            },
        }
    }

    /// Whether the provider writes to its cache, and bills it above plain input, without being asked to. Anthropic
    /// writes only where a request says `cache_control`.
    #[must_use]
    pub fn writes_unasked(&self) -> bool {
        let is_premium = |rate: &Rate| rate.write_5m() > rate.input;
        self.provider != "anthropic" && self.rates.iter().any(is_premium)
    }

    /// The dearest token of input within `reach`, region included, rounded up to a whole pico-dollar.
    #[must_use]
    pub fn dearest_input(&self, reach: &Reach) -> PicoUsdPerToken {
        let dearest = self.reached(reach).map(|rate| rate.dearest_input(reach)).max();
        self.in_region(dearest.unwrap_or_default(), reach.regional)
    }

    /// The dearest token of output within `reach`, region included, rounded up to a whole pico-dollar.
    #[must_use]
    pub fn dearest_output(&self, reach: &Reach) -> PicoUsdPerToken {
        let dearest = self.reached(reach).map(|rate| rate.output).max();
        self.in_region(dearest.unwrap_or_default(), reach.regional)
    }

    fn reached<'a>(&'a self, reach: &'a Reach) -> impl Iterator<Item = &'a Rate> {
        let is_within = |rate: &&Rate| {
            (rate.tier == Tier::Standard || reach.tiers.contains(&rate.tier))
                && (rate.above == 0 || reach.input > rate.above)
        };
        self.rates.iter().filter(is_within)
    }

    fn in_region(&self, price: PicoUsdPerToken, is_regional: bool) -> PicoUsdPerToken {
        let percent = if is_regional { self.regional_percent.max(100) } else { 100 };
        // A price whose percentage leaves the type is the largest price: no budget fits it.
        let pico = price.get().checked_mul(percent).map_or(u64::MAX, |scaled| scaled.div_ceil(100));
        PicoUsdPerToken::new(pico)
    }
}
