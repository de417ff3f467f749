//! The dashboard sidecar: computes bundles from Postgres for the Redis module.
#![forbid(unsafe_code)]

pub mod demo;
pub mod migrate;
