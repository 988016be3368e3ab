//! From what an answer told to what is booked.

use almoner_meter::Reading;
use almoner_policy::{Extras, Price, PriceBook, Shape, Tier, TierAnswer, Writes, cost};
use almoner_units::{Charge, NanoUsd, Timestamp, Usage};

use crate::port::End;
use crate::provider::Pinned;
use crate::relay::Home;

/// What is booked for one answer.
#[derive(Clone, Debug)]
pub(crate) struct Bill {
    pub(crate) end: End,
    pub(crate) cost: Option<NanoUsd>,
    /// Why it is not simply settled, in words.
    pub(crate) note: String,
}

/// What answers are priced by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tariff<'a> {
    pub(crate) book: &'a PriceBook,
    pub(crate) provider: &'a str,
    /// The price of the call's own model; `None` only where no budget counts dollars.
    pub(crate) price: Option<&'a Price>,
    /// What the call asked for, where its answer does not say what it got.
    pub(crate) asked: &'a Asked,
    pub(crate) at: Timestamp,
}

/// What a call asked for that decides what its answer costs.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    choices: u64,
    service_tier: Option<String>,
    fast: bool,
    regional: bool,
    writes: Writes,
    /// What the config says of what was not asked for.
    pinned: Pinned,
    /// How much text it has.
    pub(crate) text_bytes: u64,
}

impl Asked {
    pub(crate) fn by(shape: &Shape, pinned: Pinned) -> Self {
        // `auto` leaves it to the account, as saying nothing does.
        let asks = shape.service_tier.as_deref().is_some_and(|tier| tier != "auto");
        let pinned = Pinned {
            service_tier: pinned.service_tier.filter(|_| !asks),
            regional: pinned.regional.filter(|_| shape.regional.is_none()),
        };
        let default = pinned.service_tier.map(|tier| tier.name().to_owned());
        // Who does not know a tier ignores the word. What makes an answer cheaper, the answer has to say.
        let is_cheap = |tier: &String| matches!(Tier::named(tier), Some(Tier::Batch | Tier::Flex));
        Self {
            choices: shape.choices.max(1),
            service_tier: default.or_else(|| shape.service_tier.clone().filter(|tier| !is_cheap(tier))),
            fast: shape.fast,
            regional: shape.regional.or(pinned.regional) == Some(true),
            writes: shape.writes,
            pinned,
            text_bytes: shape.text_bytes,
        }
    }

    /// What an answer says otherwise than the config does: where it cost more than its bound, this is why.
    pub(crate) fn belied_by(&self, reading: &Reading, price: Option<&Price>) -> Option<&'static str> {
        let billed = reading.service_tier.as_deref().and_then(|name| Some(price?.tier(name)));
        let is_other = |pinned| billed.is_some_and(|billed| billed != TierAnswer::Known(pinned));
        if self.pinned.service_tier.is_some_and(is_other) {
            return Some("the provider used another service tier than the config's `service_tier`");
        }
        let is_elsewhere = self.pinned.regional == Some(false) && reading.region.as_deref().is_some_and(is_somewhere);
        is_elsewhere.then_some("the provider bills for a region, and the config says `region_premium = false`")
    }
}

/// Whether a region that an answer names is a region.
fn is_somewhere(region: &str) -> bool {
    !["global", "not_available"].contains(&region)
}

/// What is booked for an answer that came home so. Usage counts only from an answer that told it to its end: what a
/// broken one told is a lower limit, and the hold stays charged.
pub(crate) fn bill(home: &Home, tariff: Tariff<'_>) -> Bill {
    let Home { reading, broke, .. } = home;
    let is_whole = is_whole(home, tariff.asked);
    if let Some(why) = broke.as_ref().filter(|_| !is_whole) {
        return assumed(why.clone());
    }
    if let Some(error) = reading.error.as_ref().filter(|_| !is_whole) {
        let kind = error.kind.as_deref().unwrap_or("unnamed");
        return assumed(format!("the provider ended the answer with an error ({kind})"));
    }
    if !reading.usage_present || !reading.usage.is_known() {
        return assumed("the provider told no usage".to_owned());
    }
    if reading.usage.input.is_none() || reading.usage.output.is_none() {
        // What it did not count is unknown, and not 0.
        return assumed("the provider told only a part of its usage".to_owned());
    }
    if !is_whole {
        return assumed("the answer ended before its usage was complete".to_owned());
    }
    match price_all(reading, tariff) {
        Ok(cost) => {
            let charge = charge_of(reading, cost.unwrap_or_default());
            let note = if cost.is_none() { "no price is known, so no dollars are counted" } else { "" };
            Bill { end: End::Settled(charge), cost, note: note.to_owned() }
        }
        Err(why) => assumed(why),
    }
}

