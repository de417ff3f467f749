//! A board of one's own SQL: a function around its statement, and the tables that it follows.

use board::Board;
use board::definition::{Content, Query};

use crate::catalogue::Catalogue;
use crate::facts::Facts;
use crate::plan::{TenantTable, follows, tenants};
use crate::text::quoted;
use crate::{Fault, bundle};

/// A board of one's own SQL that fits its database.
#[derive(Debug)]
pub struct QueryPlan<'a> {
    pub(crate) board: &'a Board,
    pub(crate) query: &'a Query,
    tenants: TenantTable,
    /// All feeds whose changes change it, by number.
    pub feeds: Vec<usize>,
}

impl<'a> QueryPlan<'a> {
    /// Looks whether the tables that it follows are there, and gives them a place in the catalogue. On an error the catalogue is as it
    /// was.
    ///
    /// # Errors
    /// The first [`Fault`] in the order of the definition.
    pub fn of(board: &'a Board, facts: &Facts, catalogue: &mut Catalogue) -> Result<Self, Fault> {
        let Content::Query(query) = &board.content else {
            return Err(Fault::NotAQuery { board: board.name.to_string() });
        };
        let mut known = catalogue.clone();
        let tenants = tenants(board, facts)?;
        let mut feeds = follows(board, facts, &tenants, &mut known)?;
        feeds.iter_mut().for_each(|feed| *feed += 1);
        feeds.sort_unstable();
        feeds.dedup();
        *catalogue = known;
        Ok(Self { board, query, tenants, feeds })
    }

    /// The statements that create its functions: one with the statement as it is, whose parameters are its own, and the one that a read
    /// calls.
    pub fn functions(&self) -> Vec<String> {
        let board = self.board.name.as_str();
        let TenantTable { table, key, key_type } = &self.tenants;
        let statement = format!(
            "CREATE OR REPLACE FUNCTION dashboard.\"query_{board}\"(tenant text, include boolean) RETURNS json
LANGUAGE sql STABLE
-- Its names mean what they meant when the board was applied.
SET search_path FROM CURRENT
SET timezone = 'UTC'
SET row_security = off
AS {}",
            quoted(&format!("\nSELECT (\n{}\n)::json\n", self.query.statement))
        );
        let all = self.board.tenants.all.as_ref().map_or_else(String::new, |all| {
            format!("tenant <> {} AND ", board::expression::literal(all.as_str()))
        });
        let read = format!(
            "CREATE OR REPLACE FUNCTION {}(
    tenant text, include boolean, OUT bundle text, OUT version text, OUT valid_until timestamptz)
LANGUAGE plpgsql STABLE COST 100000
SET search_path = pg_catalog, pg_temp
AS {}",
            bundle::name(board),
            quoted(&format!(
                "
-- The board {board}: a statement of its own.
#variable_conflict use_column
<<this>>
DECLARE
    asked CONSTANT text := tenant;
    everything CONSTANT boolean := include;
    key {key_type};
BEGIN
    BEGIN
        key := CASE WHEN {all}true THEN tenant END::{key_type};
    EXCEPTION WHEN data_exception THEN
        -- Nobody can be called that.
        RETURN;
    END;
    IF key IS NOT NULL AND NOT EXISTS (SELECT FROM {table} AS t WHERE t.{key} = this.key AND t.{key}::text = asked) THEN
        RETURN;
    END IF;
    bundle := dashboard.\"query_{board}\"(asked, everything)::text;
    version := dashboard.version(asked, {});
END
",
                board::expression::literal(board)
            ))
        );
        vec![statement, read]
    }
}
