//! The operations of the control interface, done on the keeper's thread where they touch the ledger.

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;

use almoner_api::{AccountInfo, Failure, Reply, Request, Status, UsedTokens};
use almoner_config::nearest;
use almoner_gateway::Gateway;
use almoner_ledger::{AccountId, Hold, LimitView, Who};
use almoner_policy::{Extras, cost, touched};
use almoner_store::{CallRecord, HistoryEvent, HistoryReader, Outcome, ReadError};
use almoner_units::{
    AccountKey, Budget, BudgetName, CallId, Charge, LabelError, LabelName, LabelValue, Labels, Limit, Meter, Mode,
    NanoUsd, Timestamp, Usage, counted,
};

use crate::activity::Activity;
use crate::in_force::Place;
use crate::keeper::{Desk, Keeper, NotDone};
use crate::keys::{self, Keyring};
use crate::look::Looker;
use crate::over::{Overs, Reasons};
use crate::recorder::Recorder;
use crate::reload::Reloading;
use crate::tokens::Tokens;
use crate::world::RealWorld;
use crate::{booked, clock, describe, explain, metrics, over};

/// How many paces are shown at most, those with the most calls first.
const PACES_SHOWN: usize = 1_000;
/// The most characters of a reason.
const REASON_MAX: usize = 500;

/// What the server says of itself.
#[derive(Clone, Debug)]
pub(crate) struct About {
    pub(crate) version: &'static str,
    pub(crate) listen: String,
    pub(crate) state_dir: PathBuf,
    pub(crate) started: Timestamp,
}

/// The operations, and all they need.
pub(crate) struct Operations {
    pub(crate) about: About,
    pub(crate) keeper: Keeper,
    /// What the configuration has put in force.
    pub(crate) in_force: Place,
    pub(crate) reloading: Reloading,
    pub(crate) keyring: Keyring,
    pub(crate) recorder: Recorder,
    pub(crate) history: Looker,
    pub(crate) activity: Activity,
    /// Who may ask over the network.
    pub(crate) tokens: Tokens,
    /// Why accounts are over their limits.
    pub(crate) reasons: Reasons,
}

/// Why an operation is not done.
pub(crate) type No = Failure;

pub(crate) fn no(code: &str, message: impl std::fmt::Display) -> No {
    Failure { code: code.to_owned(), message: message.to_string(), hint: None }
}

/// The same, with what to do next.
pub(crate) fn no_but(code: &str, message: impl std::fmt::Display, hint: impl std::fmt::Display) -> No {
    Failure { hint: Some(hint.to_string()), ..no(code, message) }
}

impl Operations {
    /// Does one operation.
    pub(crate) async fn run(&self, request: Request) -> Reply {
        // Who looks again and again for numbers does not use it.
        if request != Request::Metrics {
            self.activity.note();
        }
        let done = match request {
            Request::CreateKey(_) if self.gateway().is_stopping() => {
                Err(no("stopping", "the server was told to stop and takes no new call; ask again when it has ended"))
            }
            Request::Status => self.status().await,
            Request::Metrics => self.metrics().await.map(|text| Reply::Metrics { text }),
            Request::Budgets { budget } => self.budgets(budget).await,
            Request::BudgetList => self.budget_list().await,
            Request::Routes => Ok(self.routes()),
            Request::Prices => Ok(self.prices()),
            Request::SetBudget { budget, limits, mode, by } => {
                self.noting("`budgets set` lowered its limit", self.set_budget(budget, limits, mode, by)).await
            }
            Request::ResetBudget { budget, per, reason, by } => self.reset_budget(budget, per, reason, by).await,
            Request::AddUsage { id, labels, input, output, cost_nano, reason, by } => {
                let why = format!("`usage add` booked usage that did not pass here ({reason})");
                self.noting(&why, self.add_usage(id, labels, (input, output, cost_nano), reason, by)).await
            }
            Request::Reload { by } => self.noting("a reload lowered its limit", self.reload(by)).await,
            Request::Explain { id } => self.explain(id).await,
            Request::Holds => self.holds().await,
            Request::Correct { id, cost_nano, tokens, reason, by } => {
                let why = format!("`correct` brought the truth about call {id}");
                self.noting(&why, self.correct(id, (cost_nano, tokens), reason, by)).await
            }
            Request::CreateKey(new) => self.create_key(*new).await,
            Request::Keys { key, all } => self.keys(key, all).await,
            Request::RotateKey { key, grace_ms, by } => self.rotate_key(key, grace_ms, by).await,
            Request::RevokeKey { key, kill, by } => self.revoke_key(key, kill, by).await,
            Request::CreateToken(new) => self.create_token(*new).await,
            Request::Tokens => Ok(self.tokens()),
            Request::RevokeToken { token, by } => self.revoke_token(&token, &by).await,
            Request::KeySummary { key } => self.key_summary(key).await,
            Request::Usage(query) => self.usage(*query).await,
            Request::Decisions(query) => self.decisions(*query).await,
            Request::ThrottleStats { session } => self.throttle_stats(session).await,
            Request::Events(query) => self.events(*query).await,
            Request::Ping => Ok(Reply::Done { message: "noted".to_owned() }),
        };
        done.unwrap_or_else(Reply::Failed)
    }

