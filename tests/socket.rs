//! The file of the internal socket goes while the sidecar runs, as when somebody cleans up /run: the sidecar makes it anew, or says
//! why it cannot. Until then the module that connects finds nobody.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use harness::{Client, Postgres, Redis, Sidecar, SidecarBuilder, assert_eventually, free_port, text};
use serde_json::Value;
use tempfile::TempDir;

const TENANT: &str = "11111111-1111-4111-8111-111111111111";
const PART: &str = "internal-api";
/// A look each second, and a pause of the module's after failures.
const SOON: Duration = Duration::from_secs(10);

struct Scene {
    sidecar: Sidecar,
    redis: Redis,
    directory: TempDir,
    _postgres: Postgres,
}

impl Scene {
    /// The socket lies in a directory of its own, within another one.
    fn start() -> Self {
        let directory = TempDir::with_prefix("dashboard-socket-").unwrap();
        fs::create_dir(directory.path().join("above")).unwrap();
        let postgres = Postgres::start();
        postgres
            .execute(&format!("INSERT INTO tenant (id, tenant_id, name) VALUES ('{TENANT}', 'one', 'One')"));
        let address = format!("unix:{}", directory.path().join("above/own/s.sock").display());
        let redis = Redis::builder().setting("sidecar", &address).start();
        let sidecar = Sidecar::builder()
            .database(postgres.url())
            .env("REDIS_URL", redis.url())
            .internal(address)
            .start();
        let scene = Self { sidecar, redis, directory, _postgres: postgres };
        assert_eq!(scene.part(), ("ok".to_owned(), String::new()));
        scene
    }

    fn above(&self) -> PathBuf {
        self.directory.path().join("above")
    }

    fn file(&self) -> PathBuf {
        self.above().join("own/s.sock")
    }

    fn part(&self) -> (String, String) {
        part(&self.sidecar)
    }

    fn metric(&self) -> Option<f64> {
        self.sidecar.public().get("/metrics").sample(&format!("dashboard_up{{part=\"{PART}\"}}"))
    }

    /// A server without memory of the sidecar or of any bundle asks for one.
    fn a_restarted_redis_has_a_bundle_computed(&mut self) {
        self.redis.restart_in_place();
        let mut client = self.redis.client();
        let mut last = String::new();
        assert_eventually!(
            {
                last = status(&mut client);
                last == "miss"
            },
            SOON,
            "a bundle is computed; last: {last}"
        );
    }

    /// What is done to the files is done before the sidecar looks again.
    fn unseen<T>(&mut self, change: impl FnOnce(&Self) -> T) -> T {
        self.sidecar.process().freeze();
        let changed = change(self);
        self.sidecar.process().thaw();
        changed
    }

    /// Another process takes the socket's place.
    fn replace(&mut self) -> UnixListener {
        self.unseen(|scene| {
            fs::remove_file(scene.file()).unwrap();
            UnixListener::bind(scene.file()).unwrap()
        })
    }

    fn is_well_again(&mut self) {
        assert_eventually!(self.part().0 == "ok", SOON, "health is ok");
        assert_eq!(self.metric(), Some(1.0));
        self.a_restarted_redis_has_a_bundle_computed();
    }

    fn is_unwell(&self, remedy: &str) {
        let mut message = self.part().1;
        assert_eventually!(
            {
                message = self.part().1;
                message.contains(remedy)
            },
            "health names the remedy; it says {message}"
        );
        let (status, message) = self.part();
        assert!(message.contains("DASHBOARD_INTERNAL"), "{message}");
        assert_eq!((status.as_str(), self.metric()), ("unavailable", Some(0.0)));
        assert_eq!(self.sidecar.public().get("/api/system/health").status, 503);
        let problems = self.sidecar.public().get("/api/system/operations").json()["data"]["problems"].clone();
        assert!(problems.to_string().contains(remedy), "{problems}");
    }
}

fn part(sidecar: &Sidecar) -> (String, String) {
    let body = sidecar.public().get("/api/system/health").json();
    let checks = body["checks"].as_array().unwrap().clone();
    let check = checks.into_iter().find(|check| check["name"] == PART).unwrap_or(Value::Null);
    let text = |member: &str| check[member].as_str().unwrap_or_default().to_owned();
    (text("status"), text("message"))
}

fn status(client: &mut Client) -> String {
    match client.call(&["DASHBOARD.GET", TENANT, "WITHMETA"]) {
        Ok(reply) => text(&harness::fields(reply).unwrap()[0].1),
        Err(error) => error,
    }
}

fn number(path: &Path) -> u64 {
    fs::metadata(path).unwrap().ino()
}

#[test]
fn a_socket_whose_file_is_removed_is_there_again_for_a_redis_that_restarts_and_goes_at_the_end() {
    let mut scene = Scene::start();
    for _ in 0..3 {
        fs::remove_file(scene.file()).unwrap();
        scene.is_well_again();
    }
    scene.sidecar.process().terminate();
    assert!(scene.sidecar.process().wait_exit().success());
    assert!(!scene.file().exists());
}

