//! Taking deltas apart, and counting tables anew: the two functions by which what all boards share comes to know what is counted.

use crate::catalogue::Catalogue;
use crate::text::indent;
use crate::vector::cells;

/// `dashboard.cells`: what one delta counts for. The compactor, `verify` and whoever wants to know use it.
pub fn cells_function(catalogue: &Catalogue) -> String {
    let units: Vec<usize> = (1..=catalogue.units.len()).collect();
    let counted = if units.is_empty() {
        String::new()
    } else {
        format!(
            "
    UNION ALL
    SELECT cell.unit, cell.variant, cell.slot, cell.key, cell.n, cell.amount
    FROM (SELECT $1 AS feed, $2 AS flags, $3 AS slots, $4 AS keys, $5 AS n, $6 AS numbers) AS delta
    CROSS JOIN LATERAL {}
    WHERE cell.applies",
            indent(&cells(catalogue, &units), 4)
        )
    };
    format!(
        "CREATE OR REPLACE FUNCTION dashboard.cells(
    feed integer, flags bigint, slots integer[], keys text[], n bigint, numbers numeric[])
RETURNS TABLE(unit integer, variant boolean, slot integer, key text, n bigint, amount numeric)
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $function$
    -- What has been corrected: a unit by its number, with a minus.
    SELECT -$1, $2 = 1, $3[1], $4[1], $5, $6[1] WHERE $1 < 0{counted}
$function$"
    )
}

/// `dashboard.units_of`: the units of some feeds.
pub fn units_function(catalogue: &Catalogue) -> String {
    let units: Vec<String> = catalogue
        .units
        .iter()
        .enumerate()
        .map(|(place, unit)| format!("({}, {})", place + 1, unit.feed + 1))
        .collect();
    let known = if units.is_empty() {
        "SELECT NULL::integer WHERE false".to_owned()
    } else {
        format!("SELECT unit FROM (VALUES {}) AS known(unit, feed) WHERE feed = ANY ($1)", units.join(", "))
    };
    format!(
        "CREATE OR REPLACE FUNCTION dashboard.units_of(feeds integer[]) RETURNS SETOF integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $function${known}$function$"
    )
}

/// `dashboard.tally`: what the tables say, of one tenant or (NULL) of every row, for some feeds, as `counter` would have it.
pub fn tally_function(catalogue: &Catalogue, tenant_types: &[String]) -> String {
    let tallies: Vec<String> = catalogue
        .feeds
        .iter()
        .zip(tenant_types)
        .enumerate()
        .filter_map(|(place, (feed, tenant_type))| {
            let number = place + 1;
            let units: Vec<usize> =
                (1..=catalogue.units.len()).filter(|unit| catalogue.units[unit - 1].feed == place).collect();
            if units.is_empty() {
                return None;
            }
            let counted = |scope: &str| {
                format!(
                    "RETURN QUERY
            SELECT delta.tenant, cell.unit, cell.variant, cell.slot, cell.key, sum(cell.n)::bigint, sum(cell.amount)
            FROM (SELECT {number} AS feed, tenant, flags, slots, keys, count(*) AS n, {} AS numbers
                  FROM (SELECT {}
                        FROM {} AS r{scope}) AS rows
                  GROUP BY tenant, flags, slots, keys) AS delta
            CROSS JOIN LATERAL {}
            WHERE cell.applies
            GROUP BY delta.tenant, cell.unit, cell.variant, cell.slot, cell.key;",
                    feed.numbers(|number| format!("sum({number})")),
                    indent(&feed.dimensions(), 17),
                    feed.table,
                    indent(&cells(catalogue, &units), 12)
                )
            };
            Some(format!(
                "    IF {number} = ANY (tally.feeds) THEN
        IF tally.tenant IS NULL THEN
            {}
        ELSE
            {}
        END IF;
    END IF;",
                counted(""),
                counted(&format!(" WHERE {} = tally.tenant::{tenant_type}", feed.tenant))
            ))
        })
        .collect();
    format!(
        "CREATE OR REPLACE FUNCTION dashboard.tally(feeds integer[], tenant text)
RETURNS TABLE(owner text, unit integer, variant boolean, slot integer, key text, n bigint, amount numeric)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
SET row_security = off
SET jit = off
AS $function$
#variable_conflict use_column
BEGIN
{}
END
$function$",
        tallies.join("\n")
    )
}
