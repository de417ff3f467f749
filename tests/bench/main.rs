//! `make bench`: what a hit costs the server, what a thousand clients on one cold bundle cost it, how fast bundles
//! are read over HTTP, and how fast and how gently two thousand tenants are warmed; what a bundle costs by counters and
//! without, what they cost writers, and how soon a change is seen.
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
mod compaction;
mod cost;
mod counters;
mod cpu;
mod crm;
mod crowd;
mod feed;
mod herd;
mod http;
mod machine;
mod neighbours;
mod old_way;
mod ping;
mod pipeline;
mod plain;
mod sets;
mod statistics;
mod table;
mod warming;
mod workload;
mod writers;

use std::process::ExitCode;

use table::Table;

/// What can be measured by itself: its name, and what measures it.
type Part = (&'static str, fn(&mut Table));

fn main() -> ExitCode {
    machine::allow_open_files();
    eprintln!("{}", machine::facts());
    let mut table = Table::default();
    let parts: [Part; 10] = [
        ("hits", cost::measure),
        ("herd", herd::measure),
        ("http", http::measure),
        ("neighbours", neighbours::measure),
        ("warming", warming::measure),
        ("counters", counters::measure),
        ("sets", sets::measure),
        ("writers", writers::measure),
        ("feed", feed::measure),
        ("compaction", compaction::measure),
    ];
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    if let [argument, address, redis_url] = wanted.as_slice()
        && argument == plain::ARGUMENT
    {
        plain::serve(address, redis_url);
        return ExitCode::SUCCESS;
    }
    if let Some(unknown) = wanted.iter().find(|name| parts.iter().all(|(part, _)| part != name)) {
        let names = parts.map(|(name, _)| name).join(", ");
        eprintln!("bench: there is no part '{unknown}': name some of {names}, or none for all");
        return ExitCode::from(2);
    }
    for (name, measure) in parts {
        if wanted.is_empty() || wanted.iter().any(|part| part == name) {
            measure(&mut table);
        }
    }
    println!("{}\n\n{table}", machine::facts());
    if table.holds() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
