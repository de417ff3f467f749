//! `DASHBOARD.GET tenant [INCLUDE true|false] [MAXAGE ms] [REFRESH] [NOWAIT] [IFNONEMATCH etag] [WITHMETA]`
//!
//! A fresh bundle is answered here, from the server's memory, without a lock, a copy of ours or a look at
//! the rest of the module. Everything else goes to the engine.

use crate::args::{Args, once};
use crate::counts::{Count, count};
use crate::declare::{Arg, Declaration, Keys, Kind};
use crate::errors::Error;
use crate::ffi::{self, Held};
use crate::state::{self, Answer, Outcome, Pending};
use crate::upstream::Fetched;
use crate::{commands, config, fault, feed, reply, store, sweep, tracking};
use engine::{Ask, Stored, new_enough};
use redis_module::{Context, ContextFlags, RedisResult, RedisString};
use wire::bundle::{ETAG_LEN, Lifetime, Stamp};
use wire::key::{BundleId, KeyName};
use wire::tenant::Tenant;

pub(crate) const DECLARATION: Declaration = Declaration {
    name: c"dashboard.get",
    summary: c"Returns a tenant's dashboard bundle from memory, or has it computed.",
    complexity: c"O(N) where N is the size of the bundle",
    since: c"0.1.0",
    arity: -2,
    keys: Keys::One,
    key_notes: c"the tenant; its bundle lies at dashboard:bundle:<tenant>:include=<true|false>",
    tips: c"nondeterministic_output",
    args: &[
        Arg::tenant(),
        Arg::option(c"include", c"INCLUDE", Kind::OneOf, &INCLUDE, c"with test data (true) or without"),
        Arg::option(c"milliseconds", c"MAXAGE", Kind::Integer, &[], c"compute anew if the bundle is older"),
        Arg::word(c"refresh", c"REFRESH", c"compute anew"),
        Arg::word(c"nowait", c"NOWAIT", c"reply what is there, or MISS, and compute behind it"),
        Arg::option(
            c"etag",
            c"IFNONEMATCH",
            Kind::String,
            &[],
            c"reply null if the bundle still has this etag",
        ),
        Arg::word(c"withmeta", c"WITHMETA", c"reply a map: status, age_ms, ttl_ms, etag, bundle, behind_ms"),
    ],
};

const INCLUDE: [Arg; 2] =
    [Arg::choice(c"true", c"true", c"with test data"), Arg::choice(c"false", c"false", c"without test data")];

/// What is asked for, but for the bundle's name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Options<'a> {
    pub(crate) max_age: Option<u64>,
    /// Do not wait, whatever is there.
    pub(crate) no_wait: bool,
    pub(crate) if_none_match: Option<&'a [u8]>,
    pub(crate) with_meta: bool,
}

/// How the answer came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    Hit,
    Stale,
    /// A client that may wait would have waited for a new one.
    Changed,
    Miss,
    Refreshed,
}

impl Status {
    fn name(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Stale => "stale",
            Self::Changed => "changed",
            Self::Miss => "miss",
            Self::Refreshed => "refreshed",
        }
    }
}

pub(crate) fn run(ctx: &Context, args: Vec<RedisString>) -> RedisResult {
    commands::run(ctx, || {
        let (tenant, include, options) = parse(commands::bytes(&args))?;
        execute(ctx, tenant, include, &options).inspect_err(|_| count(Count::Errors))
    })
}

/// The tenant, the include flag and the rest of what is asked for.
pub(crate) fn parse<'a>(
    args: impl Iterator<Item = &'a [u8]>,
) -> Result<(&'a [u8], bool, Options<'a>), Error> {
    let mut args = Args::new(args);
    let tenant = args.tenant_name("DASHBOARD.GET")?;
    let (mut include, mut max_age, mut refresh) = (None, None, None);
    let (mut if_none_match, mut with_meta, mut no_wait) = (None, None, None);
    while let Some(word) = args.next() {
        match word {
            _ if word.eq_ignore_ascii_case(b"INCLUDE") => {
                once(&mut include, "INCLUDE", args.boolean("INCLUDE")?)?;
            }
            _ if word.eq_ignore_ascii_case(b"MAXAGE") => {
                once(&mut max_age, "MAXAGE", args.millis("MAXAGE")?)?;
            }
            _ if word.eq_ignore_ascii_case(b"REFRESH") => once(&mut refresh, "REFRESH", ())?,
            _ if word.eq_ignore_ascii_case(b"NOWAIT") => once(&mut no_wait, "NOWAIT", ())?,
            _ if word.eq_ignore_ascii_case(b"IFNONEMATCH") => {
                once(&mut if_none_match, "IFNONEMATCH", args.value("IFNONEMATCH", "an etag")?)?;
            }
            _ if word.eq_ignore_ascii_case(b"WITHMETA") => once(&mut with_meta, "WITHMETA", ())?,
            _ => return Err(Error::unknown_argument(word)),
        }
    }
    let max_age = if refresh.is_some() { Some(0) } else { max_age };
    Ok((
        tenant,
        include.unwrap_or(true),
        Options { max_age, no_wait: no_wait.is_some(), if_none_match, with_meta: with_meta.is_some() },
    ))
}

