//! The store: the journal on disk, which is the truth, and history, which may be lost.
//!
//! [`Journal`] keeps every fact of the ledger in `ledger.db`, durable before it is acknowledged. Nothing else opens
//! that file, and opening it begins at the latest snapshot of the books. [`History`] keeps what people want to look up
//! in `history.db`. Nothing here asks the time.

mod assumed;
mod ballast;
mod chain;
mod control;
mod error;
mod files;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod hex;
mod history;
mod hwm;
mod journal;
mod keys;
mod lock;
mod lookup;
mod port;
mod private;
mod repair;
mod scan;
mod snapshot;
mod sqlite;
#[cfg(test)]
mod tests;
mod trim;
mod verify;
mod wire;

pub use chain::Chain;
pub use control::{Control, ControlError, Known, StoredAsk, StoredToken};
pub use error::{AppendError, OpenError, ReadError};
pub use history::{
    BoundPart, CallRecord, Decision, DecisionAsk, DecisionRow, Event, EventKind, EventRecord, Events, History,
    HistoryError, HistoryEvent, HistoryReader, Interrupt, KeyUsed, Outcome, OutcomeRecord, Recent, ThrottleAction,
    ThrottleRecord, UsageAsk, UsageGroup, UsageSums, Usages, VerdictRecord,
};
pub use journal::{Journal, Recovered};
pub use keys::{KeyChange, StoredKey, StoredSecret};
pub use repair::{RepairError, RepairMode, RepairReport, repair};
pub use verify::{VerifyReport, verify};
