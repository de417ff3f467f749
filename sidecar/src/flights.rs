//! One flight for each thing that is waited for, however many wait. Knows nothing of Redis.
//!
//! Who comes while a flight is under way cannot take its outcome: what it brings may be older than the question, as it
//! may have been cleared in between. So each flight has its moment, and each caller too.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// Flights by what they are for.
pub(crate) struct Flights<K: Eq + Hash, T> {
    shared: Arc<Shared<K, T>>,
}

/// A flight that is under way, and since when.
type UnderWay<K, T> = (Moment, Weak<Flight<K, T>>);

struct Shared<K: Eq + Hash, T> {
    under_way: Mutex<HashMap<K, UnderWay<K, T>>>,
    moments: AtomicU64,
}

/// When something began, as compared with other beginnings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(u64);

/// A flight, as long as somebody waits for it: dropped by the last one, it ends.
pub(crate) struct Flight<K: Eq + Hash, T> {
    key: K,
    began: Moment,
    outcome: watch::Receiver<Option<T>>,
    task: Mutex<Option<AbortHandle>>,
    shared: Arc<Shared<K, T>>,
}

impl<K, T> Flights<K, T>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    T: Clone + Send + Sync + 'static,
{
    pub(crate) fn new() -> Self {
        Self { shared: Arc::new(Shared { under_way: Mutex::default(), moments: AtomicU64::new(0) }) }
    }

    /// This moment.
    pub(crate) fn now(&self) -> Moment {
        self.shared.moment()
    }

    /// The flight that is under way, or the one that `begin` makes.
    pub(crate) fn join<F>(&self, key: &K, begin: impl FnOnce() -> F) -> Arc<Flight<K, T>>
    where
        F: Future<Output = T> + Send + 'static,
    {
        let mut under_way = self.shared.under_way.lock();
        if let Some(flight) = under_way.get(key).and_then(|(_, flight)| flight.upgrade()) {
            return flight;
        }
        let (land, outcome) = watch::channel(None);
        let began = self.shared.moment();
        let flight = Arc::new(Flight {
            key: key.clone(),
            began,
            outcome,
            task: Mutex::default(),
            shared: self.shared.clone(),
        });
        under_way.insert(key.clone(), (began, Arc::downgrade(&flight)));
        let (work, shared, key) = (begin(), self.shared.clone(), key.clone());
        let task = tokio::spawn(async move {
            let outcome = work.await;
            // First out of the way: who is woken by the outcome must not find this flight again.
            shared.forget(&key, began);
            land.send_replace(Some(outcome));
        });
        *flight.task.lock() = Some(task.abort_handle());
        flight
    }
}

impl<K: Eq + Hash, T> Shared<K, T> {
    fn moment(&self) -> Moment {
        Moment(self.moments.fetch_add(1, Ordering::SeqCst))
    }

    /// Takes a flight out of the way, but not a later one for the same.
    fn forget(&self, key: &K, began: Moment) {
        let mut under_way = self.under_way.lock();
        if under_way.get(key).is_some_and(|(moment, _)| *moment == began) {
            under_way.remove(key);
        }
    }
}

impl<K: Eq + Hash, T: Clone> Flight<K, T> {
    /// Whether it began later than that, so that what it brings is no older.
    pub(crate) fn began_after(&self, moment: Moment) -> bool {
        self.began > moment
    }

    /// Waits for what it brings; nothing if it came to grief.
    pub(crate) async fn outcome(&self) -> Option<T> {
        let mut outcome = self.outcome.clone();
        let landed = outcome.wait_for(Option::is_some).await.ok()?;
        landed.clone()
    }
}

impl<K: Eq + Hash, T> Drop for Flight<K, T> {
    fn drop(&mut self) {
        self.shared.forget(&self.key, self.began);
        if let Some(task) = self.task.lock().take() {
            task.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use tokio::sync::Notify;

    use super::*;

    /// What has been begun, and what lets it land.
    #[derive(Default)]
    struct Upstream {
        begun: AtomicUsize,
        ended: AtomicUsize,
        land: Notify,
    }

    async fn work(upstream: Arc<Upstream>) -> usize {
        struct End(Arc<Upstream>);
        impl Drop for End {
            fn drop(&mut self) {
                self.0.ended.fetch_add(1, Ordering::SeqCst);
            }
        }
        let end = End(upstream);
        let number = end.0.begun.fetch_add(1, Ordering::SeqCst);
        end.0.land.notified().await;
        number
    }

    #[tokio::test]
    async fn who_comes_while_a_flight_is_under_way_joins_it_and_knows_that_it_is_older() {
        let (flights, upstream) = (Flights::new(), Arc::new(Upstream::default()));
        let join = |key: &'static str| flights.join(&key, || work(upstream.clone()));
        let first = flights.now();
        let flight = join("a");
        let second = flights.now();
        assert!(Arc::ptr_eq(&flight, &join("a")) && !Arc::ptr_eq(&flight, &join("b")));
        assert!(flight.began_after(first) && !flight.began_after(second));
        tokio::task::yield_now().await;
        upstream.land.notify_waiters();
        assert_eq!(flight.outcome().await, Some(0));
        assert!(join("a").began_after(second), "a flight that has landed is joined no more");
    }

    #[tokio::test]
    async fn a_flight_ends_with_the_last_one_who_waits_and_not_before() {
        let (flights, upstream) = (Flights::new(), Arc::new(Upstream::default()));
        let one = flights.join(&"a", || work(upstream.clone()));
        let two = flights.join(&"a", || work(upstream.clone()));
        tokio::task::yield_now().await;
        drop(one);
        tokio::task::yield_now().await;
        assert_eq!(upstream.ended.load(Ordering::SeqCst), 0);
        drop(two);
        tokio::task::yield_now().await;
        assert_eq!(upstream.ended.load(Ordering::SeqCst), 1);
        assert!(flights.shared.under_way.lock().is_empty(), "nothing is left of it");
    }

    #[tokio::test]
    async fn a_flight_that_comes_to_grief_keeps_nobody_waiting() {
        let flights: Flights<&str, ()> = Flights::new();
        let flight = flights.join(&"a", || async { panic!("a defect") });
        assert_eq!(flight.outcome().await, None);
    }
}