    /// The gateway for calls that come now.
    pub(crate) fn gateway(&self) -> Arc<Gateway<RealWorld>> {
        Arc::clone(&self.in_force.now().gateway)
    }

    /// Runs `work` where the ledger is.
    pub(crate) async fn at_desk<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Desk, Timestamp) -> T + Send + 'static,
    ) -> Result<T, No> {
        self.keeper.operate(work).await.map_err(|error| match error {
            NotDone::Stopping => no("stopping", error),
            NotDone::NotKept(_) => no("not_kept", error),
        })
    }

    /// Does what may bring accounts over their limits, and remembers that it was this.
    async fn noting(&self, why: &str, work: impl Future<Output = Result<Reply, No>>) -> Result<Reply, No> {
        let before = self.overs().await?;
        let done = work.await?;
        self.reasons.note(&before, &self.overs().await?, &format!("{why}, at {}", clock::read().wall));
        Ok(done)
    }

    /// The accounts that are over a limit.
    async fn overs(&self) -> Result<Overs, No> {
        self.at_desk(|desk, now| over::overs(&desk.ledger.views(now))).await
    }

    /// Remembers which accounts were over a limit before anything was asked of this server.
    pub(crate) async fn note_start(&self) {
        // Where the desk is gone already, nobody will ask.
        let after = self.overs().await.unwrap_or_default();
        let why = "it was so when the server started: a limit was lowered in the configuration, or what is counted was \
                   booked before";
        self.reasons.note(&Overs::new(), &after, why);
    }

    async fn status(&self) -> Result<Reply, No> {
        let causes = self.recorder.causes();
        let (about, reasons, in_force) = (self.about.clone(), self.reasons.clone(), self.in_force.now());
        let is_stopping = in_force.gateway.is_stopping();
        let history_lost = self.recorder.dropped();
        let reload_failed = self.reloading.failed();
        let providers =
            in_force.gateway.healths().iter().map(|(name, health)| describe::provider(name, health)).collect();
        let paces = in_force.gateway.paces().into_iter().take(PACES_SHOWN).map(describe::pace).collect();
        let status = self.at_desk(move |desk, now| {
            let assumed = desk.journal.assumed_list().unwrap_or_default();
            let (seq, head) = desk.journal.head();
            let open_holds = desk.ledger.holds().len() as u64;
            Status {
                version: about.version.to_owned(),
                pid: std::process::id(),
                listen: about.listen,
                state_dir: about.state_dir.display().to_string(),
                config: in_force.config.clone(),
                reload_failed,
                closed: if is_stopping { Some(draining(open_holds)) } else { desk.closed().map(str::to_owned) },
                open_holds,
                assumed_nano: assumed.iter().map(|assumed| assumed.hold.amount.usd().get()).sum(),
                assumed_holds: assumed.len() as u64,
                overrun_nano: causes.overrun_nano.into_iter().collect(),
                unbounded: causes.unbounded.into_iter().collect(),
                history_lost,
                journal_seq: seq,
                journal_head: head.to_string(),
                price_version: in_force.book.version().to_owned(),
                providers,
                paces,
                accounts: accounts(desk, now, &reasons),
            }
        });
        Ok(Reply::Status(Box::new(status.await?)))
    }

    /// All that can be counted, as the page that Prometheus reads.
    pub(crate) async fn metrics(&self) -> Result<String, No> {
        let books = self.at_desk(|desk, now| {
            let assumed = desk.journal.assumed_list().unwrap_or_default();
            metrics::Books {
                views: desk.ledger.views(now),
                budgets: desk.ledger.budgets().cloned().collect(),
                open_holds: desk.ledger.holds().len() as u64,
                waiting: desk.waiting() as u64,
                assumed_holds: assumed.len() as u64,
                assumed_nano: assumed.iter().map(|assumed| assumed.hold.amount.usd().get()).sum(),
                facts: desk.journal.head().0,
                is_closed: desk.closed().is_some(),
            }
        });
        let (mut books, in_force) = (books.await?, self.in_force.now());
        books.is_closed |= in_force.gateway.is_stopping();
        let around = metrics::Around {
            version: self.about.version,
            in_force: &in_force,
            started: self.about.started,
            keys: self.keyring.all().len() as u64,
            history_dropped: self.recorder.dropped(),
            log_dropped: self.recorder.calls.dropped(),
            spans_dropped: self.recorder.traces.dropped(),
            is_reload_failed: self.reloading.failed().is_some(),
        };
        Ok(metrics::page(&self.recorder.metrics, &books, &around))
    }

    async fn budgets(&self, budget: Option<String>) -> Result<Reply, No> {
        let reasons = self.reasons.clone();
        let accounts = self.at_desk(move |desk, now| {
            let wanted = budget.map(|name| known_budget(desk, &name).map(|budget| budget.name)).transpose()?;
            let mut accounts = accounts(desk, now, &reasons);
            accounts.retain(|account| wanted.as_ref().is_none_or(|name| name.as_str() == account.budget));
            Ok(accounts)
        });
        Ok(Reply::Accounts { accounts: accounts.await??, config: self.in_force.now().config.clone() })
    }

    async fn budget_list(&self) -> Result<Reply, No> {
        let budgets = self.at_desk(|desk, _| all_budgets(desk).iter().map(describe::budget).collect()).await?;
        Ok(Reply::BudgetList { budgets })
    }

    async fn set_budget(
        &self,
        name: String,
        limits: Vec<String>,
        mode: Option<String>,
        by: String,
    ) -> Result<Reply, No> {
        let limits = parse_limits(&limits)?;
        let mode = mode.map(|word| parse_mode(&word)).transpose()?;
        let (place, keyring) = (self.in_force.clone(), self.keyring.clone());
        let message = self.at_desk(move |desk, now| {
            let before = known_budget(desk, &name)?;
            let mut budget = before.clone();
            if !limits.is_empty() {
                budget.limits = limits;
            }
            budget.mode = mode.unwrap_or(budget.mode);
            let of_key = keys::owner(&budget).map(str::to_owned);
            if let Some(key) = &of_key {
                // What a key allows is its own, so it lasts as the key does.
                keep_limits(desk, &keyring, key, &budget, &by)?;
            }
            desk.ledger.set_budget(budget.clone(), Who(by), now);
            cut_where_over(desk, &budget.name, now);
            put_in_force(&place.now().gateway, desk);
            Ok(changed(desk, &before, &budget, of_key.is_some(), now))
        });
        Ok(Reply::Done { message: message.await?? })
    }

    async fn reset_budget(
        &self,
        name: String,
        per: Vec<(String, String)>,
        reason: String,
        by: String,
    ) -> Result<Reply, No> {
        one_line(&reason)?;
        let per = parse_labels(&per)?;
        let message = self.at_desk(move |desk, now| {
            let budget = known_budget(desk, &name)?;
            let views = desk.ledger.views(now);
            let is_meant = |key: &AccountKey| {
                key.budget == budget.name
                    && per.iter().all(|(name, value)| key.per.contains(&(name.clone(), value.clone())))
            };
            let meant: Vec<_> = views.iter().filter(|view| is_meant(&view.key)).collect();
            if meant.is_empty() {
                return Err(no("no_account", format!("budget `{name}` has no such account open; nothing was reset")));
            }
            for view in &meant {
                desk.ledger.reset(&view.key, Who(by.clone()), reason.clone(), now);
            }
            let (begins, meant) =
                (if meant.len() == 1 { "begins" } else { "begin" }, counted(meant.len() as u64, "account"));
            Ok(format!("{meant} of `{name}` {begins} anew; what is in flight stays held"))
        });
        Ok(Reply::Done { message: message.await?? })
    }

    async fn add_usage(
        &self,
        id: Option<String>,
        labels: Vec<(String, String)>,
        (input, output, cost_nano): (u64, u64, u64),
        reason: String,
        by: String,
    ) -> Result<Reply, No> {
        with_reason(&reason)?;
        let labels: Labels = parse_labels(&labels)?.into_iter().collect();
        let id = match id {
            Some(id) => id.parse().map_err(|error| no("bad_id", error))?,
            None => CallId::new(clock::read().wall, clock::dice()),
        };
        let usage = Usage { input: Some(input), output: Some(output), ..Usage::default() };
        let spent = Charge::of(&usage, NanoUsd::new(cost_nano));
        let (of, why) = (labels.clone(), reason.clone());
        let touched = self.at_desk(move |desk, now| {
            let keys = touched(&all_budgets(desk), &labels);
            let opener = labels.named("key").map_or_else(String::new, ToString::to_string);
            let accounts: Vec<AccountId> = keys.iter().filter_map(|key| desk.ledger.open(key, &opener, now)).collect();
            let touched = accounts.len();
            let added = desk.ledger.add(id, accounts.into(), spent, Who(by), reason, now);
            added.map(|()| (touched, now)).map_err(|error| no("contradiction", error))
        });
        let (touched, at) = touched.await??;
        self.recorder.put(HistoryEvent::Verdict(Box::new(booked::verdict(id, at, of, &why))));
        self.recorder.put(HistoryEvent::Outcome(Box::new(booked::outcome(id, at, Outcome::Added, usage, spent, why))));
        let (cost, tokens) = (NanoUsd::new(cost_nano), Meter::Tokens.show(spent[Meter::Tokens]));
        let accounts = counted(touched as u64, "account");
        Ok(Reply::Done { message: format!("booked {cost}, {tokens} on {accounts} as {id}") })
    }

    /// Reads history, with everything in it that has happened so far.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut HistoryReader) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, No> {
        self.recorder.written().await;
        self.history.look(work).await
    }

    async fn explain(&self, id: String) -> Result<Reply, No> {
        let call: CallId = id.parse().map_err(|error| no("bad_id", error))?;
        let record = self.read(move |reader| reader.explain(call)).await?;
        let facts = self.at_desk(move |desk, _| desk.journal.facts_of(call)).await?;
        let facts = facts.map_err(|error| no("store", error))?;
        if record.is_none() && facts.is_empty() {
            let why = format!("neither history nor the journal knows a call {call}");
            return Err(no_but(
                "unknown_call",
                why,
                "it is too old, or none of ours; refusals without a good key or a route are not kept, and others that no budget made only up to 60 a minute",
            ));
        }
        let journal = explain::journal(&facts, record.as_ref());
        let record = record.unwrap_or(CallRecord { verdict: None, outcome: None });
        Ok(Reply::Call(Box::new(describe::call(id, &record, explain::is_over(&facts), journal))))
    }

    async fn holds(&self) -> Result<Reply, No> {
        let holds = self.at_desk(|desk, _| {
            let of = |hold: &Hold, state, since| {
                let keys: Vec<_> = hold.accounts.iter().filter_map(|id| desk.ledger.key_of(*id).cloned()).collect();
                describe::hold(hold, state, since, &keys)
            };
            let open = desk.ledger.holds().into_iter().map(|hold| of(hold, "open", hold.id.made_at()));
            let assumed = desk.journal.assumed_list().map_err(|error| no("store", error))?;
            let assumed = assumed.iter().map(|assumed| of(&assumed.hold, "assumed", assumed.assumed_at));
            Ok::<_, No>(open.chain(assumed).collect())
        });
        Ok(Reply::Holds { holds: holds.await?? })
    }

    async fn correct(
        &self,
        id: String,
        told: (Option<u64>, Option<UsedTokens>),
        reason: String,
        by: String,
    ) -> Result<Reply, No> {
        with_reason(&reason)?;
        let call: CallId = id.parse().map_err(|error| no("bad_id", error))?;
        let usage = told.1.map(|tokens| usage_of(&tokens)).unwrap_or_default();
        let truth = self.truth_about(call, told, &usage).await?;
        let why = reason.clone();
        let corrected = self.at_desk(move |desk, now| {
            let assumed = desk.journal.assumed(call).map_err(|error| no("store", error))?.ok_or_else(|| {
                let known = "`almoner holds list` shows the calls that have; news are taken for 35 days";
                no("not_assumed", format!("call {call} has nothing assumed; {known}"))
            })?;
            if desk.is_being_corrected(call) {
                return Err(no(
                    "not_assumed",
                    format!("call {call} is corrected already, and that is not on disk yet"),
                ));
            }
            let known = assumed.corrected.map_or(assumed.hold.amount, |before| before.spent);
            let spent = match truth {
                Truth::Spent(spent) => spent,
                // A cost in dollars says nothing about tokens, so those stay as they are.
                Truth::Cost(cost) => with_usd(known, cost),
            };
            let settled = desk.ledger.correct(assumed, spent, Who(by), reason, now);
            settled.map(|_| (known, spent, now)).map_err(|error| no("not_assumed", error))
        });
        let (known, spent, at) = corrected.await??;
        let outcome = booked::outcome(call, at, Outcome::Corrected, usage, spent, why);
        self.recorder.put(HistoryEvent::Outcome(Box::new(outcome)));
        let tokens = match truth {
            Truth::Cost(_) => "; its tokens stay charged as they were".to_owned(),
            Truth::Spent(_) => format!(", from {} to {} tokens", known[Meter::Tokens], spent[Meter::Tokens]),
        };
        Ok(Reply::Done { message: format!("call {call} is corrected from {} to {}{tokens}", known.usd(), spent.usd()) })
    }

    /// What a correction says that a call spent.
    async fn truth_about(
        &self,
        call: CallId,
        told: (Option<u64>, Option<UsedTokens>),
        usage: &Usage,
    ) -> Result<Truth, No> {
        match told {
            (None, None) => Ok(Truth::Spent(Charge::ZERO)),
            (Some(cost), None) => Ok(Truth::Cost(cost)),
            (Some(cost), Some(_)) => Ok(Truth::Spent(Charge::of(usage, NanoUsd::new(cost)))),
            (None, Some(_)) => Ok(Truth::Spent(Charge::of(usage, self.price_of(call, usage).await?))),
        }
    }

    /// What so many tokens of a call cost, by the price book as of the call's day.
    async fn price_of(&self, call: CallId, usage: &Usage) -> Result<NanoUsd, No> {
        let record = self.read(move |reader| reader.explain(call)).await?;
        let verdict = record.and_then(|record| record.verdict);
        let of = verdict.as_ref().and_then(|verdict| Some((verdict.provider.as_deref()?, verdict.model.as_deref()?)));
        let unknown = |what: String| no_but("no_price", what, "say what it cost with --cost");
        let (provider, model) =
            of.ok_or_else(|| unknown(format!("history does not know which model call {call} went to")))?;
        let in_force = self.in_force.now();
        let price = in_force.book.find(Some(provider), model, call.made_at());
        let price = price.ok_or_else(|| unknown(format!("the price book has no price of `{model}` at {provider}")))?;
        cost(usage, &Extras::default(), price).map_err(|error| no("no_price", error))
    }
}

