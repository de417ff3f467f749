//! What the internal and the public API share: listeners, the accept loop, parameters, bodies, replies.
//! Knows neither Postgres nor Redis.

mod body;
mod listener;
mod params;
mod places;
mod reply;
mod server;
mod stop;
mod unix_socket;

pub use body::{parse_json, read_body, read_json};
pub use listener::Listener;
pub use params::Params;
pub use places::{Full, Occupancy};
pub use reply::{Body, BodyError, Reply, bytes, empty, error_object, json};
pub use server::{Limits, Reserved, run};
pub use stop::Stop;
pub use unix_socket::Standing;
