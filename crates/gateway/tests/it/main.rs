//! Calls through the gateway, in a false world.

// What cannot be read is a failed test.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod border;
mod counting;
mod gemini;
mod names;
mod pinned;
mod ways_out;
mod world;