/// Every account, and every budget that has none yet, by budget and labels.
fn accounts(desk: &Desk, now: Timestamp, reasons: &Reasons) -> Vec<AccountInfo> {
    let views = desk.ledger.views(now);
    let is_unopened = |budget: &&Budget| !views.iter().any(|view| view.key.budget == budget.name);
    let opened = views.iter().map(|view| describe::account(view, |view| reasons.of(view)));
    let mut accounts: Vec<AccountInfo> =
        opened.chain(lasting_budgets(desk).filter(is_unopened).map(describe::unopened)).collect();
    accounts.sort_by(|one, other| (&one.budget, &one.account).cmp(&(&other.budget, &other.account)));
    accounts
}

/// Tells the gateway which budgets are in force. It is told at the desk, so that it hears of changes in their order: of
/// two that change at once, none may undo the other's budget. Those of keys come with their keys.
fn put_in_force(gateway: &Gateway<RealWorld>, desk: &Desk) {
    gateway.set_budgets(by_name(lasting_budgets(desk)));
}

/// What a server says of itself that was told to stop.
fn draining(running: u64) -> String {
    let calls = if running == 1 { "call" } else { "calls" };
    format!("draining, {running} {calls} running; the server was told to stop, and ends with them")
}

/// The budgets that are no key's own.
pub(crate) fn lasting_budgets(desk: &Desk) -> impl Iterator<Item = &Budget> {
    desk.ledger.budgets().filter(|budget| keys::owner(budget).is_none())
}

