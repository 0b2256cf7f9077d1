//! Which resources belong to whom: the ledger of a stack, and what all ledgers of a broker say.
//!
//! A ledger belongs to a stack in a vhost, that of its broker's address: the same files applied to
//! `staging` and to `live` are two owners. It holds names only.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::change::Target;
use super::observed::BindingKey;
use crate::model::{
    Destination, ExchangeName, OnRemove, PolicyName, QueueName, RoutingKey, SettingId, StackName,
    Topology, VhostName,
};

/// The form in which ledgers are written; it counts up when older readers would misunderstand.
const VERSION: u64 = 1;

/// What identifies a resource on a broker.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ResourceId {
    /// An exchange.
    Exchange(VhostName, ExchangeName),
    /// A policy.
    Policy(VhostName, PolicyName),
    /// A queue or stream.
    Queue(VhostName, QueueName),
    /// A binding.
    Binding(BindingKey),
    /// A vhost, a user, a permission, an operator policy or a parameter.
    Setting(SettingId),
}

impl ResourceId {
    /// One of [`ORDER`](super::ORDER).
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Exchange(..) => "exchange",
            Self::Policy(..) => "policy",
            Self::Queue(..) => "queue",
            Self::Binding(_) => "binding",
            Self::Setting(id) => id.kind().as_str(),
        }
    }

    /// The vhost it is, or is in; `None` for what belongs to the whole cluster.
    pub fn vhost(&self) -> Option<&VhostName> {
        match self {
            Self::Exchange(vhost, _) | Self::Policy(vhost, _) | Self::Queue(vhost, _) => {
                Some(vhost)
            }
            Self::Binding(key) => Some(key.vhost()),
            Self::Setting(id) => id.vhost(),
        }
    }

    /// Its name; a binding, which has none, is called by its two ends.
    pub fn name(&self) -> String {
        match self {
            Self::Exchange(_, name) => name.to_string(),
            Self::Policy(_, name) => name.to_string(),
            Self::Queue(_, name) => name.to_string(),
            Self::Binding(key) => format!("{} → {}", key.source(), key.destination().name()),
            Self::Setting(id) => id.to_string(),
        }
    }

    /// Whether the broker keeps it for itself.
    pub fn is_reserved(&self) -> bool {
        match self {
            Self::Exchange(_, name) => name.is_reserved(),
            Self::Queue(_, name) => name.is_reserved(),
            Self::Policy(..) | Self::Setting(_) => false,
            Self::Binding(key) => key.source().as_str().is_empty(),
        }
    }

    /// The exchange or queue that a binding with this destination leads to.
    pub(super) fn end(vhost: &VhostName, destination: &Destination) -> Self {
        match destination {
            Destination::Exchange(name) => Self::Exchange(vhost.clone(), name.clone()),
            Destination::Queue(name) => Self::Queue(vhost.clone(), name.clone()),
        }
    }
}

/// `queue billing`, `binding orders → billing (key order.created)`.
impl fmt::Display for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind().replace('_', " "), self.name())?;
        match self {
            Self::Binding(key) => f.write_str(&key.about()),
            _ => Ok(()),
        }
    }
}

impl From<&Target> for ResourceId {
    fn from(target: &Target) -> Self {
        match target {
            Target::Exchange(exchange) => {
                Self::Exchange(exchange.vhost.clone(), exchange.name.clone())
            }
            Target::Policy(policy) => Self::Policy(policy.vhost.clone(), policy.name.clone()),
            Target::Queue(queue) => Self::Queue(queue.vhost.clone(), queue.name.clone()),
            Target::Binding(binding) => Self::Binding(binding.into()),
            Target::Setting(setting) => Self::Setting(setting.id()),
        }
    }
}

/// What one stack owns: what it created, or found as declared and took over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    owned: BTreeMap<ResourceId, OnRemove>,
}

impl Ledger {
    /// What a topology asks to be owned: everything in it but what is `manage: false` and what is
    /// the broker's own.
    pub fn of(topology: &Topology) -> Self {
        let exchanges = topology.exchanges().filter(|exchange| exchange.managed).map(|exchange| {
            let id = ResourceId::Exchange(exchange.vhost.clone(), exchange.name.clone());
            (id, exchange.on_remove)
        });
        let queues = topology.queues().filter(|queue| queue.managed).map(|queue| {
            (ResourceId::Queue(queue.vhost.clone(), queue.name.clone()), queue.on_remove)
        });
        let policies = topology.policies().filter(|policy| policy.managed).map(|policy| {
            (ResourceId::Policy(policy.vhost.clone(), policy.name.clone()), policy.on_remove)
        });
        let bindings = topology
            .bindings()
            .filter(|binding| binding.managed)
            .map(|binding| (ResourceId::Binding(binding.into()), binding.on_remove));
        let settings = topology
            .settings()
            .filter(|setting| setting.managed())
            .map(|setting| (ResourceId::Setting(setting.id()), setting.on_remove()));
        let all = exchanges.chain(queues).chain(policies).chain(bindings).chain(settings);
        Self { owned: all.filter(|(id, _)| !id.is_reserved()).collect() }
    }

