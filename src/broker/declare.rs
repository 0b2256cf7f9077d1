//! Declaring and looking up over AMQP, on as many channels at once as pay off.
//!
//! A refusal closes the channel it came on and nothing else, so every call takes a channel from a
//! pool and brings it back only when all went well. A refusal of the other kind closes the whole
//! connection (an unknown exchange type does in 3.x); everything after it fails as [`DeclareError::Lost`].

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::{join_all, try_join, try_join_all};
use lapin::options::{
    ExchangeBindOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Channel, ErrorKind, ExchangeKind};
use tokio::time::timeout;

use super::amqp::{OwnedChannel, Wire};
use crate::model::{
    ArgValue, Arguments, Binding, Destination, Exchange, ExchangeName, Queue, QueueName,
};

/// Channels at once: measured, 32 declare three times as fast as 1, and 100 no faster than 32.
pub(super) const CONCURRENCY: usize = 32;

/// How long one declaration may take. A quorum queue on a loaded cluster takes seconds.
const CALL_LIMIT: Duration = Duration::from_secs(30);

/// How long closing all channels may take.
const FINISH_LIMIT: Duration = Duration::from_secs(5);

/// Why something was not declared. The texts are the broker's own.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeclareError {
    /// It exists with another type or other arguments.
    #[error("{0}")]
    Inequivalent(String),
    /// The user lacks a permission.
    #[error("{0}")]
    Denied(String),
    /// Something it refers to does not exist.
    #[error("{0}")]
    Missing(String),
    /// The broker will not, for another reason.
    #[error("{0}")]
    Refused(String),
    /// The connection is gone.
    #[error("the connection was lost: {0}")]
    Lost(String),
    /// No answer in time.
    #[error("no answer from the broker within {} s", .0.as_secs())]
    TimedOut(Duration),
    /// AMQP has no way to say it.
    #[error("{0}")]
    Unsendable(String),
}

impl DeclareError {
    /// The mend, where there is one to give.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Inequivalent(_) => Some(
                "let the file say what the broker has, or delete it on the broker first (what it holds goes with it)",
            ),
            Self::Denied(_) => Some(
                "declaring needs the permission `configure` on the name, and binding `write` on the destination and `read` on the source: see `rabbitmqctl list_permissions`",
            ),
            Self::Missing(reason) if reason.contains("no exchange 'amq.") => Some(
                "every vhost has this exchange unless its creation was cut off: delete the vhost, if nothing in it is needed, and apply again",
            ),
            // Costs the connection in 3.x, the channel in 4.x.
            Self::Lost(reason) | Self::Refused(reason)
                if reason.contains("unknown exchange type") =>
            {
                Some("enable the plugin that brings this exchange type on every node of the broker")
            }
            _ => None,
        }
    }
}

/// Declares and looks up over one connection.
pub struct Declarer {
    wire: Arc<Wire>,
    /// Whether the connection is for this alone, and ends with it.
    own: bool,
    idle: Mutex<Vec<Channel>>,
}

impl Declarer {
    /// A declarer that opens channels as it needs them.
    pub(super) fn new(wire: Wire) -> Self {
        Self { wire: Arc::new(wire), own: true, idle: Mutex::default() }
    }

    /// The same over a connection that somebody else holds.
    pub(super) fn over(wire: Arc<Wire>) -> Self {
        Self { wire, own: false, idle: Mutex::default() }
    }

    /// Declares an exchange. One that is there and equivalent stays as it is.
    pub async fn exchange(&self, exchange: &Exchange) -> Result<(), DeclareError> {
        let (name, kind) = (short(exchange.name.as_str())?, short(&exchange.kind.0)?);
        let (options, arguments) = (exchange_options(exchange), field_table(&exchange.arguments)?);
        self.call(async |channel| {
            let kind = ExchangeKind::Custom(kind.to_string());
            channel.exchange_declare(name, kind, options, arguments).await
        })
        .await
    }

