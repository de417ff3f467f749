//! Where everything meets: the engine, the clients that wait, the runs and the way to the sidecar, behind
//! one mutex.
//!
//! - [`requests`]: what commands ask for. [`server`]: what the server calls. [`life`]: how it begins and ends.
//! - [`pump`]: moves things on. [`news`]: tells those who keep copies.
//! - [`core`]: the state and its small steps. [`clients`], [`waiters`]: those who wait.

mod clients;
mod core;
mod life;
mod news;
pub(crate) mod pump;
mod requests;
mod server;
mod waiters;
mod wake;

pub(crate) use core::{State, monotonic, peek};
pub(crate) use life::{start, stop};
pub(crate) use requests::{
    Outcome, begin_clear, begin_warm, clear_flights, databases, feed_said, read, refresh_behind,
};
pub(crate) use server::{gone, reply, server_event, unblocked, woken};
pub(crate) use waiters::{Answer, Pending};
