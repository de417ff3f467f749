//! What the schedule says, for who only looks.

use std::time::Duration;

use super::error::StoreError;
use super::job::Job;
use super::pulse::Pulse;
use super::session::{Session, session};
use super::store;
use crate::db::Dialer;
use crate::lease::Expiry;
use crate::probe::SharedProbe;

/// Longest wait for them: a Postgres that hangs must not keep everything else from being told.
const LONGEST: Duration = Duration::from_secs(2);

/// Asks for the jobs that are ours to run, over a session of its own; many who ask at once share an answer.
pub struct View {
    session: Session,
    pulse: Pulse,
    shared: SharedProbe<Result<Vec<Job>, String>>,
    expiry: Expiry,
}

impl View {
    /// Prepares it; nothing is asked yet.
    pub fn new(dialer: Dialer, pulse: Pulse) -> Self {
        Self {
            session: session(dialer),
            pulse,
            shared: SharedProbe::default(),
            expiry: Expiry::by_watching(),
        }
    }

    /// Whether the schedule is followed here, if it is to be.
    ///
    /// # Errors
    /// For how long it has not been looked at.
    pub fn is_followed(&self) -> Result<(), String> {
        match self.pulse.overdue() {
            None => Ok(()),
            Some(late) => Err(format!(
                "the schedule has not been looked at for {} s more than it should: Postgres does not answer its session",
                late.as_secs()
            )),
        }
    }

    /// The jobs.
    ///
    /// # Errors
    /// Why they cannot be read, for who runs the sidecar.
    pub(crate) async fn jobs(&self) -> Result<Vec<Job>, String> {
        let expiry = self.expiry.clone();
        let question = self.session.run(move |client| {
            let table = store::locate(client, false)?;
            let (_, jobs) = store::jobs(client, &table, &expiry)?;
            Ok(jobs.into_iter().filter(Job::is_ours).collect())
        });
        let jobs = async {
            let Ok(outcome) = tokio::time::timeout(LONGEST, question).await else {
                return Err("reading the schedule did not finish in time".to_owned());
            };
            outcome.map_err(|error| {
                tracing::debug!(%error, "the schedule cannot be read");
                told(&error)
            })
        };
        self.shared.ask(jobs).await
    }
}

/// What Postgres said goes to the log, and no further.
fn told(error: &StoreError) -> String {
    match error {
        StoreError::NotMigrated | StoreError::NoTable => error.to_string(),
        _ => "the schedule cannot be read; see the sidecar's log".to_owned(),
    }
}
