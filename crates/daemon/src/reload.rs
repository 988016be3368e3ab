//! Reading the configuration again while calls go on.
//!
//! All of it that may fail is done first, beside what is in force; then, in one step at the desk, the budgets of the
//! ledger and the gateway change together. Calls that come later go by the new configuration, those that run end by the
//! one that they began under. A configuration that is wrong changes nothing, and `status` says that there was one.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use almoner_api::{ReloadFailed, Reloaded, Reply};
use almoner_config::{ConfigErrors, Credential, Settings, masked};
use almoner_ledger::Who;
use almoner_store::EventKind;
use almoner_units::{Budget, counted};
use serde_json::json;
use tokio::sync::mpsc::UnboundedSender;

use crate::clock;
use crate::in_force::InForce;
use crate::keeper::Desk;
use crate::log::WARNING;
use crate::operations::{No, Operations, by_name, cut_where_over, lasting_budgets, no, no_but};
use crate::serve::{configured, keep};

/// How the configuration is read again: from the file that is in force, where one is.
pub type Reread = Arc<dyn Fn(Option<&Path>) -> Result<Settings, ConfigErrors> + Send + Sync>;

/// What reloading needs beside the operations.
pub(crate) struct Reloading {
    reread: Reread,
    /// Where people are told.
    notices: UnboundedSender<String>,
    /// One at a time: each begins with what the one before has put in force.
    turn: tokio::sync::Mutex<()>,
    failed: Mutex<Option<ReloadFailed>>,
}

impl Reloading {
    pub(crate) fn new(reread: Reread, notices: UnboundedSender<String>) -> Self {
        Self { reread, notices, turn: tokio::sync::Mutex::default(), failed: Mutex::default() }
    }

    /// Why the last reload changed nothing, where that is so.
    pub(crate) fn failed(&self) -> Option<ReloadFailed> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, failed: Option<ReloadFailed>) {
        *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = failed;
    }

    /// Says a line. Where the server is ending, nobody listens.
    fn say(&self, line: String) {
        drop(self.notices.send(line));
    }
}

impl Operations {
    /// Reads the configuration again, and puts it in force.
    pub(crate) async fn reload(&self, by: String) -> Result<Reply, No> {
        let _turn = self.reloading.turn.lock().await;
        let done = self.reload_for(&by).await;
        match &done {
            Ok(reloaded) => {
                self.reloading.note(None);
                self.recorder.metrics.reloaded(true, clock::read().wall.ms());
                self.recorder.keep(keep(&self.in_force.now().settings));
                self.recorder.traces.know(&self.in_force.now().settings);
                let data = json!({ "by": by, "changed": reloaded.changed, "needs_restart": reloaded.needs_restart });
                let changes = counted(reloaded.changed.len() as u64, "change");
                let message = format!("the configuration was reloaded for {by}, with {changes}");
                self.recorder.happened(EventKind::ConfigReloaded, message, data);
                said(reloaded, &by).into_iter().for_each(|line| self.reloading.say(line));
            }
            Err(failure) => {
                let failed = ReloadFailed { at: clock::read().wall.to_string(), message: failure.message.clone() };
                self.reloading.note(Some(failed));
                self.recorder.metrics.reloaded(false, 0);
                let message = format!("the configuration was not reloaded for {by}: {}", failure.message);
                let data = json!({ "by": by, "because": failure.message });
                self.recorder.happened(EventKind::ConfigRefused, message, data);
                self.reloading.say(format!(
                    "{WARNING}the configuration was not reloaded for {by}; the one before stays in force: {}",
                    failure.message
                ));
            }
        }
        done.map(|reloaded| Reply::Reloaded(Box::new(reloaded)))
    }

    async fn reload_for(&self, by: &str) -> Result<Reloaded, No> {
        let old = self.in_force.now();
        if old.gateway.is_stopping() {
            return Err(no("stopping", "the server was told to stop, and reads nothing any more"));
        }
        let settings = self.read_again(&old).await?;
        let warnings = settings.warnings().iter().map(|warning| warning.unranked().to_owned()).collect();
        let (settings, needs_restart) = within_reach(settings, &old.settings);
        let mut changed = differences(&old.settings, &settings);
        let parts = (self.keeper.clone(), self.recorder.clone(), self.keyring.clone());
        let next = InForce::new(settings, parts, Some(&old)).map_err(|error| no("config", error))?;
        let config = next.config.clone();
        let by = Who(format!("{by}, by reloading the configuration"));
        let place = self.in_force.clone();
        let budgets = self.at_desk(move |desk, _| {
            if let Some(why) = desk.closed() {
                return Err(no("not_kept", format!("the ledger takes no change now: {why}")));
            }
            // From here on nothing fails.
            let budgets = put_budgets(desk, configured(&next.settings), &by);
            next.gateway.set_budgets(by_name(lasting_budgets(desk)));
            next.gateway.put_paces();
            place.put(Arc::new(next));
            Ok(budgets)
        });
        changed.extend(budgets.await??);
        Ok(Reloaded { config, changed, needs_restart, warnings })
    }

