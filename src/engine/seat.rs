//! This supervisor's seat among those that run the same stack: it applies, or it stands by.
//!
//! A task tries to take the lock of the stack and holds it. While somebody else has it, the task
//! looks whether it has become free, and takes it then.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use crate::broker::amqp::{ConnectError, Dialling, Pass};
use crate::broker::management::{ManagementClient, Timeouts};
use crate::broker::{Lock, LockError, LockSight, holder, look_at_lock};
use crate::model::{BrokerSpec, Desired, StackName};
use crate::supervise::Backoff;

/// How often a lock that somebody else has is looked at.
const LOOK: Duration = Duration::from_secs(2);

/// How often it is tried where it cannot be looked at. The broker logs each try as an error.
const TRY: Duration = Duration::from_secs(6);

/// Pauses between attempts where there was a connection, and it was lost on the way.
const LOST: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(3));

/// How this supervisor stands to the others.
#[derive(Clone)]
pub(super) enum Standing {
    /// Not known yet.
    Undecided,
    /// The broker cannot be reached, so nobody can tell.
    Unreachable(ConnectError),
    /// It has the lock: it applies.
    Holds(Arc<Lock>),
    /// Somebody else has it, in their own words who: this one only verifies.
    StandsBy(Option<String>),
    /// The broker lets this user have no lock: it applies without.
    Unlocked,
}

/// See the module's text.
pub(super) struct Seat {
    of: (BrokerSpec, StackName),
    standing: watch::Receiver<Standing>,
    _task: AbortOnDropHandle<()>,
}

impl Seat {
    /// Begins to try for the lock of the stack. Dropping the seat lets go of it.
    /// Connections are made when the gate lets them.
    pub(super) fn take(desired: &Desired, dialling: Dialling) -> Self {
        let (tx, standing) = watch::channel(Standing::Undecided);
        let of = (desired.broker.clone(), desired.stack.clone());
        let task = tokio::spawn(keep(desired.clone(), dialling, tx));
        Self { of, standing, _task: AbortOnDropHandle::new(task) }
    }

    /// Whether it is a seat of that stack at that broker.
    pub(super) fn is_of(&self, desired: &Desired) -> bool {
        (&self.of.0, &self.of.1) == (&desired.broker, &desired.stack)
    }

    /// The lock of the stack, where this supervisor has it now.
    pub(super) fn lock(&self) -> Option<Arc<Lock>> {
        match &*self.standing.borrow() {
            Standing::Holds(lock) => Some(lock.clone()),
            _ => None,
        }
    }

    /// Waits until it is decided who applies.
    pub(super) async fn decided(&mut self) -> Standing {
        let decided = |standing: &Standing| !matches!(standing, Standing::Undecided);
        match self.standing.wait_for(decided).await {
            Ok(standing) => standing.clone(),
            // The task ends with the seat only.
            Err(_) => Standing::Unlocked,
        }
    }

    /// Waits until it stands otherwise than when it was last asked. Cancel-safe.
    pub(super) async fn changed(&mut self) {
        if self.standing.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

async fn keep(mut desired: Desired, dialling: Dialling, standing: watch::Sender<Standing>) {
    let mut soon = Backoff::new(LOST.0, LOST.1);
    let endpoints = desired.broker.endpoints.clone();
    // In a row; one that fails is news when all of them do.
    let mut failures = 0;
    let me = holder("run");
    let management =
        ManagementClient::new(&desired.broker.management, Timeouts::default()).ok().flatten();
    let mut stood_by = false;
    loop {
        let pass = enter(&dialling, &standing).await;
        // The gate says which is next.
        desired.broker.endpoints = vec![endpoints[pass.endpoint].clone()];
        let taken = Lock::take(&desired, &me).await;
        pass.tell(match &taken {
            Err(LockError::Connect(error)) => Err(error),
            _ => Ok(()),
        });
        failures = if matches!(taken, Err(LockError::Connect(_))) { failures + 1 } else { 0 };
        let pause = match taken {
            Ok(lock) => {
                soon.reset();
                if std::mem::take(&mut stood_by) {
                    tracing::info!("the lock of the stack is free: this supervisor applies now");
                } else {
                    tracing::debug!("this supervisor has the lock of the stack: it applies");
                }
                let lock = Arc::new(lock);
                standing.send_replace(Standing::Holds(lock.clone()));
                lock.lost().await;
                tracing::warn!("the lock of the stack is lost: nothing is applied without it");
                standing.send_replace(Standing::Undecided);
                soon.next(fastrand::f64())
            }
            Err(LockError::Held) => {
                wait_until_free(&desired, management.as_ref(), &standing, &mut stood_by).await;
                Duration::ZERO
            }
            Err(LockError::Denied(why)) => {
                let hint = "let this user configure and read the queue `warrener.lock.STACK`";
                tracing::warn!(
                    hint,
                    "applying without a lock, so two supervisors of this stack would both apply: {why}"
                );
                standing.send_replace(Standing::Unlocked);
                // A permission that is given later counts from the next start on.
                std::future::pending().await
            }
            Err(LockError::Lost(why)) => {
                tracing::debug!("no lock yet: {why}");
                soon.next(fastrand::f64())
            }
            Err(LockError::Connect(error)) => {
                standing.send_if_modified(|standing| {
                    let said = matches!(standing, Standing::Unreachable(said) if *said == error);
                    let news = !said && usize::is_multiple_of(failures, endpoints.len());
                    if news {
                        *standing = Standing::Unreachable(error);
                    }
                    news
                });
                Duration::ZERO
            }
        };
        tokio::time::sleep(pause).await;
    }
}

/// Waits for leave to connect. Others may have it before, again and again; what they find is enough
/// to know how it stands.
async fn enter(dialling: &Dialling, standing: &watch::Sender<Standing>) -> Pass {
    let mut pass = pin!(dialling.enter());
    tokio::select! {
        biased;
        pass = &mut pass => return pass,
        error = dialling.away() => {
            standing.send_if_modified(|standing| {
                let news = matches!(standing, Standing::Undecided);
                if news {
                    *standing = Standing::Unreachable(error);
                }
                news
            });
        }
    }
    pass.await
}

/// Stands by, and says so once.
async fn wait_until_free(
    desired: &Desired,
    management: Option<&ManagementClient>,
    standing: &watch::Sender<Standing>,
    stood_by: &mut bool,
) {
    loop {
        let pause = match look_at_lock(desired, management).await {
            LockSight::Free => return,
            LockSight::Taken(by) => {
                stand_by(standing, by.as_ref(), stood_by);
                LOOK
            }
            LockSight::Unseen => {
                stand_by(standing, None, stood_by);
                tokio::time::sleep(TRY).await;
                return;
            }
        };
        tokio::time::sleep(pause).await;
    }
}

fn stand_by(standing: &watch::Sender<Standing>, by: Option<&String>, stood_by: &mut bool) {
    let changed = standing.send_if_modified(|standing| {
        let same = matches!(standing, Standing::StandsBy(said) if said.as_ref() == by);
        if !same {
            *standing = Standing::StandsBy(by.cloned());
        }
        !same
    });
    if changed {
        let by = by.map_or("another one", String::as_str);
        tracing::info!(
            "standing by: {by} has the lock of the stack and applies it; this supervisor verifies, and consumes"
        );
    }
    *stood_by = true;
}
