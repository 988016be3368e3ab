//! What a provider has told so far: the state that every dialect folds its events into.
//!
//! The usage object is kept as it was written and read only when somebody asks, so that what the last event says wins
//! before any arithmetic is done.

use serde_json::Value;
use serde_json::value::RawValue;

use crate::pick::{elements, pick, pick_in, provider_error, text};
use crate::sheet::{Object, Sheet};
use crate::{Dialect, Fault, Faults, ProviderError, Reading, ReportedCost};

/// The longest usage object that is kept; a longer one is nobody's honest account.
const USAGE_MAX: usize = 64 << 10;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    /// The JSON text of the usage object that counts so far.
    usage: Option<String>,
    pub(crate) model: Option<String>,
    pub(crate) message_id: Option<String>,
    pub(crate) stop_reason: Option<String>,
    /// How many bytes have come.
    pub(crate) body_bytes: u64,
    pub(crate) service_tier: Option<String>,
    pub(crate) error: Option<ProviderError>,
    pub(crate) finished: bool,
    /// Web searches that stand in the answer itself, where its usage does not tell them.
    pub(crate) searches: u64,
    /// The answer has said something, where its usage may leave that out.
    pub(crate) wrote: bool,
    /// The same of thinking aloud.
    pub(crate) thought: bool,
    /// The call makes no output, as an embedding does.
    pub(crate) no_output: bool,
    pub(crate) faults: Faults,
}

impl Told {
    /// The text of the usage object that counts so far.
    pub(crate) fn usage_text(&self) -> Option<&str> {
        self.usage.as_deref()
    }

    /// The usage object that counts so far; nothing and a fault where it is too deep to read.
    pub(crate) fn usage_object(&self, faults: &mut Faults) -> Option<Object> {
        let usage = serde_json::from_str(self.usage_text()?).ok();
        if usage.is_none() {
            faults.note(Fault::Malformed);
        }
        usage
    }

    /// Takes a usage object in place of the one before; what is no such object leaves that one.
    pub(crate) fn replace_usage(&mut self, raw: Option<&RawValue>) {
        let Some(raw) = raw else { return };
        if raw.get().starts_with('{') && raw.get().len() <= USAGE_MAX {
            let usage = self.usage.get_or_insert_default();
            usage.clear();
            usage.push_str(raw.get());
        } else {
            self.faults.note(Fault::Malformed);
        }
    }

    /// Takes each member that says something in place of the one before.
    pub(crate) fn merge_usage(&mut self, raw: Option<&RawValue>) {
        let Some(raw) = raw else { return };
        if self.usage.is_none() && !raw.get().contains("null") {
            // Nothing to merge it with, and nothing in it to leave out: it stands as it was written.
            return self.replace_usage(Some(raw));
        }
        match serde_json::from_str(raw.get()) {
            Ok(update) => self.merge(update),
            Err(_) => self.faults.note(Fault::Malformed),
        }
    }

    /// The same for members that were read before.
    pub(crate) fn merge(&mut self, update: Object) {
        let mut faults = std::mem::take(&mut self.faults);
        let mut usage = self.usage_object(&mut faults).unwrap_or_default();
        self.faults = faults;
        usage.extend(update.into_iter().filter(|(_, value)| !value.is_null()));
        let text = Value::Object(usage).to_string();
        if text.len() <= USAGE_MAX {
            self.usage = Some(text);
        } else {
            self.faults.note(Fault::Malformed);
        }
    }

    /// Takes an error in place of the one before, where there is one.
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
        let mut faults = self.faults.clone();
        let usage = self.usage_object(&mut faults).filter(|usage| !usage.is_empty());
        let mut reading = Reading {
            usage_present: usage.is_some(),
            finished: self.finished,
            output_lower_bound: usage.is_some() && !self.finished,
            model: self.model.clone(),
            message_id: self.message_id.clone(),
            stop_reason: self.stop_reason.clone(),
            body_bytes: self.body_bytes,
            service_tier: self.service_tier.clone(),
            error: self.error.clone(),
            searches_shown: self.searches,
            reported_cost_usd: self.usage_text().and_then(|text| reported_cost(text, &mut faults)),
            ..Reading::default()
        };
        if let Some(usage) = &usage {
            dialect.count(self, &mut Sheet { usage, faults: &mut faults }, &mut reading);
        }
        reading.faults = faults;
        reading
    }
}

/// The cost that stands beside the counts, as dollars or as ticks of a ten-billionth.
fn reported_cost(usage: &str, faults: &mut Faults) -> Option<ReportedCost> {
    // Most providers tell none, and to look for one is a second reading of it all.
    if !usage.contains("cost") && !usage.contains('\\') {
        return None;
    }
    let [cost, ticks] = pick(usage.as_bytes(), ["cost", "cost_in_usd_ticks"], &mut Faults::default())?;
    let known = match (cost, ticks) {
        (Some(cost), _) => dollars(cost)?,
        (None, Some(ticks)) => ticks.get().parse().ok().map(|ticks| ReportedCost::from_units(ticks, 10)),
        (None, None) => return None,
    };
    if known.is_none() {
        faults.note(Fault::NotACost);
    }
    known
}

/// A cost is a number; some write it as text, some as an object with its total. The outer `None` is not said.
fn dollars(cost: &RawValue) -> Option<Option<ReportedCost>> {
    let total = if cost.get().starts_with('{') {
        pick_in(cost, ["total_cost"], &mut Faults::default()).and_then(|[total]| total)?
    } else {
        cost
    };
    Some(ReportedCost::read(total.get().trim_matches('"')))
}

/// Takes a text in place of the one before, where it says something.
///
/// Most chunks of a stream repeat their texts: what is known already is not read again.
pub(crate) fn update(known: &mut Option<String>, raw: Option<&RawValue>) {
    let said = raw.and_then(|raw| raw.get().strip_prefix('"')?.strip_suffix('"'));
    if said.is_some() && said == known.as_deref() {
        return;
    }
    if let Some(news) = text(raw) {
        *known = Some(news);
    }
}