/// The budgets in force, by name.
pub(crate) fn all_budgets(desk: &Desk) -> Vec<Budget> {
    by_name(desk.ledger.budgets())
}

pub(crate) fn by_name<'b>(budgets: impl Iterator<Item = &'b Budget>) -> Vec<Budget> {
    let mut budgets: Vec<Budget> = budgets.cloned().collect();
    budgets.sort_unstable_by(|one, other| one.name.cmp(&other.name));
    budgets
}

fn known_budget(desk: &Desk, name: &str) -> Result<Budget, No> {
    let budgets = all_budgets(desk);
    let names: Vec<&str> = budgets.iter().map(|budget| budget.name.as_str()).collect();
    let there_are = format!("there are: {}", names.join(", "));
    let meant = nearest(name, names.iter().copied()).map(|near| format!("did you mean `{near}`? "));
    let hint = format!("{}{there_are}", meant.unwrap_or_default());
    let unknown = || no_but("unknown_budget", format!("no budget is named `{name}`"), hint);
    budgets.iter().find(|budget| budget.name.as_str() == name).cloned().ok_or_else(unknown)
}

/// Cuts what runs on accounts that are charged beyond a limit that was lowered, where the budget's mode says so.
pub(crate) fn cut_where_over(desk: &mut Desk, budget: &BudgetName, now: Timestamp) {
    for view in desk.ledger.views(now).iter().filter(|view| view.key.budget == *budget) {
        if view.limits.iter().any(|limit| limit.charged() > limit.limit.amount) {
            desk.cut_calls_on(&view.key, "its limit was lowered below what is charged");
        }
    }
}

