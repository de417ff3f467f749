//! The functions that answer a read: `dashboard."bundle_NAME"(tenant, everything)`, from counters, and
//! `dashboard."bundle_from_tables_NAME"`, which reads the tables and needs nothing else.
//!
//! And `dashboard."bundles_NAME"(tenants)`, for many tenants and both of their bundles at once ([`setwise`]).
//!
//! All find the same numbers by two ways ([`counters`], [`tables`]); what becomes of the numbers is written once
//! ([`assembly`]). Windows, and until when a bundle is valid, are in [`time`]; lists in [`lists`].

mod assembly;
mod counters;
mod lists;
mod setwise;
mod tables;
mod time;

use board::expression::literal;

use crate::plan::Plan;
use crate::text::{indent, quoted};
use crate::{Catalogue, Fault};

/// Where a figure's numbers come from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Counters,
    Tables,
}

/// Whose rows a statement reads.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scope {
    /// One tenant's. Whether everything is included is a variable.
    One,
    /// Likewise, all rows, those without a tenant included.
    Every,
    /// One tenant's of many. Whether everything is included is settled.
    Many { everything: bool },
}

impl Scope {
    /// Whether a row belongs in a bundle that may leave it out, as SQL. Nothing where it does in any case.
    fn includes(self, left_out: &str) -> Option<String> {
        match self {
            Self::One | Self::Every => Some(format!("(this.everything OR NOT {left_out})")),
            Self::Many { everything: true } => None,
            Self::Many { everything: false } => Some(format!("NOT {left_out}")),
        }
    }
}

/// A version, as `dashboard.version_of` has it: a call of that would take longer than all the rest.
const VERSION: &str = "state.epoch || '.' || this.server || '.' || total.changes || '.' || this.at || '.' || coalesce(dashboard.micros(made.valid_until), 0)";

/// The variables that versions are made of.
fn of_versions() -> [String; 3] {
    [
        "state CONSTANT dashboard.counters := (SELECT c FROM dashboard.counters AS c);".to_owned(),
        "server CONSTANT text := dashboard.micros(pg_postmaster_start_time());".to_owned(),
        "at CONSTANT text := dashboard.micros(now());".to_owned(),
    ]
}

/// Whether a board is counted, and nothing has escaped its counters, as `dashboard.is_counted` has it.
fn is_counted(board: &str) -> String {
    format!(
        "EXISTS (
        SELECT FROM dashboard.board AS b
        WHERE b.name = {} AND b.counted
          AND NOT EXISTS (SELECT FROM dashboard.delta AS d WHERE d.feed = ANY (b.feeds) AND d.feed <> 0 AND d.note IS NOT NULL))",
        literal(board)
    )
}

/// A relation in a FROM, and what it is for.
type Relations = Vec<String>;

/// The statements that create the functions of a board.
///
/// # Errors
/// A [`Fault`] as of [`Plan::of`].
pub fn functions(plan: &Plan<'_>, catalogue: &Catalogue) -> Result<Vec<String>, Fault> {
    let mut functions =
        vec![function(plan, catalogue, Way::Tables)?, function(plan, catalogue, Way::Counters)?];
    functions.extend(setwise::functions(plan, catalogue)?);
    Ok(functions)
}

/// The name of the function that makes a board's bundle, as SQL.
pub fn name(board: &str) -> String {
    format!("dashboard.\"bundle_{board}\"")
}

/// The name of the function that makes it from the tables, as SQL.
pub fn name_from_tables(board: &str) -> String {
    format!("dashboard.\"bundle_from_tables_{board}\"")
}

