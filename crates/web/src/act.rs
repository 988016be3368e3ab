//! What each resource does: one operation of the port, and its reply as the resource that was asked for.

use almoner_api::{
    DecisionQuery, EventQuery, NewKey, NewToken, Port, Reply, Request, ThrottleStats, UsageQuery, UsedTokens,
};
use almoner_units::CallId;
use hyper::body::Bytes;
use serde::Serialize;

use crate::body::{
    self, AddUsage, ChangeBudget, Correct, CorrectTokens, CreateKey, CreateToken, Nothing, ResetBudget, RevokeKey,
    RotateKey,
};
use crate::catalog::{PriceView, PricesView, RouteView};
use crate::openapi;
use crate::page::Page;
use crate::problem::{Problem, shown};
use crate::query::Query;
use crate::resources::{
    AccountView, AuditView, BudgetView, CallView, DecisionView, Done, HoldView, KeySecretView, KeyView, List, PaceView,
    ProviderView, ReloadedView, StatusView, TokenSecretView, TokenView, UsageView,
};
use crate::table::Act;

/// The kinds of events that somebody brought about: the audit.
pub const CHANGES: [&str; 12] = [
    "budget_set",
    "budget_removed",
    "budget_reset",
    "usage_added",
    "corrected",
    "key_made",
    "key_rotated",
    "key_revoked",
    "token_made",
    "token_revoked",
    "config_reloaded",
    "config_refused",
];

/// A request that was let in.
pub(crate) struct Ask {
    pub(crate) act: Act,
    /// What stands in the places of its path.
    pub(crate) places: Vec<String>,
    pub(crate) query: Query,
    pub(crate) body: Bytes,
    /// Who asks, for the audit.
    pub(crate) by: String,
    /// The id of the call that it may book.
    pub(crate) call: CallId,
}

impl Ask {
    fn place(&self) -> String {
        self.places.first().cloned().unwrap_or_default()
    }

    fn read<T: serde::de::DeserializeOwned>(&self) -> Result<T, Problem> {
        body::read(&self.body)
    }

    fn text(&self, name: &str) -> Option<String> {
        self.query.get(name).map(str::to_owned)
    }
}

/// Does what is asked, and gives the body of the answer.
pub(crate) async fn act<P: Port>(port: &P, ask: &Ask) -> Result<String, Problem> {
    match ask.act {
        Act::Document => Ok(openapi::document()),
        Act::Status => {
            let Reply::Status(status) = run(port, Request::Status).await? else { return Err(unexpected()) };
            json(&StatusView::from(*status))
        }
        Act::Providers => providers(port, ask).await,
        Act::Budgets => budgets(port, ask).await,
        Act::Budget => budget(port, ask).await,
        Act::ChangeBudget => done(port, change_budget(ask)?).await,
        Act::ResetBudget => done(port, reset_budget(ask)?).await,
        Act::Accounts => accounts(port, ask).await,
        Act::Holds => holds(port, ask).await,
        Act::Correct => done(port, correct(ask)?).await,
        Act::Decisions => decisions(port, ask).await,
        Act::Decision => {
            let Reply::Call(call) = run(port, Request::Explain { id: ask.place() }).await? else {
                return Err(unexpected());
            };
            json(&CallView::from(*call))
        }
        Act::Usage => usage(port, ask).await,
        Act::AddUsage => done(port, add_usage(ask)?).await,
        Act::ThrottleStats => throttle_stats(port, ask).await,
        Act::Metrics => {
            let Reply::Metrics { text } = run(port, Request::Metrics).await? else { return Err(unexpected()) };
            Ok(text)
        }
        Act::Reload => {
            let Nothing {} = ask.read()?;
            let request = Request::Reload { by: ask.by.clone() };
            let Reply::Reloaded(reloaded) = run(port, request).await? else { return Err(unexpected()) };
            json(&ReloadedView::from(*reloaded))
        }
        Act::Paces => {
            let Reply::Status(status) = run(port, Request::Status).await? else { return Err(unexpected()) };
            let paces: Vec<PaceView> = status.paces.into_iter().map(Into::into).collect();
            page(ask, paces, |pace| pace.pace.clone())
        }
        Act::Routes => {
            let Reply::Routes { routes } = run(port, Request::Routes).await? else { return Err(unexpected()) };
            page(ask, routes.into_iter().map(RouteView::from).collect(), |route| route.route.clone())
        }
        Act::Prices => prices(port, ask).await,
        // It is a stream, which is no body to remember.
        Act::Events => Err(unexpected()),
        Act::Audit => audit(port, ask).await,
        Act::Keys => keys(port, ask).await,
        Act::Key => key(port, ask).await,
        Act::CreateKey => key_secret(port, create_key(ask)?).await,
        Act::RotateKey => {
            let grace_ms = ask.read::<RotateKey>()?.grace_ms.0;
            key_secret(port, Request::RotateKey { key: ask.place(), grace_ms, by: ask.by.clone() }).await
        }
        Act::RevokeKey => {
            let RevokeKey { kill } = ask.read()?;
            done(port, Request::RevokeKey { key: ask.place(), kill, by: ask.by.clone() }).await
        }
        Act::Tokens => tokens(port, ask).await,
        Act::CreateToken => create_token(port, ask).await,
        Act::RevokeToken => {
            let Nothing {} = ask.read()?;
            done(port, Request::RevokeToken { token: ask.place(), by: ask.by.clone() }).await
        }
    }
}

