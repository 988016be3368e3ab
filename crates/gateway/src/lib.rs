//! The HTTP gateway: label, bound, reserve, forward, meter, settle, as one visible stack.
//!
//! [`Gateway::handle`] is the whole of it: [`stack`](Gateway) understands a call, `ask` holds its worst case,
//! `exchange` sends it and settles it at what it cost. The ledger, history, keys and providers are ports that the
//! daemon fills; nothing in here opens a socket, reads the environment or asks what day it is.

pub mod answer;
mod ask;
mod bill;
pub mod body;
mod clamps;
mod counting;
pub mod dialect;
mod exchange;
mod guard;
mod heed;
mod hop;
mod http;
mod inbox;
mod journey;
mod labels;
mod memory;
mod models;
mod names;
mod pacing;
mod patient;
mod pipe;
mod port;
mod provider;
mod reject;
mod relay;
mod report;
mod retry;
pub mod route;
mod settings;
mod stack;
mod stays;
mod stopwatch;
mod survivor;
mod told_limits;
mod trace;
mod trial;
mod trouble;
mod turns;
mod who;

pub use http::Hosts;
pub use pacing::{PaceView, Paced, provider_paces};
pub use port::{
    Admitted, Decision, DeskError, End, KeyFacts, Keys, Purse, Question, Recorder, Refused, Upstream, UpstreamError,
};
pub use provider::{Credential, Pinned, Provider};
pub use relay::{BoxError, ClientBody, Patience, UpstreamBody};
pub use report::{Outcome, Report, Said, StopNote, Verdict};
pub use settings::GatewaySettings;
pub use stack::{Gateway, World};
pub use trace::TraceParent;
