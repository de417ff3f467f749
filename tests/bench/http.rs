//! What reading over HTTP costs: requests a second and the 99th percentile of a hit and of a 304 through the
//! sidecar, beside a server that does nothing but a plain `GET` behind the same hyper code (see [`crate::plain`]).
//!
//! All three take turns in one run, under the same load of keep-alive connections.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use harness::{Answer, FakeUpstream, Process, Redis, Sidecar, free_port, http, run_ok};
use http_body_util::{BodyExt as _, Empty};
use hyper::Request;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::plain;
use crate::statistics::Sample;
use crate::table::Table;

const ROUNDS: usize = 10;
/// Of one turn.
const TURN: Duration = Duration::from_secs(1);
/// Connections that ask at once.
const CONNECTIONS: usize = 16;
/// Bytes of the bundle.
const SIZE: usize = 20 << 10;
const TENANT: &str = "acme";
const SECRET: &str = "a secret of thirty-two bytes or more";

/// What one of the three is asked.
struct Question {
    address: String,
    path: String,
    headers: Vec<(&'static str, String)>,
    status: u16,
}

/// What one of the three has answered.
struct Turn {
    per_second: f64,
    p99_ms: f64,
}

pub(crate) fn measure(table: &mut Table) {
    let upstream = FakeUpstream::start();
    upstream.answer(Answer::Sized(SIZE));
    // Every bundle stays fresh for the whole run.
    let redis = Redis::builder().upstream(&upstream).tcp().setting("ttl", 86_400).start();
    let bundle = redis.client().json(&["DASHBOARD.GET", TENANT]);
    let sidecar =
        Sidecar::builder().without_postgres().jwt_secret(SECRET).env("REDIS_URL", redis.tcp_url()).start();
    let directory = TempDir::new().expect("a temporary directory");
    let plain_at = format!("127.0.0.1:{}", free_port());
    let mut plain = Process::start(
        "plain GET server",
        &std::env::current_exe().expect("this binary has a path"),
        &directory.path().join("log"),
        |command| {
            command.args([plain::ARGUMENT, &plain_at, &redis.tcp_url()]);
        },
    );
    let key = format!("dashboard:bundle:{TENANT}:include=true");
    let plain_endpoint = harness::Endpoint::parse(&plain_at);
    plain.wait_ready(|| http(&plain_endpoint, "GET", &format!("/{key}"), None, b"").is_ok());

    let harness::Endpoint::Tcp(public) = sidecar.public() else { unreachable!("it listens on TCP") };
    let token =
        run_ok(Sidecar::command(&["token", "--tenant", TENANT], "").env("DASHBOARD_JWT_SECRET", SECRET));
    let bearer = ("authorization", format!("Bearer {}", token.trim()));
    let path = format!("/api/reports/dashboard-bundle?tenant_id={TENANT}");
    let etag = bundle["meta"]["etag"].as_str().expect("a bundle has an etag");
    let question = |address: &str, path: &str, headers: &[(&'static str, String)], status| Question {
        address: address.to_owned(),
        path: path.to_owned(),
        headers: headers.to_vec(),
        status,
    };
    let questions = [
        question(&plain_at, &format!("/{key}"), &[], 200),
        question(public, &path, std::slice::from_ref(&bearer), 200),
        question(public, &path, &[bearer, ("if-none-match", format!("\"{etag}\""))], 304),
    ]
    .map(Arc::new);

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let rounds: Vec<[Turn; 3]> =
        (0..ROUNDS).map(|_| questions.each_ref().map(|question| runtime.block_on(turn(question)))).collect();

    let name = format!("HTTP, {CONNECTIONS} connections, {} KB", SIZE >> 10);
    for (at, what) in
        ["plain GET behind hyper", "hit (token checked)", "304 (token checked)"].iter().enumerate()
    {
        let of =
            |figure: fn(&Turn) -> f64| Sample::new(rounds.iter().map(|round| figure(&round[at])).collect());
        let (per_second, p99) = (of(|turn| turn.per_second), of(|turn| turn.p99_ms));
        let shown = format!("{:.0}, p99 {:.2} ms", per_second.median(), p99.median());
        table.note(format!("{name}: {what}, requests/s"), shown);
        if at > 0 {
            let ratio = rounds.iter().map(|round| round[at].per_second / round[0].per_second).collect();
            table.note(format!("{name}: {what}, requests/s / plain GET's"), Sample::new(ratio));
        }
    }
}

/// Asks over all connections for [`TURN`].
async fn turn(question: &Arc<Question>) -> Turn {
    let began = Instant::now();
    let tasks: Vec<_> = (0..CONNECTIONS).map(|_| tokio::spawn(ask(question.clone(), began))).collect();
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await.expect("a connection's task"));
    }
    let took = began.elapsed().as_secs_f64();
    times.sort_unstable();
    let p99 = times[(times.len() - 1) * 99 / 100];
    Turn { per_second: times.len() as f64 / took, p99_ms: p99.as_secs_f64() * 1e3 }
}

async fn ask(question: Arc<Question>, began: Instant) -> Vec<Duration> {
    let stream = TcpStream::connect(&question.address).await.expect("the server listens");
    stream.set_nodelay(true).expect("a TCP option");
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.expect("HTTP");
    tokio::spawn(connection);
    let mut times = Vec::new();
    while began.elapsed() < TURN {
        let mut request = Request::get(&question.path).header("host", "localhost");
        for (name, value) in &question.headers {
            request = request.header(*name, value);
        }
        let request = request.body(Empty::<Bytes>::new()).expect("a request");
        let asked = Instant::now();
        let response = sender.send_request(request).await.expect("an answer");
        assert_eq!(response.status().as_u16(), question.status, "{}", question.path);
        let body = response.into_body().collect().await.expect("a whole answer").to_bytes();
        assert!(question.status == 304 || body.len() > SIZE, "{} bytes", body.len());
        times.push(asked.elapsed());
    }
    times
}
