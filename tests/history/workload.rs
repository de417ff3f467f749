//! What clients do all the while: writers commit and clear, readers read, a warmer warms. Each notes what it
//! did in a history of its own.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use fastrand::Rng;
use harness::Reply;
use postgres::NoTls;

use super::crm::{self, TENANTS};
use super::line::Line;
use super::record::{Ask, Clear, Clock, Commit, Get, History, Other, Outcome, Place};
use super::servers::Topology;

/// How long a GET may take: `dashboard.timeout`, and what a busy machine adds.
pub(super) const PATIENCE: Duration = Duration::from_secs(4);
/// WARM waits as long as its bundles take, and CLEAR for a pause of writing.
const LONG_PATIENCE: Duration = Duration::from_secs(30);

/// What all clients share.
pub(super) struct Scene {
    pub(super) clock: Clock,
    pub(super) topology: Topology,
    pub(super) database: String,
    pub(super) stop: Stop,
    /// GETs answered so far, by which the faults measure their length.
    pub(super) answered: AtomicU64,
    /// For a while, nothing is cleared: what a flush promises shows only where no clear says the same.
    pub(super) hush: AtomicBool,
    /// A lie, to see it found: clears are noted and not sent.
    pub(super) forget_clears: bool,
}

/// Tells all threads to end.
#[derive(Default)]
pub(super) struct Stop {
    stopped: Mutex<bool>,
    changed: Condvar,
}

impl Stop {
    pub(super) fn stop(&self) {
        *self.stopped.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_all();
    }

    /// A client's time to think, unless it is told to stop; whether it goes on.
    fn think(&self, longest: Duration) -> bool {
        let stopped = self.stopped.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_timeout_while(stopped, longest, |stopped| !*stopped);
        !*waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

fn up_to(rng: &mut Rng, millis: u64) -> Duration {
    Duration::from_micros(rng.u64(0..=millis * 1000))
}

/// Reads, of all tenants, until told to stop.
pub(super) fn read(scene: &Scene, reader: usize, place: Place, mut rng: Rng) -> History {
    let mut lines = scene.topology.urls.each_ref().map(|url| Line::new(url, PATIENCE));
    let mut history = History::default();
    while scene.stop.think(up_to(&mut rng, 4)) {
        let tenant = rng.usize(0..TENANTS);
        let ask = Ask {
            include: rng.bool(),
            refresh: rng.u8(..) < 20,
            max_age_ms: (rng.u8(..) < 25).then(|| rng.u64(0..1500)),
        };
        let (server, began) = {
            let roles = scene.topology.roles();
            let server = if place == Place::Primary { Some(roles.primary) } else { roles.replica };
            (server, scene.clock.now())
        };
        let Some(reply) = server.and_then(|server| lines[server].ask(&command(tenant, ask))) else {
            continue;
        };
        let ended = scene.clock.now();
        let outcome = match reply {
            Ok(Ok(value)) => {
                crm::read(value, tenant, ask.include).map_or_else(Outcome::OutOfStep, Outcome::Bundle)
            }
            Ok(Err(line)) => Outcome::Error(line),
            Err(outcome) => outcome,
        };
        scene.answered.fetch_add(1, Ordering::Relaxed);
        history.gets.push(Get { reader, place, tenant, ask, began, ended, outcome });
    }
    history
}

fn command(tenant: usize, ask: Ask) -> Vec<String> {
    let mut command = vec!["DASHBOARD.GET".to_owned(), crm::name(tenant), "WITHMETA".to_owned()];
    if !ask.include {
        command.extend(["INCLUDE".to_owned(), "false".to_owned()]);
    }
    if ask.refresh {
        command.push("REFRESH".to_owned());
    }
    if let Some(max_age) = ask.max_age_ms {
        command.extend(["MAXAGE".to_owned(), max_age.to_string()]);
    }
    command
}

/// Writes new versions of its tenants, and mostly clears them, until told to stop.
pub(super) fn write(scene: &Scene, tenants: &[usize], mut rng: Rng) -> History {
    let mut writer = Writer {
        lines: scene.topology.urls.each_ref().map(|url| Line::new(url, LONG_PATIENCE)),
        scene,
        database: None,
        history: History::default(),
    };
    let mut version = 0;
    while scene.stop.think(up_to(&mut rng, 30)) {
        let tenant = tenants[rng.usize(0..tenants.len())];
        version += 1;
        writer.commit(tenant, version);
        if scene.hush.load(Ordering::Relaxed) {
            continue;
        }
        let one = [Some(tenant)];
        let several: Vec<_> = (0..TENANTS).map(Some).collect();
        // Half of the tenants are mostly cleared softly, so that there is something old to fall back on.
        let soft = rng.u8(0..100) < if tenant.is_multiple_of(2) { 95 } else { 20 };
        let (scope, soft) = match rng.u8(0..100) {
            0..30 => continue,
            30..90 => (&one[..], soft),
            90..97 => (&[None][..], soft),
            _ => (&several[..], soft),
        };
        writer.clear(scope, soft, rng.bool());
    }
    writer.history
}

struct Writer<'a> {
    scene: &'a Scene,
    lines: [Line; 2],
    database: Option<postgres::Client>,
    history: History,
}

impl Writer<'_> {
    fn commit(&mut self, tenant: usize, version: u64) {
        let mut client = match self.database.take() {
            Some(client) => client,
            None => match postgres::Client::connect(&self.scene.database, NoTls) {
                Ok(client) => client,
                Err(_down) => return,
            },
        };
        let invoked = self.scene.clock.now();
        let done = crm::commit(&mut client, tenant, version).is_ok();
        let answered = done.then(|| self.scene.clock.now());
        if done {
            self.database = Some(client);
        }
        self.history.commits.push(Commit { tenant, version, invoked, answered });
    }