fn function(plan: &Plan<'_>, catalogue: &Catalogue, way: Way) -> Result<String, Fault> {
    let board = plan.board.name.as_str();
    let (name, what) = match way {
        Way::Counters => (name(board), "from counters; from the tables where they cannot be used"),
        Way::Tables => (name_from_tables(board), "from the tables"),
    };
    let mut variables = vec![
        "asked CONSTANT text := tenant;".to_owned(),
        "everything CONSTANT boolean := include;".to_owned(),
    ];
    let types = key_types(plan);
    variables.extend(types.iter().enumerate().map(|(place, name)| format!("key_{place} {name};")));
    variables.extend(time::variables(plan));
    let mut begin = String::new();
    if way == Way::Counters {
        variables.extend(of_versions());
        variables.push("merged_before xid8 := '0';".to_owned());
        variables.push("owner text := tenant;".to_owned());
        begin = format!(
            "    IF NOT {} THEN
        SELECT made.* INTO bundle, version, valid_until FROM {}(tenant, include) AS made;
        RETURN;
    END IF;
    IF state.server_start = pg_postmaster_start_time() THEN
        merged_before := state.low;
    END IF;
",
            is_counted(board),
            name_from_tables(board)
        );
    }
    let all = match &plan.board.tenants.all {
        None => String::new(),
        Some(all) => {
            let owner = if way == Way::Counters { "\n        owner := '';" } else { "" };
            format!(
                "    IF tenant = {} THEN{owner}
        {};
        RETURN;
    END IF;
",
                literal(all.as_str()),
                indent(&statement(plan, catalogue, way, Scope::Every, true)?.into_results(), 8)
            )
        }
    };
    let keys: String = types
        .iter()
        .enumerate()
        .map(|(place, name)| format!("\n        key_{place} := tenant::{name};"))
        .collect();
    let one = statement(plan, catalogue, way, Scope::One, true)?.into_results();
    Ok(format!(
        "CREATE OR REPLACE FUNCTION {name}(
    tenant text, include boolean, OUT bundle text, OUT version text, OUT valid_until timestamptz)
LANGUAGE plpgsql STABLE PARALLEL SAFE COST 100000
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
SET jit = off
SET timezone = 'UTC'
SET row_security = off{}
AS {}",
        if way == Way::Counters { "\nSET enable_seqscan = off" } else { "" },
        quoted(&format!(
            "
-- The board {board}, {what}.
#variable_conflict use_column
<<this>>
DECLARE
    {}
BEGIN
{begin}{all}    BEGIN{keys}
    EXCEPTION WHEN data_exception THEN
        -- Nobody can be called that.
        RETURN;
    END;
    IF NOT EXISTS (SELECT FROM {} AS t WHERE t.{} = key_0 AND t.{}::text = tenant) THEN
        RETURN;
    END IF;
    {};
END
",
            variables.join("\n    "),
            plan.tenants.table,
            plan.tenants.key,
            plan.tenants.key,
            indent(&one, 4),
        ))
    ))
}

/// The types in which a tenant's name is compared: that of the tenants' own key is the first.
fn key_types(plan: &Plan<'_>) -> Vec<String> {
    let mut types = vec![plan.tenants.key_type.clone()];
    for source in &plan.sources {
        if !types.contains(&source.tenant_type) {
            types.push(source.tenant_type.clone());
        }
    }
    types
}

/// Which rows of a source a statement reads: of this scope, and without what is left out. Nothing where that is all.
fn scope(plan: &Plan<'_>, source: usize, scope: Scope) -> Vec<String> {
    let table = &plan.sources[source];
    let mut conditions = Vec::new();
    if scope != Scope::Every {
        let key = key_types(plan).iter().position(|name| *name == table.tenant_type).unwrap_or_default();
        conditions.push(format!("{} = this.key_{key}", table.tenant));
    }
    conditions.extend(table.leave_out.iter().filter_map(|out| scope.includes(&format!("({})", out.sql))));
    conditions
}

/// `WHERE` and conditions, or nothing.
fn filter(conditions: &[String]) -> String {
    if conditions.is_empty() { String::new() } else { format!(" WHERE {}", conditions.join(" AND ")) }
}

/// A statement that finds all of a bundle.
struct Statement {
    /// `WITH …`, or nothing.
    with: String,
    /// The bundle, and its version, as expressions of type text.
    bundle: String,
    version: String,
    /// What `bundle` and `version` read, and `made.valid_until`.
    from: String,
}

/// The statement; with the lists in the bundle, or without any.
fn statement(
    plan: &Plan<'_>,
    catalogue: &Catalogue,
    way: Way,
    scope: Scope,
    with_lists: bool,
) -> Result<Statement, Fault> {
    let mut relations = Relations::new();
    let numbers = match way {
        Way::Counters => counters::numbers(plan, scope, &mut relations)?,
        Way::Tables => tables::numbers(plan, scope, &mut relations)?,
    };
    let lists = if with_lists { Some(lists::lists(plan, scope)?) } else { None };
    let bundle = assembly::json(plan, &numbers, lists.as_deref(), &mut relations);
    let (with, version) = match way {
        Way::Counters => (counters::facts(plan, catalogue, scope), VERSION.to_owned()),
        Way::Tables => (String::new(), "NULL".to_owned()),
    };
    relations.push(format!("(SELECT {} AS valid_until) AS made", time::valid_until(plan, way)));
    let from = relations.join("\nCROSS JOIN LATERAL ");
    Ok(Statement { with, bundle, version, from })
}

impl Statement {
    /// Which fills the results of a function.
    fn into_results(self) -> String {
        let Self { with, bundle, version, from } = self;
        format!(
            "{with}SELECT {bundle},\n       {version}, made.valid_until\nINTO bundle, version, valid_until\nFROM {from}"
        )
    }
}
