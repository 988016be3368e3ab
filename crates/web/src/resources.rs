//! What is given back: the resources as they travel.
//!
//! Labels are objects. Amounts are whole numbers, and the name of a member, or the `unit` beside it, says of what.
//! Times are RFC 3339.

use std::collections::BTreeMap;

use almoner_api::{
    AccountInfo, BudgetInfo, CallInfo, DecisionInfo, EventInfo, HoldInfo, KeyInfo, KeyUse, LimitInfo, PaceInfo,
    ProviderInfo, Reloaded, ShownKey, ShownToken, Status, TokenInfo, UsageRow,
};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;
use serde_json::{Map, Value, json};

/// Labels by their names.
type LabelMap = BTreeMap<String, String>;

/// Something was done.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Done {
    /// What has changed, in words.
    pub(crate) message: String,
}

/// A part of a list. Where `next_cursor` is there, the rest comes by sending it as `cursor`.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "{T}Page")]
pub(crate) struct List<T> {
    /// What was asked for.
    pub(crate) items: Vec<T>,
    /// Where the next part begins; none where this is the last.
    pub(crate) next_cursor: Option<String>,
}

/// A budget that is in force.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Budget")]
pub(crate) struct BudgetView {
    /// Its name.
    pub(crate) budget: String,
    /// What happens at its limits: `warn`, `throttle`, `stop-new` or `kill-running`.
    mode: String,
    /// Its limits as a config has them.
    limits: Vec<String>,
    /// Which calls it counts: those whose labels fit all of these patterns.
    r#where: LabelMap,
    /// The labels that split it into accounts.
    per: Vec<String>,
}

/// An account: one budget, for one combination of the labels that split it.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Account")]
pub(crate) struct AccountView {
    /// What it is called: the budget, and its labels where it is split.
    pub(crate) account: String,
    /// The budget.
    pub(crate) budget: String,
    /// The labels that set it apart; `*` in a budget of which no account is open yet.
    pub(crate) labels: LabelMap,
    /// What happens at its limits.
    mode: String,
    /// The highest level of its limits: `none`, `warning`, `soft`, `hard` or `critical`.
    level: String,
    /// Whether anything was ever counted on it.
    open: bool,
    /// How many calls are in flight on it.
    open_holds: u32,
    /// Its limits.
    limits: Vec<LimitView>,
    /// Why more is charged than a limit allows, as far as that is known, where it is so.
    over_because: Option<String>,
}

/// A limit of an account. Its amounts are in `unit`.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Limit")]
pub(crate) struct LimitView {
    /// The limit as a config has it.
    limit: String,
    /// What is counted.
    meter: String,
    /// What one of the amounts is: `usd_nano`, or the meter.
    unit: String,
    /// The most that may be charged.
    amount: u64,
    /// Settled usage in the window.
    spent: u64,
    /// Usage charged without news.
    assumed: u64,
    /// What open holds set aside.
    held: u64,
    /// What is left.
    left: u64,
    /// How much is charged beyond the limit.
    over: u64,
    /// The level of this limit.
    level: String,
    /// When the window ends; none for windows that slide or have counted nothing.
    resets_at: Option<String>,
}

/// What is set aside for a call, or charged for it without news.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Hold")]
pub(crate) struct HoldView {
    /// The call.
    pub(crate) id: String,
    /// `open` or `assumed`.
    pub(crate) state: String,
    /// When it was made, or assumed.
    since: String,
    /// The accounts it stands on.
    accounts: Vec<String>,
    /// What is held, in nano-dollars.
    usd_nano: u64,
    /// What is held, in tokens.
    tokens: u64,
}

