//! The engine's own task.

mod loading;
mod reading;
mod topology;

use self::loading::{Cause, Undone};
use self::reading::{read, warn};

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::ack_limits::AckLimits;
use super::announce::Announcer;
use super::books::close_books;
use super::context::Hands;
use super::crew::CrewRequest;
use super::keeper::Keeper;
use super::links::Links;
use super::reconcile::Shortfall;
use super::requests::{EngineRequest, ReloadOutcome, Waiting};
use super::seat::Seat;

use crate::broker::amqp::{Dialler, Dialling};
use crate::broker::management::{ManagementClient, Timeouts};
use crate::broker::{Lock, Positions};
use crate::files::{LoadError, Loaded, Watched, Watcher};
use crate::model::{BrokerSpec, Desired};
use crate::process::{ServiceManager, Spawner, keep_freed_memory};
use crate::supervise::Backoff;
use crate::telemetry::Registry;

/// Pauses between attempts to bring about what the files say while the broker is away.
const AGAIN: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(3));

/// The same while it is there and refuses us: more attempts will not mend a password.
const REFUSED: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(30));

/// How long after a change that was brought about without a look the look comes, once it is known
/// what became of it: others may see it a moment later than this supervisor, and a second change
/// may follow the first.
const AFTERWARDS: Duration = Duration::from_secs(1);

/// The same where it is not known for long.
const AFTERWARDS_AT_MOST: Duration = Duration::from_secs(10);

/// How long looks are given up at most because files change meanwhile.
const UNLOOKED: Duration = Duration::from_mins(1);

/// The shortest time between two looks at the broker that workers ask for.
const ASKED: Duration = Duration::from_secs(2);

/// How long consumers wait for another supervisor to make their queue anew. It may never: its files
/// may be others.
const ELSEWHERE: Duration = Duration::from_mins(1);

/// How long the connections may take to say goodbye.
const GOODBYE: Duration = Duration::from_secs(4);

/// Loads the files; called at the start and at every change.
pub type Loader = Box<dyn Fn() -> Result<Loaded, LoadError> + Send + Sync>;

/// What a run needs.
pub struct Options {
    /// Where the files come from.
    pub load: Loader,
    /// Where everything is counted.
    pub registry: Registry,
    /// Whether to follow changes of the files by itself.
    pub watch: bool,
    /// Whether nothing else in this process starts processes, see [`Spawner::start`].
    pub alone: bool,
    /// What others ask; `None` where nobody can ask anything.
    pub requests: Option<mpsc::Receiver<EngineRequest>>,
    /// Whether to tell the service manager, where there is one, how it goes.
    pub service: bool,
}

/// How others steer a running engine.
#[derive(Clone, Debug, Default)]
pub struct Command {
    /// Cancelled: take no more messages, answer what is held, end.
    pub drain: CancellationToken,
    /// Cancelled: end at once.
    pub kill: CancellationToken,
    /// Notified: load the files again.
    pub reload: Arc<Notify>,
}

/// How a run ended.
pub enum Outcome {
    /// As it was told to.
    Stopped,
    /// It never began: the files cannot be used.
    Refused(Box<LoadError>),
    /// It never began: this machine does not let it.
    Failed(std::io::Error),
}

