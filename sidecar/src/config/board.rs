//! Settings of `board`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::DatabaseArgs;

/// What can be done with boards.
#[derive(Debug, Subcommand)]
pub enum BoardCommand {
    /// Change nothing: try definitions on the database, and print for each figure where it is read from and why, which
    /// triggers there are, which indexes are missing, and what the role may not do. Exit code 0 if all is well, 1 if the
    /// role may not do something, 2 if a definition is wrong, fails on its tables, or cannot be tried
    Plan(BoardPlanArgs),
}

/// Settings of `board plan`.
#[derive(Debug, Args)]
pub struct BoardPlanArgs {
    /// Definitions of boards (TOML); a statement that one names is read from beside it
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// Print the SQL instead: all that these boards create in the schema dashboard, and their triggers
    #[arg(long)]
    pub sql: bool,
    /// Where Postgres is.
    #[command(flatten)]
    pub database: DatabaseArgs,
}
