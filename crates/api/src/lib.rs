//! The control interface: the operations of Almoner and the form in which they travel.
//!
//! Every face — command line, later REST, MCP, terminal and web — asks these operations and none has a privilege of its
//! own. There is no server in here. Amounts travel as whole numbers in the unit that their name ends in; texts that a
//! person wrote travel as written.

mod budget;
mod call;
mod config;
mod decision;
mod event;
mod key;
mod port;
mod provider;
mod route;
mod throttle;
mod token;
mod usage;
mod wire;

pub use budget::{AccountInfo, BudgetInfo, HoldInfo, LimitInfo};
pub use call::{CallInfo, KeySummary};
pub use config::{ConfigInfo, ReloadFailed, Reloaded};
pub use decision::{DecisionInfo, DecisionQuery};
pub use event::{EVENT_KINDS, EventInfo, EventQuery};
pub use key::{KeyChangeInfo, KeyInfo, KeyUse, NewKey, ShownKey};
pub use port::{Answered, Asked, Begun, Caller, Port};
pub use provider::{PaceInfo, ProviderInfo};
pub use route::{PriceInfo, RateInfo, RouteInfo, StopInfo};
pub use throttle::{ThrottleNumbers, ThrottleStats};
pub use token::{NewToken, ShownToken, TokenInfo};
pub use usage::{UsageQuery, UsageRow};
pub use wire::{Failure, Reply, Request, Status, UsedTokens, read_line, write_line};
