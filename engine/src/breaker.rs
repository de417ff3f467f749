//! When not to ask the sidecar at all: while it does not answer. One flight at a time tries whether it is
//! back.
//!
//! Only what says something about the sidecar counts against it ([`Sign`]): one tenant
//! whose query is too slow must not close the door to the others.

use crate::backoff::{Recovery, jittered};
use crate::failure::{Failure, Sign};
use crate::units::{FlightId, Millis};
use wire::key::BundleId;

/// So many failures in a row open the breaker.
const THRESHOLD: u32 = 5;
const FIRST_PAUSE: Millis = 100;
/// Short: a sidecar that is back should be found within about a second.
const LONGEST_PAUSE: Millis = 1_000;

/// Stops asking a sidecar that does not answer, and lets one flight at a time try whether it is back.
pub(crate) struct Breaker {
    failures: u32,
    pause: Millis,
    /// Open until then, if at all; afterwards one flight may try.
    open_until: Option<Millis>,
    /// The flight that tries, and when it began.
    probe: Option<(FlightId, Millis)>,
    /// The bundle that was silent last.
    silent: Option<BundleId>,
    cause: Option<Failure>,
}

impl Breaker {
    pub(crate) fn new() -> Self {
        Self { failures: 0, pause: FIRST_PAUSE, open_until: None, probe: None, silent: None, cause: None }
    }

    /// While flights are asked for, one tries at a time. What nobody has tried for a while is not known any
    /// more: then all are let through, and the first failure stops them.
    pub(crate) fn admits(&self, now: Millis) -> bool {
        self.open_until.is_none_or(|until| until <= now && (self.probe.is_none() || self.began_late(until)))
    }

    fn began_late(&self, until: Millis) -> bool {
        self.probe.is_some_and(|(_, began)| began >= until + LONGEST_PAUSE)
    }

    pub(crate) fn launched(&mut self, now: Millis, flight: FlightId) {
        if self.open_until.is_some_and(|until| until <= now) && self.probe.is_none() {
            self.probe = Some((flight, now));
        }
    }

    /// A flight was broken off: if it was the one that tries, another may.
    pub(crate) fn released(&mut self, flight: FlightId) {
        self.probe.take_if(|probe| probe.0 == flight);
    }

    /// What the last failure that counted was, for those who are not let through.
    pub(crate) fn cause(&self) -> Option<&Failure> {
        self.cause.as_ref()
    }

    pub(crate) fn landed(
        &mut self,
        now: Millis,
        flight: FlightId,
        bundle: &BundleId,
        outcome: Result<(), &Failure>,
    ) -> Option<Recovery> {
        let sign = outcome.map_or_else(Failure::sign, |()| Sign::Alive);
        if matches!(sign, Sign::Dead | Sign::Silent) {
            self.cause = outcome.err().cloned();
        }
        let probed = self.probe.is_some_and(|probe| probe.0 == flight);
        match sign {
            Sign::Alive => {
                let before = std::mem::replace(self, Self::new());
                return match before {
                    Self { open_until: Some(_), .. } => Some(Recovery::BreakerClosed),
                    Self { failures: 0, .. } => None,
                    _ => Some(Recovery::Answered),
                };
            }
            Sign::Dead => self.failures = self.failures.saturating_add(1),
            Sign::Silent if self.silent.as_ref().is_none_or(|last| last.tenant != bundle.tenant) => {
                self.silent = Some(bundle.clone());
                self.failures = self.failures.saturating_add(1);
            }
            Sign::Silent if probed => {}
            Sign::Silent => return None,
            Sign::Unclear if probed => {}
            Sign::Unclear => return None,
        }
        if probed {
            self.probe = None;
            self.pause = (self.pause * 2).min(LONGEST_PAUSE);
            self.open_until = Some(now + jittered(self.pause));
        } else if self.open_until.is_none() && self.failures >= THRESHOLD {
            self.open_until = Some(now + jittered(self.pause));
        }
        None
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
    use wire::tenant::Tenant;

    const ALIVE: Result<(), &Failure> = Ok(());
    const DEAD: Result<(), &Failure> = Err(&Failure::SidecarDown);
    const SILENT: Result<(), &Failure> = Err(&Failure::Timeout);
    const UNCLEAR: Result<(), &Failure> = Err(&Failure::SidecarError);

    fn bundle(n: u64) -> BundleId {
        BundleId { db: 0, tenant: Tenant::new(format!("t{n}").as_bytes()).unwrap(), include: true }
    }

    fn opened() -> Breaker {
        let mut breaker = Breaker::new();
        for flight in 1..=u64::from(THRESHOLD) {
            assert!(breaker.admits(0));
            breaker.launched(0, flight);
            breaker.landed(0, flight, &bundle(0), DEAD);
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
        breaker.landed(FIRST_PAUSE, 100, &bundle(0), DEAD);
        assert!(!breaker.admits(FIRST_PAUSE + 1), "a failed probe pauses again");
        assert!(breaker.admits(FIRST_PAUSE + LONGEST_PAUSE));
    }

    #[test]
    fn one_success_closes_the_breaker() {
        let mut breaker = opened();
        breaker.launched(FIRST_PAUSE, 100);
        breaker.landed(FIRST_PAUSE, 100, &bundle(0), ALIVE);
        assert!(breaker.admits(FIRST_PAUSE));
        assert_eq!(breaker.state(FIRST_PAUSE), "closed");
    }

    #[test]
    fn a_success_between_failures_starts_the_count_anew() {
        let mut breaker = Breaker::new();
        for flight in 1..100 {
            let outcome = if flight % u64::from(THRESHOLD) == 0 { ALIVE } else { DEAD };
            breaker.landed(0, flight, &bundle(0), outcome);
            assert!(breaker.admits(0));
        }
    }

    #[test]
    fn one_slow_tenant_never_opens_the_breaker_and_many_in_a_row_do() {
        let mut breaker = Breaker::new();
        for flight in 1..100 {
            breaker.landed(0, flight, &bundle(0), SILENT);
            breaker.landed(0, flight, &bundle(0), UNCLEAR);
        }
        assert!(breaker.admits(0));
        for flight in 1..u64::from(THRESHOLD) {
            breaker.landed(0, flight, &bundle(flight), SILENT);
        }
        assert!(!breaker.admits(0));
    }

    #[test]
    fn a_probe_that_is_broken_off_makes_room_for_another() {
        let mut breaker = opened();
        breaker.launched(FIRST_PAUSE, 100);
        breaker.released(99);
        assert!(!breaker.admits(FIRST_PAUSE));
        breaker.released(100);
        assert!(breaker.admits(FIRST_PAUSE));
    }

    #[test]
    fn after_a_while_that_nobody_asked_all_are_let_through_and_the_first_failure_stops_them() {
        let mut breaker = opened();
        let late = FIRST_PAUSE + LONGEST_PAUSE;
        assert!(breaker.admits(late));
        breaker.launched(late, 100);
        assert!(breaker.admits(late), "what was known is old");
        breaker.launched(late, 101);
        breaker.landed(late, 100, &bundle(0), DEAD);
        assert!(!breaker.admits(late));
    }
}
