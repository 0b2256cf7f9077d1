//! Consumers that use lapin directly: what is left of a message's cost without a child.

use futures_util::{FutureExt as _, StreamExt as _};
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Connection, ConnectionProperties};

/// The variable that makes this program a contestant.
pub(crate) const ROLE: &str = "BENCH_ROLE";

/// How often the contestant of role [`MULTIPLE`] acks.
const BATCH: u64 = 50;

/// Awaits each ack, as lapin's documentation has it.
pub(crate) const AWAITED: &str = "awaited";
/// Polls the future of each ack once, which queues it, and drops it.
pub(crate) const POLLED: &str = "polled";
/// Acks fifty at once.
pub(crate) const MULTIPLE: &str = "multiple";

/// Consumes until killed.
pub(crate) fn play(role: &str) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(consume(role));
}

async fn consume(role: &str) {
    let var = |name: &str| std::env::var(name).expect("set by the one who started this");
    let connection = Connection::connect(&var("BENCH_URL"), ConnectionProperties::default())
        .await
        .expect("a connection");
    let channel = connection.create_channel().await.expect("a channel");
    let prefetch = var("BENCH_PREFETCH").parse().expect("a number");
    channel.basic_qos(prefetch, BasicQosOptions::default()).await.expect("a prefetch");
    let mut consumer = channel
        .basic_consume(
            var("BENCH_QUEUE").into(),
            "".into(),
            BasicConsumeOptions::default(),
            FieldTable::default(),
        )
        .await
        .expect("a consumer");
    let each = BasicAckOptions::default();
    let many = BasicAckOptions { multiple: true };
    while let Some(delivery) = consumer.next().await {
        let tag = delivery.expect("a delivery").delivery_tag;
        match role {
            AWAITED => channel.basic_ack(tag, each).await.expect("acked"),
            POLLED => drop(channel.basic_ack(tag, each).now_or_never()),
            MULTIPLE if tag.is_multiple_of(BATCH) => {
                drop(channel.basic_ack(tag, many).now_or_never());
            }
            _ => {}
        }
    }
}
