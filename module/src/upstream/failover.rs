//! Several endpoints: the next one is asked at once, within the same deadline, when one does not answer or
//! says that it cannot. An answer, good or bad, is an answer: nobody else is asked.

use super::client::{Client, Question, silence};
use super::endpoint::Endpoint;
use super::suspects::Turn;
use super::terms::Problem;
use engine::Failure;
use hyper::Response;
use hyper::body::Incoming;
use std::time::Duration;
use tokio::time::{Instant, timeout};

impl Client {
    /// Asks one endpoint after the other until one has answered; says which. `read` takes what it needs of
    /// the answer to know that it is one: what fails there, fails as the connection would.
    ///
    /// # Errors
    /// The answer of an endpoint, where that is an error; else the most telling of what went wrong.
    pub(super) async fn ask<'a, T, R>(
        &self,
        question: &Question<'a>,
        read: impl Fn(Response<Incoming>) -> R,
    ) -> Result<(T, &'a Endpoint), Problem>
    where
        R: Future<Output = Result<T, Problem>>,
    {
        let limit = question.limit;
        let deadline = Instant::now() + limit;
        let turns = self.suspects.order(Instant::now(), question.call.endpoints);
        let mut worst = None;
        for (at, turn) in turns.iter().enumerate() {
            let remaining = deadline.saturating_duration_since(Instant::now());
            if remaining.is_zero() {
                break;
            }
            let request = question.request()?;
            let patience = patience(turn, &turns[at + 1..], limit, remaining);
            let trial = self.suspects.begin(turn.endpoint, patience);
            let exchange = async { read(self.exchange(turn.endpoint, request).await?).await };
            let unanswered = Unanswered(self, turn.endpoint);
            let outcome = timeout(patience, exchange).await;
            if outcome.is_ok() {
                std::mem::forget(unanswered);
            }
            let problem = match outcome {
                Ok(Ok(answer)) => {
                    trial.answered();
                    return Ok((answer, turn.endpoint));
                }
                Ok(Err(problem)) if !passes_on(&problem.failure) => {
                    trial.answered();
                    return Err(problem);
                }
                Ok(Err(problem)) => problem,
                Err(_) => silence(patience),
            };
            // One that is at its bounds will have room again sooner than a pause is over.
            if problem.failure == Failure::SidecarBusy {
                trial.answered();
            } else {
                trial.failed();
            }
            worst = Some(more_telling(worst, turn.endpoint, problem));
        }
        Err(worst.unwrap_or_else(|| silence(limit)))
    }
}

/// A question without an answer. Dropped, as at its deadline or when nobody waits for it any more, it has no other
/// question sent over a connection that is open already: what was silent for this one may be for all of them.
struct Unanswered<'a>(&'a Client, &'a Endpoint);

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        self.0.forget_connections(self.1);
    }
}

/// How long to wait for an endpoint. One that is trusted may take all the time there is: a slow answer is
/// worth more than a second question. A suspect leaves enough of it to those that come after.
fn patience(turn: &Turn<'_>, after: &[Turn<'_>], limit: Duration, remaining: Duration) -> Duration {
    let share = match after.len() {
        0 => remaining,
        _ if !turn.suspect => remaining,
        _ if after.iter().any(|turn| !turn.suspect) => limit / 4,
        others => remaining / u32::try_from(others + 1).unwrap_or(u32::MAX),
    };
    share.min(remaining)
}

/// Whether the next endpoint may do better: this one did not answer, or said that it cannot.
fn passes_on(failure: &Failure) -> bool {
    use Failure::{Incomplete, PostgresDown, SidecarBusy, SidecarDown};
    matches!(failure, SidecarDown | Incomplete | PostgresDown | SidecarBusy)
}

/// How much a failure tells about the whole. Who is at its bounds works; who names Postgres runs; who broke
/// off, or was silent, is there.
fn rank(failure: &Failure) -> u8 {
    match failure {
        Failure::SidecarBusy => 4,
        Failure::PostgresDown => 3,
        Failure::Incomplete => 2,
        Failure::Timeout => 1,
        _ => 0,
    }
}

/// The more telling of two problems, with the causes of both for the log.
fn more_telling(before: Option<Problem>, endpoint: &Endpoint, problem: Problem) -> Problem {
    let cause = format!("{endpoint}: {}", problem.cause);
    match before {
        None => Problem { cause, ..problem },
        Some(before) => {
            let cause = format!("{}; {cause}", before.cause);
            let failure =
                if rank(&problem.failure) > rank(&before.failure) { problem.failure } else { before.failure };
            Problem { failure, cause }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_failures_the_most_telling_is_told_and_all_causes_are_logged() {
        use Failure::{Incomplete, PostgresDown, SidecarBusy, SidecarDown, Timeout};
        let order = [SidecarDown, Timeout, Incomplete, PostgresDown, SidecarBusy];
        let endpoint = Endpoint::Unix("/s".into());
        for (at, worse) in order.iter().enumerate() {
            for better in &order[at..] {
                for pair in [[worse, better], [better, worse]] {
                    let told = pair.iter().enumerate().fold(None, |before, (n, failure)| {
                        let problem = Problem::new((*failure).clone(), format!("cause {n}"));
                        Some(more_telling(before, &endpoint, problem))
                    });
                    let told = told.unwrap();
                    assert_eq!(&told.failure, better, "{pair:?}");
                    assert_eq!(told.cause, "unix:/s: cause 0; unix:/s: cause 1");
                }
            }
        }
    }

    #[test]
    fn a_suspect_leaves_time_to_those_after_it_and_one_that_is_trusted_takes_what_there_is() {
        let endpoint = Endpoint::Unix("/s".into());
        let turn = |suspect| Turn { endpoint: &endpoint, suspect };
        let (limit, remaining) = (Duration::from_secs(8), Duration::from_secs(6));
        let patience = |first, after: &[Turn<'_>]| patience(&turn(first), after, limit, remaining).as_secs();
        assert_eq!(patience(false, &[turn(false), turn(true)]), 6);
        assert_eq!(patience(true, &[]), 6, "nobody is left to be asked");
        assert_eq!(patience(true, &[turn(false)]), 2);
        assert_eq!(patience(true, &[turn(true), turn(true)]), 2);
    }
}
