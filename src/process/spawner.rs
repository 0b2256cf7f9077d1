//! The thread that spawns.
//!
//! One thread for the life of the program, since the kernel kills a child when the *thread* that
//! spawned it ends, and the threads of a runtime come and go. It also reaps the children that were
//! dropped while they ran, and ends what a child has left behind.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::{Errno, fcntl_dupfd_cloexec};
use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};
use rustix::process::Pid;
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
use tokio::sync::oneshot;

use super::child::{Child, Leader, Output, Pipes, reap};
use super::family::{Family, Look, Mark};
use super::identity::{Accounts, NoAccount};
use super::prelude::Prelude;
use super::{environment, limits, prelude};
use crate::model::{Confinement, ConsumerSpec, Program, Replies};

/// How much of its input lies ready for a child while it works. The kernel's own 64 KiB hold a few
/// messages; beyond 64 MiB for all pipes of a user it gives out crippled ones.
const STDIN_PIPE: usize = 256 * 1024;

/// How often a killed process that nobody waits for is looked at.
const REAP_PAUSE: Duration = Duration::from_millis(20);

/// How often this process looks for dead ones that have fallen to it from elsewhere.
const LOOK_PAUSE: Duration = Duration::from_secs(1);

/// How long what a child has left behind is looked for. What is stuck in the kernel for longer
/// dies when the kernel lets go of it.
const CLEAR_PATIENCE: Duration = Duration::from_secs(10);

/// What to start.
#[derive(Clone, Debug)]
pub struct SpawnRequest {
    /// The program.
    pub program: Program,
    /// Its working directory.
    pub cwd: PathBuf,
    /// Variables on top of those that pass.
    pub env: BTreeMap<String, String>,
    /// Who it is, what it sees and how much it gets.
    pub confinement: Confinement,
    /// Whether its standard output is a pseudo terminal instead of a pipe.
    pub terminal: bool,
    /// What it finds as its descriptor 3; `None` for nothing.
    pub fd3: Option<Fd3>,
}

/// A pipe beside the standard ones, which the child finds as its descriptor 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fd3 {
    /// The child writes, see [`Child::replies`].
    Replies,
    /// The child reads, see [`Child::metadata`].
    Metadata,
}

impl SpawnRequest {
    /// A process of that consumer. Its variables are those of the consumer, and
    /// `WARRENER_CONSUMER` and `WARRENER_QUEUE`, and `WARRENER_REPLIES_FD` where that is not 1.
    pub fn for_consumer(spec: &ConsumerSpec) -> Self {
        let mut env = spec.env.clone();
        env.insert("WARRENER_CONSUMER".to_owned(), spec.name.as_str().to_owned());
        env.insert("WARRENER_QUEUE".to_owned(), spec.queue.as_str().to_owned());
        let fd3 = match spec.replies {
            Replies::Fd3 => Some(Fd3::Replies),
            Replies::Stdout | Replies::Terminal => spec.metadata.then_some(Fd3::Metadata),
        };
        if fd3 == Some(Fd3::Replies) {
            env.insert("WARRENER_REPLIES_FD".to_owned(), "3".to_owned());
        }
        Self {
            program: spec.program.clone(),
            cwd: spec.cwd.clone(),
            env,
            confinement: spec.confinement.clone(),
            terminal: spec.replies == Replies::Terminal,
            fd3,
        }
    }
}

/// Why a child could not be started.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// The system refused.
    #[error("cannot start `{program}` in `{}`: {error}", cwd.display())]
    Refused {
        /// The program, without its arguments.
        program: String,
        /// Its working directory.
        cwd: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// It was to be somebody who is not there.
    #[error(transparent)]
    Account(#[from] NoAccount),
    /// It was to be somebody else, and that takes rights.
    #[error(
        "cannot start `{program}` as another user or group: {error}\n\
         hint: only root can, or who has CAP_SETUID and CAP_SETGID; else remove `user` and `group`"
    )]
    Identity {
        /// The program, without its arguments.
        program: String,
        /// What the system says.
        error: io::Error,
    },
    /// It was to have more than this process itself may.
    #[error(
        "cannot start `{program}`: `limits.{key}` is above the {most} that Warrener itself may have\n\
         hint: lower it, or raise the limit of Warrener (`ulimit -H`, or its unit)"
    )]
    Limit {
        /// The program, without its arguments.
        program: String,
        /// The key of the file.
        key: &'static str,
        /// The limit of this process.
        most: u64,
    },
    /// It was started, but its pipes could not be set up; it is killed.
    #[error("cannot talk to the child that was started: {0}")]
    Pipes(io::Error),
    /// The thread that spawns is gone.
    #[error("the thread that starts children has ended")]
    Gone,
}

