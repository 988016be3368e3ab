//! The binary from outside: commands typed, requests sent, and what comes of both.
//!
//! Each test is a story with a world of its own: a home, a state folder and a configuration that nobody else sees, and
//! a server on a port that the system chose. Nothing waits for luck: a test waits for a line, a fact or an answer, and
//! gives up after a bounded number of looks.
#![allow(clippy::unwrap_used, reason = "a test may stop")]

mod abuse;
mod canary;
mod commands;
mod exec;
mod first;
mod full;
mod hostile;
mod keys;
mod leaving;
mod looking;
mod pace;
mod packaging;
mod passing;
mod printed;
mod provider;
mod raw;
mod refusing;
mod reload;
mod rest;
mod routes;
mod secure;
mod server;
mod sql;
mod trouble;
mod world;
