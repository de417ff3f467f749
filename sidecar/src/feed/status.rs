//! `dashboard-sidecar feed status`: how the feed is, as the database knows it.

use std::time::Duration;

use postgres::Row;

use super::error::FeedError;
use crate::config::FeedCommand;
use crate::db;
use crate::error::Failure;
use crate::pg::{Client, Queries as _, Terms};

/// What pg_stat_activity shows.
const APPLICATION_NAME: &str = "dashboard-sidecar feed status";
/// A heartbeat goes through twice a second. One that is older by so much tells that nothing does.
const LATE_MS: i64 = 10_000;

/// Longest time for a statement.
const PATIENCE: Duration = Duration::from_secs(60);

const ASK: &str = "
    SELECT counters.ready,
           (SELECT owner FROM dashboard.lease WHERE name = 'feed' AND expires_at > clock_timestamp()),
           feed.lag_ms, (EXTRACT(epoch FROM clock_timestamp() - feed.heartbeat_at) * 1000)::bigint,
           (SELECT count(*) FROM dashboard.pending), (SELECT count(*) FROM dashboard.delta WHERE kind <> 'H'),
           feed.gap, to_char(feed.gap_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS\"Z\"'),
           array(SELECT place::text FROM dashboard.unrecorded() AS place)
    FROM dashboard.feed, dashboard.counters";

/// Does one of the subcommands, and prints what it found.
///
/// # Errors
/// If DATABASE_URL is wrong or the database is not migrated; without a message, if changes are not followed.
pub fn main(command: &FeedCommand) -> Result<(), Failure> {
    let FeedCommand::Status(database) = command;
    let mut client = db::connect_once(database, APPLICATION_NAME, Terms::read_only(PATIENCE, ""))?;
    let status = ask(&mut client).map_err(|error| Failure::run(&error))?;
    println!("{}", status.lines.join("\n"));
    if status.well { Ok(()) } else { Err(Failure::already_reported()) }
}

struct Status {
    lines: Vec<String>,
    well: bool,
}

fn ask(client: &mut Client) -> Result<Status, FeedError> {
    let migrated = "SELECT to_regclass('dashboard.feed') IS NOT NULL";
    if !client.query_one(migrated, &[])?.try_get::<_, bool>(0)? {
        return Err(FeedError::NotMigrated);
    }
    Ok(describe(&client.query_one(ASK, &[])?)?)
}

fn describe(row: &Row) -> Result<Status, postgres::Error> {
    let ready: bool = row.try_get(0)?;
    let holder: Option<String> = row.try_get(1)?;
    let (lag, age): (Option<i64>, Option<i64>) = (row.try_get(2)?, row.try_get(3)?);
    let (pending, deltas): (i64, i64) = (row.try_get(4)?, row.try_get(5)?);
    let (gap, gap_at): (Option<String>, Option<String>) = (row.try_get(6)?, row.try_get(7)?);
    let unrecorded: Vec<String> = row.try_get(8)?;

    let current = age.is_some_and(|age| age < LATE_MS);
    let mut lines = vec![
        line("counters", if ready { "enabled" } else { "not enabled: dashboard-sidecar counters enable" }),
        line("fed by", holder.as_deref().unwrap_or("nobody: no sidecar serves with DASHBOARD_FEED on")),
        line(
            "lag",
            &match (lag, age) {
                (Some(lag), Some(age)) if current => format!("{lag} ms, {age} ms ago"),
                (_, Some(age)) => format!("{age} ms since a change has gone through"),
                _ => "not known: no heartbeat has gone through yet".to_owned(),
            },
        ),
        line("to announce", &format!("{pending} tenants")),
        line("to merge", &format!("{deltas} changes")),
    ];
    match (&gap, gap_at) {
        (Some(why), at) => {
            lines.push(line(
                "gap",
                &format!("since {}: {why}; everything is being announced", at.unwrap_or_default()),
            ));
        }
        (None, Some(at)) => lines.push(line("last gap", &at)),
        (None, None) => {}
    }
    for table in &unrecorded {
        lines.push(line("not recorded", &format!("changes of {table}: dashboard-sidecar counters rebuild")));
    }
    Ok(Status { lines, well: ready && holder.is_some() && current && unrecorded.is_empty() })
}

fn line(name: &str, text: &str) -> String {
    format!("{name:<13} {text}")
}
