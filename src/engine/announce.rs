//! What the service manager hears of the engine.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::process::ServiceManager;

/// How long a start may take before it counts as one that goes on in the background: a broker that
/// is away must not look like a service that does not start.
const LATE: Duration = Duration::from_secs(30);

/// Says what the engine does. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Announcer {
    manager: Arc<ServiceManager>,
    /// Whether `READY=1` is due: at the start, and while the files are read again.
    due: Arc<AtomicBool>,
}

impl Announcer {
    /// Nothing is said yet.
    pub(super) fn new(manager: ServiceManager) -> Self {
        Self { manager: Arc::new(manager), due: Arc::new(AtomicBool::new(true)) }
    }

    /// The files are read again.
    pub(super) fn reloading(&self) {
        if !self.due.swap(true, Ordering::Relaxed) {
            self.manager.reloading();
        }
    }

    /// It goes on: what it was to bring about is done, refused, or tried from now on.
    pub(super) fn going(&self, status: &str) {
        if self.due.swap(false, Ordering::Relaxed) {
            self.manager.ready(status);
        } else {
            self.manager.status(status);
        }
    }

    /// It ends.
    pub(super) fn stopping(&self) {
        self.manager.stopping("stopping: what is held is answered first");
    }

    /// Does the work, and says meanwhile that it goes on. Both are one task: work that blocks the
    /// task, or a runtime that stands still, says nothing.
    pub(super) async fn during<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        let mut late = std::pin::pin!(tokio::time::sleep(LATE));
        let mut beat = self.manager.beat().map(tokio::time::interval);
        loop {
            let next = async {
                match &mut beat {
                    Some(beat) => beat.tick().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                done = &mut work => return done,
                _ = next => self.manager.alive(),
                () = &mut late, if !late.is_elapsed() => {
                    if self.due.load(Ordering::Relaxed) {
                        self.going("waiting for the broker");
                    }
                }
            }
        }
    }
}
