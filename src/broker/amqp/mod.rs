//! AMQP 0-9-1: connections as our own state machine, subscriptions, settling, publishing.
//!
//! What this room promises to the others:
//!
//! - Every call to the broker is time-limited; one that does not come back costs its channel, and
//!   where it was to open one, the connection.
//! - lapin's automatic recovery is off. It restarts delivery tags on a channel that looks the
//!   same, so that an old tag can settle a new message; here a lost channel is gone, and whoever
//!   used it opens the next under a new [`crate::model::Epoch`].
//! - Consuming, publishing and topology each have connections of their own: an alarm makes the
//!   broker stop reading from connections that publish, and acks must not wait behind that.

mod backlog;
mod channel;
mod connect;
mod dialler;
mod dialling;
mod link;
mod pool;
mod publisher;
mod settle;
mod stream;
mod subscription;

pub use backlog::Backlog;
pub use channel::OwnedChannel;
pub use connect::{CALL_TIMEOUT, ConnectError, ConnectErrorKind, Wire, connect};
pub use dialler::Dialler;
pub use dialling::{Dialling, Pass};
pub use link::{Link, LinkState, Outage};
pub use pool::{Lease, LinkPool};
pub use publisher::{Outgoing, PublishError, Publisher, encoded_size, fits_frame};
pub(crate) use subscription::from_lapin;
pub use subscription::{Incoming, Pausing, SubscribeError, Subscription};