    /// Declares a queue. One that is there and equivalent stays as it is.
    pub async fn queue(&self, queue: &Queue) -> Result<(), DeclareError> {
        self.queue_and(queue, []).await
    }

    /// Declares a queue and binds it, all in one go: nothing waits for the answer to what came
    /// before it. An error leaves open how far the broker came.
    pub(super) async fn queue_and(
        &self,
        queue: &Queue,
        bindings: impl IntoIterator<Item = &Binding>,
    ) -> Result<(), DeclareError> {
        let name = short(queue.name.as_str())?;
        let (options, arguments) = (queue_options(queue), field_table(&queue.declare_arguments())?);
        let bindings = bindings.into_iter().map(Bind::of).collect::<Result<Vec<_>, _>>()?;
        self.call(async |channel| {
            // In the order in which they are polled first, they are sent.
            let declared = channel.queue_declare(name, options, arguments);
            let bound = try_join_all(bindings.into_iter().map(|bind| bind.on(channel)));
            try_join(declared, bound).await.map(drop)
        })
        .await
    }

    /// Binds. A binding that is there already stays the one it is.
    pub async fn binding(&self, binding: &Binding) -> Result<(), DeclareError> {
        let bind = Bind::of(binding)?;
        self.call(async |channel| bind.on(channel).await).await
    }

    /// Whether there is an exchange of that name. Changes nothing.
    pub async fn has_exchange(&self, name: &ExchangeName) -> Result<bool, DeclareError> {
        let name = short(name.as_str())?;
        let options = ExchangeDeclareOptions { passive: true, ..ExchangeDeclareOptions::default() };
        let found = self
            .call(async |channel| {
                let kind = ExchangeKind::Direct;
                channel.exchange_declare(name, kind, options, FieldTable::default()).await
            })
            .await;
        existence(found, "no exchange '")
    }

    /// Whether there is a queue of that name. Changes nothing.
    pub async fn has_queue(&self, name: &QueueName) -> Result<bool, DeclareError> {
        let name = short(name.as_str())?;
        let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let found = self
            .call(async |channel| {
                channel.queue_declare(name, options, FieldTable::default()).await.map(drop)
            })
            .await;
        existence(found, "no queue '")
    }

    /// Closes the channels, waits for that, and closes the connection where it is its own. Left to
    /// itself, a channel that is dropped closes while the connection does, which lapin reports as an
    /// error.
    pub(super) async fn finish(&self) {
        let idle = std::mem::take(&mut *self.idle());
        let closing = idle.iter().map(|channel| channel.close(200, "OK".into()));
        // What does not close in time goes with its connection.
        let _ = timeout(FINISH_LIMIT, join_all(closing)).await;
        if self.own {
            self.wire.close().await;
        }
    }

    /// A channel for more than one call.
    pub(super) async fn channel(&self) -> Result<OwnedChannel, DeclareError> {
        match timeout(CALL_LIMIT, OwnedChannel::open(&self.wire.connection)).await {
            Ok(Ok(channel)) => Ok(channel),
            Ok(Err(error)) => Err(classify(&error)),
            Err(_) => Err(DeclareError::TimedOut(CALL_LIMIT)),
        }
    }