/// A decision in short.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Decision")]
pub(crate) struct DecisionView {
    /// The call.
    id: String,
    /// When it was decided.
    at: String,
    /// What was decided: `admitted`, `slow-down`, `refused`, `rejected` or `booked`.
    decision: String,
    /// Why, in words.
    because: String,
    /// The budget that decided; of an admitted call the fullest that it touches.
    budget: Option<String>,
    /// The account of that budget.
    account: Option<String>,
    /// The provider that the call was for.
    provider: Option<String>,
    /// The model that the call was for.
    model: Option<String>,
    /// Its labels.
    labels: LabelMap,
    /// How long it had waited, in milliseconds.
    waited_ms: u64,
    /// How it ended: `settled`, `released`, `assumed`, `corrected` or `added`; none while it runs, or if it did not go.
    outcome: Option<String>,
    /// The HTTP status of its answer.
    status: Option<u16>,
    /// What is charged for it, in tokens.
    tokens: Option<u64>,
    /// What is charged for it, in nano-dollars.
    cost_usd_nano: Option<u64>,
}

/// All that is known of a decision.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Explanation")]
pub(crate) struct CallView {
    /// The call.
    id: String,
    /// What history recorded: the decision with the numbers of that moment, and how the call ended.
    record: Value,
    /// What the journal says, where it still reaches: whether it agrees with history.
    journal: String,
}

/// What was changed, and by whom.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Audit")]
pub(crate) struct AuditView {
    /// The oldest first.
    pub(crate) items: Vec<EventView>,
    /// What to send as `after` next time.
    pub(crate) last: u64,
    /// Whether some that were asked for are gone: too old, or lost with the history.
    pub(crate) gap: bool,
}

/// Something that happened.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Event")]
pub(crate) struct EventView {
    /// Its number, which grows and is never used twice.
    id: u64,
    /// When it happened.
    at: String,
    /// Its kind.
    kind: String,
    /// What happened, in words.
    message: String,
    /// The same for programs: who, and what it is now, as it is for this kind.
    data: Map<String, Value>,
}

/// What calls consumed, in rows.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Usage")]
pub(crate) struct UsageView {
    /// By bucket, then by the values of the labels.
    pub(crate) rows: Vec<UsageRowView>,
    /// The minute with which history begins; none where it is empty. What was used before is not in it.
    pub(crate) since: Option<String>,
    /// Whether there are more rows than are given; ask for less at once.
    pub(crate) is_cut: bool,
}

/// What calls consumed that were decided in one bucket, with the same values of the labels.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "UsageRow")]
pub(crate) struct UsageRowView {
    /// When the bucket begins; none where no buckets were asked for.
    begins_at: Option<String>,
    /// The labels that were asked for; `none` where calls have no such label.
    labels: LabelMap,
    /// How many calls went.
    calls: u64,
    /// How many were refused.
    refused: u64,
    /// Input that was neither read from nor written to a cache.
    input_tokens: u64,
    /// Input read from a cache.
    cache_read_tokens: u64,
    /// Input written to a cache for five minutes.
    cache_write_5m_tokens: u64,
    /// Input written to a cache for an hour.
    cache_write_1h_tokens: u64,
    /// Output, reasoning included.
    output_tokens: u64,
    /// The part of the output that was reasoning.
    reasoning_tokens: u64,
    /// All tokens whose number is known.
    tokens: u64,
    /// The cost that is known, in nano-dollars.
    cost_usd_nano: u64,
    /// How many calls are charged without news.
    assumed_calls: u64,
    /// What they are charged, in tokens.
    assumed_tokens: u64,
    /// What they are charged, in nano-dollars.
    assumed_usd_nano: u64,
}

/// A key, without its secret.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Key")]
pub(crate) struct KeyView {
    /// What it is called in labels.
    pub(crate) id: String,
    /// What people call it.
    name: Option<String>,
    /// `good`, `expired` or `revoked`.
    state: String,
    /// The labels that it gives to every call.
    pub(crate) labels: LabelMap,
    /// The models that it may use, as patterns; empty: every model.
    models: Vec<String>,
    /// The highest priority that its calls may have.
    priority_max: String,
    /// How many requests may go with it in a minute.
    requests_per_minute: Option<u64>,
    /// How many tokens may be used with it in a minute.
    tokens_per_minute: Option<u64>,
    /// When it was made.
    created_at: String,
    /// When it ends by itself.
    expires_at: Option<String>,
    /// When it was revoked.
    revoked_at: Option<String>,
    /// When it was last used, as far as history knows.
    last_used_at: Option<String>,
    /// Until when secrets are good that others have taken the place of.
    old_secrets_until: Vec<String>,
    /// What it is for.
    note: String,
    /// Its own budget, with what is left; none where it has none, or has ended.
    account: Option<AccountView>,
    /// What its calls have used, as far back as history goes.
    used: KeyUseView,
    /// What was done to it, the oldest first.
    changes: Vec<ChangeView>,
}

