//! Where a client may not wait: what is stored is answered, else MISS, and the bundle is computed behind it.
//!
//! A server denies blocking inside MULTI, scripts and functions; for the calls of modules and while it
//! loads its append-only file, too, where no client's command of ours runs.

use harness::{Client, FakeUpstream, Redis, Reply, assert_eventually, text};
use redis::Value;

use crate::states::{ABSENT, CHANGED, FRESH, STALE, get, key, prepare, status};

const LIBRARY: &str = "#!lua name=dash
redis.register_function('run', function(keys, args) return redis.call(args[1], keys[1], unpack(args, 2)) end)
redis.register_function{function_name='look', flags={'no-writes'}, callback=function(keys, args)
  return redis.call(args[1], keys[1], unpack(args, 2))
end}";
const SCRIPT: &str = "return redis.call(ARGV[1], KEYS[1], unpack(ARGV, 2))";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Multi,
    Eval,
    EvalRo,
    EvalSha,
    Fcall,
    FcallRo,
}

impl Way {
    const ALL: [Self; 6] = [Self::Multi, Self::Eval, Self::EvalRo, Self::EvalSha, Self::Fcall, Self::FcallRo];

    /// Runs a command on one tenant.
    fn run(self, client: &mut Client, command: &str, tenant: &str, options: &[&str]) -> Reply {
        let prefix: Vec<String> = match self {
            Self::Multi => {
                client.ok(&["MULTI"]);
                client.ok(&[&[command, tenant][..], options].concat());
                let Value::Array(mut replies) = client.ok(&["EXEC"]) else { panic!("EXEC has replies") };
                assert_eq!(replies.len(), 1);
                return match replies.remove(0) {
                    Value::ServerError(e) => Err(format!("{} {}", e.code(), e.details().unwrap_or_default())),
                    value => Ok(value),
                };
            }
            Self::Eval => vec!["EVAL".into(), SCRIPT.into()],
            Self::EvalRo => vec!["EVAL_RO".into(), SCRIPT.into()],
            Self::EvalSha => vec!["EVALSHA".into(), text(&client.ok(&["SCRIPT", "LOAD", SCRIPT]))],
            Self::Fcall | Self::FcallRo => {
                client.ok(&["FUNCTION", "LOAD", "REPLACE", LIBRARY]);
                let (call, name) = if self == Self::Fcall { ("FCALL", "run") } else { ("FCALL_RO", "look") };
                vec![call.into(), name.into()]
            }
        };
        let mut args: Vec<&str> = prefix.iter().map(String::as_str).collect();
        args.extend(["1", tenant, command]);
        args.extend(options);
        client.call(&args)
    }

    fn get(self, client: &mut Client, tenant: &str) -> String {
        status(self.run(client, "DASHBOARD.GET", tenant, &["WITHMETA"]))
    }
}

#[test]
fn fresh_stale_and_changed_bundles_are_answered_and_an_absent_one_is_miss_and_computed_behind_it() {
    for way in Way::ALL {
        let upstream = FakeUpstream::start();
        let redis = Redis::with(&upstream);
        let mut client = redis.client();
        prepare(&mut client);
        assert_eq!(upstream.total(), 3);
        upstream.hold();

        let statuses = [FRESH, STALE, CHANGED, ABSENT].map(|tenant| way.get(&mut client, tenant));
        assert_eq!(statuses, ["hit", "stale", "stale", "MISS"], "{way:?}");
        upstream.wait_for(6);
        assert_eq!(upstream.total(), 6, "{way:?}: three of them are being computed");
        assert_eq!(client.figure("blocked_clients"), 0, "{way:?}");

        upstream.release();
        for tenant in [STALE, CHANGED, ABSENT] {
            assert_eventually!(way.get(&mut client, tenant) == "hit", "the new bundle of {tenant} is stored");
        }
        assert_eq!(upstream.total(), 6, "{way:?}: each once");
    }
}

#[test]
fn whoever_wants_it_anew_gets_the_old_one_as_stale() {
    for way in Way::ALL {
        for options in [&["REFRESH", "WITHMETA"][..], &["MAXAGE", "0", "WITHMETA"]] {
            let upstream = FakeUpstream::start();
            let redis = Redis::with(&upstream);
            let mut client = redis.client();
            client.json(&["DASHBOARD.GET", FRESH]);
            upstream.hold();
            assert_eq!(status(way.run(&mut client, "DASHBOARD.GET", FRESH, options)), "stale", "{way:?}");
            upstream.wait_for(2);
            upstream.release();
            let stored = |client: &mut Client| client.json(&["GET", &key(FRESH)]);
            assert_eventually!(
                stored(&mut client)["stats"]["totalContacts"] == 2,
                "it was computed behind it"
            );
        }
    }
}

#[test]
fn a_named_tenant_is_cleared_and_nothing_is_warmed() {
    for way in [Way::Multi, Way::Eval, Way::EvalSha, Way::Fcall] {
        let upstream = FakeUpstream::start();
        let redis = Redis::with(&upstream);
        let mut client = redis.client();
        prepare(&mut client);
        for options in [&[][..], &["FORCE"], &["ASYNC"]] {
            let error = way.run(&mut client, "DASHBOARD.WARM", FRESH, options).unwrap_err();
            assert!(error.starts_with("ERR ") && error.contains("send it outside"), "{way:?}: {error}");
        }
        assert_eq!(upstream.total(), 3, "{way:?}: nothing was computed");
        upstream.hold();
        assert_eq!(way.run(&mut client, "DASHBOARD.CLEAR", FRESH, &["SOFT"]), Ok(Value::Int(1)), "{way:?}");
        assert_eq!(way.get(&mut client, FRESH), "stale", "{way:?}");
        assert_eq!(way.run(&mut client, "DASHBOARD.CLEAR", FRESH, &[]), Ok(Value::Int(1)), "{way:?}");
        assert_eq!(client.int(&["EXISTS", &key(FRESH)]), 0, "{way:?}");
    }
    let redis = Redis::with(&FakeUpstream::start());
    let mut client = redis.client();
    for way in [Way::EvalRo, Way::FcallRo] {
        for command in ["DASHBOARD.CLEAR", "DASHBOARD.WARM"] {
            let error = way.run(&mut client, command, FRESH, &[]).unwrap_err();
            assert!(error.contains("Write commands are not allowed"), "{way:?}: {error}");
        }
    }
}

