//! The user of REDIS_URL, as the README confines it.

use harness::{EventStream, Redis, Sidecar, repository_root};

use super::{TENANT, TENANTS, path};

/// The command of the README that makes the user.
fn acl_setuser() -> Vec<String> {
    let readme = std::fs::read_to_string(repository_root().join("README.md")).unwrap();
    let line = readme.lines().find_map(|line| line.split_once("> ACL SETUSER sidecar ")).unwrap().1;
    ["ACL", "SETUSER", "sidecar"].into_iter().chain(line.split(' ')).map(str::to_owned).collect()
}

#[test]
fn a_redis_user_with_the_rights_of_the_readme_can_do_all_that_the_sidecar_does() {
    let postgres = harness::Postgres::start();
    postgres.execute(TENANTS);
    let redis = Redis::builder().tcp().start();
    redis.client().ok(&acl_setuser());
    let url = redis.tcp_url().replace("redis://", "redis://sidecar:secret@");
    let sidecar = Sidecar::builder().database(postgres.url()).env("REDIS_URL", url).start();
    redis.client().ok(&["CONFIG", "SET", "dashboard.sidecar", sidecar.url()]);
    let public = sidecar.public();

    assert_eq!(public.get(&path(TENANT)).status, 200);
    assert_eq!(public.get("/readyz").status, 200, "{}", public.get("/readyz").text());
    assert!(public.get("/metrics").text().contains("dashboard_module_misses_total 1"));
    let mut stream =
        EventStream::open(public, &format!("/api/reports/dashboard-events?tenant_id={TENANT}"), &[]);
    assert_eq!(stream.next_name(), "ready");
    assert_eq!(public.post("/api/reports/clear-cache", "{}").status, 200);
    assert_eq!(stream.next_name(), "changed");
    for body in [
        r#"{"function_name":"warmDashboardBundleCache"}"#.to_owned(),
        format!(r#"{{"function_name":"warmDashboardBundleCache","tenant_id":"{TENANT}"}}"#),
    ] {
        let response = public.post("/api/cron/execute", &body);
        assert_eq!(
            (response.status, &response.json()["data"]["failed"]),
            (200, &0.into()),
            "{}",
            response.text()
        );
    }
    let refused = redis.client().ok(&["ACL", "LOG"]);
    assert_eq!(refused, redis::Value::Array(vec![]), "nothing was refused on the way");
    // What it has no right to.
    let mut confined = harness::Client::connect(
        &redis.tcp_url().replace("redis://", "redis://sidecar:secret@"),
        harness::DEADLINE,
    )
    .unwrap();
    for command in
        [&["FLUSHALL"][..], &["KEYS", "*"], &["CONFIG", "SET", "dashboard.ttl", "1"], &["GET", "x"]]
    {
        assert!(confined.error(command).starts_with("NOPERM"), "{command:?}");
    }
}
