//! One step of a plan.

use serde_json::Value;

use crate::model::{
    ArgValue, Binding, Destination, Exchange, ExchangeName, Origin, Policy, Queue, Topology,
    VhostName,
};

/// What is to be done about a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Action {
    /// It is not there: make it.
    Create,
    /// It differs and can be changed where it stands.
    Update,
    /// It is there, ours, and no longer wanted: delete it.
    Delete,
    /// Whether it is as declared cannot be seen: declare it again, which changes nothing where it
    /// is.
    Verify,
    /// It cannot be made so without taking something away. Refuses the whole plan.
    Conflict,
}

impl Action {
    /// The word in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Verify => "verify",
            Self::Conflict => "conflict",
        }
    }
}

/// The resource a step is about, as the files want it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// An exchange.
    Exchange(Exchange),
    /// A policy.
    Policy(Policy),
    /// A queue or stream.
    Queue(Queue),
    /// A binding.
    Binding(Binding),
}

impl Target {
    /// `exchange`, `policy`, `queue` or `binding`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Exchange(_) => "exchange",
            Self::Policy(_) => "policy",
            Self::Queue(_) => "queue",
            Self::Binding(_) => "binding",
        }
    }

    /// The vhost it is in.
    pub fn vhost(&self) -> &VhostName {
        match self {
            Self::Exchange(exchange) => &exchange.vhost,
            Self::Policy(policy) => &policy.vhost,
            Self::Queue(queue) => &queue.vhost,
            Self::Binding(binding) => &binding.vhost,
        }
    }

    /// Its name; a binding, which has none, is called by its two ends.
    pub fn name(&self) -> String {
        match self {
            Self::Exchange(exchange) => exchange.name.to_string(),
            Self::Policy(policy) => policy.name.to_string(),
            Self::Queue(queue) => queue.name.to_string(),
            Self::Binding(binding) => {
                format!("{} → {}", binding.source, binding.destination.name())
            }
        }
    }

    /// Where it was declared.
    pub fn origin(&self) -> Origin {
        match self {
            Self::Exchange(exchange) => exchange.origin,
            Self::Policy(policy) => policy.origin,
            Self::Queue(queue) => queue.origin,
            Self::Binding(binding) => binding.origin,
        }
    }

    /// Whether this binding starts or ends at that exchange.
    pub fn binds_exchange(&self, vhost: &VhostName, name: &ExchangeName) -> bool {
        let Self::Binding(binding) = self else { return false };
        binding.vhost == *vhost
            && (binding.source == *name
                || matches!(&binding.destination, Destination::Exchange(to) if to == name))
    }
}

/// Everything a topology declares.
pub(super) fn targets(topology: &Topology) -> impl Iterator<Item = Target> {
    let exchanges = topology.exchanges().cloned().map(Target::Exchange);
    let policies = topology.policies().cloned().map(Target::Policy);
    let queues = topology.queues().cloned().map(Target::Queue);
    let bindings = topology.bindings().cloned().map(Target::Binding);
    exchanges.chain(policies).chain(queues).chain(bindings)
}

/// One attribute that is not as the files say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The attribute: `type`, `durable`, or an argument's or policy's key.
    pub attribute: String,
    /// Its value on the broker; `None` where it is absent there.
    pub broker: Option<ArgValue>,
    /// Its value in the files; `None` where it is absent there.
    pub file: Option<ArgValue>,
}

/// One step: what, to which resource, why, and the values before and after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What is done.
    pub action: Action,
    /// To what.
    pub target: Target,
    /// Why: a lowercase fragment without places in files.
    pub reason: String,
    /// The mend, where a person must act.
    pub hint: Option<String>,
    /// The attributes that differ, where both sides are known.
    pub differences: Vec<Difference>,
    /// The whole resource as it is on the broker, where that is known.
    pub before: Option<Value>,
    /// The whole resource as the files want it; `None` where they say nothing about what it is.
    pub after: Option<Value>,
}
