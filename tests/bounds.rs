//! However much is asked for at once: what does not fit is refused at once, and nothing grows.

use harness::{Answer, Client, FakeUpstream, Redis, assert_eventually};

const CONNECTIONS: usize = 100;
const EACH: usize = 1_000;
/// Of the server's memory, in bytes, module included: less than one for every two bundles that were asked for
/// would make.
const GROWTH: i64 = 8 << 20;

fn used_memory(client: &mut Client) -> i64 {
    client.info("memory", "used_memory").and_then(|value| value.parse().ok()).expect("INFO tells it")
}

/// Asks for a hundred thousand tenants, all at once: each connection sends all that it will ever ask for. The
/// first words of the replies, counted; `observe` is called while they come.
fn ask_for_all(
    clients: &mut [Client],
    observe: &mut impl FnMut(),
) -> std::collections::BTreeMap<String, usize> {
    for (n, client) in clients.iter_mut().enumerate() {
        for tenant in 0..EACH {
            client.send(&["DASHBOARD.GET", &format!("t{n}-{tenant}"), "IFNONEMATCH", "none"]);
        }
    }
    let mut words = std::collections::BTreeMap::new();
    for client in clients {
        for _ in 0..EACH {
            let word = match client.receive() {
                Ok(_) => "bundle".to_owned(),
                Err(error) => error.split(' ').next().unwrap_or_default().to_owned(),
            };
            *words.entry(word).or_insert(0) += 1;
        }
        observe();
    }
    words
}

/// A server whose flights are all taken by others.
fn full() -> (FakeUpstream, Redis, Vec<Client>, Vec<Client>) {
    let upstream = FakeUpstream::start();
    upstream.hold();
    let redis =
        Redis::builder().upstream(&upstream).setting("timeout", 60_000).setting("max-waiters", 64).start();
    let mut holders: Vec<Client> = (0..64).map(|_| redis.client()).collect();
    for (n, holder) in holders.iter_mut().enumerate() {
        holder.send(&["DASHBOARD.GET", &format!("holder{n}")]);
    }
    upstream.wait_for(64);
    let clients = (0..CONNECTIONS).map(|_| redis.client()).collect();
    (upstream, redis, holders, clients)
}

#[test]
fn a_hundred_thousand_cold_tenants_at_once_are_refused_at_once_and_cost_no_memory() {
    let (upstream, mut redis, mut holders, mut clients) = full();
    let mut observer = redis.client();
    let before = used_memory(&mut observer);
    let mut most = 0;
    let words = ask_for_all(&mut clients, &mut || most = most.max(observer.figure("flights")));
    assert_eq!(words.into_iter().collect::<Vec<_>>(), [("OVERLOADED".to_owned(), CONNECTIONS * EACH)]);
    assert_eq!((most, upstream.total()), (64, 64), "no flight beyond the bound");
    assert_eq!(observer.figure("overloaded_waiters"), (CONNECTIONS * EACH) as i64);
    let grown = used_memory(&mut observer) - before;
    assert!(grown < GROWTH, "{grown} bytes");
    upstream.release();
    for holder in &mut holders {
        holder.receive().unwrap();
    }
    assert_eventually!(observer.figure("flights") == 0, "nothing is left");
    assert!(redis.is_alive());
}

#[test]
fn a_hundred_thousand_cold_tenants_without_a_postgres_cost_no_memory_either() {
    let (upstream, mut redis, mut holders, mut clients) = full();
    let mut observer = redis.client();
    upstream.answer(Answer::UNAVAILABLE);
    upstream.release();
    for holder in &mut holders {
        holder.receive().unwrap_err();
    }
    let before = used_memory(&mut observer);
    let mut most = 0;
    let words = ask_for_all(&mut clients, &mut || most = most.max(observer.figure("flights")));
    assert_eq!(words.get("UNAVAILABLE"), Some(&(CONNECTIONS * EACH)), "{words:?}");
    assert!(most <= 64, "{most}");
    let grown = used_memory(&mut observer) - before;
    assert!(grown < GROWTH, "{grown} bytes");
    assert!(redis.is_alive());
}

#[test]
fn unknown_tenants_are_remembered_up_to_a_bound() {
    let upstream = FakeUpstream::start();
    upstream.answer(Answer::NO_TENANT);
    let mut redis = Redis::builder().upstream(&upstream).setting("negative-ttl", 86_400).start();
    let mut clients: Vec<Client> = (0..20).map(|_| redis.client()).collect();
    let mut observer = redis.client();
    let ask = |clients: &mut [Client], round: usize| {
        for (n, client) in clients.iter_mut().enumerate() {
            for tenant in 0..250 {
                client.send(&["DASHBOARD.GET", &format!("a-name-of-no-tenant-{round}-{n}-{tenant}")]);
            }
        }
        for client in clients {
            for _ in 0..250 {
                let error = client.receive().unwrap_err();
                assert!(error.starts_with("NOTENANT "), "{error}");
            }
        }
    };
    ask(&mut clients, 0);
    assert_eq!(observer.figure("unknown_tenants"), 4096);
    let before = used_memory(&mut observer);
    ask(&mut clients, 1);
    assert_eq!(observer.figure("unknown_tenants"), 4096);
    let grown = used_memory(&mut observer) - before;
    assert!(grown < GROWTH / 8, "{grown} bytes");
    assert_eq!((observer.figure("negative_hits"), observer.int(&["DBSIZE"])), (0, 0));
    assert!(redis.is_alive());
}

#[test]
fn out_of_memory_everything_is_answered_and_nothing_stored_and_that_is_counted() {
    let upstream = FakeUpstream::start();
    upstream.answer(Answer::Sized(20_000));
    let mut redis = Redis::builder().upstream(&upstream).line("maxmemory-policy noeviction").start();
    let mut clients: Vec<Client> = (0..50).map(|_| redis.client()).collect();
    let mut observer = redis.client();
    observer.json(&["DASHBOARD.GET", "before"]);
    observer.ok(&["CONFIG", "SET", "maxmemory", "1"]);
    for (n, client) in clients.iter_mut().enumerate() {
        client.send(&["DASHBOARD.GET", &format!("t{n}")]);
    }
    for client in &mut clients {
        assert!(harness::text(&client.receive().unwrap()).len() > 20_000);
    }
    assert_eq!((observer.figure("uncached"), observer.figure("stored")), (50, 1));
    // What is there is served, and kept where it cannot be replaced; clearing makes room.
    observer.json(&["DASHBOARD.GET", "before", "REFRESH"]);
    observer.json(&["DASHBOARD.GET", "before"]);
    assert_eq!(observer.figure("hits"), 1);
    assert_eq!(observer.int(&["DASHBOARD.CLEAR", "before", "SOFT"]), 1);
    assert_eq!(observer.int(&["DASHBOARD.CLEAR"]), 1);
    assert_eq!(observer.int(&["DBSIZE"]), 0);
    assert!(redis.is_alive());
}