/// What the calls of a key have used.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "KeyUse")]
pub(crate) struct KeyUseView {
    /// How many calls went.
    calls: u64,
    /// How many were refused.
    refused: u64,
    /// All tokens, cache reads included.
    tokens: u64,
    /// Settled cost, in nano-dollars.
    cost_usd_nano: u64,
    /// Charged without news, in nano-dollars.
    assumed_usd_nano: u64,
}

/// Something that was done.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Change")]
pub(crate) struct ChangeView {
    /// When.
    at: String,
    /// By whom.
    by: String,
    /// What, in words.
    what: String,
}

/// A key with its secret, which is shown this once.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "KeySecret")]
pub(crate) struct KeySecretView {
    /// What it is called in labels.
    id: String,
    /// What people call it.
    name: Option<String>,
    /// The key itself.
    secret: String,
    /// When it ends by itself.
    expires_at: Option<String>,
    /// Until when the secret before this one stays good; none where it is good no longer, or there was none.
    old_until: Option<String>,
    /// The name of its own budget.
    budget: Option<String>,
}

/// A token, without its secret.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Token")]
pub(crate) struct TokenView {
    /// What it is called.
    pub(crate) name: String,
    /// What it may do: `viewer`, `operator` or `admin`.
    role: String,
    /// `good`, `expired` or `revoked`.
    state: String,
    /// When it was made; none for the one that stands in the state folder.
    created_at: Option<String>,
    /// Who made it.
    created_by: String,
    /// When it ends by itself.
    expires_at: Option<String>,
    /// When it was revoked.
    revoked_at: Option<String>,
    /// What it is for.
    note: String,
}

/// A token with its secret, which is shown this once.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "TokenSecret")]
pub(crate) struct TokenSecretView {
    /// What it is called.
    name: String,
    /// What it may do.
    role: String,
    /// The token itself.
    secret: String,
    /// When it ends by itself.
    expires_at: Option<String>,
}

/// A provider, and how it is.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Provider")]
pub(crate) struct ProviderView {
    /// Its name.
    pub(crate) provider: String,
    /// Whether calls that can go elsewhere do.
    down: bool,
    /// Since when it is down.
    down_since: Option<String>,
    /// When it last failed.
    failed_at: Option<String>,
    /// Why it last failed.
    failed_because: Option<String>,
}

/// A pace: how much may go in a minute, and how much counts now.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Pace")]
pub(crate) struct PaceView {
    /// Its name; the pace of a provider has the provider's.
    pub(crate) pace: String,
    /// How many requests may go in a minute.
    requests_per_minute: Option<u64>,
    /// How many tokens may be used in a minute.
    tokens_per_minute: Option<u64>,
    /// How many requests count now.
    requests: u64,
    /// How many tokens count now, those that are set aside for calls on their way included.
    tokens: u64,
    /// How many calls wait for it.
    waiting: u64,
}

/// What came of reading the configuration again.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Reloaded")]
pub(crate) struct ReloadedView {
    /// What is another than before, in words; empty: nothing.
    changed: Vec<String>,
    /// What stays as it was until the server next starts, in words.
    needs_restart: Vec<String>,
    /// What is allowed and probably not meant.
    warnings: Vec<String>,
}

