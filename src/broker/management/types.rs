//! What the management API answers, as far as we read it.

use serde::Deserialize;
use serde_json::Value;

/// `GET /api/overview`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Overview {
    /// The cluster's name.
    pub cluster_name: Option<String>,
    /// RabbitMQ's version.
    pub rabbitmq_version: Option<String>,
    /// The exchange types that are enabled or known.
    pub exchange_types: Option<Vec<ExchangeTypeInfo>>,
}

/// One exchange type of the overview.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ExchangeTypeInfo {
    /// Its name.
    pub name: String,
}

/// `GET /api/definitions/VHOST`, but for its exchanges: since RabbitMQ 4.3.3 it leaves out those
/// that are internal.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Definitions {
    /// Queues that do not belong to one connection alone.
    pub queues: Vec<QueueInfo>,
    /// Bindings, without those to the default exchange.
    pub bindings: Vec<BindingInfo>,
    /// Policies.
    pub policies: Vec<PolicyInfo>,
}

/// An exchange.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ExchangeInfo {
    /// Its name.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether it survives a restart.
    pub durable: bool,
    /// Whether it goes with its last binding.
    pub auto_delete: bool,
    /// Whether clients may not publish to it.
    pub internal: bool,
    /// Its arguments; an object, or `[]` for none.
    pub arguments: Value,
}

/// A queue or stream.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct QueueInfo {
    /// Its name.
    pub name: String,
    /// Whether it survives a restart.
    pub durable: bool,
    /// Whether it goes with its last consumer.
    pub auto_delete: bool,
    /// Whether it belongs to one connection alone; `null` for types that cannot.
    pub exclusive: Option<bool>,
    /// Its arguments, `x-queue-type` among them.
    pub arguments: Value,
    /// Messages, those that somebody holds among them, where they are asked for.
    pub messages: Option<u64>,
    /// The policy that holds for it, where somebody asked.
    pub policy: Option<String>,
}

/// A binding.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct BindingInfo {
    /// The exchange messages come from; empty for the default exchange.
    pub source: String,
    /// The queue or exchange they go to.
    pub destination: String,
    /// `queue` or `exchange`.
    pub destination_type: String,
    /// The binding key.
    pub routing_key: String,
    /// Its arguments.
    pub arguments: Value,
}

/// A policy.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct PolicyInfo {
    /// Its name.
    pub name: String,
    /// A regular expression over names.
    pub pattern: String,
    /// What it applies to; absent means everything.
    #[serde(rename = "apply-to")]
    pub apply_to: Option<String>,
    /// The highest one that matches wins.
    pub priority: i64,
    /// Keys and values.
    pub definition: Value,
}

/// A global parameter.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct GlobalParameterInfo {
    /// Its name.
    pub name: String,
    /// Its value, which can be any JSON.
    pub value: Value,
}
