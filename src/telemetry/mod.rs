//! What a running supervisor says about itself: log lines on stderr, and counters that can be read
//! at any moment without stopping anything.
//!
//! Whoever does the work holds a [`ConsumerMeter`] or a [`WorkerMeter`] and counts on atomics;
//! whoever wants to know asks the [`Registry`] for a [`Status`]. The counts balance, see
//! [`ConsumerStatus::imbalance`]: a message that was received is in exactly one of the other
//! numbers.

mod apart;
mod log;
mod meter;
mod registry;
mod screen;
mod status;
mod times;
mod topology;
mod words;

#[cfg(test)]
mod tests;

pub use log::{BadLogFormat, CHILD_TARGET, LogFormat, LogGuard, init};
pub use meter::{ConsumerMeter, Tally, WorkerMeter};
pub use registry::{ConnectionMeter, Registry};
pub use screen::progress;
pub use status::{
    ConfigStatus, ConnectionState, ConsumerState, ConsumerStatus, InForce, LastError, Settled,
    Status, WorkerState, WorkerStatus,
};
pub use times::{RANGES, Times};
pub use topology::{Role, TopologyStatus};
pub use words::{ConnectionRole, Outcome, Reason, RestartReason};
