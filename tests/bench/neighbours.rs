//! What one tenant's trouble costs another: fresh hits of tenant B, by RESP and by HTTP, while nothing else happens,
//! while 200 clients on each side wait for a bundle of A, while A changes faster than it is computed, and while 400
//! cold tenants are asked for at once.
//!
//! The upstream is the harness's own, so that A takes exactly as long as it is made to.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use harness::{Answer, Client, FakeUpstream, Redis, Sidecar, assert_eventually, run_ok};
use http_body_util::{BodyExt as _, Empty};
use hyper::Request;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::statistics::Sample;
use crate::table::Table;

/// Bytes of each bundle.
const SIZE: usize = 20 << 10;
const SECRET: &str = "a secret of thirty-two bytes or more";
/// Who wait for A, by RESP and by HTTP each.
const WAITING: usize = 200;
const COLD: usize = 400;
/// Hits that are timed in each situation, by RESP and by HTTP each: a second of them at most.
const HITS: usize = 3_000;
const MEASURED: Duration = Duration::from_secs(4);
/// A changes each 0.7 s and takes 1.1 s.
const CHANGES: Duration = Duration::from_millis(700);
const COMPUTING: Duration = Duration::from_millis(1_100);

struct World {
    upstream: FakeUpstream,
    redis: Redis,
    /// The sidecar's public address.
    address: String,
    token: String,
    _sidecar: Sidecar,
}

/// What came of the hits of one situation.
struct Hits {
    resp: Vec<Duration>,
    http: Vec<Duration>,
    refused: usize,
}

/// Its name, and what brings it about and times hits meanwhile.
type Situation = (&'static str, fn(&World, &mut Table) -> Hits);

pub(crate) fn measure(table: &mut Table) {
    let world = World::start();
    let idle = world.hits(MEASURED);
    report(table, "nothing else", &idle, None);
    let situations: [Situation; 3] = [
        ("200 + 200 wait for A", World::while_they_wait),
        ("A changes each 0.7 s, takes 1.1 s", World::while_it_changes),
        ("400 cold tenants at once", World::while_cold),
    ];
    for (situation, measure) in situations {
        let hits = measure(&world, table);
        report(table, situation, &hits, Some(&idle));
    }
}

impl World {
    fn start() -> Self {
        let upstream = FakeUpstream::start();
        upstream.answer(Answer::Sized(SIZE));
        let redis = Redis::builder()
            .upstream(&upstream)
            .tcp()
            .setting("ttl", 86_400)
            .setting("timeout", 60_000)
            .setting("soft-timeout", 250)
            .start();
        redis.client().json(&["DASHBOARD.GET", "b"]);
        let sidecar = Sidecar::builder()
            .without_postgres()
            .jwt_secret(SECRET)
            .env("REDIS_URL", redis.tcp_url())
            .start();
        let harness::Endpoint::Tcp(public) = sidecar.public() else { unreachable!("it listens on TCP") };
        let address = public.clone();
        let token = run_ok(
            Sidecar::command(&["token", "--role", "superadmin"], "").env("DASHBOARD_JWT_SECRET", SECRET),
        );
        Self { upstream, redis, address, token: token.trim().to_owned(), _sidecar: sidecar }
    }

    /// Times hits of B for so long, or until there are enough.
    fn hits(&self, most: Duration) -> Hits {
        let mut client = self.redis.client();
        let mut hits = Hits { resp: Vec::new(), http: Vec::new(), refused: 0 };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let mut sender = runtime.block_on(connect(&self.address));
        let began = Instant::now();
        while began.elapsed() < most && hits.resp.len() < HITS {
            let asked = Instant::now();
            match client.call(&["DASHBOARD.GET", "b"]) {
                Ok(_) => hits.resp.push(asked.elapsed()),
                Err(_) => hits.refused += 1,
            }
            let asked = Instant::now();
            match runtime.block_on(get(&mut sender, &self.token, "b")) {
                200 => hits.http.push(asked.elapsed()),
                _ => hits.refused += 1,
            }
        }
        hits
    }

    fn while_they_wait(&self, table: &mut Table) -> Hits {
        self.upstream.hold();
        let mut clients: Vec<Client> = (0..WAITING).map(|_| self.redis.client()).collect();
        clients.iter_mut().for_each(|client| client.send(&["DASHBOARD.GET", "a"]));
        let (address, token) = (self.address.clone(), self.token.clone());
        let over_http = std::thread::spawn(move || all_get(&address, &token, "a"));
        let mut observer = self.redis.client();
        assert_eventually!(
            observer.blocked_clients() > WAITING,
            "all wait, those of HTTP on a connection of theirs"
        );
        let hits = self.hits(MEASURED);
        self.upstream.release();
        let refused = clients.iter_mut().filter_map(|client| client.receive().err()).count();
        let refused = refused + over_http.join().expect("the clients of HTTP");
        table.exactly("of those who wait for A: refused", &[refused], 0);
        hits
    }

    fn while_it_changes(&self, table: &mut Table) -> Hits {
        let stop = AtomicBool::new(false);
        self.redis.client().json(&["DASHBOARD.GET", "a"]);
        self.upstream.hold();
        let hits = std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut feed = self.redis.client();
                pace(&stop, CHANGES, || {
                    feed.int(&["DASHBOARD.CLEAR", "a", "SOFT"]);
                });
            });
            scope.spawn(|| pace(&stop, COMPUTING, || self.upstream.release_one()));
            let reader = scope.spawn(|| {
                let (mut client, mut oldest) = (self.redis.client(), 0);
                pace(&stop, Duration::from_millis(50), || {
                    let fields = client.map(&["DASHBOARD.GET", "a", "WITHMETA"]);
                    if let redis::Value::Int(age) = fields[1].1 {
                        oldest = oldest.max(age);
                    }
                });
                oldest
            });
            let hits = self.hits(MEASURED * 2);
            std::thread::park_timeout(MEASURED * 2);
            stop.store(true, Ordering::Release);
            let oldest = reader.join().expect("the reader") as f64;
            let bound = 2.0 * COMPUTING.as_secs_f64() * 1e3 + CHANGES.as_secs_f64() * 1e3;
            table.at_most("oldest bundle of A meanwhile, ms", oldest, format!("{oldest:.0}"), bound);
            hits
        });
        self.upstream.release();
        hits
    }

    fn while_cold(&self, table: &mut Table) -> Hits {
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let storms = scope.spawn(|| {
                let tenants: Vec<String> = (0..COLD).map(|n| format!("cold{n}")).collect();
                let mut clients: Vec<Client> = tenants.iter().map(|_| self.redis.client()).collect();
                let clear: Vec<&str> =
                    ["DASHBOARD.CLEAR"].into_iter().chain(tenants.iter().map(String::as_str)).collect();
                let (mut refused, mut times) = (0, Vec::new());
                while !stop.load(Ordering::Acquire) {
                    clients[0].int(&clear);
                    let began = Instant::now();
                    for (client, tenant) in clients.iter_mut().zip(&tenants) {
                        client.send(&["DASHBOARD.GET", tenant]);
                    }
                    refused += clients.iter_mut().filter_map(|client| client.receive().err()).count();
                    times.push(began.elapsed().as_secs_f64() * 1e3);
                }
                (refused, times)
            });
            let hits = self.hits(MEASURED);
            stop.store(true, Ordering::Release);
            let (refused, times) = storms.join().expect("the storms");
            table.exactly("of 400 cold tenants at once: refused", &[refused], 0);
            table.note("400 cold tenants at once: first question to last reply, ms", Sample::new(times));
            hits
        })
    }
}

