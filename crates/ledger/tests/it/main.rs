//! The ledger from outside: tables of commands and answers, and random commands against a naive twin.

// A table that cannot be read is a failed test.
#![allow(clippy::unwrap_used)]

mod changes;
mod clamp;
mod desk;
mod floods;
mod holds;
mod journal;
mod levels;
mod model;
mod room;
mod script;
mod windows;
mod world;
