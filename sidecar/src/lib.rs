//! The dashboard sidecar: it computes per-tenant dashboard bundles from Postgres for the Redis module, and
//! serves people and probes over HTTP.
//!
//! A tour, in reading order:
//!
//! 1. [`config`]: every setting, as one typed struct per subcommand.
//! 2. [`tenant`] and [`bundle`]: what is computed, for whom, and how its bytes are put together.
//! 3. [`pg`] and [`db`]: Postgres; how it is talked to, and the only place that runs SQL for bundles.
//! 4. [`cache`]: Redis; the only place that speaks `DASHBOARD.*`.
//! 5. [`internal`]: the HTTP API that the Redis module calls.
//! 6. [`public`]: the HTTP API for front ends, people and probes.
//! 7. [`auth`]: who asks the public API, and what they may do.
//! 8. [`http`]: what both share: listeners, the accept loop with its drain, parameters and replies.
//! 9. [`scheduler`]: runs what is due, in one sidecar of however many.
//! 10. [`feed`]: tells Redis what has changed in Postgres, likewise.
//! 11. [`serve`], [`warm`], [`cron`], [`counters`], [`migrate`], [`token`], [`demo`]: the subcommands.
//! 12. [`error`] and [`telemetry`]: how failures reach clients, and how they reach the log.
//!
//! Two error types, each with its place: [`error::ApiError`] answers a request and is all that a client ever
//! sees of a failure; [`error::Failure`] ends the process, with one message and an exit code.
#![forbid(unsafe_code)]

pub mod auth;
pub mod bundle;
pub mod cache;
pub mod config;
pub mod counters;
pub mod cron;
pub mod db;
pub mod demo;
pub mod error;
pub mod feed;
pub mod http;
pub mod internal;
pub mod migrate;
pub mod pg;
mod probe;
pub mod public;
pub mod scheduler;
pub mod serve;
pub mod telemetry;
pub mod tenant;
pub mod token;
pub mod warm;
