//! End-to-end tests on a real Redis and a real Postgres, one file for each subject.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "in a test, what cannot be had is a failure"
)]

mod acl;
mod bad_input;
mod batch;
mod blocked;
mod board_plan;
mod boards;
mod bounds;
mod browser;
mod clear;
mod counters;
mod databases;
mod declarations;
mod descriptors;
mod differential;
mod docs;
mod endpoints;
mod existing;
mod failover;
mod feed_lag;
mod figures;
mod freshness;
mod get;
mod greedy;
mod harness_itself;
mod history;
mod interruptions;
mod isolation;
mod leaks;
mod lists;
mod log;
mod marks;
mod morning;
mod no_blocking;
mod nowait;
mod panics;
mod persistence;
mod pooler;
mod public_api;
mod queue;
mod real_data;
mod recovery;
mod rewrites;
mod schedule;
mod settings;
mod sidecar_api;
mod silence;
mod silent_postgres;
mod single_flight;
mod socket;
mod standby;
mod starvation;
mod states;
mod stood_still;
mod swapped;
mod tracking;
mod unchanged;
mod warm;