    /// Reads the configuration, on a thread beside those that serve.
    async fn read_again(&self, old: &InForce) -> Result<Settings, No> {
        let path = old.settings.file.as_ref().map(|file| file.path.clone());
        let reread = Arc::clone(&self.reloading.reread);
        let read = tokio::task::spawn_blocking(move || reread(path.as_deref())).await;
        // What to write instead stands with each problem.
        read.map_err(|error| no("fault", error))?
            .map_err(|errors| no_but("config", &errors, "what was in force stays in force"))
    }
}

/// The settings as far as they can be put in force while the server runs, and those that need another start.
fn within_reach(mut new: Settings, old: &Settings) -> (Settings, Vec<String>) {
    let mut needs = Vec::new();
    if new.listen != old.listen {
        needs.push(format!("`listen` is {} until then, not {}", old.listen, new.listen));
        new.listen = old.listen;
        // Whoever reaches the old address needs a key, whatever the new one would have allowed.
        new.require_key |= !old.listen.ip().is_loopback();
    }
    if new.state_dir != old.state_dir {
        needs.push(format!("`state` is {} until then", old.state_dir.display()));
        new.state_dir.clone_from(&old.state_dir);
    }
    if new.connections_max != old.connections_max {
        needs.push(format!("`connections_max` is {} until then", old.connections_max));
        new.connections_max = old.connections_max;
    }
    if new.header_bytes_max != old.header_bytes_max {
        needs.push(format!("`header_bytes_max` is {} until then", old.header_bytes_max));
        new.header_bytes_max = old.header_bytes_max;
    }
    let log = |settings: &Settings| (settings.log, settings.log_format, settings.log_calls);
    if log(&new) != log(old) {
        needs.push("the log is as it was until then".to_owned());
        (new.log, new.log_format, new.log_calls) = log(old);
    }
    if new.traces != old.traces {
        let to = |settings: &Settings| {
            settings.traces.as_ref().map_or_else(|| "off".to_owned(), |traces| masked(&traces.url).to_string())
        };
        needs.push(match (to(old), to(&new)) {
            (is, wanted) if is == wanted => {
                "the headers and the name that go with `otlp` are as they were until then".to_owned()
            }
            (is, wanted) => format!("`otlp` is {is} until then, not {wanted}"),
        });
        new.traces.clone_from(&old.traces);
    }
    if new.receive_max != old.receive_max {
        needs.push("`receive_max` is as it was for the heads of requests until then".to_owned());
    }
    if new.stream_idle_max != old.stream_idle_max {
        needs.push("`stream_idle_max` is as it was for the last bytes of answers until then".to_owned());
    }
    (new, needs)
}

/// What is another in the new settings, in words; budgets are told by the ledger.
fn differences(old: &Settings, new: &Settings) -> Vec<String> {
    let shown = |settings: &Settings| -> BTreeMap<String, String> {
        let shown = settings.origins().iter().filter(|setting| !setting.key.starts_with("budget."));
        shown.map(|setting| (setting.key.clone(), setting.value.clone())).collect()
    };
    let (before, after) = (shown(old), shown(new));
    let is_same_log = (old.log, old.log_format, old.log_calls) == (new.log, new.log_format, new.log_calls);
    let kept_back = [
        ("log", is_same_log),
        ("log_format", is_same_log),
        ("log_calls", is_same_log),
        ("otlp", old.traces == new.traces),
        ("listen", old.listen == new.listen),
        ("state", old.state_dir == new.state_dir),
        ("connections_max", old.connections_max == new.connections_max),
        ("header_bytes_max", old.header_bytes_max == new.header_bytes_max),
    ];
    let is_kept_back = |key: &str| kept_back.contains(&(key, true));
    let keys: std::collections::BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let told =
        keys.into_iter().filter(|key| !is_kept_back(key)).filter_map(|key| match (before.get(key), after.get(key)) {
            (Some(before), Some(after)) if before == after => None,
            (Some(before), Some(after)) => Some(format!("`{key}` was {before}, and is {after}")),
            (None, Some(after)) => Some(format!("`{key}` is new: {after}")),
            (_, None) => Some(format!("`{key}` is gone")),
        });
    told.chain(other_secrets(old, new)).collect()
}

