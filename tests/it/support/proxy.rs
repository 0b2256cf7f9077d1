//! A proxy between a client and a broker that knows AMQP frames, for faults that a broker does not
//! show on demand.
//!
//! ```text
//!   client ──▶ Proxy::port() ──▶ upstream broker
//!                │
//!                └─ cut · black_hole · refuse · delay · slice · cut_after · swallow · inject · seen
//! ```
//!
//! Every switch works on all connections, those that exist and those to come, except where its
//! description says otherwise. A fault that acts on frames acts between frames, never inside one,
//! so what arrives is AMQP still; [`Proxy::cut_after`] is for the opposite.
//!
//! What passed can be counted and waited for ([`Proxy::wait_seen`]), so that no test sleeps to be
//! sure that something has happened on the wire.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::frames::{Contents, Frame, Method};

const DEADLINE: Duration = Duration::from_secs(30);

/// Which way a frame goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Direction {
    ToBroker,
    ToClient,
}

/// The proxy; dropping it closes every connection and frees its port.
pub(crate) struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    _stop: DropGuard,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// Something in the state has changed.
    turned: Notify,
}

#[derive(Default)]
struct State {
    black_hole: bool,
    refuse: bool,
    /// Whose client or vhost has this name is reset.
    refused: Option<String>,
    delay: Duration,
    slice: Option<usize>,
    cut_after: Option<(Direction, usize)>,
    /// What is swallowed, and how many times more.
    swallow: HashMap<(Direction, Method), usize>,
    seen: HashMap<(Direction, Method), usize>,
    /// Connections by number: how to cut each, and what is to be put into it.
    connections: HashMap<u64, Connection>,
    accepted: u64,
}

struct Connection {
    cut: CancellationToken,
    injected: VecDeque<(Direction, Frame)>,
    /// What the client says of itself in `connection.start-ok`, its name among it, and then the
    /// vhost that it names in `connection.open`.
    introduction: Vec<u8>,
}

impl Connection {
    fn names(&self, name: &str) -> bool {
        memchr::memmem::find(&self.introduction, name.as_bytes()).is_some()
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no one panics while holding it")
    }

    fn set(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.turned.notify_waiters();
    }

    /// Waits until the state is so.
    async fn until(&self, is_so: impl Fn(&State) -> bool) {
        loop {
            // Listening starts before the look, else a change between the two is missed.
            let turned = self.turned.notified();
            tokio::pin!(turned);
            turned.as_mut().enable();
            if is_so(&self.state()) {
                return;
            }
            turned.await;
        }
    }
}

impl Proxy {
    /// A proxy on a free port of the loopback in front of `upstream`.
    pub(crate) async fn start(upstream: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let shared = Arc::new(Shared::default());
        let stop = CancellationToken::new();
        let serving = serve(listener, upstream, Arc::clone(&shared));
        let stopped = stop.clone();
        tokio::spawn(async move { stopped.run_until_cancelled(serving).await });
        Self { address, shared, _stop: stop.drop_guard() }
    }

    /// Where clients connect to.
    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// Resets every connection, towards both sides. New ones are welcome.
    pub(crate) fn cut(&self) {
        let cut = |state: &mut State| {
            state.connections.values().for_each(|connection| connection.cut.cancel());
        };
        self.shared.set(cut);
    }

    /// While on, nothing passes in either direction and no socket closes, as when a cable is
    /// pulled. What was sent meanwhile passes when it is off again.
    pub(crate) fn black_hole(&self, on: bool) {
        self.shared.set(|state| state.black_hole = on);
    }

    /// While on, a new connection is reset at once. Those that exist stay.
    pub(crate) fn refuse(&self, on: bool) {
        self.shared.set(|state| state.refuse = on);
    }

    /// As long as there is a name, the connections whose client or vhost has it, or it as a part of
    /// its name, are reset, those that exist and those to come.
    pub(crate) fn refuse_named(&self, name: Option<&str>) {
        self.shared.set(|state| {
            state.refused = name.map(str::to_owned);
            for connection in state.connections.values() {
                if name.is_some_and(|name| connection.names(name)) {
                    connection.cut.cancel();
                }
            }
        });
    }

    /// Each frame waits this long before it goes on; one after the other, so it limits the rate as
    /// well.
    pub(crate) fn delay(&self, delay: Duration) {
        self.shared.set(|state| state.delay = delay);
    }

