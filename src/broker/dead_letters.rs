//! What lies in a queue of dead letters, and how deep queues are.

use std::collections::BTreeMap;

use lapin::Channel;
use lapin::options::{BasicGetOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use tokio::time::timeout;

use super::amqp::CALL_TIMEOUT;
use crate::model::headers;

/// Who dead-lettered a message, and why.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// A consumer of ours, by the headers that Warrener writes.
    Consumer {
        /// Its name.
        consumer: String,
        /// Why: the text of a [`crate::telemetry::Reason`].
        reason: String,
    },
    /// The broker itself: rejected, expired, over a limit.
    Broker {
        /// The queue it was taken from.
        queue: String,
        /// The broker's own word.
        reason: String,
    },
    /// Neither says so; somebody published it there.
    Unknown,
}

/// The number of messages in a queue that are ready to be delivered; `None` where there is no such
/// queue, which costs the channel.
pub async fn depth(channel: &Channel, queue: &str) -> Result<Option<u64>, lapin::Error> {
    let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    let declare = channel.queue_declare(queue.into(), passive, FieldTable::default());
    match limited(declare).await {
        Ok(queue) => Ok(Some(u64::from(queue.message_count()))),
        Err(_) if !channel.status().connected() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Counts the messages of a queue by what brought them there. They are taken but not acked: they
/// are in the queue again when the channel is closed, which is up to the caller.
pub async fn tally(channel: &Channel, queue: &str) -> Result<BTreeMap<Cause, u64>, lapin::Error> {
    let mut causes = BTreeMap::new();
    loop {
        let get = channel.basic_get(queue.into(), BasicGetOptions::default());
        let Some(message) = limited(get).await? else { return Ok(causes) };
        let cause = cause(message.delivery.properties.headers().as_ref());
        *causes.entry(cause).or_default() += 1;
    }
}

fn cause(table: Option<&FieldTable>) -> Cause {
    let text = |name| match table?.inner().get(name)? {
        AMQPValue::LongString(text) => Some(String::from_utf8_lossy(text.as_bytes()).into_owned()),
        _ => None,
    };
    if let (Some(consumer), Some(reason)) = (text(headers::CONSUMER), text(headers::REASON)) {
        return Cause::Consumer { consumer, reason };
    }
    match (text("x-first-death-queue"), text("x-first-death-reason")) {
        (Some(queue), Some(reason)) => Cause::Broker { queue, reason },
        _ => Cause::Unknown,
    }
}

async fn limited<T>(call: impl Future<Output = lapin::Result<T>>) -> lapin::Result<T> {
    timeout(CALL_TIMEOUT, call).await.unwrap_or_else(|_| {
        Err(lapin::ErrorKind::IOError(std::io::Error::from(std::io::ErrorKind::TimedOut).into())
            .into())
    })
}
