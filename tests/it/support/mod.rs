//! What several topics need: a real broker, a running supervisor, a look at queues from outside.

pub(crate) mod broker;
pub(crate) mod processes;
pub(crate) mod queue;
pub(crate) mod supervisor;
