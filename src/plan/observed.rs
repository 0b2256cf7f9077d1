//! What the broker has, as far as anyone could see it.

use std::collections::{BTreeMap, BTreeSet};

use super::ledger::ResourceId;
use crate::model::{
    ArgValue, Arguments, Binding, Destination, ExchangeName, OnRemove, Origin, PasswordHash,
    PolicyName, QueueName, RoutingKey, SettingId, SettingKind, UserName, VhostName,
};

/// Which broker this is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BrokerIdentity {
    /// The cluster's name; `None` where only the management API would tell.
    pub cluster: Option<String>,
    /// RabbitMQ's version, such as `4.0.5`.
    pub version: Option<String>,
}

/// How much of an object is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen<T> {
    /// All of it.
    Whole(T),
    /// It exists; its type and arguments are not known.
    NameOnly,
}

impl Seen<ObservedExchange> {
    /// Whether it is known to go when its last binding goes.
    pub fn is_auto_delete(&self) -> bool {
        matches!(self, Self::Whole(exchange) if exchange.auto_delete)
    }
}

/// An exchange on the broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedExchange {
    /// How it routes.
    pub kind: String,
    /// Whether it survives a restart of the broker.
    pub durable: bool,
    /// Whether it goes when its last binding goes.
    pub auto_delete: bool,
    /// Whether only other exchanges may publish to it.
    pub internal: bool,
    /// Its arguments.
    pub arguments: Arguments,
}

/// A queue or stream on the broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedQueue {
    /// Its type. Text, because plugins bring types that no file can ask for.
    pub kind: String,
    /// Whether it survives a restart of the broker.
    pub durable: bool,
    /// Whether it goes when its last consumer goes.
    pub auto_delete: bool,
    /// Every argument but `x-queue-type`.
    pub arguments: Arguments,
}

impl ObservedQueue {
    /// Takes the type out of the arguments as the broker stores them. A queue stored without one
    /// is classic: a vhost's default type is written into the arguments when it takes effect.
    pub fn new(durable: bool, auto_delete: bool, mut arguments: Arguments) -> Self {
        let kind = match arguments.remove("x-queue-type") {
            Some(ArgValue::Str(kind)) => kind,
            Some(other) => other.to_string(),
            None => "classic".into(),
        };
        Self { kind, durable, auto_delete, arguments }
    }
}

/// A policy on the broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedPolicy {
    /// An unanchored regular expression over names.
    pub pattern: String,
    /// What it applies to, in the management API's words.
    pub apply_to: String,
    /// The highest one that matches wins.
    pub priority: i64,
    /// Keys and values.
    pub definition: Arguments,
}

/// A vhost, a user, a permission, an operator policy or a parameter on the broker.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ObservedSetting {
    /// What can be compared, by the names that files use.
    pub attributes: Arguments,
    /// Of a user: what the broker has of the password.
    pub hash: Option<PasswordHash>,
}

/// Without what may be a secret.
impl std::fmt::Debug for ObservedSetting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let attributes = ArgValue::Map(self.attributes.clone()).without_secrets();
        write!(f, "ObservedSetting({attributes})")
    }
}

/// Why settings of a kind can be neither seen nor set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unseen {
    /// Why: a lowercase fragment.
    pub reason: String,
    /// How to mend it.
    pub hint: String,
}

/// What would be lost or disturbed if a queue went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Messages in it.
    pub messages: u64,
    /// Consumers on it.
    pub consumers: u64,
}

impl Usage {
    /// Whether nobody would miss it.
    pub fn is_none(self) -> bool {
        self == Self::default()
    }
}

/// `it holds 3 messages and has 1 consumer`.
impl std::fmt::Display for Usage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let count = |number: u64, what: &str| match number {
            1 => format!("1 {what}"),
            _ => format!("{number} {what}s"),
        };
        match (count(self.messages, "message"), count(self.consumers, "consumer")) {
            (messages, _) if self.consumers == 0 => write!(f, "it holds {messages}"),
            (_, consumers) if self.messages == 0 => write!(f, "it has {consumers}"),
            (messages, consumers) => write!(f, "it holds {messages} and has {consumers}"),
        }
    }
}

/// Everything that makes a binding the binding it is, in a form that can be ordered.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BindingKey {
    vhost: VhostName,
    source: ExchangeName,
    destination: Destination,
    routing_key: RoutingKey,
    /// Compact JSON with sorted keys, which tells `1` from `1.0` as the broker does.
    arguments: String,
}

impl From<&Binding> for BindingKey {
    fn from(binding: &Binding) -> Self {
        Self {
            vhost: binding.vhost.clone(),
            source: binding.source.clone(),
            destination: binding.destination.clone(),
            routing_key: binding.routing_key.clone(),
            arguments: ArgValue::Map(binding.arguments.clone()).to_string(),
        }
    }
}

