//! A running child: its pipes, its end, its group.

#![expect(unsafe_code, reason = "tokio takes a promise for each descriptor that it watches")]

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use nix::sys::signal::Signal as Named;
use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, WaitIdStatus, kill_process_group, waitid,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::unix::pipe;
use tokio::sync::mpsc::UnboundedSender;

use super::control_groups::{ControlGroup, Shortage};
use super::family::{Family, Mark};
use super::nursery::Order;
use super::output::ChildOutput;
use super::spawner::Fd3;
use crate::model::StopSignal;

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with that exit code.
    Code(i32),
    /// By that signal.
    Signal(i32),
    /// By the kernel, by force, because memory ran out. Known only where the kernel
    /// [accounts for memory](super::Spawner::memory_by_group) by control groups.
    OutOfMemory(Shortage),
}

impl Exit {
    /// By force.
    pub const KILLED: Self = Self::Signal(Named::SIGKILL as i32);

    /// Whether it was ended by a signal, rather than by itself.
    pub fn is_signal(self) -> bool {
        !matches!(self, Self::Code(_))
    }
}

/// `exit code 3`, `signal 11 (SIGSEGV)`.
impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(number) => match Named::try_from(number) {
                Ok(name) => write!(f, "signal {number} ({name})"),
                Err(_) => write!(f, "signal {number}"),
            },
            Self::OutOfMemory(Shortage::Limit) => {
                write!(f, "{}: it had more memory than `limits.memory`", Self::KILLED)
            }
            Self::OutOfMemory(Shortage::Above) => write!(f, "{}: memory ran out", Self::KILLED),
        }
    }
}

/// Our end of a child's stdin.
pub type ChildInput = pipe::Sender;

/// A child process and its group. Dropping it kills the group.
#[derive(Debug)]
pub struct Child {
    /// Process id, which is also the id of its group.
    pub pid: u32,
    /// Where it reads; dropping it is the end of its input. None where it has had all of it.
    pub stdin: Option<ChildInput>,
    /// What it writes. From a terminal, its end is an error.
    pub stdout: Option<ChildOutput>,
    /// What it writes beside that.
    pub stderr: Option<ChildOutput>,
    /// What it writes to its descriptor 3, where it was started with [`Fd3::Replies`].
    pub replies: Option<ChildOutput>,
    /// What it reads from its descriptor 3, where it was started with [`Fd3::Metadata`].
    pub metadata: Option<ChildInput>,
    unwritten: Bytes,
    leader: Leader,
    /// Readable from its end on.
    ended: AsyncFd<OwnedFd>,
    /// Whether it may have ended since it was last looked.
    look: bool,
}

impl Child {
    /// Takes over a child that was just started. Must be called within a runtime.
    pub(super) fn new(leader: Leader, ended: OwnedFd, pipes: Pipes) -> io::Result<Self> {
        let (mut replies, mut metadata) = (None, None);
        match pipes.fd3 {
            Some((Fd3::Replies, pipe)) => replies = Some(ChildOutput::new(pipe)),
            Some((Fd3::Metadata, pipe)) => metadata = Some(input(pipe)?),
            None => {}
        }
        // SAFETY: an owned descriptor stays open for as long as it is owned, and is always the same.
        let ended = unsafe { AsyncFd::register_with_interest(ended, Interest::READABLE) }?;
        Ok(Self {
            pid: leader.pid.as_raw_nonzero().get().unsigned_abs(),
            stdin: pipes.stdin.map(input).transpose()?,
            unwritten: pipes.unwritten,
            stdout: Some(ChildOutput::new(pipes.stdout)),
            stderr: Some(ChildOutput::new(pipes.stderr)),
            replies,
            metadata,
            ended,
            // It has hardly begun, and its end would wake us.
            look: false,
            leader,
        })
    }

    /// What of an [`Input::Whole`](super::Input::Whole) its pipe could not hold: it is to be written
    /// to its stdin.
    pub fn unwritten(&mut self) -> Bytes {
        std::mem::take(&mut self.unwritten)
    }

    /// Waits until the child has ended, kills what is left of its group and frees its process id.
    /// What has left the group is killed soon after, and at once where it has a control group.
    /// Can be dropped and called again at any time; once it has ended, it says the same again.
    ///
    /// Its output may still hold what it wrote last. Its pipes end when nobody has them any more:
    /// do not wait for that without a limit.
    pub async fn exited(&mut self) -> Exit {
        loop {
            // Looking is a system call, and this is asked for with every message.
            if self.look
                && let Some(exit) = self.leader.poll()
            {
                return exit;
            }
            self.look = false;
            match self.ended.readable().await {
                Ok(mut ready) => ready.clear_ready(),
                // The runtime is ending, and everyone who waits with it.
                Err(_) => std::future::pending().await,
            }
            self.look = true;
        }
    }

