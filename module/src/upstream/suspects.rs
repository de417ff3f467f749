//! Which endpoints are not trusted for a while: one that refused, hung up, was silent or has no Postgres
//! stands behind the others until its pause is over. Then one request at a time tries it.
//!
//! It keeps no timer: what is due is found by whoever asks next. It only sorts; with a single endpoint, or
//! where all are suspect, everything is as configured.

use super::endpoint::Endpoint;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::time::Duration;
use tokio::time::Instant;

const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// Short: an endpoint that is back should be used again within seconds.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Endpoints come from a setting that may change at run time; more than one setting can name are of the past.
const CAPACITY: usize = 64;

/// An endpoint in the order in which a request asks them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Turn<'a> {
    pub(super) endpoint: &'a Endpoint,
    pub(super) suspect: bool,
}

#[derive(Clone, Copy)]
struct Suspicion {
    until: Instant,
    pause: Duration,
    /// A request is finding out.
    tried: bool,
}

/// The endpoints under suspicion.
#[derive(Default)]
pub(super) struct Suspects(Mutex<Known>);

#[derive(Default)]
struct Known {
    suspicions: HashMap<Endpoint, Suspicion>,
    /// Those that were asked and from whom nothing has come since.
    unanswered: HashMap<Endpoint, Silence>,
}

/// For how long an endpoint has been asked in vain. Time in which nobody asks is no silence.
struct Silence {
    since: Instant,
    before: Duration,
    under_way: usize,
}

impl Silence {
    fn begins(&mut self, now: Instant) {
        if self.under_way == 0 {
            self.since = now;
        }
        self.under_way += 1;
    }

    /// A request has ended without an answer: how long the silence is by now.
    fn goes_on(&mut self, now: Instant) -> Duration {
        let silent = self.before + now.duration_since(self.since);
        self.under_way = self.under_way.saturating_sub(1);
        if self.under_way == 0 {
            self.before = silent;
        }
        silent
    }
}

impl Suspects {
    /// The order in which to ask: as configured, but the suspect behind the others. The first whose pause is
    /// over keeps its place, unless another request is trying it.
    pub(super) fn order<'a>(&self, now: Instant, endpoints: &'a [Endpoint]) -> Vec<Turn<'a>> {
        let known = self.0.lock();
        let suspicion = |endpoint: &Endpoint| known.suspicions.get(endpoint);
        let turns: Vec<Turn<'a>> = endpoints
            .iter()
            .map(|endpoint| Turn { endpoint, suspect: suspicion(endpoint).is_some() })
            .collect();
        let due = turns
            .iter()
            .position(|turn| suspicion(turn.endpoint).is_some_and(|s| s.until <= now && !s.tried));
        let behind = |at: usize, turn: &Turn<'_>| turn.suspect && Some(at) != due;
        if turns.iter().all(|turn| turn.suspect) {
            return turns;
        }
        let (back, front): (Vec<_>, Vec<_>) =
            turns.into_iter().enumerate().partition(|(at, turn)| behind(*at, turn));
        front.into_iter().chain(back).map(|(_, turn)| turn).collect()
    }

    /// A request is about to be sent there, and will wait so long for an answer.
    pub(super) fn begin<'a>(&'a self, endpoint: &'a Endpoint, patience: Duration) -> Trial<'a> {
        let mut known = self.0.lock();
        if known.unanswered.len() >= CAPACITY {
            known.unanswered.clear();
        }
        let now = Instant::now();
        let silence = Silence { since: now, before: Duration::ZERO, under_way: 0 };
        known.unanswered.entry(endpoint.clone()).or_insert(silence).begins(now);
        let suspicion = known.suspicions.get_mut(endpoint);
        let tries = suspicion.is_some_and(|suspicion| !std::mem::replace(&mut suspicion.tried, true));
        Trial { suspects: self, endpoint, tries, too_long: patience / 2, ended: false }
    }

    /// It has answered.
    fn answered(&self, endpoint: &Endpoint) {
        let mut known = self.0.lock();
        known.suspicions.remove(endpoint);
        known.unanswered.remove(endpoint);
    }

    /// It has not. Many requests that fail together count as one: the pause grows only once it is over.
    pub(super) fn failed(&self, now: Instant, endpoint: &Endpoint) {
        let mut known = self.0.lock();
        known.unanswered.remove(endpoint);
        if known.suspicions.len() >= CAPACITY && !known.suspicions.contains_key(endpoint) {
            known.suspicions.clear();
        }
        let entry = known.suspicions.entry(endpoint.clone()).or_insert(Suspicion {
            until: now,
            pause: FIRST_PAUSE / 2,
            tried: false,
        });
        if entry.until <= now {
            entry.pause = (entry.pause * 2).min(LONGEST_PAUSE);
            entry.until = now + entry.pause.mul_f64(1.0 - 0.25 * fastrand::f64());
        }
    }
}

/// One request to one endpoint. Dropped without an answer, as happens when who waited for it has gone, it says
/// that the endpoint was silent, if nothing has come from there for long: clients who go early must not hide
/// that nobody is answered.
pub(super) struct Trial<'a> {
    suspects: &'a Suspects,
    endpoint: &'a Endpoint,
    /// It is the one that finds out about a suspect.
    tries: bool,
    too_long: Duration,
    ended: bool,
}

