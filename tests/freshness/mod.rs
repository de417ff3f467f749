//! What is committed is seen, and nothing is ever missed, whatever dies meanwhile. A bundle is fresh for a day here: nothing
//! but the change feed makes it another one.
//!
//! - [`crm`]: the rows, the truth about them, and what the database knows of the feed
//! - [`burst`]: writers and readers that go on while something happens
//! - the tests: [`everyday`], [`faults`], [`gaps`], [`stalls`], [`silence`], [`refusals`],
//!   [`takeover`], [`gives_way`], [`counting`], [`lag`], [`switched_off`], [`clocks`], [`restored`], [`poison`]

mod burst;
mod clocks;
mod counting;
mod crm;
mod everyday;
mod faults;
mod gaps;
mod gives_way;
mod lag;
mod poison;
mod refusals;
mod restored;
mod silence;
mod stalls;
mod switched_off;
mod takeover;

use harness::{
    Client, Postgres, Redis, RedisBuilder, Relay, Sidecar, SidecarBuilder, assert_eventually, fields, text,
};
use serde_json::Value as Json;
use tempfile::TempDir;

use crm::{Crm, every_bundle};

/// In seconds; longer than any test takes.
const DAY: u32 = 86_400;
/// In milliseconds: so that another takes over, or goes on after a kill, while one watches.
const LEASE: u32 = 1_500;

/// A cache and the sidecar that computes for it. Fields end in this order.
struct Scene {
    sidecar: Sidecar,
    redis: Redis,
    crm: Crm,
    directory: TempDir,
}

impl Scene {
    /// On a database of its own, whose changes are recorded, with a sidecar that follows them.
    fn start() -> Self {
        let mut scene = Self::without_feed();
        scene.follow();
        scene
    }

    /// Nobody follows.
    fn without_feed() -> Self {
        Self::on(&Postgres::start().url(), cache())
    }

    fn on(database: &str, cache: RedisBuilder) -> Self {
        let crm = Crm::create(database);
        let directory = TempDir::with_prefix("dashboard-freshness-").unwrap();
        let internal = internal(&directory);
        let redis = cache.setting("sidecar", &internal).start();
        let sidecar = Sidecar::builder().database(database).internal(internal).start();
        Self { sidecar, redis, crm, directory }
    }

    /// A sidecar that follows changes, and computes for nobody.
    fn follower(&self) -> SidecarBuilder {
        follower(&self.crm.url, &self.redis.url())
    }

    /// The sidecar ends at once, and another takes its place that computes and follows.
    fn follow(&mut self) {
        self.sidecar.process().kill();
        self.sidecar = self.follower().internal(self.internal()).start();
    }

    /// Where the cache looks for the sidecar.
    fn internal(&self) -> String {
        internal(&self.directory)
    }

    fn client(&self) -> Client {
        self.redis.client()
    }

    /// All bundles are in the cache, and right.
    fn fill(&self) {
        assert_eventually!(self.crm.is_followed(), "the feed has begun");
        self.assert_all_is_seen();
    }

    /// Everything has been announced, and every bundle shows what is in the tables, as a client reads it and as it is stored.
    fn assert_all_is_seen(&self) {
        assert_eventually!(
            self.crm.is_all_announced(),
            std::time::Duration::from_secs(60),
            "everything is announced"
        );
        let mut client = self.client();
        for (tenant, include) in every_bundle() {
            let truth = self.crm.truth(&tenant, include);
            assert_eventually!(
                read(&mut client, &tenant, include)
                    .is_ok_and(|(status, bundle)| { status == "hit" && shown(&bundle) == truth }),
                "the bundle of {tenant}, include {include}, shows what was committed"
            );
            let stored = client.json(&["GET", &format!("dashboard:bundle:{tenant}:include={include}")]);
            assert_eq!(shown(&stored), truth, "{tenant} {include}");
        }
    }
}

fn internal(directory: &TempDir) -> String {
    format!("unix:{}", directory.path().join("sidecar.sock").display())
}

/// A cache in which nothing grows old.
fn cache() -> RedisBuilder {
    Redis::builder()
        .setting("ttl", DAY)
        .setting("stale-ttl", DAY)
        // What was answered must survive a SIGKILL.
        .line("appendonly yes")
        .line("appendfsync always")
}

/// A sidecar that follows the changes in a database and tells a Redis.
fn follower(database: &str, redis: &str) -> SidecarBuilder {
    Sidecar::builder()
        .database(database)
        .env("REDIS_URL", redis)
        .env("DASHBOARD_FEED", "on")
        .env("DASHBOARD_FEED_LEASE_MS", LEASE.to_string())
}

/// How Redis is reached through a relay.
fn url(relay: &Relay) -> String {
    format!("redis+unix://{}", relay.socket().display())
}

/// How a bundle is answered, and the bundle; or the error.
fn read(client: &mut Client, tenant: &str, include: bool) -> Result<(String, Json), String> {
    let include = include.to_string();
    let reply = client.call(&["DASHBOARD.GET", tenant, "INCLUDE", &include, "WITHMETA"])?;
    let reply = fields(reply).ok_or("not a reply with WITHMETA")?;
    let field = |name: &str| reply.iter().find(|(field, _)| field == name).map(|(_, value)| text(value));
    let bundle = field("bundle").ok_or("no bundle")?;
    Ok((field("status").ok_or("no status")?, serde_json::from_str(&bundle).map_err(|e| e.to_string())?))
}

/// A bundle without its meta.
fn shown(bundle: &Json) -> Json {
    let mut bundle = bundle.clone();
    bundle.as_object_mut().unwrap().remove("meta");
    bundle
}

/// Whether the bundle, as a client reads it now, lists a lead of this name.
fn lists(client: &mut Client, tenant: &str, include: bool, lead: &str) -> bool {
    read(client, tenant, include).is_ok_and(|(_, bundle)| {
        let leads = bundle["lists"]["recentLeads"].as_array().unwrap();
        leads.iter().any(|listed| listed["first_name"] == lead)
    })
}

/// How many lines of a log speak of this.
fn lines_with(sidecar: &Sidecar, text: &str) -> usize {
    sidecar.log().lines().filter(|line| line.contains(text)).count()
}