/// How things stand.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Status")]
pub(crate) struct StatusView {
    /// The version of the server.
    version: String,
    /// Where clients reach it.
    listen: String,
    /// Why it takes no new calls, where that is so.
    closed: Option<String>,
    /// How many calls are in flight.
    open_holds: u64,
    /// How much is charged without news, in nano-dollars, over holds that can still be corrected.
    assumed_usd_nano: u64,
    /// How many holds those are.
    assumed_holds: u64,
    /// What calls cost beyond their holds, in nano-dollars, by cause; should be empty.
    overrun_usd_nano: BTreeMap<String, u64>,
    /// Calls with a part that could not be bounded, by what it was; should be empty.
    unbounded_calls: BTreeMap<String, u64>,
    /// The number of the latest fact in the journal.
    journal_seq: u64,
    /// The head of the journal's chain, in hexadecimal digits.
    journal_head: String,
    /// The version of the price book in force.
    price_version: String,
}

/// How much of the hour and the day is used, as the throttle guide has it: costs are in dollars, levels in capitals.
pub(crate) fn throttle_stats(_: &mut SchemaGenerator) -> Schema {
    let numbers = json!({
        "type": "object",
        "required": ["tokens_hour", "tokens_day", "cost_hour", "cost_day", "throttle_level"],
        "properties": {
            "tokens_hour": { "type": "integer", "minimum": 0, "description": "Tokens of the hour." },
            "tokens_day": { "type": "integer", "minimum": 0, "description": "Tokens of the day." },
            "cost_hour": { "type": "number", "minimum": 0, "description": "Cost of the hour, in dollars." },
            "cost_day": { "type": "number", "minimum": 0, "description": "Cost of the day, in dollars." },
            "throttle_level": { "enum": ["NONE", "WARNING", "SOFT", "HARD", "CRITICAL"] },
        },
    });
    let of_all = json!({
        "type": "object",
        "description": "Those of all calls, and of each session by its name.",
        "required": ["global", "sessions"],
        "properties": { "global": numbers, "sessions": { "type": "object", "additionalProperties": numbers } },
    });
    json_schema!({ "oneOf": [of_all, numbers] })
}

