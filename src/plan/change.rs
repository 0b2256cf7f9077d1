//! One step of a plan.

use serde_json::Value;

use crate::model::{
    ArgValue, Binding, Destination, Exchange, ExchangeName, Origin, Policy, Queue, Setting,
    Topology, VhostName,
};

/// The kinds in the order in which they can be created. Policies come before the queues they match,
/// because a policy that is set while a queue is being declared may never attach to it; bindings
/// need both ends, and since 4.3 a topic permission its exchange; shovels and federation, which are parameters, use all the others. What goes, goes
/// in the reverse order.
pub const ORDER: [&str; 11] = [
    "vhost",
    "user",
    "permission",
    "operator_policy",
    "global_parameter",
    "exchange",
    "topic_permission",
    "policy",
    "queue",
    "binding",
    "parameter",
];

/// What is to be done about a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Action {
    /// It is not there: make it.
    Create,
    /// It differs and can be changed where it stands.
    Update,
    /// It differs, cannot be changed where it stands, and is empty and unused: delete it and create
    /// it, with all of its bindings.
    Replace,
    /// It differs and cannot be changed where it stands: make it anew with its messages and all of
    /// its bindings.
    Migrate,
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
            Self::Replace => "replace",
            Self::Migrate => "migrate",
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
    /// A vhost, a user, a permission, an operator policy or a parameter.
    Setting(Setting),
}

/// Parameters of these components come before other parameters: a set names its upstreams.
const FIRST_COMPONENTS: [&str; 2] = ["federation-upstream", "federation-upstream-set"];

/// How many phases there are, see [`Target::phase`].
pub const PHASES: usize = ORDER.len() + FIRST_COMPONENTS.len();

impl Target {
    /// When it can be created: all of one phase at once, after those of the phases before.
    pub fn phase(&self) -> usize {
        let kind = ORDER.iter().position(|kind| *kind == self.kind()).unwrap_or_default();
        match self {
            Self::Setting(Setting::Parameter(parameter)) => {
                let component = parameter.component.as_str();
                let first = FIRST_COMPONENTS.iter().position(|first| *first == component);
                kind + first.unwrap_or(FIRST_COMPONENTS.len())
            }
            _ => kind,
        }
    }

    /// One of [`ORDER`].
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Exchange(_) => "exchange",
            Self::Policy(_) => "policy",
            Self::Queue(_) => "queue",
            Self::Binding(_) => "binding",
            Self::Setting(setting) => setting.kind().as_str(),
        }
    }

    /// The vhost it is, or is in; `None` for what belongs to the whole cluster.
    pub fn vhost(&self) -> Option<&VhostName> {
        match self {
            Self::Exchange(exchange) => Some(&exchange.vhost),
            Self::Policy(policy) => Some(&policy.vhost),
            Self::Queue(queue) => Some(&queue.vhost),
            Self::Binding(binding) => Some(&binding.vhost),
            Self::Setting(setting) => setting.vhost(),
        }
    }

    /// Whether we create and change it: false for `manage: false`.
    pub fn managed(&self) -> bool {
        match self {
            Self::Exchange(exchange) => exchange.managed,
            Self::Policy(policy) => policy.managed,
            Self::Queue(queue) => queue.managed,
            Self::Binding(binding) => binding.managed,
            Self::Setting(setting) => setting.managed(),
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
            Self::Setting(setting) => setting.id().to_string(),
        }
    }

    /// Where it was declared.
    pub fn origin(&self) -> Origin {
        match self {
            Self::Exchange(exchange) => exchange.origin,
            Self::Policy(policy) => policy.origin,
            Self::Queue(queue) => queue.origin,
            Self::Binding(binding) => binding.origin,
            Self::Setting(setting) => setting.origin(),
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
    let settings = topology.settings().cloned().map(Target::Setting);
    exchanges.chain(policies).chain(queues).chain(bindings).chain(settings)
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

impl Change {
    /// The queue that this creates.
    pub fn creates_queue(&self) -> Option<&Queue> {
        match &self.target {
            Target::Queue(queue) if self.action == Action::Create => Some(queue),
            _ => None,
        }
    }
}
