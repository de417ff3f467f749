//! Many tenants at once, each with both of its bundles: what warming asks for.
//!
//! A statement within the statement, computed for each tenant, so that every table is read through an index whatever the planner believes of
//! their number. Who has nothing that is left out has one bundle for both. The rows of lists leave as they are, in a column for each list:
//! writing them as JSON would take as long as all the rest, and whoever asks can do it.

use board::expression::literal;

use super::{Scope, Way, is_counted, key_types, lists, name, of_versions, statement, time};
use crate::plan::Plan;
use crate::text::{indent, quoted};
use crate::{Catalogue, Fault};

/// The statements that create the function, and what it needs.
pub(super) fn functions(plan: &Plan<'_>, catalogue: &Catalogue) -> Result<Vec<String>, Fault> {
    let board = plan.board.name.as_str();
    let types = lists::row_types(plan)?;
    let mut statements: Vec<String> = types.iter().map(|of| of.create.clone()).collect();
    let keys = key_types(plan);
    for (place, key) in keys.iter().enumerate() {
        statements.push(key_function(board, place, key));
    }
    let mut columns = vec!["tenant text".to_owned(), "bundle text".to_owned(), "without text".to_owned()];
    for of in &types {
        columns.push(format!("\"{}\" {}[]", of.list, of.name));
        columns.push(format!("\"{}_without\" {}[]", of.list, of.name));
    }
    columns.extend(["version text".to_owned(), "valid_until timestamptz".to_owned()]);

    // What the one-tenant functions have as variables is here the row `this`, so that the same statements fit.
    let moments = time::variables(plan);
    let mut of_this: Vec<String> = moments
        .iter()
        .filter_map(|variable| variable.split(' ').next())
        .chain(["merged_before", "server", "at"])
        .map(|variable| format!("moment.{variable}"))
        .collect();
    of_this.extend(["names.name AS asked", "names.name AS owner", "names.place"].map(str::to_owned));
    of_this.extend(
        (0..keys.len()).map(|place| format!("dashboard.\"key_{place}_{board}\"(names.name) AS key_{place}")),
    );

    let with = inner(plan, catalogue, &types, true)?;
    let without = inner(plan, catalogue, &types, false)?;
    let leaves_out = !plan.left_out.is_empty();
    let mut shown = vec!["this.asked".to_owned(), "with_all.bundle".to_owned()];
    shown.push(if leaves_out { "less.bundle".to_owned() } else { "NULL::text".to_owned() });
    for (place, of) in types.iter().enumerate() {
        shown.push(format!("with_all.list_{place}"));
        shown.push(if leaves_out { format!("less.list_{place}") } else { format!("NULL::{}[]", of.name) });
    }
    shown.extend(["with_all.version".to_owned(), "with_all.valid_until".to_owned()]);
    let less = if leaves_out {
        format!("\n    LEFT JOIN LATERAL ({}) AS less ON with_all.leaves_out", indent(&without, 4))
    } else {
        String::new()
    };
    let one = name(board);
    let nothing: String = types.iter().map(|of| format!(" NULL::{0}[], NULL::{0}[],", of.name)).collect();
    let all = plan.board.tenants.all.as_ref().map_or_else(|| "NULL".to_owned(), |all| literal(all.as_str()));
    statements.push(format!(
        "-- Its result is of another type where a list is.
DROP FUNCTION IF EXISTS dashboard.\"bundles_{board}\"(text[]);
CREATE FUNCTION dashboard.\"bundles_{board}\"(tenants text[])
RETURNS TABLE({})
LANGUAGE plpgsql STABLE PARALLEL SAFE COST 100000 ROWS 100
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
SET jit = off
SET timezone = 'UTC'
SET row_security = off
SET enable_seqscan = off
-- The rows of a statement are kept until the last is computed.
SET work_mem = '16MB'
AS {}",
        columns.join(", "),
        quoted(&format!(
            "
-- The board {board}, of many tenants, in the order in which they are asked for.
#variable_conflict use_column
<<moment>>
DECLARE
    {}
    merged_before CONSTANT xid8 :=
        CASE WHEN (moment.state).server_start = pg_postmaster_start_time() THEN (moment.state).low ELSE '0' END;
    {}
BEGIN
    -- All together, and what cannot be counted, comes by itself.
    IF EXISTS (SELECT FROM unnest(tenants) AS names(name) WHERE name = {all}) OR NOT {} THEN
        RETURN QUERY
        SELECT names.name, made.bundle, other.bundle,{nothing} made.version, made.valid_until
        FROM unnest(tenants) WITH ORDINALITY AS names(name, place),
             LATERAL {one}(names.name, true) AS made, LATERAL {one}(names.name, false) AS other
        ORDER BY names.place;
        RETURN;
    END IF;
    RETURN QUERY
    SELECT {}
    FROM (SELECT {}
          FROM unnest(tenants) WITH ORDINALITY AS names(name, place)
          OFFSET 0) AS this
    LEFT JOIN {} AS known ON known.{} = this.key_0 AND known.{}::text = this.asked
    LEFT JOIN LATERAL ({}) AS with_all ON known.{} IS NOT NULL{less}
    ORDER BY this.place;
END
",
            of_versions().join("\n    "),
            moments.join("\n    "),
            is_counted(board),
            shown.join(", "),
            of_this.join(", "),
            plan.tenants.table,
            plan.tenants.key,
            plan.tenants.key,
            indent(&with, 4),
            plan.tenants.key,
        ))
    ));
    Ok(statements)
}

/// The bundle of the tenant `this`, with everything or without what is left out, and the rows of its lists.
fn inner(
    plan: &Plan<'_>,
    catalogue: &Catalogue,
    types: &[lists::RowType],
    everything: bool,
) -> Result<String, Fault> {
    let made = statement(plan, catalogue, Way::Counters, Scope::Many { everything }, types.is_empty())?;
    let rows = lists::rows(plan, Scope::Many { everything }, types)?;
    let rows: String =
        rows.iter().enumerate().map(|(place, rows)| format!(",\n       {rows} AS list_{place}")).collect();
    let leaves_out = if plan.left_out.is_empty() { "false" } else { "total.leaves_out" };
    Ok(format!(
        "{}SELECT {} AS bundle,\n       {} AS version, made.valid_until, {leaves_out} AS leaves_out{rows}\nFROM {}",
        made.with, made.bundle, made.version, made.from
    ))
}

/// A tenant's name as a value of the column's type; NULL where it is none.
fn key_function(board: &str, place: usize, key: &str) -> String {
    format!(
        "CREATE OR REPLACE FUNCTION dashboard.\"key_{place}_{board}\"(tenant text) RETURNS {key}
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
    RETURN tenant::{key};
EXCEPTION WHEN data_exception THEN
    RETURN NULL;
END
$function$"
    )
}
