//! Judges a history: a pure function, which is tested with planted violations beside it.
//!
//! What is promised, rule by rule:
//!
//! - **fence**: a GET that began after a CLEAR was answered sees every version that was committed before that
//!   CLEAR was sent. After CLEAR … SOFT an older one may come, if it is called `stale`; so may one that was swapped in since.
//! - **refresh**: REFRESH sees what was committed before it began, unless the answer is called `stale`.
//! - **age**: a bundle of age `a` was read from Postgres at most so long ago: it has what was committed by then.
//!   MAXAGE is a bound on that age, unless the answer is called `stale`.
//! - **future**: nobody sees a version that nobody has begun to write.
//! - **isolation**: a bundle is of the tenant and the include flag that were asked for, and of one snapshot.
//! - **reply**: each command gets exactly one reply, in time; connections end, and commands fail, only where
//!   a fault explains it.
//!
//! On a replica only those clears count that WAIT has found there, as replication is asynchronous. For the same
//! reason a clear that was not found there counts no more once its primary is lost and the replica promoted.

use super::record::{Clear, Fault, Get, History, Outcome, Place, Seen, Time};

/// What errors may begin with. NOTENANT and ERR are not among them: no tenant is unknown, no command wrong.
const TYPED: [&str; 7] =
    ["TIMEOUT", "UNAVAILABLE", "OVERLOADED", "UNBLOCKED", "LOADING", "READONLY", "MASTERDOWN"];

/// Ages are told in whole milliseconds, of a clock that the server reads once a turn of its event loop.
const ROUNDING: Time = 3_000;

/// What the checker has to be told about the settings.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    /// How long after the end of a fault commands may still fail: reconnecting, back-off, breaker.
    pub(super) recovery: Time,
    /// How long a GET may take: the longest `dashboard.timeout`, and what a busy machine adds.
    pub(super) patience: Time,
}

/// One broken promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Violation {
    pub(super) rule: &'static str,
    pub(super) what: String,
    /// The tenant and the span of time that matter, for the part of the history that is shown.
    pub(super) tenant: Option<usize>,
    pub(super) from: Time,
    pub(super) to: Time,
}

/// Everything that is wrong with `history`, in the order of time.
pub(super) fn check(history: &History, terms: Terms) -> Vec<Violation> {
    let index = Index::of(history);
    let mut violations = Vec::new();
    for get in &history.gets {
        violations.extend(check_reply(history, terms, get.began, get.ended, &get.outcome, "GET").map(
            |(rule, what)| Violation {
                rule,
                what: format!("{what}: {get:?}"),
                tenant: Some(get.tenant),
                from: get.began,
                to: get.ended,
            },
        ));
        if get.ended - get.began > terms.patience && get.outcome != Outcome::Silence {
            violations.push(violation("reply", format!("it took too long: {get:?}"), get, get.began));
        }
        if let Outcome::Bundle(seen) = &get.outcome {
            violations.extend(check_bundle(&index, get, seen));
        }
    }
    for other in &history.others {
        let found = check_reply(history, terms, other.began, other.ended, &other.outcome, other.name);
        violations.extend(found.map(|(rule, what)| Violation {
            rule,
            what: format!("{what}: {other:?}"),
            tenant: None,
            from: other.began,
            to: other.ended,
        }));
    }
    violations.sort_by_key(|violation| violation.to);
    violations
}

fn violation(rule: &'static str, what: String, get: &Get, from: Time) -> Violation {
    Violation { rule, what, tenant: Some(get.tenant), from, to: get.ended }
}

fn check_reply(
    history: &History,
    terms: Terms,
    began: Time,
    ended: Time,
    outcome: &Outcome,
    name: &str,
) -> Option<(&'static str, String)> {
    let near = |wanted: fn(&Fault) -> bool, grace: Time| {
        let touches = |fault: &&Fault| fault.began <= ended && began <= fault.ended + grace;
        history.faults.iter().filter(touches).any(wanted)
    };
    match outcome {
        Outcome::Bundle(_) | Outcome::Done => None,
        Outcome::Silence => Some(("reply", format!("{name} was not answered"))),
        Outcome::OutOfStep(what) => Some(("reply", format!("{name} was answered twice or wrongly ({what})"))),
        Outcome::Closed(_) if near(|fault| fault.closes, terms.patience) => None,
        Outcome::Closed(_) => Some(("reply", format!("{name}: the connection ended with no fault near"))),
        Outcome::Error(line) => {
            let word = line.split(' ').next().unwrap_or_default();
            if !TYPED.contains(&word) {
                Some(("reply", format!("{name} got an error that it must not get ({line})")))
            } else if near(|_| true, terms.recovery) {
                None
            } else {
                Some(("reply", format!("{name} failed with no fault near ({line})")))
            }
        }
    }
}