/// The providers whose credential is another, though it comes from where it came from before.
fn other_secrets(old: &Settings, new: &Settings) -> Vec<String> {
    let is_other = |provider: &&almoner_config::Provider| {
        let before = old.providers.iter().find(|known| known.name == provider.name);
        let secrets = (before.map(|known| &known.key), &provider.key);
        matches!(secrets, (Some(Credential::Secret(one)), Credential::Secret(other)) if one != other)
    };
    let told = |provider: &almoner_config::Provider| format!("the credential of `{}` is another", provider.name);
    new.providers.iter().filter(is_other).map(told).collect()
}

/// Makes the ledger's budgets those of the configuration, and tells what has changed. Those of keys stay as they are.
fn put_budgets(desk: &mut Desk, configured: Vec<Budget>, by: &Who) -> Vec<String> {
    let before: Vec<Budget> = by_name(lasting_budgets(desk));
    let now = desk.now();
    let mut told = Vec::new();
    for gone in before.iter().filter(|known| !configured.iter().any(|budget| budget.name == known.name)) {
        desk.retire_budget(&gone.name, by.clone());
        told.push(format!("budget `{}` is gone", gone.name));
    }
    for budget in configured {
        let known = before.iter().find(|known| known.name == budget.name);
        if known == Some(&budget) {
            continue;
        }
        let is = in_words(&budget);
        told.push(match known {
            Some(known) => format!("budget `{}` was {}, and is {is}", budget.name, in_words(known)),
            None => format!("budget `{}` is new: {is}", budget.name),
        });
        let name = budget.name.clone();
        desk.ledger.set_budget(budget, by.clone(), now);
        cut_where_over(desk, &name, now);
    }
    told
}

/// A budget as far as people tell one from another.
fn in_words(budget: &Budget) -> String {
    let limits = budget.limits.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let of = |(label, value): &(_, _)| format!("{label}={value}");
    let wanted: Vec<String> = budget.filter.iter().map(|(label, value)| of(&(label.to_string(), value))).collect();
    let counts = if wanted.is_empty() { String::new() } else { format!(" where {}", wanted.join(", ")) };
    let per: Vec<String> = budget.per.iter().map(ToString::to_string).collect();
    let per = if per.is_empty() { String::new() } else { format!(" per {}", per.join(", ")) };
    format!("{limits} in mode {}{counts}{per}", budget.mode)
}

/// What is said of a reload.
fn said(reloaded: &Reloaded, by: &str) -> Vec<String> {
    let path = reloaded.config.as_ref().map_or("no file", |config| config.path.as_str());
    let changes = counted(reloaded.changed.len() as u64, "change");
    let first = format!("the configuration was reloaded from {path} for {by}, with {changes}");
    let warnings = reloaded.warnings.iter().map(|warning| format!("{WARNING}{warning}"));
    let needs = reloaded.needs_restart.iter().map(|needs| format!("  with the next start: {needs}"));
    let changed = reloaded.changed.iter().map(|change| format!("  {change}"));
    std::iter::once(first).chain(changed).chain(needs).chain(warnings).collect()
}

#[cfg(test)]
mod tests {
    use almoner_config::{ConfigFile, Sources};

    use super::*;

    fn settings(text: &str) -> Settings {
        let file = ConfigFile { path: "almoner.toml".into(), text: text.to_owned() };
        almoner_config::load(&Sources { file: Some(file), ..Sources::empty("/state") }).unwrap()
    }

    #[test]
    fn what_others_still_reach_goes_on_to_need_a_key() {
        let (open, home) = (settings("listen = \"0.0.0.0:4141\""), settings("listen = \"127.0.0.1:4141\""));
        assert!(open.require_key && !home.require_key);
        let (kept, needs) = within_reach(home.clone(), &open);
        assert!(kept.require_key && kept.listen == open.listen);
        assert_eq!(needs, ["`listen` is 0.0.0.0:4141 until then, not 127.0.0.1:4141"]);
        // It is said again as long as it is so, and no more once the file has it back.
        assert_eq!(within_reach(home, &kept).1.len(), 1);
        assert_eq!(within_reach(open, &kept).1, Vec::<String>::new());
    }

    #[test]
    fn a_collector_that_is_not_taken_up_is_told_of_by_name() {
        let (off, on) = (settings(""), settings("otlp = \"http://127.0.0.1:4318\""));
        let told = "`otlp` is off until then, not http://127.0.0.1:4318/v1/traces";
        let (kept, needs) = within_reach(on.clone(), &off);
        assert_eq!((kept.traces, needs), (None, vec![told.to_owned()]));
        assert_eq!(within_reach(on.clone(), &on).1, Vec::<String>::new());
    }
}
