//! How much waits in a queue, asked over AMQP: a passive declaration tells it, costs the broker next
//! to nothing and needs no management API.

use std::sync::Arc;

use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use tokio::time::timeout;

use super::{CALL_TIMEOUT, Lease, OwnedChannel};
use crate::model::QueueName;

/// Asks for one queue, on a channel of its own: where there is no such queue, the answer costs the
/// channel.
pub struct Backlog {
    link: Arc<Lease>,
    queue: QueueName,
    channel: Option<OwnedChannel>,
}

impl Backlog {
    /// Nothing is asked yet.
    pub fn new(link: Arc<Lease>, queue: QueueName) -> Self {
        Self { link, queue, channel: None }
    }

    /// Messages that wait in the queue; nothing where the broker does not say. Waits for the link.
    pub async fn ready(&mut self) -> Option<u32> {
        let channel = match self.channel.take() {
            Some(channel) => channel,
            None => self.link.open_channel().await,
        };
        let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let declare =
            channel.queue_declare(self.queue.as_str().into(), options, FieldTable::default());
        let queue = timeout(CALL_TIMEOUT, declare).await.ok()?.ok()?;
        self.channel = Some(channel);
        Some(queue.message_count())
    }
}
