//! x
#![forbid(unsafe_code)]
mod error;
mod expression;
mod functions;
mod path;
mod window;
