//! The table of resources: which there are, who may ask for them, what they take and give.

use almoner_units::Role;
use schemars::{JsonSchema, Schema, SchemaGenerator};

use crate::body::{
    AddUsage, ChangeBudget, Correct, CreateKey, CreateToken, Nothing, ResetBudget, RevokeKey, RotateKey,
};
use crate::catalog::{PricesView, RouteView};
use crate::query::{Kind, Param};
use crate::resources::{
    AccountView, AuditView, BudgetView, CallView, DecisionView, Done, HoldView, KeySecretView, KeyView, List, PaceView,
    ProviderView, ReloadedView, StatusView, TokenSecretView, TokenView, UsageView, throttle_stats,
};

/// One thing that can be asked.
#[derive(Clone, Copy)]
pub(crate) struct Endpoint {
    pub(crate) act: Act,
    pub(crate) verb: Verb,
    pub(crate) path: &'static str,
    /// Who may ask; none: whoever likes.
    pub(crate) role: Option<Role>,
    /// What it is, in a sentence.
    pub(crate) about: &'static str,
    pub(crate) query: &'static [Param],
    /// What its body is; none: it has none.
    pub(crate) takes: Option<Shape>,
    pub(crate) gives: Gives,
}

/// A method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Get,
    Post,
    Patch,
}

impl Verb {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Patch => "PATCH",
        }
    }
}

/// What an answer is.
#[derive(Clone, Copy)]
pub(crate) enum Gives {
    /// One JSON value, with 200.
    Json(Shape),
    /// Something that was made, with 201; there is a secret in it.
    Secret(Shape),
    /// The page that Prometheus reads.
    Metrics,
    /// A stream of events.
    Events,
}

/// How the type of a value is written down.
pub(crate) type Shape = fn(&mut SchemaGenerator) -> Schema;

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    Document,
    Status,
    Providers,
    Budgets,
    Budget,
    ChangeBudget,
    ResetBudget,
    Accounts,
    Holds,
    Correct,
    Decisions,
    Decision,
    Usage,
    AddUsage,
    ThrottleStats,
    Metrics,
    Reload,
    Paces,
    Routes,
    Prices,
    Audit,
    Events,
    Keys,
    CreateKey,
    Key,
    RotateKey,
    RevokeKey,
    Tokens,
    CreateToken,
    RevokeToken,
}

impl Act {
    /// Whether what was begun may be done once more, because it is booked under the same id and so counts once.
    pub(crate) const fn repeats_safely(self) -> bool {
        matches!(self, Self::AddUsage)
    }

    /// What programs that are made from the document call it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Document => "get_document",
            Self::Status => "get_status",
            Self::Providers => "list_providers",
            Self::Budgets => "list_budgets",
            Self::Budget => "get_budget",
            Self::ChangeBudget => "change_budget",
            Self::ResetBudget => "reset_budget",
            Self::Accounts => "list_accounts",
            Self::Holds => "list_holds",
            Self::Correct => "correct_hold",
            Self::Decisions => "list_decisions",
            Self::Decision => "get_decision",
            Self::Usage => "get_usage",
            Self::AddUsage => "add_usage",
            Self::ThrottleStats => "get_throttle_stats",
            Self::Metrics => "get_metrics",
            Self::Reload => "reload_config",
            Self::Paces => "list_paces",
            Self::Routes => "list_routes",
            Self::Prices => "list_prices",
            Self::Audit => "get_audit",
            Self::Events => "get_events",
            Self::Keys => "list_keys",
            Self::CreateKey => "create_key",
            Self::Key => "get_key",
            Self::RotateKey => "rotate_key",
            Self::RevokeKey => "revoke_key",
            Self::Tokens => "list_tokens",
            Self::CreateToken => "create_token",
            Self::RevokeToken => "revoke_token",
        }
    }
}

/// What stands in the place of a path, by its name.
pub(crate) const PLACES: [(&str, &str); 4] = [
    ("budget", "The budget, by name."),
    ("id", "The call, by the id that the header `x-almoner-call` of its answer had."),
    ("key", "The key, by name or id."),
    ("token", "The token, by name."),
];

const LIMIT: Param = Param { name: "limit", about: "How many at most.", kind: Kind::Limit };
const CURSOR: Param =
    Param { name: "cursor", about: "Where to go on: `next_cursor` of the part before.", kind: Kind::Text };
const LABEL: Param =
    Param { name: "label", about: "Only those with this label, such as session=abc; may repeat.", kind: Kind::Labels };
