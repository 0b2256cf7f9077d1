//! A running `warrener run`, as a user would start it.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::stack::Said;

/// How long a test waits for anything at all.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until the condition holds, and says what was waited for where it never does.
pub(crate) fn wait_until(what: &str, limit: Duration, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < limit, "waited {limit:?} in vain: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A stack in a folder of its own (whose path has a space in it), and its supervisor.
pub(crate) struct Supervisor {
    folder: tempfile::TempDir,
    child: Option<Child>,
}

impl Supervisor {
    /// A folder without a supervisor yet. Children find the programs of the tests in `$CHILDREN`.
    pub(crate) fn prepare() -> Self {
        let folder = tempfile::Builder::new().prefix("warrener test ").tempdir().unwrap();
        Self { folder, child: None }
    }

    /// A file of the folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The socket that it listens on.
    pub(crate) fn socket(&self) -> PathBuf {
        self.path("control.sock")
    }

    /// Runs another command of the program, which speaks to this supervisor where it speaks to any.
    pub(crate) fn run(&self, arguments: &[&str]) -> Said {
        let output = self.command(arguments).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Said { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    /// Writes a file of the folder in place.
    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    /// The program with these arguments in the folder, for a command that ends by itself.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_warrener"));
        command.args(arguments);
        self.dress(command)
    }

    /// Starts `warrener -v run stack.yaml` in the folder.
    pub(crate) fn start(&mut self) {
        self.start_by(self.command(&["-v", "run", "stack.yaml"]));
    }

    /// The same as the last words of another program's arguments, which becomes it.
    pub(crate) fn start_through(&mut self, program: &[&str]) {
        let (name, arguments) = program.split_first().expect("a program");
        let mut command = Command::new(name);
        command.args(arguments).arg(env!("CARGO_BIN_EXE_warrener"));
        command.args(["-v", "run", "stack.yaml"]);
        self.start_by(self.dress(command));
    }

    /// Starts that command, which logs to the file `log`.
    pub(crate) fn start_by(&mut self, mut command: Command) {
        let log = File::options().create(true).append(true).open(self.path("log")).unwrap();
        self.keep(command.stderr(log));
    }

    /// [`Supervisor::start`] with a log of the caller's.
    pub(crate) fn start_logging_to(&mut self, log: Stdio) {
        let mut command = self.command(&["-v", "run", "stack.yaml"]);
        self.keep(command.stderr(log));
    }

    fn dress(&self, mut command: Command) -> Command {
        let children = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/children");
        command
            .current_dir(self.folder.path())
            .env("CHILDREN", children)
            // Not in the usual place, where it would meet the others of its stack.
            .env("WARRENER_SOCKET", self.socket())
            .env("WARRENER_STATE_DIR", self.path("state"))
            // It hides the commonest mistake of consumers: forgetting to flush.
            .env_remove("PYTHONUNBUFFERED")
            .stdin(Stdio::null());
        command
    }

    fn keep(&mut self, command: &mut Command) {
        assert!(self.child.is_none(), "it runs already");
        self.child = Some(command.stdout(Stdio::null()).spawn().unwrap());
    }

    /// What it has logged so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// Waits until the log has that text.
    pub(crate) fn wait_for(&self, text: &str) {
        let start = Instant::now();
        while !self.log().contains(text) {
            let log = self.log();
            assert!(start.elapsed() < PATIENCE, "`{text}` never came in the log:\n{log}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The supervisor's process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().expect("started").id()
    }

    /// Whether it was started and has not been waited for.
    pub(crate) fn is_running(&self) -> bool {
        self.child.is_some()
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: nix::sys::signal::Signal) {
        let pid = i32::try_from(self.pid()).unwrap();
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), signal).unwrap();
    }

    /// The processes of its consumers: its children that lead a process group of their own.
    pub(crate) fn children(&self) -> Vec<u32> {
        children_of(self.pid())
    }

    /// Waits for its end.
    pub(crate) fn exited(&mut self, limit: Duration) -> ExitStatus {
        let child = self.child.as_mut().expect("started");
        let mut status = None;
        wait_until("the supervisor's end", limit, || {
            status = child.try_wait().unwrap();
            status.is_some()
        });
        self.child = None;
        status.unwrap()
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            // Past the capture of the test runner, which would show it too late or not at all.
            let log = format!("the supervisor's log:\n{}\n", self.log());
            let _ = std::io::stderr().write_all(log.as_bytes());
        }
    }
}

/// The direct children of a process, in order.
pub(crate) fn children_of(pid: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    // Each thread has its own.
    let mut children: Vec<u32> = tasks
        .filter_map(|task| fs::read_to_string(task.path().join("children")).ok())
        .flat_map(|list| {
            list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>()
        })
        .collect();
    children.sort_unstable();
    children
}

/// Whether a process exists and is no zombie.
pub(crate) fn alive(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
        !stat.rsplit(')').next().unwrap_or_default().trim_start().starts_with('Z')
    })
}
