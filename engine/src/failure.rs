//! What can go wrong between the module and Postgres, and what each says about the sidecar. How a client is told is
//! the caller's.

/// What the end of a flight says about the sidecar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// It answers.
    Alive,
    /// It, or Postgres behind it, cannot be reached.
    Dead,
    /// It took too long. For one tenant that may be the tenant's own doing; for several in a row it is not.
    Silent,
    /// This one bundle failed.
    Unclear,
}

/// Why a bundle could not be had. The cause, with names and numbers, goes to the log beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Postgres has no such tenant: an answer, not a fault.
    NoTenant,
    /// No answer in time.
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
    /// It is larger than the caller takes.
    TooLarge,
    /// The module is being unloaded, or a request of ours panicked.
    Abandoned,
}

impl Failure {
    /// What it says about the sidecar.
    pub fn sign(&self) -> Sign {
        match self {
            Self::SidecarDown | Self::PostgresDown => Sign::Dead,
            Self::NoTenant | Self::TooLarge | Self::WrongBundle => Sign::Alive,
            Self::Timeout => Sign::Silent,
            _ => Sign::Unclear,
        }
    }

    /// The name under which `INFO dashboard` counts it.
    pub fn counter(&self) -> &'static str {
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
    pub fn reason(&self) -> &'static str {
        self.counter().strip_prefix("failed_").unwrap_or_default()
    }

    /// Every kind, in the order of `INFO`.
    pub const ALL: [Self; 12] = [
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