const BUDGET: Param = Param { name: "budget", about: "Only those of this budget.", kind: Kind::Text };
const FROM: Param = Param {
    name: "from",
    about: "From when: an instant, a date in UTC, or a span such as 7d, which is so long ago.",
    kind: Kind::Text,
};
const TO: Param =
    Param { name: "to", about: "Until when, likewise; that moment itself is not in it.", kind: Kind::Text };
const PAGE: &[Param] = &[LIMIT, CURSOR];
const SESSION: &[Param] = &[Param { name: "session", about: "Only this session, beside `global`.", kind: Kind::Text }];

fn of<T: JsonSchema>(schemas: &mut SchemaGenerator) -> Schema {
    schemas.subschema_for::<T>()
}

fn any(_: &mut SchemaGenerator) -> Schema {
    schemars::json_schema!({ "type": "object" })
}

const VIEWER: Option<Role> = Some(Role::Viewer);
const OPERATOR: Option<Role> = Some(Role::Operator);
const ADMIN: Option<Role> = Some(Role::Admin);

/// Something to look at.
const fn look(act: Act, path: &'static str, about: &'static str, query: &'static [Param], gives: Shape) -> Endpoint {
    Endpoint { act, verb: Verb::Get, path, role: VIEWER, about, query, takes: None, gives: Gives::Json(gives) }
}

/// Something to do.
const fn does(
    act: Act,
    path: &'static str,
    role: Option<Role>,
    about: &'static str,
    takes: Shape,
    gives: Gives,
) -> Endpoint {
    Endpoint { act, verb: Verb::Post, path, role, about, query: &[], takes: Some(takes), gives }
}

