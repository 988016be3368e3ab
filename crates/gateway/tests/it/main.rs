//! Calls through the gateway, in a false world.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod ways_out;
mod world;
