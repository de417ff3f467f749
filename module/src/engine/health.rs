//! When not to ask the sidecar: a back-off for each bundle whose refresh failed, and one breaker for a
//! sidecar that does not answer at all.
//!
//! Only what says something about the sidecar counts against it ([`Sign`]): one tenant
//! whose query is too slow must not close the door to the others.

use super::{FlightId, Millis};
use crate::tenant::BundleId;
use std::collections::HashMap;

const FIRST_BACKOFF: Millis = 200;
const LONGEST_BACKOFF: Millis = 30_000;
const BACKOFF_CAPACITY: usize = 4096;

/// Bundles whose last refresh failed, and when each may be tried again.
pub(crate) struct Backoffs {
    entries: HashMap<BundleId, Backoff>,
}

struct Backoff {
    delay: Millis,
    until: Millis,
}

impl Backoffs {
    pub(crate) fn new() -> Self {
        Self { entries: HashMap::new() }
    }

    pub(crate) fn may_try(&self, now: Millis, id: &BundleId) -> bool {
        self.entries.get(id).is_none_or(|backoff| backoff.until <= now)
    }

    pub(crate) fn succeeded(&mut self, id: &BundleId) {
        self.entries.remove(id);
    }

    /// Doubles the delay of `id`, with a random quarter taken off, so that what failed together is not
    /// tried together.
    pub(crate) fn failed(&mut self, now: Millis, id: &BundleId) {
        if self.entries.len() >= BACKOFF_CAPACITY {
            self.entries.retain(|_, backoff| backoff.until > now);
        }
        if self.entries.len() >= BACKOFF_CAPACITY && !self.entries.contains_key(id) {
            return; // So much is failing that the breaker is the one to act.
        }
        let entry = self.entries.entry(id.clone()).or_insert(Backoff { delay: FIRST_BACKOFF / 2, until: 0 });
        entry.delay = (entry.delay * 2).min(LONGEST_BACKOFF);
        entry.until = now + jittered(entry.delay);
    }
}

fn jittered(delay: Millis) -> Millis {
    delay - fastrand::u64(0..=delay / 4)
}

/// So many failures in a row open the breaker.
const THRESHOLD: u32 = 5;
const FIRST_PAUSE: Millis = 100;
/// Short: a sidecar that is back should be found within about a second.
const LONGEST_PAUSE: Millis = 1_000;

/// What the end of a flight says about the sidecar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sign {
    /// It answers.
    Alive,
    /// It, or Postgres behind it, cannot be reached.
    Dead,
    /// It took too long. For one tenant that may be the tenant's own doing; for several in a row it is not.
    Silent,
    /// This one bundle failed.
    Unclear,
}

/// Stops asking a sidecar that does not answer, and lets one flight at a time try whether it is back.
pub(crate) struct Breaker {
    failures: u32,
    pause: Millis,
    /// Open until then, if at all; afterwards one flight may try.
    open_until: Option<Millis>,
    probe: Option<FlightId>,
    /// The bundle that was silent last.
    silent: Option<BundleId>,
}

impl Breaker {
    pub(crate) fn new() -> Self {
        Self { failures: 0, pause: FIRST_PAUSE, open_until: None, probe: None, silent: None }
    }

    pub(crate) fn admits(&self, now: Millis) -> bool {
        self.open_until.is_none_or(|until| until <= now && self.probe.is_none())
    }

    pub(crate) fn launched(&mut self, now: Millis, flight: FlightId) {
        if self.open_until.is_some_and(|until| until <= now) && self.probe.is_none() {
            self.probe = Some(flight);
        }
    }