/// Whether the answer told its usage to the end. A stream may tell its usage so far, and more of it later: only its own
/// end, or the reason why its only choice stopped, says that nothing more comes.
fn is_whole(home: &Home, asked: &Asked) -> bool {
    let Home { reading, ended, .. } = home;
    let told = reading.finished && reading.usage_present && !reading.output_lower_bound;
    told && (*ended || (reading.stop_reason.is_some() && asked.choices == 1))
}

fn assumed(why: String) -> Bill {
    Bill { end: End::Assumed(why.clone()), cost: None, note: why }
}

/// The cost of the answer with all it brought in; `None` where the model has no price.
fn price_all(reading: &Reading, tariff: Tariff<'_>) -> Result<Option<NanoUsd>, String> {
    let Some(price) = tariff.price else { return Ok(None) };
    if reading.output_audio_tokens.is_some() && !price.is_free() {
        return Err("the answer has sound or pictures in it, for which there is no price".to_owned());
    }
    let extras = extras(reading, tariff.asked);
    // Where a model runs decides its price too. The rest was said of the answer's own.
    let of_others = Extras { regional: extras.regional, ..Extras::default() };
    let lives = |usage| if reading.cache_ttl_assumed { long_lived(usage, tariff.asked) } else { *usage };
    let mut sum = cost(&lives(&reading.usage), &extras, price).map_err(|error| error.to_string())?;
    for (model, usage) in &reading.other_models {
        let price =
            if price.is_free() { Some(price) } else { tariff.book.find(Some(tariff.provider), model, tariff.at) };
        let price = price.ok_or_else(|| format!("the answer brought in `{model}`, which has no price"))?;
        let more = cost(&lives(usage), &of_others, price).map_err(|error| error.to_string())?;
        sum = sum.checked_add(more).ok_or("the answer cost more than can be counted")?;
    }
    Ok(Some(sum))
}

/// A usage whose cache writes came without their lifetime, at the longest that was asked for.
fn long_lived(usage: &Usage, asked: &Asked) -> Usage {
    match (asked.writes, usage.cache_write_5m, usage.cache_write_1h) {
        (Writes::Hour, Some(short), Some(long)) => {
            Usage { cache_write_5m: Some(0), cache_write_1h: Some(long.saturating_add(short)), ..*usage }
        }
        _ => *usage,
    }
}

/// What decides the rate of an answer: what it says of itself, and where it says nothing, what was asked.
fn extras(reading: &Reading, asked: &Asked) -> Extras {
    Extras {
        service_tier: reading.service_tier.clone().or_else(|| asked.service_tier.clone()),
        batch: false,
        fast: reading.speed.as_ref().map_or(asked.fast, |speed| speed == "fast"),
        regional: reading.region.as_deref().map_or(asked.regional, is_somewhere),
        web_searches: reading.server_tools.map_or(reading.searches_shown, |tools| tools.web_search_requests),
        audio_input: reading.input_audio_tokens.unwrap_or(0),
        audio_read: reading.cached_audio_tokens.unwrap_or(0),
    }
}

/// The charge of an answer in every meter: its own usage, and that of the models it brought in.
fn charge_of(reading: &Reading, cost: NanoUsd) -> Charge {
    let others = reading.other_models.iter().map(|(_, usage)| usage);
    let usage = others.fold(reading.usage, |sum, more| add(&sum, more));
    Charge::of(&usage, cost)
}

