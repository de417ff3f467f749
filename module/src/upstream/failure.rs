//! What can go wrong between the module and Postgres, and how a client is told.

use crate::engine::breaker::Sign;

/// Why a bundle could not be had. The cause, with names and numbers, goes to the log beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Postgres has no such tenant: an answer, not a fault.
    NoTenant,
    Timeout,
    /// The sidecar cannot be reached.
    SidecarDown,
    /// The sidecar cannot reach Postgres, or finds no schema of ours there.
    PostgresDown,
    /// The sidecar refused for its own bounds.
    SidecarBusy,
    /// The sidecar does not accept `dashboard.token`.
    Token,
    /// The sidecar said that it failed.
    SidecarError,
    /// What came is no bundle.
    Malformed,
    /// The answer broke off.
    Incomplete,
    /// It is the bundle of another tenant or include flag.
    WrongBundle,
    TooLarge,
    /// The module is being unloaded, or a request of ours panicked.
    Abandoned,
}

impl Failure {
    pub(crate) fn sign(&self) -> Sign {
        match self {
            Self::SidecarDown | Self::PostgresDown => Sign::Dead,
            Self::NoTenant | Self::TooLarge | Self::WrongBundle => Sign::Alive,
            Self::Timeout => Sign::Silent,
            _ => Sign::Unclear,
        }
    }

    /// The error of a client that waited for this.
    pub(crate) fn client_text(&self) -> &'static str {
        match self {
            // These two have their own words, where a client can meet them without a flight.
            Self::NoTenant | Self::Timeout => "ERR",
            Self::SidecarDown => {
                "UNAVAILABLE the sidecar cannot be reached; start it, or correct dashboard.sidecar"
            }
            Self::PostgresDown => {
                "UNAVAILABLE the sidecar cannot use Postgres; start it, correct DATABASE_URL, or run dashboard-sidecar migrate"
            }
            Self::SidecarBusy => "OVERLOADED the sidecar is at its bounds; try again, or raise them",
            Self::Token => "UNAVAILABLE the sidecar refused the token; correct dashboard.token",
            Self::SidecarError => {
                "UNAVAILABLE the sidecar could not compute the bundle; its log has the cause"
            }
            Self::Malformed => {
                "UNAVAILABLE the sidecar's answer is not a bundle; the server's log has the cause"
            }
            Self::Incomplete => "UNAVAILABLE the sidecar's answer broke off; try again",
            Self::WrongBundle => {
                "UNAVAILABLE the sidecar answered with another tenant's bundle, which was discarded; the server's log has the cause"
            }
            Self::TooLarge => {
                "OVERLOADED the bundle is larger than dashboard.max-bundle-bytes; raise it, or shorten the bundle"
            }
            Self::Abandoned => "UNAVAILABLE the request was abandoned; try again",
        }
    }

    /// The name under which `INFO dashboard` counts it.
    pub(crate) fn counter(&self) -> &'static str {
        match self {
            Self::NoTenant => "failed_no_tenant",
            Self::Timeout => "failed_timeout",
            Self::SidecarDown => "failed_sidecar_down",
            Self::PostgresDown => "failed_postgres_down",
            Self::SidecarBusy => "failed_sidecar_busy",
            Self::Token => "failed_token",
            Self::SidecarError => "failed_sidecar_error",
            Self::Malformed => "failed_malformed",
            Self::Incomplete => "failed_incomplete",
            Self::WrongBundle => "failed_wrong_bundle",
            Self::TooLarge => "failed_too_large",
            Self::Abandoned => "failed_abandoned",
        }
    }

    /// One word for it: the counter's name without what all of them begin with.
    pub(crate) fn reason(&self) -> &'static str {
        self.counter().strip_prefix("failed_").unwrap_or_default()
    }

    /// Every kind, in the order of `INFO`.
    pub(crate) const ALL: [Self; 12] = [
        Self::NoTenant,
        Self::Timeout,
        Self::SidecarDown,
        Self::PostgresDown,
        Self::SidecarBusy,
        Self::Token,
        Self::SidecarError,
        Self::Malformed,
        Self::Incomplete,
        Self::WrongBundle,
        Self::TooLarge,
        Self::Abandoned,
    ];
}
