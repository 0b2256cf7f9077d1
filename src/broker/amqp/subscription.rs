//! A worker's channel: consuming with a prefetch, pausing, settling.

use std::pin::Pin;
use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use lapin::Consumer;
use lapin::options::{BasicCancelOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
use lapin::types::FieldTable;
use tokio::time::timeout;

use super::settle::settle;
use super::{CALL_TIMEOUT, Link, OwnedChannel};
use crate::model::{Delivery, QueueName};
use crate::protocol::SettleOp;

/// How long a channel may take to say goodbye.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(3);

/// Why a queue could not be consumed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SubscribeError {
    /// The broker said no: the queue is missing, forbidden, or exclusive to somebody else.
    #[error("the broker refuses to let it be consumed: {0}")]
    Refused(String),
    /// No answer in time, or the connection went away meanwhile.
    #[error("{0}")]
    Lost(String),
}

/// What a subscription brings.
#[derive(Debug)]
pub enum Incoming {
    /// A message.
    Delivery(Box<Delivery>),
    /// The broker has ended the consumer, because its queue is gone. The channel lives on.
    Cancelled,
    /// The channel is gone, and with it everything unsettled.
    Lost(String),
    /// The same, because a message was unsettled for longer than the broker allows: how long that
    /// is, where it says so.
    Overdue(Option<Duration>),
}

/// The broker's answer to the end of a consumer.
pub type Pausing = Pin<Box<dyn Future<Output = Result<(), SubscribeError>> + Send>>;

/// One channel, and at most one consumer on it.
pub struct Subscription {
    channel: OwnedChannel,
    queue: QueueName,
    consumer: Option<Consumer>,
    /// The consumer is being cancelled; what is on its way still comes.
    pausing: bool,
}

impl Subscription {
    /// Opens a channel on the link, whenever the link is up, and sets its prefetch. Nothing is
    /// consumed before [`Subscription::resume`].
    pub async fn open(
        link: &Link,
        queue: QueueName,
        prefetch: u16,
    ) -> Result<Self, SubscribeError> {
        let channel = link.open_channel().await;
        let qos = channel.basic_qos(prefetch, BasicQosOptions::default());
        limited(qos).await?;
        Ok(Self { channel, queue, consumer: None, pausing: false })
    }

    /// Starts consuming with those arguments; returns once the broker has confirmed it.
    pub async fn resume(&mut self, tag: &str, arguments: FieldTable) -> Result<(), SubscribeError> {
        let consume = self.channel.basic_consume(
            self.queue.as_str().into(),
            tag.into(),
            BasicConsumeOptions::default(),
            arguments,
        );
        self.consumer = Some(limited(consume).await?);
        Ok(())
    }

    /// Whether messages are asked for.
    pub fn consuming(&self) -> bool {
        self.consumer.is_some() && !self.pausing
    }

    /// Whether messages may come.
    pub fn listening(&self) -> bool {
        self.consumer.is_some()
    }

    /// Asks the broker to send no more; nothing where nothing was asked for. Messages may come
    /// until it has answered, and [`Subscription::paused`] must be called then. The channel stays
    /// open: what is unsettled can still be settled.
    ///
    /// The request is on its way when this returns, before any settlement that follows.
    pub fn pause(&mut self) -> Option<Pausing> {
        let tag = self.consumer.as_ref().filter(|_| !self.pausing)?.tag();
        self.pausing = true;
        let channel = (*self.channel).clone();
        let mut cancel: Pausing = Box::pin(async move {
            limited(channel.basic_cancel(tag, BasicCancelOptions::default())).await
        });
        match (&mut cancel).now_or_never() {
            Some(outcome) => Some(Box::pin(std::future::ready(outcome))),
            None => Some(cancel),
        }
    }

    /// The broker sends no more: what had been delivered but not looked at.
    pub fn paused(&mut self) -> Vec<Delivery> {
        self.pausing = false;
        let Some(mut consumer) = self.consumer.take() else { return Vec::new() };
        let mut unseen = Vec::new();
        while let Some(Some(Ok(delivery))) = consumer.next().now_or_never() {
            unseen.push(from_lapin(delivery));
        }
        unseen
    }

    /// The next message or the end. Waits for ever while paused. Cancel-safe.
    pub async fn next(&mut self) -> Incoming {
        let Some(consumer) = &mut self.consumer else { return std::future::pending().await };
        let item = consumer.next().await;
        self.incoming(item)
    }

    /// The next message if one has arrived already.
    pub fn try_next(&mut self) -> Option<Incoming> {
        let item = self.consumer.as_mut()?.next().now_or_never()?;
        Some(self.incoming(item))
    }

    fn incoming(&mut self, item: Option<lapin::Result<lapin::message::Delivery>>) -> Incoming {
        match item {
            Some(Ok(delivery)) => Incoming::Delivery(Box::new(from_lapin(delivery))),
            Some(Err(error)) => {
                self.consumer = None;
                ack_timeout(&error).unwrap_or_else(|| Incoming::Lost(error.to_string()))
            }
            None => {
                self.consumer = None;
                if self.channel.status().connected() {
                    Incoming::Cancelled
                } else {
                    Incoming::Lost("the channel was closed".into())
                }
            }
        }
    }

    /// Sends settlements in order. They are queued without waiting for the socket.
    pub fn settle(&self, ops: &[SettleOp]) -> Result<(), SubscribeError> {
        settle(&self.channel, ops).map_err(SubscribeError::Lost)
    }

    /// Ends the channel; what is unsettled goes back to its queue.
    pub async fn close(self) {
        if self.channel.status().connected() {
            let _ = timeout(CLOSE_TIMEOUT, self.channel.close(200, "OK".into())).await;
        }
    }
}

async fn limited<T>(call: impl Future<Output = lapin::Result<T>>) -> Result<T, SubscribeError> {
    match timeout(CALL_TIMEOUT, call).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) if error.is_amqp_soft_error() => Err(match error.kind() {
            lapin::ErrorKind::ProtocolError(amqp) => {
                SubscribeError::Refused(amqp.get_message().to_string())
            }
            _ => SubscribeError::Lost(error.to_string()),
        }),
        Ok(Err(error)) => Err(SubscribeError::Lost(error.to_string())),
        Err(_) => {
            let limit = CALL_TIMEOUT.as_secs();
            Err(SubscribeError::Lost(format!("no answer from the broker within {limit} s")))
        }
    }
}

/// Whether the broker has closed the channel because an acknowledgement took too long.
fn ack_timeout(error: &lapin::Error) -> Option<Incoming> {
    let lapin::ErrorKind::ProtocolError(amqp) = error.kind() else { return None };
    let words = amqp.get_message().as_str();
    let refused = AMQPErrorKind::Soft(AMQPSoftError::PRECONDITIONFAILED);
    let is_it =
        *amqp.kind() == refused && words.contains("acknowledgement") && words.contains("timed out");
    let limit = || {
        let (_, rest) = words.split_once("Timeout value used: ")?;
        let millis = rest.split(|char: char| !char.is_ascii_digit()).next()?.parse().ok()?;
        Some(Duration::from_millis(millis))
    };
    is_it.then(|| Incoming::Overdue(limit()))
}

pub(crate) fn from_lapin(delivery: lapin::message::Delivery) -> Delivery {
    Delivery {
        tag: delivery.delivery_tag,
        redelivered: delivery.redelivered,
        exchange: delivery.exchange.to_string(),
        routing_key: delivery.routing_key.to_string(),
        properties: delivery.properties,
        body: delivery.data.into(),
    }
}
