//! The settings that a load ends in: plain values, checked.

use std::net::SocketAddr;
use std::path::PathBuf;

use almoner_policy::Route;
use almoner_policy::pace::PaceRule;
use almoner_units::{Budget, BudgetName, Span};

use crate::layers::Setting;
use crate::price::UserPrice;
use crate::problem::Problem;
use crate::provider::Provider;
use crate::sources::ConfigFile;
use crate::telling::{LogFormat, LogLevel, Traces};

/// Everything that can be set, checked.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where clients reach us.
    pub listen: SocketAddr,
    /// Whether whoever has no key of ours is turned away; always so where others than this machine reach us.
    pub require_key: bool,
    /// The names by which others reach us, beside this machine's own.
    pub hosts: Vec<String>,
    /// The folder of the ledger, the history and the control socket.
    pub state_dir: PathBuf,
    /// Whom calls may be sent to; names are unique.
    pub providers: Vec<Provider>,
    /// Prices that the price book does not know, or knows otherwise.
    pub prices: Vec<UserPrice>,
    /// Which budgets are in force.
    pub budgets: BudgetsFrom,
    /// The ways that calls take, in the order in which they are looked at; names are unique.
    pub routes: Vec<Route>,
    /// For each budget that has one, the name of the route that the calls take which it refuses.
    pub detours: Vec<(BudgetName, String)>,
    /// The paces at which calls go, beside those of the providers; names are unique.
    pub paces: Vec<PaceRule>,
    /// The most output that one call is let to have, in tokens.
    pub max_output: u64,
    /// The output that is reserved for a call which asks for none, in tokens; not above `max_output`.
    pub default_output: u64,
    /// Whether a call with a member that we do not know is refused, where it would else be held at the dearest.
    pub strict: bool,
    /// How long a call waits for open holds or for a level to fall.
    pub wait_max: Span,
    /// After how long of that the client of a stream is sent pings, and how often.
    pub ping_after: Span,
    /// How long a client may leave a stream unread before it counts as gone.
    pub stream_idle_max: Span,
    /// How long a provider may send nothing before its call is given up.
    pub provider_idle_max: Span,
    /// How long a connection to a provider may take.
    pub connect_max: Span,
    /// How long what runs may go on after its client has left, or after we were told to stop.
    pub drain_max: Span,
    /// How long the headers and body of a request may take to arrive.
    pub receive_max: Span,
    /// The most bytes that the headers of a request may have.
    pub header_bytes_max: u64,
    /// The most bytes that the body of a request may have.
    pub body_bytes_max: u64,
    /// The most bytes that the bodies of all requests at once may have.
    pub bodies_bytes_max: u64,
    /// The most connections that may be open at once.
    pub connections_max: u64,
    /// How grave a line must be to stand in the log.
    pub log: LogLevel,
    /// The form of the log.
    pub log_format: LogFormat,
    /// Whether each call is a line of the log.
    pub log_calls: bool,
    /// Where the traces of calls go, where anybody asks for them.
    pub traces: Option<Traces>,
    /// How long history is kept.
    pub history_keep: Span,
    /// How many bytes history may take before its oldest calls are forgotten.
    pub history_bytes_max: u64,
    /// Whether every call is an event of history.
    pub history_calls: bool,
    /// The configuration file that was read, if there is one.
    pub file: Option<ConfigFile>,
    pub(crate) origins: Vec<Setting>,
    pub(crate) warnings: Vec<Problem>,
}

impl Settings {
    /// Every setting as a person would write it, and where it came from; secrets are not in it.
    #[must_use]
    pub fn origins(&self) -> &[Setting] {
        &self.origins
    }

    /// What is allowed and probably not meant.
    #[must_use]
    pub fn warnings(&self) -> &[Problem] {
        &self.warnings
    }
}

/// Which budgets are in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BudgetsFrom {
    /// Nobody said anything about budgets: those that everybody starts with.
    Defaults,
    /// Those of the configuration file; at least one, names are unique.
    File(Vec<Budget>),
    /// None, because somebody said so.
    None,
}
