//! Connections for a part of the program that keeps one of its own, outside of the lanes.

use super::target::Target;
use crate::config::DatabaseArgs;
use crate::error::Failure;
use crate::pg::{Client, Terms};

/// Opens connections under one name.
#[derive(Clone)]
pub struct Dialer {
    target: Target,
    name: String,
}

impl Dialer {
    /// Reads DATABASE_URL. `application_name` is what pg_stat_activity shows.
    ///
    /// # Errors
    /// If DATABASE_URL is missing or malformed.
    pub fn new(args: &DatabaseArgs, application_name: &str) -> Result<Self, Failure> {
        Ok(Self::of(&Target::new(args)?, application_name))
    }

    pub(super) fn of(target: &Target, application_name: &str) -> Self {
        Self { target: target.clone(), name: application_name.to_owned() }
    }

    /// Opens a connection; logs once that Postgres is down, and once that it is back. Blocks.
    ///
    /// # Errors
    /// If Postgres cannot be reached or refuses.
    pub fn dial(&self, terms: Terms) -> Result<Client, postgres::Error> {
        self.target.connect_again(&self.name, terms)
    }

    /// Turns a failed connection into the reason why the process ends.
    pub fn failure(&self, error: &postgres::Error) -> Failure {
        self.target.failure(error)
    }
}
