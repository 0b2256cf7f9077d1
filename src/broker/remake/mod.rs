//! Making a queue or an exchange anew where it stands: with its messages, and with all bindings,
//! those too that nobody declares.
//!
//! [`plan::next_step`](crate::plan::next_step) decides; here is what looks and performs. Every look
//! is a fresh one, so a process that was killed in the middle is followed by the next as if nothing
//! had been.

mod exchange;
mod mover;
mod queue;
mod refusal;
mod sight;

pub(super) use exchange::remake_exchange;
pub(super) use queue::remake_queue;
pub(super) use refusal::RemakeError;
