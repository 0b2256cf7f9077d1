//! The workers of one consumer, and the task that keeps them.
//!
//! The task owns the workers and decides about them as a whole: how many there are, in which version
//! of the file, and whether any may run at all. Whatever it hears (an order, news of a worker, the
//! end of one, the time), it notes, and then compares what is with what should be and does what is
//! missing. So nothing depends on the order in which things happen, and an order may come in the
//! middle of anything.
//!
//! ```text
//!  keeper ──orders──▶ ┌──────┐ ──reins──▶ worker ┐
//!                     │ crew │ ──reins──▶ worker ├── one task each
//!  keeper ◀─outcome── └──────┘ ◀──news─── worker ┘
//! ```

mod activity;
mod handle;
mod member;
mod rollout;
mod task;
mod tending;

pub(in crate::engine) use handle::{Crew, RolloutOutcome};
pub use handle::{CrewOrder, CrewRequest};
pub(in crate::engine) use member::{News, Reins, Reporter};
