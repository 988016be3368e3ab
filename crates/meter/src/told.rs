//! What a provider has told so far: the state that every dialect folds its events into.
//!
//! The usage object is kept as it was written and read only when somebody asks, so that what the last event says wins
//! before any arithmetic is done.

use serde_json::value::RawValue;

use crate::pick::{elements, pick_in, provider_error, text};
use crate::sheet::Object;
use crate::{Dialect, Fault, Faults, ProviderError, Reading, ReportedCost};

/// The longest usage object that is read; a longer one is nobody's honest account.
const USAGE_MAX: usize = 64 << 10;

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Told {
    pub(crate) usage: Option<Object>,
    pub(crate) cost: Option<ReportedCost>,
    pub(crate) model: Option<String>,
    pub(crate) message_id: Option<String>,
    pub(crate) stop_reason: Option<String>,
    pub(crate) service_tier: Option<String>,
    pub(crate) error: Option<ProviderError>,
    pub(crate) finished: bool,
    /// The call makes no output, as an embedding does.
    pub(crate) no_output: bool,
    pub(crate) faults: Faults,
}

impl Told {
    /// The usage object as it is written in `raw`; a fault where it is none.
    pub(crate) fn read_usage(&mut self, raw: &RawValue) -> Option<Object> {
        let usage = Some(raw.get()).filter(|text| text.len() <= USAGE_MAX);
        let usage = usage.and_then(|text| serde_json::from_str(text).ok());
        if usage.is_none() {
            self.faults.note(Fault::Malformed);
        }
        usage
    }

    /// Takes a usage object in place of the one before; one that cannot be read leaves that one.
    pub(crate) fn replace_usage(&mut self, raw: Option<&RawValue>) {
        let Some(raw) = raw else { return };
        if let Some(usage) = self.read_usage(raw) {
            self.usage = Some(usage);
            self.note_cost(raw);
        }
    }

    /// Takes each member that says something in place of the one before.
    pub(crate) fn merge_usage(&mut self, raw: Option<&RawValue>) {
        let Some(update) = raw.and_then(|raw| self.read_usage(raw)) else { return };
        let usage = self.usage.get_or_insert_default();
        usage.extend(update.into_iter().filter(|(_, value)| !value.is_null()));
    }

    fn note_cost(&mut self, usage: &RawValue) {
        let Some([cost, ticks]) = pick_in(usage, ["cost", "cost_in_usd_ticks"], &mut self.faults) else { return };
        if let Some(cost) = cost {
            self.cost = self.read_cost(cost);
        } else if let Some(ticks) = ticks {
            self.cost = ticks.get().parse().ok().map(|ticks| ReportedCost::from_units(ticks, 10));
            self.doubt_cost();
        }
    }

    /// A cost is a number; some write it as text, some as an object with its total.
    fn read_cost(&mut self, cost: &RawValue) -> Option<ReportedCost> {
        let total = cost.get().starts_with('{').then(|| pick_in(cost, ["total_cost"], &mut self.faults));
        let number = total.map_or(Some(cost), |picked| picked.and_then(|[total]| total))?;
        let known = ReportedCost::read(number.get().trim_matches('"'));
        if known.is_none() {
            self.faults.note(Fault::NotACost);
        }
        known
    }

    fn doubt_cost(&mut self) {
        if self.cost.is_none() {
            self.faults.note(Fault::NotACost);
        }
    }

    /// Takes a text in place of the one before, where there is one.
    pub(crate) fn note_error(&mut self, raw: Option<&RawValue>) {
        if let Some(raw) = raw {
            self.error = Some(provider_error(raw));
        }
    }

    /// Takes what each of several choices says about its end.
    pub(crate) fn note_choices(&mut self, choices: Option<&RawValue>, reason_name: &str) {
        for choice in elements(choices) {
            if let Some([reason, error]) = pick_in(choice, [reason_name, "error"], &mut self.faults) {
                self.note_stop(reason);
                self.note_error(error);
            }
        }
    }

    /// Takes the reason why an answer, or one of its choices, ended.
    pub(crate) fn note_stop(&mut self, reason: Option<&RawValue>) {
        if let Some(reason) = text(reason) {
            self.stop_reason = Some(reason);
            self.finished = true;
        }
    }

    pub(crate) fn reading(&self, dialect: Dialect) -> Reading {
        let usage_present = self.usage.as_ref().is_some_and(|usage| !usage.is_empty());
        let mut reading = Reading {
            usage_present,
            finished: self.finished,
            output_lower_bound: usage_present && !self.finished,
            model: self.model.clone(),
            message_id: self.message_id.clone(),
            stop_reason: self.stop_reason.clone(),
            service_tier: self.service_tier.clone(),
            error: self.error.clone(),
            reported_cost_usd: self.cost,
            faults: self.faults.clone(),
            ..Reading::default()
        };
        if let Some(usage) = self.usage.as_ref().filter(|_| usage_present) {
            dialect.count(self, usage, &mut reading);
        }
        reading
    }
}

/// Takes a text in place of the one before, where it says something.
pub(crate) fn update(known: &mut Option<String>, raw: Option<&RawValue>) {
    if let Some(news) = text(raw) {
        *known = Some(news);
    }
}
