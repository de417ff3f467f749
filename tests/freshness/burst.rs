//! Writers and readers that go on, whatever happens to the servers, until they are told to end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use fastrand::Rng;
use harness::{Client, assert_eventually};
use postgres::NoTls;

use super::crm::{TENANTS, WRITERS, every_bundle, name, renaming};
use super::{Scene, read};

const READERS: usize = 2;
/// Of a read that is never answered.
const PATIENCE: Duration = Duration::from_secs(2);

/// They end when it is dropped.
pub(super) struct Burst {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    ended: AtomicBool,
    commits: AtomicU64,
    reads: AtomicU64,
}

impl Shared {
    fn ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }
}

impl Burst {
    pub(super) fn begin(scene: &Scene) -> Self {
        let shared = Arc::new(Shared::default());
        let mut threads = Vec::new();
        for writer in 0..WRITERS {
            let (shared, url) = (shared.clone(), scene.crm.url.clone());
            threads.push(thread::spawn(move || write_on(&shared, &url, writer)));
        }
        for _ in 0..READERS {
            let (shared, url) = (shared.clone(), scene.redis.url());
            threads.push(thread::spawn(move || read_on(&shared, &url)));
        }
        let burst = Self { shared, threads };
        burst.go_on();
        burst
    }

    /// Waits for some commits, and for some bundles to be read.
    pub(super) fn go_on(&self) {
        let reads = self.shared.reads.load(Ordering::Relaxed) + 100;
        self.commit_on();
        assert_eventually!(self.shared.reads.load(Ordering::Relaxed) >= reads, "bundles are read");
    }

    /// Waits for some commits.
    pub(super) fn commit_on(&self) {
        let commits = self.shared.commits.load(Ordering::Relaxed) + 100;
        assert_eventually!(self.shared.commits.load(Ordering::Relaxed) >= commits, "changes are committed");
    }

    /// Nothing is changed from now on.
    pub(super) fn end(mut self) {
        self.stop();
        for thread in self.threads.drain(..) {
            thread.join().unwrap();
        }
    }

    fn stop(&self) {
        self.shared.ended.store(true, Ordering::Relaxed);
    }
}

impl Drop for Burst {
    fn drop(&mut self) {
        self.stop();
    }
}

fn write_on(shared: &Shared, url: &str, writer: usize) {
    let mut rng = Rng::new();
    let mut connection = None;
    while !shared.ended() {
        let Some(mut client) = connection.take().or_else(|| postgres::Client::connect(url, NoTls).ok())
        else {
            thread::yield_now();
            continue;
        };
        match client.batch_execute(&change(&mut rng, writer)) {
            Ok(()) => drop(shared.commits.fetch_add(1, Ordering::Relaxed)),
            // Two that wait for one another: one of them has done nothing.
            Err(error) if error.as_db_error().is_some() => drop(client.batch_execute("ROLLBACK")),
            Err(_) => {}
        }
        connection = (!client.is_closed()).then_some(client);
    }
}

/// Something that a bundle shows, or does not: of the kinds that there are in a CRM.
fn change(rng: &mut Rng, writer: usize) -> String {
    let (tenant, other) = (name(rng.usize(0..TENANTS)), name(rng.usize(0..TENANTS)));
    let test = rng.bool();
    let any = |table: &str| {
        format!("id = (SELECT id FROM {table} WHERE tenant_id = '{tenant}' ORDER BY random() LIMIT 1)")
    };
    let stages = ["prospecting", "won", "closed_lost", "negotiation"];
    match rng.usize(0..10) {
        0 | 1 => renaming(writer, rng.usize(0..TENANTS), &rng.u32(..).to_string()),
        2 => format!("INSERT INTO contacts (tenant_id, is_test_data) VALUES ('{tenant}', {test})"),
        3 => format!(
            "INSERT INTO activities (tenant_id, type, is_test_data, created_date)
             VALUES ('{tenant}', 'call', {test}, now()), ('{other}', 'mail', {test}, now())"
        ),
        4 => {
            format!("INSERT INTO accounts (tenant_id, name, is_test_data) VALUES ('{tenant}', 'one', {test})")
        }
        5 => format!(
            "UPDATE opportunities SET stage = '{}', amount = {}, updated_at = now() WHERE {}",
            stages[rng.usize(0..stages.len())],
            rng.u32(0..1000),
            any("opportunities")
        ),
        6 => format!("UPDATE contacts SET tenant_id = '{other}' WHERE {}", any("contacts")),
        7 => format!("DELETE FROM contacts WHERE {}", any("contacts")),
        8 => format!(
            "BEGIN; UPDATE leads SET status = 'lost' WHERE {}; INSERT INTO contacts (tenant_id) VALUES ('{other}'); {}",
            any("leads"),
            if test { "COMMIT" } else { "ROLLBACK" }
        ),
        _ => format!("UPDATE leads SET status = 'new', phone = '{}' WHERE {}", rng.u32(..), any("leads")),
    }
}

fn read_on(shared: &Shared, url: &str) {
    let mut connection = None;
    while !shared.ended() {
        let Some(mut client) = connection.take().or_else(|| Client::connect(url, PATIENCE).ok()) else {
            thread::yield_now();
            continue;
        };
        let answered =
            every_bundle().filter(|(tenant, include)| read(&mut client, tenant, *include).is_ok()).count();
        shared.reads.fetch_add(answered as u64, Ordering::Relaxed);
        connection = client.call(&["PING"]).is_ok().then_some(client);
    }
}
