//! The definition of a board: a dashboard of one tenant that is declared in a file, not coded.
//!
//! [`read::read`] makes a [`Board`] of a file's bytes, or says all that is wrong with it: file, line, column, the
//! line itself and what to write instead. What a board holds has been checked, so whoever compiles it into SQL need
//! not check it again. There is no I/O here and no database: whether tables and columns exist, of which types they
//! are and whether a function is volatile is asked elsewhere.
//!
//! - `file`: what may be written, and the words that explain it. [`mod@schema`] and [`mod@reference`] are made from it; `structure` checks a
//!   file against the schema.
//! - [`read`]: from that to a [`Board`] ([`definition`]), by way of small languages: [`expression`] and [`order`] (SQL over one row), [`derived`]
//!   (arithmetic over figures), [`window`] (spans of time) and [`path`] (names).
//! - [`canonical`]: one form and one hash for all definitions that mean the same. [`size`]: how large a bundle can get.
//! - [`error`]: how every message looks.
//!
//! Imports run from `read` down; `path`, `window`, `error` and `functions` know nobody above them.
#![forbid(unsafe_code)]

pub mod canonical;
pub mod definition;
pub mod derived;
pub mod error;
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
