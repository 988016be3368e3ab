//! The face over HTTP: REST under `/api/v1`, its OpenAPI document, and events.
//!
//! It promises that nobody is answered who shows no good token, and that no request changes more than the role of its
//! token lets it. One table, `table.rs`, says which resources there are, who may ask for them, what they take and give:
//! requests find their way by it, and the document is written from it, so neither can know of a route that the other
//! does not. What is asked is asked through the port of `api`; there is no ledger, no file and no clock in here.

mod act;
mod again;
mod body;
mod catalog;
mod door;
mod events;
mod openapi;
mod page;
mod path;
mod problem;
mod query;
mod resources;
mod table;
#[cfg(test)]
mod tests;
mod web;

pub use act::CHANGES;
pub use openapi::document;
pub use web::{Web, WebBody, takes};
