//! Server CPU of a hit and of a conditional hit, against plain GET of the same bytes.
//!
//! One server, the commands in short turns: what disturbs one of them disturbs its neighbours, and their
//! ratios stay. The budgets hold over TCP, as most clients connect. Over a Unix socket all commands cost less,
//! so that the same difference is a greater ratio there.

use std::time::{Duration, Instant};

use harness::{Answer, Client, FakeUpstream, Redis};

use crate::cpu::main_thread_micros;
use crate::pipeline::{DEPTH, Exchange, Pipeline};
use crate::statistics::Sample;
use crate::table::Table;

/// Rounds, unless the time is over before.
const ROUNDS: usize = 300;
const TIME: Duration = Duration::from_secs(20);
/// Of a turn, in batches of [`DEPTH`] requests: milliseconds of CPU, which the server counts in microseconds,
/// but short enough for a ratio of neighbours.
const BATCHES: usize = 16;
/// Of a turn, before what is measured.
const WARM_UP_BATCHES: usize = 4;
/// A null costs about a tenth of a bundle, so a turn takes more of them.
const CONDITIONAL_BATCHES: usize = 4 * BATCHES;

/// The design's budgets.
const HIT_BUDGET: f64 = 1.05;
const CONDITIONAL_BUDGET: f64 = 0.2;

/// One bundle over one connection.
struct Series {
    name: String,
    has_budget: bool,
    load: Pipeline,
    get: Exchange,
    hit: Exchange,
    conditional: Exchange,
    rounds: Vec<Round>,
}

/// Microseconds of the server's main thread for one request.
struct Round {
    get: f64,
    hit: f64,
    conditional: f64,
    get_again: f64,
}

pub(crate) fn measure(table: &mut Table) {
    let upstream = FakeUpstream::start();
    // Every bundle stays fresh for the whole run.
    let redis = Redis::builder().upstream(&upstream).tcp().setting("ttl", 86_400).start();
    let mut observer = redis.client();
    let (small, large) =
        (Bundle::stored(&upstream, &mut observer, 4), Bundle::stored(&upstream, &mut observer, 20));
    let computed = upstream.total();
    let mut all = [
        Series::new("TCP", &large, Pipeline::over_tcp(&redis), true),
        Series::new("TCP", &small, Pipeline::over_tcp(&redis), false),
        Series::new("Unix socket", &large, Pipeline::over_unix_socket(&redis), false),
    ];

    let began = Instant::now();
    for _ in 0..ROUNDS {
        for series in &mut all {
            series.round(&mut observer);
        }
        if began.elapsed() >= TIME {
            break;
        }
    }
    assert_eq!(upstream.total(), computed, "only hits were measured");
    for series in &all {
        series.report(table);
    }
}

/// A stored bundle, and how to ask for it.
struct Bundle {
    kib: usize,
    tenant: String,
    key: String,
    etag: String,
}

impl Bundle {
    /// Has a bundle stored whose value is exactly `kib` KiB long.
    fn stored(upstream: &FakeUpstream, observer: &mut Client, kib: usize) -> Self {
        let bytes = kib << 10;
        // As long as real tenants' names.
        let tenant = format!("00000000-0000-4000-8000-{kib:012}");
        let refresh = ["DASHBOARD.GET", &tenant, "REFRESH"];
        upstream.answer(Answer::Sized(bytes));
        let around = observer.bytes(&refresh).len() - bytes;
        upstream.answer(Answer::Sized(bytes - around));
        let stored = observer.json(&refresh);
        let key = format!("dashboard:bundle:{tenant}:include=true");
        assert_eq!(observer.int(&["STRLEN", &key]), i64::try_from(bytes).expect("a small number"));
        let etag = stored["meta"]["etag"].as_str().expect("a bundle has an etag").to_owned();
        Self { kib, tenant, key, etag }
    }
}

impl Series {
    fn new(transport: &str, bundle: &Bundle, mut load: Pipeline, has_budget: bool) -> Self {
        let Bundle { kib, tenant, key, etag } = bundle;
        let get = load.learn(&["GET", key]);
        let hit = load.learn(&["DASHBOARD.GET", tenant]);
        let conditional = load.learn(&["DASHBOARD.GET", tenant, "IFNONEMATCH", etag]);
        assert_eq!(get.reply(), hit.reply(), "GET and DASHBOARD.GET reply the same bytes");
        assert_eq!(conditional.reply(), b"$-1\r\n");
        let name = format!("{kib} KB over {transport}");
        Self { name, has_budget, load, get, hit, conditional, rounds: Vec::new() }
    }

    fn round(&mut self, observer: &mut Client) {
        let mut turn = |exchange: &Exchange, batches: usize| {
            // What came before has left its traces in caches and buffers.
            self.load.run(exchange, WARM_UP_BATCHES);
            let before = main_thread_micros(observer);
            self.load.run(exchange, batches);
            (main_thread_micros(observer) - before) / (batches * DEPTH) as f64
        };
        // Each in each place as often as in any other.
        let mut cost = [0.0; 4];
        for place in 0..cost.len() {
            let which = (self.rounds.len() + place) % cost.len();
            cost[which] = match which {
                1 => turn(&self.hit, BATCHES),
                3 => turn(&self.conditional, CONDITIONAL_BATCHES),
                _ => turn(&self.get, BATCHES),
            };
        }
        let [get, hit, get_again, conditional] = cost;
        let round = Round { get, hit, conditional, get_again };
        self.rounds.push(round);
    }

    fn report(&self, table: &mut Table) {
        let name = &self.name;
        let of = |figure: fn(&Round) -> f64| Sample::new(self.rounds.iter().map(figure).collect());
        // Against the GETs before and after, so that a machine that is getting slower favours nobody.
        let hit = of(|round| 2.0 * round.hit / (round.get + round.get_again));
        let conditional = of(|round| 2.0 * round.conditional / (round.get + round.get_again));
        table.note(format!("{name}: GET key, microseconds of server CPU"), of(|round| round.get));
        table.note(
            format!("{name}: the same GET again / GET (what chance does)"),
            of(|round| round.get_again / round.get),
        );
        let rows = [("DASHBOARD.GET", hit, HIT_BUDGET), ("IFNONEMATCH", conditional, CONDITIONAL_BUDGET)];
        for (command, ratio, budget) in rows {
            let what = format!("{name}: {command} / GET");
            if self.has_budget {
                table.at_most(what, ratio.median(), &ratio, budget);
            } else {
                table.note(what, &ratio);
            }
        }
    }
}
