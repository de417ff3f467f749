//! A thousand clients on one cold bundle: how often it is asked for, and how long after the first reply the
//! last one comes.
//!
//! All of them wait before the upstream may answer, so what is timed is waking them and nothing else. Once
//! the upstream is the harness's own, which counts what arrives at its socket; once it is the real sidecar on
//! a real Postgres, which logs what it computes.

use harness::{Answer, FakeUpstream, Postgres, Redis, RedisBuilder, Sidecar, run_ok};

use crate::clients::{CLIENTS, Clients, Stampede};
use crate::statistics::Sample;
use crate::table::Table;

const ROUNDS: usize = 25;
/// The design's budget.
const SPREAD_BUDGET_MS: f64 = 20.0;

/// Bytes of the bundle in which nothing but its size matters.
const SIZED: usize = 20 << 10;
/// Leads of the demonstration's only tenant: enough to fill every list of its bundle.
const LEADS: &str = "2000";

struct Round {
    cold: Stampede,
    /// What the upstream was asked for meanwhile.
    requests: usize,
    /// As many clients that ask for the same bytes with GET.
    plain: Stampede,
}

pub(crate) fn measure(table: &mut Table) {
    on_sized_bundle(table);
    on_computed_bundle(table);
}

/// With bundles of [`SIZED`] bytes, each round on another tenant.
fn on_sized_bundle(table: &mut Table) {
    let upstream = FakeUpstream::start();
    upstream.answer(Answer::Sized(SIZED));
    let mut redis = patient().upstream(&upstream).start();
    let mut clients = Clients::connect(&redis);
    let round = |round| {
        let tenant = format!("cold-{round}");
        upstream.hold();
        let cold = clients.stampede(&tenant, || upstream.release());
        let plain = clients.plain_gets(&mut redis, &key(&tenant));
        Round { cold, requests: upstream.count(&tenant), plain }
    };
    let rounds: Vec<Round> = (0..ROUNDS).map(round).collect();
    report(table, "harness upstream", &rounds);
}

/// With the bundle that the real sidecar computes of the demonstration, cleared before each round.
fn on_computed_bundle(table: &mut Table) {
    let postgres = Postgres::start();
    run_ok(&mut Sidecar::command(&["demo", "load", "--tenants", "1", "--rows", LEADS], &postgres.url()));
    let tenant: String = postgres.value("SELECT id::text FROM tenant");
    let log = "info,dashboard_sidecar::db=debug";
    let mut sidecar = Sidecar::builder().database(postgres.url()).env("DASHBOARD_LOG", log).start();
    let mut redis = patient().setting("sidecar", sidecar.url()).start();
    let mut clients = Clients::connect(&redis);
    let mut observer = redis.client();
    let computed = |sidecar: &Sidecar| sidecar.log().matches("computed a bundle").count();
    let round = |_| {
        observer.ok(&["DASHBOARD.CLEAR", &tenant]);
        let before = computed(&sidecar);
        sidecar.process().freeze();
        let cold = clients.stampede(&tenant, || sidecar.process().thaw());
        let plain = clients.plain_gets(&mut redis, &key(&tenant));
        Round { cold, requests: computed(&sidecar) - before, plain }
    };
    let rounds: Vec<Round> = (0..ROUNDS).map(round).collect();
    report(table, "sidecar and Postgres", &rounds);
}

/// A server whose clients can wait for as long as a loaded machine takes until all of them do.
fn patient() -> RedisBuilder {
    Redis::builder().tcp().setting("timeout", 30_000)
}

fn key(tenant: &str) -> String {
    format!("dashboard:bundle:{tenant}:include=true")
}

fn report(table: &mut Table, upstream: &str, rounds: &[Round]) {
    let kib = (rounds[0].cold.bytes + 512) >> 10;
    let name = format!("{CLIENTS} clients, cold {kib} KB, {upstream}");
    let requests: Vec<usize> = rounds.iter().map(|round| round.requests).collect();
    let different: Vec<usize> = rounds.iter().map(|round| round.cold.different).collect();
    let of = |figure: fn(&Round) -> f64| Sample::new(rounds.iter().map(figure).collect());
    let spread = of(|round| round.cold.spread.as_secs_f64() * 1e3);
    table.exactly(format!("{name}: requests"), &requests, 1);
    table.exactly(format!("{name}: replies unlike the first"), &different, 0);
    let shown = format!("{:.1} (worst of {}: {:.1})", spread.median(), rounds.len(), spread.greatest());
    table.at_most(format!("{name}: first to last reply, ms"), spread.median(), shown, SPREAD_BUDGET_MS);
    let cpu = of(|round| round.cold.cpu.as_secs_f64() / round.plain.cpu.as_secs_f64());
    table.note(format!("{name}: server CPU / as many GETs"), cpu);
}
