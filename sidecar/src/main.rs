//! `dashboard-sidecar`: the command line. The tour of the code starts in the library's documentation.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser;
use dashboard_sidecar::config::{Cli, Command, DatabaseArgs, DemoCommand};
use dashboard_sidecar::migrate::Verdict;
use dashboard_sidecar::{
    board, counters, cron, db, demo, error::Failure, feed, migrate, output, pg, serve, telemetry, token, warm,
};

fn main() -> ExitCode {
    let cli = Cli::parse();
    // Held to the end: what it still has to write is written when it is dropped.
    let log = match telemetry::init(&cli.log) {
        Ok(log) => log,
        Err(failure) => return failure.report(&mut std::io::stderr()),
    };
    let outcome = run(&cli.command).and_then(|()| output::check());
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        // The log's way, so that it comes after what was logged, and never waits.
        Err(failure) => failure.report(&mut log.writer()),
    }
}

fn run(command: &Command) -> Result<(), Failure> {
    match command {
        Command::Serve(args) => serve::main(args),
        Command::Warm(args) => warm::main(args),
        Command::Migrate(args) if args.check => check(&args.database),
        Command::Migrate(args) => {
            let connect = |terms| db::connect_once(&args.database, "dashboard-sidecar migrate", terms);
            report(migrate::run(&mut connect(pg::Terms::without_end(""))?, &mut connect(pg::HOLDER)?))
        }
        Command::Cron { command } => cron::main(command),
        Command::Board { command } => board::main(command),
        Command::Counters { command } => counters::main(command),
        Command::Feed { command } => feed::status::main(command),
        Command::Token(args) => token::main(args),
        Command::Demo { command: DemoCommand::Load(args) } => {
            let mut client =
                db::connect_once(&args.database, "dashboard-sidecar demo load", pg::Terms::without_end(""))?;
            report(demo::load(&mut client, &args.demo))
        }
    }
}

/// Prints what `migrate` would do; the exit code is the answer.
fn check(args: &DatabaseArgs) -> Result<(), Failure> {
    let mut client = db::connect_once(args, "dashboard-sidecar migrate --check", pg::Terms::without_end(""))?;
    let plan = migrate::check(&mut client).map_err(|error| Failure::undecided(&error))?;
    output::line(format_args!("{plan}"));
    match plan.verdict() {
        Verdict::NothingToDo => Ok(()),
        verdict => Err(Failure::answered(verdict == Verdict::Refused)),
    }
}

/// Prints what a subcommand did, or turns its error into the reason why the process ends.
fn report<T: std::fmt::Display, E: std::error::Error>(outcome: Result<T, E>) -> Result<(), Failure> {
    output::line(format_args!("{}", outcome.map_err(|error| Failure::run(&error))?));
    Ok(())
}
