//! The rim: real clocks, dice, sockets and stores, made once and joined.
//!
//! [`serve`] is the server. Nothing here decides whether a call may go: that is the ledger's, and how much it may cost
//! is the policy's. What is here makes their words real, and is kept thin.

mod activity;
mod booked;
mod catalog;
mod clock;
mod configured;
mod control;
mod describe;
mod explain;
mod face;
mod guests;
mod happened;
mod history_operations;
mod hours;
mod in_force;
mod keeper;
mod key_operations;
mod keys;
mod known_bad;
mod lanes;
mod log;
mod look;
mod metrics;
mod offline;
mod operations;
mod over;
mod providers;
mod purse;
mod recorder;
mod rehearsal;
mod reload;
mod serve;
mod server;
#[cfg(test)]
mod tests;
mod tokens;
mod traces;
mod upstream;
mod world;

pub use configured::config_info;
pub use control::CONTROL_SOCKET;
pub use known_bad::KnownBad;
#[cfg(feature = "known-bad")]
pub use known_bad::choose;
pub use offline::{OfflineError, Sound, repair_ledger, verify_ledger};
pub use providers::price_book;
pub use purse::open_purse;
pub use reload::Reread;
pub use serve::{Options, SERVE_LOG, ServeError, prepare_state_dir, serve};
pub use tokens::{ADMIN_TOKEN, TokensError};

/// The OpenAPI document of the REST interface.
#[must_use]
pub fn openapi() -> String {
    almoner_web::document()
}

/// The wall clock, for commands that need no server.
#[must_use]
pub fn now() -> almoner_units::Timestamp {
    clock::read().wall
}