    /// Clears some tenants (or, `None`, all); with `wait`, asks until when the replica has it.
    fn clear(&mut self, scope: &[Option<usize>], soft: bool, wait: bool) {
        let scene = self.scene;
        let roles = scene.topology.roles();
        let invoked = scene.clock.now();
        let mut command = vec!["DASHBOARD.CLEAR".to_owned()];
        command.extend(scope.iter().flatten().map(|tenant| crm::name(*tenant)));
        command.extend(soft.then(|| "SOFT".to_owned()));
        if scene.forget_clears {
            command = vec!["PING".to_owned()];
        }
        let line = &mut self.lines[roles.primary];
        let Some(reply) = line.ask(&command) else { return };
        let answered = scene.clock.now();
        let outcome = done(reply);
        if outcome == Outcome::Done {
            // The ECHO behind the clear has moved the offset that WAIT waits for past everything the clear wrote.
            let found = if wait { line.ask(&["WAIT", "1", "300"]) } else { None };
            let replicated = matches!(found, Some(Ok(Ok(redis::Value::Int(1..))))).then(|| scene.clock.now());
            let clears =
                scope.iter().map(|tenant| Clear { tenant: *tenant, soft, invoked, answered, replicated });
            self.history.clears.extend(clears);
        }
        self.history.others.push(Other { name: "CLEAR", began: invoked, ended: answered, outcome });
    }
}

/// Warms, until told to stop.
pub(super) fn warm(scene: &Scene, mut rng: Rng) -> History {
    let mut lines = scene.topology.urls.each_ref().map(|url| Line::new(url, LONG_PATIENCE));
    let mut history = History::default();
    while scene.stop.think(up_to(&mut rng, 150)) {
        let mut command = vec!["DASHBOARD.WARM".to_owned()];
        for tenant in 0..TENANTS {
            command.extend(rng.bool().then(|| crm::name(tenant)));
        }
        command.extend(rng.bool().then(|| "FORCE".to_owned()));
        command.extend(rng.bool().then(|| "ASYNC".to_owned()));
        let primary = scene.topology.roles().primary;
        let began = scene.clock.now();
        let Some(reply) = lines[primary].ask(&command) else { continue };
        history.others.push(Other { name: "WARM", began, ended: scene.clock.now(), outcome: done(reply) });
    }
    history
}

fn done(reply: Result<Reply, Outcome>) -> Outcome {
    match reply {
        Ok(Ok(_)) => Outcome::Done,
        Ok(Err(line)) => Outcome::Error(line),
        Err(outcome) => outcome,
    }
}
