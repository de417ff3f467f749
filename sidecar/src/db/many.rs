//! The statement for many tenants, which follows from the columns that `dashboard.bundles` returns, and what its rows say.

use chrono::{DateTime, Utc};
use postgres::types::Type;
use postgres::{Column, Row, Statement};

use super::failure::classify;
use super::list::{self, ListError, Rows, Shape};
use super::returned::{self, Returned};
use crate::bundle::{Content, NotABundle, Version};
use crate::error::ApiError;
use crate::pg::{Client, Queries as _};
use crate::tenant::Tenant;

pub(super) const FUNCTION: &str = "dashboard.bundles";

/// The columns that are no lists.
const COLUMNS: [&str; 3] = ["tenant", "bundle", "without_test_data"];
/// One more, which there may be: the version of both bundles. (A list may have that name, too.)
const VERSION: &str = "version";
/// What the name of a list without test data ends with.
const WITHOUT: &str = "_without_test_data";
const FIRST_LIST: usize = 7;

// In FROM, only a function that is inlined hands on its rows before the last is there.
const AT_ONCE: &str = "SELECT lanname <> 'sql' OR proconfig IS NOT NULL
                       FROM pg_catalog.pg_proc JOIN pg_catalog.pg_language ON pg_language.oid = prolang
                       WHERE pg_proc.oid = to_regprocedure('dashboard.bundles(text[])')";

/// A prepared statement: database time, tenant, bytes and bundle with test data, bytes and bundle without it where that
/// is another, the version, and each list in both ways; parameters tenants, most bytes.
pub(super) struct Many {
    pub(super) statement: Statement,
    lists: Vec<List>,
    /// Whether all rows are computed before the first is there.
    pub(super) at_once: bool,
}

struct List {
    /// As it stands in JSON, with its colon.
    name: Vec<u8>,
    with: Shape,
    without: Option<Shape>,
}

/// Both bundles of a tenant.
pub(super) struct Pair {
    pub(super) generated_at: DateTime<Utc>,
    pub(super) version: Option<Version>,
    pub(super) with: Result<Content, ApiError>,
    pub(super) without: Result<Content, ApiError>,
}

