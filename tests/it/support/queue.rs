//! A queue from the outside: publish to it, look into it.

use std::time::Duration;

use futures_util::StreamExt as _;
use lapin::options::{
    BasicConsumeOptions, BasicGetOptions, BasicPublishOptions, BasicQosOptions,
    ConfirmSelectOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};

use super::supervisor::PATIENCE;

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

/// What becomes of something that the broker is asked; a test never waits for it without end.
async fn within<T>(asked: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, asked).await.expect("the broker answers in time")
}

impl Found {
    /// A header as text; empty where it is absent.
    pub(crate) fn header(&self, name: &str) -> String {
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
        let connection = within(Connection::connect(url, ConnectionProperties::default()))
            .await
            .expect("connects");
        let channel = within(connection.create_channel()).await.expect("opens a channel");
        within(channel.confirm_select(ConfirmSelectOptions::default())).await.expect("confirms");
        Self { channel, connection }
    }

    async fn open_channel(&self) -> lapin::Result<Channel> {
        within(self.connection.create_channel()).await
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
            self.send(("", queue), properties, body.as_bytes()).await;
        }
        self.confirmed().await;
    }

    /// Publishes a message with a routing key to an exchange. `confirmed` waits for all that were.
    pub(crate) async fn send(&self, to: (&str, &str), properties: BasicProperties, body: &[u8]) {
        let options = BasicPublishOptions { mandatory: true, ..Default::default() };
        let (exchange, key) = (to.0.into(), to.1.into());
        let publish = self.channel.basic_publish(exchange, key, options, body, properties);
        // Registered with the channel, whose confirms are awaited together.
        drop(within(publish).await.expect("publishes"));
    }

    /// Waits until the broker has all that was published.
    pub(crate) async fn confirmed(&self) {
        let returned = within(self.channel.wait_for_confirms()).await.expect("confirms");
        assert!(returned.is_empty(), "{} messages were returned: {returned:?}", returned.len());
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
            match self.open_channel().await {
                Ok(channel) => break channel,
                // The number of a channel that the broker has just closed may be given out while
                // its end is under way, and that end is then told to the new one.
                Err(error) => {
                    assert!(self.connection.status().connected(), "opens a channel: {error}");
                }
            }
        };
        let options = QueueDeclareOptions { passive: true, ..Default::default() };
        let declared = channel.queue_declare(queue.into(), options, FieldTable::default());
        within(declared).await.ok().map(|queue| (queue.message_count(), queue.consumer_count()))
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

    /// The offset of the first message that a stream still has.
    pub(crate) async fn first_offset(&self, stream: &str) -> i64 {
        let channel = self.open_channel().await.expect("opens a channel");
        within(channel.basic_qos(1, BasicQosOptions::default())).await.expect("sets the prefetch");
        let mut arguments = FieldTable::default();
        arguments.insert("x-stream-offset".into(), AMQPValue::LongString("first".into()));
        let options = BasicConsumeOptions::default();
        let consumed = channel.basic_consume(stream.into(), "".into(), options, arguments);
        let mut messages = within(consumed).await.expect("consumes");
        let first = within(messages.next()).await.expect("there is one").expect("is sent");
        let headers = first.properties.headers().as_ref().expect("it has headers");
        let offset = headers.inner().get("x-stream-offset").and_then(AMQPValue::as_long_long_int);
        within(channel.close(200, "seen".into())).await.expect("closes");
        offset.expect("it has an offset")
    }

    /// Takes all ready messages out of a queue.
    pub(crate) async fn take_all(&self, queue: &str) -> Vec<Found> {
        let mut found = Vec::new();
        let options = BasicGetOptions { no_ack: true };
        let get = || within(self.channel.basic_get(queue.into(), options));
        while let Some(message) = get().await.expect("gets") {
            let properties = message.delivery.properties.clone();
            let body = String::from_utf8_lossy(&message.delivery.data).into_owned();
            found.push(Found { body, properties });
        }
        found
    }
}