/// The state of a running supervisor.
pub struct Engine {
    options: Options,
    command: Command,
    spawner: Arc<Spawner>,
    keeper: Keeper,
    links: Option<Arc<Links>>,
    /// The gate to that broker.
    dialling: Option<(BrokerSpec, Dialling)>,
    /// Its place among those that run this stack; none where nothing is applied.
    seat: Option<Seat>,
    /// The tasks of all links there have ever been; each ends with a goodbye to the broker.
    links_tasks: TaskTracker,
    /// What is in force.
    current: Option<Arc<Loaded>>,
    /// What of it is not, as people have been told.
    undone: Undone,
    /// What is to be, once the broker can be reached.
    pending: Option<Loaded>,
    /// The lock under which the last look found, or left, the broker as what is in force says. None
    /// where it did not, or where somebody misses something since.
    found_under: Weak<Lock>,
    /// Requests of workers to look at the broker.
    asked: (mpsc::Sender<()>, mpsc::Receiver<()>),
    /// Why the broker is waited for, as logged last.
    waiting_for: String,
    /// Whether consumers wait because their queue is made anew.
    paused: bool,
    /// Since when another supervisor makes a queue anew.
    waiting_since: Option<Instant>,
    /// The differences that were left, as logged last.
    left: String,
    /// Those who have asked for a reload.
    waiting: Waiting,
    announcer: Announcer,
}

impl Engine {
    /// Loads the files, brings about what they say, and keeps at it until told to stop.
    pub async fn run(options: Options, command: Command) -> Outcome {
        let manager =
            if options.service { ServiceManager::found() } else { Ok(ServiceManager::default()) };
        let announcer = match manager {
            Ok(manager) => Announcer::new(manager),
            Err(error) => return Outcome::Failed(error),
        };
        let mut watcher = options.watch.then(|| Watcher::start(Vec::<Watched>::new()));
        let loaded = match read(&options.load, &mut watcher) {
            Ok(loaded) => loaded,
            Err(error) => return Outcome::Refused(Box::new(error)),
        };
        keep_freed_memory();
        let spawner = match Spawner::start(options.alone) {
            Ok(spawner) => Arc::new(spawner),
            Err(error) => return Outcome::Failed(error),
        };
        match spawner.control_groups() {
            Ok(folder) => {
                let folder = folder.display().to_string();
                let memory = spawner.memory_by_group().unwrap_or(Ok(()));
                let limits =
                    if memory.is_ok() { ", which limits their memory as well" } else { "" };
                tracing::info!(
                    %folder,
                    "each worker's processes are in a control group of their own{limits}"
                );
                options.registry.set_control_groups(folder, memory.is_ok());
                if let Err(why) = memory {
                    tracing::debug!("`limits.memory` is for each process alone: {why}");
                }
            }
            Err(why) => tracing::debug!("workers have no control groups: {why}"),
        }
        warn(&loaded);
        let keeper = Keeper::new(options.registry.clone(), command.kill.clone());
        let mut engine = Self {
            options,
            command,
            spawner,
            keeper,
            links: None,
            dialling: None,
            seat: None,
            links_tasks: TaskTracker::new(),
            current: None,
            undone: Undone::default(),
            pending: Some(loaded),
            found_under: Weak::new(),
            asked: mpsc::channel(1),
            waiting_for: String::new(),
            paused: false,
            waiting_since: None,
            left: String::new(),
            waiting: Waiting::default(),
            announcer: announcer.clone(),
        };
        let work = async {
            engine.serve(&mut watcher).await;
            announcer.stopping();
            engine.stop().await;
        };
        // On the heap: the futures of whoever awaits this stay small.
        announcer.during(Box::pin(work)).await;
        Outcome::Stopped
    }