fn execute(ctx: &Context, tenant: &[u8], include: bool, options: &Options<'_>) -> Result<(), Error> {
    fault::point("command", tenant);
    let key = KeyName::new(tenant, include, config::tagged());
    let now = ffi::now();
    // `None`: answered.
    let held = ffi::read_string(ctx, key.as_bytes(), true, |value, expires_at| {
        let Some(stamp) = Stamp::read(value, tenant, include) else { return Some(Stored::Absent) };
        let id = || Some(BundleId { db: ffi::selected_db(ctx), tenant: Tenant::new(tenant)?, include });
        let stored = sweep::regard(store::verdict(&stamp, now, expires_at), id);
        match honest(stored, options.max_age) {
            Honest::Hit => {
                count(Count::Hits);
                reply_bundle(ctx, options, Status::Hit, stamp.etag, &stamp.life, now, value);
                None
            }
            Honest::Unsure => {
                count(Count::Stale);
                count(Count::Unsure);
                reply_bundle(ctx, options, Status::Stale, stamp.etag, &stamp.life, now, value);
                None
            }
            Honest::Other(stored) => Some(stored),
        }
    });
    let stored = match held {
        Held::String(None) => return Ok(()),
        Held::String(Some(stored)) => stored,
        Held::Absent => Stored::Absent,
        Held::WrongType => return Err(Error::wrong_type(&key)),
    };
    ask_engine(ctx, tenant, include, options, stored)
}

/// What a stored bundle may be called.
enum Honest {
    Hit,
    /// It is within its `ttl`, and was computed less than `feed-lag-limit` ago, but the feed is further behind than that.
    Unsure,
    Other(Stored),
}

/// Where a feed has spoken and is too far behind, nothing is a hit: what has changed is not known here. What was computed
/// longer ago than the limit is computed anew behind the answer, so each bundle once in so long at most.
#[inline]
fn honest(stored: Stored, max_age: Option<u64>) -> Honest {
    match stored {
        Stored::Fresh { age } if new_enough(max_age, age) => {
            let limit = config::feed_lag_limit();
            match limit.filter(|limit| feed::behind(state::monotonic).is_some_and(|lag| lag > *limit)) {
                None => Honest::Hit,
                Some(limit) if age < limit => Honest::Unsure,
                Some(_) => Honest::Other(Stored::Stale { age }),
            }
        }
        stored => Honest::Other(stored),
    }
}

/// The way of everything but a fresh hit.
fn ask_engine(
    ctx: &Context,
    tenant: &[u8],
    include: bool,
    options: &Options<'_>,
    stored: Stored,
) -> Result<(), Error> {
    let flags = ctx.get_flags();
    let primary = flags.contains(ContextFlags::MASTER);
    let ask = Ask {
        max_age: options.max_age,
        may_wait: !options.no_wait && commands::may_block(ctx) && !flags.contains(ContextFlags::LOADING),
        may_store: primary,
    };
    let tenant = Tenant::new(tenant).ok_or_else(Error::internal)?;
    let id = BundleId { db: ffi::selected_db(ctx), tenant, include };
    let outcome = state::read(ctx, &id, stored, ask, || Waiting {
        id: id.clone(),
        max_age: options.max_age,
        // No other etag can match, and what is kept for a client that waits is bounded.
        if_none_match: options.if_none_match.filter(|etag| etag.len() == ETAG_LEN).map(Into::into),
        with_meta: options.with_meta,
        computed: if stored == Stored::Absent { Status::Miss } else { Status::Refreshed },
    })?;
    match outcome {
        Outcome::Waits => Ok(()),
        // The key has just been read, and nothing has run since: it is still there.
        Outcome::Serve { would_wait } if serve_stored(ctx, &id, options, would_wait) => Ok(()),
        Outcome::Serve { .. } => Err(Error::miss()),
    }
}

