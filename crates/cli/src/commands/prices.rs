//! `almoner prices show|check`

use std::process::ExitCode;

use almoner_config::Flags;
use almoner_policy::{Price, PriceBook, Severity};
use almoner_units::counted;

use crate::args::{Common, Prices};
use crate::client::settings;
use crate::fail::{Failed, Outcome};
use crate::show;

pub(crate) fn run(common: &Common, command: &Prices) -> Outcome {
    let book = almoner_daemon::price_book(&settings(common, Flags::default())?);
    match command {
        Prices::Show { model } => shown(common, &book, model.as_deref()),
        Prices::Check => check(common, &book),
    }
}

fn shown(common: &Common, book: &PriceBook, model: Option<&str>) -> Outcome {
    let wanted = |price: &&Price| model.is_none_or(|model| price.model() == model || is_alias(price, model));
    let prices: Vec<&Price> = book.prices().iter().filter(wanted).collect();
    if prices.is_empty() {
        let model = model.unwrap_or_default();
        let nearest = book.nearest(model).join(", ");
        let near = if nearest.is_empty() { String::new() } else { format!("the nearest are {nearest}; ") };
        let unknown = Failed::new("price_missing", format!("`{model}` has no price"));
        return Err(unknown.hint(format!("{near}add a [[price]] to the config file")));
    }
    if common.json {
        show::json(&prices.iter().map(|price| fact(price)).collect::<Vec<_>>())?;
    } else {
        show::line(format!("price book {}, dollars per million tokens", book.version()));
        prices.iter().for_each(|price| print(price));
    }
    Ok(ExitCode::SUCCESS)
}

fn is_alias(price: &Price, model: &str) -> bool {
    price.aliases().iter().any(|alias| alias == model)
}

fn print(price: &Price) {
    show::line(format!("{} ({})", price.model(), price.provider()));
    for rate in price.rates() {
        let above = if rate.above > 0 { format!(" above {} input tokens", rate.above) } else { String::new() };
        let caches = format!("read {}, write 5m {}, 1h {}", rate.read(), rate.write_5m(), rate.write_1h());
        let tier = format!("{:?}", rate.tier).to_lowercase();
        show::line(format!("  {tier}{above}: input {}, output {}, {caches}", rate.input, rate.output));
    }
}

fn fact(price: &Price) -> serde_json::Value {
    let rate = |rate: &almoner_policy::Rate| {
        serde_json::json!({
            "tier": format!("{:?}", rate.tier).to_lowercase(),
            "above_input_tokens": rate.above,
            "input_pico_usd": rate.input.get(),
            "output_pico_usd": rate.output.get(),
            "cache_read_pico_usd": rate.read().get(),
            "cache_write_5m_pico_usd": rate.write_5m().get(),
            "cache_write_1h_pico_usd": rate.write_1h().get(),
        })
    };
    serde_json::json!({
        "model": price.model(),
        "provider": price.provider(),
        "aliases": price.aliases(),
        "context_window": price.context_window(),
        "max_output": price.max_output(),
        "source": price.source(),
        "review_by": price.review_by().map(|at| at.to_string()),
        "rates": price.rates().iter().map(rate).collect::<Vec<_>>(),
    })
}

fn check(common: &Common, book: &PriceBook) -> Outcome {
    let findings = book.check(almoner_daemon::now());
    if common.json {
        let fact = |finding: &almoner_policy::Finding| {
            serde_json::json!({
                "severity": format!("{:?}", finding.severity).to_lowercase(),
                "provider": finding.provider, "model": finding.model, "message": finding.message,
            })
        };
        show::json(&findings.iter().map(fact).collect::<Vec<_>>())?;
    } else {
        for finding in &findings {
            let severity = format!("{:?}", finding.severity).to_lowercase();
            show::line(format!("{severity}: {} ({}): {}", finding.model, finding.provider, finding.message));
        }
        let (prices, found) = (book.prices().len() as u64, findings.len() as u64);
        show::line(format!("{} looked at, {}", counted(prices, "price"), counted(found, "finding")));
    }
    let broken = findings.iter().any(|finding| finding.severity == Severity::Fault);
    Ok(if broken { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
