//! What was done and seen, and when: the words in which the workload tells the checker.
//!
//! All times are read from one monotonic clock of this process, before something is sent (`invoked`, `began`)
//! and after its reply has come (`answered`, `ended`). So "a before b" is true of the servers, too.

use std::time::{Duration, Instant};

/// Microseconds since the run began.
pub(super) type Time = u64;

/// The one clock.
#[derive(Clone, Copy)]
pub(super) struct Clock(Instant);

impl Clock {
    pub(super) fn start() -> Self {
        Self(Instant::now())
    }

    pub(super) fn now(self) -> Time {
        micros(self.0.elapsed())
    }
}

pub(super) fn micros(duration: Duration) -> Time {
    Time::try_from(duration.as_micros()).expect("no run takes that long")
}

/// A new version of a tenant, written to Postgres. Each tenant has one writer, and versions only grow.
#[derive(Clone, Debug)]
pub(super) struct Commit {
    pub(super) tenant: usize,
    pub(super) version: u64,
    pub(super) invoked: Time,
    /// `None`: nobody knows whether it was committed.
    pub(super) answered: Option<Time>,
}

/// A clear (or FLUSHALL) that was answered.
#[derive(Clone, Debug)]
pub(super) struct Clear {
    /// `None`: all of them.
    pub(super) tenant: Option<usize>,
    pub(super) soft: bool,
    pub(super) invoked: Time,
    pub(super) answered: Time,
    /// When WAIT said that the replica has it.
    pub(super) replicated: Option<Time>,
}

/// Whom a reader asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Primary,
    Replica,
}

/// What a GET asks for besides its tenant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Ask {
    pub(super) include: bool,
    pub(super) refresh: bool,
    pub(super) max_age_ms: Option<u64>,
}

/// One GET.
#[derive(Clone, Debug)]
pub(super) struct Get {
    pub(super) reader: usize,
    pub(super) place: Place,
    pub(super) tenant: usize,
    pub(super) ask: Ask,
    pub(super) began: Time,
    pub(super) ended: Time,
    pub(super) outcome: Outcome,
}

/// What came of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Bundle(Seen),
    /// CLEAR or WARM: done.
    Done,
    /// The server's error line.
    Error(String),
    /// The connection ended before the reply.
    Closed(String),
    /// Nothing within the time that a reply may take.
    Silence,
    /// The reply was followed by another than that of the next command, or is none of this command's.
    OutOfStep(String),
}

/// A bundle as a reader saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) status: String,
    pub(super) age_ms: u64,
    pub(super) version: u64,
    /// What is wrong with it by itself: another tenant's, torn, not a bundle.
    pub(super) flaw: Option<String>,
}

/// Any other command: only its reply counts.
#[derive(Clone, Debug)]
pub(super) struct Other {
    pub(super) name: &'static str,
    pub(super) began: Time,
    pub(super) ended: Time,
    pub(super) outcome: Outcome,
}

/// What was done to the servers, and what it may cost clients.
#[derive(Clone, Debug)]
pub(super) struct Fault {
    pub(super) name: &'static str,
    pub(super) began: Time,
    pub(super) ended: Time,
    /// Connections to Redis may end.
    pub(super) closes: bool,
}

/// A whole run.
#[derive(Clone, Debug, Default)]
pub(super) struct History {
    pub(super) commits: Vec<Commit>,
    pub(super) clears: Vec<Clear>,
    pub(super) gets: Vec<Get>,
    pub(super) others: Vec<Other>,
    pub(super) faults: Vec<Fault>,
    /// When a primary was lost and a replica took over: what only the old one had is gone.
    pub(super) losses: Vec<Time>,
    /// When databases were swapped: what is swapped in was not cleared.
    pub(super) swaps: Vec<Time>,
}

impl History {
    pub(super) fn merge(&mut self, other: Self) {
        self.commits.extend(other.commits);
        self.clears.extend(other.clears);
        self.gets.extend(other.gets);
        self.others.extend(other.others);
        self.faults.extend(other.faults);
        self.losses.extend(other.losses);
        self.swaps.extend(other.swaps);
    }
}
