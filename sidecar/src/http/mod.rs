//! What the internal and the public API share: listeners, the accept loop, parameters, replies.
//! Knows neither Postgres nor Redis.

mod listener;
mod params;
mod reply;
mod server;

pub use listener::Listener;
pub use params::Params;
pub use reply::{Body, BodyError, Reply, bytes, error_object, json};
pub use server::{Limits, run};
