//! A message on its way from the broker to a child.

use std::fmt;

use amq_protocol::protocol::BasicProperties;
use bytes::Bytes;

/// The generation of a worker's channel. Delivery tags start again at 1 on every new channel, so a
/// tag means something only together with the epoch it was given in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Epoch(pub u32);

impl Epoch {
    /// The epoch of the next channel.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One message as the broker delivered it.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The delivery tag, meaningful only on the channel that delivered it.
    pub tag: u64,
    /// Whether the broker has delivered it before.
    pub redelivered: bool,
    /// The exchange it was published to.
    pub exchange: String,
    /// The routing key it was published with.
    pub routing_key: String,
    /// Its properties, headers among them.
    pub properties: BasicProperties,
    /// Its body. A copy is the same bytes.
    pub body: Bytes,
}

/// The headers that Warrener writes. No `x-` prefix: since RabbitMQ 4.0 the broker ignores what a
/// client writes into its own `x-death`.
pub mod headers {
    /// How many tries have failed; absent on a message that was never tried.
    pub const ATTEMPT: &str = "warrener-attempt";
    /// How many children have died over the message; absent where none has.
    pub const CRASHES: &str = "warrener-crashes";
    /// The queue on which the message failed first.
    pub const FIRST_QUEUE: &str = "warrener-first-queue";
    /// Why it failed: a short closed word such as `rejected` or `timeout`.
    pub const REASON: &str = "warrener-reason";
    /// The child's own words, cut.
    pub const ERROR: &str = "warrener-error";
    /// The consumer that failed it.
    pub const CONSUMER: &str = "warrener-consumer";
    /// When, RFC 3339.
    pub const FAILED_AT: &str = "warrener-failed-at";
    /// The exchange it was first published to.
    pub const ORIGINAL_EXCHANGE: &str = "warrener-original-exchange";
    /// The routing key it was first published with.
    pub const ORIGINAL_ROUTING_KEY: &str = "warrener-original-routing-key";
    /// The `expiration` it came with, which would fire again in a retry queue.
    pub const ORIGINAL_EXPIRATION: &str = "warrener-original-expiration";
    /// The `user_id` it came with, which the broker refuses from another user.
    pub const ORIGINAL_USER_ID: &str = "warrener-original-user-id";
    /// The `expiration` of a message whose queue is being made anew, until it is back.
    pub const MOVED_EXPIRATION: &str = "warrener-moved-expiration";
    /// Its `delivery_mode`, likewise.
    pub const MOVED_DELIVERY_MODE: &str = "warrener-moved-delivery-mode";
    /// How often a quorum queue has had the message back, which it writes itself. Published again,
    /// the message would carry a count that is no longer true.
    pub const DELIVERY_COUNT: &str = "x-delivery-count";
}