    /// Whether it has that resource.
    pub fn contains(&self, id: &ResourceId) -> bool {
        self.owned.contains_key(id)
    }

    /// What is to become of a resource; `None` where it does not have it.
    pub fn on_remove(&self, id: &ResourceId) -> Option<OnRemove> {
        self.owned.get(id).copied()
    }

    /// What it has, and what is to become of it.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&ResourceId, OnRemove)> {
        self.owned.iter().map(|(id, on_remove)| (id, *on_remove))
    }

    /// How much it has.
    pub fn len(&self) -> usize {
        self.owned.len()
    }

    /// Whether it has nothing.
    pub fn is_empty(&self) -> bool {
        self.owned.is_empty()
    }

    /// Adds a resource, or changes what is to become of it.
    pub fn claim(&mut self, id: ResourceId, on_remove: OnRemove) {
        self.owned.insert(id, on_remove);
    }

    /// Adds all that another has. What one of them retains is retained.
    pub fn join(&mut self, other: Self) {
        for (id, on_remove) in other.owned {
            let known = self.owned.entry(id).or_insert(on_remove);
            if on_remove == OnRemove::Retain {
                *known = on_remove;
            }
        }
    }

    /// What it has beyond another that it has all of, just as that has it; `None` where there is more
    /// between the two.
    pub fn beyond(&self, other: &Self) -> Option<Self> {
        let kept = other.owned.iter().all(|(id, on_remove)| self.owned.get(id) == Some(on_remove));
        let more = self.owned.iter().filter(|(id, _)| !other.owned.contains_key(id));
        kept.then(|| Self { owned: more.map(|(id, on_remove)| (id.clone(), *on_remove)).collect() })
    }

    /// Forgets a resource.
    pub fn release(&mut self, id: &ResourceId) {
        self.owned.remove(id);
    }
}

/// A ledger as it is written down, with whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerRecord {
    /// The stack.
    pub stack: StackName,
    /// The vhost of the stack's broker address.
    pub home: VhostName,
    /// What it owns.
    pub ledger: Ledger,
}

/// Why a ledger cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LedgerFault {
    /// A later version of this program wrote it.
    #[error("it has the form {0}, and this version of warrener knows only {VERSION}")]
    Newer(u64),
    /// It is not a ledger.
    #[error("it is no ledger: {0}")]
    Malformed(String),
}

#[derive(Deserialize, Serialize)]
struct Document {
    version: u64,
    stack: String,
    vhost: String,
    #[serde(default)]
    owned: BTreeMap<String, OfVhost>,
    /// Kind and names of each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    settings: Vec<Vec<String>>,
    /// Those of them that stay when no file declares them any more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    retained_settings: Vec<Vec<String>>,
}

/// Names by kind, so that twenty thousand of them stay small.
#[derive(Default, Deserialize, Serialize)]
#[serde(default)]
struct OfVhost {
    exchanges: Vec<String>,
    policies: Vec<String>,
    queues: Vec<String>,
    bindings: Vec<BindingEntry>,
    /// Those of them but bindings that stay when no file declares them any more: kind and name.
    retained: Vec<(String, String)>,
}

#[derive(Deserialize, Serialize)]
struct BindingEntry {
    source: String,
    /// `queue` or `exchange`.
    to: String,
    destination: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    key: String,
    /// JSON text: as an object the broker would give an empty table back as a list.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    arguments: String,
    /// It stays when no file declares it any more. Two may have the same ends, so not by name.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    retained: bool,
}

impl LedgerRecord {
    /// The record as JSON. Equal ledgers give equal JSON.
    pub fn to_json(&self) -> Value {
        let mut owned: BTreeMap<String, OfVhost> = BTreeMap::new();
        let (mut settings, mut retained_settings) = (Vec::new(), Vec::new());
        for (id, on_remove) in self.ledger.iter() {
            if let ResourceId::Setting(id) = id {
                settings.push(id.parts());
                retained_settings.extend((on_remove == OnRemove::Retain).then(|| id.parts()));
                continue;
            }
            let Some(vhost) = id.vhost() else { continue };
            let part = owned.entry(vhost.to_string()).or_default();
            match id {
                ResourceId::Setting(_) => {}
                ResourceId::Exchange(_, name) => part.exchanges.push(name.to_string()),
                ResourceId::Policy(_, name) => part.policies.push(name.to_string()),
                ResourceId::Queue(_, name) => part.queues.push(name.to_string()),
                ResourceId::Binding(key) => part.bindings.push(BindingEntry {
                    source: key.source().to_string(),
                    to: key.destination().kind().into(),
                    destination: key.destination().name().into(),
                    key: key.routing_key().to_string(),
                    arguments: if key.arguments() == "{}" {
                        String::new()
                    } else {
                        key.arguments().into()
                    },
                    retained: on_remove == OnRemove::Retain,
                }),
            }
            if on_remove == OnRemove::Retain && !matches!(id, ResourceId::Binding(_)) {
                part.retained.push((id.kind().into(), id.name()));
            }
        }
        let document = Document {
            version: VERSION,
            stack: self.stack.to_string(),
            vhost: self.home.to_string(),
            owned,
            settings,
            retained_settings,
        };
        serde_json::to_value(document).unwrap_or_default()
    }

