//! Moves messages from a queue to an exchange that leads to another, in their order.

use std::time::{Duration, Instant};

use futures_util::{FutureExt, StreamExt};
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions,
    ConfirmSelectOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Confirmation, Consumer};
use tokio::time::timeout;

use super::refusal::RemakeError;
use crate::broker::amqp::{CALL_TIMEOUT, OwnedChannel, fits_frame, from_lapin};
use crate::broker::declare::Declarer;
use crate::model::{Delivery, ExchangeName, QueueName};
use crate::supervise::{bare, is_packed};

/// Messages under way at once: as many may come twice if this program is killed.
const WINDOW: u16 = 256;

/// Bytes under way at once, where a single message has no more.
const WINDOW_BYTES: usize = 8 << 20;

/// How long the broker may take to confirm what is under way. A broker that is short of memory or
/// disk takes no messages; then this ends, and goes on when it is begun again.
const CONFIRM_LIMIT: Duration = Duration::from_mins(1);

/// How often to say how far it has come.
const SAY_EVERY: Duration = Duration::from_secs(2);

/// Messages on their way from one queue to another.
pub(super) struct Mover<'a> {
    from: &'a QueueName,
    to: &'a ExchangeName,
    dress: fn(&Delivery) -> BasicProperties,
    /// What comes from there went to wait as [`packed`](crate::supervise::packed) or, for want of
    /// room, [`bare`].
    out: &'a ExchangeName,
    taking: OwnedChannel,
    giving: OwnedChannel,
    consumer: Consumer,
    moved: u64,
    said: Instant,
}

impl<'a> Mover<'a> {
    /// Begins to take messages. `dress` gives the properties that they go on with; through `out`
    /// messages go to wait.
    pub(super) async fn start(
        declarer: &Declarer,
        from: &'a QueueName,
        to: &'a ExchangeName,
        dress: fn(&Delivery) -> BasicProperties,
        out: &'a ExchangeName,
    ) -> Result<Self, RemakeError> {
        let taking = declarer.channel().await?;
        let giving = declarer.channel().await?;
        limited(giving.confirm_select(ConfirmSelectOptions::default())).await?;
        limited(taking.basic_qos(WINDOW, BasicQosOptions::default())).await?;
        let consume = taking.basic_consume(
            from.as_str().into(),
            "".into(),
            BasicConsumeOptions::default(),
            FieldTable::default(),
        );
        let consumer = limited(consume).await?;
        let said = Instant::now();
        Ok(Self { from, to, dress, out, taking, giving, consumer, moved: 0, said })
    }

    /// Moves until nothing has come for so long. `total` is how many there are, to be shown.
    pub(super) async fn until_idle(
        &mut self,
        idle: Duration,
        total: u64,
    ) -> Result<(), RemakeError> {
        while let Ok(next) = timeout(idle, self.consumer.next()).await {
            let mut window = vec![delivery(next)?];
            let mut bytes = window[0].body.len();
            while window.len() < usize::from(WINDOW)
                && bytes < WINDOW_BYTES
                && let Some(next) = self.consumer.next().now_or_never()
            {
                let next = delivery(next)?;
                bytes += next.body.len();
                window.push(next);
            }
            self.pass_on(&window).await?;
            self.moved += window.len() as u64;
            if self.said.elapsed() >= SAY_EVERY {
                self.said = Instant::now();
                let total = total.max(self.moved);
                tracing::info!(queue = %self.from, "{} of {total} messages moved", self.moved);
            }
        }
        Ok(())
    }

    /// The properties that a message goes on with. One whose headers leave no room in their frame for
    /// notes goes without: the broker would end the connection for a larger frame.
    fn dressed(&self, message: &Delivery) -> BasicProperties {
        let went_bare = message.exchange == self.out.as_str() && !is_packed(message);
        let dressed = (self.dress)(message);
        if !went_bare && fits_frame(&dressed, self.giving.frame_max()) {
            return dressed;
        }
        tracing::warn!(
            queue = %self.from,
            "a message whose headers fill a frame is moved without notes: its exchange and expiration are not kept"
        );
        bare(message)
    }

    /// Publishes a window, and acks it when all of it is confirmed. All of it, because the library
    /// may hand the return of one message to another of those under way.
    async fn pass_on(&self, window: &[Delivery]) -> Result<(), RemakeError> {
        let giving = async {
            let mut confirms = Vec::with_capacity(window.len());
            for message in window {
                let options =
                    BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
                let publish = self.giving.basic_publish(
                    self.to.as_str().into(),
                    message.routing_key.as_str().into(),
                    options,
                    &message.body,
                    self.dressed(message),
                );
                confirms.push(publish.await?);
            }
            let mut all = true;
            for confirm in confirms {
                all &= matches!(confirm.await?, Confirmation::Ack(None));
            }
            lapin::Result::Ok(all)
        };
        match timeout(CONFIRM_LIMIT, giving).await {
            Ok(Ok(true)) => {}
            Ok(Ok(false)) => {
                return Err(RemakeError::Lost("the broker did not take a message".into()));
            }
            Ok(Err(error)) => return Err(RemakeError::Lost(error.to_string())),
            Err(_) => {
                let limit = CONFIRM_LIMIT.as_secs();
                let why = format!("the broker has not confirmed messages for {limit} s");
                return Err(RemakeError::Lost(why));
            }
        }
        let Some(last) = window.last() else { return Ok(()) };
        limited(self.taking.basic_ack(last.tag, BasicAckOptions { multiple: true })).await
    }

    /// Ends it. Nothing is held any more when this returns.
    pub(super) async fn finish(self) -> Result<u64, RemakeError> {
        for channel in [&self.taking, &self.giving] {
            close(channel).await?;
        }
        Ok(self.moved)
    }
}

async fn close(channel: &Channel) -> Result<(), RemakeError> {
    limited(channel.close(200, "OK".into())).await
}

fn delivery(
    next: Option<lapin::Result<lapin::message::Delivery>>,
) -> Result<Delivery, RemakeError> {
    match next {
        Some(Ok(delivery)) => Ok(from_lapin(delivery)),
        Some(Err(error)) => Err(RemakeError::Lost(error.to_string())),
        None => Err(RemakeError::Lost("the broker ended the consumer".into())),
    }
}

pub(super) async fn limited<T>(
    call: impl Future<Output = lapin::Result<T>>,
) -> Result<T, RemakeError> {
    match timeout(CALL_TIMEOUT, call).await {
        Ok(answer) => answer.map_err(|error| RemakeError::Lost(error.to_string())),
        Err(_) => {
            let limit = CALL_TIMEOUT.as_secs();
            Err(RemakeError::Lost(format!("no answer from the broker within {limit} s")))
        }
    }
}
