//! The threads that spawn.
//!
//! They live as long as the program, since the kernel kills a child when the *thread* that spawned it
//! ends, and the threads of a runtime come and go. One stands still from the start of a child until
//! it is its program, so there are several where there are cores for them. They also reap the
//! children that were dropped while they ran, and end what a child has left behind.
//!
//! Each has a runtime of its own, for its orders and for tasks that start one child after the
//! other: such a task lives where its children are started, and waits for no other thread.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use bytes::Bytes;
use futures_util::future::{self, Either};
use tokio::runtime::{self, Handle};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{AbortHandle, JoinSet};

use super::child::Child;
use super::control_groups::{ControlGroup, Home, Undivided, Unmetered};
use super::cradle::{Cradle, Started};
use super::family::Family;
use super::identity::NoAccount;
use super::nursery::{Nursery, Order, Start};
use super::prelude;
use crate::model::{Confinement, ConsumerSpec, Program, Replies};

/// Threads at most.
const MOST_THREADS: usize = 4;

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
    /// What it reads from its standard input.
    pub input: Input,
    /// The control group that it is in from its first instruction on, see [`Spawner::group`].
    pub group: Option<ControlGroup>,
    /// The consumer that is named in the log where it leaves processes behind; `None` where nobody is
    /// to be told.
    pub consumer: Option<Arc<str>>,
}

/// What a child reads from its standard input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// Whatever is written to [`Child::stdin`].
    Open,
    /// This, and then its end. What its pipe holds of it lies ready when the child begins; for the
    /// rest, see [`Child::unwritten`].
    Whole(Bytes),
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
            input: Input::Open,
            group: None,
            consumer: Some(spec.name.as_str().into()),
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

/// One of the threads, as others see it.
#[derive(Debug)]
struct Hand {
    orders: mpsc::UnboundedSender<Order>,
    /// Children that it was asked for and has not started yet.
    busy: Arc<AtomicUsize>,
    /// What the thread runs besides, see [`Spawner::host`].
    runtime: Handle,
    /// Has a clone for each task that it hosts.
    guests: Arc<()>,
}

impl Hand {
    /// Starts the thread.
    fn new(family: &'static Family, alone: bool, looks: bool) -> io::Result<Self> {
        // As long as the list of children that were dropped: neither has a bound.
        let (orders, inbox) = mpsc::unbounded_channel();
        let mut nursery = Nursery::new(family, alone, looks);
        let busy = nursery.busy.clone();
        // With a sender of its own the thread would never end.
        let cradle = Cradle::new(family, orders.downgrade());
        let own = runtime::Builder::new_current_thread().enable_all().build()?;
        let runtime = own.handle().clone();
        let serve = move || {
            cradle.stand_here();
            own.block_on(nursery.serve(inbox));
        };
        thread::Builder::new().name("spawner".to_owned()).spawn(serve)?;
        Ok(Self { orders, busy, runtime, guests: Arc::default() })
    }
}

/// Starts children.
#[derive(Debug)]
pub struct Spawner {
    family: &'static Family,
    first: Hand,
    others: Vec<Hand>,
}

impl Spawner {
    /// Starts the threads. They end when the spawner and all of its children are dropped.
    ///
    /// `alone` says that nothing else in this process starts processes. Then whatever falls to it
    /// is reaped when it ends, as is the duty of process 1 of a container.
    ///
    /// # Errors
    /// The system has no thread or process to give, or no `/proc`.
    pub fn start(alone: bool) -> io::Result<Self> {
        prelude::seal_inherited_descriptors()?;
        let family = Family::found()?;
        let threads = thread::available_parallelism().map_or(1, usize::from).min(MOST_THREADS);
        let hand = |looks| Hand::new(family, alone, looks);
        let others = (1..threads).map(|_| hand(false)).collect::<io::Result<_>>()?;
        Ok(Self { family, first: hand(true)?, others })
    }

    /// The folder of the control group in which those of the workers are.
    ///
    /// # Errors
    /// Why there are none.
    pub fn control_groups(&self) -> Result<&Path, Undivided> {
        self.family.home().map(Home::path).map_err(Clone::clone)
    }

    /// Whether the kernel accounts for memory by those groups; nothing where there are none.
    ///
    /// # Errors
    /// Why it does not.
    pub fn memory_by_group(&self) -> Option<Result<(), Unmetered>> {
        self.family.home().ok().map(|home| home.memory().map_err(Clone::clone))
    }

    /// A control group for the processes of one worker, with a name that begins like that; nothing
    /// where there are none. `memory` is how many bytes all of them have together at most, where the
    /// kernel accounts for that.
    pub fn group(&self, label: &str, memory: Option<u64>) -> Option<ControlGroup> {
        let home = self.family.home().ok()?;
        Some(ControlGroup::new(home, label, memory, self.first.orders.clone()))
    }

    /// Starts a child in a session of its own. It is on its way when this returns, and there already
    /// where the caller is [hosted](Self::host); the future is to be awaited within a runtime.
    ///
    /// # Errors
    /// [`SpawnError`]. A future that is dropped leaves no child behind.
    pub fn spawn(
        &self,
        request: SpawnRequest,
    ) -> impl Future<Output = Result<Child, SpawnError>> + Send + use<> {
        let started = match Cradle::start_here(&request) {
            Some(started) => Either::Left(future::ready(started)),
            None => Either::Right(self.order(request)),
        };
        async move {
            let Started { leader, ended, pipes } = started.await?;
            Child::new(leader, ended, pipes).map_err(SpawnError::Pipes)
        }
    }

    /// Has one of the threads start it.
    fn order(
        &self,
        request: SpawnRequest,
    ) -> impl Future<Output = Result<Started, SpawnError>> + Send + use<> {
        let idlest = self.hands().min_by_key(|hand| hand.busy.load(Ordering::Relaxed));
        let Hand { orders, busy, .. } = idlest.unwrap_or(&self.first);
        busy.fetch_add(1, Ordering::Relaxed);
        let (answer, answered) = oneshot::channel();
        let start = Box::new(Start { request, answer, _awake: orders.clone() });
        let sent = orders.send(Order::Spawn(start));
        async move {
            sent.map_err(|_| SpawnError::Gone)?;
            answered.await.map_err(|_| SpawnError::Gone)?
        }
    }

    /// Runs a task of that set on the thread that has the fewest. It starts its children by itself,
    /// where any other task has a thread woken up for each of them, and is woken up by that in turn.
    /// All that the thread hosts stands still meanwhile.
    pub fn host(
        &self,
        task: impl Future<Output = ()> + Send + 'static,
        tasks: &mut JoinSet<()>,
    ) -> AbortHandle {
        let emptiest = self.hands().min_by_key(|hand| Arc::strong_count(&hand.guests));
        let Hand { runtime, guests, .. } = emptiest.unwrap_or(&self.first);
        let guest = guests.clone();
        let task = async move {
            task.await;
            drop(guest);
        };
        tasks.spawn_on(task, runtime)
    }

    fn hands(&self) -> impl Iterator<Item = &Hand> {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// Finds out whether a child can be started, as far as the system lets us: its process is, and
    /// ends before the first instruction of its program.
    ///
    /// # Errors
    /// [`SpawnError`], as [`Spawner::spawn`] would have it now.
    pub async fn rehearse(&self, request: SpawnRequest) -> Result<(), SpawnError> {
        let (answer, answered) = oneshot::channel();
        let order = Order::Rehearse(Box::new(request), answer);
        self.first.orders.send(order).map_err(|_| SpawnError::Gone)?;
        answered.await.map_err(|_| SpawnError::Gone)?
    }
}