impl From<BudgetInfo> for BudgetView {
    fn from(budget: BudgetInfo) -> Self {
        let BudgetInfo { budget, mode, limits, filter, per } = budget;
        Self { budget, mode, limits, r#where: filter.into_iter().collect(), per }
    }
}

impl From<AccountInfo> for AccountView {
    fn from(account: AccountInfo) -> Self {
        Self {
            account: account.account,
            budget: account.budget,
            labels: account.per.into_iter().collect(),
            mode: account.mode,
            level: account.level,
            open: account.open,
            open_holds: account.open_holds,
            limits: account.limits.into_iter().map(Into::into).collect(),
            over_because: account.over_because,
        }
    }
}

impl From<LimitInfo> for LimitView {
    fn from(limit: LimitInfo) -> Self {
        let unit = if limit.meter == "usd" { "usd_nano".to_owned() } else { limit.meter.clone() };
        let LimitInfo { limit, meter, amount, spent, assumed, held, left, over, level, resets_at } = limit;
        Self { limit, meter, unit, amount, spent, assumed, held, left, over, level, resets_at }
    }
}

impl From<HoldInfo> for HoldView {
    fn from(hold: HoldInfo) -> Self {
        let HoldInfo { id, state, since, accounts, usd_nano, tokens } = hold;
        Self { id, state, since, accounts, usd_nano, tokens }
    }
}

impl From<DecisionInfo> for DecisionView {
    fn from(of: DecisionInfo) -> Self {
        Self {
            id: of.id,
            at: of.at,
            decision: of.decision,
            because: of.because,
            budget: of.budget,
            account: of.account,
            provider: of.provider,
            model: of.model,
            labels: of.labels.into_iter().collect(),
            waited_ms: of.waited_ms,
            outcome: of.outcome,
            status: of.status,
            tokens: of.tokens,
            cost_usd_nano: of.cost_nano,
        }
    }
}

impl From<EventInfo> for EventView {
    fn from(event: EventInfo) -> Self {
        let EventInfo { id, at, kind, message, data } = event;
        Self { id, at, kind, message, data }
    }
}

impl From<CallInfo> for CallView {
    fn from(call: CallInfo) -> Self {
        let CallInfo { id, record, journal } = call;
        Self { id, record, journal }
    }
}

impl From<UsageRow> for UsageRowView {
    fn from(row: UsageRow) -> Self {
        Self {
            begins_at: row.begins_at,
            labels: row.labels.into_iter().collect(),
            calls: row.calls,
            refused: row.refused,
            input_tokens: row.input,
            cache_read_tokens: row.cache_read,
            cache_write_5m_tokens: row.cache_write_5m,
            cache_write_1h_tokens: row.cache_write_1h,
            output_tokens: row.output,
            reasoning_tokens: row.reasoning,
            tokens: row.tokens,
            cost_usd_nano: row.cost_nano,
            assumed_calls: row.assumed_calls,
            assumed_tokens: row.assumed_tokens,
            assumed_usd_nano: row.assumed_nano,
        }
    }
}

impl From<KeyInfo> for KeyView {
    fn from(key: KeyInfo) -> Self {
        let KeyUse { calls, refused, tokens, cost_nano, assumed_nano } = key.used;
        let changes = key.changes.into_iter();
        Self {
            id: key.id,
            name: key.name,
            state: key.state,
            labels: key.labels.into_iter().collect(),
            models: key.models,
            priority_max: key.priority_max,
            requests_per_minute: key.rpm,
            tokens_per_minute: key.tpm,
            created_at: key.created_at,
            expires_at: key.expires_at,
            revoked_at: key.revoked_at,
            last_used_at: key.last_used_at,
            old_secrets_until: key.old_secrets_until,
            note: key.note,
            account: key.account.map(Into::into),
            used: KeyUseView { calls, refused, tokens, cost_usd_nano: cost_nano, assumed_usd_nano: assumed_nano },
            changes: changes.map(|it| ChangeView { at: it.at, by: it.by, what: it.what }).collect(),
        }
    }
}

impl From<ShownKey> for KeySecretView {
    fn from(key: ShownKey) -> Self {
        let ShownKey { id, name, secret, expires_at, old_until, budget, .. } = key;
        Self { id, name, secret, expires_at, old_until, budget }
    }
}

impl From<TokenInfo> for TokenView {
    fn from(token: TokenInfo) -> Self {
        let TokenInfo { name, role, state, created_at, created_by, expires_at, revoked_at, note } = token;
        Self { name, role, state, created_at, created_by, expires_at, revoked_at, note }
    }
}

impl From<ShownToken> for TokenSecretView {
    fn from(token: ShownToken) -> Self {
        let ShownToken { name, role, secret, expires_at, .. } = token;
        Self { name, role, secret, expires_at }
    }
}

impl From<ProviderInfo> for ProviderView {
    fn from(provider: ProviderInfo) -> Self {
        let ProviderInfo { provider, down, down_since, failed_at, failed_because, .. } = provider;
        Self { provider, down, down_since, failed_at, failed_because }
    }
}

impl From<PaceInfo> for PaceView {
    fn from(of: PaceInfo) -> Self {
        let PaceInfo { pace, rpm, tpm, requests, tokens, waiting, .. } = of;
        Self { pace, requests_per_minute: rpm, tokens_per_minute: tpm, requests, tokens, waiting }
    }
}

impl From<Reloaded> for ReloadedView {
    fn from(reloaded: Reloaded) -> Self {
        let Reloaded { changed, needs_restart, warnings, .. } = reloaded;
        Self { changed, needs_restart, warnings }
    }
}

impl From<Status> for StatusView {
    fn from(status: Status) -> Self {
        Self {
            version: status.version,
            listen: status.listen,
            closed: status.closed,
            open_holds: status.open_holds,
            assumed_usd_nano: status.assumed_nano,
            assumed_holds: status.assumed_holds,
            overrun_usd_nano: status.overrun_nano.into_iter().collect(),
            unbounded_calls: status.unbounded.into_iter().collect(),
            journal_seq: status.journal_seq,
            journal_head: status.journal_head,
            price_version: status.price_version,
        }
    }
}
