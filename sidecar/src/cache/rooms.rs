//! How many may wait for bundles at once: of one tenant, and of all together.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::error::ApiError;
use crate::tenant::Tenant;

/// The places.
pub(super) struct Rooms {
    waiting: Arc<Mutex<Waiting>>,
    most: usize,
    most_of_one: usize,
}

#[derive(Default)]
struct Waiting {
    all: usize,
    by_tenant: HashMap<Tenant, usize>,
}

/// One of them; dropped, it is free.
pub(super) struct Seat {
    waiting: Arc<Mutex<Waiting>>,
    tenant: Tenant,
}

impl Rooms {
    pub(super) fn new(most: usize, most_of_one: usize) -> Self {
        Self { waiting: Arc::default(), most, most_of_one }
    }

    /// Takes a place.
    ///
    /// # Errors
    /// Which bound was hit.
    pub(super) fn enter(&self, tenant: &Tenant) -> Result<Seat, ApiError> {
        let mut waiting = self.waiting.lock();
        if waiting.all >= self.most {
            return Err(ApiError::overloaded("as many wait for bundles as may (DASHBOARD_MAX_WAITING)"));
        }
        let of_one = waiting.by_tenant.entry(tenant.clone()).or_default();
        if *of_one >= self.most_of_one {
            return Err(ApiError::overloaded(
                "as many wait for bundles of this tenant as may (DASHBOARD_MAX_WAITING_PER_TENANT)",
            ));
        }
        *of_one += 1;
        waiting.all += 1;
        Ok(Seat { waiting: self.waiting.clone(), tenant: tenant.clone() })
    }

    /// How many are taken.
    pub(super) fn taken(&self) -> usize {
        self.waiting.lock().all
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut waiting = self.waiting.lock();
        waiting.all -= 1;
        if let Some(of_one) = waiting.by_tenant.get_mut(&self.tenant) {
            *of_one -= 1;
            if *of_one == 0 {
                waiting.by_tenant.remove(&self.tenant);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_tenant_leaves_room_for_others_and_what_is_left_is_free_again() {
        let rooms = Rooms::new(3, 2);
        let tenant = |name| Tenant::parse(name).unwrap();
        let seats: Vec<Seat> = (0..2).map(|_| rooms.enter(&tenant("a")).unwrap()).collect();
        let refused = rooms.enter(&tenant("a")).err().unwrap();
        assert!(refused.message().contains("PER_TENANT"), "{refused}");
        let other = rooms.enter(&tenant("b")).unwrap();
        assert!(!rooms.enter(&tenant("c")).err().unwrap().message().contains("PER_TENANT"));
        assert_eq!(rooms.taken(), 3);
        drop((seats, other));
        assert!(rooms.enter(&tenant("a")).is_ok());
        assert_eq!(rooms.waiting.lock().by_tenant.len(), 0, "nothing is kept of who has left");
    }
}
