//! The gate that all connections of one host to one broker share.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::connect::{ConnectError, ConnectErrorKind};
use crate::supervise::{Gate, Leave, Miss};

/// Lets those through that may try to connect, see [`Gate`]. A clone is the same.
#[derive(Clone, Debug)]
pub struct Dialling(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    gate: Mutex<Gate>,
    /// Whoever waits may ask again.
    turned: Notify,
}

/// The leave to try once. Dropped without an outcome, it was not used.
#[derive(Debug)]
pub struct Pass {
    dialling: Dialling,
    /// Which endpoint to try.
    pub endpoint: usize,
    used: bool,
}

impl Dialling {
    /// To a broker of so many endpoints.
    pub fn new(endpoints: usize) -> Self {
        Self(Arc::new(Shared { gate: Mutex::new(Gate::new(endpoints)), turned: Notify::new() }))
    }

    fn gate(&self) -> MutexGuard<'_, Gate> {
        self.0.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Gate)) {
        change(&mut self.gate());
        self.0.turned.notify_waiters();
    }

    /// Waits until it may be tried. Cancel-safe.
    pub async fn enter(&self) -> Pass {
        loop {
            // Listening starts before the question, else an answer between the two is missed.
            let turned = self.0.turned.notified();
            tokio::pin!(turned);
            turned.as_mut().enable();
            let leave = self.gate().ask(Instant::now());
            match leave {
                Leave::Now(endpoint) => {
                    return Pass { dialling: self.clone(), endpoint, used: false };
                }
                Leave::At(at) => {
                    let _ = tokio::time::timeout_at(at.into(), turned).await;
                }
                Leave::Later => turned.await,
            }
        }
    }

    /// A connection was lost that had held for so long; `elsewhere` where its endpoint is to blame.
    pub fn lost(&self, endpoint: usize, held: Duration, elsewhere: bool) {
        let (now, chance) = (Instant::now(), fastrand::f64());
        self.change(|gate| gate.lost(endpoint, held, elsewhere, now, chance));
    }
}

impl Pass {
    /// It was tried, and this has come of it.
    pub fn tell(mut self, outcome: Result<(), &ConnectError>) {
        self.used = true;
        let (endpoint, now, chance) = (self.endpoint, Instant::now(), fastrand::f64());
        self.dialling.change(|gate| match outcome {
            Ok(()) => gate.connected(endpoint),
            Err(error) => {
                let failure = match error.kind {
                    ConnectErrorKind::Unreachable | ConnectErrorKind::VhostDown => {
                        Miss::Unreachable
                    }
                    _ => Miss::Refused,
                };
                gate.failed(endpoint, failure, now, chance);
            }
        });
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        if !self.used {
            self.dialling.change(Gate::abandoned);
        }
    }
}
