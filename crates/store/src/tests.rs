//! What the store promises, shown from inside, so that the tests can reach its files and its limits.

mod history;
mod journal;
mod tables;
mod wire;
mod world;