fn check_bundle(index: &Index<'_>, get: &Get, seen: &Seen) -> Vec<Violation> {
    let mut found = Vec::new();
    if let Some(flaw) = &seen.flaw {
        found.push(violation("isolation", format!("{flaw}: {get:?}"), get, get.began));
    }
    let stale = seen.status == "stale";
    for clear in index.clears[get.tenant].iter().filter(|clear| binds(clear, get, &index.history.losses)) {
        let floor = index.committed_before(get.tenant, clear.invoked);
        let swapped = index.history.swaps.iter().any(|at| clear.invoked <= *at && *at <= get.ended);
        if seen.version < floor && !((clear.soft || swapped) && stale) {
            let what =
                format!("version {} was seen, {floor} was committed before {clear:?}: {get:?}", seen.version);
            found.push(violation("fence", what, get, clear.invoked));
            break;
        }
    }
    let floor = index.committed_before(get.tenant, get.began);
    if get.ask.refresh && !stale && seen.version < floor {
        let what =
            format!("version {} was seen, {floor} was committed before it began: {get:?}", seen.version);
        found.push(violation("refresh", what, get, get.began.saturating_sub(100_000)));
    }
    let read_at = get.began.saturating_sub(seen.age_ms * 1000 + ROUNDING);
    let floor = index.committed_before(get.tenant, read_at);
    if seen.version < floor {
        let what = format!(
            "version {} is older than its age says: {floor} was committed by then: {get:?}",
            seen.version
        );
        found.push(violation("age", what, get, read_at));
    }
    // The age is told as of the reply: waiting may add to it.
    let waited_ms = (get.ended - get.began).div_ceil(1000) + ROUNDING / 1000;
    if get.ask.max_age_ms.is_some_and(|max| !stale && seen.age_ms > max + waited_ms) {
        found.push(violation("age", format!("it is older than was asked for: {get:?}"), get, read_at));
    }
    if seen.version > index.begun_before(get.tenant, get.ended) {
        found.push(violation("future", format!("nobody has written that yet: {get:?}"), get, get.began));
    }
    found
}

/// Whether `clear` promises something to `get`.
fn binds(clear: &Clear, get: &Get, losses: &[Time]) -> bool {
    match get.place {
        Place::Replica => clear.replicated.is_some_and(|at| at < get.began),
        Place::Primary => {
            let lost = |at: &Time| clear.invoked <= *at && *at <= get.began;
            clear.answered < get.began && (clear.replicated.is_some() || !losses.iter().any(lost))
        }
    }
}

/// The history by tenant, for quick look-ups.
struct Index<'a> {
    history: &'a History,
    /// By tenant: when, and the newest version answered until then.
    answered: Vec<Vec<(Time, u64)>>,
    begun: Vec<Vec<(Time, u64)>>,
    /// By tenant, latest first: those that say the most come first.
    clears: Vec<Vec<&'a Clear>>,
}

impl<'a> Index<'a> {
    fn of(history: &'a History) -> Self {
        let commits = history.commits.iter().map(|commit| commit.tenant);
        let tenants =
            commits.chain(history.gets.iter().map(|get| get.tenant)).max().map_or(0, |most| most + 1);
        let (mut answered, mut begun) = (vec![Vec::new(); tenants], vec![Vec::new(); tenants]);
        for commit in &history.commits {
            begun[commit.tenant].push((commit.invoked, commit.version));
            if let Some(at) = commit.answered {
                answered[commit.tenant].push((at, commit.version));
            }
        }
        for versions in answered.iter_mut().chain(&mut begun) {
            versions.sort_unstable();
            let mut newest = 0;
            for (_, version) in versions {
                newest = newest.max(*version);
                *version = newest;
            }
        }
        let clears = (0..tenants)
            .map(|tenant| {
                let covers = |clear: &&Clear| clear.tenant.is_none_or(|named| named == tenant);
                let mut clears: Vec<_> = history.clears.iter().filter(covers).collect();
                clears.sort_by_key(|clear| std::cmp::Reverse(clear.invoked));
                clears
            })
            .collect();
        Self { history, answered, begun, clears }
    }

    /// The newest version of which the commit was answered before `at`.
    fn committed_before(&self, tenant: usize, at: Time) -> u64 {
        newest_before(&self.answered[tenant], at)
    }

    /// The newest version that somebody had begun to write before `at`.
    fn begun_before(&self, tenant: usize, at: Time) -> u64 {
        newest_before(&self.begun[tenant], at)
    }
}

fn newest_before(versions: &[(Time, u64)], at: Time) -> u64 {
    let count = versions.partition_point(|(time, _)| *time < at);
    count.checked_sub(1).map_or(0, |last| versions[last].1)
}