/// Replies with what is stored, as old as it is; false where there is nothing.
fn serve_stored(ctx: &Context, id: &BundleId, options: &Options<'_>, would_wait: bool) -> bool {
    let now = ffi::now();
    let key = id.key(config::tagged());
    let held = ffi::read_string(ctx, key.as_bytes(), true, |value, expires_at| {
        let stamp = Stamp::read(value, id.tenant.as_str(), id.include)?;
        let stored = sweep::regard(store::verdict(&stamp, now, expires_at), || Some(id.clone()));
        let status = match honest(stored, options.max_age) {
            Honest::Other(Stored::Absent) => return None,
            Honest::Hit => {
                count(Count::Hits);
                Status::Hit
            }
            // A fresh bundle that is older than was asked for is a fallback, too.
            _ => {
                count(Count::Stale);
                if matches!(stored, Stored::Fresh { age } if new_enough(options.max_age, age)) {
                    count(Count::Unsure);
                }
                if would_wait && options.no_wait { Status::Changed } else { Status::Stale }
            }
        };
        reply_bundle(ctx, options, status, stamp.etag, &stamp.life, now, value);
        Some((stored == Stored::Changed).then(|| stamp.etag.to_vec()))
    });
    let Held::String(Some(changed)) = held else { return false };
    // Whoever reads that it has changed, and goes to wait for the next one, is not told of that one as of another change.
    let knows = would_wait && options.no_wait && options.with_meta;
    if let Some(etag) = changed.filter(|_| !knows) {
        tracking::given(ctx, id, &etag);
    }
    true
}

/// A client that waits: what it asked, for the reply that comes later.
#[derive(Debug)]
pub(crate) struct Waiting {
    id: BundleId,
    max_age: Option<u64>,
    if_none_match: Option<Box<[u8]>>,
    with_meta: bool,
    computed: Status,
}

impl Pending for Waiting {
    fn bundle(&self) -> Option<&BundleId> {
        Some(&self.id)
    }

    fn reply(&self, ctx: &Context, answer: Answer) {
        self.answer(
            ctx,
            &match answer {
                Answer::Bundle(result) => result,
                Answer::Failed(error) => Err(error),
                Answer::Warmed(_) | Answer::Cleared(_) => Err(Error::internal()),
            },
        );
    }

    fn unblocked(&self) -> Error {
        Error::timeout()
    }

    fn left(&self) {
        count(Count::Left);
    }
}

impl Waiting {
    /// Replies with what its flight brought. What failed is answered with what is stored, if anything is.
    fn answer(&self, ctx: &Context, result: &Result<std::sync::Arc<Fetched>, Error>) {
        fault::point("reply", self.id.tenant.as_str());
        let options = Options {
            max_age: self.max_age,
            no_wait: false,
            if_none_match: self.if_none_match.as_deref(),
            with_meta: self.with_meta,
        };
        match result {
            // That it is the right one was checked when it came; a mix-up on the way here would be the worst
            // of errors, and a look is cheap.
            Ok(fetched)
                if Stamp::read(&fetched.value, self.id.tenant.as_str(), self.id.include).is_none() =>
            {
                count(Count::Errors);
                reply::error(ctx, &Error::internal());
            }
            Ok(fetched) => {
                count(if self.computed == Status::Miss { Count::Misses } else { Count::Refreshed });
                let Fetched { value, etag, life, .. } = &**fetched;
                reply_bundle(ctx, &options, self.computed, etag.as_bytes(), life, ffi::now(), value);
            }
            Err(error) => {
                let served = serve_stored(ctx, &self.id, &options, false);
                if error.is_timeout() {
                    count(if served { Count::SoftTimeouts } else { Count::Timeouts });
                }
                if !served {
                    count(Count::Errors);
                    reply::error(ctx, error);
                }
            }
        }
    }
}

fn reply_bundle(
    ctx: &Context,
    options: &Options<'_>,
    status: Status,
    etag: &[u8],
    life: &Lifetime,
    now: i64,
    value: &[u8],
) {
    let matches = options.if_none_match == Some(etag);
    if options.with_meta {
        reply::map(ctx, 6);
        reply::bytes(ctx, b"status");
        reply::bytes(ctx, status.name().as_bytes());
        reply::bytes(ctx, b"age_ms");
        reply::integer(ctx, life.age_ms(now));
        reply::bytes(ctx, b"ttl_ms");
        reply::integer(
            ctx,
            if matches!(status, Status::Stale | Status::Changed) { 0 } else { life.fresh_for_ms(now) },
        );
        reply::bytes(ctx, b"etag");
        reply::bytes(ctx, etag);
        reply::bytes(ctx, b"bundle");
    }
    if matches {
        reply::null(ctx);
    } else {
        reply::bytes(ctx, value);
    }
    if options.with_meta {
        reply::bytes(ctx, b"behind_ms");
        match feed::behind(state::monotonic) {
            Some(lag) => reply::integer(ctx, lag),
            None => reply::null(ctx),
        }
    }
}
