//! What several topics need: a real broker.

pub(crate) mod broker;
pub(crate) mod stack;
