//! A server process that cannot outlive the test that started it.

use std::collections::HashSet;
use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{
    Pid, Resource, Rlimit, Signal, WaitId, WaitIdOptions, getrlimit, kill_process, prlimit, waitid,
};

use crate::wait::{DEADLINE, poll_until};

/// The directory that holds the workspace.
pub fn repository_root() -> PathBuf {
    // Cargo says at run time where the package lies; a target directory may have been filled elsewhere.
    let package = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    Path::new(&package).parent().expect("tests/ lies in the repository").to_owned()
}

/// Runs to the end and returns what came out, whatever the exit status.
pub fn run(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).output().unwrap_or_else(|e| panic!("cannot run {command:?}: {e}"))
}

/// Runs to the end and returns standard output, or, unless the exit status is 0, all that came out.
pub(crate) fn try_run(command: &mut Command) -> Result<String, String> {
    let output = run(command);
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if output.status.success() {
        return Ok(stdout.into_owned());
    }
    Err(format!("{command:?}: {}\n{stdout}{stderr}", output.status))
}

/// Runs to the end, fails with the output unless the exit status is 0, and returns standard output.
pub fn run_ok(command: &mut Command) -> String {
    try_run(command).unwrap_or_else(|failure| panic!("{failure}"))
}

/// A loopback port that nobody listens on and that this run has not handed out before.
pub fn free_port() -> u16 {
    static TAKEN: Mutex<Option<HashSet<u16>>> = Mutex::new(None);
    let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
    let taken = taken.get_or_insert_default();
    loop {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = listener.local_addr().expect("a bound listener has an address").port();
        if taken.insert(port) {
            return port;
        }
    }
}

/// Stops a process that some server of the test has started (SIGSTOP); an ended one is left alone.
pub fn freeze_pid(pid: i32) {
    signal(pid, Signal::STOP);
}

/// Undoes [`freeze_pid`].
pub fn thaw_pid(pid: i32) {
    signal(pid, Signal::CONT);
}

fn signal(pid: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid) {
        // An error means that it has ended meanwhile.
        let _ = kill_process(pid, signal);
    }
}

/// A running server with a log file. Dropped: killed, and its log printed if the test failed.
#[derive(Debug)]
pub struct Process {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `program` with its output going to `log` (appended: a restart keeps what was said before).
    ///
    /// The kernel kills the server when the starting *thread* ends, so that nothing is left behind by a
    /// test run that is itself killed; start it from the test's own thread.
    pub fn start(
        name: &'static str,
        program: &Path,
        log: &Path,
        configure: impl FnOnce(&mut Command),
    ) -> Self {
        let out = File::options().create(true).append(true).open(log).expect("a log file");
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", "--"])
            .arg(program)
            .stdin(Stdio::null())
            .stderr(out.try_clone().expect("a second handle"))
            .stdout(out);
        configure(&mut command);
        let child = command.spawn().unwrap_or_else(|e| panic!("cannot start {name}: {e}"));
        Self { name, child, log: log.to_owned() }
    }

    /// The server's process id (setpriv has replaced itself by the server).
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What the server has written so far.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Whether the server has ended.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("our own child can be waited for")
    }

    /// Sends SIGTERM.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Sends SIGINT.
    pub fn interrupt(&self) {
        self.signal(Signal::INT);
    }

    /// Sends SIGQUIT.
    pub fn quit(&self) {
        self.signal(Signal::QUIT);
    }

    /// Stops the server in its tracks, as an overloaded machine would (SIGSTOP), and returns once it stands.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
        // The signal is on its way when the call returns: until all threads have stopped, they go on.
        let _ = waitid(WaitId::Pid(self.id()), WaitIdOptions::STOPPED);
    }

    /// Lets a frozen server go on (SIGCONT).
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// Sends SIGHUP.
    pub fn hang_up(&self) {
        self.signal(Signal::HUP);
    }

    /// Lets the server open no file descriptor whose number is not below `most`, while the answer lives. What is open stays open:
    /// below 3 nothing is free, whatever it closes.
    pub fn limit_descriptors(&self, most: u64) -> DescriptorLimit {
        let low = Rlimit { current: Some(most), maximum: getrlimit(Resource::Nofile).maximum };
        let usual = prlimit(Some(self.id()), Resource::Nofile, low).expect("a limit of our own child's");
        DescriptorLimit { pid: self.id(), usual }
    }

    /// Whether the server's thread of this name has something to do; one that has been woken has, though it does not run yet.
    pub fn is_at_work(&self, thread: &str) -> bool {
        let threads = fs::read_dir(format!("/proc/{}/task", self.child.id())).into_iter().flatten().flatten();
        threads.map(|thread| fs::read_to_string(thread.path().join("stat")).unwrap_or_default()).any(|stat| {
            let state = stat.split_once(&format!("({thread}) ")).map(|(_, rest)| &rest[..1]);
            matches!(state, Some("R" | "D"))
        })
    }

    /// How many file descriptors the server has open.
    pub fn open_descriptors(&self) -> u64 {
        let open = fs::read_dir(format!("/proc/{}/fd", self.child.id())).map(Iterator::count);
        open.unwrap_or_default() as u64
    }

    fn signal(&self, signal: Signal) {
        // An error means that it has ended already, which is what the callers are after.
        let _ = kill_process(self.id(), signal);
    }

    fn id(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed()).expect("a pid is not 0")
    }

    /// Ends the server at once (SIGKILL) and waits until it is gone.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Waits until the server has ended by itself and returns its exit status.
    pub fn wait_exit(&mut self) -> ExitStatus {
        self.wait_exit_within(DEADLINE)
    }

    /// Like [`Process::wait_exit`], with a deadline of the test's own.
    pub fn wait_exit_within(&mut self, deadline: Duration) -> ExitStatus {
        let ended = poll_until(deadline, || self.exited().is_some());
        assert!(ended, "{} has not ended within {deadline:?}\n{}", self.name, self.log());
        self.exited().expect("it has ended")
    }

    /// Waits until `ready` holds; fails with the log if the server ends or the deadline passes first.
    pub fn wait_ready(&mut self, mut ready: impl FnMut() -> bool) {
        let mut ended = None;
        let is_ready = poll_until(DEADLINE, || {
            ended = self.exited();
            ended.is_some() || ready()
        });
        if let Some(status) = ended {
            panic!("{} ended ({status}) before it was ready:\n{}", self.name, self.log());
        }
        assert!(is_ready, "{} is not ready within {DEADLINE:?}:\n{}", self.name, self.log());
    }
}

/// A server's limit of file descriptors is low; dropped, it is what it was.
#[derive(Debug)]
#[must_use = "the limit is lifted when this is dropped"]
pub struct DescriptorLimit {
    pid: Pid,
    usual: Rlimit,
}

impl Drop for DescriptorLimit {
    fn drop(&mut self) {
        // An error means that the server has ended.
        let _ = prlimit(Some(self.pid), Resource::Nofile, self.usual);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("--- log of {} ---\n{}--- end ---", self.name, self.log());
        }
    }
}