impl Trial<'_> {
    pub(super) fn answered(mut self) {
        self.ended = true;
        self.suspects.answered(self.endpoint);
    }

    pub(super) fn failed(mut self) {
        self.ended = true;
        self.suspects.failed(Instant::now(), self.endpoint);
    }
}

impl Drop for Trial<'_> {
    fn drop(&mut self) {
        let now = Instant::now();
        let silent = {
            let mut known = self.suspects.0.lock();
            if self.tries
                && let Some(suspicion) = known.suspicions.get_mut(self.endpoint)
            {
                suspicion.tried = false;
            }
            let silence = known.unanswered.get_mut(self.endpoint);
            silence.is_some_and(|silence| silence.goes_on(now) >= self.too_long)
        };
        if !self.ended && silent {
            self.suspects.failed(now, self.endpoint);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(4);

    fn endpoints(count: usize) -> Vec<Endpoint> {
        (0..count).map(|n| Endpoint::Unix(format!("/{n}"))).collect()
    }

    fn order(suspects: &Suspects, now: Instant, endpoints: &[Endpoint]) -> String {
        let name = |turn: Turn<'_>| turn.endpoint.to_string().replace("unix:/", "");
        suspects.order(now, endpoints).into_iter().map(name).collect()
    }

    #[test]
    fn a_suspect_stands_behind_the_others_until_it_answers() {
        let (suspects, all, now) = (Suspects::default(), endpoints(3), Instant::now());
        assert_eq!(order(&suspects, now, &all), "012");
        suspects.failed(now, &all[0]);
        assert_eq!(order(&suspects, now, &all), "120");
        suspects.failed(now, &all[1]);
        assert_eq!(order(&suspects, now, &all), "201");
        suspects.begin(&all[0], PATIENCE).answered();
        assert_eq!(order(&suspects, now, &all), "021");
    }

    #[test]
    fn where_all_are_suspect_they_are_asked_as_configured() {
        let (suspects, all, now) = (Suspects::default(), endpoints(3), Instant::now());
        for endpoint in all.iter().rev() {
            suspects.failed(now, endpoint);
        }
        assert_eq!(order(&suspects, now, &all), "012");
    }

    #[test]
    fn when_its_pause_is_over_one_request_at_a_time_tries_it() {
        let (suspects, all, now) = (Suspects::default(), endpoints(3), Instant::now());
        suspects.failed(now, &all[0]);
        suspects.failed(now, &all[1]);
        let later = now + FIRST_PAUSE;
        assert_eq!(order(&suspects, later, &all), "021", "one of them");
        let trial = suspects.begin(&all[0], PATIENCE);
        assert_eq!(order(&suspects, later, &all), "120", "the other, by another request");
        drop(trial);
        assert_eq!(order(&suspects, later, &all), "021", "nothing was found out");
    }

    #[test]
    fn the_pause_grows_to_its_cap_and_what_fails_together_counts_once() {
        let (suspects, all) = (Suspects::default(), endpoints(2));
        let mut now = Instant::now();
        suspects.failed(now, &all[0]);
        for _ in 0..100 {
            suspects.failed(now, &all[0]);
        }
        assert_eq!(order(&suspects, now + FIRST_PAUSE, &all), "01");
        for _ in 0..10 {
            now += LONGEST_PAUSE;
            suspects.failed(now, &all[0]);
        }
        assert_eq!(order(&suspects, now + LONGEST_PAUSE / 2, &all), "10");
        assert_eq!(order(&suspects, now + LONGEST_PAUSE, &all), "01");
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_is_given_up_speaks_against_an_endpoint_only_if_it_was_silent_for_long() {
        let (suspects, all) = (Suspects::default(), endpoints(2));
        for (silence, expected) in [(Duration::from_millis(100), "01"), (PATIENCE, "10")] {
            let trial = suspects.begin(&all[0], PATIENCE);
            tokio::time::advance(silence).await;
            drop(trial);
            assert_eq!(order(&suspects, Instant::now(), &all), expected, "{silence:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn requests_that_are_given_up_early_do_not_hide_that_nobody_is_answered() {
        let (suspects, all) = (Suspects::default(), endpoints(2));
        let give_up = async || {
            let trial = suspects.begin(&all[0], PATIENCE);
            tokio::time::advance(PATIENCE / 8).await;
            drop(trial);
            order(&suspects, Instant::now(), &all)
        };
        for _ in 0..3 {
            assert_eq!(give_up().await, "01");
        }
        suspects.begin(&all[0], PATIENCE).answered();
        for expected in ["01", "01", "01", "10"] {
            assert_eq!(give_up().await, expected);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn time_in_which_nobody_asks_is_no_silence() {
        let (suspects, all) = (Suspects::default(), endpoints(2));
        for _ in 0..2 {
            let trial = suspects.begin(&all[0], PATIENCE);
            tokio::time::advance(PATIENCE / 100).await;
            drop(trial);
            tokio::time::advance(PATIENCE * 1000).await;
        }
        assert_eq!(order(&suspects, Instant::now(), &all), "01");
    }

    #[test]
    fn endpoints_of_past_settings_are_forgotten() {
        let (suspects, all, now) = (Suspects::default(), endpoints(1000), Instant::now());
        for endpoint in &all {
            drop(suspects.begin(endpoint, PATIENCE));
            suspects.failed(now, endpoint);
            drop(suspects.begin(endpoint, PATIENCE));
        }
        let known = suspects.0.lock();
        assert!(known.suspicions.len() <= CAPACITY && known.unanswered.len() <= CAPACITY);
    }
}
