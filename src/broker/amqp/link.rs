//! A link: one connection of one role, made again whenever it is lost.
//!
//! A link is one task and a watch channel. Users wait for [`LinkState::Up`], open a channel on it,
//! and on any fault drop what they had and wait for the next `Up`: they never learn whether the
//! connection or only their channel was lost, because the cure is the same.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use lapin::Event;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::OwnedChannel;
use super::connect::{CALL_TIMEOUT, Wire, connect};
use super::dialler::Dialler;
use crate::telemetry::{ConnectionMeter, ConnectionRole, ConnectionState};

/// Publishes in a row without a confirm that cost the connection. One may be a queue without a
/// leader; where none is confirmed, the node may be cut off from the others of its cluster.
const DOUBTS: u32 = 2;

/// How often an open connection is looked at when it reports nothing by itself.
const LOOK: Duration = Duration::from_secs(1);

/// Why there is no connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outage {
    /// For a person; never with credentials.
    pub why: String,
    /// Whether the broker is there and will not, so that somebody has to mend something.
    pub refused: bool,
}

/// The state of a link.
#[derive(Clone)]
pub enum LinkState {
    /// No connection, and the last reason why; none before the first attempt.
    Down(Option<Outage>),
    /// A connection that was open when last looked at.
    Up(Arc<Wire>),
}

/// A connection of one role that is kept open.
pub struct Link {
    state: watch::Receiver<LinkState>,
    /// What has last come of a link to the same vhost.
    turns: watch::Receiver<Option<Outage>>,
    token: CancellationToken,
    trust: Arc<Trust>,
}

/// How far the broker's confirms can be relied on.
#[derive(Debug, Default)]
struct Trust {
    /// Publishes in a row that were not confirmed in time.
    doubts: AtomicU32,
    doubted: Notify,
}

impl Link {
    /// Starts connecting to the first endpoint that answers, when the gate lets it, and keeps at it
    /// until the link is dropped.
    pub fn start(dialler: &Dialler, role: ConnectionRole) -> Self {
        let (tx, state) = watch::channel(LinkState::Down(None));
        let (token, trust) = (CancellationToken::new(), Arc::<Trust>::default());
        let keeper = Keeper {
            meter: dialler.registry.connection(dialler.vhost.clone(), role),
            dialler: dialler.clone(),
            role,
            token: token.clone(),
            tx,
            trust: trust.clone(),
        };
        dialler.tasks.spawn(keeper.run());
        Self { state, turns: dialler.turns(), token, trust }
    }

    /// Why it is not connected, where that has been tried: what came last of any link to the same
    /// vhost, as the gate may let only another one try.
    pub fn outage(&self) -> Option<Outage> {
        match &*self.state.borrow() {
            LinkState::Down(own) => self.turns.borrow().clone().or_else(|| own.clone()),
            LinkState::Up(_) => None,
        }
    }

    /// A publish was confirmed.
    pub(super) fn confirmed(&self) {
        self.trust.doubts.store(0, Ordering::Relaxed);
    }

    /// A publish was not confirmed in time. Several in a row cost the connection, and the next one
    /// is to another endpoint, unless the broker has said that it takes no messages for now.
    pub(super) fn doubt(&self) {
        self.trust.doubts.fetch_add(1, Ordering::Relaxed);
        self.trust.doubted.notify_one();
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
    dialler: Dialler,
    meter: ConnectionMeter,
    role: ConnectionRole,
    token: CancellationToken,
    tx: watch::Sender<LinkState>,
    trust: Arc<Trust>,
}

/// Why a connection is no more.
struct Ended {
    why: String,
    /// Whether its endpoint is to blame, though it answers.
    elsewhere: bool,
}

impl From<String> for Ended {
    fn from(why: String) -> Self {
        Self { why, elsewhere: false }
    }
}

impl Keeper {
    async fn run(self) {
        let mut said = String::new();
        let Dialler { endpoints, dialling, name, .. } = &self.dialler;
        loop {
            let (pass, outcome) = tokio::select! {
                () = self.token.cancelled() => return,
                tried = async {
                    let pass = dialling.enter().await;
                    let outcome = connect(&endpoints[pass.endpoint], self.role, name).await;
                    (pass, outcome)
                } => tried,
            };
            let number = pass.endpoint;
            let endpoint = &endpoints[number];
            pass.tell(outcome.as_ref().map(drop));
            match outcome {
                Ok(wire) => {
                    tracing::info!(role = self.role.as_str(), broker = %endpoint, "connected");
                    said.clear();
                    let since = Instant::now();
                    let ended = self.hold(Arc::new(wire)).await;
                    let Some(Ended { why, elsewhere }) = ended else { return };
                    tracing::warn!(role = self.role.as_str(), broker = %endpoint, %why, "connection lost");
                    self.down(Outage { why, refused: false });
                    dialling.lost(number, since.elapsed(), elsewhere);
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
                    self.down(Outage { why, refused: error.kind.is_refusal() });
                }
            }
        }
    }

    fn down(&self, outage: Outage) {
        self.meter.set(ConnectionState::Down { why: outage.why.clone() });
        self.tx.send_replace(LinkState::Down(Some(outage.clone())));
        self.dialler.turns.send_replace(Some(outage));
    }

    /// Holds an open connection until it is lost (the reason) or the link is stopped (`None`).
    async fn hold(&self, wire: Arc<Wire>) -> Option<Ended> {
        let mut blocked = false;
        self.trust.doubts.store(0, Ordering::Relaxed);
        // The only listener: lapin hands each event to one of its listeners, not to all.
        let mut events = std::pin::pin!(wire.connection.events_listener());
        self.meter.set(ConnectionState::Up);
        self.tx.send_replace(LinkState::Up(wire.clone()));
        self.dialler.turns.send_replace(None);
        loop {
            tokio::select! {
                () = self.token.cancelled() => {
                    self.tx.send_replace(LinkState::Down(None));
                    wire.close().await;
                    return None;
                }
                event = events.next() => match event {
                    Some(Event::Error(error)) if !wire.connection.status().connected() => {
                        return Some(error.to_string().into());
                    }
                    Some(Event::ConnectionBlocked(reason)) => {
                        blocked = true;
                        tracing::warn!(role = self.role.as_str(), %reason, "the broker blocks publishing");
                        self.meter.set(ConnectionState::Blocked { why: reason });
                    }
                    Some(Event::ConnectionUnblocked) => {
                        blocked = false;
                        tracing::info!(role = self.role.as_str(), "the broker takes publishes again");
                        self.meter.set(ConnectionState::Up);
                    }
                    Some(_) => {}
                    None => return Some("closed".to_owned().into()),
                },
                () = self.trust.doubted.notified() => {
                    if blocked {
                        self.trust.doubts.store(0, Ordering::Relaxed);
                    } else if self.trust.doubts.load(Ordering::Relaxed) >= DOUBTS {
                        wire.cut();
                        let why = format!("it confirmed none of the last {DOUBTS} messages in time");
                        return Some(Ended { why, elsewhere: true });
                    }
                }
                () = tokio::time::sleep(LOOK) => {
                    if !wire.connection.status().connected() {
                        return Some("closed".to_owned().into());
                    }
                }
            }
        }
    }
}