    pub(crate) fn landed(&mut self, now: Millis, flight: FlightId, bundle: &BundleId, sign: Sign) {
        let probed = self.probe == Some(flight);
        match sign {
            Sign::Alive => {
                *self = Self::new();
                return;
            }
            Sign::Dead => self.failures = self.failures.saturating_add(1),
            Sign::Silent if self.silent.as_ref().is_none_or(|last| last.tenant != bundle.tenant) => {
                self.silent = Some(bundle.clone());
                self.failures = self.failures.saturating_add(1);
            }
            Sign::Silent if probed => {}
            Sign::Silent => return,
            Sign::Unclear if probed => {}
            Sign::Unclear => return,
        }
        if probed {
            self.probe = None;
            self.pause = (self.pause * 2).min(LONGEST_PAUSE);
            self.open_until = Some(now + jittered(self.pause));
        } else if self.open_until.is_none() && self.failures >= THRESHOLD {
            self.open_until = Some(now + jittered(self.pause));
        }
    }

    pub(crate) fn state(&self, now: Millis) -> &'static str {
        match self.open_until {
            None => "closed",
            Some(until) if until <= now => "half-open",
            Some(_) => "open",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tenant::Tenant;

    fn bundle(n: u64) -> BundleId {
        BundleId { db: 0, tenant: Tenant::new(format!("t{n}").as_bytes()).unwrap(), include: true }
    }

    fn opened() -> Breaker {
        let mut breaker = Breaker::new();
        for flight in 1..=u64::from(THRESHOLD) {
            assert!(breaker.admits(0));
            breaker.launched(0, flight);
            breaker.landed(0, flight, &bundle(0), Sign::Dead);
        }
        breaker
    }

    #[test]
    fn the_breaker_opens_after_failures_in_a_row_and_lets_one_probe_through() {
        let mut breaker = opened();
        assert!(!breaker.admits(1));
        assert!(breaker.admits(FIRST_PAUSE));
        breaker.launched(FIRST_PAUSE, 100);
        assert!(!breaker.admits(FIRST_PAUSE), "one probe at a time");
        breaker.landed(FIRST_PAUSE, 100, &bundle(0), Sign::Dead);
        assert!(!breaker.admits(FIRST_PAUSE + 1), "a failed probe pauses again");
        assert!(breaker.admits(FIRST_PAUSE + LONGEST_PAUSE));
    }

    #[test]
    fn one_success_closes_the_breaker() {
        let mut breaker = opened();
        breaker.launched(FIRST_PAUSE, 100);
        breaker.landed(FIRST_PAUSE, 100, &bundle(0), Sign::Alive);
        assert!(breaker.admits(FIRST_PAUSE));
        assert_eq!(breaker.state(FIRST_PAUSE), "closed");
    }

    #[test]
    fn a_success_between_failures_starts_the_count_anew() {
        let mut breaker = Breaker::new();
        for flight in 1..100 {
            let sign = if flight % u64::from(THRESHOLD) == 0 { Sign::Alive } else { Sign::Dead };
            breaker.landed(0, flight, &bundle(0), sign);
            assert!(breaker.admits(0));
        }
    }

    #[test]
    fn one_slow_tenant_never_opens_the_breaker_and_many_in_a_row_do() {
        let mut breaker = Breaker::new();
        for flight in 1..100 {
            breaker.landed(0, flight, &bundle(0), Sign::Silent);
            breaker.landed(0, flight, &bundle(0), Sign::Unclear);
        }
        assert!(breaker.admits(0));
        for flight in 1..u64::from(THRESHOLD) {
            breaker.landed(0, flight, &bundle(flight), Sign::Silent);
        }
        assert!(!breaker.admits(0));
    }

    #[test]
    fn the_back_off_of_a_bundle_grows_and_is_capped() {
        let id = bundle(0);
        let mut backoffs = Backoffs::new();
        let mut now = 0;
        for _ in 0..20 {
            assert!(backoffs.may_try(now, &id));
            backoffs.failed(now, &id);
            assert!(!backoffs.may_try(now + FIRST_BACKOFF / 2, &id));
            now += LONGEST_BACKOFF;
        }
        backoffs.failed(now, &id);
        backoffs.succeeded(&id);
        assert!(backoffs.may_try(now, &id));
    }
}
