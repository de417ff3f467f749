//! Clients that ask and do not read, or send and do not finish, on a server with the `redis.conf` that is shipped:
//! they lose their connections, and nobody loses a bundle.

use std::io::Write as _;
use std::os::unix::net::UnixStream;

use harness::{Answer, Client, FakeUpstream, Redis, RedisBuilder, assert_eventually, text};

use crate::states::key;

/// Two bundles each, as large as they get.
const TENANTS: usize = 20;
const BUNDLE: usize = 200_000;

fn builder(upstream: &FakeUpstream) -> RedisBuilder {
    Redis::builder().shipped_configuration().upstream(upstream)
}

/// A server that holds everybody's bundles.
fn full(builder: RedisBuilder, upstream: &FakeUpstream) -> Redis {
    upstream.answer(Answer::Sized(BUNDLE));
    let redis = builder.start();
    let tenants: Vec<String> = (0..TENANTS).map(|n| format!("t{n}")).collect();
    let warm: Vec<&str> = ["DASHBOARD.WARM"].into_iter().chain(tenants.iter().map(String::as_str)).collect();
    redis.client().ok(&warm);
    assert_eq!(redis.client().int(&["DBSIZE"]), 2 * TENANTS as i64);
    redis
}

fn stat(client: &mut Client, field: &str) -> i64 {
    client.info("stats", field).and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("{field}"))
}

fn nobody_lost_a_bundle(redis: &Redis) {
    let mut client = redis.client();
    assert_eq!((stat(&mut client, "evicted_keys"), client.int(&["DBSIZE"])), (0, 2 * TENANTS as i64));
}

/// A connection of which the server is asked again and again, and which reads nothing.
struct Greedy {
    client: Client,
    id: i64,
}

impl Greedy {
    fn new(redis: &Redis) -> Self {
        let mut client = redis.client();
        let id = client.id();
        Self { client, id }
    }

    /// Sends the command so often; the server may end the connection meanwhile.
    fn ask(&mut self, times: usize, command: &[&str]) {
        for _ in 0..times {
            if self.client.offer(command).is_err() {
                return;
            }
        }
    }

    /// Whether the server has closed it.
    fn is_cut(&self, of: &mut Client) -> bool {
        of.bytes(&["CLIENT", "LIST", "ID", &self.id.to_string()]).is_empty()
    }
}

#[test]
fn a_client_that_pipelines_30000_reads_without_reading_is_cut_and_every_bundle_stays() {
    let upstream = FakeUpstream::start();
    let redis = full(builder(&upstream), &upstream);
    let stored = key("t0");
    let commands: [&[&str]; 2] = [&["DASHBOARD.GET", "t0"], &["GET", &stored]];
    for command in commands {
        let mut greedy = Greedy::new(&redis);
        greedy.ask(30_000, command);
        assert_eventually!(greedy.is_cut(&mut redis.client()), "{command:?}");
        nobody_lost_a_bundle(&redis);
    }
    assert_eq!(stat(&mut redis.client(), "evicted_clients"), 0, "each was cut at its own bound");
    let status = &redis.client().map(&["DASHBOARD.GET", "t1", "WITHMETA"])[0].1;
    assert_eq!(text(status), "hit");
}

#[test]
fn of_many_clients_that_each_stay_within_their_own_bound_those_that_hold_most_are_cut() {
    let upstream = FakeUpstream::start();
    let redis = full(builder(&upstream), &upstream);
    let mut greedy: Vec<Greedy> = (0..12).map(|_| Greedy::new(&redis)).collect();
    // 60 MB each: together more than maxmemory.
    greedy.iter_mut().for_each(|greedy| greedy.ask(300, &["DASHBOARD.GET", "t0"]));
    let mut client = redis.client();
    assert_eventually!(stat(&mut client, "evicted_clients") > 0, "those that hold most are cut");
    nobody_lost_a_bundle(&redis);
}

#[test]
fn an_honest_client_may_ask_for_250_large_bundles_in_one_go_and_a_thousand_may_wait_for_one() {
    let upstream = FakeUpstream::start();
    let redis = full(builder(&upstream), &upstream);
    let mut honest = redis.client();
    (0..250).for_each(|_| honest.send(&["DASHBOARD.GET", "t0"]));
    (0..250).for_each(|n| assert!(honest.receive().is_ok(), "reply {n}"));

    upstream.hold();
    let mut crowd: Vec<Client> = (0..1_000).map(|_| redis.client()).collect();
    crowd.iter_mut().for_each(|client| client.send(&["DASHBOARD.GET", "cold"]));
    assert_eventually!(honest.blocked_clients() == 1_000, "all of them wait");
    upstream.release();
    for (n, client) in crowd.iter_mut().enumerate() {
        assert!(client.receive().is_ok(), "client {n}");
    }
    assert_eq!(stat(&mut honest, "evicted_clients"), 0);
}

#[test]
fn commands_that_are_not_finished_cost_those_who_send_them_their_connections_and_nobody_a_bundle() {
    let upstream = FakeUpstream::start();
    let redis = full(builder(&upstream), &upstream);
    // An argument that is larger than any bundle.
    let mut client = redis.client();
    let _ = client.offer(&["SET".as_bytes(), b"large", &vec![b'x'; 9 << 20]]);
    assert!(matches!(client.await_reply(), Err(_) | Ok(Err(_))), "it is refused");
    // Arguments that are not, from many: together more than maxmemory.
    let unfinished = [&b"*3\r\n$3\r\nSET\r\n$1\r\nx\r\n$8000000\r\n"[..], &vec![b'x'; 7_999_999]].concat();
    let mut senders = Vec::new();
    for _ in 0..80 {
        let mut sender = UnixStream::connect(redis.socket()).unwrap();
        // An error means that the server has closed it already.
        let _ = sender.write_all(&unfinished);
        senders.push(sender);
    }
    let mut client = redis.client();
    assert_eventually!(stat(&mut client, "evicted_clients") > 0, "those that hold most are cut");
    nobody_lost_a_bundle(&redis);
}
