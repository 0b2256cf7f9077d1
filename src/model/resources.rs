//! What can exist in a vhost: exchanges, queues, bindings, policies.

use std::fmt;

use super::{
    ArgValue, Arguments, ExchangeName, Origin, PolicyName, QueueName, RoutingKey, VhostName,
};

/// What becomes of a resource that the files stop declaring.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum OnRemove {
    /// It is deleted, by those who ask for pruning.
    #[default]
    Delete,
    /// It stays on the broker, and nobody owns it any more.
    Retain,
}

/// What becomes of a queue or exchange that is there, differs, and cannot be changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum OnConflict {
    /// Nothing, and nothing else is done either.
    #[default]
    Refuse,
    /// It is made anew with its bindings, where it is empty and unused.
    Replace,
    /// It is made anew with its bindings and its messages. Of queues only.
    Migrate,
}

/// The type of an exchange: the four of AMQP 0-9-1 or one that a plugin brings
/// (`x-delayed-message`, `x-consistent-hash`, …).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ExchangeType(pub String);

impl fmt::Display for ExchangeType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// The vhost it is in.
    pub vhost: VhostName,
    /// Its name; never empty and never `amq.*` where `managed`.
    pub name: ExchangeName,
    /// How it routes.
    pub kind: ExchangeType,
    /// Whether it survives a restart of the broker.
    pub durable: bool,
    /// Whether it goes when its last binding goes.
    pub auto_delete: bool,
    /// Whether only other exchanges may publish to it.
    pub internal: bool,
    /// Its arguments, `alternate-exchange` among them.
    pub arguments: Arguments,
    /// False where it must exist but is never created, changed or deleted by us.
    pub managed: bool,
    /// What becomes of it when no file declares it any more.
    pub on_remove: OnRemove,
    /// What becomes of it when it differs and cannot be changed.
    pub on_conflict: OnConflict,
    /// Where it was declared.
    pub origin: Origin,
}

/// The type of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum QueueType {
    /// One replica on one node.
    Classic,
    /// Replicated by Raft.
    Quorum,
    /// A replicated log with offsets.
    Stream,
}

impl QueueType {
    /// The value of the `x-queue-type` argument.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Classic => "classic",
            Self::Quorum => "quorum",
            Self::Stream => "stream",
        }
    }
}

impl fmt::Display for QueueType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A queue or stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queue {
    /// The vhost it is in.
    pub vhost: VhostName,
    /// Its name.
    pub name: QueueName,
    /// Its type.
    pub kind: QueueType,
    /// Whether it survives a restart of the broker.
    pub durable: bool,
    /// Whether it goes when its last consumer goes.
    pub auto_delete: bool,
    /// Every argument but `x-queue-type`, which [`Queue::declare_arguments`] adds.
    pub arguments: Arguments,
    /// False where it must exist but is never created, changed or deleted by us.
    pub managed: bool,
    /// What becomes of it when no file declares it any more.
    pub on_remove: OnRemove,
    /// What becomes of it when it differs and cannot be changed.
    pub on_conflict: OnConflict,
    /// Where it was declared.
    pub origin: Origin,
}

/// Where a queue sends what it gives up on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetterTarget {
    /// The exchange; the default exchange where a queue is named directly.
    pub exchange: ExchangeName,
    /// The routing key; `None` keeps the message's own.
    pub routing_key: Option<RoutingKey>,
}

impl Queue {
    /// The arguments as `queue.declare` takes them, with the type among them. Also for classic
    /// queues, which brokers hold equal to queues without that argument: without it the vhost's
    /// default type would decide.
    pub fn declare_arguments(&self) -> Arguments {
        let mut arguments = self.arguments.clone();
        arguments.insert("x-queue-type".into(), ArgValue::Str(self.kind.as_str().into()));
        arguments
    }

    /// Where its arguments say that rejected and expired messages go. A policy may say so as well;
    /// this is about the arguments alone.
    pub fn dead_letter(&self) -> Option<DeadLetterTarget> {
        let exchange = self.arguments.get("x-dead-letter-exchange")?.as_str()?;
        let routing_key = self
            .arguments
            .get("x-dead-letter-routing-key")
            .and_then(ArgValue::as_str)
            .and_then(|key| RoutingKey::new(key).ok());
        Some(DeadLetterTarget { exchange: ExchangeName::new(exchange).ok()?, routing_key })
    }
}

/// What a binding leads to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Destination {
    /// A queue or stream.
    Queue(QueueName),
    /// Another exchange.
    Exchange(ExchangeName),
}

impl Destination {
    /// The name, whatever it names.
    pub fn name(&self) -> &str {
        match self {
            Self::Queue(name) => name.as_str(),
            Self::Exchange(name) => name.as_str(),
        }
    }

    /// `queue` or `exchange`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Queue(_) => "queue",
            Self::Exchange(_) => "exchange",
        }
    }
}

/// A binding. All of its fields together are its identity on the broker, arguments included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The vhost of both ends.
    pub vhost: VhostName,
    /// Where messages come from.
    pub source: ExchangeName,
    /// Where they go.
    pub destination: Destination,
    /// The binding key.
    pub routing_key: RoutingKey,
    /// Arguments, such as what a headers exchange matches.
    pub arguments: Arguments,
    /// False where it must exist but is never created or deleted by us.
    pub managed: bool,
    /// What becomes of it when no file declares it any more.
    pub on_remove: OnRemove,
    /// Where it was declared.
    pub origin: Origin,
}

/// What a policy applies to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ApplyTo {
    /// Queues, streams and exchanges.
    All,
    /// Queues and streams of every type.
    Queues,
    /// Classic queues only (RabbitMQ 3.12 and later).
    ClassicQueues,
    /// Quorum queues only (RabbitMQ 3.12 and later).
    QuorumQueues,
    /// Streams only (RabbitMQ 3.12 and later).
    Streams,
    /// Exchanges only.
    Exchanges,
}

impl ApplyTo {
    /// Every value, in the order of the documentation.
    pub const ALL: [Self; 6] = [
        Self::All,
        Self::Queues,
        Self::ClassicQueues,
        Self::QuorumQueues,
        Self::Streams,
        Self::Exchanges,
    ];

    /// The word that the management API uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Queues => "queues",
            Self::ClassicQueues => "classic_queues",
            Self::QuorumQueues => "quorum_queues",
            Self::Streams => "streams",
            Self::Exchanges => "exchanges",
        }
    }
}

/// A policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The vhost it is in.
    pub vhost: VhostName,
    /// Its name.
    pub name: PolicyName,
    /// An unanchored regular expression over names.
    pub pattern: String,
    /// What it applies to.
    pub apply_to: ApplyTo,
    /// The highest one that matches wins; only one policy applies to an object.
    pub priority: i64,
    /// Keys and values, without the `x-` that arguments have.
    pub definition: Arguments,
    /// False where it must exist but is never created, changed or deleted by us.
    pub managed: bool,
    /// What becomes of it when no file declares it any more.
    pub on_remove: OnRemove,
    /// Where it was declared.
    pub origin: Origin,
}
