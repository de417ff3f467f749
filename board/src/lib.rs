//! x
#![forbid(unsafe_code)]
pub mod definition;
pub mod derived;
mod error;
pub mod expression;
mod file;
mod functions;
pub mod order;
pub mod path;
pub mod read;
pub mod reference;
pub mod schema;
pub mod size;
mod structure;
pub mod window;
pub use definition::Board;
