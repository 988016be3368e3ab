//! The price book: what a token costs, by model, service tier, size of input and day.
//!
//! It promises that an unknown model has no price rather than a price of 0, and that every price is a whole number of
//! pico-dollars from the decimal text of the data file. It leaves out what is not billed by the token, such as
//! pictures, speech and searches that a model does unasked.

mod book;
mod check;
mod day;
mod overlay;
mod price;
mod read;

pub use book::PriceBook;
pub use check::{Finding, Severity};
pub use overlay::UserPrice;
pub use price::{Price, Rate, Reach, Tier, TierAnswer, Writes};
pub use read::BookError;