/// Asks the port, whose refusals are problems.
pub(crate) async fn run<P: Port>(port: &P, request: Request) -> Result<Reply, Problem> {
    match port.run(request).await {
        Reply::Failed(failure) => Err(failure.into()),
        reply => Ok(reply),
    }
}

async fn done<P: Port>(port: &P, request: Request) -> Result<String, Problem> {
    let Reply::Done { message } = run(port, request).await? else { return Err(unexpected()) };
    json(&Done { message })
}

pub(crate) fn unexpected() -> Problem {
    Problem::fault("the server answered something else than it was asked")
}

fn json(value: &impl Serialize) -> Result<String, Problem> {
    serde_json::to_string(value).map_err(|error| Problem::fault(error.to_string()))
}

/// A page of a list, by the marks of its items.
fn page<T: Serialize>(ask: &Ask, items: Vec<T>, mark: impl Fn(&T) -> String) -> Result<String, Problem> {
    let (items, next_cursor) = Page::of(&ask.query)?.take(items, mark);
    json(&List { items, next_cursor })
}

async fn providers<P: Port>(port: &P, ask: &Ask) -> Result<String, Problem> {
    let Reply::Status(status) = run(port, Request::Status).await? else { return Err(unexpected()) };
    let providers: Vec<ProviderView> = status.providers.into_iter().map(Into::into).collect();
    page(ask, providers, |provider| provider.provider.clone())
}

async fn prices<P: Port>(port: &P, ask: &Ask) -> Result<String, Problem> {
    let Reply::Prices { version, prices } = run(port, Request::Prices).await? else { return Err(unexpected()) };
    let (provider, model) = (ask.query.get("provider"), ask.query.get("model"));
    let prices = prices.into_iter().map(PriceView::from).filter(|price| price.is_of(provider, model)).collect();
    let (items, next_cursor) = Page::of(&ask.query)?.take(prices, PriceView::mark);
    json(&PricesView { version, items, next_cursor })
}

async fn all_budgets<P: Port>(port: &P) -> Result<Vec<BudgetView>, Problem> {
    let Reply::BudgetList { budgets } = run(port, Request::BudgetList).await? else { return Err(unexpected()) };
    Ok(budgets.into_iter().map(Into::into).collect())
}

async fn budgets<P: Port>(port: &P, ask: &Ask) -> Result<String, Problem> {
    page(ask, all_budgets(port).await?, |budget| budget.budget.clone())
}

async fn budget<P: Port>(port: &P, ask: &Ask) -> Result<String, Problem> {
    let name = ask.place();
    let all = all_budgets(port).await?;
    match all.iter().find(|budget| budget.budget == name) {
        Some(budget) => json(budget),
        None => {
            let near = almoner_units::nearest(&name, all.iter().map(|budget| budget.budget.as_str()));
            let why = format!("no budget is named `{}`", shown(&name));
            let problem = Problem::new(hyper::StatusCode::NOT_FOUND, "unknown_budget", why);
            Err(near.map(|near| format!("did you mean `{near}`?")).into_iter().fold(problem, Problem::hint))
        }
    }
}

