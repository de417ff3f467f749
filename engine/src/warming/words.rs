//! What runs and their callers exchange.

use wire::bundle::UnixMillis;
use wire::tenant::Tenant;

/// A bundle that a run waits for: its waiter in the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Seat {
    /// The run.
    pub run: u64,
    /// Twice the tenant's place in the run, plus one for the bundle without test data.
    pub bundle: u32,
}

/// What a run has done. Every tenant is counted once: `warmed + fresh + failed` is `tenants` at the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// How many there are.
    pub tenants: u64,
    /// At least one bundle was computed, and none failed.
    pub warmed: u64,
    /// Both bundles were fresh already, or are so again without having been computed: nothing has changed.
    pub fresh: u64,
    /// At least one bundle could not be had.
    pub failed: u64,
    /// Milliseconds since it began.
    pub elapsed_ms: u64,
}

impl Report {
    /// Tenants that are done with.
    pub fn done(&self) -> u64 {
        self.warmed + self.fresh + self.failed
    }
}

/// How a bundle that a run wanted came to be fresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Brought {
    /// It was computed.
    Computed,
    /// Nothing had changed: the stored one has a new life.
    Renewed,
}

/// A tenant that could not be warmed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedTenant {
    /// Which.
    pub tenant: Tenant,
    /// One word, as in the names of the counters.
    pub reason: &'static str,
}

/// A run, to be shown: one that has ended, or as far as it is.
#[derive(Debug)]
pub struct Summary {
    /// The run.
    pub run: u64,
    /// Who asked for it, in words.
    pub by: String,
    /// When it began.
    pub started: UnixMillis,
    /// What it has done.
    pub report: Report,
    /// The first of them, where there are many.
    pub failures: Vec<FailedTenant>,
}
