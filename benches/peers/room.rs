//! The broker that everything is measured on, and its queues.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use lapin::options::{
    BasicPublishOptions, QueueDeclareOptions, QueueDeleteOptions, QueuePurgeOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use serde_json::Value;
use warrener::sandbox::{Sandbox, SandboxOptions};

/// The longest that anything is waited for.
const PATIENCE: Duration = Duration::from_mins(3);

/// A private node, and a connection to it.
pub(crate) struct Room {
    sandbox: Sandbox,
    connection: Connection,
    channel: Channel,
    http: reqwest::Client,
    queues: AtomicU32,
    /// Where stack files, logs and results go.
    pub(crate) folder: PathBuf,
}

impl Room {
    /// Starts the node.
    pub(crate) async fn start(root: Option<PathBuf>) -> Self {
        let options = SandboxOptions { root, ..SandboxOptions::default() };
        let sandbox = Sandbox::start(options).await.unwrap_or_else(|error| panic!("{error}"));
        let properties = ConnectionProperties::default();
        let connection =
            Connection::connect(&sandbox.amqp_url(), properties).await.expect("a connection");
        let channel = connection.create_channel().await.expect("a channel");
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench");
        std::fs::create_dir_all(&folder).expect("a folder");
        let http = reqwest::Client::builder().no_proxy().build().expect("an HTTP client");
        Self { sandbox, connection, channel, http, queues: AtomicU32::new(0), folder }
    }

    /// Stops the node.
    pub(crate) async fn close(self) {
        let _ = self.connection.close(200, "OK".into()).await;
        self.sandbox.stop().await;
    }

    /// The version of RabbitMQ.
    pub(crate) fn version(&self) -> &str {
        self.sandbox.version()
    }

    /// The address for AMQP clients, to the vhost `/`.
    pub(crate) fn url(&self) -> String {
        self.sandbox.amqp_url()
    }

    /// The port for AMQP clients.
    pub(crate) fn port(&self) -> u16 {
        self.sandbox.amqp_port()
    }

    /// The address of the management API.
    pub(crate) fn management_url(&self) -> String {
        self.sandbox.management_url()
    }

    /// A durable classic queue that did not exist before.
    pub(crate) async fn fresh_queue(&self) -> String {
        let name = format!("bench.{}", self.queues.fetch_add(1, Ordering::Relaxed));
        self.declare(&name, false).await;
        name
    }

    async fn declare(&self, queue: &str, passive: bool) -> lapin::Queue {
        let options =
            QueueDeclareOptions { durable: true, passive, ..QueueDeclareOptions::default() };
        self.channel
            .queue_declare(queue.into(), options, FieldTable::default())
            .await
            .expect("a queue")
    }

    /// Whether there is a queue of that name.
    pub(crate) async fn exists(&self, queue: &str) -> bool {
        self.exists_in("%2f", queue).await
    }

    /// The same in another vhost, whose name is percent-encoded. Asked over HTTP: over AMQP each no
    /// would cost a channel.
    pub(crate) async fn exists_in(&self, vhost: &str, queue: &str) -> bool {
        let url = format!("{}/api/queues/{vhost}/{queue}", self.management_url());
        let request = self.http.get(url).basic_auth("guest", Some("guest"));
        request.send().await.is_ok_and(|answer| answer.status().is_success())
    }

    /// What the management API has under a path; null where it has nothing.
    pub(crate) async fn management(&self, path: &str) -> Value {
        let url = format!("{}/api/{path}", self.management_url());
        let request = self.http.get(url).basic_auth("guest", Some("guest"));
        match request.send().await {
            Ok(answer) => answer.json().await.unwrap_or_default(),
            Err(_) => Value::Null,
        }
    }

    /// Messages that nobody has yet.
    pub(crate) async fn ready(&self, queue: &str) -> u32 {
        self.declare(queue, true).await.message_count()
    }

    /// Removes a queue; how many messages it still held.
    pub(crate) async fn remove(&self, queue: &str) -> u32 {
        let left = self.channel.queue_purge(queue.into(), QueuePurgeOptions::default()).await;
        let options = QueueDeleteOptions::default();
        self.channel.queue_delete(queue.into(), options).await.expect("it was there");
        left.expect("it was there")
    }

    /// Waits until that many messages are ready, looking often.
    pub(crate) async fn wait_ready(
        &self,
        queue: &str,
        mut wanted: impl FnMut(u32) -> bool,
    ) -> (u32, Instant) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let ready = self.ready(queue).await;
            let now = Instant::now();
            if wanted(ready) {
                return (ready, now);
            }
            assert!(now < deadline, "`{queue}` still holds {ready} messages");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits until a queue has that many consumers.
    pub(crate) async fn wait_consumers(&self, queue: &str, wanted: u32) {
        let deadline = Instant::now() + PATIENCE;
        while self.declare(queue, true).await.consumer_count() < wanted {
            assert!(Instant::now() < deadline, "nobody consumes `{queue}`");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Puts persistent messages into a queue that nobody consumes, and waits until they are there.
    pub(crate) async fn fill(&self, queue: &str, messages: u32, body: &[u8]) {
        self.pour(queue, messages, body).await;
        self.wait_ready(queue, |ready| ready == messages).await;
    }

    /// Puts persistent messages into a queue.
    pub(crate) async fn pour(&self, queue: &str, messages: u32, body: &[u8]) {
        let channel = self.connection.create_channel().await.expect("a channel");
        let properties = BasicProperties::default().with_delivery_mode(2);
        for _ in 0..messages {
            let options = BasicPublishOptions::default();
            let publish =
                channel.basic_publish("".into(), queue.into(), options, body, properties.clone());
            publish.await.expect("published");
        }
        // The answer to this comes when the broker has taken all that was sent before.
        let _ = channel.close(200, "OK".into()).await;
    }
}

/// A body of that many bytes without line ends, and without anything that JSON must escape.
pub(crate) fn body(bytes: usize) -> Vec<u8> {
    let text = br"the quick brown fox jumps over the lazy dog, ";
    text.iter().copied().cycle().take(bytes).collect()
}
