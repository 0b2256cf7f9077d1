//! What several topics need: a real broker, a proxy in front of it for faults, a running
//! supervisor, a look at queues from outside.

pub(crate) mod broker;
pub(crate) mod case;
pub(crate) mod control_groups;
pub(crate) mod frames;
pub(crate) mod listener;
pub(crate) mod processes;
pub(crate) mod proxy;
pub(crate) mod queue;
pub(crate) mod stack;
pub(crate) mod supervisor;
pub(crate) mod tls;
