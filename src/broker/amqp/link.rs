//! A link: one connection of one role, made again whenever it is lost.
//!
//! A link is one task and a watch channel. Users wait for [`LinkState::Up`], open a channel on it,
//! and on any fault drop what they had and wait for the next `Up`: they never learn whether the
//! connection or only their channel was lost, because the cure is the same.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use lapin::Event;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::OwnedChannel;
use super::connect::{CALL_TIMEOUT, ConnectError, Wire, connect};
use crate::model::Endpoint;
use crate::supervise::Backoff;
use crate::telemetry::{ConnectionRole, ConnectionState, Registry};

/// Pauses between attempts while nobody answers: short, because a broker that has come back must
/// be consumed from within seconds; with jitter, because every host of a cluster retries at once.
const UNREACHABLE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(3));

/// Pauses after a refusal: more attempts will not mend a password.
const REFUSED: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(30));

/// How often an open connection is looked at when it reports nothing by itself.
const LOOK: Duration = Duration::from_secs(1);

/// The state of a link.
#[derive(Clone)]
pub enum LinkState {
    /// No connection, and the last reason why.
    Down(Option<ConnectError>),
    /// A connection that was open when last looked at.
    Up(Arc<Wire>),
}

/// A connection of one role that is kept open.
pub struct Link {
    state: watch::Receiver<LinkState>,
    token: CancellationToken,
}

impl Link {
    /// Starts connecting to the first endpoint that answers, and keeps at it until the link is
    /// dropped. Its last act, a goodbye to the broker, is done by a task of the tracker.
    pub fn start(
        endpoints: Vec<Endpoint>,
        role: ConnectionRole,
        name: String,
        registry: Registry,
        tasks: &TaskTracker,
    ) -> Self {
        let (tx, state) = watch::channel(LinkState::Down(None));
        let token = CancellationToken::new();
        let keeper = Keeper { endpoints, role, name, registry, token: token.clone(), tx };
        tasks.spawn(keeper.run());
        Self { state, token }
    }

    /// A view on the state that can be awaited.
    pub fn watch(&self) -> watch::Receiver<LinkState> {
        self.state.clone()
    }

    /// Waits until connected and opens a channel. A channel that cannot be opened costs the
    /// connection: a broker that leaves `channel.open` unanswered answers nothing else either.
    pub async fn open_channel(&self) -> OwnedChannel {
        let mut state = self.watch();
        loop {
            let up = state.wait_for(|state| matches!(state, LinkState::Up(_))).await;
            let wire = match up.map(|state| state.clone()) {
                Ok(LinkState::Up(wire)) => wire,
                Ok(LinkState::Down(_)) => continue,
                // The keeper has ended, so nothing will ever be up again; callers are cancelled.
                Err(_) => return std::future::pending().await,
            };
            match timeout(CALL_TIMEOUT, OwnedChannel::open(&wire.connection)).await {
                Ok(Ok(channel)) => return channel,
                Ok(Err(error)) => {
                    tracing::debug!(%error, "cannot open a channel");
                    wire.cut();
                }
                Err(_) => wire.cut(),
            }
            drop(wire);
            // Until the keeper has noticed; it looks at least once a second.
            let _ = timeout(LOOK, state.changed()).await;
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.token.cancel();
    }
}

struct Keeper {
    endpoints: Vec<Endpoint>,
    role: ConnectionRole,
    name: String,
    registry: Registry,
    token: CancellationToken,
    tx: watch::Sender<LinkState>,
}

impl Keeper {
    async fn run(self) {
        let mut soon = Backoff::new(UNREACHABLE.0, UNREACHABLE.1);
        let mut late = Backoff::new(REFUSED.0, REFUSED.1);
        let mut said = String::new();
        for endpoint in self.endpoints.iter().cycle() {
            let attempt = connect(endpoint, self.role, &self.name);
            let outcome = tokio::select! {
                () = self.token.cancelled() => return,
                outcome = attempt => outcome,
            };
            let pause = match outcome {
                Ok(wire) => {
                    tracing::info!(role = self.role.as_str(), broker = %endpoint, "connected");
                    said.clear();
                    let since = Instant::now();
                    let why = self.hold(Arc::new(wire)).await;
                    let Some(why) = why else { return };
                    tracing::warn!(role = self.role.as_str(), broker = %endpoint, %why, "connection lost");
                    self.registry.set_connection(self.role, ConnectionState::Down { why });
                    self.tx.send_replace(LinkState::Down(None));
                    if since.elapsed() > UNREACHABLE.1 {
                        soon.reset();
                        late.reset();
                    }
                    soon.next(fastrand::f64())
                }
                Err(error) => {
                    let why = error.to_string();
                    // An outage is news once, not at every attempt.
                    if said != why {
                        tracing::warn!(
                            role = self.role.as_str(),
                            hint = error.hint(),
                            "{why}; trying on"
                        );
                        said.clone_from(&why);
                    }
                    let pauses = if error.kind.is_refusal() { &mut late } else { &mut soon };
                    let pause = pauses.next(fastrand::f64());
                    self.registry.set_connection(self.role, ConnectionState::Down { why });
                    self.tx.send_replace(LinkState::Down(Some(error)));
                    pause
                }
            };
            tokio::select! {
                () = self.token.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Holds an open connection until it is lost (the reason) or the link is stopped (`None`).
    async fn hold(&self, wire: Arc<Wire>) -> Option<String> {
        // The only listener: lapin hands each event to one of its listeners, not to all.
        let mut events = std::pin::pin!(wire.connection.events_listener());
        self.registry.set_connection(self.role, ConnectionState::Up);
        self.tx.send_replace(LinkState::Up(wire.clone()));
        loop {
            tokio::select! {
                () = self.token.cancelled() => {
                    self.tx.send_replace(LinkState::Down(None));
                    wire.close().await;
                    return None;
                }
                event = events.next() => match event {
                    Some(Event::Error(error)) if !wire.connection.status().connected() => {
                        return Some(error.to_string());
                    }
                    Some(Event::ConnectionBlocked(reason)) => {
                        tracing::warn!(role = self.role.as_str(), %reason, "the broker blocks publishing");
                        self.registry.set_connection(self.role, ConnectionState::Blocked { why: reason });
                    }
                    Some(Event::ConnectionUnblocked) => {
                        tracing::info!(role = self.role.as_str(), "the broker takes publishes again");
                        self.registry.set_connection(self.role, ConnectionState::Up);
                    }
                    Some(_) => {}
                    None => return Some("closed".into()),
                },
                () = tokio::time::sleep(LOOK) => {
                    if !wire.connection.status().connected() {
                        return Some("closed".into());
                    }
                }
            }
        }
    }
}
