//! The scheduler's one session with Postgres.

use super::error::StoreError;
use super::store;
use crate::db::{Dialer, Kept};

/// A session that several runs share, one statement after the other.
pub(crate) type Session = Kept<StoreError>;

/// Prepares it; it is opened when it is needed.
pub(crate) fn session(dialer: Dialer) -> Session {
    Kept::new(dialer, store::TERMS)
}
