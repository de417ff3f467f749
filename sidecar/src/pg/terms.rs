//! On what terms a session talks to Postgres: what each of its transactions sets, and for how long an answer is waited for.
//!
//! Nothing is set for longer than a transaction: behind a pooler the next one on the same connection may be somebody else's.

use std::time::Duration;

/// From Postgres' own time-out on, so long until its answer must be back.
const SLACK: Duration = Duration::from_secs(1);

/// The terms of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    read_only: bool,
    /// None: a statement takes as long as it takes.
    statement_timeout: Option<Duration>,
    more: &'static str,
}

impl Terms {
    /// For who only reads. `more` are further settings, as `SET LOCAL …; SET LOCAL …`.
    pub(crate) const fn read_only(statement_timeout: Duration, more: &'static str) -> Self {
        Self { read_only: true, statement_timeout: Some(statement_timeout), more }
    }

    /// For who writes.
    pub(crate) const fn read_write(statement_timeout: Duration, more: &'static str) -> Self {
        Self { read_only: false, statement_timeout: Some(statement_timeout), more }
    }

    /// For who writes, or builds, what takes as long as it takes.
    pub const fn without_end(more: &'static str) -> Self {
        Self { read_only: false, statement_timeout: None, more }
    }

    /// The same with another limit for each statement.
    pub(crate) fn limited_to(&self, statement_timeout: Duration) -> Self {
        Self { statement_timeout: Some(statement_timeout), ..self.clone() }
    }

    /// How long the answer to so many statements may be awaited: each has statement_timeout to itself.
    pub(super) fn patience(&self, statements: u32) -> Option<Duration> {
        self.statement_timeout.map(|timeout| timeout.saturating_mul(statements) + SLACK)
    }

    pub(super) fn is_read_only(&self) -> bool {
        self.read_only
    }

    /// What a transaction sets first; `name` for pg_stat_activity, where the session has none of its own.
    pub(super) fn settings(&self, name: Option<&str>) -> String {
        let timeout = self.statement_timeout.unwrap_or_default().as_millis();
        let mut text = format!("SET LOCAL statement_timeout = {timeout}");
        for more in [self.more.trim(), &name.map(named).unwrap_or_default()] {
            if !more.is_empty() {
                text.push_str("; ");
                text.push_str(more);
            }
        }
        text
    }

    /// How a transaction begins.
    pub(super) fn begin(&self, name: Option<&str>) -> String {
        let access = if self.read_only { "READ ONLY" } else { "READ WRITE" };
        format!("BEGIN ISOLATION LEVEL READ COMMITTED, {access}; {}", self.settings(name))
    }
}

/// Names are ours, and have neither quotes nor backslashes.
fn named(name: &str) -> String {
    format!("SET LOCAL application_name = '{name}'")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_statement_has_the_whole_limit_to_itself_before_the_connection_is_given_up() {
        let terms = Terms::read_only(Duration::from_secs(4), "");
        assert_eq!(terms.patience(1), Some(Duration::from_secs(5)));
        assert_eq!(terms.patience(2), Some(Duration::from_secs(9)), "a lock and a query");
        assert_eq!(Terms::without_end("").patience(2), None);
    }

    #[test]
    fn nothing_is_set_for_longer_than_a_transaction() {
        let terms = Terms::read_only(Duration::from_secs(2), "SET LOCAL TimeZone = 'UTC'");
        assert_eq!(
            terms.begin(Some("us")),
            "BEGIN ISOLATION LEVEL READ COMMITTED, READ ONLY; SET LOCAL statement_timeout = 2000; \
             SET LOCAL TimeZone = 'UTC'; SET LOCAL application_name = 'us'"
        );
        assert_eq!(Terms::without_end("").settings(None), "SET LOCAL statement_timeout = 0");
    }
}