    /// Frames go on in writes of so many bytes, or whole.
    pub(crate) fn slice(&self, bytes: Option<usize>) {
        self.shared.set(|state| state.slice = bytes);
    }

    /// Connections made from now on are reset after so many bytes in that direction, be it inside
    /// a frame.
    pub(crate) fn cut_after(&self, limit: Option<(Direction, usize)>) {
        self.shared.set(|state| state.cut_after = limit);
    }

    /// The next `times` frames with that method vanish, with the message that belongs to each. They
    /// count as seen.
    pub(crate) fn swallow(&self, direction: Direction, method: Method, times: usize) {
        self.shared.set(|state| {
            state.swallow.insert((direction, method), times);
        });
    }

    /// Puts a frame into every connection that exists, as soon as its channel is not inside a
    /// message. It does not count as seen.
    pub(crate) fn inject(&self, direction: Direction, frame: &Frame) {
        let inject = |state: &mut State| {
            for connection in state.connections.values_mut() {
                connection.injected.push_back((direction, frame.clone()));
            }
        };
        self.shared.set(inject);
    }

    /// The same for the connections whose client gave this name, or a part of it.
    pub(crate) fn inject_into(&self, name: &str, direction: Direction, frame: &Frame) {
        let inject = |state: &mut State| {
            for connection in state.connections.values_mut() {
                if connection.names(name) {
                    connection.injected.push_back((direction, frame.clone()));
                }
            }
        };
        self.shared.set(inject);
    }

    /// How many frames with that method have arrived.
    pub(crate) fn seen(&self, direction: Direction, method: Method) -> usize {
        self.shared.state().seen.get(&(direction, method)).copied().unwrap_or(0)
    }

    /// Waits until at least so many have.
    pub(crate) async fn wait_seen(&self, direction: Direction, method: Method, count: usize) {
        let enough =
            |state: &State| state.seen.get(&(direction, method)).is_some_and(|seen| *seen >= count);
        let waited = tokio::time::timeout(DEADLINE, self.shared.until(enough)).await;
        let seen = self.seen(direction, method);
        assert!(waited.is_ok(), "{method:?} {direction:?}: {seen} of {count} came");
    }

    /// How many connections there are.
    pub(crate) fn connections(&self) -> usize {
        self.shared.state().connections.len()
    }

    /// How many have ever been accepted, those that were refused among them.
    pub(crate) fn accepted(&self) -> u64 {
        self.shared.state().accepted
    }
}

async fn serve(listener: TcpListener, upstream: SocketAddr, shared: Arc<Shared>) {
    // Dropped with this future: no connection outlives the proxy.
    let mut connections = JoinSet::new();
    loop {
        let client = tokio::select! {
            Ok((client, _)) = listener.accept() => client,
            Some(_) = connections.join_next() => continue,
            else => continue,
        };
        let cut = CancellationToken::new();
        let (number, refused) = {
            let mut state = shared.state();
            state.accepted += 1;
            let number = state.accepted;
            if !state.refuse {
                let connection = Connection {
                    cut: cut.clone(),
                    injected: VecDeque::new(),
                    introduction: Vec::new(),
                };
                state.connections.insert(number, connection);
            }
            (number, state.refuse)
        };
        shared.turned.notify_waiters();
        if refused {
            reset(&client);
            continue;
        }
        let shared = Arc::clone(&shared);
        connections.spawn(async move {
            connection(client, upstream, number, &cut, &shared).await;
            shared.set(|state| {
                state.connections.remove(&number);
            });
        });
    }
}

/// The drop of the socket that follows sends RST instead of FIN.
fn reset(socket: &TcpStream) {
    // It fails only where the socket is gone, and with it the connection.
    let _ = socket.set_zero_linger();
}