/// Why a bundle could not be put together.
#[derive(Debug, thiserror::Error)]
enum Problem {
    #[error(transparent)]
    NotABundle(#[from] NotABundle),
    #[error(transparent)]
    List(#[from] ListError),
}

impl Many {
    pub(super) fn prepare(client: &mut Client) -> Result<Self, ApiError> {
        let failed = |error: postgres::Error| classify(FUNCTION, &error);
        let returned = client.prepare("SELECT * FROM dashboard.bundles($1::text[])").map_err(failed)?;
        let column = |name: &str| returned.columns().iter().find(|column| column.name() == name);
        let shape = |column: &Column| Shape::of(column.name(), column.type_()).map_err(|error| wrong(&error));
        let mut lists = Vec::new();
        let mut columns = Vec::new();
        for with in returned.columns() {
            let name = with.name();
            let is_of_another = name.strip_suffix(WITHOUT).is_some_and(|list| column(list).is_some());
            if COLUMNS.contains(&name) || is_version(with) || is_of_another {
                continue;
            }
            let without = column(&format!("{name}{WITHOUT}"));
            columns.push((quoted(name), without.map(|column| quoted(column.name()))));
            let mut json = Vec::new();
            list::write_name(name, &mut json);
            lists.push(List { name: json, with: shape(with)?, without: without.map(shape).transpose()? });
        }
        let versioned = returned.columns().iter().any(is_version);
        let statement = client.prepare(&statement(&columns, versioned)).map_err(failed)?;
        let at_once = client.query_one(AT_ONCE, &[]).and_then(|row| row.try_get(0)).map_err(failed)?;
        Ok(Self { statement, lists, at_once })
    }

    /// What a row says about `tenant`.
    ///
    /// # Errors
    /// What is wrong with all that the function returns, not only with this tenant's bundles.
    pub(super) fn read(&self, row: &Row, tenant: &Tenant, most: u32) -> Result<Pair, ApiError> {
        let failed = |error: postgres::Error| classify(FUNCTION, &error);
        let generated_at = row.try_get(0).map_err(failed)?;
        let name: Option<&str> = row.try_get(1).map_err(failed)?;
        // One tenant's figures under another's name would be the worst of errors.
        if name != Some(tenant.as_str()) {
            return Err(mismatch("rows in another order than the tenants asked for"));
        }
        let with = Returned::of(row, 2).map_err(failed)?;
        let without = Returned::of(row, 4).map_err(failed)?;
        let version = returned::version(row, 6, tenant).map_err(failed)?;
        let mut lists = Vec::with_capacity(self.lists.len());
        for (list, column) in self.lists.iter().zip((FIRST_LIST..).step_by(2)) {
            let with: Option<Rows<'_>> = row.try_get(column).map_err(failed)?;
            let without: Option<Rows<'_>> = row.try_get(column + 1).map_err(failed)?;
            let with = with.map(|rows| (&list.name, &list.with, rows));
            let without = list.without.as_ref().zip(without).map(|(shape, rows)| (&list.name, shape, rows));
            lists.push((with, without.or(with)));
        }
        let content = |returned: Returned<'_>, lists: Vec<_>| {
            let mut broken = None;
            let content = returned.content(FUNCTION, tenant, most, |json| {
                assemble(json, &lists).inspect_err(|problem| {
                    if let Problem::List(error) = problem {
                        broken = Some(wrong(error));
                    }
                })
            });
            broken.map_or(Ok(content), Err)
        };
        // Put together once, even where it is both bundles.
        let with = content(with, lists.iter().filter_map(|(with, _)| *with).collect())?;
        let without = if without.is_null() {
            with.clone()
        } else {
            content(without, lists.iter().filter_map(|(_, without)| *without).collect())?
        };
        Ok(Pair { generated_at, version, with, without })
    }
}

/// A bundle with its lists, of which each has a name, a type and rows.
fn assemble(json: &str, lists: &[(&Vec<u8>, &Shape, Rows<'_>)]) -> Result<Content, Problem> {
    if lists.is_empty() {
        return Ok(Content::new(json)?);
    }
    // Names and punctuation are about as much again as what they stand around.
    let bytes = lists.iter().map(|(_, _, rows)| rows.len() * 2).sum();
    Content::with_lists(json, bytes, |members| {
        for (place, (name, shape, rows)) in lists.iter().enumerate() {
            if place > 0 {
                members.push(b',');
            }
            members.extend_from_slice(name);
            shape.write(*rows, members)?;
        }
        Ok(())
    })
}

/// Text in and text out: JSON passes through untouched. What is too large does not leave Postgres; rows are smaller there
/// than their JSON is, of which the size is looked at again. OFFSET 0 keeps the planner from computing a bundle once for
/// each mention.
fn statement(lists: &[(String, Option<String>)], versioned: bool) -> String {
    let version = if versioned { VERSION } else { "NULL::text" };
    let (mut inner, mut sizes, mut other_sizes, mut outer) =
        (String::new(), String::new(), String::new(), String::new());
    let append = |text: &mut String, more: String| text.push_str(&more);
    for (n, (with, without)) in lists.iter().enumerate() {
        let without = without.as_deref().unwrap_or("NULL::text");
        append(&mut inner, format!(", {with} AS list{n}, {without} AS other{n}"));
        append(&mut sizes, format!(" + COALESCE(pg_column_size(list{n}), 0)"));
        append(
            &mut other_sizes,
            format!(" + COALESCE(pg_column_size(other{n}), pg_column_size(list{n}), 0)"),
        );
        append(
            &mut outer,
            format!(
                ", CASE WHEN bytes <= $2::bigint OR (other_bytes <= $2::bigint AND other{n} IS NULL) THEN list{n} END
                 , CASE WHEN other_bytes <= $2::bigint THEN other{n} END"
            ),
        );
    }
    format!(
        "SELECT now(), tenant, bytes, CASE WHEN bytes <= $2::bigint THEN json END,
                other_bytes, CASE WHEN other_bytes <= $2::bigint THEN other END, version{outer}
         FROM (SELECT *, octet_length(json)::bigint{sizes} AS bytes, octet_length(other)::bigint{other_sizes} AS other_bytes
               FROM (SELECT tenant, bundle::text AS json, without_test_data::text AS other, {version} AS version{inner}
                     FROM dashboard.bundles($1::text[]) OFFSET 0) AS returned) AS computed"
    )
}

fn is_version(column: &Column) -> bool {
    column.name() == VERSION && *column.type_() == Type::TEXT
}

/// A column's name as SQL has it.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn wrong(error: &ListError) -> ApiError {
    tracing::error!(%error, "dashboard.bundles returns what cannot be read");
    ApiError::wrong_result(FUNCTION, &error.to_string())
}

/// The rows are not those of the tenants.
pub(super) fn mismatch(problem: &str) -> ApiError {
    tracing::error!(problem, "dashboard.bundles must return one row for each tenant, in order");
    ApiError::wrong_result(FUNCTION, problem)
}
