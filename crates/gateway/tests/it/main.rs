//! Calls through the gateway, in a false world.

// What cannot be read is a failed test.
#![allow(clippy::unwrap_used, clippy::expect_used)]
// A test that needs recordings says that there are none.
#![allow(clippy::print_stdout)]

mod border;
mod counting;
mod gemini;
mod models;
mod names;
mod ollama;
mod pace;
mod patient;
mod pinned;
mod recorded;
mod responses;
mod retries;
mod routes;
mod stopwatch;
mod stream_errors;
mod ways_out;
mod world;
