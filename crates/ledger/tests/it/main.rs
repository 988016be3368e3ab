//! The ledger from outside: tables of commands and answers, and random commands against a naive twin.

mod model;
mod world;
