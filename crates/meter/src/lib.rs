//! Provider bytes in, usage out: a pure fold over the chunks of one answer, one file for each dialect.
//!
//! However the bytes are cut, the [`Reading`] is the same. What the provider did not say is `None` and never 0; a
//! number that is negative, fractional or too large is `None` and a [`Fault`], never a wrap. Nothing here knows HTTP, a
//! clock or a price, and no input makes it panic or keep more than a bounded number of bytes.

mod anthropic;
mod base64;
mod brotli;
mod chat;
mod cost;
mod decode;
mod dialect;
mod elide;
mod embeddings;
pub mod exchange;
mod fault;
mod framing;
mod gemini;
mod interactions;
mod lines;
mod meter;
mod objects;
mod ollama;
mod pick;
mod plausible;
mod reading;
mod responses;
mod sheet;
mod sieve;
mod sse;
mod told;
mod zstd;

pub use cost::ReportedCost;
pub use decode::{DECODED_MAX, Decoder, UnknownEncoding};
pub use dialect::{Dialect, UnknownDialect};
pub use fault::{Fault, Faults};
pub use framing::{BODY_MAX, Framing};
pub use lines::EVENT_MAX;
pub use meter::Meter;
pub use reading::{ErrorCode, ProviderError, Reading, ServerTools};
