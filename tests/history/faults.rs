//! What is done to the servers while the workload goes on, in an order that the seed decides.
//!
//! Each fault ends with everything in its place again; when a client gets its next good answer is for the checker
//! to judge.

use std::sync::atomic::Ordering;
use std::time::Duration;

use fastrand::Rng;
use harness::{Client, assert_eventually, freeze_pid, poll_until, thaw_pid};

use super::record::{Clear, Fault, History};
use super::servers::{SETTINGS, Servers};
use super::workload::Scene;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    SidecarKilled,
    SidecarFrozen,
    PostgresRestarted,
    PostgresCrashed,
    BackendsFrozen,
    RedisRestarted,
    RedisKilled,
    RedisReloaded,
    Demoted,
    FailedOver,
    PrimaryLost,
    SettingsChanged,
    ClientsKilled,
    ClientsUnblocked,
    WritesPaused,
    Flushed,
    Swapped,
    TablesRewritten,
    ClockSet,
    SocketRemoved,
    LogStuck,
    DescriptorsTaken,
}

impl Kind {
    pub(super) const ALL: [Self; 22] = [
        Self::SidecarKilled,
        Self::SidecarFrozen,
        Self::PostgresRestarted,
        Self::PostgresCrashed,
        Self::BackendsFrozen,
        Self::RedisRestarted,
        Self::RedisKilled,
        Self::RedisReloaded,
        Self::Demoted,
        Self::FailedOver,
        Self::PrimaryLost,
        Self::SettingsChanged,
        Self::ClientsKilled,
        Self::ClientsUnblocked,
        Self::WritesPaused,
        Self::Flushed,
        Self::Swapped,
        Self::TablesRewritten,
        Self::ClockSet,
        Self::SocketRemoved,
        Self::LogStuck,
        Self::DescriptorsTaken,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::SidecarKilled => "sidecar killed",
            Self::SidecarFrozen => "sidecar frozen",
            Self::PostgresRestarted => "postgres restarted (fast)",
            Self::PostgresCrashed => "postgres restarted (immediate)",
            Self::BackendsFrozen => "postgres backends frozen",
            Self::RedisRestarted => "redis restarted",
            Self::RedisKilled => "redis killed",
            Self::RedisReloaded => "redis reloaded",
            Self::Demoted => "primary demoted and promoted",
            Self::FailedOver => "failed over in good order",
            Self::PrimaryLost => "primary killed, replica promoted",
            Self::SettingsChanged => "settings changed",
            Self::ClientsKilled => "clients killed",
            Self::ClientsUnblocked => "clients unblocked",
            Self::WritesPaused => "writes paused",
            Self::Flushed => "flushed",
            Self::Swapped => "databases swapped, and back",
            Self::TablesRewritten => "tables written anew",
            Self::ClockSet => "clock of postgres set",
            Self::SocketRemoved => "socket of the sidecar removed",
            Self::LogStuck => "log of the sidecar stuck, then lost",
            Self::DescriptorsTaken => "descriptors of the sidecar taken",
        }
    }

    /// Whether connections to Redis may end.
    fn closes(self) -> bool {
        matches!(
            self,
            Self::RedisRestarted
                | Self::RedisKilled
                | Self::RedisReloaded
                | Self::Demoted
                | Self::FailedOver
                | Self::PrimaryLost
                | Self::ClientsKilled
        )
    }

    /// Done to Redis alone, and in no time: so that what was under way before is still to come after it.
    fn is_of_redis(self) -> bool {
        matches!(
            self,
            Self::RedisReloaded
                | Self::Demoted
                | Self::FailedOver
                | Self::SettingsChanged
                | Self::ClientsUnblocked
                | Self::WritesPaused
                | Self::Flushed
        )
    }
}

/// Who does it.
pub(super) struct Schedule<'a> {
    pub(super) servers: &'a mut Servers,
    pub(super) scene: &'a Scene,
    pub(super) rng: Rng,
    pub(super) history: History,
}

