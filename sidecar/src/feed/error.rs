//! Why changes cannot be followed, in words for who runs the sidecar.

use postgres::error::SqlState;

use crate::db::{KeptError, chain, is_of_connection};

/// An error of the feed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FeedError {
    /// `migrate` has not been run, or not by this version.
    #[error("the schema dashboard lacks the change feed: run 'dashboard-sidecar migrate'")]
    NotMigrated,
    /// The role may not do all that it takes.
    #[error("the role '{role}' may not feed: grant it {}", missing.join(", "))]
    Rights {
        /// Who.
        role: String,
        /// What it lacks.
        missing: Vec<String>,
    },
    /// Postgres refused or is away.
    #[error("{}", chain(.0))]
    Postgres(#[from] postgres::Error),
    /// A defect of ours.
    #[error("the thread that talks to Postgres ended abnormally")]
    Thread,
}

impl FeedError {
    /// Whether Postgres has ended a statement because it took too long.
    pub(super) fn is_out_of_time(&self) -> bool {
        matches!(self, Self::Postgres(error) if error.code() == Some(&SqlState::QUERY_CANCELED))
    }

    /// Whether Postgres cannot compute with what it was given: a number that is too large, say.
    pub(super) fn is_of_data(&self) -> bool {
        matches!(self, Self::Postgres(error) if error.code().is_some_and(|code| code.code().starts_with("22")))
    }

    /// What anybody may be told: what Postgres said goes to the log, and no further.
    pub(super) fn said(&self) -> String {
        match self {
            Self::NotMigrated | Self::Rights { .. } => self.to_string(),
            Self::Postgres(_) | Self::Thread => {
                "the feed cannot ask Postgres; see the sidecar's log".to_owned()
            }
        }
    }
}

impl KeptError for FeedError {
    fn is_connection(&self) -> bool {
        match self {
            Self::Postgres(error) => is_of_connection(error),
            Self::Thread => true,
            _ => false,
        }
    }

    fn thread() -> Self {
        Self::Thread
    }
}
