//! `counters verify`: compares, tenant by tenant, and corrects.

use std::time::{Duration, Instant};

use postgres::Row;

use super::error::CountersError;
use crate::error::Failure;
use crate::feed::Look;
use crate::output;
use crate::pg::{Client, Queries as _};
use crate::tenant::ALL_TENANTS;

/// Tenants compared by one statement.
const CHUNK: usize = 100;
/// Differences that are printed; all are counted.
const SHOWN: usize = 20;
/// How often it is said how far it is.
const TELL: Duration = Duration::from_secs(2);

/// Every tenant there is, or that something has been counted for.
const OWNERS: &str = "
    SELECT owner::text FROM (
        SELECT place.id AS owner FROM dashboard.known_tenants() AS place(id)
        UNION SELECT owner FROM dashboard.counter
        UNION SELECT tenant_id FROM dashboard.delta WHERE tenant_id IS NOT NULL) AS owners
    WHERE owner <> dashboard.all_tenants() AND owner NOT IN (SELECT owner FROM dashboard.uncounted) ORDER BY 1";

/// What is computed from the tables, and so not compared with them.
const ASIDE: &str = "
    SELECT count(*) FILTER (WHERE owner <> dashboard.all_tenants()), count(*) FILTER (WHERE owner = dashboard.all_tenants())
    FROM dashboard.uncounted";

const COMPARE: &str = "
    SELECT CASE owner WHEN dashboard.all_tenants() THEN $3 ELSE owner::text END, figure::text, test, slot, source, n, amount::text
    FROM dashboard.verify($1::text[]::uuid[], $2)";

/// What has been found.
#[derive(Default)]
struct Findings {
    owners: usize,
    differing: usize,
    differences: usize,
    /// Tenants whose figures cannot be summed.
    aside: i64,
}

/// Compares everything, and corrects what differs if it is to be repaired.
pub(super) fn run(client: &mut Client, repair: bool, limit: Duration) -> Result<(), Failure> {
    let findings = compare(client, repair)?;
    let Findings { owners, differing, differences, aside } = findings;
    let unrecorded = unrecorded(client)?;
    for table in &unrecorded {
        output::line(format_args!(
            "changes of {table} are not recorded: 'dashboard-sidecar counters rebuild' sees to that"
        ));
    }
    if differences == 0 {
        output::line(format_args!("the counters of {owners} tenants are right"));
    } else if repair {
        output::line(format_args!(
            "{differing} of {owners} tenants differed, in {differences} counters; they have been corrected"
        ));
    } else {
        output::line(format_args!(
            "{differing} of {owners} tenants differ, in {differences} counters: 'dashboard-sidecar counters verify' corrects them"
        ));
    }
    if aside > 0 {
        output::line(format_args!(
            "{aside} tenants have no counters, as their figures cannot be summed: 'dashboard-sidecar feed status' names them"
        ));
    }
    // Counters that are right are of use only to bundles that are read anew.
    let followed = Look::at(client).map_err(|error| Failure::run(&error))?.followed(limit);
    output::line(format_args!("change feed: {}: {followed}", followed.name()));
    let all_is_well = unrecorded.is_empty() && (repair || differences == 0);
    if all_is_well { Ok(()) } else { Err(Failure::already_reported()) }
}

fn compare(client: &mut Client, repair: bool) -> Result<Findings, CountersError> {
    let owners: Vec<String> =
        client.query(OWNERS, &[])?.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
    let mut findings = Findings::default();
    let mut told = Instant::now();
    for chunk in owners.chunks(CHUNK) {
        let rows = client.query(COMPARE, &[&Some(chunk), &repair, &ALL_TENANTS])?;
        findings.add(chunk.len(), &rows)?;
        if told.elapsed() >= TELL {
            told = Instant::now();
            tracing::info!(done = findings.owners, of = owners.len(), "verifying");
        }
    }
    // Last: a tenant's correction is one of all together, too.
    let rows = client.query(COMPARE, &[&None::<&[String]>, &repair, &ALL_TENANTS])?;
    let (aside, all_together): (i64, i64) = {
        let row = client.query_one(ASIDE, &[])?;
        (row.try_get(0)?, row.try_get(1)?)
    };
    findings.aside = aside;
    findings.add(if all_together == 0 { 1 } else { 0 }, &rows)?;
    Ok(findings)
}

impl Findings {
    fn add(&mut self, owners: usize, rows: &[Row]) -> Result<(), CountersError> {
        self.owners += owners;
        let mut last: Option<String> = None;
        for row in rows {
            let owner: String = row.try_get(0)?;
            if self.differences < SHOWN {
                let (figure, test, slot): (String, bool, i32) =
                    (row.try_get(1)?, row.try_get(2)?, row.try_get(3)?);
                let (source, n, amount): (String, i64, String) =
                    (row.try_get(4)?, row.try_get(5)?, row.try_get(6)?);
                output::line(format_args!(
                    "{owner}: {figure} slot {slot} '{source}' (test data: {test}) was short by {n}, {amount}"
                ));
            }
            self.differences += 1;
            if last.as_ref() != Some(&owner) {
                self.differing += 1;
                last = Some(owner);
            }
        }
        Ok(())
    }
}

fn unrecorded(client: &mut Client) -> Result<Vec<String>, CountersError> {
    let rows = client.query("SELECT place::text FROM dashboard.unrecorded() AS place", &[])?;
    Ok(rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?)
}
