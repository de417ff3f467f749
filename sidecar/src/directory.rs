//! Tenants to pick one from, searched in memory: what contains a text is found by no index of Postgres's without an
//! extension, and 200,000 tenants take most of a second in the tables.
//!
//! A short list is read anew for each search. A long one is read behind the searches, and may be some seconds old.

use std::sync::Arc;
use std::time::{Duration, Instant};

use memchr::memmem::Finder;
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use crate::db::{Database, Listed, NamedTenant};
use crate::error::ApiError;
use crate::flights::{Flight, Flights};
use crate::rooms::{Full, Rooms};
use crate::tenant::Tenant;

/// A list of at most so many is read anew for each search: that takes milliseconds.
const SHORT: usize = 2_000;
/// A long list that is older is read anew behind the search.
const FRESH: Duration = Duration::from_secs(10);
/// And at this age the search waits for that.
const TOO_OLD: Duration = Duration::from_secs(120);

/// Searches at once; those of one caller; and those that are worked on.
const MOST: usize = 256;
const MOST_OF_ONE: usize = 64;
const AT_WORK: usize = 2;
/// What it is, for messages.
const WHAT: &str = "the search for tenants";

/// The list as it was read last.
pub struct Directory {
    database: Arc<Database>,
    last: Arc<Mutex<Option<Arc<Index>>>>,
    readings: Arc<Flights<(), Result<Arc<Index>, ApiError>>>,
    searching: Rooms<u64>,
    turns: Semaphore,
}

/// A list, in its order.
struct Index {
    tenants: Vec<NamedTenant>,
    /// Id, slug and name of each, in lower case, a line each.
    words: String,
    /// Where each tenant's words begin.
    begins: Vec<usize>,
    read: Instant,
}

impl Directory {
    /// Nothing is read before somebody searches.
    pub fn new(database: Arc<Database>) -> Self {
        Self {
            database,
            last: Arc::default(),
            readings: Arc::new(Flights::new()),
            searching: Rooms::new(MOST, MOST_OF_ONE),
            turns: Semaphore::new(AT_WORK),
        }
    }

    /// The tenants that have the text in id, slug or name, whatever its case; of `only` alone, if that is given; at most so
    /// many. And how old the list is. `caller` is a number for who asks.
    ///
    /// # Errors
    /// If it cannot be read, or too many search.
    pub async fn search(
        &self,
        caller: u64,
        text: &str,
        only: Option<&Tenant>,
        most: usize,
    ) -> Result<(Vec<NamedTenant>, Duration), ApiError> {
        let _seat = self.searching.enter(&caller).map_err(refused)?;
        let index = self.index().await?;
        let age = index.read.elapsed();
        if index.tenants.len() <= SHORT {
            return Ok((index.search(text, only, most), age));
        }
        // A long one takes milliseconds of a core, which are nobody else's. Who has typed on leaves, and its turn with it.
        let Ok(_turn) = self.turns.acquire().await else { return Err(ApiError::internal(WHAT)) };
        let (text, only) = (text.to_owned(), only.cloned());
        let found = tokio::task::spawn_blocking(move || index.search(&text, only.as_ref(), most)).await;
        found.map(|found| (found, age)).map_err(|_| ApiError::internal(WHAT))
    }

    async fn index(&self) -> Result<Arc<Index>, ApiError> {
        let began = self.readings.now();
        let last = self.last.lock().clone();
        if let Some(index) = last.filter(|index| index.tenants.len() > SHORT) {
            let age = index.read.elapsed();
            if age > FRESH {
                let reading = self.read();
                // It goes on when this search has been answered.
                tokio::spawn(async move { reading.outcome().await });
            }
            if age < TOO_OLD {
                return Ok(index);
            }
        }
        loop {
            let reading = self.read();
            let outcome = reading.outcome().await;
            // One that was under way before may have missed what its asker has just seen.
            if reading.began_after(began) {
                return outcome.unwrap_or_else(|| Err(ApiError::internal(WHAT)));
            }
        }
    }

