//! Who this process is to the others, and how it keeps time.

use std::time::Duration;

use crate::config::LeaseArgs;
use crate::lease::Expiry;

/// The scheduler's settings, with a name for this process that no other has.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// See [`owner`].
    pub(crate) owner: String,
    /// How long a lease lasts unless it is renewed.
    pub(crate) lease: Duration,
    /// How it is found out whether another's has ended.
    pub(crate) expiry: Expiry,
    /// The first pause before a failed run is tried again.
    pub(crate) first_retry: Duration,
}

impl Settings {
    pub(crate) fn new(lease: &LeaseArgs, expiry: Expiry) -> Self {
        Self {
            owner: owner(),
            lease: Duration::from_millis(lease.lease_ms),
            expiry,
            first_retry: Duration::from_millis(lease.retry_ms),
        }
    }
}

/// A name for this process: host, process id and a number drawn at random, as a restarted process is another one.
pub(crate) fn owner() -> String {
    let host = rustix::system::uname();
    let host = host.nodename().to_string_lossy();
    format!("{host}:{}:{:08x}", std::process::id(), rand::random::<u32>())
}