impl BindingKey {
    /// A key of its parts; the arguments are compact JSON with sorted keys.
    pub(super) fn new(
        vhost: VhostName,
        source: ExchangeName,
        destination: Destination,
        routing_key: RoutingKey,
        arguments: String,
    ) -> Self {
        Self { vhost, source, destination, routing_key, arguments }
    }

    /// The vhost of both ends.
    pub fn vhost(&self) -> &VhostName {
        &self.vhost
    }

    /// Where messages come from.
    pub fn source(&self) -> &ExchangeName {
        &self.source
    }

    /// Where they go.
    pub fn destination(&self) -> &Destination {
        &self.destination
    }

    pub(super) fn routing_key(&self) -> &RoutingKey {
        &self.routing_key
    }

    pub(super) fn arguments(&self) -> &str {
        &self.arguments
    }

    /// Key and arguments in brackets, where there are any; with a space in front.
    pub(super) fn about(&self) -> String {
        let key = self.routing_key.as_str();
        let key = (!key.is_empty()).then(|| format!("key {key}"));
        let arguments = (self.arguments != "{}").then(|| self.arguments.clone());
        let about: Vec<_> = key.into_iter().chain(arguments).collect();
        if about.is_empty() { String::new() } else { format!(" ({})", about.join(", ")) }
    }

    /// The binding that it identifies.
    pub fn binding(&self) -> Binding {
        let arguments = serde_json::from_str(&self.arguments).ok();
        let arguments = match arguments.as_ref().and_then(ArgValue::from_json) {
            Some(ArgValue::Map(arguments)) => arguments,
            _ => Arguments::new(),
        };
        Binding {
            vhost: self.vhost.clone(),
            source: self.source.clone(),
            destination: self.destination.clone(),
            routing_key: self.routing_key.clone(),
            arguments,
            managed: true,
            on_remove: OnRemove::Delete,
            origin: Origin::default(),
        }
    }
}

/// What part of the broker could not be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// The types and arguments of exchanges and queues that exist.
    Attributes,
    /// Which bindings there are.
    Bindings,
    /// Which policies there are.
    Policies,
    /// Which vhosts, users, permissions and parameters there are.
    Settings,
}

impl Observed {
    /// Whether this broker tells the default queue type of a vhost; those before 3.12 do not.
    pub(super) fn tells_default_queue_type(&self) -> bool {
        let Some(version) = &self.broker.version else { return true };
        let mut numbers = version.split('.').map(str::parse::<u32>);
        match (numbers.next(), numbers.next()) {
            (Some(Ok(major)), Some(Ok(minor))) => (major, minor) >= (3, 12),
            _ => true,
        }
    }
}

impl Subject {
    /// The subject in words, to stand before "cannot be known".
    pub fn words(self) -> &'static str {
        match self {
            Self::Attributes => "the types and arguments of what exists",
            Self::Bindings => "which bindings exist",
            Self::Policies => "which policies exist",
            Self::Settings => "what vhosts, users, permissions and parameters are like",
        }
    }
}

/// Something that cannot be known, why, and the mend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// What is missing.
    pub subjects: BTreeSet<Subject>,
    /// Why: a lowercase fragment.
    pub reason: String,
    /// How to mend it.
    pub hint: String,
}

/// The broker as it was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// Which broker.
    pub broker: BrokerIdentity,
    /// The exchange types it can create; `None` where it does not say.
    pub exchange_types: Option<BTreeSet<String>>,
    /// Exchanges, the broker's own among them.
    pub exchanges: BTreeMap<(VhostName, ExchangeName), Seen<ObservedExchange>>,
    /// Queues and streams that do not belong to one connection alone.
    pub queues: BTreeMap<(VhostName, QueueName), Seen<ObservedQueue>>,
    /// Bindings; `None` where they cannot be listed.
    pub bindings: Option<BTreeSet<BindingKey>>,
    /// Policies; `None` where they cannot be listed.
    pub policies: Option<BTreeMap<(VhostName, PolicyName), ObservedPolicy>>,
    /// The vhosts that were looked into; one that is not here was not, or does not exist.
    pub vhosts: BTreeSet<VhostName>,
    /// Vhosts, users, permissions, operator policies and parameters, of the kinds that somebody
    /// asked for.
    pub settings: BTreeMap<SettingId, ObservedSetting>,
    /// The kinds of them that cannot be listed.
    pub unseen: BTreeMap<SettingKind, Unseen>,
    /// The users that warrener itself is.
    pub ourselves: BTreeSet<UserName>,
    /// The vhost of the broker's address.
    pub home: Option<VhostName>,
    /// Exchanges and queues with a binding that no file can spell, so that it is not among those
    /// above and could not be made again.
    pub illegible: BTreeSet<ResourceId>,
    /// How much queues are used, where somebody asked.
    pub usage: BTreeMap<(VhostName, QueueName), Usage>,
    /// Why something above is unknown; `None` where all of it is known.
    pub gap: Option<Gap>,
}