/// Changes the limits of a key's own budget where the key is kept.
fn keep_limits(desk: &mut Desk, keyring: &Keyring, key: &str, budget: &Budget, by: &str) -> Result<(), No> {
    let now = clock::read().wall;
    let known = keyring.get(key, now).ok_or_else(|| no("unknown_key", format!("the key `{key}` is gone")))?;
    let mut stored = (*known).clone();
    stored.limits.clone_from(&budget.limits);
    stored.mode = budget.mode;
    let limits: Vec<String> = budget.limits.iter().map(ToString::to_string).collect();
    keys::note(&mut stored, now, by, format!("its budget is {} in mode {}", limits.join(", "), budget.mode));
    desk.journal.keys_put(&stored).map_err(|error| no("store", error))?;
    keyring.put(stored);
    Ok(())
}

/// What a change did to a budget, in words: what it was, what it is, and what limits that are new begin with.
fn changed(desk: &Desk, before: &Budget, after: &Budget, lasts: bool, now: Timestamp) -> String {
    let limits = |budget: &Budget| budget.limits.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let is_new =
        |limit: &&Limit| !before.limits.iter().any(|old| (old.meter, &old.window) == (limit.meter, &limit.window));
    let begins: String = after.limits.iter().filter(is_new).map(|limit| begins_with(desk, after, limit, now)).collect();
    let until = if lasts {
        "it holds as long as its key does"
    } else {
        "it holds until the server next reads its configuration, so write it into the file to keep it"
    };
    format!(
        "`{}` was {} in mode {}, and is {} in mode {}; {until}{begins}",
        before.name,
        limits(before),
        before.mode,
        limits(after),
        after.mode
    )
}

