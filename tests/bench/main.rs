//! `make bench`: what a hit costs the server, and what a thousand clients on one cold bundle cost it.
//!
//! Figures are ratios within one run, or times of one event, beside their budgets; a busy machine moves them,
//! so being over a budget is reported and no failure. That a cold bundle is asked for once, and that all get
//! the same bytes, does not depend on the machine: otherwise the exit status is 1.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a measurement that cannot be made is not reported as one"
)]

mod clients;
mod cost;
mod cpu;
mod herd;
mod machine;
mod pipeline;
mod statistics;
mod table;

use std::process::ExitCode;

use table::Table;

fn main() -> ExitCode {
    machine::allow_open_files();
    eprintln!("{}", machine::facts());
    let mut table = Table::default();
    cost::measure(&mut table);
    herd::on_sized_bundle(&mut table);
    herd::on_computed_bundle(&mut table);
    println!("{}\n\n{table}", machine::facts());
    if table.holds() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
