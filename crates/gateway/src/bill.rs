//! From what an answer told to what is booked.

use almoner_meter::Reading;
use almoner_policy::{Extras, Price, PriceBook, cost};
use almoner_units::{Charge, NanoUsd, Timestamp, Usage};

use crate::port::End;

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
    pub(crate) at: Timestamp,
}

/// What is booked for an answer of which this was read. Usage counts only from an answer that told it to its end:
/// what a broken one told is a lower limit, and the hold stays charged.
pub(crate) fn bill(reading: &Reading, tariff: Tariff<'_>, broke: Option<&str>) -> Bill {
    if let Some(why) = broke.filter(|_| !is_whole(reading)) {
        return assumed(why.to_owned());
    }
    if let Some(error) = reading.error.as_ref().filter(|_| !is_whole(reading)) {
        let kind = error.kind.as_deref().unwrap_or("unnamed");
        return assumed(format!("the provider ended the answer with an error ({kind})"));
    }
    if !reading.usage_present || !reading.usage.is_known() {
        return assumed("the provider told no usage".to_owned());
    }
    if !is_whole(reading) {
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

/// Whether the answer told its usage to the end.
fn is_whole(reading: &Reading) -> bool {
    reading.finished && reading.usage_present && !reading.output_lower_bound
}

fn assumed(why: String) -> Bill {
    Bill { end: End::Assumed(why.clone()), cost: None, note: why }
}

/// The cost of the answer with all it brought in; `None` where the model has no price.
fn price_all(reading: &Reading, tariff: Tariff<'_>) -> Result<Option<NanoUsd>, String> {
    let Some(price) = tariff.price else { return Ok(None) };
    let extras = Extras {
        service_tier: reading.service_tier.clone(),
        web_searches: reading.server_tools.map_or(0, |tools| tools.web_search_requests),
        audio_input: reading.input_audio_tokens.unwrap_or(0),
        ..Extras::default()
    };
    let mut sum = cost(&reading.usage, &extras, price).map_err(|error| error.to_string())?;
    for (model, usage) in &reading.other_models {
        let price =
            if price.is_free() { Some(price) } else { tariff.book.find(Some(tariff.provider), model, tariff.at) };
        let price = price.ok_or_else(|| format!("the answer brought in `{model}`, which has no price"))?;
        let more = cost(usage, &Extras::default(), price).map_err(|error| error.to_string())?;
        sum = sum.checked_add(more).ok_or("the answer cost more than can be counted")?;
    }
    Ok(Some(sum))
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
    use almoner_units::{Meter, PicoUsdPerToken};

    fn check(reading: &Reading, broke: Option<&str>) -> Bill {
        let price = Price::flat(PicoUsdPerToken::new(3_000_000), PicoUsdPerToken::new(15_000_000));
        let tariff = Tariff {
            book: PriceBook::shipped(),
            provider: "anthropic",
            price: Some(&price),
            at: Timestamp::from_ms(1_764_000_000_000),
        };
        bill(reading, tariff, broke)
    }

    fn whole() -> Reading {
        Reading {
            usage: Usage { input: Some(1000), output: Some(10), ..Usage::default() },
            usage_present: true,
            finished: true,
            ..Reading::default()
        }
    }

    #[test]
    fn an_answer_that_told_its_usage_is_settled_at_its_cost() {
        let bill = check(&whole(), None);
        let End::Settled(charge) = bill.end else { panic!("{bill:?}") };
        assert_eq!(charge[Meter::Usd], 3_150_000);
        assert_eq!(charge[Meter::Tokens], 1010);
        assert_eq!(charge[Meter::Requests], 1);
    }

    #[test]
    fn an_answer_that_broke_off_after_its_usage_was_complete_is_settled_too() {
        assert!(matches!(check(&whole(), Some("the client went away")).end, End::Settled(_)));
    }

    #[test]
    fn what_was_not_told_to_the_end_is_assumed() {
        let cases = [
            (Reading { finished: false, output_lower_bound: true, ..whole() }, Some("reset"), "reset"),
            (Reading { usage_present: false, usage: Usage::default(), ..whole() }, None, "told no usage"),
            (Reading { output_lower_bound: true, ..whole() }, None, "before its usage was complete"),
            (
                Reading { other_models: vec![("no-such-model".to_owned(), Usage::default())], ..whole() },
                None,
                "no price",
            ),
        ];
        for (reading, broke, says) in cases {
            let bill = check(&reading, broke);
            assert!(matches!(&bill.end, End::Assumed(why) if why.contains(says)), "{bill:?}");
            assert_eq!(bill.cost, None);
        }
    }
}
