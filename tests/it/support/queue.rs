//! A queue from the outside: publish to it, look into it.

use std::time::Duration;

use lapin::options::{
    BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};

/// A connection of the test's own.
pub(crate) struct Outside {
    pub(crate) channel: Channel,
    connection: Connection,
}

/// A message as found in a queue.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) body: String,
    pub(crate) properties: BasicProperties,
}

impl Found {
    /// A header as text; empty where it is absent.
    pub(crate) fn header(&self, name: &str) -> String {
        use lapin::types::AMQPValue;
        let value = self.properties.headers().as_ref().and_then(|table| table.inner().get(name));
        match value {
            Some(AMQPValue::LongString(text)) => text.to_string(),
            Some(AMQPValue::LongInt(number)) => number.to_string(),
            Some(other) => format!("{other:?}"),
            None => String::new(),
        }
    }
}

impl Outside {
    pub(crate) async fn connect(url: &str) -> Self {
        let connection =
            Connection::connect(url, ConnectionProperties::default()).await.expect("connects");
        let channel = connection.create_channel().await.expect("opens a channel");
        channel.confirm_select(ConfirmSelectOptions::default()).await.expect("confirms");
        Self { channel, connection }
    }

    /// Publishes bodies to a queue, each numbered by its `message_id`, and waits for the confirms.
    pub(crate) async fn publish(&self, queue: &str, bodies: impl IntoIterator<Item = String>) {
        self.publish_with(queue, bodies, BasicProperties::default()).await;
    }

    /// The same with properties of the caller's.
    pub(crate) async fn publish_with(
        &self,
        queue: &str,
        bodies: impl IntoIterator<Item = String>,
        properties: BasicProperties,
    ) {
        for (number, body) in bodies.into_iter().enumerate() {
            let properties =
                properties.clone().with_delivery_mode(2).with_message_id(number.to_string().into());
            let options = BasicPublishOptions { mandatory: true, ..Default::default() };
            let publish = self.channel.basic_publish(
                "".into(),
                queue.into(),
                options,
                body.as_bytes(),
                properties,
            );
            // Registered with the channel, whose confirms are awaited together below.
            drop(publish.await.expect("publishes"));
        }
        let returned = self.channel.wait_for_confirms().await.expect("confirms");
        assert!(returned.is_empty(), "{} messages were returned from `{queue}`", returned.len());
    }

    /// Messages ready in a queue; `None` where there is no such queue.
    pub(crate) async fn depth(&self, queue: &str) -> Option<u32> {
        self.counts(queue).await.map(|(messages, _)| messages)
    }

    /// How many consumers a queue has.
    pub(crate) async fn consumers(&self, queue: &str) -> Option<u32> {
        self.counts(queue).await.map(|(_, consumers)| consumers)
    }

    /// Ready messages and consumers; `None` where there is no such queue.
    async fn counts(&self, queue: &str) -> Option<(u32, u32)> {
        let channel = loop {
            match self.connection.create_channel().await {
                Ok(channel) => break channel,
                // The number of a channel that the broker has just closed may be given out while
                // its end is under way, and that end is then told to the new one.
                Err(error) => {
                    assert!(self.connection.status().connected(), "opens a channel: {error}");
                }
            }
        };
        let options = QueueDeclareOptions { passive: true, ..Default::default() };
        let declared = channel.queue_declare(queue.into(), options, FieldTable::default()).await;
        declared.ok().map(|queue| (queue.message_count(), queue.consumer_count()))
    }

    /// Waits until a queue has so many consumers.
    pub(crate) async fn wait_for_consumers(&self, queue: &str, count: u32, limit: Duration) {
        let start = std::time::Instant::now();
        loop {
            let found = self.consumers(queue).await;
            if found == Some(count) {
                return;
            }
            assert!(start.elapsed() < limit, "`{queue}` has {found:?} consumers, not {count}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until a queue holds so many ready messages.
    pub(crate) async fn wait_for_depth(&self, queue: &str, depth: u32, limit: Duration) {
        let start = std::time::Instant::now();
        loop {
            let found = self.depth(queue).await;
            if found == Some(depth) {
                return;
            }
            assert!(start.elapsed() < limit, "`{queue}` holds {found:?}, not {depth}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Takes all ready messages out of a queue.
    pub(crate) async fn take_all(&self, queue: &str) -> Vec<Found> {
        let mut found = Vec::new();
        let options = BasicGetOptions { no_ack: true };
        while let Some(message) = self.channel.basic_get(queue.into(), options).await.expect("gets")
        {
            let properties = message.delivery.properties.clone();
            let body = String::from_utf8_lossy(&message.delivery.data).into_owned();
            found.push(Found { body, properties });
        }
        found
    }
}
