//! `dashboard-sidecar feed status`: prints how the feed is.

use std::time::Duration;

use super::look::Look;
use crate::config::FeedCommand;
use crate::db;
use crate::error::Failure;
use crate::output;
use crate::pg::Terms;

/// What pg_stat_activity shows.
const APPLICATION_NAME: &str = "dashboard-sidecar feed status";

/// Longest time for a statement.
const PATIENCE: Duration = Duration::from_secs(60);

/// Does one of the subcommands, and prints what it found.
///
/// # Errors
/// If DATABASE_URL is wrong or the database is not migrated; without a message, if changes are not followed.
pub fn main(command: &FeedCommand) -> Result<(), Failure> {
    let FeedCommand::Status(args) = command;
    let mut client = db::connect_once(&args.database, APPLICATION_NAME, Terms::read_only(PATIENCE, ""))?;
    let look = Look::at(&mut client).map_err(|error| Failure::run(&error))?;
    let followed = look.followed(args.limit.duration());
    output::line(format_args!("{}", describe(&look).join("\n")));
    output::line(format_args!("{}", line("state", &format!("{}: {followed}", followed.name()))));
    if followed.is_followed() { Ok(()) } else { Err(Failure::already_reported()) }
}

fn describe(look: &Look) -> Vec<String> {
    let Look {
        ready, replaced, holder, lag, age, pending, deltas, gap, gap_at, unrecorded, uncounted, ..
    } = look;
    let ms = Duration::as_millis;
    let mut lines = vec![
        line("counters", &counters(*ready, replaced)),
        line(
            "fed by",
            holder
                .as_deref()
                .unwrap_or("nobody: no sidecar serves with DASHBOARD_FEED on, or none can tell Redis"),
        ),
        line(
            "lag",
            &match (lag, age) {
                (Some(lag), Some(age)) => format!("{} ms, {} ms ago", ms(lag), ms(age)),
                _ => "not known: no heartbeat has gone through yet".to_owned(),
            },
        ),
        line("to announce", &format!("{pending} tenants")),
        line("to merge", &format!("{deltas} changes")),
    ];
    let at = gap_at.as_deref().unwrap_or_default();
    match gap {
        Some(why) => {
            lines.push(line("gap", &format!("since {at}: {why}; everything is being announced")));
        }
        None if !at.is_empty() => lines.push(line("last gap", at)),
        None => {}
    }
    for table in unrecorded {
        lines.push(line("not recorded", &format!("changes of {table}: dashboard-sidecar counters rebuild")));
    }
    for (tenant, why) in uncounted {
        lines.push(line(
            "not counted",
            &format!("{tenant}: {why}; its bundles are computed from the tables. Correct its rows, then: dashboard-sidecar counters rebuild"),
        ));
    }
    lines
}

fn counters(ready: bool, replaced: &[String]) -> String {
    if !replaced.is_empty() {
        let names = replaced.join(", ");
        return format!(
            "not used: {names} are other tables than those that were counted; bundles are computed from the tables. Run 'dashboard-sidecar counters rebuild'"
        );
    }
    if ready { "enabled" } else { "not enabled: dashboard-sidecar counters enable" }.to_owned()
}

fn line(name: &str, text: &str) -> String {
    format!("{name:<13} {text}")
}