/// What a limit begins with that has come, or has come back: over all accounts of its budget.
fn begins_with(desk: &Desk, budget: &Budget, limit: &Limit, now: Timestamp) -> String {
    let views = desk.ledger.views(now);
    let of = views.iter().filter(|view| view.key.budget == budget.name).flat_map(|view| &view.limits);
    let charged = of.filter(|view| view.limit == *limit).map(LimitView::charged).fold(0, u64::saturating_add);
    let amount = if charged == 0 { "nothing".to_owned() } else { limit.meter.show(charged) };
    format!("; `{limit}` begins with {amount} charged")
}

pub(crate) fn parse_limits(texts: &[String]) -> Result<Vec<Limit>, No> {
    texts.iter().map(|text| text.parse().map_err(|error| no("bad_limit", error))).collect()
}

pub(crate) fn parse_mode(word: &str) -> Result<Mode, No> {
    let known = "warn, throttle, stop-new or kill-running";
    word.parse().map_err(|()| no_but("bad_mode", format!("`{word}` is no mode"), format!("write {known}")))
}

fn unknown_label(name: &str, error: LabelError) -> No {
    match nearest(name, LabelName::KNOWN) {
        Some(near) => no_but("bad_label", error, format!("did you mean `{near}`?")),
        None => no("bad_label", error),
    }
}