    fn read(&self) -> Arc<Reading> {
        let (database, last) = (self.database.clone(), self.last.clone());
        self.readings.join(&(), || async move {
            let index = Arc::new(Index::new(database.directory().await?));
            *last.lock() = Some(index.clone());
            Ok(index)
        })
    }
}

fn refused(full: Full) -> ApiError {
    ApiError::overloaded(match full {
        Full::One => "as many searches for tenants of this caller are under way as may be",
        Full::All => "as many searches for tenants are under way as may be",
    })
}

type Reading = Flight<(), Result<Arc<Index>, ApiError>>;

impl Index {
    fn new(listed: Vec<Listed>) -> Self {
        let (mut words, mut begins) = (String::new(), Vec::with_capacity(listed.len()));
        let mut tenants = Vec::with_capacity(listed.len());
        for Listed { tenant, name, slug } in listed {
            begins.push(words.len());
            for word in [tenant.as_str(), slug.as_deref().unwrap_or_default(), &name] {
                words.push_str(&word.to_lowercase());
                words.push('\n');
            }
            tenants.push(NamedTenant { tenant, name });
        }
        Self { tenants, words, begins, read: Instant::now() }
    }

    fn search(&self, text: &str, only: Option<&Tenant>, most: usize) -> Vec<NamedTenant> {
        let text = text.to_lowercase();
        let finder = Finder::new(text.as_bytes());
        if let Some(only) = only {
            let own = self.tenants.iter().position(|listed| listed.tenant == *only);
            let fits = |place: &usize| finder.find(self.words_of(*place)).is_some();
            return own.filter(fits).map(|place| self.tenants[place].clone()).into_iter().collect();
        }
        let (mut found, mut from) = (Vec::new(), 0);
        while found.len() < most
            && let Some(at) = self.words.as_bytes().get(from..).and_then(|rest| finder.find(rest))
        {
            // An empty text is found behind the last word, too.
            let place = self.begins.partition_point(|begin| *begin <= from + at).saturating_sub(1);
            let Some(tenant) = self.tenants.get(place).filter(|_| from + at < self.words.len()) else {
                break;
            };
            found.push(tenant.clone());
            // On to the next one's words.
            from = self.begins.get(place + 1).copied().unwrap_or(self.words.len());
        }
        found
    }

    fn words_of(&self, place: usize) -> &[u8] {
        let end = self.begins.get(place + 1).copied().unwrap_or(self.words.len());
        &self.words.as_bytes()[self.begins[place]..end]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(listed: &[(&str, &str, Option<&str>)]) -> Index {
        let one = |(id, name, slug): &(&str, &str, Option<&str>)| Listed {
            tenant: Tenant::parse(id).unwrap(),
            name: (*name).to_owned(),
            slug: slug.map(str::to_owned),
        };
        Index::new(listed.iter().map(one).collect())
    }

    #[test]
    fn each_tenant_is_found_once_by_any_of_its_words_and_by_no_two_together() {
        let index =
            index(&[("1a", "Äpfel", None), ("2b", "Birnen AG", Some("birne-eu")), ("3c", "", Some("3c"))]);
        for (text, ids) in [
            ("", &["1a", "2b", "3c"][..]),
            ("ÄPF", &["1a"]),
            ("birne", &["2b"]),
            ("3C", &["3c"]),
            ("eu", &["2b"]),
            ("ag3", &[]),
            ("x", &[]),
        ] {
            let found: Vec<String> =
                index.search(text, None, 10).iter().map(|one| one.tenant.as_str().to_owned()).collect();
            assert_eq!(found, ids, "{text}");
        }
        assert_eq!(index.search("", None, 2).len(), 2);
        let own = Tenant::parse("2b").unwrap();
        assert_eq!(index.search("BIRN", Some(&own), 1).len(), 1);
        assert_eq!(index.search("äpfel", Some(&own), 1).len(), 0);
        assert_eq!(index.search("", Some(&Tenant::parse("4d").unwrap()), 1).len(), 0);
        assert_eq!(Index::new(Vec::new()).search("", None, 1).len(), 0);
    }
}
