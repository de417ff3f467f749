//! The harness: real servers, started by the test that needs them and ended with it.
//!
//! It knows how to start, stop and talk to processes. It does not know what a right answer is: that
//! stands in the tests.
//!
//! - [`Redis`]: a `redis-server` with the module, on a Unix socket of its own
//! - [`Sidecar`]: the real `dashboard-sidecar`
//! - [`Postgres`]: a database of its own on the one Postgres server of this run
//! - [`PostgresServer`]: a Postgres server of the test's own, which may be restarted
//! - [`PgBouncer`]: a connection pooler in front of such a database
//! - [`Browser`]: a headless Chromium
//! - [`EventStream`]: a client that hears of changes
//! - [`KeepAlive`]: a client that keeps its connection
//! - [`Relay`]: a socket that holds back what clients send
//! - [`FakeUpstream`]: a sidecar that misbehaves on request
//! - [`jwt`]: tokens for the public API, right and wrong ones
//! - [`assert_eventually!`]: the only place that waits by polling
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a harness that cannot start a server has nothing to do but fail the test"
)]

mod artefacts;
mod browser;
mod client;
mod clock;
mod event_stream;
mod fake_upstream;
mod http;
pub mod jwt;
mod keep_alive;
mod pgbouncer;
mod postgres;
mod postgres_server;
mod process;
mod redis;
mod relay;
mod sidecar;
mod wait;

pub use artefacts::Artefacts;
pub use browser::{Browser, ConsoleLine, Key, screenshots};
pub use client::{Client, Lost, Reply, fields, text};
pub use clock::Clock;
pub use event_stream::{Event, EventStream};
pub use fake_upstream::{Answer, FakeUpstream, Known, Request};
pub use http::{Endpoint, Response, http, send};
pub use keep_alive::KeepAlive;
pub use pgbouncer::PgBouncer;
pub use postgres::Postgres;
pub use postgres_server::PostgresServer;
pub use process::{DescriptorLimit, Process, free_port, freeze_pid, repository_root, run, run_ok, thaw_pid};
pub use redis::{Redis, RedisBuilder};
pub use relay::Relay;
pub use sidecar::{Sidecar, SidecarBuilder};
pub use wait::{DEADLINE, poll_until};
