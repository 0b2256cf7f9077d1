//! Makes a queue anew, step by step.

use std::time::{Duration, Instant};

use futures_util::{StreamExt, TryStreamExt, stream};
use lapin::options::{BasicGetOptions, BasicNackOptions, QueueDeleteOptions};

use super::mover::{Mover, limited};
use super::refusal::RemakeError;
use super::sight::{Looked, look, unlimited};
use crate::broker::declare::{CONCURRENCY, DeclareError, Declarer, field_table, queue_options};
use crate::broker::management::ManagementClient;
use crate::broker::wires::Wires;
use crate::model::{
    ArgValue, Arguments, Destination, Exchange, ExchangeName, ExchangeType, OnConflict, OnRemove,
    Origin, Queue, QueueName, QueueType,
};
use crate::plan::{
    BindingKey, MigrationSight, MigrationStep, ObservedQueue, Scaffold, Usage, can_migrate,
    next_step, plain_binding,
};
use crate::supervise::{packed, unpacked};

/// Steps until it is given up: each is taken a few times at most.
const MOST_STEPS: u32 = 200;

/// A queue is taken for empty when nothing has come for so long.
const IDLE: Duration = Duration::from_millis(300);

/// The same where messages come in meanwhile, and the moment after one has come is wanted.
const LULL: Duration = Duration::from_millis(5);

/// How long consumers may take to go, and what they held to be counted.
const PATIENCE: Duration = Duration::from_secs(30);

/// The pause between two looks while waiting for that.
const BETWEEN_LOOKS: Duration = Duration::from_millis(300);

/// Makes a queue as it is declared, with what it holds and everything that leads to it. Goes on
/// where an earlier attempt has ended. Unless `with_messages`, one that is in use is left alone.
pub(in crate::broker) async fn remake_queue(
    queue: &Queue,
    with_messages: bool,
    client: &ManagementClient,
    wires: &Wires,
) -> Result<(), RemakeError> {
    let declarer = &*wires.to(&queue.vhost).await?;
    let scaffold = Scaffold::of(&queue.name);
    let work = Work { queue, scaffold: &scaffold, client, declarer };
    let mut last = None;
    for turn in 0..MOST_STEPS {
        if !wires.may_go_on() {
            return Err(RemakeError::Lost("the connection was lost".into()));
        }
        let Looked { sight, have } = look(client, declarer, queue, &scaffold).await?;
        if !sight.remains && sight.queue != Some(true) {
            let may_follow = |have: &ObservedQueue| {
                queue.on_conflict == OnConflict::Migrate && can_migrate(queue, have)
            };
            if turn > 0 && !have.as_ref().is_none_or(may_follow) {
                // It was being made what an earlier file said. To make it what this one says takes
                // the consent that a plan asks for.
                return Ok(());
            }
            unlimited(client, &queue.vhost, &scaffold).await?;
            work.may_begin(with_messages).await?;
        }
        let kind = have.map(|have| have.kind).unwrap_or_default();
        let step = next_step(&sight);
        if step == MigrationStep::Done {
            tracing::info!(queue = %queue.name, "made anew");
            return Ok(());
        }
        if last.replace(step) != Some(step) {
            tracing::info!(queue = %queue.name, "{}", step.words());
        }
        work.perform(step, &sight, &kind).await?;
    }
    let words = last.map_or("", MigrationStep::words);
    Err(RemakeError::Lost(format!("it comes to no end at: {words}")))
}

struct Work<'a> {
    queue: &'a Queue,
    scaffold: &'a Scaffold,
    client: &'a ManagementClient,
    declarer: &'a Declarer,
}

