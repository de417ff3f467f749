//! `DASHBOARD.FEED lag-ms period-ms [POSITION position]`: the sidecar's change feed says how far behind it is, and how far it has come. `DASHBOARD.FEED OFF`: it
//! says that it stops.

use crate::args::Args;
use crate::declare::{Arg, Declaration, Keys, Kind};
use crate::errors::Error;
use crate::{commands, reply, state};
use redis_module::{Context, RedisResult, RedisString};

pub(crate) const DECLARATION: Declaration = Declaration {
    name: c"dashboard.feed",
    summary: c"Tells how closely the change feed follows the database, for INFO dashboard.",
    complexity: c"O(1)",
    since: c"0.1.0",
    arity: -2,
    keys: Keys::None,
    key_notes: c"",
    tips: c"",
    args: &[Arg::one_of(c"word", &WORDS, c"what the feed says")],
};

static WORDS: [Arg; 2] = [
    Arg::group(c"follows", &LAG_AND_PERIOD, c"changes are followed"),
    Arg::choice(c"off", c"OFF", c"changes are no longer followed"),
];

static LAG_AND_PERIOD: [Arg; 3] = [
    Arg::value(c"lag-ms", Kind::Integer, c"changes are followed to within so many milliseconds"),
    Arg::value(c"period-ms", Kind::Integer, c"the next word comes within so many milliseconds"),
    Arg::option(
        c"position",
        c"POSITION",
        Kind::Integer,
        &[],
        c"how far the feed has come; the reply is what it said before, or null",
    ),
];

/// A feed that is silent for longer than a day has died.
const LONGEST_PERIOD: u64 = 86_400_000;

/// What a reply can say.
const LARGEST_POSITION: u64 = i64::MAX.cast_unsigned();

/// What the feed says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    Follows { lag: u64, period: u64, position: Option<u64> },
    Off,
}

/// Only on a primary: who speaks to a replica follows changes for a server that takes no change.
pub(crate) fn run(ctx: &Context, args: Vec<RedisString>) -> RedisResult {
    commands::run(ctx, || {
        let word = parse(commands::bytes(&args))?;
        commands::must_be_primary(ctx, "DASHBOARD.FEED")?;
        match word {
            Word::Follows { lag, period, position } => {
                let before = state::feed_said(ctx, lag, period, position);
                match (position, before) {
                    (None, _) => reply::status(ctx, c"OK"),
                    (Some(_), None) => reply::null(ctx),
                    (Some(_), Some(before)) => reply::integer(ctx, before),
                }
            }
            Word::Off => {
                state::feed_stopped();
                reply::status(ctx, c"OK");
            }
        }
        Ok(())
    })
}

/// The lag and the period, or the word that stands for their end.
pub(crate) fn parse<'a>(args: impl Iterator<Item = &'a [u8]>) -> Result<Word, Error> {
    let mut all = args.peekable();
    let name = all.next();
    let word =
        if all.next_if(|arg| arg.eq_ignore_ascii_case(b"OFF")).is_some() { Some(Word::Off) } else { None };
    let mut args = Args::new(name.into_iter().chain(all));
    let word = match word {
        Some(off) => off,
        None => follows(&mut args)?,
    };
    match args.next() {
        Some(more) => Err(Error::unknown_argument(more)),
        None => Ok(word),
    }
}

fn follows<'a>(args: &mut Args<impl Iterator<Item = &'a [u8]>>) -> Result<Word, Error> {
    let lag = args.millis("lag-ms")?;
    let period = args.whole("period-ms", LONGEST_PERIOD, "whole milliseconds from 0 to 86400000")?;
    let position = match args.next() {
        None => None,
        Some(option) if option.eq_ignore_ascii_case(b"POSITION") => {
            Some(args.whole("POSITION", LARGEST_POSITION, "a whole number from 0 to 9223372036854775807")?)
        }
        Some(more) => return Err(Error::unknown_argument(more)),
    };
    Ok(Word::Follows { lag, period, position })
}
