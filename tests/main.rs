//! End-to-end tests on a real Redis and a real Postgres.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "in a test, what cannot be had is a failure"
)]

mod harness_itself;
