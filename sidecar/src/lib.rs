//! The dashboard sidecar: it computes per-tenant dashboard bundles from Postgres for the Redis module, and
//! serves people and probes over HTTP.
//!
//! A tour, in reading order:
//!
//! 1. [`config`]: every setting, as one typed struct per subcommand.
//! 2. [`tenant`] and [`bundle`]: what is computed, for whom, and how its bytes are put together.
//! 3. [`pg`] and [`db`]: Postgres; how it is talked to, and the only place that runs SQL for bundles.
//! 4. [`cache`]: Redis; the only place that speaks `DASHBOARD.*`.
//! 5. `flights` and `rooms`: one flight for each thing that is waited for, and how many may wait; [`directory`]: tenants by name.
//! 6. [`internal`]: the HTTP API that the Redis module calls.
//! 7. [`public`]: the HTTP API for front ends, people and probes.
//! 8. [`auth`]: who asks the public API, and what they may do.
//! 9. [`http`]: what both share: listeners, the accept loop with its drain, parameters and replies.
//! 10. `lease`: what one sidecar of many does at a time; [`scheduler`]: runs what is due, in one sidecar of however many.
//! 11. [`feed`]: tells Redis what has changed in Postgres, likewise.
//! 12. [`serve`], [`warm`], [`cron`], [`mod@board`], [`counters`], [`migrate`], [`token`], [`demo`]: the subcommands.
//! 13. [`error`] and [`telemetry`]: how failures reach clients, and how they reach the log. `descriptors`: the one failure that is no server's.
//! 14. [`output`]: what subcommands print.
//!
//! Two error types, each with its place: [`error::ApiError`] answers a request and is all that a client ever
//! sees of a failure; [`error::Failure`] ends the process, with one message and an exit code.
#![forbid(unsafe_code)]

pub mod auth;
pub mod board;
pub mod bundle;
pub mod cache;
pub mod config;
pub mod counters;
pub mod cron;
pub mod db;
pub mod demo;
mod descriptors;
pub mod directory;
pub mod error;
pub mod feed;
mod flights;
pub mod http;
pub mod internal;
mod lease;
pub mod migrate;
pub mod output;
pub mod pg;
mod probe;
pub mod public;
mod rooms;
pub mod scheduler;
pub mod serve;
pub mod telemetry;
pub mod tenant;
pub mod token;
pub mod warm;
