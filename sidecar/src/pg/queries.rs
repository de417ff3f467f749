//! What can be asked of Postgres, whether in a transaction of several statements or each time in one of its own.

use postgres::{Error, Row};

use super::param::Param;

/// A session, or a transaction.
pub(crate) trait Queries {
    /// All rows.
    fn query(&mut self, sql: &str, parameters: &[&dyn Param]) -> Result<Vec<Row>, Error>;
    /// The one row.
    fn query_one(&mut self, sql: &str, parameters: &[&dyn Param]) -> Result<Row, Error>;
    /// The one row, or none.
    fn query_opt(&mut self, sql: &str, parameters: &[&dyn Param]) -> Result<Option<Row>, Error>;
    /// How many rows it was about.
    fn execute(&mut self, sql: &str, parameters: &[&dyn Param]) -> Result<u64, Error>;
    /// Any number of statements without parameters.
    fn batch_execute(&mut self, sql: &str) -> Result<(), Error>;
}
