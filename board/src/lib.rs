//! x
#![forbid(unsafe_code)]
mod error;
pub mod expression;
mod functions;
pub mod path;
pub mod window;
mod file;
pub mod schema;
mod structure;
pub mod reference;
