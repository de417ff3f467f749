//! One Postgres server for the whole run, one database for each test.
//!
//! initdb and migrating take seconds, so they happen once: a test's database is a copy of the migrated
//! template.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use postgres::NoTls;
use tempfile::TempDir;

use crate::artefacts::Artefacts;
use crate::process::{run_ok, try_run};
use crate::sidecar::Sidecar;
use crate::wait::{DEADLINE, poll_until};

const TEMPLATE: &str = "crm_template";

/// Nothing here has to survive a crash of the machine; what was committed survives the server's own.
pub(crate) const SETTINGS: [&str; 4] =
    ["listen_addresses=", "max_connections=300", "fsync=off", "full_page_writes=off"];

/// Ends the server and removes its files once the test process is gone, however it went: its end of the
/// pipe closes even on SIGKILL. A static has no Drop, and a death signal would follow the thread of
/// whichever test came first.
const SUPERVISOR: &str = r#"
dir=$1; shift
"$@" >"$dir/log" 2>&1 </dev/null &
server=$!
read -r _
kill -QUIT "$server"
wait "$server"
rm -rf "$dir"
"#;

struct Server {
    directory: PathBuf,
    /// Held for its standard input.
    _supervisor: Mutex<Child>,
}

/// A database of the test's own; the server goes on when it is dropped, and ends with the run.
#[derive(Debug)]
pub struct Postgres {
    database: String,
    directory: PathBuf,
}

impl Postgres {
    /// A migrated, empty CRM database.
    pub fn start() -> Self {
        Artefacts::get();
        // A failure is remembered too: it is one for all tests.
        static MIGRATED: OnceLock<Result<String, String>> = OnceLock::new();
        let migrated = MIGRATED.get_or_init(|| {
            let template = Self::create(TEMPLATE.to_owned(), "template0");
            try_run(&mut Sidecar::command(&["migrate"], &template.url()))
        });
        assert!(migrated.is_ok(), "{migrated:?}");
        Self::create(next_name(), TEMPLATE)
    }

    /// A database in which nobody has created anything yet.
    pub fn start_unmigrated() -> Self {
        Self::create(next_name(), "template0")
    }

    /// A database with the same rows; nobody may be connected to this one meanwhile.
    pub fn copy(&self) -> Self {
        Self::create(next_name(), &self.database)
    }

    fn create(database: String, template: &str) -> Self {
        // Postgres refuses to copy a database that another session is connected to, copying included.
        static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
        let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let directory = server().directory.clone();
        let maintenance = Self { database: "postgres".to_owned(), directory: directory.clone() };
        maintenance.execute(&format!("CREATE DATABASE {database} TEMPLATE {template}"));
        Self { database, directory }
    }

    /// How the sidecar and other clients reach the database.
    pub fn url(&self) -> String {
        url(&self.directory, &self.database)
    }

    /// Its name.
    pub(crate) fn database(&self) -> &str {
        &self.database
    }

    /// Where the server's socket lies.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// A new connection.
    pub fn client(&self) -> postgres::Client {
        postgres::Client::connect(&self.url(), NoTls).unwrap_or_else(|e| panic!("{e}\n{}", server_log()))
    }

    /// Runs one or more statements.
    pub fn execute(&self, sql: &str) {
        self.client().batch_execute(sql).unwrap_or_else(|e| panic!("{sql}: {e:?}"));
    }

    /// The one value that a statement returns.
    pub fn value<T: postgres::types::FromSqlOwned>(&self, sql: &str) -> T {
        self.client().query_one(sql, &[]).unwrap_or_else(|e| panic!("{sql}: {e:?}")).get(0)
    }

    /// The statements that other sessions of this database are running.
    pub fn running(&self) -> Vec<String> {
        let sql = "SELECT query FROM pg_stat_activity \
                   WHERE datname = current_database() AND state = 'active' AND pid <> pg_backend_pid()";
        self.client().query(sql, &[]).expect("pg_stat_activity").iter().map(|row| row.get(0)).collect()
    }

