//! What a check says of the counters: nothing that `migrate` would do, but what else there is to decide.

use super::crm::Table;
use crate::pg::Queries;

/// A line or two for a person.
pub(super) fn lines(client: &mut impl Queries, tables: &[Table]) -> Result<Vec<String>, postgres::Error> {
    let state = client.query_one(
        "SELECT counters IS NOT NULL, has_table_privilege(counters, 'SELECT')
         FROM to_regclass('dashboard.counters') AS found(counters)",
        &[],
    )?;
    if state.try_get(0)? && !state.try_get::<_, Option<bool>>(1)?.unwrap_or_default() {
        return Ok(vec!["counters: whether they are enabled is not this role's to read".to_owned()]);
    }
    let are_enabled =
        state.try_get(0)? && client.query_one("SELECT ready FROM dashboard.counters", &[])?.try_get(0)?;
    if !are_enabled {
        return Ok(not_enabled(tables));
    }
    let mut lines = vec!["counters: enabled".to_owned()];
    let unrecorded = client.query(
        "SELECT format('%I.%I', nspname, relname)
         FROM dashboard.unrecorded() AS place JOIN pg_class ON pg_class.oid = place
              JOIN pg_namespace ON pg_namespace.oid = relnamespace",
        &[],
    )?;
    for row in unrecorded {
        lines.push(format!(
            "counters: changes of {} are not recorded: 'dashboard-sidecar counters rebuild' sees to that",
            row.try_get::<_, String>(0)?
        ));
    }
    Ok(lines)
}

fn not_enabled(tables: &[Table]) -> Vec<String> {
    let mut lines = vec![
        "counters: not enabled: bundles are computed from the tables, and cleared by whoever changes them; \
         'dashboard-sidecar counters enable' changes both"
            .to_owned(),
    ];
    // The schedule is not counted.
    let counted =
        tables.iter().filter(|table| table.name != "cron_job").filter_map(|table| table.found.as_ref());
    let others: Vec<_> =
        counted.filter(|found| !found.is_own).map(|found| found.qualified.as_str()).collect();
    if !others.is_empty() {
        lines.push(format!(
            "counters: to enable them takes the owner of {}, for their triggers",
            others.join(", ")
        ));
    }
    lines
}
