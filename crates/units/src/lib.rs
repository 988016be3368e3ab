//! The words of Almoner as types: money, usage, meters, limits, windows, labels, budgets and ids, with their text
//! forms.
//!
//! Nothing here knows a file, a socket, a clock or another crate of ours. Every amount is a whole number in the unit
//! that its type names, so that no sum in the ledger can round; floats and text stop at the rim.

mod ask;
mod bucket;
mod budget;
mod charge;
mod id;
mod label;
mod level;
mod limit;
mod meant;
mod meter;
mod money;
mod nearest;
mod number;
mod passage;
mod role;
mod time;
mod usage;
mod window;

pub use ask::Ask;
pub use bucket::{BucketError, BucketUnit, Buckets};
pub use budget::{AccountKey, Budget, Mode, counts};
pub use charge::Charge;
pub use id::{BudgetName, CallId, NameError};
pub use label::{LabelError, LabelName, LabelValue, Labels};
pub use level::{Level, LevelMarks, LevelMarksError, Priority, UnknownPriority};
pub use limit::{Limit, LimitError};
pub use meter::{Meter, UnknownMeter};
pub use money::{MoneyError, NanoUsd, PicoUsdPerToken};
pub use nearest::nearest;
pub use number::{NumberError, counted};
pub use passage::{Passage, passage};
pub use role::{Role, UnknownRole};
pub use time::{Span, SpanError, Timestamp, TimestampError};
pub use usage::Usage;
pub use window::{CalendarUnit, Window, WindowError, Zone, ZoneError};