    /// Sends a signal to the child and to all of its group; nothing once it has ended.
    pub fn signal_group(&self, signal: StopSignal) -> io::Result<()> {
        self.leader.signal(match signal {
            StopSignal::Term => Signal::TERM,
            StopSignal::Int => Signal::INT,
            StopSignal::Quit => Signal::QUIT,
            StopSignal::Hup => Signal::HUP,
            StopSignal::Usr1 => Signal::USR1,
            StopSignal::Usr2 => Signal::USR2,
        })
    }

    /// Kills the child and all of its group, and of its control group where it has one; nothing once
    /// it has ended.
    pub fn kill_group(&self) -> io::Result<()> {
        self.leader.kill()
    }
}

/// Our ends of a child's files. None of them blocks.
#[derive(Debug)]
pub(super) struct Pipes {
    /// None where the child has had all of its input.
    pub(super) stdin: Option<OwnedFd>,
    /// What is still to be written there.
    pub(super) unwritten: Bytes,
    /// A pipe or a terminal, which is read like a pipe, but for its end, which is an error.
    pub(super) stdout: OwnedFd,
    pub(super) stderr: OwnedFd,
    /// Of the pipe that the child has as its descriptor 3.
    pub(super) fd3: Option<(Fd3, OwnedFd)>,
}

fn input(pipe: OwnedFd) -> io::Result<ChildInput> {
    ChildInput::from_owned_fd_unchecked(pipe)
}

/// The right to signal and to reap one process group. As long as the leader is not reaped, its id
/// can name no other process and no other group.
#[derive(Debug)]
pub(super) struct Leader {
    pid: Pid,
    mark: Option<Mark>,
    group: Option<ControlGroup>,
    /// Whose it is.
    consumer: Option<Arc<str>>,
    exit: Option<Exit>,
    /// Keeps the spawning thread alive, on whose death the child would be killed, and reaps what
    /// is dropped.
    orders: UnboundedSender<Order>,
}

impl Leader {
    pub(super) fn new(
        pid: Pid,
        mark: Option<Mark>,
        group: Option<ControlGroup>,
        consumer: Option<Arc<str>>,
        orders: UnboundedSender<Order>,
    ) -> Self {
        Self { pid, mark, group, consumer, exit: None, orders }
    }

    fn poll(&mut self) -> Option<Exit> {
        if self.exit.is_none() {
            // Before what is left of its group is killed.
            let since = Instant::now();
            self.exit = reap(self.pid);
            if let (Some(exit), Some(group)) = (self.exit, &self.group) {
                // What ended well is not worth a look: that could be one process a message.
                let shortage = (exit != Exit::Code(0)).then(|| group.shortage()).flatten();
                if let (Exit::KILLED, Some(shortage)) = (exit, shortage) {
                    self.exit = Some(Exit::OutOfMemory(shortage));
                }
                group.end_rest();
            }
            // What is left of it has fallen to this process by now.
            if let (Some(_), Some(mark)) = (self.exit, self.mark)
                && Family::may_have_left(mark, since)
            {
                // Who was killed could not wait for its own.
                let to_blame = self
                    .consumer
                    .take()
                    .filter(|_| !matches!(self.exit, Some(Exit::KILLED | Exit::OutOfMemory(_))));
                // Without the thread, the guardian looks for them.
                let _ = self.orders.send(Order::Clear(
                    mark,
                    since,
                    to_blame.map(|consumer| (self.pid, consumer)),
                ));
            }
        }
        self.exit
    }

    fn signal(&self, signal: Signal) -> io::Result<()> {
        match self.exit {
            Some(_) => Ok(()),
            None => Ok(kill_process_group(self.pid, signal)?),
        }
    }

    /// Kills the process group, and with it whoever has left it and is in the control group still.
    fn kill(&self) -> io::Result<()> {
        if let (None, Some(group)) = (self.exit, &self.group) {
            group.end_all();
        }
        self.signal(Signal::KILL)
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        if self.poll().is_none() {
            let _ = self.kill();
            // Without the thread, the kernel has killed the child already.
            let _ = self.orders.send(Order::Reap(self.pid, self.mark));
        }
    }
}

/// If the leader of a group has ended: kills the rest of the group, and only then frees the id.
pub(super) fn reap(pid: Pid) -> Option<Exit> {
    let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
    let exit = match waitid(WaitId::Pid(pid), look | WaitIdOptions::NOWAIT) {
        Ok(None) => return None,
        Ok(Some(status)) => exit_of(&status),
        // Nobody else reaps our children. Should it happen, the message must not count as done.
        Err(_) => return Some(Exit::Signal(Signal::KILL.as_raw())),
    };
    let _ = kill_process_group(pid, Signal::KILL);
    let _ = waitid(WaitId::Pid(pid), look);
    Some(exit)
}

fn exit_of(status: &WaitIdStatus) -> Exit {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Exit::Code(code),
        (None, Some(signal)) => Exit::Signal(signal),
        (None, None) => Exit::Signal(Signal::KILL.as_raw()),
    }
}
