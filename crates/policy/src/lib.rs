//! What a call can cost at most, what it did cost, which accounts it touches, and where it goes next.
//!
//! Everything here is a function of plain values: no clock, no file, no wire format. The price book's own data file
//! is part of the program. Unknown is never 0: a model without a price has none, and what cannot be bounded is refused
//! by name or listed by name.

mod backoff;
mod bound;
mod cost;
mod defaults;
mod health;
pub mod pace;
mod pattern;
mod prices;
#[cfg(test)]
mod recorded;
mod route;
mod tokens;
mod touch;

pub use backoff::{Backoff, GiveUp};
pub use bound::{
    Bound, BoundSettings, Counted, Overheads, ServerTool, Shape, Unboundable, bound, bound_counted, text_bytes_nfkc,
};
pub use cost::{CostError, Extras, cost};
pub use defaults::default_budgets;
pub use health::Health;
pub use pattern::ModelPattern;
pub use prices::{BookError, Finding, Price, PriceBook, Rate, Reach, Severity, Tier, TierAnswer, UserPrice, Writes};
pub use route::{Route, Setback, Target, Trail, UnknownWhen, When};
pub use tokens::{Encoding, Message, count_chat, count_text, encoding_for};
pub use touch::{ACCOUNTS_MAX, most_touched, touched};
