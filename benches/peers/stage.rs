//! One contestant at work: its process, its CPU, its memory.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::{Signal, kill};
use nix::sys::time::TimeValLike as _;
use nix::unistd::Pid;

/// How long a contestant may take to end by itself.
const GRACE: Duration = Duration::from_secs(20);

/// The name of the thread in which lapin reads and writes its socket.
const LAPIN: &str = "lapin-io-loop";

/// A running contestant, together with all processes below it.
pub(crate) struct Stage {
    child: Child,
    before: Duration,
}

/// What a contestant has used.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Used {
    /// CPU of the whole tree of processes, from start to end.
    pub(crate) tree: Duration,
    /// CPU of its first process alone, until just before its end.
    pub(crate) own: Duration,
    /// The same without that of the thread in which lapin reads and writes its socket.
    pub(crate) above: Duration,
}

impl Used {
    /// What is left without what starting and ending takes.
    pub(crate) fn beyond(self, idle: Self) -> Self {
        Self {
            tree: self.tree.saturating_sub(idle.tree),
            own: self.own.saturating_sub(idle.own),
            above: self.above.saturating_sub(idle.above),
        }
    }
}

impl Stage {
    /// Starts a contestant whose words go to a file of that name.
    pub(crate) fn enter(mut command: Command, log: &Path) -> Self {
        let log = File::create(log).expect("a log");
        command
            .env_remove("PYTHONUNBUFFERED")
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log"))
            .stderr(log);
        let before = reaped();
        let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Self { child, before }
    }

    /// The id of its first process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has ended by itself.
    pub(crate) fn is_over(&mut self) -> bool {
        self.child.try_wait().expect("our child").is_some()
    }

    /// Asks it to end, and waits for that.
    pub(crate) async fn leave(mut self) -> Used {
        let own = cpu(self.pid());
        let above = cpu_of(self.pid(), |thread| thread != LAPIN);
        let pid = i32::try_from(self.pid()).expect("a process id is positive");
        let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        let deadline = Instant::now() + GRACE;
        while !self.is_over() {
            if Instant::now() > deadline {
                let _ = self.child.kill();
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Used { tree: reaped().saturating_sub(self.before), own, above }
    }
}

/// CPU of all processes that have been waited for.
fn reaped() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).expect("a usage");
    let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Duration::from_micros(micros.unsigned_abs())
}

/// CPU of all threads of a process that have not ended; zero where it has ended.
pub(crate) fn cpu(pid: u32) -> Duration {
    cpu_of(pid, |_| true)
}

/// The same of the threads with such names.
fn cpu_of(pid: u32, wanted: impl Fn(&str) -> bool) -> Duration {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return Duration::ZERO };
    let nanos = threads.filter_map(|thread| {
        let folder = thread.ok()?.path();
        let name = fs::read_to_string(folder.join("comm")).ok()?;
        let text = fs::read_to_string(folder.join("schedstat")).ok()?;
        let nanos = text.split_whitespace().next()?.parse::<u64>().ok()?;
        wanted(name.trim_end()).then_some(nanos)
    });
    Duration::from_nanos(nanos.sum())
}

/// Memory that is a process's own, KiB: its anonymous pages.
pub(crate) fn memory(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
