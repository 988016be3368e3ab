//! What the store promises, shown from inside, so that the tests can reach its files and its limits.

mod damage;
mod full;
mod history;
mod journal;
mod kill;
mod repair;
mod snapshots;
mod tables;
mod usage;
mod wire;
mod world;
