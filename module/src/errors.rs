//! Every error a client can see, written once. The first word is its type, for programs; the rest says
//! what to do next, for people. What caused it goes to the server's log, never to the client.
//!
//! [`Error`] is what commands reply. What can go wrong between the module and the sidecar is
//! [`engine::Failure`]; it becomes an [`Error`] in one place, [`Error::from`].

use engine::{Failure, Refusal};
use std::fmt;

/// An error as a client reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Error(Kind);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Argument(String),
    WrongType { key: String },
    NoTenant,
    Timeout,
    Miss,
    TooManyFlights,
    TooManyWaiters,
    TooManyJobs,
    BreakerOpen,
    NotHere(&'static str),
    NoPermission(&'static str),
    TooManyTenants { given: usize, most: usize },
    ReadOnly(&'static str),
    RoleChanged,
    WaitEnded,
    Upstream(Failure),
    Internal,
}

impl Error {
    pub(crate) fn missing_tenant(command: &str) -> Self {
        Self(Kind::Argument(format!("{command} needs a tenant; see DASHBOARD.HELP")))
    }

    pub(crate) fn bad_tenant(given: &[u8]) -> Self {
        let given = printable(given);
        Self(Kind::Argument(format!(
            "'{given}' is not a tenant: use 1 to 64 of A-Z a-z 0-9 _ . - and none of the words SOFT, FORCE, ASYNC"
        )))
    }

    pub(crate) fn unknown_argument(given: &[u8]) -> Self {
        Self(Kind::Argument(format!("unknown argument '{}'; see DASHBOARD.HELP", printable(given))))
    }

    pub(crate) fn repeated(option: &str) -> Self {
        Self(Kind::Argument(format!("{option} is given twice; give it once")))
    }

    pub(crate) fn missing_value(option: &str, expected: &str) -> Self {
        Self(Kind::Argument(format!("{option} needs a value: {expected}")))
    }

    pub(crate) fn bad_value(option: &str, given: &[u8], expected: &str) -> Self {
        Self(Kind::Argument(format!("{option} cannot be '{}': use {expected}", printable(given))))
    }

    pub(crate) fn wrong_type(key: impl fmt::Display) -> Self {
        Self(Kind::WrongType { key: key.to_string() })
    }

    pub(crate) fn no_tenant() -> Self {
        Self(Kind::NoTenant)
    }

    pub(crate) fn timeout() -> Self {
        Self(Kind::Timeout)
    }

    pub(crate) fn is_timeout(&self) -> bool {
        matches!(self.0, Kind::Timeout | Kind::Upstream(Failure::Timeout))
    }

    pub(crate) fn miss() -> Self {
        Self(Kind::Miss)
    }

    pub(crate) fn too_many_flights() -> Self {
        Self(Kind::TooManyFlights)
    }

    pub(crate) fn too_many_waiters() -> Self {
        Self(Kind::TooManyWaiters)
    }

    pub(crate) fn too_many_jobs() -> Self {
        Self(Kind::TooManyJobs)
    }

    /// The sidecar is not asked because it failed in this way before.
    pub(crate) fn breaker_open(cause: Option<&Failure>) -> Self {
        match cause {
            Some(failure @ (Failure::SidecarDown | Failure::PostgresDown)) => failure.clone().into(),
            _ => Self(Kind::BreakerOpen),
        }
    }

    /// `command` has to wait for its end, where clients may not be blocked.
    pub(crate) fn cannot_block(command: &'static str) -> Self {
        Self(Kind::NotHere(command))
    }

    /// `command` would change tenants that its user may not.
    pub(crate) fn no_permission(command: &'static str) -> Self {
        Self(Kind::NoPermission(command))
    }

    pub(crate) fn too_many_tenants(given: usize, most: usize) -> Self {
        Self(Kind::TooManyTenants { given, most })
    }

    /// `command` changes what is stored, and this server is a replica.
    pub(crate) fn read_only(command: &'static str) -> Self {
        Self(Kind::ReadOnly(command))
    }

    /// This server has become a replica, or a primary, while a command was under way.
    pub(crate) fn role_changed() -> Self {
        Self(Kind::RoleChanged)
    }

    /// A client that waited for a run or a clear was unblocked.
    pub(crate) fn wait_ended() -> Self {
        Self(Kind::WaitEnded)
    }

    /// A defect of ours: the log has the cause.
    pub(crate) fn internal() -> Self {
        Self(Kind::Internal)
    }
}

impl Error {
    /// The engine refuses; `cause` is why the sidecar is not asked, where that is the reason.
    pub(crate) fn refused(why: Refusal, cause: Option<&Failure>) -> Self {
        match why {
            Refusal::Miss => Self::miss(),
            Refusal::NoTenant => Self::no_tenant(),
            Refusal::TooManyFlights => Self::too_many_flights(),
            Refusal::TooManyWaiters => Self::too_many_waiters(),
            Refusal::BreakerOpen => Self::breaker_open(cause),
        }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        Self(Kind::Upstream(failure))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Argument(what) => write!(f, "ERR {what}"),
            Kind::WrongType { key } => {
                write!(f, "WRONGTYPE the key {key} does not hold a bundle's string; delete it with DEL {key}")
            }
            Kind::NoTenant | Kind::Upstream(Failure::NoTenant) => {
                f.write_str("NOTENANT there is no such tenant in Postgres; check its id")
            }
            Kind::Timeout | Kind::Upstream(Failure::Timeout) => f.write_str(
                "TIMEOUT the bundle was not computed in time; try again, or raise dashboard.timeout",
            ),
            Kind::Miss => f.write_str(
                "MISS the bundle is not in memory; it is being computed: ask again, or ask without NOWAIT, outside of MULTI and scripts, to wait for it",
            ),
            Kind::TooManyFlights => f.write_str(
                "OVERLOADED so many bundles are being computed that this one would not come in time; try again, or raise dashboard.max-flights",
            ),
            Kind::TooManyWaiters => {
                f.write_str("OVERLOADED too many clients are waiting; try again, or raise dashboard.max-waiters")
            }
            Kind::TooManyJobs => {
                f.write_str("OVERLOADED too many CLEAR and WARM commands are running; try again when one has ended")
            }
            Kind::BreakerOpen => {
                f.write_str("UNAVAILABLE the sidecar does not answer; start it, or correct dashboard.sidecar")
            }
            Kind::NotHere(command) => write!(
                f,
                "ERR {command} cannot run in MULTI, in a script or for a client that denies blocking; send it outside"
            ),
            Kind::TooManyTenants { given, most } => {
                write!(f, "ERR {given} tenants are more than one command takes; send at most {most} at a time")
            }
            Kind::ReadOnly(command) => {
                write!(f, "READONLY {command} works on a primary only, and this is a replica; send it there")
            }
            Kind::RoleChanged => {
                f.write_str("UNAVAILABLE this server's role has changed; send the command to the primary")
            }
            Kind::WaitEnded => f.write_str("TIMEOUT the wait was ended; what the command has begun goes on"),
            Kind::NoPermission(command) => write!(
                f,
                "NOPERM {command} without tenants needs write permission for the key SUPERADMIN_GLOBAL; name tenants"
            ),
            Kind::Upstream(failure) => f.write_str(client_text(failure)),
            Kind::Internal => f.write_str("ERR an internal error; the server's log has the cause"),
        }
    }
}

/// The error of a client that waited for this.
fn client_text(failure: &Failure) -> &'static str {
    match failure {
        // These two have their own words, where a client can meet them without a flight.
        Failure::NoTenant | Failure::Timeout => "ERR",
        Failure::SidecarDown => {
            "UNAVAILABLE the sidecar cannot be reached; start it, or correct dashboard.sidecar"
        }
        Failure::PostgresDown => {
            "UNAVAILABLE the sidecar cannot use Postgres; start it, correct DATABASE_URL, or run dashboard-sidecar migrate"
        }
        Failure::SidecarBusy => "OVERLOADED the sidecar is at its bounds; try again, or raise them",
        Failure::Token => "UNAVAILABLE the sidecar refused the token; correct dashboard.token",
        Failure::SidecarError => {
            "UNAVAILABLE the sidecar could not compute the bundle; its log has the cause"
        }
        Failure::Malformed => {
            "UNAVAILABLE the sidecar's answer is not a bundle; the server's log has the cause"
        }
        Failure::Incomplete => "UNAVAILABLE the sidecar's answer broke off; try again",
        Failure::WrongBundle => {
            "UNAVAILABLE the sidecar answered with another tenant's bundle, which was discarded; the server's log has the cause"
        }
        Failure::TooLarge => {
            "OVERLOADED the bundle is larger than dashboard.max-bundle-bytes; raise it, or shorten the bundle"
        }
        Failure::Abandoned => "UNAVAILABLE the request was abandoned; try again",
    }
}

/// What a client sent, fit for one line of an error: short, and without control characters.
pub(crate) fn printable(bytes: &[u8]) -> String {
    const SHOWN: usize = 64;
    let mut text: String = bytes.iter().take(SHOWN).flat_map(|b| b.escape_ascii()).map(char::from).collect();
    if bytes.len() > SHOWN {
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_sent_cannot_break_the_line_of_an_error() {
        let text = Error::bad_tenant(b"a\r\n-b\xff").to_string();
        assert_eq!(text.lines().count(), 1);
        assert!(text.contains(r"a\r\n-b\xff"), "{text}");
    }

    #[test]
    fn a_long_argument_is_shown_in_part() {
        assert!(Error::unknown_argument(&[b'x'; 10_000]).to_string().len() < 200);
    }
}
