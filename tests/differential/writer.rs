//! Transactions of random statements: alone, together, at each isolation level, with savepoints, short and long,
//! committed and rolled back.

use std::io::{Read as _, Write as _};

use fastrand::Rng;
use postgres::{Client, Error, NoTls};

use super::journal::Journal;
use super::run::Scene;
use super::statements::{Statement, Statements};
use super::values::pick;

/// What a writer among others has to put up with, and then goes on; everything else is a failure.
const REFUSALS: [&str; 6] = [
    "40001", // serialization failure
    "40P01", // deadlock
    "55P03", // lock not available: lock_timeout
    "23505", // unique violation
    "23514", // check violation: the row belongs into another partition
    "23503", // foreign key violation: the account has just gone
];

/// One connection that writes.
pub(super) struct Writer<'a> {
    url: String,
    client: Client,
    statements: Statements,
    journal: &'a Journal,
    name: usize,
    /// Alone, it has no reason to wait.
    alone: bool,
    /// The driver does not find its way back from a COPY that was refused.
    out_of_step: bool,
}

impl<'a> Writer<'a> {
    /// `alone` is whether nobody else writes.
    pub(super) fn new(scene: &Scene<'a>, name: usize, rng: Rng, alone: bool) -> Self {
        let url = scene.postgres.url();
        let mut statements = Statements::new(rng, scene.variant, scene.only);
        let client = connect(&url, &mut statements.rng);
        Self { url, client, statements, journal: scene.journal, name, alone, out_of_step: false }
    }

    /// Runs one transaction; `Err` says what must not happen.
    pub(super) fn transaction(&mut self) -> Result<(), String> {
        if self.statements.rng.u8(0..100) == 0 {
            // Plans are made anew, after whatever comes first.
            self.client = connect(&self.url, &mut self.statements.rng);
        }
        let mut done = Vec::new();
        let result = self.run(&mut done);
        let outcome = match &result {
            Ok(outcome) => (*outcome).to_owned(),
            Err(error) => {
                if std::mem::take(&mut self.out_of_step) {
                    // What was begun ends with its session.
                    self.client = connect(&self.url, &mut self.statements.rng);
                } else if let Err(again) = self.client.batch_execute("ROLLBACK") {
                    return Err(format!("{again:?}\nafter {error:?}\nafter {}", done.join("; ")));
                }
                error.code().map_or("lost", |code| code.code()).to_owned()
            }
        };
        self.journal.note(&format!("[{}] {}: {}", self.name, outcome, done.join("; ")));
        match result {
            Err(error) if !refused(&error) => Err(format!("{error:?}\nafter {}", done.join("; "))),
            _ => {
                self.journal.count(&outcome);
                self.journal.count("transactions");
                Ok(())
            }
        }
    }

    fn run(&mut self, done: &mut Vec<String>) -> Result<&'static str, Error> {
        if self.statements.rng.u8(0..10) < 4 {
            self.statement(true, done)?;
            return Ok("committed");
        }
        let level = pick(
            &mut self.statements.rng,
            &["READ COMMITTED", "READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"],
        );
        self.journal.count(level);
        self.batch(&format!("BEGIN ISOLATION LEVEL {level}"), done)?;
        for _ in 0..self.statements.rng.u8(1..6) {
            // Under a snapshot older than itself, TRUNCATE's trigger sees the rows of that snapshot: not covered.
            let truncate = level == "READ COMMITTED";
            match self.statements.rng.u8(0..8) {
                0 | 1 => self.savepoint(truncate, done)?,
                2 if !self.alone && self.statements.rng.u8(0..4) == 0 => {
                    self.journal.count("long transactions");
                    let seconds = self.statements.rng.u32(100..600);
                    self.batch(&format!("SELECT pg_sleep(0.{seconds:03})"), done)?;
                }
                _ => self.statement(truncate, done)?,
            }
        }
        if self.statements.rng.u8(0..5) == 0 {
            self.batch("ROLLBACK", done)?;
            return Ok("rolled back");
        }
        self.batch("COMMIT", done)?;
        Ok("committed")
    }

    fn savepoint(&mut self, truncate: bool, done: &mut Vec<String>) -> Result<(), Error> {
        self.journal.count("savepoints");
        self.batch("SAVEPOINT s", done)?;
        let result = self.statement(truncate, done);
        match result {
            Err(error) if refused(&error) && !self.out_of_step => {
                self.journal.count("savepoints after errors");
                self.batch("ROLLBACK TO s", done)
            }
            Err(error) => Err(error),
            Ok(()) if self.statements.rng.bool() => {
                self.journal.count("savepoints rolled back");
                self.batch("ROLLBACK TO s", done)
            }
            Ok(()) => self.batch("RELEASE s", done),
        }
    }

    fn statement(&mut self, truncate: bool, done: &mut Vec<String>) -> Result<(), Error> {
        let Statement { kind, sql, copied_into } = self.statements.next(truncate);
        match copied_into {
            None => self.batch(&sql, done)?,
            Some(into) => {
                done.push(format!("{into} <- {sql}"));
                self.out_of_step = true;
                let mut rows = Vec::new();
                self.client.copy_out(&sql)?.read_to_end(&mut rows).expect("COPY TO is read");
                let mut writer = self.client.copy_in(&into)?;
                writer.write_all(&rows).expect("COPY FROM takes what is sent");
                writer.finish()?;
                self.out_of_step = false;
            }
        }
        self.journal.count(kind);
        Ok(())
    }

    fn batch(&mut self, sql: &str, done: &mut Vec<String>) -> Result<(), Error> {
        done.push(sql.to_owned());
        self.client.batch_execute(sql)
    }
}

fn refused(error: &Error) -> bool {
    error.code().is_some_and(|code| REFUSALS.contains(&code.code()))
}

/// With settings of its own: nothing that is kept may depend on a writer's.
fn connect(url: &str, rng: &mut Rng) -> Client {
    let mut client = Client::connect(url, NoTls).expect("Postgres lets writers in");
    let zone = pick(rng, &["UTC", "America/New_York", "Pacific/Kiritimati", "Asia/Kathmandu"]);
    // COPY takes back what it gave: in no other style than ISO is that certain.
    let style = pick(rng, &["ISO, DMY", "ISO, MDY"]);
    let interval = pick(rng, &["postgres", "iso_8601", "sql_standard"]);
    client
        .batch_execute(&format!(
            "SET timezone = '{zone}'; SET datestyle = '{style}'; SET intervalstyle = '{interval}'; \
             SET lock_timeout = '500ms'; SET deadlock_timeout = '50ms'; SET application_name = 'fuzz'"
        ))
        .expect("settings");
    client
}
