//! The workers of one consumer.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::Context;
use super::exec::ExecWorker;
use super::worker::{Readiness, Stopping, Worker};
use crate::model::{ConsumerSpec, WireProtocol};

/// How long a worker may go on after it was told to end at once, before its task is dropped.
const KILL_PATIENCE: Duration = Duration::from_secs(5);

/// Workers that run one spec.
pub(super) struct Crew {
    spec: Arc<ConsumerSpec>,
    members: Vec<Member>,
}

struct Member {
    stopping: Stopping,
    ready: watch::Receiver<Readiness>,
    task: JoinHandle<()>,
}

impl Crew {
    /// A crew without workers; see [`Crew::resize`].
    pub(super) fn new(spec: ConsumerSpec) -> Self {
        Self { spec: Arc::new(spec), members: Vec::new() }
    }

    pub(super) fn spec(&self) -> &ConsumerSpec {
        &self.spec
    }

    /// Starts workers up to the number of the spec, each with a context of its own. Those that are
    /// too many are split off, to be drained by the caller.
    #[must_use]
    pub(super) fn resize(&mut self, spec: ConsumerSpec, context: impl Fn() -> Context) -> Self {
        self.spec = Arc::new(spec);
        let wanted = usize::from(self.spec.workers.get());
        let surplus = self.members.split_off(wanted.min(self.members.len()));
        while self.members.len() < wanted {
            let slot = u16::try_from(self.members.len()).unwrap_or(u16::MAX);
            self.members.push(Member::start(self.spec.clone(), slot, context()));
        }
        Self { spec: self.spec.clone(), members: surplus }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Waits until every worker has been ready, or one has failed to get there.
    pub(super) async fn ready(&mut self) -> Result<(), String> {
        for member in &mut self.members {
            let ready = member.ready.wait_for(|ready| *ready != Readiness::Starting).await;
            match ready.map(|ready| ready.clone()) {
                Ok(Readiness::Failed(why)) => return Err(why),
                Ok(_) => {}
                Err(_) => return Err("the worker was stopped".into()),
            }
        }
        Ok(())
    }

    /// Tells every worker to take no more messages and to end when it has answered what it holds.
    pub(super) fn drain(&self) {
        for member in &self.members {
            member.stopping.drain.cancel();
        }
    }

    /// Waits until every worker has ended. `kill` makes it short; so does the grace time.
    pub(super) async fn ended(mut self, kill: &CancellationToken) {
        // The grace time is the worker's own to keep; this is only for one that cannot.
        let limit = self.spec.stop.grace + KILL_PATIENCE;
        let all = async {
            for member in &mut self.members {
                let _ = (&mut member.task).await;
            }
        };
        tokio::select! {
            () = all => return,
            () = kill.cancelled() => {}
            () = tokio::time::sleep(limit) => {}
        }
        for member in &self.members {
            member.stopping.kill.cancel();
        }
        let rest = async {
            for member in &mut self.members {
                if !member.task.is_finished() {
                    let _ = (&mut member.task).await;
                }
            }
        };
        let _ = tokio::time::timeout(KILL_PATIENCE, rest).await;
    }
}

impl Member {
    fn start(spec: Arc<ConsumerSpec>, slot: u16, context: Context) -> Self {
        let stopping = Stopping { drain: CancellationToken::new(), kill: CancellationToken::new() };
        let (tx, ready) = watch::channel(Readiness::Starting);
        let task = if spec.protocol == WireProtocol::Exec {
            tokio::spawn(ExecWorker::new(spec, slot, context, stopping.clone(), tx).run())
        } else {
            tokio::spawn(Worker::new(spec, slot, context, stopping.clone(), tx).run())
        };
        Self { stopping, ready, task }
    }
}

impl Drop for Member {
    /// A child dies with the task that holds it.
    fn drop(&mut self) {
        self.task.abort();
    }
}
