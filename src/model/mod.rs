//! The words everything else is written in: names, resources and their typed arguments, what a
//! consumer is, and a problem with a place in a file.
//!
//! Pure data and total functions. A [`Topology`] and a [`Fleet`] have one constructor each, which
//! proves every reference in them; code that holds one need not ask again whether a queue exists.

mod arguments;
mod delivery;
mod desired;
mod fleet;
mod names;
mod place;
mod resources;
mod topology;

pub use arguments::{ArgValue, Arguments, duration_label};
pub use delivery::{Delivery, Epoch, headers};
pub use desired::{BrokerSpec, Desired, Endpoint, Management, ReconcileMode, ReconcileSpec};
pub use fleet::{
    BodyAs, ConsumerSpec, Delimiter, ExitCodes, ExitVerdict, Fleet, Program, RestartSpec,
    RetrySpec, StopSignal, StopSpec, WireProtocol,
};
pub use names::{
    BadName, ConsumerName, ExchangeName, PolicyName, QueueName, RoutingKey, StackName, VhostName,
};
pub use place::{Origin, Problem, Severity};
pub use resources::{
    ApplyTo, Binding, DeadLetterTarget, Destination, Exchange, ExchangeType, Policy, Queue,
    QueueType,
};
pub use topology::{Topology, TopologyParts};
