//! Those who wait: how a wait ends other than by its flight's landing, and what becomes of a flight that
//! nobody waits for.

use crate::engine::{BATCH_PATIENCE, Engine};
use crate::terms::{Cancelled, Carrier, Expiry, Launch, Limits};
use crate::units::{FlightId, Millis};
use std::collections::BTreeSet;

impl<W: Copy + Ord + std::hash::Hash> Engine<W> {
    /// Takes out one who has gone, or is answered otherwise. `Some`: a flight that nobody waits for any more.
    /// Cancel it; it lands all the same.
    #[must_use]
    pub fn leave(&mut self, waiter: W) -> Option<FlightId> {
        self.take_out(waiter, Cancelled::Unwanted)
    }

    fn take_out(&mut self, waiter: W, why: Cancelled) -> Option<FlightId> {
        let number = self.seats.remove(waiter)?.flight;
        let flight = self.flights.get_mut(&number)?;
        flight.waiters.remove(&waiter);
        flight.next.remove(&waiter);
        self.cancel_unwanted(number, why)
    }

    /// Gives up a flight that is of no use: nobody waits for it, and what it brings is not to be stored.
    pub(crate) fn cancel_unwanted(&mut self, number: FlightId, why: Cancelled) -> Option<FlightId> {
        let flight = self.flights.get_mut(&number)?;
        let current = self.current.get(&flight.bundle) == Some(&number);
        if flight.queued {
            if flight.waiters.is_empty() && !flight.kept {
                self.queue.remove(&flight.bundle.tenant, number);
                self.current.remove(&flight.bundle);
                self.flights.remove(&number);
            }
            return None;
        }
        let wanted = (flight.kept && current) || !flight.waiters.is_empty() || !flight.next.is_empty();
        if wanted || flight.cancelled.is_some() || flight.carrier == Carrier::Batch {
            return None;
        }
        flight.cancelled = Some(why);
        if current {
            self.current.remove(&flight.bundle);
        }
        Some(number)
    }

    /// One whose time is up: ask [`Engine::expire`] what to do.
    pub fn due(&self, now: Millis) -> Option<W> {
        self.seats.first_due().filter(|(at, _)| *at <= now).map(|(_, waiter)| waiter)
    }

    /// Decides for one who is due. `fallback`: there is something else to answer with.
    pub fn expire(
        &mut self,
        now: Millis,
        limits: &Limits,
        waiter: W,
        fallback: bool,
        launches: &mut Vec<Launch>,
    ) -> Expiry {
        let Some(place) = self.seats.get(waiter).cloned() else { return Expiry::Out { cancel: None } };
        if !fallback && place.hard.is_some_and(|hard| now < hard) {
            let settled = self.supersede(now, limits, place.flight, launches);
            self.seats.prolong(waiter, if settled { Millis::MAX } else { now + BATCH_PATIENCE });
            return Expiry::Stays;
        }
        if !fallback {
            return Expiry::Out { cancel: self.take_out(waiter, Cancelled::Late) };
        }
        // Those who fell back will be asking again, and the next one is to find the new one there.
        if let Some(flight) = self.flights.get_mut(&place.flight) {
            flight.kept = true;
            flight.again |= flight.overtaken;
        }
        Expiry::Out { cancel: self.leave(waiter) }
    }

    /// Gives those who wait in a flight of a batch one of their own; false where there is no room for that.
    fn supersede(
        &mut self,
        now: Millis,
        limits: &Limits,
        number: FlightId,
        launches: &mut Vec<Launch>,
    ) -> bool {
        let Some(flight) = self.flights.get(&number).filter(|flight| flight.carrier == Carrier::Batch) else {
            return true;
        };
        let bundle = flight.bundle.clone();
        let newer = match self.current.get(&bundle).copied() {
            // It is an orphan, and the flight after it is under way already.
            Some(newer) if newer != number => newer,
            _ if self.room(now, limits).is_err() => return false,
            _ => self.launch(now, bundle, Carrier::Single, false, launches),
        };
        self.counters.superseded += 1;
        let Some(old) = self.flights.get_mut(&number) else { return true };
        let mut moving = std::mem::take(&mut old.waiters);
        moving.append(&mut old.next);
        let has_runs = old.has_runs;
        self.seat_all(newer, moving, has_runs);
        true
    }

    pub(crate) fn seat_all(&mut self, flight: FlightId, mut waiters: BTreeSet<W>, has_runs: bool) {
        for waiter in &waiters {
            self.seats.move_to(*waiter, flight);
        }
        if let Some(flight) = self.flights.get_mut(&flight) {
            flight.waiters.append(&mut waiters);
            flight.has_runs |= has_runs;
        }
    }

    /// When [`Engine::due`] has somebody next.
    pub fn next_due(&self) -> Option<Millis> {
        self.seats.first_due().map(|(at, _)| at)
    }

    /// Takes out one who was handed back; false where it has gone meanwhile.
    pub fn release(&mut self, waiter: W) -> bool {
        self.seats.remove(waiter).is_some()
    }
}
