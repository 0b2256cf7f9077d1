//! What several topics need: a real broker, and a proxy in front of it for faults.

pub(crate) mod broker;
pub(crate) mod frames;
pub(crate) mod proxy;