async fn connection(
    mut client: TcpStream,
    upstream: SocketAddr,
    number: u64,
    cut: &CancellationToken,
    shared: &Shared,
) {
    let Ok(mut broker) = TcpStream::connect(upstream).await else {
        return reset(&client);
    };
    for socket in [&client, &broker] {
        // Else the kernel would join again what `slice` has cut.
        let _ = socket.set_nodelay(true);
    }
    let limit = shared.state().cut_after;
    let limit = |direction| limit.filter(|(limited, _)| *limited == direction).map(|(_, n)| n);
    let pumped = {
        let (from_client, to_client) = client.split();
        let (from_broker, to_broker) = broker.split();
        let pump = |direction| Pump { direction, number, left: limit(direction), shared };
        let up = pump(Direction::ToBroker).run(from_client, to_broker);
        let down = pump(Direction::ToClient).run(from_broker, to_client);
        cut.run_until_cancelled(async { tokio::try_join!(up, down) }).await
    };
    // Both sides ended in good order, or it is to look like an accident.
    if !matches!(pumped, Some(Ok(_))) {
        reset(&client);
        reset(&broker);
    }
}

/// One direction of one connection.
struct Pump<'a> {
    direction: Direction,
    number: u64,
    /// How many bytes may pass before the connection is reset.
    left: Option<usize>,
    shared: &'a Shared,
}

impl Pump<'_> {
    async fn run(mut self, mut from: ReadHalf<'_>, mut to: WriteHalf<'_>) -> io::Result<()> {
        let (mut buffer, mut contents) = (Vec::new(), Contents::default());
        loop {
            while let Some(frame) = Frame::take(&mut buffer) {
                let method = frame.carries();
                if method == Some(Method::START_OK) || method == Some(Method::CONNECTION_OPEN) {
                    self.introduced(&frame);
                }
                if contents.admit(&frame, |method| self.arrived(method)) {
                    self.forward(&frame, &mut to).await?;
                }
                self.put_in(&contents, &mut to).await?;
            }
            let injected = |state: &State| {
                state.connections.get(&self.number).is_some_and(|connection| {
                    connection.injected.iter().any(|(direction, frame)| {
                        *direction == self.direction && contents.between_messages(frame.channel())
                    })
                })
            };
            tokio::select! {
                read = from.read_buf(&mut buffer) => if read? == 0 {
                    // Half of a frame at the end passes as well, and a black hole holds even this.
                    self.shared.until(|state| !state.black_hole).await;
                    to.write_all(&buffer).await?;
                    return to.shutdown().await;
                },
                () = self.shared.until(injected) => self.put_in(&contents, &mut to).await?,
            }
        }
    }

    fn introduced(&self, frame: &Frame) {
        let mut state = self.shared.state();
        let refused = state.refused.clone();
        let Some(connection) = state.connections.get_mut(&self.number) else { return };
        connection.introduction.extend_from_slice(frame.bytes());
        if refused.is_some_and(|name| connection.names(&name)) {
            connection.cut.cancel();
        }
    }

    /// Counts a method that has arrived; true where it is to be swallowed.
    fn arrived(&self, method: Method) -> bool {
        let key = (self.direction, method);
        let mut state = self.shared.state();
        *state.seen.entry(key).or_default() += 1;
        let swallowed = state.swallow.get_mut(&key).is_some_and(|times| {
            let more = *times > 0;
            *times = times.saturating_sub(1);
            more
        });
        drop(state);
        self.shared.turned.notify_waiters();
        swallowed
    }

    /// Sends what waits to be injected in this direction and may go now.
    async fn put_in(&mut self, contents: &Contents, to: &mut WriteHalf<'_>) -> io::Result<()> {
        loop {
            let next = {
                let mut state = self.shared.state();
                let Some(connection) = state.connections.get_mut(&self.number) else {
                    return Ok(());
                };
                let waiting = &mut connection.injected;
                let at = waiting.iter().position(|(direction, frame)| {
                    *direction == self.direction && contents.between_messages(frame.channel())
                });
                at.and_then(|at| waiting.remove(at))
            };
            match next {
                Some((_, frame)) => self.forward(&frame, to).await?,
                None => return Ok(()),
            }
        }
    }

    async fn forward(&mut self, frame: &Frame, to: &mut WriteHalf<'_>) -> io::Result<()> {
        let delay = self.shared.state().delay;
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        self.shared.until(|state| !state.black_hole).await;
        let slice = self.shared.state().slice;
        let mut bytes = frame.bytes();
        if let Some(left) = self.left {
            bytes = &bytes[..left.min(bytes.len())];
            self.left = Some(left - bytes.len());
        }
        for piece in bytes.chunks(slice.unwrap_or(usize::MAX)) {
            to.write_all(piece).await?;
        }
        match self.left {
            Some(0) => Err(io::Error::other("the limit of this connection")),
            _ => Ok(()),
        }
    }
}
