//! Times and identities.

/// Milliseconds of a clock that never goes back.
pub type Millis = u64;

/// A flight's identity: never used twice.
pub type FlightId = u64;

/// The number of a batch of warming.
pub type BatchId = u64;

/// The identity of a client that waits, never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientId(pub u64);