/// What the thread is asked for.
#[derive(Debug)]
pub(super) enum Order {
    /// Start something.
    Spawn(Box<Start>),
    /// Wait for this one, which was killed.
    Reap(Pid, Option<Mark>),
    /// A child has ended: end what it has left behind.
    Clear(Mark),
}

/// What to start, and whom to tell how it went.
#[derive(Debug)]
pub(super) struct Start {
    request: SpawnRequest,
    answer: oneshot::Sender<Result<(Leader, Pipes), SpawnError>>,
    /// For the child, see [`Leader`].
    orders: mpsc::Sender<Order>,
}

/// Starts children.
#[derive(Debug)]
pub struct Spawner {
    orders: mpsc::Sender<Order>,
}

impl Spawner {
    /// Starts the thread. It ends when the spawner and all of its children are dropped.
    ///
    /// `alone` says that nothing else in this process starts processes. Then whatever falls to it
    /// is reaped when it ends, as is the duty of process 1 of a container.
    ///
    /// # Errors
    /// The system has no thread or process to give, or no `/proc`.
    pub fn start(alone: bool) -> io::Result<Self> {
        prelude::seal_inherited_descriptors()?;
        let family = Family::found()?;
        let (orders, inbox) = mpsc::channel();
        // With a sender of its own the thread would never end: each order brings one along.
        let serve = move || Nursery::new(family, alone).serve(&inbox);
        thread::Builder::new().name("spawner".to_owned()).spawn(serve)?;
        Ok(Self { orders })
    }

    /// Starts a child in a session of its own. Must be called within a runtime.
    ///
    /// # Errors
    /// [`SpawnError`]. A future that is dropped leaves no child behind.
    pub async fn spawn(&self, request: SpawnRequest) -> Result<Child, SpawnError> {
        let (answer, answered) = oneshot::channel();
        let orders = self.orders.clone();
        let start = Box::new(Start { request, answer, orders });
        self.orders.send(Order::Spawn(start)).map_err(|_| SpawnError::Gone)?;
        let (leader, pipes) = answered.await.map_err(|_| SpawnError::Gone)??;
        Child::new(leader, pipes).map_err(SpawnError::Pipes)
    }
}

/// What the thread has.
struct Nursery {
    family: &'static Family,
    alone: bool,
    accounts: Accounts,
    /// Killed, and to be reaped.
    dropped: Vec<(Pid, Option<Mark>)>,
    /// Ended, and to be cleared up after, until that time.
    ended: BTreeMap<Mark, Instant>,
    /// When it last looked for who is dead or should be.
    looked: Instant,
}

impl Nursery {
    fn new(family: &'static Family, alone: bool) -> Self {
        let (dropped, ended) = (Vec::new(), BTreeMap::new());
        let looked = Instant::now();
        Self { family, alone, accounts: Accounts::default(), dropped, ended, looked }
    }

    /// Carries out orders until nobody is left to give any.
    fn serve(mut self, inbox: &mpsc::Receiver<Order>) {
        loop {
            let idle = self.dropped.is_empty() && self.ended.is_empty();
            match inbox.recv_timeout(if idle { LOOK_PAUSE } else { REAP_PAUSE }) {
                Ok(order) => self.carry_out(order),
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) if idle => return,
                Err(mpsc::RecvTimeoutError::Disconnected) => thread::sleep(REAP_PAUSE),
            }
            self.clear();
        }
    }

    fn carry_out(&mut self, order: Order) {
        match order {
            Order::Spawn(start) => {
                let Start { request, answer, orders } = *start;
                let mark = self.family.mark();
                // What nobody waits for any more is killed by being dropped here.
                let _ = answer.send(spawn(&request, mark, &mut self.accounts, orders));
            }
            Order::Reap(pid, mark) => self.dropped.push((pid, mark)),
            Order::Clear(mark) => self.expect_end(mark),
        }
    }

    fn expect_end(&mut self, mark: Mark) {
        self.ended.insert(mark, Instant::now() + CLEAR_PATIENCE);
    }

    /// Reaps who is dead, and ends who should be.
    fn clear(&mut self) {
        let (mut gone, family) = (Vec::new(), self.family);
        self.dropped.retain(|&(pid, mark)| {
            let ended = reap(pid).is_some();
            if ended {
                gone.extend(mark);
            }
            !ended
        });
        for mark in gone {
            self.expect_end(mark);
        }
        // Not after each start: whoever starts one process a message would pay for it.
        if self.ended.is_empty() && self.looked.elapsed() < LOOK_PAUSE {
            return;
        }
        self.looked = Instant::now();
        let marks: BTreeSet<Mark> = self.ended.keys().copied().collect();
        match family.look(&marks, self.alone) {
            Look::Nobody => self.ended.clear(),
            // A list with gaps may have hidden one, so they are looked for once more.
            Look::Others => {
                let now = Instant::now();
                for at in self.ended.values_mut() {
                    *at = if *at > now + REAP_PAUSE { now + REAP_PAUSE } else { *at };
                }
                self.ended.retain(|_, at| *at > now);
            }
            Look::Some => {
                let now = Instant::now();
                self.ended.retain(|_, at| *at > now);
            }
        }
    }
}

