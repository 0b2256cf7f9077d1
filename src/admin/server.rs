//! The supervisor's side of the socket.

use std::io;
use std::os::unix::net::UnixListener as StdListener;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::rates::Sampler;
use super::socket::{Bound, SocketError, bind, bind_stack};
use super::wire::{Answered, Asked};
use super::{Answer, Report, Request, VERSION};
use crate::engine::{Command, CrewOrder, CrewRequest, EngineRequest};
use crate::model::{ConsumerName, StackName};
use crate::telemetry::Registry;

/// Connections at once.
const CLIENTS: usize = 32;

/// The longest request, bytes.
const LONGEST: u64 = 64 << 10;

/// How long a connection may be silent between two requests.
const IDLE: Duration = Duration::from_mins(1);

/// How long a client may take to read an answer.
const UNREAD: Duration = Duration::from_secs(5);

/// How long the engine may take to hear of a request. It hears nothing while it looks at a broker.
const UNHEARD: Duration = Duration::from_secs(30);

/// How often the counts are noted, for rates.
const NOTE: Duration = Duration::from_secs(1);

/// Between two attempts to listen where there was no room.
const AGAIN: Duration = Duration::from_secs(1);

/// What the socket steers.
#[derive(Clone, Debug)]
pub struct Control {
    /// What is shown.
    pub registry: Registry,
    /// How it is stopped.
    pub command: Command,
    /// How it is asked for the rest.
    pub requests: mpsc::Sender<EngineRequest>,
}

/// Listens until it is closed or dropped, which removes the socket.
#[derive(Debug)]
pub struct Server {
    task: AbortOnDropHandle<()>,
}

/// What all connections share.
#[derive(Debug)]
struct Desk {
    control: Control,
    stack: watch::Receiver<Option<StackName>>,
    began: Instant,
    began_at: String,
    sampler: Mutex<Sampler>,
}

impl Server {
    /// Listens on that path from now on.
    ///
    /// # Errors
    /// [`SocketError`]: among others, another supervisor listens there.
    pub fn at(
        path: &std::path::Path,
        stack: watch::Receiver<Option<StackName>>,
        control: Control,
    ) -> Result<Self, SocketError> {
        let listening = listen(bind(path)?)?;
        let desk = Desk::new(control, stack);
        Ok(Self::start(serve(desk, listening)))
    }

    /// Listens in the usual place of a stack, once its name is known, and moves when it gets
    /// another. That there is no place for it is logged.
    pub fn of_stack(stack: watch::Receiver<Option<StackName>>, control: Control) -> Self {
        let desk = Desk::new(control, stack.clone());
        Self::start(follow(desk, stack))
    }

    fn start(serving: impl Future<Output = ()> + Send + 'static) -> Self {
        Self { task: AbortOnDropHandle::new(tokio::spawn(serving)) }
    }