/// Does something in even steps until it is to stop.
fn pace(stop: &AtomicBool, step: Duration, mut act: impl FnMut()) {
    while !stop.load(Ordering::Acquire) {
        act();
        std::thread::park_timeout(step);
    }
}

async fn connect(address: &str) -> SendRequest<Empty<Bytes>> {
    let stream = TcpStream::connect(address).await.expect("the sidecar listens");
    stream.set_nodelay(true).expect("a TCP option");
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.expect("HTTP");
    tokio::spawn(connection);
    sender
}

/// Reads a tenant's bundle; the status of the answer.
async fn get(sender: &mut SendRequest<Empty<Bytes>>, token: &str, tenant: &str) -> u16 {
    let request = Request::get(format!("/api/reports/dashboard-bundle?tenant_id={tenant}"))
        .header("host", "localhost")
        .header("authorization", format!("Bearer {token}"))
        .body(Empty::<Bytes>::new())
        .expect("a request");
    let response = sender.send_request(request).await.expect("an answer");
    let status = response.status().as_u16();
    response.into_body().collect().await.expect("a whole answer");
    status
}

/// [`WAITING`] clients of HTTP ask for one bundle; how many are refused.
fn all_get(address: &str, token: &str, tenant: &'static str) -> usize {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (address, token): (Arc<str>, Arc<str>) = (address.into(), token.into());
    runtime.block_on(async {
        let one = || {
            let (address, token) = (address.clone(), token.clone());
            tokio::spawn(async move { get(&mut connect(&address).await, &token, tenant).await })
        };
        let tasks: Vec<_> = (0..WAITING).map(|_| one()).collect();
        let mut refused = 0;
        for task in tasks {
            refused += usize::from(task.await.expect("a client") != 200);
        }
        refused
    })
}

fn report(table: &mut Table, situation: &str, hits: &Hits, idle: Option<&Hits>) {
    let at = |times: &[Duration], part: usize| {
        let mut times = times.to_vec();
        times.sort_unstable();
        times[(times.len() - 1) * part / 100].as_secs_f64() * 1e3
    };
    for (by, times, before) in
        [("RESP", &hits.resp, idle.map(|idle| &idle.resp)), ("HTTP", &hits.http, idle.map(|idle| &idle.http))]
    {
        let name = format!("hit of B by {by}, {situation}");
        let (p50, p99) = (at(times, 50), at(times, 99));
        table.note(format!("{name}: ms"), format!("p50 {p50:.2}, p99 {p99:.2}, {} hits", times.len()));
        if let Some(before) = before {
            let ratio = p99 / at(before, 99);
            table.at_most(format!("{name}: p99 / idle"), ratio, format!("{ratio:.2}"), 2.0);
        }
    }
    table.exactly(format!("hits of B refused, {situation}"), &[hits.refused], 0);
}
