//! Creates and removes the triggers, one table after the other, without keeping anybody waiting.

use std::thread;
use std::time::{Duration, Instant};

use postgres::error::SqlState;

use super::error::CountersError;
use crate::pg::{Client, Queries as _, Transaction};

/// Who waits for a table's lock keeps everybody behind it waiting, so it is waited for no longer than this; what is done
/// with it takes some milliseconds more.
const LOCK_TIMEOUT: Duration = Duration::from_millis(50);
/// A partitioned table has as many locks as partitions, and is waited for behind all that are held already: no longer than
/// this altogether, what is done included.
const STATEMENT_TIMEOUT: Duration = Duration::from_millis(90);
/// Between two tries, so that those who were kept waiting are through.
const PAUSE: Duration = Duration::from_millis(200);
/// For how long it is tried.
const PATIENCE: Duration = Duration::from_secs(300);

/// A table of the CRM, or a partition or child of one.
pub(super) struct Member {
    /// The name of the table that it belongs to, as this project knows it.
    crm_table: String,
    /// As it must be written in SQL.
    name: String,
}

/// All of them.
pub(super) fn members(client: &mut Client) -> Result<Vec<Member>, CountersError> {
    let sql = "SELECT crm.name, member::text
               FROM dashboard.crm_tables() AS crm CROSS JOIN LATERAL dashboard.family(crm.place) AS member";
    let rows = client.query(sql, &[])?;
    rows.iter().map(|row| Ok(Member { crm_table: row.try_get(0)?, name: row.try_get(1)? })).collect()
}

/// Creates what is missing; how many tables have got some.
pub(super) fn create(client: &mut Client) -> Result<usize, CountersError> {
    let mut created = 0;
    for member in members(client)? {
        let sql = "SELECT dashboard.create_triggers($1::text::regclass, $2)";
        let row = soon(client, &member, |transaction| {
            transaction.query_one(sql, &[&member.name, &member.crm_table])
        })?;
        if row.try_get(0)? {
            tracing::info!(table = member.name, "changes of a table are recorded from now on");
            created += 1;
        }
    }
    Ok(created)
}

/// Removes all.
pub(super) fn drop(client: &mut Client) -> Result<(), CountersError> {
    for member in members(client)? {
        let sql = "SELECT dashboard.drop_triggers($1::text::regclass)";
        soon(client, &member, |transaction| transaction.execute(sql, &[&member.name]))?;
    }
    Ok(())
}

/// Does `work` in a transaction of its own as soon as the table's lock can be had in no time.
fn soon<T>(
    client: &mut Client,
    member: &Member,
    work: impl Fn(&mut Transaction<'_>) -> Result<T, postgres::Error>,
) -> Result<T, CountersError> {
    let begun = Instant::now();
    loop {
        let mut transaction = client.transaction()?;
        transaction.batch_execute(&format!(
            "SET LOCAL lock_timeout = {}; SET LOCAL statement_timeout = {}",
            LOCK_TIMEOUT.as_millis(),
            STATEMENT_TIMEOUT.as_millis()
        ))?;
        match work(&mut transaction) {
            Ok(done) => {
                transaction.commit()?;
                return Ok(done);
            }
            Err(error) if !is_out_of_time(&error) => return Err(error.into()),
            Err(_) if begun.elapsed() >= PATIENCE => {
                return Err(CountersError::Locked {
                    table: member.name.clone(),
                    seconds: PATIENCE.as_secs(),
                });
            }
            Err(_) => tracing::debug!(table = member.name, "a table is in use; trying again"),
        }
        transaction.rollback()?;
        thread::sleep(PAUSE);
    }
}

fn is_out_of_time(error: &postgres::Error) -> bool {
    matches!(error.code(), Some(&SqlState::LOCK_NOT_AVAILABLE | &SqlState::QUERY_CANCELED))
}