    /// Lets no new session in and ends those that are open, as a server that goes down would; see
    /// [`Postgres::come_back`].
    pub fn go_down(&self) {
        let maintenance = Self { database: "postgres".to_owned(), directory: self.directory.clone() };
        maintenance.execute(&format!("ALTER DATABASE {} ALLOW_CONNECTIONS false", self.database));
        maintenance.execute(&format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{}'",
            self.database
        ));
    }

    /// Undoes [`Postgres::go_down`].
    pub fn come_back(&self) {
        let maintenance = Self { database: "postgres".to_owned(), directory: self.directory.clone() };
        maintenance.execute(&format!("ALTER DATABASE {} ALLOW_CONNECTIONS true", self.database));
    }
}

fn next_name() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    format!("crm_{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| {
        let Cluster { directory, binaries, as_user } = Cluster::create();
        let directory = directory.keep();
        let data = directory.join("data");

        let mut supervisor = Command::new("sh");
        supervisor.args(["-c", SUPERVISOR, "supervisor"]).arg(&directory).args(&as_user);
        supervisor.arg(binaries.join("postgres")).arg("-D").arg(&data).arg("-k").arg(&directory);
        for setting in SETTINGS {
            supervisor.args(["-c", setting]);
        }
        // Ctrl-C goes to the whole foreground group; the supervisor must live on to clean up.
        std::os::unix::process::CommandExt::process_group(&mut supervisor, 0);
        let supervisor = supervisor
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("sh starts");

        let url = url(&directory, "postgres");
        let ready = poll_until(DEADLINE, || postgres::Client::connect(&url, NoTls).is_ok());
        let log = fs::read_to_string(directory.join("log")).unwrap_or_default();
        assert!(ready, "postgres is not ready within {DEADLINE:?}:\n{log}");
        Server { directory, _supervisor: Mutex::new(supervisor) }
    })
}

/// A data directory, and how to run programs on it.
pub(crate) struct Cluster {
    pub(crate) directory: TempDir,
    pub(crate) binaries: PathBuf,
    /// The first words of each command, see [`owner`].
    pub(crate) as_user: Vec<String>,
}

impl Cluster {
    /// A place for one, in `data`, which is still to be made.
    pub(crate) fn empty() -> Self {
        let directory = tempfile::Builder::new()
            .prefix("dashboard-postgres-")
            .permissions(fs::Permissions::from_mode(0o755))
            .tempdir()
            .expect("a temporary directory");
        let binaries = newest_binaries();
        let as_user = owner(directory.path());
        Self { directory, binaries, as_user }
    }

    /// Makes one that nobody has created anything in.
    pub(crate) fn create() -> Self {
        let cluster = Self::empty();
        let mut initdb = command(&cluster.as_user);
        initdb.arg(cluster.binaries.join("initdb")).arg("-D").arg(cluster.directory.path().join("data"));
        run_ok(initdb.args(["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]));
        cluster
    }
}

/// How a server whose socket lies in `directory` is reached.
pub(crate) fn url(directory: &Path, database: &str) -> String {
    let host = directory.display().to_string().replace('/', "%2F");
    format!("postgresql://postgres@{host}/{database}")
}

fn server_log() -> String {
    fs::read_to_string(server().directory.join("log")).unwrap_or_default()
}

/// Postgres refuses to run as root: then its files belong to the user `postgres` that Debian's package
/// creates, and the commands run as that user through these first words.
fn owner(directory: &Path) -> Vec<String> {
    if !rustix::process::geteuid().is_root() {
        return Vec::new();
    }
    let id = |flag: &str| -> u32 {
        run_ok(Command::new("id").args([flag, "postgres"])).trim().parse().expect("id prints a number")
    };
    chown(directory, Some(id("-u")), Some(id("-g"))).expect("root may give a directory away");
    ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "--"].map(str::to_owned).to_vec()
}

pub(crate) fn command(first_words: &[String]) -> Command {
    let mut command = Command::new("env");
    command.args(first_words).current_dir("/");
    command
}

/// Debian installs each major version into a directory of its own and none of them into PATH.
fn newest_binaries() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").expect("Debian's postgresql package is installed");
    let newest = versions
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok())
        .filter(|version| Path::new(&format!("/usr/lib/postgresql/{version}/bin/postgres")).exists())
        .max()
        .expect("a Postgres server under /usr/lib/postgresql");
    PathBuf::from(format!("/usr/lib/postgresql/{newest}/bin"))
}