fn change_budget(ask: &Ask) -> Result<Request, Problem> {
    let ChangeBudget { limits, mode } = ask.read()?;
    if limits.is_none() && mode.is_none() {
        return Err(Problem::refused("nothing_to_change", "nothing is said to be changed")
            .hint("give `limits` such as [\"$5 / day\"], or `mode`"));
    }
    if limits.as_ref().is_some_and(Vec::is_empty) {
        let why = "a budget has at least one limit; leave `limits` out to keep those that it has";
        return Err(Problem::refused("bad_limit", why));
    }
    let limits = limits.unwrap_or_default();
    Ok(Request::SetBudget { budget: ask.place(), limits, mode, by: ask.by.clone() })
}

fn reset_budget(ask: &Ask) -> Result<Request, Problem> {
    let ResetBudget { labels, reason } = ask.read()?;
    let reason = reason.unwrap_or_else(|| "reset over HTTP".to_owned());
    let per = labels.into_iter().collect();
    Ok(Request::ResetBudget { budget: ask.place(), per, reason, by: ask.by.clone() })
}

async fn accounts<P: Port>(port: &P, ask: &Ask) -> Result<String, Problem> {
    let request = Request::Budgets { budget: ask.text("budget") };
    let Reply::Accounts { accounts, .. } = run(port, request).await? else { return Err(unexpected()) };
    let labels = ask.query.labels();
    let fits = |account: &AccountView| labels.iter().all(|(label, value)| account.labels.get(label) == Some(value));
    let accounts = accounts.into_iter().map(AccountView::from).filter(fits).collect();
    page(ask, accounts, |account| format!("{}\0{}", account.budget, account.account))
}

async fn holds<P: Port>(port: &P, ask: &Ask) -> Result<String, Problem> {
    let Reply::Holds { holds } = run(port, Request::Holds).await? else { return Err(unexpected()) };
    let state = ask.query.get("state");
    let fits = |hold: &HoldView| state.is_none_or(|state| hold.state == state);
    // Ids are in the order in which they were made.
    page(ask, holds.into_iter().map(HoldView::from).filter(fits).collect(), |hold| hold.id.clone())
}

fn correct(ask: &Ask) -> Result<Request, Problem> {
    let Correct { cost_usd_nano, tokens, unspent, reason } = ask.read()?;
    if unspent == (cost_usd_nano.is_some() || tokens.is_some()) {
        let why = "say what it cost, what it used, both, or that it is `unspent`";
        return Err(Problem::refused("bad_truth", why));
    }
    let (cost_nano, tokens) = (cost_usd_nano.map(|nano| nano.0), tokens.map(used));
    Ok(Request::Correct { id: ask.place(), cost_nano, tokens, reason, by: ask.by.clone() })
}

fn used(tokens: CorrectTokens) -> UsedTokens {
    let CorrectTokens { input, output, cache_read, cache_write_5m, cache_write_1h } = tokens;
    UsedTokens {
        input: input.0,
        output: output.0,
        cache_read: cache_read.0,
        cache_write_5m: cache_write_5m.0,
        cache_write_1h: cache_write_1h.0,
    }
}

async fn decisions<P: Port>(port: &P, ask: &Ask) -> Result<String, Problem> {
    let query = DecisionQuery {
        decisions: ask.text("decision").into_iter().collect(),
        budget: ask.text("budget"),
        labels: ask.query.labels(),
        from: ask.text("from"),
        to: ask.text("to"),
        cursor: ask.text("cursor"),
        limit: ask.query.get("limit").and_then(|limit| limit.parse().ok()),
    };
    let request = Request::Decisions(Box::new(query));
    let Reply::Decisions { decisions, next } = run(port, request).await? else { return Err(unexpected()) };
    json(&List { items: decisions.into_iter().map(DecisionView::from).collect(), next_cursor: next })
}

async fn usage<P: Port>(port: &P, ask: &Ask) -> Result<String, Problem> {
    let group_by = ask.query.get("group_by").unwrap_or_default().split(',').filter(|label| !label.is_empty());
    let query = UsageQuery {
        group_by: group_by.map(str::to_owned).collect(),
        bucket: ask.text("bucket"),
        zone: ask.text("zone"),
        from: ask.text("from"),
        to: ask.text("to"),
        labels: ask.query.labels(),
    };
    let request = Request::Usage(Box::new(query));
    let Reply::Usage { rows, since, is_cut } = run(port, request).await? else { return Err(unexpected()) };
    json(&UsageView { rows: rows.into_iter().map(Into::into).collect(), since, is_cut })
}