    pub(super) async fn call<T>(
        &self,
        call: impl AsyncFnOnce(&Channel) -> lapin::Result<T>,
    ) -> Result<T, DeclareError> {
        let work = async {
            // A statement of its own, so that the lock is not held while a channel opens.
            let idle = self.idle().pop();
            let channel = match idle {
                Some(channel) => channel,
                None => self.wire.connection.create_channel().await?,
            };
            let answer = call(&channel).await?;
            self.idle().push(channel);
            Ok(answer)
        };
        match timeout(CALL_LIMIT, work).await {
            Ok(answer) => answer.map_err(|error| classify(&error)),
            Err(_) => Err(DeclareError::TimedOut(CALL_LIMIT)),
        }
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Channel>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A binding as lapin takes it.
struct Bind {
    to_queue: bool,
    destination: ShortString,
    source: ShortString,
    key: ShortString,
    arguments: FieldTable,
}

impl Bind {
    fn of(binding: &Binding) -> Result<Self, DeclareError> {
        Ok(Self {
            to_queue: matches!(binding.destination, Destination::Queue(_)),
            destination: short(binding.destination.name())?,
            source: short(binding.source.as_str())?,
            key: short(binding.routing_key.as_str())?,
            arguments: field_table(&binding.arguments)?,
        })
    }

    async fn on(self, channel: &Channel) -> lapin::Result<()> {
        let Self { to_queue, destination, source, key, arguments } = self;
        if to_queue {
            let options = QueueBindOptions::default();
            channel.queue_bind(destination, source, key, options, arguments).await
        } else {
            let options = ExchangeBindOptions::default();
            channel.exchange_bind(destination, source, key, options, arguments).await
        }
    }
}

pub(super) fn exchange_options(exchange: &Exchange) -> ExchangeDeclareOptions {
    ExchangeDeclareOptions {
        durable: exchange.durable,
        auto_delete: exchange.auto_delete,
        internal: exchange.internal,
        ..ExchangeDeclareOptions::default()
    }
}

pub(super) fn queue_options(queue: &Queue) -> QueueDeclareOptions {
    QueueDeclareOptions {
        durable: queue.durable,
        auto_delete: queue.auto_delete,
        ..QueueDeclareOptions::default()
    }
}

/// The broker says `NOT_FOUND` also about a queue whose node is down, and that queue exists.
fn existence(found: Result<(), DeclareError>, absent: &str) -> Result<bool, DeclareError> {
    match found {
        Err(DeclareError::Missing(text)) if text.contains(absent) => Ok(false),
        Ok(()) | Err(DeclareError::Missing(_)) => Ok(true),
        // Locked by the connection that owns it, so it exists.
        Err(DeclareError::Refused(text)) if text.starts_with("RESOURCE_LOCKED") => Ok(true),
        Err(error) => Err(error),
    }
}

fn classify(error: &lapin::Error) -> DeclareError {
    let ErrorKind::ProtocolError(amqp) = error.kind() else {
        return DeclareError::Lost(error.to_string());
    };
    let text = amqp.get_message().to_string();
    match amqp.kind() {
        AMQPErrorKind::Soft(AMQPSoftError::PRECONDITIONFAILED) if text.contains("inequivalent") => {
            DeclareError::Inequivalent(text)
        }
        AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED) => DeclareError::Denied(text),
        AMQPErrorKind::Soft(AMQPSoftError::NOTFOUND) => DeclareError::Missing(text),
        AMQPErrorKind::Soft(_) => DeclareError::Refused(text),
        AMQPErrorKind::Hard(_) => DeclareError::Lost(text),
    }
}

pub(super) fn short(text: &str) -> Result<ShortString, DeclareError> {
    ShortString::try_new(text).map_err(|_| {
        let start: String = text.chars().take(40).collect();
        DeclareError::Unsendable(format!(
            "`{start}…` has {} bytes, and AMQP carries at most 255 there",
            text.len()
        ))
    })
}

/// Integers go as 64 bits wide; the broker compares values, not widths.
pub(crate) fn field_table(arguments: &Arguments) -> Result<FieldTable, DeclareError> {
    let mut table = FieldTable::default();
    for (key, value) in arguments {
        table.insert(short(key)?, field(value)?);
    }
    Ok(table)
}

fn field(value: &ArgValue) -> Result<AMQPValue, DeclareError> {
    Ok(match value {
        ArgValue::Bool(value) => AMQPValue::Boolean(*value),
        ArgValue::Int(value) => AMQPValue::LongLongInt(*value),
        ArgValue::Float(value) => AMQPValue::Double(*value),
        ArgValue::Str(text) => AMQPValue::LongString(text.as_str().into()),
        ArgValue::List(values) => {
            AMQPValue::FieldArray(values.iter().map(field).collect::<Result<Vec<_>, _>>()?.into())
        }
        ArgValue::Map(values) => AMQPValue::FieldTable(field_table(values)?),
    })
}
