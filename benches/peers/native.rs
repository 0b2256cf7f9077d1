//! Consumers that use lapin directly: what is left of a message's cost without a child.

use std::process::Stdio;

use futures_util::{FutureExt as _, StreamExt as _};
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Connection, ConnectionProperties, Consumer};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};

use crate::contestants::top;

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

/// Passes each message to `sed -u` as a line, and settles each reply by itself: what a wrapper does
/// that is written in an afternoon.
pub(crate) const ALONE_SED: &str = "alone sed -u s/.*/ack/";
/// The same with a loop in bash.
pub(crate) const ALONE_BASH: &str = "alone bash benches/peers/children/lines.sh";

/// Consumes until killed.
pub(crate) fn play(role: &str) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let (channel, consumer) = subscribe().await;
        match role.strip_prefix("alone ") {
            Some(command) => wrap(command, &channel, consumer).await,
            None => consume(role, &channel, consumer).await,
        }
    });
}

async fn wrap(command: &str, channel: &Channel, mut consumer: Consumer) {
    let mut words = command.split(' ');
    let mut child = Command::new(words.next().expect("a program"))
        .args(words)
        .current_dir(top())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("a child");
    let mut stdin = child.stdin.take().expect("a pipe");
    let mut replies = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let feed = async move {
        while let Some(Ok(delivery)) = consumer.next().await {
            let mut line = delivery.data;
            line.push(b'\n');
            stdin.write_all(&line).await.expect("a child that reads");
        }
    };
    let feeding = tokio::spawn(feed);
    let mut told = signal(SignalKind::terminate()).expect("a signal");
    let settle = async {
        let mut tag = 0;
        while let Ok(Some(_)) = replies.next_line().await {
            tag += 1;
            drop(channel.basic_ack(tag, BasicAckOptions::default()).now_or_never());
        }
    };
    tokio::select! {
        () = settle => {}
        _ = told.recv() => {}
    }
    feeding.abort();
    // What it has used is counted only once it was waited for.
    child.kill().await.expect("our child");
}

async fn subscribe() -> (Channel, Consumer) {
    let var = |name: &str| std::env::var(name).expect("set by the one who started this");
    let connection = Connection::connect(&var("BENCH_URL"), ConnectionProperties::default())
        .await
        .expect("a connection");
    let channel = connection.create_channel().await.expect("a channel");
    let prefetch = var("BENCH_PREFETCH").parse().expect("a number");
    channel.basic_qos(prefetch, BasicQosOptions::default()).await.expect("a prefetch");
    let consumer = channel
        .basic_consume(
            var("BENCH_QUEUE").into(),
            "".into(),
            BasicConsumeOptions::default(),
            FieldTable::default(),
        )
        .await
        .expect("a consumer");
    // Not closed while it is consumed.
    std::mem::forget(connection);
    (channel, consumer)
}

async fn consume(role: &str, channel: &Channel, mut consumer: Consumer) {
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