fn add_usage(ask: &Ask) -> Result<Request, Problem> {
    let AddUsage { labels, input_tokens, output_tokens, cost_usd_nano, reason } = ask.read()?;
    Ok(Request::AddUsage {
        id: Some(ask.call.to_string()),
        labels: labels.into_iter().collect(),
        input: input_tokens.0,
        output: output_tokens.0,
        cost_nano: cost_usd_nano.0,
        reason,
        by: ask.by.clone(),
    })
}

/// The numbers of one session beside those of all calls, or those of all calls and of each session.
async fn throttle_stats<P: Port>(port: &P, ask: &Ask) -> Result<String, Problem> {
    let session = ask.text("session");
    let request = Request::ThrottleStats { session: session.clone() };
    let Reply::Throttle(stats) = run(port, request).await? else { return Err(unexpected()) };
    let stats: ThrottleStats = *stats;
    match session {
        None => json(&stats.in_dollars()),
        Some(session) => {
            let of = stats.sessions.get(&session).ok_or_else(unexpected)?;
            let mut members = of.in_dollars();
            members["global"] = stats.global.in_dollars();
            json(&members)
        }
    }
}

/// What was changed and by whom, the oldest first.
async fn audit<P: Port>(port: &P, ask: &Ask) -> Result<String, Problem> {
    let number = |name| ask.query.get(name).and_then(|text| text.parse::<u64>().ok());
    let query = EventQuery {
        after: Some(number("after").unwrap_or(0)),
        kinds: CHANGES.map(str::to_owned).into(),
        limit: number("limit").and_then(|limit| limit.try_into().ok()),
        wait_ms: 0,
    };
    let request = Request::Events(Box::new(query));
    let Reply::Events { events, last, gap } = run(port, request).await? else { return Err(unexpected()) };
    json(&AuditView { items: events.into_iter().map(Into::into).collect(), last, gap })
}

async fn asked_keys<P: Port>(port: &P, key: Option<String>, all: bool) -> Result<Vec<KeyView>, Problem> {
    let Reply::Keys { keys, .. } = run(port, Request::Keys { key, all }).await? else { return Err(unexpected()) };
    Ok(keys.into_iter().map(Into::into).collect())
}

async fn keys<P: Port>(port: &P, ask: &Ask) -> Result<String, Problem> {
    let labels = ask.query.labels();
    let mut keys = asked_keys(port, None, ask.query.is("all")).await?;
    keys.retain(|key| labels.iter().all(|(label, value)| key.labels.get(label) == Some(value)));
    // An id begins with the name.
    page(ask, keys, |key| key.id.clone())
}

async fn key<P: Port>(port: &P, ask: &Ask) -> Result<String, Problem> {
    let keys = asked_keys(port, Some(ask.place()), true).await?;
    json(keys.first().ok_or_else(unexpected)?)
}

fn create_key(ask: &Ask) -> Result<Request, Problem> {
    let new: CreateKey = ask.read()?;
    Ok(Request::CreateKey(Box::new(NewKey {
        rpm: new.requests_per_minute.map(|number| number.0),
        tpm: new.tokens_per_minute.map(|number| number.0),
        name: Some(new.name),
        labels: new.labels.into_iter().collect(),
        limits: new.limits,
        mode: new.mode,
        models: new.models,
        priority_max: new.priority_max,
        expires: new.expires,
        note: new.note,
        by: ask.by.clone(),
    })))
}

async fn key_secret<P: Port>(port: &P, request: Request) -> Result<String, Problem> {
    let Reply::Key(key) = run(port, request).await? else { return Err(unexpected()) };
    json(&KeySecretView::from(*key))
}

async fn tokens<P: Port>(port: &P, ask: &Ask) -> Result<String, Problem> {
    let Reply::Tokens { tokens } = run(port, Request::Tokens).await? else { return Err(unexpected()) };
    page(ask, tokens.into_iter().map(TokenView::from).collect(), |token| token.name.clone())
}

async fn create_token<P: Port>(port: &P, ask: &Ask) -> Result<String, Problem> {
    let CreateToken { name, role, expires, note } = ask.read()?;
    let new = NewToken { name, role, expires, note, by: ask.by.clone() };
    let Reply::Token(token) = run(port, Request::CreateToken(Box::new(new))).await? else { return Err(unexpected()) };
    json(&TokenSecretView::from(*token))
}
