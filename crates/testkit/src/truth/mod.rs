//! The provider that keeps the truth.
//!
//! It bills a call in the moment in which it has read and accepted the whole of it, in full, whatever becomes of the
//! connection afterwards: that is what providers do after a hang-up. What it bills is its own arithmetic, in `u128`
//! pico-dollars, and shares no code with what it is there to check.
//!
//! - Input: a third of the bytes of all text that a model reads, rounded up, and 500 hidden tokens.
//! - Output: what the [`Plan`] says, never above the cap that was asked for unless the plan says `over`.
//! - Not billed: token counts, refusals of bad requests, and failures with the provider's own body. A 5xx without a
//!   body is an intermediary's, behind which the call went through: it is billed.
//!
//! It survives whatever happens to its callers, and tells the truth in process ([`TruthProvider::bill`]) and over HTTP:
//! `GET /truth` gives the totals, `POST /release?n=1` lets calls go on that wait at the gate.

mod anthropic;
mod book;
mod chat;
mod gemini;
mod ollama;
mod plan;
mod provider;
mod request;
mod responses;
mod script;
mod texts;

pub use book::{CallRecord, Delivery, Dialect, Totals};
pub use plan::{CutEnd, Plan, PlanError, Telling};
pub use provider::{Prices, Rates, Settings, TruthProvider};
