//! The gates that the connections of one host to one broker share.
//!
//! There is one for the broker, and one for each of its vhosts: of one that is missing or down, or
//! that has no room, only those hear that want to go there.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};

use super::connect::{ConnectError, ConnectErrorKind};
use crate::supervise::{Gate, Leave, Miss};

/// Lets those through that may try to connect to a vhost, see [`Gate`]. A clone is the same.
#[derive(Clone, Debug)]
pub struct Dialling {
    broker: Door,
    vhost: Door,
    endpoints: usize,
}

/// A gate, and those who wait before it. A clone is the same.
#[derive(Clone, Debug)]
struct Door(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    gate: Mutex<Gate>,
    /// Whoever waits may ask again.
    turned: Notify,
    /// Why the last attempt has failed, where nobody answers at any endpoint.
    away: watch::Sender<Option<ConnectError>>,
}

/// The leave to pass one door. Dropped without an outcome, it was not used.
#[derive(Debug)]
struct Ticket {
    door: Door,
    number: usize,
    used: bool,
}

/// The leave to try once. Dropped without an outcome, it was not used.
#[derive(Debug)]
pub struct Pass {
    broker: Ticket,
    vhost: Ticket,
    /// Which endpoint to try.
    pub endpoint: usize,
}

impl Dialling {
    /// To a vhost of a broker of so many endpoints.
    pub fn new(endpoints: usize) -> Self {
        Self { broker: Door::new(endpoints), vhost: Door::new(endpoints), endpoints }
    }

    /// To another vhost of the same broker.
    pub(super) fn to_another_vhost(&self) -> Self {
        let (broker, endpoints) = (self.broker.clone(), self.endpoints);
        Self { broker, vhost: Door::new(endpoints), endpoints }
    }

    /// Waits until it may be tried. Cancel-safe.
    pub async fn enter(&self) -> Pass {
        let vhost = self.vhost.enter().await;
        let broker = self.broker.enter().await;
        // Where a vhost is down at one endpoint, it may be up at the next.
        let endpoint = (broker.number + vhost.number) % self.endpoints.max(1);
        Pass { broker, vhost, endpoint }
    }

    /// Waits until no endpoint of the broker lets anybody in, and gives the last reason. Whoever
    /// waits to enter may wait for long then, behind others. Cancel-safe.
    pub async fn away(&self) -> ConnectError {
        let mut away = self.broker.0.away.subscribe();
        match away.wait_for(Option::is_some).await.map(|error| error.clone()) {
            Ok(Some(error)) => error,
            // The sender lives as long as this does.
            _ => std::future::pending().await,
        }
    }

    /// A connection was lost that had held for so long; `elsewhere` where its endpoint is to blame.
    pub fn lost(&self, endpoint: usize, held: Duration, elsewhere: bool) {
        let (now, chance) = (Instant::now(), fastrand::f64());
        self.vhost.change(|gate| gate.lost(0, held, false, now, chance));
        self.broker.change(|gate| gate.lost(endpoint, held, elsewhere, now, chance));
    }
}

impl Door {
    fn new(endpoints: usize) -> Self {
        let (gate, away) = (Mutex::new(Gate::new(endpoints)), watch::Sender::new(None));
        Self(Arc::new(Shared { gate, turned: Notify::new(), away }))
    }

    fn gate(&self) -> MutexGuard<'_, Gate> {
        self.0.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Gate)) {
        change(&mut self.gate());
        self.0.turned.notify_waiters();
    }

    async fn enter(&self) -> Ticket {
        loop {
            // Listening starts before the question, else an answer between the two is missed.
            let turned = self.0.turned.notified();
            tokio::pin!(turned);
            turned.as_mut().enable();
            let leave = self.gate().ask(Instant::now());
            match leave {
                Leave::Now(number) => {
                    return Ticket { door: self.clone(), number, used: false };
                }
                Leave::At(at) => {
                    let _ = tokio::time::timeout_at(at.into(), turned).await;
                }
                Leave::Later => turned.await,
            }
        }
    }
}

impl Ticket {
    fn passed(mut self) {
        self.used = true;
        self.door.change(|gate| gate.connected(self.number));
        self.door.0.away.send_replace(None);
    }

    fn turned_away(mut self, miss: Miss, error: &ConnectError) {
        self.used = true;
        let (now, chance) = (Instant::now(), fastrand::f64());
        self.door.change(|gate| gate.failed(self.number, miss, now, chance));
        if self.door.gate().is_away() {
            self.door.0.away.send_replace(Some(error.clone()));
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if !self.used {
            self.door.change(Gate::abandoned);
        }
    }
}

impl Pass {
    /// It was tried, and this has come of it.
    pub fn tell(self, outcome: Result<(), &ConnectError>) {
        let Self { broker, vhost, .. } = self;
        let Err(error) = outcome else {
            broker.passed();
            return vhost.passed();
        };
        match error.kind {
            // The broker has answered, and as another vhost may be had of it, so may the next.
            ConnectErrorKind::Vhost => {
                broker.passed();
                vhost.turned_away(Miss::Refused, error);
            }
            ConnectErrorKind::VhostDown => {
                broker.passed();
                vhost.turned_away(Miss::Unreachable, error);
            }
            ConnectErrorKind::Unreachable => broker.turned_away(Miss::Unreachable, error),
            ConnectErrorKind::Credentials | ConnectErrorKind::Tls => {
                broker.turned_away(Miss::Refused, error);
            }
        }
    }
}

#[cfg(test)]
mod tests;
