//! The history check: writers, readers and warmers on real servers, while faults strike; afterwards what everybody
//! did and saw is held against what is promised.
//!
//! `make test` runs every fault once, in an order of a new seed's, which is printed. `SEED=n` takes the same order
//! again (not the same interleaving: that is the machine's). `SOAK=10m` goes on for so long, with seed after seed.
//!
//! - [`record`]: the words of a history
//! - [`checker`]: what is promised, and whether it was kept; [`planted`] tests it
//! - [`crm`], [`servers`], [`line`]: what is asked for, who is asked, and how
//! - [`workload`], [`faults`]: what clients do, and what is done to the servers
//! - [`report`]: what is printed when something is wrong

mod checker;
mod crm;
mod faults;
mod line;
mod planted;
mod record;
mod report;
mod servers;
mod workload;

use std::io::Write as _;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use fastrand::Rng;
use harness::{Client, assert_eventually, text};

use checker::Terms;
use crm::TENANTS;
use faults::Schedule;
use record::{Clock, History, Place, micros};
use servers::{Servers, Topology};
use workload::{PATIENCE, Scene, Stop};

const READERS: usize = 12;
const REPLICA_READERS: usize = 4;
const WRITERS: usize = 3;

const TERMS: Terms = Terms { recovery: 4_000_000, patience: 4_000_000 };

#[test]
fn no_history_with_faults_breaks_a_promise() {
    assert_eq!(TERMS.patience, micros(PATIENCE));
    let soak = std::env::var("SOAK").ok();
    let soak =
        soak.map_or(Duration::ZERO, |text| humantime::parse_duration(&text).expect("SOAK is like 10m"));
    let given = std::env::var("SEED").ok().map(|text| text.parse::<u64>().expect("SEED is a number"));
    let began = Instant::now();
    let mut seed = given.unwrap_or_else(|| fastrand::u64(..));
    loop {
        run_with_faults(seed);
        if began.elapsed() >= soak {
            break;
        }
        seed = Rng::with_seed(seed).u64(..);
    }
}

/// The check as a whole finds what is wrong, too, not only the checker.
#[test]
fn a_clear_that_is_noted_but_not_sent_is_found() {
    let mut servers = Servers::start();
    let scene = scene(&servers, true);
    let history = live(&mut servers, &scene, 1, |schedule| schedule.calm(400));
    let found = checker::check(&history, TERMS);
    assert!(found.iter().any(|violation| violation.rule == "fence"), "{found:?}");
    assert!(
        found.iter().all(|violation| violation.rule == "fence"),
        "{}",
        report::describe(&history, &found)
    );
}

fn scene(servers: &Servers, forget_clears: bool) -> Scene {
    Scene {
        clock: Clock::start(),
        topology: Topology::of(servers),
        database: servers.postgres.url(),
        stop: Stop::default(),
        answered: AtomicU64::new(0),
        hush: AtomicBool::new(false),
        forget_clears,
    }
}

fn run_with_faults(seed: u64) {
    // Not through the test's captured output: it is wanted while the run goes on, and when it is killed.
    let _ = writeln!(std::io::stderr(), "history check: SEED={seed}");
    let mut servers = Servers::start();
    let scene = scene(&servers, false);
    let history = live(&mut servers, &scene, seed, |schedule| schedule.run());

    let violations = checker::check(&history, TERMS);
    assert!(violations.is_empty(), "SEED={seed}: {}", report::describe(&history, &violations));
    enough_was_seen(&history);
    all_is_well_again(&servers, &scene, &history);
}