    /// Ends it. The socket is gone when this returns, which nobody knows of one that is dropped.
    pub async fn close(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}

/// A socket, and the file that goes with it.
struct Listening {
    listener: UnixListener,
    _bound: Bound,
}

fn listen((listener, bound): (StdListener, Bound)) -> Result<Listening, SocketError> {
    let path: PathBuf = bound.path.clone();
    let refused = |error| SocketError::Refused { path: path.clone(), error };
    listener.set_nonblocking(true).map_err(refused)?;
    let listener = UnixListener::from_std(listener).map_err(refused)?;
    tracing::debug!("listening on `{}`", bound.path.display());
    Ok(Listening { listener, _bound: bound })
}

/// Serves a stack under each of its names.
async fn follow(desk: Arc<Desk>, mut stack: watch::Receiver<Option<StackName>>) {
    loop {
        let Ok(name) = stack.wait_for(Option::is_some).await.map(|name| name.clone()) else {
            return;
        };
        let bound = name.as_ref().map(|name| bind_stack(name.as_str()).and_then(listen));
        let serving = async {
            match bound {
                Some(Ok(listening)) => serve(desk.clone(), listening).await,
                Some(Err(error)) => {
                    tracing::warn!("there is no socket to steer this supervisor by: {error}");
                    std::future::pending::<()>().await;
                }
                None => {}
            }
        };
        let renamed = async {
            // When nobody is left to rename it, it keeps its name.
            if stack.wait_for(|now| *now != name).await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = serving => {}
            () = renamed => {}
        }
    }
}

async fn serve(desk: Arc<Desk>, listening: Listening) {
    let room = Arc::new(Semaphore::new(CLIENTS));
    let mut clients = JoinSet::new();
    let mut note = tokio::time::interval(NOTE);
    loop {
        tokio::select! {
            accepted = listening.listener.accept() => match accepted {
                Ok((stream, _)) => match room.clone().try_acquire_owned() {
                    Ok(place) => {
                        let desk = desk.clone();
                        clients.spawn(async move {
                            // A client that goes away or stalls is its own affair.
                            let _ = attend(&desk, stream).await;
                            drop(place);
                        });
                    }
                    Err(_) => tracing::debug!("too many clients on the socket"),
                },
                Err(error) => {
                    tracing::debug!("cannot accept a client: {error}");
                    tokio::time::sleep(AGAIN).await;
                }
            },
            Some(_) = clients.join_next() => {}
            _ = note.tick() => desk.note(),
        }
    }
}

/// Answers one client until it goes.
async fn attend(desk: &Desk, mut stream: UnixStream) -> io::Result<()> {
    let ours = rustix::process::geteuid().as_raw();
    if !matches!(stream.peer_cred()?.uid(), uid if uid == ours || uid == 0) {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    let (reader, mut writer) = stream.split();
    let mut reader = BufReader::new(reader);
    loop {
        let mut line = Vec::new();
        timeout(IDLE, (&mut reader).take(LONGEST).read_until(b'\n', &mut line)).await??;
        if line.is_empty() {
            return Ok(());
        }
        let whole = line.ends_with(b"\n");
        let answer = match understand(&line) {
            Ok(request) => desk.answer(request).await,
            Err(why) => Answer::Refused { why },
        };
        let mut line = serde_json::to_vec(&Answered { version: VERSION, answer })?;
        line.push(b'\n');
        timeout(UNREAD, writer.write_all(&line)).await??;
        if !whole {
            return Ok(());
        }
    }
}

/// What the requests of every version have.
#[derive(serde::Deserialize)]
struct Versioned {
    version: u32,
}

fn understand(line: &[u8]) -> Result<Request, String> {
    if !line.ends_with(b"\n") {
        return Err(format!("a request is a line of at most {LONGEST} bytes"));
    }
    let unclear = |error: serde_json::Error| format!("the request is not understood: {error}");
    let Versioned { version } = serde_json::from_slice(line).map_err(unclear)?;
    if version != VERSION {
        return Err(format!(
            "the request has version {version}, and this supervisor speaks {VERSION}: use the \
             `warrener` that it was started from"
        ));
    }
    let Asked { request, .. } = serde_json::from_slice(line).map_err(unclear)?;
    Ok(request)
}

impl Desk {
    fn new(control: Control, stack: watch::Receiver<Option<StackName>>) -> Arc<Self> {
        Arc::new(Self {
            control,
            stack,
            began: Instant::now(),
            began_at: jiff::Timestamp::now().to_string(),
            sampler: Mutex::default(),
        })
    }

    fn note(&self) {
        let status = self.control.registry.status();
        let mut sampler = self.sampler.lock().unwrap_or_else(PoisonError::into_inner);
        sampler.note(Instant::now(), &status);
    }

    async fn answer(&self, request: Request) -> Answer {
        match request {
            Request::Status => Answer::Status { report: Box::new(self.report()) },
            Request::Pause { consumer } => self.order(consumer, CrewOrder::Pause).await,
            Request::Resume { consumer } => self.order(consumer, CrewOrder::Resume).await,
            Request::Restart { consumer } => self.order(consumer, CrewOrder::Restart).await,
            Request::Scale { consumer, workers } => {
                self.order(consumer, CrewOrder::Scale(workers)).await
            }
            Request::Reload => {
                let (answer, outcome) = oneshot::channel();
                match self.request(EngineRequest::Reload(answer), outcome, None).await {
                    Ok(outcome) => Answer::Reloaded { outcome },
                    Err(why) => Answer::Refused { why },
                }
            }
            Request::Drain => {
                tracing::info!("somebody asks on the socket: drain");
                self.control.command.drain.cancel();
                Answer::Done
            }
        }
    }

    fn report(&self) -> Report {
        let status = self.control.registry.status();
        let rates = {
            let sampler = self.sampler.lock().unwrap_or_else(PoisonError::into_inner);
            sampler.rates(Instant::now(), &status)
        };
        let stack = self.stack.borrow().as_ref().map(ToString::to_string);
        Report {
            stack: stack.unwrap_or_default(),
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_at: self.began_at.clone(),
            uptime: self.began.elapsed().as_secs(),
            rates,
            status,
        }
    }

    async fn order(&self, consumer: ConsumerName, order: CrewOrder) -> Answer {
        let what = match order {
            CrewOrder::Pause => "pause".to_owned(),
            CrewOrder::Resume => "resume".to_owned(),
            CrewOrder::Restart => "restart".to_owned(),
            CrewOrder::Scale(Some(workers)) => format!("scale to {workers}"),
            CrewOrder::Scale(None) => "scale to what the file says".to_owned(),
        };
        tracing::info!(%consumer, "somebody asks on the socket: {what}");
        let (known, answered) = oneshot::channel();
        let request = EngineRequest::Crew(CrewRequest { consumer, order, known });
        match self.request(request, answered, Some(UNHEARD)).await {
            Ok(true) => Answer::Done,
            Ok(false) => {
                let known = self.control.registry.status().consumers.into_keys().collect();
                Answer::NoConsumer { known }
            }
            Err(why) => Answer::Refused { why },
        }
    }

    /// Has the engine do something, and waits for what it says.
    async fn request<T>(
        &self,
        request: EngineRequest,
        answered: oneshot::Receiver<T>,
        limit: Option<Duration>,
    ) -> Result<T, String> {
        let busy = || {
            format!(
                "the supervisor is busy, and has not heard of it within {} s",
                UNHEARD.as_secs()
            )
        };
        match timeout(UNHEARD, self.control.requests.send(request)).await {
            Err(_) => return Err(busy()),
            Ok(Err(_)) => return Err("the supervisor is about to end".to_owned()),
            Ok(Ok(())) => {}
        }
        let answered =
            async { answered.await.map_err(|_| "the supervisor is about to end".to_owned()) };
        match limit {
            None => answered.await,
            Some(limit) => timeout(limit, answered).await.unwrap_or_else(|_| Err(busy())),
        }
    }
}