impl Schedule<'_> {
    /// Lets every fault strike twice, in an order of the seed's, after a time without any.
    pub(super) fn run(&mut self) {
        self.go_on(1000, Duration::from_secs(2));
        let mut kinds = [Kind::ALL, Kind::ALL].concat();
        self.rng.shuffle(&mut kinds);
        for kind in kinds {
            let began = self.scene.clock.now();
            self.scene.hush.store(kind == Kind::Flushed, Ordering::Relaxed);
            if kind == Kind::Flushed || (kind.is_of_redis() && self.rng.bool()) {
                // What is under way then, and was read before, arrives after it.
                let backends = self.freeze_backends();
                self.go_on(200, Duration::from_millis(150));
                self.strike(kind);
                backends.into_iter().for_each(thaw_pid);
            } else {
                self.strike(kind);
            }
            let ended = self.scene.clock.now();
            self.history.faults.push(Fault { name: kind.name(), began, ended, closes: kind.closes() });
            self.go_on(100, Duration::from_millis(300));
            self.scene.hush.store(false, Ordering::Relaxed);
        }
    }

    /// Lets the workload go on for so many GETs.
    pub(super) fn calm(&mut self, gets: u64) {
        self.go_on(gets, Duration::from_secs(10));
    }

    fn strike(&mut self, kind: Kind) {
        let primary = self.scene.topology.roles().primary;
        match kind {
            Kind::SidecarKilled => {
                self.kill_sidecar();
                self.hold();
                self.servers.start_sidecar();
            }
            Kind::SidecarFrozen => {
                let process = self.servers.sidecar.as_mut().expect("it runs").process();
                process.freeze();
                self.hold();
                self.servers.sidecar.as_mut().expect("it runs").process().thaw();
            }
            Kind::PostgresRestarted => {
                self.servers.postgres.stop_fast();
                self.hold();
                self.servers.postgres.start_again();
            }
            Kind::PostgresCrashed => {
                self.servers.postgres.stop_immediately();
                self.hold();
                self.servers.postgres.start_again();
            }
            Kind::BackendsFrozen => {
                let backends = self.freeze_backends();
                self.hold();
                backends.into_iter().for_each(thaw_pid);
            }
            Kind::RedisRestarted => self.servers.nodes[primary].restart_in_place(),
            Kind::RedisKilled => {
                self.servers.nodes[primary].process().kill();
                self.servers.nodes[primary].start_again();
            }
            Kind::RedisReloaded => drop(self.admin(primary).ok(&["DEBUG", "RELOAD"])),
            Kind::Demoted => self.demote(primary),
            Kind::FailedOver => self.fail_over(primary),
            Kind::PrimaryLost => self.lose(primary),
            Kind::SettingsChanged => self.change_settings(),
            Kind::ClientsKilled => {
                for _ in 0..3 {
                    self.admin(primary).int(&["CLIENT", "KILL", "TYPE", "normal"]);
                    self.go_on(20, Duration::from_millis(100));
                }
            }
            Kind::ClientsUnblocked => self.unblock(primary),
            Kind::WritesPaused => {
                self.admin(primary).ok(&["CLIENT", "PAUSE", "400", "WRITE"]);
                self.hold();
                self.admin(primary).ok(&["CLIENT", "UNPAUSE"]);
            }
            Kind::Flushed => self.flush(primary),
            Kind::Swapped => {
                for _ in 0..2 {
                    // It happens between these two.
                    self.history.swaps.push(self.scene.clock.now());
                    self.admin(primary).ok(&["SWAPDB", "0", "1"]);
                    self.history.swaps.push(self.scene.clock.now());
                    self.hold();
                }
            }
            Kind::TablesRewritten => self.rewrite(),
            Kind::ClockSet => {
                self.servers.postgres.clock().set_ahead(Duration::from_secs(60 * 24 * 3600));
                self.hold();
                self.servers.postgres.clock().set_back(Duration::from_secs(3600));
                self.hold();
                self.servers.postgres.clock().set_right();
                self.wake();
            }
            Kind::SocketRemoved => {
                let _ = std::fs::remove_file(self.servers.socket());
                self.hold();
            }
            Kind::LogStuck => {
                self.kill_sidecar();
                let reader = self.servers.start_sidecar_unheard();
                self.hold();
                drop(reader);
                self.hold();
                self.kill_sidecar();
                self.servers.start_sidecar();
            }
            Kind::DescriptorsTaken => self.take_descriptors(),
        }
    }

    fn kill_sidecar(&mut self) {
        self.servers.sidecar.as_mut().expect("it runs").process().kill();
        self.servers.sidecar = None;
    }

    /// Each table is empty to snapshots from before.
    fn rewrite(&mut self) {
        let mut owner = self.servers.postgres.client();
        owner.batch_execute("SET lock_timeout = '20s'").expect("a setting");
        for rewrite in [
            "ALTER TABLE leads ALTER COLUMN company TYPE text USING company || ''",
            "ALTER TABLE opportunities ALTER COLUMN name TYPE text USING name || ''",
            "ALTER TABLE tenant ALTER COLUMN name TYPE text USING name || ''",
            "CREATE TEMP TABLE kept ON COMMIT DROP AS TABLE contacts; TRUNCATE contacts; INSERT INTO contacts TABLE kept",
        ] {
            owner.batch_execute(&format!("BEGIN; {rewrite}")).expect("no table is locked for long");
            self.go_on(20, Duration::from_millis(100));
            owner.batch_execute("COMMIT").expect("it is written");
        }
    }

    /// Ends what began in the future. A bundle here sleeps, and `pg_sleep` goes by the clock of the wall, as Postgres's own time-outs
    /// do: with its sidecar dead it would hold its tables for sixty days.
    fn wake(&self) {
        let mut client = self.servers.postgres.client();
        let sql = "SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity WHERE xact_start > clock_timestamp() + interval '1 day'";
        let mut asleep = || client.query_one(sql, &[]).expect("pg_stat_activity").get::<_, i64>(0);
        assert_eventually!(asleep() == 0, "nobody is in the future");
    }

    /// The sidecar has none free, or a few, and loses its sessions: not all of them find their way back until it may open more.
    fn take_descriptors(&mut self) {
        let few = self.rng.bool().then(|| self.rng.u64(0..20));
        let process = self.servers.sidecar.as_mut().expect("it runs").process();
        let most = few.map_or(3, |few| (process.open_descriptors() + few).saturating_sub(10));
        let limit = process.limit_descriptors(most);
        let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'dashboard-sidecar%'";
        self.servers.postgres.client().batch_execute(sql).expect("sessions are ended");
        self.hold();
        drop(limit);
    }

    /// How long a fault lasts.
    fn hold(&mut self) {
        let gets = self.rng.u64(50..400);
        self.go_on(gets, Duration::from_millis(700));
    }

    /// Lets readers get so many answers, if they get them within `longest`.
    fn go_on(&self, gets: u64, longest: Duration) {
        let answered = || self.scene.answered.load(Ordering::Relaxed);
        let enough = answered() + gets;
        poll_until(longest, || answered() >= enough);
    }

    fn admin(&self, node: usize) -> Client {
        self.servers.nodes[node].client()
    }

    /// Sockets that stay open and say nothing; to be thawed.
    fn freeze_backends(&self) -> Vec<i32> {
        let sql = "SELECT pid FROM pg_stat_activity WHERE application_name = 'dashboard-sidecar compute'";
        let backends = self.servers.postgres.client().query(sql, &[]).expect("pg_stat_activity");
        let backends: Vec<i32> = backends.iter().map(|row| row.get(0)).collect();
        backends.iter().copied().for_each(freeze_pid);
        backends
    }

    /// The primary becomes a replica of nobody, and a primary again. It loses nothing.
    fn demote(&mut self, primary: usize) {
        self.admin(primary).ok(&["REPLICAOF", "127.0.0.1", "1"]);
        self.hold();
        self.admin(primary).ok(&["REPLICAOF", "NO", "ONE"]);
        self.servers.wait_for_link(1 - primary);
    }

    /// Primary and replica change places. No clear is under way, and the replica has every one that was
    /// answered: that is what an operator must see to, as replication is asynchronous.
    fn fail_over(&mut self, primary: usize) {
        self.servers.wait_for_link(1 - primary);
        let mut roles = self.scene.topology.change_roles();
        let mut admin = self.servers.nodes[primary].client();
        // WAIT waits for what its own connection has seen.
        admin.ok(&["PING"]);
        assert_eq!(admin.int(&["WAIT", "1", "10000"]), 1, "the replica has everything");
        self.servers.nodes[1 - primary].client().ok(&["REPLICAOF", "NO", "ONE"]);
        roles.primary = 1 - primary;
        roles.replica = None;
        drop(roles);
        self.servers.follow(primary, 1 - primary);
        self.scene.topology.change_roles().replica = Some(primary);
    }

    /// The primary is killed, and the replica takes over with what it has.
    fn lose(&mut self, primary: usize) {
        self.servers.nodes[primary].process().kill();
        {
            let mut roles = self.scene.topology.change_roles();
            self.history.losses.push(self.scene.clock.now());
            self.servers.nodes[1 - primary].client().ok(&["REPLICAOF", "NO", "ONE"]);
            roles.primary = 1 - primary;
            roles.replica = None;
        }
        self.hold();
        self.servers.nodes[primary].start_again();
        self.servers.follow(primary, 1 - primary);
        self.scene.topology.change_roles().replica = Some(primary);
    }

    fn change_settings(&mut self) {
        for _ in 0..4 {
            let (name, usual, others) = SETTINGS[self.rng.usize(0..SETTINGS.len())];
            let other = others[self.rng.usize(0..others.len())];
            for value in [other, usual] {
                for node in 0..2 {
                    self.admin(node).ok(&["CONFIG", "SET", &format!("dashboard.{name}"), value]);
                }
                self.go_on(50, Duration::from_millis(150));
            }
        }
    }

    fn unblock(&mut self, primary: usize) {
        let mut admin = self.admin(primary);
        for _ in 0..30 {
            let list = String::from_utf8(admin.bytes(&["CLIENT", "LIST"])).expect("a list is text");
            let ids = list.lines().filter(|line| line.contains(" cmd=dashboard.get "));
            for id in ids.filter_map(|line| line.strip_prefix("id=")?.split(' ').next()) {
                let how = if self.rng.bool() { "TIMEOUT" } else { "ERROR" };
                admin.int(&["CLIENT", "UNBLOCK", id, how]);
            }
            self.go_on(3, Duration::from_millis(20));
        }
    }

    /// FLUSHALL promises what a clear of everything promises.
    fn flush(&mut self, primary: usize) {
        self.go_on(20, Duration::from_millis(100));
        let invoked = self.scene.clock.now();
        self.admin(primary).ok(&["FLUSHALL"]);
        let answered = self.scene.clock.now();
        self.history.clears.push(Clear { tenant: None, soft: false, invoked, answered, replicated: None });
    }
}
