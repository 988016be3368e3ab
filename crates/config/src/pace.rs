//! Paces, as a file gives them: how many requests and tokens may go in a minute.

use almoner_policy::pace::{PaceRule, Rates};
use almoner_units::BudgetName;

use crate::budget::{filter, per};
use crate::fields::Fields;
use crate::layers::Origin;
use crate::problem::{Fault, Report};
use crate::provider::Provider;
use crate::tree::Node;
use crate::value;

const KEYS: [&str; 5] = ["name", "where", "per", "rpm", "tpm"];

/// The most requests and the most tokens that a pace can be.
const RPM_MAX: u64 = 10_000_000;
const TPM_MAX: u64 = 1_000_000_000_000;

pub(crate) fn pace(node: &Node, providers: &[Provider], report: &mut Report) -> Option<PaceRule> {
    let fields = Fields::open(node, "a pace", &KEYS, report)?;
    let name_node = fields.need("name", report);
    let name = name_node.and_then(|node| report.take(value::parsed::<BudgetName>(node)));
    if let (Some(node), Some(name)) = (name_node, &name)
        && providers.iter().any(|provider| provider.name == name.as_str())
    {
        let message = format!("the pace of the provider `{name}` has this name");
        report.error(Fault::at(&node.place, message).help("write `rpm` and `tpm` into its [[provider]]"));
    }
    let wanted = fields.get("where").map_or(Some(Vec::new()), |node| filter(node, report));
    let per = fields.get("per").map_or(Some(Vec::new()), |node| per(node, report));
    let rates = rates(&fields, report)?;
    if rates.is_free() {
        let fault = Fault::at(fields.place, "a pace says `rpm`, `tpm`, or both");
        report.error(fault.help("such as rpm = 50, tpm = 40_000"));
    }
    let filter = wanted?.into_iter().map(|(pair, _)| pair).collect();
    let rule = PaceRule { name: name?.to_string(), filter, per: per?, rates, adaptive: false };
    note(&rule, &fields, report);
    Some(rule)
}

fn note(rule: &PaceRule, fields: &Fields<'_>, report: &mut Report) {
    let wanted: Vec<String> = rule.filter.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let per: Vec<String> = rule.per.iter().map(ToString::to_string).collect();
    let shown = [
        ("where", wanted.join(", ")),
        ("per", per.join(", ")),
        ("rpm", shown(rule.rates.rpm)),
        ("tpm", shown(rule.rates.tpm)),
    ];
    for (key, shown) in shown {
        let origin = fields.get(key).map_or(Origin::Default, |node| Origin::File(report.texts.locate(&node.place)));
        report.note(format!("pace.\"{}\".{key}", rule.name), &shown, origin);
    }
}

/// `rpm` and `tpm` of a provider or a pace.
pub(crate) fn rates(fields: &Fields<'_>, report: &mut Report) -> Option<Rates> {
    let mut rate = |key, most| match fields.get(key) {
        None => Some(None),
        Some(node) => report.take(value::count(1..=most)(node)).map(Some),
    };
    let (rpm, tpm) = (rate("rpm", RPM_MAX), rate("tpm", TPM_MAX));
    Some(Rates { rpm: rpm?, tpm: tpm? })
}

/// A rate as it is shown.
pub(crate) fn shown(rate: Option<u64>) -> String {
    rate.map_or_else(|| "no limit".to_owned(), |rate| rate.to_string())
}