    async fn serve(&mut self, watcher: &mut Option<Watcher>) {
        let drain = self.command.drain.clone();
        let reload = self.command.reload.clone();
        let mut soon = Backoff::new(AGAIN.0, AGAIN.1);
        let mut late = Backoff::new(REFUSED.0, REFUSED.1);
        let mut look = tokio::time::Instant::now();
        let mut looked = Instant::now();
        let mut unlooked = false;
        loop {
            if let Some(next) = self.pending.take() {
                // A stop does not wait for a broker that may never answer.
                let done = tokio::select! {
                    () = drain.cancelled() => return,
                    done = self.bring_about(&next) => done,
                };
                look = tokio::time::Instant::now() + next.desired.reconcile.interval;
                match done {
                    Progress::Done { looked } => {
                        unlooked = !looked;
                        if unlooked {
                            look = tokio::time::Instant::now() + AFTERWARDS_AT_MOST;
                        }
                        soon.reset();
                        late.reset();
                        self.waiting_for.clear();
                        let stack = next.desired.stack.as_str();
                        self.options.registry.in_force(stack, next.digest.as_str());
                        self.current = Some(Arc::new(next));
                        self.announcer.going("as the files say");
                    }
                    Progress::Refused => {
                        self.announcer.going("the last change is refused; all goes on as before");
                    }
                    Progress::Later { refused } => {
                        self.pending = Some(next);
                        let waiting = match self.waiting_for.as_str() {
                            "" => "waiting for the supervisor that makes a queue anew".to_owned(),
                            why => format!("waiting for the broker: {why}"),
                        };
                        self.announcer.going(&waiting);
                        let again = if refused { &mut late } else { &mut soon };
                        look = tokio::time::Instant::now() + again.next(fastrand::f64());
                    }
                }
            }
            let (asked, seat) = (&mut self.asked.1, &mut self.seat);
            let requests = &mut self.options.requests;
            tokio::select! {
                biased;
                () = drain.cancelled() => return,
                () = reload.notified() => self.load(watcher, Cause::Asked),
                (number, what, outcome) = self.keeper.concluded() => {
                    self.report(number, &what, &outcome);
                    if std::mem::take(&mut unlooked) {
                        look = look.min(tokio::time::Instant::now() + AFTERWARDS);
                    }
                }
                request = async {
                    match requests {
                        Some(requests) => requests.recv().await,
                        None => std::future::pending().await,
                    }
                } => match request {
                    Some(EngineRequest::Crew(CrewRequest { consumer, order, known })) => {
                        let _ = known.send(self.keeper.order(&consumer, order).await);
                    }
                    Some(EngineRequest::Reload(answer)) => {
                        self.waiting.join(answer);
                        self.load(watcher, Cause::Asked);
                    }
                    None => self.options.requests = None,
                },
                () = async {
                    match watcher {
                        Some(watcher) => watcher.changed().await,
                        None => std::future::pending().await,
                    }
                } => self.load(watcher, Cause::Noticed),
                () = async {
                    match seat {
                        Some(seat) => seat.changed().await,
                        None => std::future::pending().await,
                    }
                } => look = tokio::time::Instant::now(),
                Some(()) = asked.recv() => {
                    self.found_under = Weak::new();
                    look = look.min(tokio::time::Instant::now() + ASKED);
                }
                () = tokio::time::sleep_until(look) => {
                    if self.pending.is_none() {
                        let (begun, mut changed) = (AtomicBool::new(false), false);
                        let may_be_given_up = looked.elapsed() < UNLOOKED;
                        let notice = async {
                            match watcher {
                                Some(watcher) => watcher.changed().await,
                                None => std::future::pending().await,
                            }
                            changed = true;
                            // What is being changed is changed to its end.
                            if begun.load(Ordering::Relaxed) {
                                std::future::pending::<()>().await;
                            }
                        };
                        let pause = tokio::select! {
                            () = drain.cancelled() => return,
                            pause = self.look(&begun) => {
                                looked = Instant::now();
                                pause
                            }
                            // Whoever has saved a file waits; the look comes after.
                            () = notice, if may_be_given_up => AFTERWARDS,
                        };
                        if changed {
                            self.load(watcher, Cause::Noticed);
                        }
                        look = tokio::time::Instant::now() + pause;
                    }
                }
            }
        }
    }

