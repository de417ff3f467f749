//! How everything here talks to Postgres: a blocking client whose statements leave nothing behind in a connection that a pooler gives to
//! somebody else next, and whose every wait has a deadline.
//!
//! - [`mod@attempt`]: what making a session may cost
//! - [`Client`]: a session; [`Terms`]: what each of its transactions sets, and how long an answer may take
//! - [`Transaction`]: several statements in one; [`Queries`]: what either can be asked
//! - `link`: the connection itself, and the deadline; `stand_in`: what the library does not say by itself
//! - [`holding`]: locks between processes

mod attempt;
mod canceller;
mod client;
mod link;
mod lock;
mod param;
mod queries;
mod stand_in;
mod terms;
mod transaction;

pub(crate) use attempt::attempt;
pub(crate) use canceller::{CancelToken, Canceller};
pub use client::Client;
pub use lock::HOLDER;
pub(crate) use lock::holding;
pub(crate) use param::Param;
pub(crate) use queries::Queries;
pub(crate) use stand_in::failed;
pub use terms::Terms;
pub(crate) use transaction::{CopyIn, Transaction};