impl Work<'_> {
    async fn perform(
        &self,
        step: MigrationStep,
        sight: &MigrationSight,
        kind: &str,
    ) -> Result<(), RemakeError> {
        use MigrationStep as Step;
        let Scaffold { fork, aside, out, back, old, new } = self.scaffold;
        let to_queue = || Destination::Queue(self.queue.name.clone());
        match step {
            Step::Scaffold => {
                for name in [old, new] {
                    self.declarer.queue(&self.temporary_queue(name)).await?;
                }
                self.exchange(aside, None).await?;
                self.bind(aside, Destination::Queue(new.clone())).await?;
                self.exchange(fork, Some(aside)).await?;
                self.bind(fork, to_queue()).await
            }
            Step::Divert => {
                self.each(&sight.direct, async |key| {
                    self.declarer.binding(&self.scaffold.diverted(key).binding()).await
                })
                .await?;
                self.each(&sight.direct, async |key| self.declarer.unbind(&key.binding()).await)
                    .await
            }
            Step::OpenOut => {
                self.exchange(out, None).await?;
                self.bind(out, Destination::Queue(old.clone())).await
            }
            Step::SetAside => {
                let binding = plain_binding(&self.queue.vhost, fork, to_queue()).binding();
                Ok(self.declarer.unbind(&binding).await?)
            }
            Step::Empty => {
                let name = &self.queue.name;
                let mut mover = Mover::start(self.declarer, name, out, packed, out).await?;
                mover.until_idle(IDLE, sight.messages).await?;
                mover.finish().await.map(drop)
            }
            Step::Recreate => self.recreate(sight, kind).await,
            Step::OpenBack => self.open_back().await,
            Step::Return => {
                let mut mover = Mover::start(self.declarer, old, back, unpacked, out).await?;
                mover.until_idle(IDLE, sight.old).await?;
                mover.finish().await.map(drop)
            }
            Step::Rejoin => self.rejoin(sight).await,
            Step::Restore => {
                self.each(&sight.diverted, async |key| self.declarer.binding(&key.binding()).await)
                    .await?;
                self.each(&sight.diverted, async |key| {
                    self.declarer.unbind(&self.scaffold.diverted(key).binding()).await
                })
                .await
            }
            Step::Clear => self.clear().await,
            Step::Done => Ok(()),
        }
    }

    /// Refuses while somebody consumes the queue and, unless its messages come along, while it has
    /// any.
    async fn may_begin(&self, with_messages: bool) -> Result<(), RemakeError> {
        let usage = self.without_consumers().await?;
        if !with_messages && !usage.is_none() {
            return Err(RemakeError::in_use(usage));
        }
        Ok(())
    }

    /// Waits until nobody consumes it. Our own consumers have been told to end.
    async fn without_consumers(&self) -> Result<Usage, RemakeError> {
        let start = Instant::now();
        loop {
            let usage = self.declarer.usage(&self.queue.name).await?.unwrap_or_default();
            if usage.consumers == 0 {
                return Ok(usage);
            }
            if start.elapsed() > PATIENCE {
                return Err(RemakeError::consumed(usage));
            }
            tokio::time::sleep(BETWEEN_LOOKS).await;
        }
    }

    async fn exchange(
        &self,
        name: &ExchangeName,
        alternate: Option<&ExchangeName>,
    ) -> Result<(), RemakeError> {
        let arguments = alternate
            .map(|to| ("alternate-exchange".to_owned(), ArgValue::Str(to.as_str().to_owned())));
        let published_to = [&self.scaffold.out, &self.scaffold.back].contains(&name);
        let exchange = Exchange {
            vhost: self.queue.vhost.clone(),
            name: name.clone(),
            kind: ExchangeType("fanout".into()),
            durable: true,
            auto_delete: false,
            internal: !published_to,
            arguments: arguments.into_iter().collect(),
            managed: true,
            on_remove: OnRemove::Delete,
            on_conflict: OnConflict::Refuse,
            origin: Origin::default(),
        };
        Ok(self.declarer.exchange(&exchange).await?)
    }

    /// Classic whatever the queue is: it keeps strict order, and never gives a message up because
    /// it was taken too often.
    fn temporary_queue(&self, name: &QueueName) -> Queue {
        Queue {
            vhost: self.queue.vhost.clone(),
            name: name.clone(),
            kind: QueueType::Classic,
            durable: true,
            auto_delete: false,
            arguments: Arguments::new(),
            managed: true,
            on_remove: OnRemove::Delete,
            on_conflict: OnConflict::Refuse,
            origin: Origin::default(),
        }
    }

    async fn bind(&self, from: &ExchangeName, to: Destination) -> Result<(), RemakeError> {
        let binding = plain_binding(&self.queue.vhost, from, to).binding();
        Ok(self.declarer.binding(&binding).await?)
    }

    async fn each<'k>(
        &self,
        keys: impl IntoIterator<Item = &'k BindingKey>,
        call: impl AsyncFn(&BindingKey) -> Result<(), DeclareError>,
    ) -> Result<(), RemakeError> {
        let call = &call;
        stream::iter(keys)
            .map(async |key| call(key).await)
            .buffer_unordered(CONCURRENCY)
            .try_collect::<()>()
            .await?;
        Ok(())
    }

    async fn open_back(&self) -> Result<(), RemakeError> {
        self.exchange(&self.scaffold.back, None).await?;
        self.bind(&self.scaffold.back, Destination::Queue(self.queue.name.clone())).await
    }

    /// Moves what has come in, and in a moment when nothing has, lets the fork lead to the queue
    /// again. What comes between that moment and the switch goes behind what comes after it.
    async fn rejoin(&self, sight: &MigrationSight) -> Result<(), RemakeError> {
        let Scaffold { fork, back, new, out, .. } = self.scaffold;
        let mut mover = Mover::start(self.declarer, new, back, unpacked, out).await?;
        mover.until_idle(LULL, sight.new).await?;
        if sight.fork && !sight.joined {
            self.bind(fork, Destination::Queue(self.queue.name.clone())).await?;
            mover.until_idle(IDLE, sight.new).await?;
        }
        mover.finish().await.map(drop)
    }

    async fn clear(&self) -> Result<(), RemakeError> {
        for name in self.scaffold.exchanges() {
            self.declarer.delete_exchange(name, true).await?;
        }
        for name in self.scaffold.queues() {
            self.declarer.delete_queue(&self.temporary_queue(name), false).await?;
        }
        Ok(())
    }

    /// Deletes the queue and declares it in one go, so that next to nothing can come between.
    async fn recreate(&self, sight: &MigrationSight, kind: &str) -> Result<(), RemakeError> {
        if sight.queue.is_none() {
            self.declarer.queue(self.queue).await?;
            return self.open_back().await;
        }
        self.without_consumers().await?;
        if kind != "stream" && self.has_message().await? {
            // The next look finds it.
            return Ok(());
        }
        self.nothing_held().await?;
        let channel = self.declarer.channel().await?;
        let name = self.queue.name.as_str();
        // The other types refuse these conditions, or take no notice of them.
        let guarded = kind == "classic";
        let delete = channel.queue_delete(
            name.into(),
            QueueDeleteOptions {
                if_unused: guarded,
                if_empty: guarded,
                ..QueueDeleteOptions::default()
            },
        );
        let (options, arguments) =
            (queue_options(self.queue), field_table(&self.queue.declare_arguments())?);
        let declare = channel.queue_declare(name.into(), options, arguments);
        // Both are on their way before the answer to the first.
        let (deleted, declared) = tokio::join!(limited(delete), limited(declare));
        if let Err(error) = deleted {
            // Something has come in meanwhile: the next look finds it.
            tracing::debug!(queue = name, %error, "not deleted");
            return Ok(());
        }
        declared?;
        self.open_back().await
    }

    /// Asks the queue itself: counts lag.
    async fn has_message(&self) -> Result<bool, RemakeError> {
        let channel = self.declarer.channel().await?;
        let name = self.queue.name.as_str();
        let got = limited(channel.basic_get(name.into(), BasicGetOptions::default())).await?;
        let Some(message) = got else { return Ok(false) };
        let options = BasicNackOptions { requeue: true, ..BasicNackOptions::default() };
        limited(channel.basic_nack(message.delivery.delivery_tag, options)).await?;
        limited(channel.close(200, "OK".into())).await?;
        Ok(true)
    }

    /// Waits until the broker counts nothing in the queue that somebody has taken and not settled.
    async fn nothing_held(&self) -> Result<(), RemakeError> {
        let start = Instant::now();
        loop {
            let held = self.client.messages(&self.queue.vhost, &self.queue.name).await?;
            if held == Some(0) || held.is_none() {
                return Ok(());
            }
            if start.elapsed() > PATIENCE {
                return Err(RemakeError::held(held.unwrap_or_default()));
            }
            tokio::time::sleep(BETWEEN_LOOKS).await;
        }
    }
}