/// Both ends of a terminal that changes nothing on the way: ours, which does not block, and the
/// child's.
fn pseudo_terminal() -> rustix::io::Result<(OwnedFd, OwnedFd)> {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let ours = openpt(flags)?;
    grantpt(&ours)?;
    unlockpt(&ours)?;
    let theirs = ioctl_tiocgptpeer(&ours, flags)?;
    let mut settings = tcgetattr(&theirs)?;
    settings.make_raw();
    tcsetattr(&theirs, OptionalActions::Now, &settings)?;
    fcntl_setfl(&ours, fcntl_getfl(&ours)? | OFlags::NONBLOCK)?;
    Ok((ours, theirs))
}

/// Both ends of a pipe, of which the child gets one as its descriptor 3.
struct Extra {
    ours: OwnedFd,
    theirs: OwnedFd,
}

fn extra_pipe(fd3: Fd3) -> rustix::io::Result<Extra> {
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC)?;
    let (ours, theirs) = match fd3 {
        Fd3::Replies => (reader, writer),
        Fd3::Metadata => (writer, reader),
    };
    // If 3 is free, the child's end is 3 in this process as well. Otherwise the pipe by which the
    // child tells of a failed exec could be given that number, and the prelude would close it.
    Ok(Extra { ours, theirs: fcntl_dupfd_cloexec(theirs, 3)? })
}

fn spawn(
    request: &SpawnRequest,
    mark: Option<Mark>,
    accounts: &mut Accounts,
    orders: mpsc::Sender<Order>,
) -> Result<(Leader, Pipes), SpawnError> {
    let confinement = &request.confinement;
    let account = accounts.find(confinement)?;
    let (program, arguments): (&str, &[String]) = match &request.program {
        Program::Shell(_) => ("/bin/sh", &[]),
        Program::Command(words) => match words.split_first() {
            Some((program, arguments)) => (program, arguments),
            None => ("", &[]),
        },
    };
    let mut command = Command::new(program);
    command.args(arguments);
    if let Program::Shell(text) = &request.program {
        command.arg("-c").arg(text);
    }
    command
        .env_clear()
        .envs(environment::passed(&confinement.env_pass))
        .envs(account.env)
        .envs(&request.env)
        .current_dir(&request.cwd)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let refused = |error| SpawnError::Refused {
        program: program.to_owned(),
        cwd: request.cwd.clone(),
        error,
    };
    let extra = request.fd3.map(extra_pipe).transpose().map_err(|e| refused(e.into()))?;
    let limits = limits::limits(&confinement.limits);
    let too_high = limits::too_high(&limits);
    let stranger = account.identity.is_some();
    let given = Prelude {
        extra: extra.as_ref().map(|extra| extra.theirs.as_raw_fd()),
        mark,
        identity: account.identity,
        limits,
        umask: confinement.umask,
        no_new_privs: confinement.no_new_privs,
    };
    prelude::prepare(&mut command, given);
    let mut screen = None;
    if request.terminal {
        let (ours, theirs) = pseudo_terminal().map_err(|e| refused(e.into()))?;
        command.stdout(theirs);
        screen = Some(ours);
    }
    let spawned = command.spawn();
    // It holds our copies of the child's ends, without which the child's are the last.
    drop(command);
    let mut child = spawned.map_err(|error| {
        // A right is missing, rather than the permission for a file.
        let denied = error.raw_os_error() == Some(Errno::PERM.raw_os_error());
        match too_high {
            Some((key, most)) if denied => {
                SpawnError::Limit { program: program.to_owned(), key, most }
            }
            None if denied && stranger => {
                SpawnError::Identity { program: program.to_owned(), error }
            }
            _ => refused(error),
        }
    })?;
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let leader = Leader::new(pid.expect("a process id is a positive `pid_t`"), mark, orders);
    let missing = || SpawnError::Pipes(io::Error::other("a pipe is missing"));
    let pipes = Pipes {
        stdin: OwnedFd::from(child.stdin.take().ok_or_else(missing)?),
        stdout: match screen {
            Some(screen) => Output::Terminal(screen),
            None => Output::Pipe(child.stdout.take().ok_or_else(missing)?.into()),
        },
        stderr: OwnedFd::from(child.stderr.take().ok_or_else(missing)?),
        fd3: request.fd3.zip(extra.map(|extra| extra.ours)),
    };
    // Where the limit of the user is reached, the usual size does as well.
    let _ = fcntl_setpipe_size(&pipes.stdin, STDIN_PIPE);
    Ok((leader, pipes))
}