/// Everything that can be asked.
pub(crate) static ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        role: None,
        ..look(Act::Document, "/api/v1/openapi.json", "This document. It needs no token.", &[], any)
    },
    look(Act::Status, "/api/v1/status", "How things stand.", &[], of::<StatusView>),
    look(Act::Providers, "/api/v1/providers", "Every provider, and how it is.", PAGE, of::<List<ProviderView>>),
    look(
        Act::Paces,
        "/api/v1/paces",
        "How much may go to providers and by keys in a minute, and how much went.",
        PAGE,
        of::<List<PaceView>>,
    ),
    look(
        Act::Routes,
        "/api/v1/routes",
        "Every route: which calls take it, where it leads, and how those are who can serve each stop.",
        PAGE,
        of::<List<RouteView>>,
    ),
    look(
        Act::Prices,
        "/api/v1/prices",
        "What models cost: every price of the book in force. A provider that is declared free charges nothing, \
         whatever stands here.",
        &[
            Param { name: "provider", about: "Only the prices of this provider.", kind: Kind::Text },
            Param { name: "model", about: "Only those of the model with this name or alias.", kind: Kind::Text },
            LIMIT,
            CURSOR,
        ],
        of::<PricesView>,
    ),
    look(Act::Budgets, "/api/v1/budgets", "Every budget in force.", PAGE, of::<List<BudgetView>>),
    look(Act::Budget, "/api/v1/budgets/{budget}", "One budget.", &[], of::<BudgetView>),
    Endpoint {
        verb: Verb::Patch,
        ..does(
            Act::ChangeBudget,
            "/api/v1/budgets/{budget}",
            ADMIN,
            "Changes the limits or the mode of a budget, until the configuration is next read.",
            of::<ChangeBudget>,
            Gives::Json(of::<Done>),
        )
    },
    does(
        Act::ResetBudget,
        "/api/v1/budgets/{budget}/reset",
        OPERATOR,
        "Forgets what the accounts of a budget have spent and assumed; calls in flight stay held.",
        of::<ResetBudget>,
        Gives::Json(of::<Done>),
    ),
    look(
        Act::Accounts,
        "/api/v1/accounts",
        "Every account, with what is spent and left.",
        &[BUDGET, LABEL, LIMIT, CURSOR],
        of::<List<AccountView>>,
    ),
    look(
        Act::Holds,
        "/api/v1/holds",
        "What is set aside for calls in flight, and what is charged without news; the oldest first.",
        &[
            Param { name: "state", about: "Only those in this state.", kind: Kind::OneOf(&["open", "assumed"]) },
            LIMIT,
            CURSOR,
        ],
        of::<List<HoldView>>,
    ),
    does(
        Act::Correct,
        "/api/v1/holds/{id}/correct",
        OPERATOR,
        "Books the truth about a call that ended without news.",
        of::<Correct>,
        Gives::Json(of::<Done>),
    ),
    look(
        Act::Decisions,
        "/api/v1/decisions",
        "What was said to calls, the newest first.",
        &[
            Param {
                name: "decision",
                about: "Only these decisions.",
                kind: Kind::OneOf(&["admitted", "slow-down", "refused", "rejected", "booked"]),
            },
            BUDGET,
            LABEL,
            FROM,
            TO,
            LIMIT,
            CURSOR,
        ],
        of::<List<DecisionView>>,
    ),
    look(
        Act::Decision,
        "/api/v1/decisions/{id}",
        "What was decided about a call, from which numbers, and how it ended.",
        &[],
        of::<CallView>,
    ),
    look(
        Act::Usage,
        "/api/v1/usage",
        "What calls consumed, grouped by labels and by time.",
        &[
            Param {
                name: "group_by",
                about: "The labels whose values get rows of their own, joined by commas: session,model.",
                kind: Kind::Text,
            },
            Param {
                name: "bucket",
                about: "How long each row is.",
                kind: Kind::OneOf(&["minute", "hour", "day", "month"]),
            },
            Param {
                name: "zone",
                about: "The IANA zone in which hours, days and months begin; without it UTC.",
                kind: Kind::Text,
            },
            LABEL,
            FROM,
            TO,
        ],
        of::<UsageView>,
    ),
    does(
        Act::AddUsage,
        "/api/v1/usage",
        OPERATOR,
        "Counts usage that did not pass here, on every budget that its labels touch.",
        of::<AddUsage>,
        Gives::Json(of::<Done>),
    ),
    look(
        Act::ThrottleStats,
        "/api/v1/throttle/stats",
        "How much of the hour and the day is used, by each session and by all together; of one session, its numbers \
         beside `global`.",
        SESSION,
        throttle_stats,
    ),
    look(
        Act::ThrottleStats,
        "/api/throttle/stats",
        "The same, where the throttle guide has it.",
        SESSION,
        throttle_stats,
    ),
    Endpoint {
        gives: Gives::Metrics,
        ..look(Act::Metrics, "/metrics", "All that can be counted, as the page that Prometheus reads.", &[], any)
    },
    does(
        Act::Reload,
        "/api/v1/config/reload",
        ADMIN,
        "Reads the configuration again; one that is wrong changes nothing.",
        of::<Nothing>,
        Gives::Json(of::<ReloadedView>),
    ),
    look(
        Act::Audit,
        "/api/v1/audit",
        "What was changed, by whom and to what; the oldest first.",
        &[Param { name: "after", about: "Only what came behind this event.", kind: Kind::Number }, LIMIT],
        of::<AuditView>,
    ),
    Endpoint {
        gives: Gives::Events,
        ..look(
            Act::Events,
            "/api/v1/events",
            "What happens, as it happens. Whoever comes again with `Last-Event-ID` goes on where it stopped; an event \
             `gap` says that something in between is gone.",
            &[
                Param {
                    name: "kinds",
                    about: "Only these kinds, joined by commas: refused,level_changed.",
                    kind: Kind::Text,
                },
                Param {
                    name: "after",
                    about: "Begin behind this event; `Last-Event-ID` comes first.",
                    kind: Kind::Number,
                },
            ],
            any,
        )
    },
    look(
        Act::Keys,
        "/api/v1/keys",
        "The keys that are good, or all that are known.",
        &[Param { name: "all", about: "Those that have ended as well.", kind: Kind::Flag }, LABEL, LIMIT, CURSOR],
        of::<List<KeyView>>,
    ),
    does(
        Act::CreateKey,
        "/api/v1/keys",
        ADMIN,
        "Makes a key. Its secret is in this answer alone.",
        of::<CreateKey>,
        Gives::Secret(of::<KeySecretView>),
    ),
    look(Act::Key, "/api/v1/keys/{key}", "One key, and what was done to it.", &[], of::<KeyView>),
    does(
        Act::RotateKey,
        "/api/v1/keys/{key}/rotate",
        OPERATOR,
        "Gives a key another secret, which is in this answer alone.",
        of::<RotateKey>,
        Gives::Secret(of::<KeySecretView>),
    ),
    does(
        Act::RevokeKey,
        "/api/v1/keys/{key}/revoke",
        OPERATOR,
        "Ends a key at once.",
        of::<RevokeKey>,
        Gives::Json(of::<Done>),
    ),
    Endpoint {
        role: ADMIN,
        ..look(Act::Tokens, "/api/v1/tokens", "Every token, without its secret.", PAGE, of::<List<TokenView>>)
    },
    does(
        Act::CreateToken,
        "/api/v1/tokens",
        ADMIN,
        "Makes a token. Its secret is in this answer alone.",
        of::<CreateToken>,
        Gives::Secret(of::<TokenSecretView>),
    ),
    does(
        Act::RevokeToken,
        "/api/v1/tokens/{token}/revoke",
        ADMIN,
        "Ends a token at once.",
        of::<Nothing>,
        Gives::Json(of::<Done>),
    ),
];
