//! How many connections are served at once: the usual places, and a few more that only answer probes, so that these are
//! answered also when clients that say nothing hold all the others.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Connections that have asked nothing for so long do not count as busy. Clients may keep one a while between two requests; the
/// module keeps it for half a second.
const LULL: Duration = Duration::from_secs(2);

/// How a listener's usual places are used. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Occupancy(Arc<Mutex<Use>>);

#[derive(Debug, Default)]
struct Use {
    places: usize,
    connections: usize,
    requests: usize,
    last_ended: Option<Instant>,
}

/// Why a new connection waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// All of this many connections are taken, and requests are answered: it is the turn of the new one soon.
    Busy(usize),
    /// All of this many connections are taken, and nobody asks anything by them.
    Silent(usize),
}

impl Occupancy {
    /// Whether all places are taken, and by what.
    pub fn full(&self) -> Option<Full> {
        let now = self.0.lock();
        if now.connections < now.places {
            return None;
        }
        let is_busy = now.requests > 0 || now.last_ended.is_some_and(|ended| ended.elapsed() < LULL);
        Some(if is_busy { Full::Busy(now.places) } else { Full::Silent(now.places) })
    }

    pub(super) fn set_places(&self, places: usize) {
        self.0.lock().places = places;
    }

    /// Counts a connection until that is dropped.
    pub(super) fn connection(&self) -> impl Sized + Send + use<> {
        self.0.lock().connections += 1;
        Counted(self.clone(), |now| now.connections -= 1)
    }

    /// Counts a request until that is dropped.
    pub(super) fn request(&self) -> impl Sized + Send + Unpin + use<> {
        self.0.lock().requests += 1;
        Counted(self.clone(), |now| {
            now.requests -= 1;
            now.last_ended = Some(Instant::now());
        })
    }
}

struct Counted(Occupancy, fn(&mut Use));

impl Drop for Counted {
    fn drop(&mut self) {
        (self.1)(&mut self.0.0.lock());
    }
}

/// The places of one listener.
pub(super) struct Places {
    usual: Arc<Semaphore>,
    reserve: Arc<Semaphore>,
}

/// One of them; dropped, it is free.
pub(super) struct Place {
    _permit: OwnedSemaphorePermit,
    pub(super) is_reserve: bool,
}

impl Places {
    pub(super) fn new(usual: usize, reserve: usize) -> Self {
        Self { usual: Arc::new(Semaphore::new(usual)), reserve: Arc::new(Semaphore::new(reserve)) }
    }

    /// Waits until there is one.
    pub(super) async fn take(&self) -> Place {
        // Neither is ever closed, so an error cannot come; if it did, nothing more would be accepted.
        let of = |semaphore: &Arc<Semaphore>| {
            let permit = semaphore.clone().acquire_owned();
            async move {
                match permit.await {
                    Ok(permit) => permit,
                    Err(_closed) => std::future::pending().await,
                }
            }
        };
        tokio::select! {
            biased;
            permit = of(&self.usual) => Place { _permit: permit, is_reserve: false },
            permit = of(&self.reserve) => Place { _permit: permit, is_reserve: true },
        }
    }

    /// A usual one instead, if there is one by now.
    pub(super) fn better(&self, place: Place) -> Place {
        match self.usual.clone().try_acquire_owned() {
            Ok(permit) if place.is_reserve => Place { _permit: permit, is_reserve: false },
            _ => place,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taken_places_are_busy_as_long_as_requests_are_under_way_or_have_just_ended() {
        let occupancy = Occupancy::default();
        occupancy.set_places(1);
        assert_eq!(occupancy.full(), None);
        let connection = occupancy.connection();
        assert_eq!(occupancy.full(), Some(Full::Silent(1)));
        let request = occupancy.request();
        assert_eq!(occupancy.full(), Some(Full::Busy(1)));
        drop(request);
        assert_eq!(occupancy.full(), Some(Full::Busy(1)), "the connection is kept between requests");
        drop(connection);
        assert_eq!(occupancy.full(), None);
    }
}
