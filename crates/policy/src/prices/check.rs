//! Looks a book over for what is probably wrong: `almoner prices check`.

use std::fmt;

use almoner_units::{PicoUsdPerToken, Timestamp};

use super::{Price, PriceBook, Rate, Tier};

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Somebody should look at it.
    Notice,
    /// The price is probably wrong.
    Fault,
}

/// Something in a book that is probably wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// The provider whose price it is.
    pub provider: String,
    /// The model whose price it is.
    pub model: String,
    /// What it is, with the numbers, and what to do.
    pub message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}: {}", self.provider, self.model, self.message)
    }
}

/// Above $1,000 a million a price per token has probably been read as one per million tokens; the dearest model ever
/// listed took $600.
const DEAREST: u64 = 1_000_000_000;
/// Below $0.001 a million it is the other way round.
const CHEAPEST: u64 = 1_000;

impl PriceBook {
    /// What is probably wrong with the book at that instant, the worst first.
    #[must_use]
    pub fn check(&self, at: Timestamp) -> Vec<Finding> {
        let mut findings: Vec<Finding> = self.prices().iter().flat_map(|price| check_price(price, at)).collect();
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        findings
    }
}

fn check_price(price: &Price, at: Timestamp) -> Vec<Finding> {
    let finding = |(severity, message)| Finding {
        severity,
        provider: price.provider.clone(),
        model: price.model.clone(),
        message,
    };
    let of_rates = price.rates.iter().flat_map(|rate| check_rate(price, rate));
    of_rates.chain(check_days(price, at)).map(finding).collect()
}

fn check_rate(price: &Price, rate: &Rate) -> Vec<(Severity, String)> {
    let Rate { input, output, .. } = *rate;
    let place = place(rate);
    let mut faults = Vec::new();
    if rate.read() > input {
        faults.push(format!("{place}cache reads at {} are dearer than input at {input}", rate.read()));
    }
    if rate.write_1h() < rate.write_5m() {
        faults.push(format!("{place}writes for an hour at {} are cheaper than for five minutes", rate.write_1h()));
    }
    if output > PicoUsdPerToken::ZERO && output < input {
        faults.push(format!("{place}output at {output} is cheaper than input at {input}"));
    }
    for pico in [input, output].map(PicoUsdPerToken::get) {
        if pico > DEAREST || (1..CHEAPEST).contains(&pico) {
            let shown = PicoUsdPerToken::new(pico);
            faults.push(format!("{place}{shown} per million tokens: is it a price per token, or per thousand?"));
        }
    }
    if price.provider == "anthropic" && (rate.cache_write_5m.is_none() || rate.cache_write_1h.is_none()) {
        faults.push(format!("{place}has no price of cache writes; its provider takes 1.25 and 2 times input"));
    }
    faults.into_iter().map(|fault| (Severity::Fault, fault)).collect()
}

/// Where in a price a rate stands, as the beginning of a message; nothing for the standard rate.
fn place(rate: &Rate) -> String {
    match (rate.tier, rate.above) {
        (Tier::Standard, 0) => String::new(),
        (tier, 0) => format!("{}: ", tier.name()),
        (tier, above) => format!("{} above {above} tokens: ", tier.name()),
    }
}

fn check_days(price: &Price, at: Timestamp) -> Vec<(Severity, String)> {
    let mut notices = Vec::new();
    if let Some(day) = price.review_by.filter(|_| price.is_stale(at)) {
        notices.push(format!("the price was to be reviewed by {day}; compare it with {}", price.source));
    }
    if let Some(day) = price.retires.filter(|day| at >= *day) {
        notices.push(format!("the provider retired the model on {day}"));
    }
    if price.context_window.is_none() && !price.is_free() {
        notices
            .push("has no context window, so files, links and server tools are refused under a hard budget".to_owned());
    }
    notices.into_iter().map(|notice| (Severity::Notice, notice)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_ms(1_795_500_000_000);

    #[track_caller]
    fn check(change: impl FnOnce(&mut Price), says: &str) {
        let mut price = PriceBook::shipped().find(Some("anthropic"), "claude-opus-5", NOW).unwrap().clone();
        assert_eq!(check_price(&price, NOW), []);
        change(&mut price);
        let found = check_price(&price, NOW);
        assert!(found.iter().any(|finding| finding.to_string().contains(says)), "{found:?}");
    }

    #[test]
    fn what_has_cost_others_money_is_found() {
        let million = |text: &str| PicoUsdPerToken::per_million(text).unwrap();
        check(|price| price.rates[0].cache_read = Some(million("6")), "dearer than input");
        check(|price| price.rates[0].output = million("4"), "output at $4.00 is cheaper");
        check(|price| price.rates[0].input = million("5000000"), "is it a price per token");
        check(|price| price.rates[0].input = million("0.000005"), "is it a price per token");
        check(|price| price.rates[1].cache_write_1h = None, "batch: has no price of cache writes");
        check(|price| price.rates[0].cache_write_1h = Some(million("1")), "cheaper than for five minutes");
        check(|price| price.review_by = Some(NOW), "to be reviewed by");
        check(|price| price.retires = Some(NOW), "retired");
        check(|price| price.context_window = None, "no context window");
    }

    #[test]
    fn the_shipped_book_has_no_faults() {
        let findings = PriceBook::shipped().check(NOW);
        let faults: Vec<String> =
            findings.iter().filter(|found| found.severity == Severity::Fault).map(Finding::to_string).collect();
        assert_eq!(faults, Vec::<String>::new());
    }

    #[test]
    fn past_its_review_date_the_whole_book_is_stale() {
        let later = Timestamp::from_ms(NOW.ms() + 200 * 86_400_000);
        let stale = PriceBook::shipped().check(later).iter().filter(|found| found.message.contains("reviewed")).count();
        assert_eq!(stale, PriceBook::shipped().prices().len());
    }
}
