//! A crew as its keeper holds it.

use std::num::NonZeroU16;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::super::context::Hands;
use super::task::Task;
use crate::model::{ConsumerName, ConsumerSpec};
use crate::telemetry::ConsumerMeter;

/// Orders that wait. The crew takes them at once, so this is never reached.
const ORDERS: usize = 16;

/// What became of a change of what a consumer runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::engine) enum RolloutOutcome {
    /// All workers are of the new version.
    Replaced,
    /// The version that was in force is wanted again, and never went away.
    Kept,
    /// The new version did not come up; the old one goes on.
    Refused(String),
    /// The new version came up and was not as good as the old one, which goes on.
    RolledBack(String),
    /// Something else is wanted meanwhile.
    Superseded,
}

/// What a crew is told by a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrewOrder {
    /// Take no messages; the processes stay and answer what they hold.
    Pause,
    /// Take messages again.
    Resume,
    /// So many workers, whatever the file says; `None` for what the file says. Forgotten when the
    /// file changes the number.
    Scale(Option<NonZeroU16>),
    /// Replace all workers, one by one. One that had ended for good, as its restart policy wants, is
    /// started as well, and so is a consumer that was cut off for its restarts.
    Restart,
}

/// What a person wants of one consumer.
#[derive(Debug)]
pub struct CrewRequest {
    /// Which.
    pub consumer: ConsumerName,
    /// What.
    pub order: CrewOrder,
    /// Told whether there is such a consumer. The order is on its way then.
    pub known: oneshot::Sender<bool>,
}

/// What the task of a crew is told.
pub(super) enum Order {
    /// Run this from now on.
    Follow { spec: Box<ConsumerSpec>, hands: Arc<Hands>, answer: oneshot::Sender<RolloutOutcome> },
    /// What runs is to be kept in this way; the processes need not be others.
    Retune(Box<ConsumerSpec>),
    /// See [`CrewOrder`].
    Person(CrewOrder),
}

/// The workers of one consumer. They die with it.
pub(in crate::engine) struct Crew {
    orders: mpsc::Sender<Order>,
    stop: CancellationToken,
    task: AbortOnDropHandle<()>,
}

impl Crew {
    /// Starts the workers of a spec. Cancelling `kill` ends them at once.
    pub(in crate::engine) fn start(
        spec: ConsumerSpec,
        hands: Arc<Hands>,
        meter: ConsumerMeter,
        kill: CancellationToken,
    ) -> Self {
        let (orders, inbox) = mpsc::channel(ORDERS);
        let stop = CancellationToken::new();
        let task = Task::new(spec, hands, meter, inbox, stop.clone(), kill);
        Self { orders, stop, task: AbortOnDropHandle::new(tokio::spawn(task.run())) }
    }

    /// Brings the workers to another spec, or to other hands, and tells what became of it. One that
    /// is under way is given up for it.
    pub(in crate::engine) async fn follow(
        &self,
        spec: ConsumerSpec,
        hands: Arc<Hands>,
    ) -> oneshot::Receiver<RolloutOutcome> {
        let (answer, outcome) = oneshot::channel();
        self.send(Order::Follow { spec: Box::new(spec), hands, answer }).await;
        outcome
    }

    /// Goes over to a spec that asks for the same processes.
    pub(in crate::engine) async fn retune(&self, spec: ConsumerSpec) {
        self.send(Order::Retune(Box::new(spec))).await;
    }

    /// Does what a person says.
    pub(in crate::engine) async fn order(&self, order: CrewOrder) {
        self.send(Order::Person(order)).await;
    }

    async fn send(&self, order: Order) {
        // The task ends only when it is told to, by whoever held this.
        let _ = self.orders.send(order).await;
    }

    /// Tells every worker to take no more messages and to end when it has answered what it holds.
    pub(in crate::engine) fn drain(&self) {
        self.stop.cancel();
    }

    /// Waits until every worker has ended, which the grace time limits once it is drained.
    pub(in crate::engine) async fn ended(self) {
        let _ = self.task.await;
    }
}
