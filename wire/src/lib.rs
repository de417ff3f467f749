//! What both sides of the internal API must agree on, written once: who a bundle is for ([`tenant`]), where it is
//! kept ([`key`]), what its `meta` says ([`bundle`]), what is known of one that is stored ([`known`]), and the
//! requests and lines between the module and the sidecar ([`protocol`]).
//!
//! Nothing here knows Redis, Postgres, HTTP or a clock.
#![forbid(unsafe_code)]

pub mod bundle;
pub mod key;
pub mod known;
pub mod protocol;
pub mod tenant;