#[test]
fn a_request_under_way_is_answered_although_the_socket_is_made_anew_meanwhile() {
    use std::io::{Read as _, Write as _};
    let scene = Scene::start();
    let mut accepted = UnixStream::connect(scene.file()).unwrap();
    accepted.write_all(b"GET /internal/v1/health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n").unwrap();
    fs::remove_file(scene.file()).unwrap();
    assert_eventually!(UnixStream::connect(scene.file()).is_ok(), SOON, "it is made anew");
    accepted.write_all(b"\r\n").unwrap();
    let mut answer = String::new();
    accepted.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[test]
fn the_socket_of_another_process_is_left_alone_and_health_says_that_it_is_in_the_way() {
    let mut scene = Scene::start();
    let other = scene.replace();
    let theirs = number(&scene.file());
    scene.is_unwell("in use by a running process; end that process");
    assert_eq!(number(&scene.file()), theirs);
    drop(other);
    scene.is_well_again();

    let _other = scene.replace();
    let theirs = number(&scene.file());
    scene.sidecar.process().terminate();
    assert!(scene.sidecar.process().wait_exit().success());
    assert_eq!(number(&scene.file()), theirs, "nor does the sidecar remove it when it ends");
}

#[test]
fn a_file_in_the_sockets_place_is_left_alone_and_health_says_that_it_is_in_the_way() {
    let mut scene = Scene::start();
    scene.unseen(|scene| {
        fs::remove_file(scene.file()).unwrap();
        fs::write(scene.file(), "precious").unwrap();
    });
    scene.is_unwell("not a socket is there; move it away");
    assert_eq!(fs::read_to_string(scene.file()).unwrap(), "precious");
    fs::remove_file(scene.file()).unwrap();
    scene.is_well_again();
}

#[test]
fn a_directory_that_is_removed_is_made_again_if_nothing_above_it_is_missing() {
    let mut scene = Scene::start();
    scene.unseen(|scene| fs::remove_dir_all(scene.above().join("own")).unwrap());
    scene.is_well_again();
    scene.unseen(|scene| fs::remove_dir_all(scene.above()).unwrap());
    scene.is_unwell("cannot be made");
    fs::create_dir(scene.above()).unwrap();
    scene.is_well_again();
}

fn alone() -> SidecarBuilder {
    Sidecar::builder().without_postgres().env("REDIS_URL", "redis://127.0.0.1:1")
}

#[test]
fn health_asks_the_internal_api_by_its_port_with_its_token() {
    let address = format!("127.0.0.1:{}", free_port());
    let sidecar = alone().internal(address).env("DASHBOARD_INTERNAL_TOKEN", "a-token-for-the-module").start();
    assert_eq!(part(&sidecar), ("ok".to_owned(), String::new()));
}

#[test]
fn more_misses_than_connections_are_all_answered_and_health_is_well_meanwhile() {
    const MISSES: usize = 64;
    let postgres = Postgres::start();
    // A bundle takes as long as somebody holds the gate.
    postgres.execute(
        "CREATE OR REPLACE FUNCTION dashboard.bundle(tenant text, include_test_data boolean) RETURNS json
         LANGUAGE plpgsql STABLE AS $$BEGIN
             PERFORM pg_advisory_xact_lock_shared(1);
             RETURN '{\"stats\":{},\"funnel\":{},\"lists\":{}}';
         END$$",
    );
    let redis = Redis::builder().setting("timeout", 60_000).setting("max-flights", MISSES).start();
    let sidecar = Sidecar::builder()
        .database(postgres.url())
        .env("REDIS_URL", redis.url())
        .env("DASHBOARD_MAX_CONNECTIONS", "32")
        .env("DASHBOARD_STATEMENT_TIMEOUT_MS", "60000")
        .start();
    let mut observer = redis.client();
    observer.ok(&["CONFIG", "SET", "dashboard.sidecar", sidecar.url()]);
    let mut gate = postgres.client();
    gate.batch_execute("SELECT pg_advisory_lock(1)").unwrap();
    let mut clients: Vec<Client> = (0..MISSES).map(|_| redis.client()).collect();
    for (n, client) in clients.iter_mut().enumerate() {
        client.send(&["DASHBOARD.GET", &format!("t{n}")]);
    }
    assert_eventually!(observer.figure("flights") == 64, "all are asked for");
    let mut last = part(&sidecar);
    assert_eventually!(
        {
            last = part(&sidecar);
            last.1.contains("all 32 connections of the internal API are busy")
        },
        "health says so; last: {last:?}"
    );
    assert_eq!(part(&sidecar).0, "ok");
    assert_eq!(sidecar.public().get("/api/system/health").status, 200);
    drop(gate);
    for client in &mut clients {
        client.receive().unwrap();
    }
    assert_eventually!(part(&sidecar) == ("ok".to_owned(), String::new()), "places are free again");
}

#[test]
fn health_says_that_silent_clients_hold_every_connection_of_the_internal_api() {
    let sidecar = alone().env("DASHBOARD_MAX_CONNECTIONS", "8").start();
    let silent: Vec<UnixStream> =
        (0..12).map(|_| UnixStream::connect(sidecar.socket().unwrap()).unwrap()).collect();
    assert_eventually!(
        part(&sidecar).1.contains("all 8 connections are held by clients that ask nothing"),
        "health says so"
    );
    assert_eq!(part(&sidecar).0, "unavailable");
    drop(silent);
    assert_eventually!(part(&sidecar).0 == "ok", "their places are free again");
}
