//! What history is told.

use almoner_ledger::AccountView;
use almoner_units::{AccountKey, CallId, Charge, Labels, Level, Limit, Meter, Priority, Span, Timestamp, Usage};

/// One thing to write down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HistoryEvent {
    /// A call was decided.
    Verdict(Box<VerdictRecord>),
    /// A call came to its end.
    Outcome(Box<OutcomeRecord>),
    /// A call was slowed, or an account changed its level.
    Throttle(Box<ThrottleRecord>),
    /// Something happened that people or programs may want to hear of.
    Event(Box<EventRecord>),
    /// What every account looks like; replaces what was said before.
    TokenBudget {
        /// The accounts.
        views: Vec<AccountView>,
        /// When they looked like that.
        at: Timestamp,
    },
}

/// What was decided about a call, from which numbers, at that moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerdictRecord {
    /// The call.
    pub id: CallId,
    /// When it was decided.
    pub at: Timestamp,
    /// The labels it had.
    pub labels: Labels,
    /// The provider it was for.
    pub provider: Option<String>,
    /// The model it was for.
    pub model: Option<String>,
    /// What was decided.
    pub decision: Decision,
    /// The account that decided; of an admitted call the fullest that it touches.
    pub account: Option<AccountKey>,
    /// Why, in words.
    pub reason: String,
    /// Every account that the call touches, as it was before the call.
    pub numbers: Vec<AccountView>,
    /// The parts that its bound was made of.
    pub bound: Vec<BoundPart>,
    /// How much output it may have.
    pub cap: Option<u64>,
    /// What was held for it; nothing where it was not admitted.
    pub held: Charge,
    /// How long it had waited for others to end.
    pub waited: Span,
    /// The version of the price book it was bounded with.
    pub price_version: Option<String>,
}

/// One part of a bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoundPart {
    /// What it stands for, such as `input` or `server tools`.
    pub name: String,
    /// In which meter.
    pub meter: Meter,
    /// How much.
    pub amount: u64,
}

macro_rules! words {
    ($(#[$about:meta])* $name:ident { $($(#[$meaning:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$meaning])* $variant,)+
        }

        impl $name {
            /// Every one, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word in tables and messages.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self {
                    $(Self::$variant => $word),+
                }
            }

            /// The one with this word.
            #[must_use]
            pub fn of_word(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|known| known.word() == word)
            }
        }
    };
}

words! {
    /// What was decided about a call.
    Decision {
        /// It may go.
        Admitted = "admitted",
        /// It may come back soon.
        SlowDown = "slow-down",
        /// It may not go.
        Refused = "refused",
        /// It could not be judged: it has no price, or asks for what cannot be bounded.
        Rejected = "rejected",
        /// It did not pass us; somebody booked it by hand.
        Booked = "booked",
    }
}

words! {
    /// How a call ended.
    Outcome {
        /// The provider said what it cost.
        Settled = "settled",
        /// It cost nothing, and there is proof.
        Released = "released",
        /// Nobody knows, so all that was held is charged.
        Assumed = "assumed",
        /// The truth came late.
        Corrected = "corrected",
        /// It was booked by hand.
        Added = "added",
    }
}

words! {
    /// What a budget did to a call, or how it changed.
    ThrottleAction {
        /// The call passed and was told that the budget runs low.
        Warned = "warned",
        /// The call waited.
        Waited = "waited",
        /// The call was refused.
        Refused = "refused",
        /// The call was cut while it ran.
        Cut = "cut",
        /// The account is at another level.
        LevelChanged = "level-changed",
    }
}

words! {
    /// What an event is about.
    EventKind {
        /// A limit of an account is at another level.
        LevelChanged = "level_changed",
        /// A call waited for money that others held.
        Waited = "waited",
        /// A budget refused a call.
        Refused = "refused",
        /// A budget is new or has other limits.
        BudgetSet = "budget_set",
        /// A budget is gone.
        BudgetRemoved = "budget_removed",
        /// What an account had spent is forgotten.
        BudgetReset = "budget_reset",
        /// Usage that did not pass here was booked.
        UsageAdded = "usage_added",
        /// The truth about a call came late.
        Corrected = "corrected",
        /// A call cost more than was held for it.
        Overrun = "overrun",
        /// There is a new key.
        KeyMade = "key_made",
        /// A key has another secret.
        KeyRotated = "key_rotated",
        /// A key lets no further call in.
        KeyRevoked = "key_revoked",
        /// There is a new token.
        TokenMade = "token_made",
        /// A token lets nobody in any more.
        TokenRevoked = "token_revoked",
        /// Calls that can go elsewhere leave this provider out.
        ProviderDown = "provider_down",
        /// A provider answers again.
        ProviderUp = "provider_up",
        /// Another configuration is in force.
        ConfigReloaded = "config_reloaded",
        /// A configuration was not taken; the one before it stays in force.
        ConfigRefused = "config_refused",
        /// The server began.
        Started = "started",
        /// The server was told to stop.
        Stopping = "stopping",
        /// A call was let go or refused.
        CallDecided = "call_decided",
        /// A call came to its end.
        CallEnded = "call_ended",
    }
}

impl EventKind {
    /// Whether somebody brought it about: these are the audit, which is kept when other events are not.
    #[must_use]
    pub const fn is_change(self) -> bool {
        matches!(
            self,
            Self::BudgetSet
                | Self::BudgetRemoved
                | Self::BudgetReset
                | Self::UsageAdded
                | Self::Corrected
                | Self::KeyMade
                | Self::KeyRotated
                | Self::KeyRevoked
                | Self::TokenMade
                | Self::TokenRevoked
                | Self::ConfigReloaded
                | Self::ConfigRefused
        )
    }
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventRecord {
    /// When.
    pub at: Timestamp,
    /// What it is about.
    pub kind: EventKind,
    /// What happened, in words.
    pub message: String,
    /// The same for programs.
    pub data: serde_json::Map<String, serde_json::Value>,
}

/// What a call came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutcomeRecord {
    /// The call.
    pub id: CallId,
    /// When it ended.
    pub at: Timestamp,
    /// How it ended.
    pub outcome: Outcome,
    /// What the provider said it consumed.
    pub usage: Usage,
    /// What is charged for it.
    pub charge: Charge,
    /// What it cost beyond its hold.
    pub overrun: Charge,
    /// What in it could not be bounded, by name.
    pub unbounded: Vec<String>,
    /// The HTTP status of the answer.
    pub status: Option<u16>,
    /// How long it took, from its admission to its last byte.
    pub duration: Option<Span>,
    /// The version of the price book it was charged with.
    pub price_version: Option<String>,
    /// What else there is to say.
    pub note: Option<String>,
}

/// What a budget did, or how full an account became.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThrottleRecord {
    /// When.
    pub at: Timestamp,
    /// The call, where it is about one.
    pub call: Option<CallId>,
    /// The labels of the call, or of the account.
    pub labels: Labels,
    /// The account.
    pub account: AccountKey,
    /// The limit that decided.
    pub limit: Limit,
    /// What was charged of it.
    pub charged: u64,
    /// The level of the account.
    pub level: Level,
    /// The level before, where it changed.
    pub level_before: Option<Level>,
    /// What happened.
    pub action: ThrottleAction,
    /// How urgent the call was.
    pub priority: Option<Priority>,
    /// Why, in words.
    pub reason: String,
}

/// What is known about a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallRecord {
    /// What was decided; `None` where that part of history was lost.
    pub verdict: Option<VerdictRecord>,
    /// What it came to; `None` while it runs, and for calls that did not go.
    pub outcome: Option<OutcomeRecord>,
}