    /// Makes the broker and the processes as the files say.
    async fn bring_about(&mut self, next: &Loaded) -> Progress {
        let first = self.current.is_none();
        if let Some(topology) = self.change_in_place(&next.desired).await {
            self.go_over(next, format!("reloaded: {topology}")).await;
            return Progress::Done { looked: false };
        }
        let topology = match self.reconcile(next, &AtomicBool::default()).await {
            Ok(reconciled) => self.looked(&reconciled, &next.desired, first),
            Err(Shortfall::Unreachable { why, hint, refused }) => {
                // An outage is news once, not at every attempt.
                if self.waiting_for != why {
                    let hint = hint.as_deref();
                    tracing::warn!(hint, "waiting for the broker: {why}");
                    self.waiting_for.clone_from(&why);
                }
                self.waiting.tell(&ReloadOutcome::Waiting { why });
                return Progress::Later { refused };
            }
            Err(error @ Shortfall::Elsewhere) => {
                self.waiting.tell(&ReloadOutcome::Waiting { why: error.to_string() });
                return Progress::Later { refused: false };
            }
            Err(Shortfall::Refused(why)) if first => {
                // Consumers whose queues are there can work while a person looks at the rest.
                tracing::error!(detail = why, "the broker is not as the files say");
                "topology: refused".to_owned()
            }
            Err(Shortfall::Refused(why)) => {
                tracing::error!(detail = why, "the change is refused; everything goes on as it is");
                self.waiting.tell(&ReloadOutcome::Refused { why: why.clone() });
                self.options.registry.reload_failed(why);
                self.go_on().await;
                return Progress::Refused;
            }
        };
        let what = if first { "started" } else { "reloaded" };
        self.go_over(next, format!("{what}: {topology}")).await;
        Progress::Done { looked: true }
    }

    /// Has the consumers follow what is now the topology.
    async fn go_over(&mut self, next: &Loaded, what: String) {
        self.paused = false;
        let renewed = self.link(&next.desired);
        let change = self.follow(&next.desired, renewed, what).await;
        self.undone = Undone::begun(change);
        self.waiting.changing(change);
    }

    /// The gate through which all connections to that broker go.
    fn dialling(&mut self, broker: &BrokerSpec) -> Dialling {
        match &self.dialling {
            Some((known, dialling)) if known == broker => dialling.clone(),
            _ => {
                let dialling = Dialling::new(broker.endpoints.len());
                self.dialling = Some((broker.clone(), dialling.clone()));
                dialling
            }
        }
    }

    /// Connects to the broker of the files; true where that is another one than before.
    fn link(&mut self, desired: &Desired) -> bool {
        if self.links.as_ref().is_some_and(|links| links.lead_to(&desired.broker)) {
            return false;
        }
        let dialler = Dialler::new(
            &desired.broker,
            self.dialling(&desired.broker),
            desired.stack.to_string(),
            self.options.registry.clone(),
            self.links_tasks.clone(),
        );
        let number = self.links.as_ref().map_or(0, |links| links.number() + 1);
        let links = Arc::new(Links::start(desired.broker.clone(), number, dialler));
        self.links.replace(links).is_some()
    }

    async fn follow(&mut self, desired: &Desired, renewed: bool, what: String) -> u64 {
        let links = self.links.as_ref().expect("linked before");
        let hands = Arc::new(Hands {
            links: links.clone(),
            registry: self.options.registry.clone(),
            spawner: self.spawner.clone(),
            topology: Arc::new(desired.topology.clone()),
            positions: Positions::of(desired),
            ack_limits: AckLimits::default(),
            reconcile: self.asked.0.clone(),
            management: ManagementClient::new(&desired.broker.management, Timeouts::default())
                .ok()
                .flatten(),
        });
        self.keeper.follow(&desired.fleet, &hands, what, renewed).await
    }

    async fn stop(mut self) {
        self.keeper.stop().await;
        drop(self.links.take());
        self.links_tasks.close();
        let _ = tokio::time::timeout(GOODBYE, self.links_tasks.wait()).await;
        close_books(&self.options.registry);
    }
}

enum Progress {
    /// It is in force; whether the broker was looked at for it.
    Done {
        looked: bool,
    },
    Refused,
    /// The broker cannot be reached, or refuses to let us in.
    Later {
        refused: bool,
    },
}