/// Has the workload go on while `strike` does, and returns what everybody noted.
fn live(servers: &mut Servers, scene: &Scene, seed: u64, strike: impl FnOnce(&mut Schedule<'_>)) -> History {
    /// Also if a fault cannot be done: threads that never end would hide why.
    struct StopOnDrop<'a>(&'a Stop);
    impl Drop for StopOnDrop<'_> {
        fn drop(&mut self) {
            self.0.stop();
        }
    }

    let mut rng = Rng::with_seed(seed);
    thread::scope(|threads| {
        let stop = StopOnDrop(&scene.stop);
        let mut workers: Vec<ScopedJoinHandle<'_, History>> = Vec::new();
        for reader in 0..READERS + REPLICA_READERS {
            let place = if reader < READERS { Place::Primary } else { Place::Replica };
            let rng = rng.fork();
            workers.push(threads.spawn(move || workload::read(scene, reader, place, rng)));
        }
        for writer in 0..WRITERS {
            let tenants: Vec<usize> = (0..TENANTS).filter(|tenant| tenant % WRITERS == writer).collect();
            let rng = rng.fork();
            workers.push(threads.spawn(move || workload::write(scene, &tenants, rng)));
        }
        let warmer = rng.fork();
        workers.push(threads.spawn(move || workload::warm(scene, warmer)));

        // On this thread: the servers that it starts end with it.
        let mut schedule = Schedule { servers, scene, rng, history: History::default() };
        strike(&mut schedule);
        let mut history = schedule.history;
        drop(stop);
        for worker in workers {
            history.merge(worker.join().expect("no client panics"));
        }
        history
    })
}

/// A run in which nothing happened would prove nothing.
fn enough_was_seen(history: &History) {
    let statuses = ["hit", "stale", "miss", "refreshed"];
    let seen = |status: &str| {
        let is = |get: &&record::Get| matches!(&get.outcome, record::Outcome::Bundle(seen) if seen.status == status);
        history.gets.iter().filter(is).count()
    };
    let counts = statuses.map(seen);
    let what = format!(
        "{} commits, {} clears, {} GETs ({statuses:?}: {counts:?}), {} others",
        history.commits.len(),
        history.clears.len(),
        history.gets.len(),
        history.others.len()
    );
    let _ = writeln!(std::io::stderr(), "history check: {what}");
    assert!(counts.iter().all(|count| *count >= 10) && history.clears.len() >= 100, "{what}");
}

/// Each tenant's last version is served from memory, and nobody waits any more.
fn all_is_well_again(servers: &Servers, scene: &Scene, history: &History) {
    let roles = *scene.topology.roles();
    let mut primary = servers.nodes[roles.primary].client();
    let mut database = servers.postgres.client();
    let last = history.commits.iter().map(|commit| commit.version).max().unwrap_or_default() + 1;
    for tenant in 0..TENANTS {
        crm::commit(&mut database, tenant, last).expect("Postgres is back");
        primary.int(&["DASHBOARD.CLEAR", &crm::name(tenant)]);
    }
    let mut answer = |tenant: usize, include: bool| {
        let flag = include.to_string();
        let reply = primary.call(&["DASHBOARD.GET", &crm::name(tenant), "INCLUDE", &flag, "WITHMETA"]);
        reply.and_then(|value| crm::read(value, tenant, include))
    };
    for tenant in 0..TENANTS {
        for include in [true, false] {
            let mut got = answer(tenant, include);
            assert_eventually!(
                {
                    got = answer(tenant, include);
                    got.as_ref().is_ok_and(|seen| {
                        ["hit", "miss"].contains(&seen.status.as_str()) && seen.version == last
                    })
                },
                Duration::from_secs(10),
                "tenant {tenant} is served its last version; last: {got:?}"
            );
        }
    }
    for node in &servers.nodes {
        let mut client = node.client();
        let idle = |client: &mut Client| {
            let figures = ["flights", "waiters", "blocked_clients", "warm_running"];
            figures.iter().all(|name| client.figure(name) == 0) && client.blocked_clients() == 0
        };
        assert_eventually!(idle(&mut client), "nobody waits and nothing is under way");
        assert_eq!(text(&client.ok(&["PING"])), "PONG");
    }
}
