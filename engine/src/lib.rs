//! Decides for every request whether it is answered from memory, waits, or is refused, and what is computed; and
//! paces warming. It knows no Redis, no network and no clock: callers pass the time and what is stored, and carry out
//! what it decides. The module does, and so do the tests here, against a model ([`engine`]'s rules hold for both).
//!
//! - [`terms`]: the words that callers and the engine exchange. [`failure`]: why a bundle could not be had.
//! - [`engine`]: reads, flights and landings. `waiting`: deadlines. `fence`: what a clear does.
//! - [`warming`]: runs over many tenants, and their pace.
#![forbid(unsafe_code)]

mod backoff;
mod breaker;
pub mod engine;
pub mod failure;
mod fence;
#[cfg(test)]
mod model;
mod negative;
mod queue;
mod seats;
pub mod terms;
pub mod units;
mod waiting;
pub mod warming;

pub use engine::Engine;
pub use failure::Failure;
pub use terms::{
    Again, Ask, Cancelled, Carrier, Counters, Expiry, Fenced, Landing, Launch, Limits, Plan, Refusal,
    Refused, Scope, Seat, Stored, new_enough,
};
pub use units::{BatchId, ClientId, FlightId, Millis};
