//! The process that cleans up after us, however we end.
//!
//! The guardian is a small shell that reads from a pipe whose only writer is this process. Over the
//! pipe it learns which process groups to end. When the pipe reports end of file, because we closed
//! it or because the kernel did after a crash or `kill -9`, the guardian kills those groups, removes
//! the folder and exits. It lives in a process group of its own, so that Ctrl-C in a terminal does
//! not reach it.
//!
//! A child is never without a guardian: it starts as a shell that waits for one line on its stdin
//! before it becomes the program. The line is sent after the guardian was told the group; if we die
//! between the two, the child reads end of file instead and exits.

use std::ffi::OsStr;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

const SCRIPT: &str = r#"
trap '' HUP INT QUIT TERM
folder=$1
groups=' '
while read -r verb group; do
    case $verb in
        watch) groups="$groups$group " ;;
        forget) groups="${groups%% $group *} ${groups#* $group }" ;;
    esac
done
for group in $groups; do kill -s KILL -- "-$group" 2>/dev/null; done
# A dying node may still create files.
tries=0
while [ -e "$folder" ] && [ "$tries" -lt 100 ]; do
    rm -rf -- "$folder" 2>/dev/null
    tries=$((tries + 1))
    [ -e "$folder" ] && sleep 0.1
done
"#;

/// Waits for leave, then becomes the program.
const GATE: &str = r#"read -r leave || exit 1; exec "$@" </dev/null"#;

/// The longest that [`Guardian`] waits for its work when it is dropped.
const PATIENCE: Duration = Duration::from_secs(15);

/// A running guardian. Dropping it ends everything it watches and removes the folder, and returns
/// when that is done.
pub(super) struct Guardian {
    shell: Child,
    orders: Option<ChildStdin>,
}

impl Guardian {
    /// Starts to guard the folder.
    pub(super) fn start(folder: &Path) -> io::Result<Self> {
        let mut shell = Command::new("/bin/sh")
            .args(["-c", SCRIPT, "warrener-guardian"])
            .arg(folder)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()?;
        let orders = shell.stdin.take();
        Ok(Self { shell, orders })
    }

    /// Starts a program, with everything else of the command as it is, as the leader of a process
    /// group that this guardian ends.
    pub(super) fn spawn(&mut self, command: &Gated) -> io::Result<Child> {
        let mut child = command.to_command()?.spawn()?;
        self.order("watch", child.id())?;
        if let Some(mut gate) = child.stdin.take() {
            gate.write_all(b"go\n")?;
        }
        Ok(child)
    }

    /// Leaves a process group alone from now on: its leader was reaped, so that its number may
    /// come to mean someone else.
    pub(super) fn forget(&mut self, group: u32) -> io::Result<()> {
        self.order("forget", group)
    }

    fn order(&mut self, verb: &str, group: u32) -> io::Result<()> {
        let orders = self.orders.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        orders.write_all(format!("{verb} {group}\n").as_bytes())
    }

    /// Ends everything that is watched and removes the folder; returns when that is done.
    pub(super) fn finish(&mut self) {
        drop(self.orders.take());
        let deadline = Instant::now() + PATIENCE;
        while matches!(self.shell.try_wait(), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Guardian {
    fn drop(&mut self) {
        self.finish();
    }
}

/// A command in the form that [`Guardian::spawn`] takes.
pub(super) struct Gated {
    argv: Vec<std::ffi::OsString>,
    env: Vec<(&'static str, std::ffi::OsString)>,
    output: std::fs::File,
    cwd: std::path::PathBuf,
}

impl Gated {
    /// A program with a clean environment; what it prints is appended to `output`.
    pub(super) fn new(program: &OsStr, output: std::fs::File, cwd: &Path) -> Self {
        Self { argv: vec![program.into()], env: Vec::new(), output, cwd: cwd.to_owned() }
    }

    /// Adds an argument.
    pub(super) fn arg(&mut self, arg: impl AsRef<OsStr>) -> &mut Self {
        self.argv.push(arg.as_ref().into());
        self
    }

    /// Sets a variable.
    pub(super) fn env(&mut self, name: &'static str, value: impl AsRef<OsStr>) -> &mut Self {
        self.env.push((name, value.as_ref().into()));
        self
    }

    fn to_command(&self) -> io::Result<Command> {
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", GATE, "warrener-gate"])
            .args(&self.argv)
            .env_clear()
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .current_dir(&self.cwd)
            .stdin(Stdio::piped())
            .stdout(self.output.try_clone()?)
            .stderr(self.output.try_clone()?)
            .process_group(0);
        Ok(command)
    }
}
