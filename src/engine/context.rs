//! What every worker of one generation of the files shares.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::sync::mpsc;

use super::ack_limits::AckLimits;
use super::dedupe::SharedSeen;
use super::exec::Refusal;
use super::links::{Links, VhostLinks};
use super::stream::Turns;
use crate::broker::Positions;
use crate::broker::amqp::{Lease, Publisher};
use crate::broker::management::ManagementClient;
use crate::model::{ConsumerName, ConsumerSpec, Topology};
use crate::process::{ControlGroup, SpawnRequest, Spawner};
use crate::supervise::{DeadLetterRoute, Turnstile};
use crate::telemetry::{ConsumerMeter, Registry};

/// What a crew needs to start workers.
pub(super) struct Hands {
    pub(super) links: Arc<Links>,
    pub(super) registry: Registry,
    pub(super) spawner: Arc<Spawner>,
    pub(super) topology: Arc<Topology>,
    pub(super) positions: Positions,
    pub(super) ack_limits: AckLimits,
    pub(super) reconcile: mpsc::Sender<()>,
    /// None where the files switch it off.
    pub(super) management: Option<ManagementClient>,
}

impl Hands {
    /// For one more worker, in that slot of a consumer whose workers share that, which connects over
    /// these links.
    pub(super) fn context(
        &self,
        links: &VhostLinks,
        shared: Shared,
        spec: &ConsumerSpec,
        slot: u16,
    ) -> Context {
        let memory = spec.confinement.limits.memory;
        Context {
            seen: shared.seen,
            turns: shared.turns,
            refusal: shared.refusal,
            turnstile: shared.turnstile,
            tag: shared.tag,
            positions: self.positions.clone(),
            registry: self.registry.clone(),
            link: links.pool.acquire(),
            publisher: links.publisher.clone(),
            spawner: self.spawner.clone(),
            group: self.spawner.group(&format!("{}-{slot}", spec.name), memory),
            topology: self.topology.clone(),
            ack_limits: self.ack_limits.clone(),
            reconcile: self.reconcile.clone(),
        }
    }
}

/// What the workers of one consumer share, whatever version of it they are.
#[derive(Clone, Default)]
pub(super) struct Shared {
    /// What they have handled already.
    pub(super) seen: SharedSeen,
    /// Which of them reads its stream.
    pub(super) turns: Turns,
    /// Why the process of a message could not be started when that was last tried.
    pub(super) refusal: Refusal,
    /// How soon they may start again after a crash over a message.
    pub(super) turnstile: SharedTurnstile,
    /// What the broker knows them by.
    pub(super) tag: Tag,
}

/// A word that is in the tags of all consumers of one crew, and in no other host's.
#[derive(Clone)]
pub(super) struct Tag(Arc<str>);

impl Default for Tag {
    fn default() -> Self {
        Self(format!("{:08x}", fastrand::u32(..)).into())
    }
}

impl Tag {
    /// The tag of a worker that consumes for the so manieth time.
    pub(super) fn of(&self, consumer: &ConsumerName, slot: u16, times: u64) -> String {
        // A name can be as long as a tag, and has only letters of one byte.
        let name = consumer.as_str();
        let name = &name[..name.len().min(LONGEST_IN_TAG)];
        format!("warrener.{name}.{}.{slot}.{times}", self.0)
    }

    /// Whether a tag is one of these.
    pub(super) fn is_in(&self, tag: &str) -> bool {
        tag.starts_with("warrener.") && tag.rsplit('.').nth(2) == Some(&*self.0)
    }
}

/// How much of a consumer's name is in its tags, which have at most 255 bytes.
const LONGEST_IN_TAG: usize = 200;

/// Lets them pass, whatever version of the consumer they are of.
pub(super) type SharedTurnstile = Arc<Mutex<Turnstile>>;

/// Shared by the workers; cheap to clone.
#[derive(Clone)]
pub struct Context {
    /// Where everything is counted.
    pub(super) registry: Registry,
    /// The connection this worker consumes on.
    pub(super) link: Arc<Lease>,
    /// Retries and dead letters go out here.
    pub(super) publisher: Publisher,
    /// Starts children.
    pub(super) spawner: Arc<Spawner>,
    /// Where they are, with all that comes from them.
    pub(super) group: Option<ControlGroup>,
    /// What is declared, to know where dead letters go.
    pub(super) topology: Arc<Topology>,
    /// What the broker has shown of its patience.
    pub(super) ack_limits: AckLimits,
    /// Asks the engine to look at the broker.
    pub(super) reconcile: mpsc::Sender<()>,
    /// What the workers of the consumer have handled already.
    pub(super) seen: SharedSeen,
    /// Which of them reads its stream.
    pub(super) turns: Turns,
    /// How far they have come in it.
    pub(super) positions: Positions,
    /// Why the process of a message could not be started when that was last tried.
    pub(super) refusal: Refusal,
    /// How soon they may start again after a crash over a message.
    pub(super) turnstile: SharedTurnstile,
    /// What the broker knows them by.
    pub(super) tag: Tag,
}

impl Context {
    /// For a child of this worker, see [`SpawnRequest::for_consumer`].
    pub(super) fn request(&self, spec: &ConsumerSpec) -> SpawnRequest {
        SpawnRequest { group: self.group.clone(), ..SpawnRequest::for_consumer(spec) }
    }

    /// Where the dead letters of a consumer's queue go.
    pub(super) fn route_of(&self, spec: &ConsumerSpec) -> DeadLetterRoute {
        let queue = self.topology.queue(&spec.vhost, &spec.queue);
        match queue.and_then(crate::model::Queue::dead_letter) {
            Some(target) if !spec.dead_letter_by_broker => DeadLetterRoute::Publish(target),
            _ if spec.dead_letters => DeadLetterRoute::ByBroker,
            _ => DeadLetterRoute::Nowhere,
        }
    }

    /// Whether a worker whose child has died of a message may start the next one now, for all that
    /// happened to the others; else when it may ask again.
    pub(super) fn passes(&self, meter: &ConsumerMeter) -> Result<(), Instant> {
        let mut turnstile = self.turnstile.lock().unwrap_or_else(PoisonError::into_inner);
        turnstile.pass(meter.handled(), Instant::now())
    }

    /// Says that something is missing on the broker. Where a request waits already, one is enough.
    pub(super) fn ask_to_reconcile(&self) {
        let _ = self.reconcile.try_send(());
    }
}
