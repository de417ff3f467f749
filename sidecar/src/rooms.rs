//! How many may wait for something at once: of one (tenant, token), and of all together.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use parking_lot::Mutex;

/// The places.
pub(crate) struct Rooms<K: Clone + Eq + Hash> {
    waiting: Arc<Mutex<Waiting<K>>>,
    most: usize,
    most_of_one: usize,
}

struct Waiting<K> {
    all: usize,
    by_one: HashMap<K, usize>,
}

/// One of them; dropped, it is free.
pub(crate) struct Seat<K: Clone + Eq + Hash> {
    waiting: Arc<Mutex<Waiting<K>>>,
    of: K,
}

/// Which bound was hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    /// That of one.
    One,
    /// That of all together.
    All,
}

impl<K: Clone + Eq + Hash> Rooms<K> {
    pub(crate) fn new(most: usize, most_of_one: usize) -> Self {
        let waiting = Waiting { all: 0, by_one: HashMap::new() };
        Self { waiting: Arc::new(Mutex::new(waiting)), most, most_of_one }
    }

    /// Takes a place.
    ///
    /// # Errors
    /// Which bound was hit.
    pub(crate) fn enter(&self, of: &K) -> Result<Seat<K>, Full> {
        let mut waiting = self.waiting.lock();
        if waiting.all >= self.most {
            return Err(Full::All);
        }
        let of_one = waiting.by_one.entry(of.clone()).or_default();
        if *of_one >= self.most_of_one {
            return Err(Full::One);
        }
        *of_one += 1;
        waiting.all += 1;
        Ok(Seat { waiting: self.waiting.clone(), of: of.clone() })
    }

    /// How many are taken.
    pub(crate) fn taken(&self) -> usize {
        self.waiting.lock().all
    }
}

impl<K: Clone + Eq + Hash> Drop for Seat<K> {
    fn drop(&mut self) {
        let mut waiting = self.waiting.lock();
        waiting.all -= 1;
        if let Some(of_one) = waiting.by_one.get_mut(&self.of) {
            *of_one -= 1;
            if *of_one == 0 {
                waiting.by_one.remove(&self.of);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_leaves_room_for_others_and_what_is_left_is_free_again() {
        let rooms = Rooms::new(3, 2);
        let seats: Vec<_> = (0..2).map(|_| rooms.enter(&"a").unwrap()).collect();
        assert_eq!(rooms.enter(&"a").err(), Some(Full::One));
        let other = rooms.enter(&"b").unwrap();
        assert_eq!(rooms.enter(&"c").err(), Some(Full::All));
        assert_eq!(rooms.taken(), 3);
        drop((seats, other));
        assert!(rooms.enter(&"a").is_ok());
        assert_eq!(rooms.waiting.lock().by_one.len(), 0, "nothing is kept of who has left");
    }
}
