//! The words everything else is written in: names, resources and their typed arguments, what a
//! consumer is, and a problem with a place in a file.
//!
//! Pure data and total functions. A [`Topology`] and a [`Fleet`] have one constructor each, which
//! proves every reference in them; code that holds one need not ask again whether a queue exists.

mod access;
mod argument_rules;
mod arguments;
pub mod codes;
mod confinement;
mod dead_letters;
mod delivery;
mod desired;
mod durations;
mod fleet;
mod fleet_proof;
mod guarantees;
mod names;
mod parameters;
mod place;
mod policies;
mod proof;
mod resources;
mod retry;
mod routing;
mod settings;
mod settings_proof;
mod spots;
mod suggestions;
mod tls;
mod topology;
mod vhosts;

#[cfg(test)]
mod tests;

pub use access::{Credential, HashAlgorithm, PasswordHash, Permission, TopicPermission, User};
pub use argument_rules::{ARG_RULES, ArgKind, ArgRule, MAX_TTL_MS};
pub use arguments::{ArgValue, Arguments};
pub use confinement::{Confinement, Limits, PASSED, means_variable};
pub use delivery::{Delivery, Epoch, headers};
pub use desired::{BrokerSpec, Desired, Endpoint, Management, ReconcileMode, ReconcileSpec};
pub use durations::{BadDuration, duration_label, parse_duration, stream_age};
pub use fleet::{
    BodyAs, CanarySpec, ConsumerSpec, Delimiter, ExitCodes, ExitVerdict, Fleet, Intensity,
    PoolSpec, Program, RecycleSpec, Replies, RestartPolicy, RestartSpec, RolloutSpec, StopSignal,
    StopSpec, WireProtocol,
};
pub use fleet_proof::{BROKER_ACK_TIMEOUT, prove};
pub use guarantees::{AckMode, DedupeKey, DedupeSpec, Order};
pub use names::{
    BadName, ConsumerName, ExchangeName, ParameterName, PolicyName, QueueName, RoutingKey,
    StackName, UserName, VhostName,
};
pub use parameters::{GlobalParameter, Parameter};
pub use place::{Origin, Problem, Severity};
pub use policies::{Pattern, PatternFault, PolicyIndex};
pub use resources::{
    ApplyTo, Binding, DeadLetterTarget, Destination, Exchange, ExchangeType, OnConflict, OnRemove,
    Policy, Queue, QueueType,
};
pub use retry::{FailureClass, RetrySpec};
pub use routing::{Router, RoutingFault};
pub use settings::{
    BROKERS_OWN_COMPONENTS, Setting, SettingId, SettingKind, is_brokers_own_global,
    value_attributes,
};
pub use settings_proof::LEDGERS;
pub use spots::Spots;
pub use suggestions::suggest;
pub use tls::{TlsFiles, TlsIdentity};
pub use topology::{Topology, TopologyParts};
pub use vhosts::{BrokerLimits, USER_LIMITS, VHOST_LIMITS, Vhost};
