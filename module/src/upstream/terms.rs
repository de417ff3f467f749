//! What is asked, and what is answered.

use super::endpoint::Endpoint;
use crate::log::one_line;
use engine::{BatchId, Failure, FlightId};
use hyper::body::Bytes;
use std::sync::Arc;
use std::time::Duration;
use wire::bundle::Lifetime;
use wire::known::Known;
use wire::tenant::Tenant;

/// A bundle that was asked for, checked, and ready to be stored and sent.
#[derive(Debug)]
pub(crate) struct Fetched {
    pub(crate) value: Bytes,
    pub(crate) etag: String,
    pub(crate) life: Lifetime,
    /// Nothing was computed: it is what was stored before, with a new life.
    pub(crate) renewed: bool,
}

/// One bundle to ask for.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) flight: FlightId,
    pub(crate) tenant: Tenant,
    pub(crate) include: bool,
    pub(crate) life: Lifetime,
    /// What is stored of it, which will do where nothing has changed since. Of batches only.
    pub(crate) known: Option<Known>,
}

/// What to ask the sidecar, with the settings as they were when it was decided.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) endpoints: Arc<[Endpoint]>,
    pub(crate) token: Arc<str>,
    pub(crate) timeout: Duration,
    pub(crate) max_bundle_bytes: usize,
    pub(crate) what: What,
}

/// The three questions.
#[derive(Debug)]
pub(crate) enum What {
    /// One bundle, for clients who wait or a refresh behind.
    Bundle(Order),
    /// Many bundles, answered one by one as they are computed, and the number of this batch.
    Batch(BatchId, Vec<Order>),
    /// The tenants that warming covers, for the job of this number.
    Tenants(u64),
}

/// What the main thread is told.
#[derive(Debug)]
pub(crate) enum Event {
    Landed {
        flight: FlightId,
        result: Result<Arc<Fetched>, Failure>,
        cause: Option<String>,
    },
    Tenants {
        job: u64,
        result: Result<Vec<Tenant>, Failure>,
        cause: Option<String>,
    },
    /// After the last landing of a batch: how long the database has worked for it, or may have.
    BatchEnded {
        batch: BatchId,
        query: Duration,
    },
}

/// What went wrong: what the client is told, and what the log is. The cause is one line, whoever has worded it.
#[derive(Debug)]
pub(crate) struct Problem {
    pub(crate) failure: Failure,
    pub(crate) cause: String,
}

impl Problem {
    pub(crate) fn new(failure: Failure, cause: impl std::fmt::Display) -> Self {
        Self { failure, cause: one_line(&cause.to_string()) }
    }
}

pub(super) fn too_large(limit: usize) -> Problem {
    Problem::new(Failure::TooLarge, format!("the answer is larger than {limit} bytes"))
}