fn add(one: &Usage, other: &Usage) -> Usage {
    let sum = |one: Option<u64>, other: Option<u64>| match (one, other) {
        (None, None) => None,
        _ => Some(one.unwrap_or(0).saturating_add(other.unwrap_or(0))),
    };
    Usage {
        input: sum(one.input, other.input),
        cache_read: sum(one.cache_read, other.cache_read),
        cache_write_5m: sum(one.cache_write_5m, other.cache_write_5m),
        cache_write_1h: sum(one.cache_write_1h, other.cache_write_1h),
        output: sum(one.output, other.output),
        reasoning: sum(one.reasoning, other.reasoning),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use almoner_policy::Tier;
    use almoner_units::{Meter, PicoUsdPerToken};

    const NOW: Timestamp = Timestamp::from_ms(1_795_500_000_000);

    fn priced(reading: Reading, broke: Option<&str>, price: &Price, asked: &Shape) -> Bill {
        let asked = &Asked::by(asked, Pinned::default());
        let tariff = Tariff { book: PriceBook::shipped(), provider: "anthropic", price: Some(price), asked, at: NOW };
        bill(&Home { reading, broke: broke.map(str::to_owned), ended: broke.is_none() }, tariff)
    }

    fn check(reading: Reading, broke: Option<&str>) -> Bill {
        let price = Price::flat(PicoUsdPerToken::new(3_000_000), PicoUsdPerToken::new(15_000_000));
        priced(reading, broke, &price, &Shape::default())
    }

    fn whole() -> Reading {
        Reading {
            usage: Usage { input: Some(1000), output: Some(10), ..Usage::default() },
            usage_present: true,
            finished: true,
            stop_reason: Some("end_turn".to_owned()),
            ..Reading::default()
        }
    }

    #[test]
    fn an_answer_that_told_its_usage_is_settled_at_its_cost() {
        let bill = check(whole(), None);
        let End::Settled(charge) = bill.end else { panic!("{bill:?}") };
        assert_eq!(charge[Meter::Usd], 3_150_000);
        assert_eq!(charge[Meter::Tokens], 1010);
        assert_eq!(charge[Meter::Requests], 1);
    }

    #[test]
    fn an_answer_that_broke_off_after_its_usage_was_complete_is_settled_too() {
        assert!(matches!(check(whole(), Some("the client went away")).end, End::Settled(_)));
    }

    #[test]
    fn what_was_not_told_to_the_end_is_assumed() {
        let cases = [
            (Reading { finished: false, output_lower_bound: true, ..whole() }, Some("reset"), "reset"),
            (Reading { usage_present: false, usage: Usage::default(), ..whole() }, None, "told no usage"),
            (
                Reading { usage: Usage { output: Some(10), ..Usage::default() }, ..whole() },
                None,
                "only a part of its usage",
            ),
            (Reading { output_lower_bound: true, ..whole() }, None, "before its usage was complete"),
            (
                Reading { other_models: vec![("no-such-model".to_owned(), Usage::default())], ..whole() },
                None,
                "no price",
            ),
        ];
        for (reading, broke, says) in cases {
            let bill = check(reading, broke);
            assert!(matches!(&bill.end, End::Assumed(why) if why.contains(says)), "{bill:?}");
            assert_eq!(bill.cost, None);
        }
    }

    #[test]
    fn what_makes_an_answer_dearer_is_booked_as_the_answer_says_it_or_else_as_it_was_asked() {
        let fast = Shape { fast: true, ..Shape::default() };
        let regional = Shape { regional: Some(true), ..Shape::default() };
        let named = |speed: &str, region: &str| Reading {
            speed: Some(speed.to_owned()),
            region: Some(region.to_owned()),
            ..whole()
        };
        let (plain, dearer, pinned) = ("$0.00525", "$0.0105", "$0.005775");
        let table = [
            (Shape::default(), whole(), plain),
            (Shape::default(), named("standard", "not_available"), plain),
            (fast.clone(), whole(), dearer),
            (fast, named("standard", "global"), plain),
            (Shape::default(), named("fast", "global"), dearer),
            (regional.clone(), whole(), pinned),
            (Shape::default(), named("standard", "us"), pinned),
            (regional, named("standard", "global"), plain),
        ];
        let opus = PriceBook::shipped().find(None, "claude-opus-5", NOW).unwrap();
        for (asked, reading, dollars) in table {
            let bill = priced(reading.clone(), None, opus, &asked);
            assert_eq!(bill.cost, Some(dollars.parse().unwrap()), "{asked:?} {reading:?}");
        }
    }

    #[test]
    fn the_tier_that_was_asked_for_is_booked_where_the_answer_names_none() {
        let gpt = PriceBook::shipped().find(None, "gpt-5", NOW).unwrap();
        let asked = Shape { service_tier: Some("priority".to_owned()), ..Shape::default() };
        let silent = priced(whole(), None, gpt, &asked);
        let named = priced(Reading { service_tier: Some("default".to_owned()), ..whole() }, None, gpt, &asked);
        assert_eq!(silent.cost.map(NanoUsd::get), named.cost.map(|cost| cost.get() * 2));
    }

    #[test]
    fn the_tier_that_the_config_pins_is_booked_until_an_answer_says_otherwise() {
        let gpt = PriceBook::shipped().find(None, "gpt-5", NOW).unwrap();
        let asked = |tier: Option<&str>, pinned| {
            let shape = Shape { service_tier: tier.map(str::to_owned), ..Shape::default() };
            Asked::by(&shape, Pinned { service_tier: Some(pinned), regional: Some(false) })
        };
        let cost = |asked: &Asked, said: Option<&str>| {
            let reading = Reading { service_tier: said.map(str::to_owned), ..whole() };
            let tariff = Tariff { book: PriceBook::shipped(), provider: "openai", price: Some(gpt), asked, at: NOW };
            let cost = bill(&Home { reading: reading.clone(), broke: None, ended: true }, tariff).cost.unwrap();
            (cost.to_string(), asked.belied_by(&reading, Some(gpt)).is_some())
        };
        let (plain, twice) = ("$0.00135".to_owned(), "$0.0027".to_owned());
        assert_eq!(cost(&asked(None, Tier::Standard), None), (plain.clone(), false));
        assert_eq!(cost(&asked(None, Tier::Standard), Some("default")), (plain.clone(), false));
        assert_eq!(cost(&asked(None, Tier::Standard), Some("priority")), (twice.clone(), true));
        assert_eq!(cost(&asked(Some("auto"), Tier::Priority), None), (twice.clone(), false));
        assert_eq!(cost(&asked(None, Tier::Priority), Some("default")), (plain, true));
        // What the call asks for itself is its own business.
        assert_eq!(cost(&asked(Some("priority"), Tier::Standard), Some("priority")), (twice, false));
        // An answer that does not say where it was made was made where the config says.
        let there = Asked::by(&Shape::default(), Pinned { service_tier: None, regional: Some(true) });
        let gpt_5_4 = PriceBook::shipped().find(None, "gpt-5.4", NOW).unwrap();
        let cost = |asked: &Asked| {
            let tariff =
                Tariff { book: PriceBook::shipped(), provider: "openai", price: Some(gpt_5_4), asked, at: NOW };
            bill(&Home { reading: whole(), broke: None, ended: true }, tariff).cost.unwrap().get()
        };
        assert_eq!(cost(&there) * 10, cost(&Asked::by(&Shape::default(), Pinned::default())) * 11);
        let abroad = Reading { region: Some("us".to_owned()), ..whole() };
        let why = asked(None, Tier::Standard).belied_by(&abroad, Some(gpt)).unwrap();
        assert!(why.contains("region_premium"), "{why}");
    }

    #[test]
    fn a_cheaper_tier_is_booked_only_where_the_answer_names_it() {
        let gpt = PriceBook::shipped().find(None, "gpt-5", NOW).unwrap();
        for tier in ["flex", "batch"] {
            let asked = Shape { service_tier: Some(tier.to_owned()), ..Shape::default() };
            let silent = priced(whole(), None, gpt, &asked);
            let named = priced(Reading { service_tier: Some(tier.to_owned()), ..whole() }, None, gpt, &asked);
            assert_eq!(silent.cost, priced(whole(), None, gpt, &Shape::default()).cost, "{tier}");
            assert_eq!(silent.cost.map(NanoUsd::get), named.cost.map(|cost| cost.get() * 2), "{tier}");
        }
    }

    #[test]
    fn cache_writes_without_a_lifetime_live_as_long_as_was_asked() {
        let opus = PriceBook::shipped().find(None, "claude-opus-5", NOW).unwrap();
        let usage = Usage { cache_write_5m: Some(1_000), cache_write_1h: Some(0), ..whole().usage };
        let cost = |cache_ttl_assumed, writes| {
            let asked = Shape { writes, ..Shape::default() };
            priced(Reading { usage, cache_ttl_assumed, ..whole() }, None, opus, &asked).cost.map(NanoUsd::get)
        };
        // platform.claude.com/docs/en/about-claude/pricing: a million written costs $6.25, and $10 for an hour.
        let plain = cost(false, Writes::Hour);
        assert_eq!(cost(true, Writes::FiveMinutes), plain);
        assert_eq!(cost(true, Writes::Hour), plain.map(|plain| plain + 3_750_000));
    }

    #[test]
    fn a_model_that_was_brought_in_is_billed_for_the_region_too() {
        let sonnet = PriceBook::shipped().find(None, "claude-sonnet-5", NOW).unwrap();
        let advised = |region: &str| {
            let usage = Usage { input: Some(1_000), output: Some(0), ..Usage::default() };
            let reading = Reading {
                usage: Usage { input: Some(0), output: Some(0), ..Usage::default() },
                other_models: vec![("claude-opus-5".to_owned(), usage)],
                region: Some(region.to_owned()),
                ..whole()
            };
            priced(reading, None, sonnet, &Shape::default()).cost.map(NanoUsd::get)
        };
        assert_eq!((advised("global"), advised("us")), (Some(5_000_000), Some(5_500_000)));
    }

    #[test]
    fn searches_that_only_the_answer_shows_are_booked() {
        let gpt = PriceBook::shipped().find(None, "gpt-5", NOW).unwrap();
        let cost = |searches_shown| {
            let bill = priced(Reading { searches_shown, ..whole() }, None, gpt, &Shape::default());
            bill.cost.map(NanoUsd::get).unwrap()
        };
        assert_eq!(cost(3) - cost(0), 30_000_000);
    }

    #[test]
    fn sound_in_an_answer_is_not_booked_at_the_price_of_text() {
        let bill = check(Reading { output_audio_tokens: Some(3), ..whole() }, None);
        assert!(matches!(bill.end, End::Assumed(_)), "{bill:?}");
    }
}
