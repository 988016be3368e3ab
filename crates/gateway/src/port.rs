//! What the gateway needs of the world: a purse that says yes or no, a place to report to, and ways to the providers.
//!
//! The daemon implements these with the real ledger, the real history and real sockets.

use std::future::Future;
use std::sync::Arc;

use almoner_ledger::{AccountView, Admission, LimitView};
pub use almoner_ledger::{DeskError, End, Question, Refused};
use almoner_policy::ModelPattern;
use almoner_policy::pace::PaceRule;
use almoner_units::{AccountKey, Budget, CallId, Charge, Labels, Level, Priority, Span, Timestamp};
use hyper::body::Bytes;
use hyper::{Request, Response};
use tokio::sync::oneshot;

use crate::relay::UpstreamBody;
use crate::report::{Outcome, Report};

/// What the purse says.
#[derive(Debug)]
pub enum Decision {
    /// The call may go; its hold is on disk.
    Admitted(Box<Admitted>),
    /// A smaller bound is wanted first; nothing is held.
    Tighten,
    /// The call may not go.
    Refused(Box<Refused>),
}

/// A call that may go.
#[derive(Debug)]
pub struct Admitted {
    /// Its hold.
    pub admission: Admission,
    /// The accounts it touches, as they were before it.
    pub seen: Vec<AccountView>,
    /// How long it waited for its turn.
    pub waited: Span,
    /// Tells the gateway to cut the call, with the reason: its budget is spent and its mode is `kill-running`.
    pub cut: oneshot::Receiver<String>,
}

/// How full the accounts of a call are, for the headers of its answer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fullness {
    /// The highest level.
    pub(crate) level: Level,
    /// The account and limit of which the smallest part is left, and what that is.
    pub(crate) tightest: Option<(AccountKey, LimitView, u64)>,
}

impl Fullness {
    /// How full these accounts are once `held` is set aside on each.
    pub(crate) fn of(seen: &[AccountView], held: &Charge) -> Self {
        let limits = seen.iter().flat_map(|view| view.limits.iter().map(move |limit| (&view.key, limit)));
        let left = |limit: &LimitView| limit.left().saturating_sub(held[limit.limit.meter]);
        let part = |limit: &LimitView| u128::from(left(limit)) * 1_000_000 / u128::from(limit.limit.amount.max(1));
        let tightest = limits.min_by_key(|(_, limit)| part(limit));
        Self {
            level: seen.iter().map(|view| view.level).max().unwrap_or_default(),
            tightest: tightest.map(|(key, limit)| (key.clone(), limit.clone(), left(limit))),
        }
    }
}

/// The ledger, as the gateway sees it.
pub trait Purse: Send + Sync + 'static {
    /// A new call id, with the time in it.
    fn new_call(&self) -> CallId;

    /// Ledger time.
    fn now(&self) -> Timestamp;

    /// A clock that nobody sets: what goes in a minute is told by it.
    fn steady(&self) -> Span;

    /// Asks whether a call may go, and waits for its turn where it would fit but for the calls in flight. When this
    /// says yes, the hold is durable.
    fn reserve(&self, question: Question) -> impl Future<Output = Result<Decision, DeskError>> + Send;

    /// Tells how a call ended. Never waits, and is never lost while the process lives.
    fn end(&self, id: CallId, end: End);

    /// Whether no new call is taken just now.
    fn is_closed(&self) -> bool;
}

/// What is known of whoever holds a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyFacts {
    /// The labels that the key gives to every call, `key` among them.
    pub labels: Labels,
    /// The highest priority that its calls may have.
    pub priority_max: Priority,
    /// The models that it may use; empty: every model.
    pub models: Vec<ModelPattern>,
    /// The budgets that count its calls and nobody else's, beside those in force for everybody.
    pub budgets: Vec<Budget>,
    /// The pace at which its calls go, beside those of everybody.
    pub pace: Option<PaceRule>,
}

impl KeyFacts {
    /// Whoever reaches the loopback port without a key of ours.
    #[must_use]
    pub fn anyone() -> Self {
        Self {
            labels: Labels::new(),
            priority_max: Priority::High,
            models: Vec::new(),
            budgets: Vec::new(),
            pace: None,
        }
    }

    /// Whether it may use a model that is asked for by `name` and that the price book knows as `known_as`.
    #[must_use]
    pub fn may_use(&self, name: &str, known_as: Option<&str>) -> bool {
        ModelPattern::allow(&self.models, name, known_as)
    }
}

/// The keys that we gave out.
pub trait Keys: Send + Sync + 'static {
    /// Who holds this key; `None` where it is none of ours, or no longer.
    fn find(&self, key: &str) -> Option<Arc<KeyFacts>>;

    /// Whether the key with this value of the label `key` is still good: a call may have waited for its turn.
    fn is_good(&self, key: &str) -> bool;
}

/// Takes reports of calls, for history; may lag, may lose, never blocks.
pub trait Recorder: Send + Sync + 'static {
    /// Takes what was decided, at once: a call may run for an hour, and the process may end before it does.
    fn decided(&self, report: &Arc<Report>);

    /// Takes how it ended.
    fn ended(&self, report: Arc<Report>, outcome: Outcome);
}

/// A way to one provider.
pub trait Upstream: Send + Sync + 'static {
    /// Sends a request, and gives the answer once its head is there.
    fn send(
        &self,
        request: Request<Bytes>,
    ) -> impl Future<Output = Result<Response<UpstreamBody>, UpstreamError>> + Send;
}

/// Why no answer came.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// Not one byte of the request was sent.
    #[error("could not connect to {0}: {1}")]
    NeverSent(String, String),
    /// The request was sent, or may have been; the provider may bill it.
    #[error("{0} did not answer: {1}")]
    NoAnswer(String, String),
}
