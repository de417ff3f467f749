//! Redis module.
