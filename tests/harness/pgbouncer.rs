//! A real PgBouncer in front of the Postgres server of this run.

use std::fs;
use std::os::unix::fs::chown;
use std::path::Path;
use std::process::Command;

use postgres::NoTls;
use tempfile::TempDir;

use crate::postgres::{Postgres, url};
use crate::process::{Process, run_ok};

/// The users that it lets in.
const USERS: [&str; 2] = ["postgres", "nobody"];

/// A running pooler; ended when dropped.
pub struct PgBouncer {
    // Before its directory.
    process: Process,
    directory: TempDir,
    database: String,
}

impl PgBouncer {
    /// In front of this database, in this `pool_mode`, with so many connections to the server for each user.
    pub fn to(postgres: &Postgres, pool_mode: &str, pool_size: u32) -> Self {
        let directory = TempDir::with_prefix("dashboard-pgbouncer-").expect("a temporary directory");
        let place = directory.path();
        let users: String = USERS.iter().map(|user| format!("\"{user}\" \"\"\n")).collect();
        fs::write(place.join("users"), users).expect("a file");
        let settings = format!(
            "[databases]\n* = host={}\n[pgbouncer]\nlisten_port = 5432\nunix_socket_dir = {place}\nunix_socket_mode = 0777\n\
             auth_type = trust\nauth_file = {place}/users\npool_mode = {pool_mode}\ndefault_pool_size = {pool_size}\n\
             max_client_conn = 200\n",
            postgres.directory().display(),
            place = place.display(),
        );
        fs::write(place.join("pgbouncer.ini"), settings).expect("a file");
        let log = place.join("log");
        let process = Process::start("pgbouncer", Path::new("/usr/sbin/pgbouncer"), &log, |command| {
            // It refuses to run as root, and becomes somebody else by itself.
            if rustix::process::geteuid().is_root() {
                give_away(place);
                command.args(["-u", "postgres"]);
            }
            command.arg(place.join("pgbouncer.ini"));
        });
        let mut pooler = Self { process, directory, database: postgres.database().to_owned() };
        let url = pooler.url();
        pooler.process.wait_ready(|| postgres::Client::connect(&url, NoTls).is_ok());
        pooler
    }

    /// How the database is reached through it.
    pub fn url(&self) -> String {
        url(self.directory.path(), &self.database)
    }
}

fn give_away(place: &Path) {
    let id = |flag: &str| -> u32 {
        run_ok(Command::new("id").args([flag, "postgres"])).trim().parse().expect("id prints a number")
    };
    let (user, group) = (Some(id("-u")), Some(id("-g")));
    for path in [place.to_owned(), place.join("users"), place.join("pgbouncer.ini")] {
        chown(path, user, group).expect("root may give files away");
    }
}
