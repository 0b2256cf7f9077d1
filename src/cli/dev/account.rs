//! Accounts from the supervisor's counters, and what the broker says of them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use lapin::Channel;
use tokio::time::timeout;

use super::expected::Expected;
use super::feeding::FeedingError;
use super::ledger::{Account, DeadQueue, Ledger};
use crate::broker::amqp::{Wire, connect};
use crate::broker::dead_letters::{Cause, depth, tally};
use crate::broker::feed::FeedReport;
use crate::model::{ConsumerSpec, Desired, QueueName, RetrySpec};
use crate::telemetry::{ConnectionRole, Status};

/// How long opening a channel may take.
const OPEN: Duration = Duration::from_secs(15);

/// The consumers that a feed can reach: it is published to the vhost of the broker's address.
pub(super) fn consumers(desired: &Desired) -> impl Iterator<Item = &ConsumerSpec> {
    desired.fleet.consumers().filter(|consumer| consumer.vhost == desired.broker.vhost)
}

/// One account for each consumed queue, without what only the broker knows.
pub(super) fn accounts(
    desired: &Desired,
    expected: &Expected<'_>,
    status: &Status,
) -> Vec<Account> {
    let mut accounts: BTreeMap<QueueName, Account> = BTreeMap::new();
    let mut dead_lettered: BTreeMap<QueueName, u64> = BTreeMap::new();
    for consumer in consumers(desired) {
        let account = accounts.entry(consumer.queue.clone()).or_insert_with(|| Account {
            queue: consumer.queue.to_string(),
            expected: expected.in_queue(&consumer.queue),
            ..Account::default()
        });
        account.consumers.push(consumer.name.to_string());
        let Some(status) = status.consumers.get(&consumer.name) else { continue };
        let settled = &status.settled;
        account.acked += settled.acked + settled.duplicates;
        account.retried += settled.retried;
        account.discarded += settled.discarded.values().sum::<u64>();
        account.redelivered += status.redelivered;
        for (reason, count) in &settled.dead_lettered {
            *account.dead.entry(reason.to_string()).or_default() += count;
        }
        for queue in expected.dead_letter_queues(consumer) {
            *dead_lettered.entry(queue).or_default() += settled.dead_lettered.values().sum::<u64>();
        }
    }
    // The dead letters of one consumer may be the work of another.
    for (queue, count) in dead_lettered {
        if let Some(account) = accounts.get_mut(&queue) {
            account.expected += count;
        }
    }
    accounts.into_values().collect()
}

/// A look at the broker's queues, over a connection of its own.
pub(super) struct Inspector<'a> {
    desired: &'a Desired,
    wire: Wire,
}

impl<'a> Inspector<'a> {
    /// Connects.
    pub(super) async fn connect(desired: &'a Desired) -> Result<Self, FeedingError> {
        let endpoint = desired.broker.endpoints.first().ok_or(FeedingError::NoEndpoint)?;
        let wire = connect(endpoint, ConnectionRole::Topology, "ledger").await?;
        Ok(Self { desired, wire })
    }

    /// Queues in which messages wait to be consumed or tried again, with their depths.
    pub(super) async fn waiting(&self) -> Result<Vec<(String, u64)>, FeedingError> {
        let mut names = BTreeSet::new();
        for consumer in consumers(self.desired) {
            names.insert(consumer.queue.to_string());
            let delays = consumer.retry.iter().flat_map(RetrySpec::distinct_delays);
            names.extend(delays.map(|delay| RetrySpec::queue_name(&consumer.queue, delay)));
        }
        let mut waiting = Vec::new();
        for name in names {
            let depth = self.depth(&name).await?;
            if depth > 0 {
                waiting.push((name, depth));
            }
        }
        Ok(waiting)
    }

    /// The whole account.
    pub(super) async fn ledger(
        &self,
        expected: &Expected<'_>,
        status: &Status,
        feed: FeedReport,
    ) -> Result<Ledger, FeedingError> {
        let mut ledger = Ledger {
            stack: self.desired.stack.to_string(),
            feed,
            expected_unroutable: expected.unroutable(),
            accounts: accounts(self.desired, expected, status),
            left: self.waiting().await?,
            imbalance: status.imbalance(),
            ..Ledger::default()
        };
        let consumed: BTreeSet<_> = consumers(self.desired).map(|c| &c.queue).collect();
        let mut dead: BTreeMap<QueueName, DeadQueue> = BTreeMap::new();
        for consumer in consumers(self.desired) {
            let counters = status.consumers.get(&consumer.name);
            for queue in expected.dead_letter_queues(consumer) {
                if consumed.contains(&queue) {
                    continue;
                }
                let queue = dead.entry(queue).or_default();
                for (reason, count) in counters.iter().flat_map(|c| &c.settled.dead_lettered) {
                    let key = (consumer.name.to_string(), reason.to_string());
                    *queue.counted.entry(key).or_default() += count;
                }
            }
        }
        for (name, queue) in &mut dead {
            queue.queue = name.to_string();
            queue.found = self.tally(name.as_str()).await?;
            // What the feed itself published there has no cause.
            if let Some(fed) = Some(expected.in_queue(name)).filter(|fed| *fed > 0) {
                let unknown = queue.found.remove(&Cause::Unknown).unwrap_or(0);
                ledger.kept.push((name.to_string(), fed, unknown));
            }
            for (cause, count) in &queue.found {
                let Cause::Broker { queue, .. } = cause else { continue };
                if let Some(account) = ledger.accounts.iter_mut().find(|a| a.queue == *queue) {
                    account.moved_by_broker += count;
                }
            }
        }
        for (name, count) in expected.unconsumed() {
            if !dead.contains_key(&name) {
                ledger.kept.push((name.to_string(), count, self.depth(name.as_str()).await?));
            }
        }
        ledger.dead = dead.into_values().collect();
        Ok(ledger)
    }

    async fn depth(&self, queue: &str) -> Result<u64, FeedingError> {
        let channel = self.channel().await?;
        let depth = depth(&channel, queue).await?;
        close(&channel).await;
        Ok(depth.unwrap_or(0))
    }

    async fn tally(&self, queue: &str) -> Result<BTreeMap<Cause, u64>, FeedingError> {
        let channel = self.channel().await?;
        let causes = tally(&channel, queue).await?;
        close(&channel).await;
        Ok(causes)
    }

    async fn channel(&self) -> Result<Channel, FeedingError> {
        match timeout(OPEN, self.wire.connection.create_channel()).await {
            Ok(channel) => Ok(channel?),
            Err(_) => Err(FeedingError::NoAnswer),
        }
    }
}

async fn close(channel: &Channel) {
    // A channel that the broker has closed already is closed.
    let _ = timeout(OPEN, channel.close(200, "OK".into())).await;
}