    /// Reads a record back.
    pub fn from_json(value: &Value) -> Result<Self, LedgerFault> {
        match value.get("version").and_then(Value::as_u64) {
            Some(VERSION) => {}
            Some(other) => return Err(LedgerFault::Newer(other)),
            None => return Err(LedgerFault::Malformed("it has no `version`".into())),
        }
        let malformed = |error: &dyn fmt::Display| LedgerFault::Malformed(error.to_string());
        let document: Document =
            serde_json::from_value(value.clone()).map_err(|error| malformed(&error))?;
        let mut ledger = Ledger::default();
        for (vhost, part) in document.owned {
            let vhost = VhostName::new(vhost).map_err(|error| malformed(&error))?;
            part.read(&vhost, &mut ledger).map_err(|error| malformed(&error))?;
        }
        let retained: BTreeSet<_> = document.retained_settings.into_iter().collect();
        for parts in document.settings {
            let id = SettingId::from_parts(&parts).map_err(|error| malformed(&error))?;
            let Some(id) = id else {
                return Err(malformed(&format!(
                    "`{}` is nothing that can be owned",
                    parts.join(" ")
                )));
            };
            let stays = retained.contains(&parts);
            let on_remove = if stays { OnRemove::Retain } else { OnRemove::Delete };
            ledger.claim(ResourceId::Setting(id), on_remove);
        }
        Ok(Self {
            stack: StackName::new(document.stack).map_err(|error| malformed(&error))?,
            home: VhostName::new(document.vhost).map_err(|error| malformed(&error))?,
            ledger,
        })
    }
}

impl OfVhost {
    fn read(self, vhost: &VhostName, ledger: &mut Ledger) -> Result<(), crate::model::BadName> {
        let retained: BTreeSet<(String, String)> = self.retained.into_iter().collect();
        let mut claim = |id: ResourceId| {
            let stays = retained.contains(&(id.kind().to_owned(), id.name()));
            let on_remove = if stays { OnRemove::Retain } else { OnRemove::Delete };
            ledger.claim(id, on_remove);
        };
        for name in self.exchanges {
            claim(ResourceId::Exchange(vhost.clone(), ExchangeName::new(name)?));
        }
        for name in self.policies {
            claim(ResourceId::Policy(vhost.clone(), PolicyName::new(name)?));
        }
        for name in self.queues {
            claim(ResourceId::Queue(vhost.clone(), QueueName::new(name)?));
        }
        for BindingEntry { source, to, destination, key, arguments, retained } in self.bindings {
            let destination = match to.as_str() {
                "exchange" => Destination::Exchange(ExchangeName::new(destination)?),
                _ => Destination::Queue(QueueName::new(destination)?),
            };
            let arguments = if arguments.is_empty() { "{}".into() } else { arguments };
            let key = BindingKey::new(
                vhost.clone(),
                ExchangeName::new(source)?,
                destination,
                RoutingKey::new(key)?,
                arguments,
            );
            let on_remove = if retained { OnRemove::Retain } else { OnRemove::Delete };
            ledger.claim(ResourceId::Binding(key), on_remove);
        }
        Ok(())
    }
}

/// Another stack that owns something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The stack.
    pub stack: StackName,
    /// The vhost of its broker address.
    pub home: VhostName,
    /// The global parameter that says so.
    pub parameter: String,
}

/// What all the ledgers of a broker say, as seen by one stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ownership {
    /// The stack.
    pub stack: StackName,
    /// Its own ledger.
    pub own: Ledger,
    /// What others own.
    pub others: BTreeMap<ResourceId, Owner>,
    /// Where the ledger is kept instead of the broker, and what follows from that; `None` where it
    /// is on the broker.
    pub elsewhere: Option<String>,
}

impl Ownership {
    /// A stack that owns nothing, on a broker where nobody does.
    pub fn nobody(stack: StackName) -> Self {
        Self { stack, own: Ledger::default(), others: BTreeMap::new(), elsewhere: None }
    }
}