#[test]
fn a_clear_in_a_transaction_fences_what_is_under_way() {
    for way in [Way::Multi, Way::Eval, Way::Fcall] {
        let upstream = FakeUpstream::start();
        upstream.hold();
        let redis = Redis::with(&upstream);
        let (mut client, mut waiting) = (redis.client(), redis.client());
        waiting.send(&["DASHBOARD.GET", "acme"]);
        upstream.wait_for(1);
        assert_eq!(way.run(&mut client, "DASHBOARD.CLEAR", "acme", &[]), Ok(Value::Int(0)));
        upstream.release();
        waiting.receive().unwrap();
        assert_eq!(client.int(&["EXISTS", &key("acme")]), 0, "{way:?}");
    }
}

fn replica_of(primary: &Redis, upstream: &FakeUpstream) -> Redis {
    let replica = Redis::builder().upstream(upstream).start();
    replica.follow(primary);
    replica
}

#[test]
fn a_replica_answers_what_it_has_and_computes_what_it_has_not_without_storing_it() {
    let (upstream, upstream_of_replica) = (FakeUpstream::start(), FakeUpstream::start());
    let primary = Redis::builder().upstream(&upstream).tcp().start();
    prepare(&mut primary.client());
    let replica = replica_of(&primary, &upstream_of_replica);
    let mut client = replica.client();
    assert_eq!(get(&mut client, FRESH), "hit");
    assert_eq!(get(&mut client, STALE), "stale");
    assert_eq!(upstream_of_replica.total(), 0, "what is stale is the primary's to refresh");
    assert_eq!(get(&mut client, ABSENT), "miss");
    assert_eq!(get(&mut client, ABSENT), "miss", "it was not stored");
    assert_eq!(get(&mut client, CHANGED), "refreshed");
    upstream_of_replica.answer(harness::Answer::UNAVAILABLE);
    assert_eq!(get(&mut client, CHANGED), "stale");
    assert_eq!((upstream_of_replica.count(STALE), client.figure("refreshes_behind")), (0, 0));
    assert_eq!((client.int(&["DBSIZE"]), client.figure("stored")), (3, 0));
    assert!(client.figure("uncached") >= 2);
}

#[test]
fn where_a_replica_may_not_wait_it_answers_what_it_has_and_computes_nothing() {
    let (upstream, upstream_of_replica) = (FakeUpstream::start(), FakeUpstream::start());
    let primary = Redis::builder().upstream(&upstream).tcp().start();
    prepare(&mut primary.client());
    let replica = replica_of(&primary, &upstream_of_replica);
    let mut client = replica.client();
    for way in [Way::Multi, Way::EvalRo] {
        let statuses = [FRESH, STALE, CHANGED, ABSENT].map(|tenant| way.get(&mut client, tenant));
        assert_eq!(statuses, ["hit", "stale", "stale", "MISS"], "{way:?}");
    }
    assert_eq!(upstream_of_replica.total(), 0);
}

#[test]
fn while_the_server_loads_every_command_is_refused_and_who_waited_is_answered_afterwards() {
    let upstream = FakeUpstream::start();
    let mut redis = Redis::builder()
        .upstream(&upstream)
        .setting("timeout", 60_000)
        .line("loading-process-events-interval-bytes 1024")
        .start();
    let (mut client, mut loading, mut waiting) = (redis.client(), redis.client(), redis.client());
    client.json(&["DASHBOARD.GET", FRESH]);
    client.ok(&["DEBUG", "POPULATE", "20000", "other", "10"]);
    upstream.hold();
    waiting.send(&["DASHBOARD.GET", ABSENT]);
    upstream.wait_for(2);

    client.ok(&["CONFIG", "SET", "key-load-delay", "100"]);
    loading.send(&["DEBUG", "RELOAD"]);
    let refused = |client: &mut Client, args: &[&str]| {
        client.call(args).is_err_and(|error| error.starts_with("LOADING "))
    };
    assert_eventually!(refused(&mut client, &["DASHBOARD.GET", FRESH]), "the server loads");
    for args in [
        &["DASHBOARD.GET", ABSENT][..],
        &["DASHBOARD.CLEAR", FRESH],
        &["DASHBOARD.CLEAR"],
        &["DASHBOARD.WARM", FRESH],
    ] {
        assert!(refused(&mut client, args), "{args:?}");
    }
    // The answer arrives while the server loads: it belongs to what was there before.
    upstream.release();
    assert_eventually!(client.call(&["DASHBOARD.GET", FRESH]).is_ok(), "the server has loaded");
    loading.receive().unwrap();
    waiting.receive().unwrap();
    assert_eq!(waiting.bytes(&["ECHO", "in step"]), b"in step");
    assert_eq!(client.int(&["EXISTS", &key(ABSENT)]), 0, "it was not stored");
    assert_eq!(get(&mut client, FRESH), "hit");
    assert!(redis.is_alive());
}