pub(crate) fn parse_label_name(name: &str) -> Result<LabelName, No> {
    name.parse().map_err(|error| unknown_label(name, error))
}

pub(crate) fn parse_labels(pairs: &[(String, String)]) -> Result<Vec<(LabelName, LabelValue)>, No> {
    let parse = |(name, value): &(String, String)| {
        let name = parse_label_name(name)?;
        Ok((name, value.parse().map_err(|error| no("bad_label", error))?))
    };
    pairs.iter().map(parse).collect()
}

/// What somebody says that a call spent.
#[derive(Clone, Copy)]
enum Truth {
    /// All of it.
    Spent(Charge),
    /// Its dollars, in nano-dollars.
    Cost(u64),
}

fn usage_of(tokens: &UsedTokens) -> Usage {
    Usage {
        input: Some(tokens.input),
        output: Some(tokens.output),
        cache_read: Some(tokens.cache_read),
        cache_write_5m: Some(tokens.cache_write_5m),
        cache_write_1h: Some(tokens.cache_write_1h),
        reasoning: None,
    }
}

/// Refuses a change that nobody gives a reason for.
fn with_reason(reason: &str) -> Result<(), No> {
    if reason.trim().is_empty() {
        let why = "the reason is empty, and it is all that the audit will have";
        return Err(no_but("no_reason", why, "say in a few words how you know, with --reason"));
    }
    one_line(reason)
}

/// Refuses a reason that no line of the audit could hold: it stands in the journal for good.
fn one_line(reason: &str) -> Result<(), No> {
    let length = reason.chars().count();
    if length > REASON_MAX || reason.chars().any(char::is_control) {
        let why = format!("a reason is one line of at most {REASON_MAX} characters; this one has {length}");
        return Err(no_but("bad_reason", why, "say it in a few words, without line breaks"));
    }
    Ok(())
}

/// The same charge with another amount of dollars.
fn with_usd(mut charge: Charge, nano: u64) -> Charge {
    charge[Meter::Usd] = nano;
    charge
}
