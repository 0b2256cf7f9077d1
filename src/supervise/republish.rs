//! What a failed message looks like when it is published again, to a retry queue or to where dead
//! letters go.
//!
//! Its own properties and headers are kept, but for four that would do harm: `CC` and `BCC` would
//! route more copies, `expiration` would fire in the next queue, and a `user_id` other than ours
//! is refused by the broker. The last two are kept under names of ours.

use amq_protocol::protocol::BasicProperties;
use amq_protocol::types::{AMQPValue, FieldTable, ShortString};

use crate::model::{ConsumerName, Delivery, QueueName, headers};

/// `delivery_mode` of a message that survives a restart of the broker.
pub(super) const PERSISTENT: u8 = 2;

/// Longest piece of a child's own words that a header carries, bytes.
const MAX_ERROR: usize = 1024;

/// Why and where a try failed.
#[derive(Clone, Debug)]
pub struct Epitaph<'a> {
    /// Tries that have failed, this one among them.
    pub failed: u32,
    /// Children that have died over the message.
    pub crashes: u32,
    /// A short closed word.
    pub reason: &'a str,
    /// The child's words, if it had any.
    pub error: Option<&'a str>,
    /// Who failed it.
    pub consumer: &'a ConsumerName,
    /// The queue it was taken from.
    pub queue: &'a QueueName,
    /// Now, RFC 3339.
    pub at: &'a str,
}

/// How many tries of this message have failed before. A message that says nonsense, or more than
/// its policy has tries, is believed as far as the policy goes.
pub fn failed_tries(properties: &BasicProperties, most: u32) -> u32 {
    count(properties, headers::ATTEMPT).min(most)
}

/// How many children have died over this message. A message that says more than are allowed is
/// believed as far as to have one more try.
pub fn recorded_crashes(properties: &BasicProperties, allowed: u32) -> u32 {
    count(properties, headers::CRASHES).min(allowed.saturating_sub(1))
}

/// Whether a message that comes from its queue is to be tried alone: children have died over it,
/// or it has come back so often that whole supervisors may have.
pub fn suspicious(properties: &BasicProperties, allowed: u32) -> bool {
    count(properties, headers::CRASHES) > 0 || count(properties, headers::DELIVERY_COUNT) >= allowed
}

/// A header that is a number; 0 where there is none that makes sense.
fn count(properties: &BasicProperties, name: &str) -> u32 {
    let Some(value) = header(properties, name) else { return 0 };
    let count = match *value {
        AMQPValue::ShortShortInt(count) => i64::from(count),
        AMQPValue::ShortShortUInt(count) => i64::from(count),
        AMQPValue::ShortInt(count) => i64::from(count),
        AMQPValue::ShortUInt(count) => i64::from(count),
        AMQPValue::LongInt(count) => i64::from(count),
        AMQPValue::LongUInt(count) => i64::from(count),
        AMQPValue::LongLongInt(count) => count,
        _ => 0,
    };
    u32::try_from(count.max(0)).unwrap_or(u32::MAX)
}

/// The exchange and routing key that the message was first published with. A message that comes
/// back from a retry queue carries the retry queue's own on the wire.
pub fn first_address(delivery: &Delivery) -> (&str, &str) {
    let original = |name| match header(&delivery.properties, name) {
        Some(AMQPValue::LongString(text)) => std::str::from_utf8(text.as_bytes()).ok(),
        _ => None,
    };
    (
        original(headers::ORIGINAL_EXCHANGE).unwrap_or(&delivery.exchange),
        original(headers::ORIGINAL_ROUTING_KEY).unwrap_or(&delivery.routing_key),
    )
}

/// The properties to publish the message again with.
pub fn republished(delivery: &Delivery, epitaph: &Epitaph<'_>) -> BasicProperties {
    let old = &delivery.properties;
    let mut table = harmless(old);
    let (exchange, routing_key) = first_address(delivery);
    let (exchange, routing_key) = (exchange.to_owned(), routing_key.to_owned());
    let mut set = |name: &'static str, value: AMQPValue| {
        table.insert(name.into(), value);
    };
    set(headers::ATTEMPT, AMQPValue::LongInt(i32::try_from(epitaph.failed).unwrap_or(i32::MAX)));
    if epitaph.crashes > 0 {
        let crashes = i32::try_from(epitaph.crashes).unwrap_or(i32::MAX);
        set(headers::CRASHES, AMQPValue::LongInt(crashes));
    }
    set(headers::REASON, text(epitaph.reason));
    set(headers::ERROR, text(cut(epitaph.error.unwrap_or_default())));
    set(headers::CONSUMER, text(epitaph.consumer.as_str()));
    set(headers::FAILED_AT, text(epitaph.at));
    set(headers::ORIGINAL_EXCHANGE, text(&exchange));
    set(headers::ORIGINAL_ROUTING_KEY, text(&routing_key));
    if let Some(expiration) = old.expiration() {
        set(headers::ORIGINAL_EXPIRATION, text(expiration.as_str()));
    }
    if let Some(user) = old.user_id() {
        set(headers::ORIGINAL_USER_ID, text(user.as_str()));
    }
    if !table.inner().contains_key(headers::FIRST_QUEUE) {
        table.insert(headers::FIRST_QUEUE.into(), text(epitaph.queue.as_str()));
    }
    with_table(old, table)
}

/// The same without a word of ours, for a message whose headers leave no room for any: it takes
/// no more than it took on its way here.
pub fn republished_bare(delivery: &Delivery) -> BasicProperties {
    with_table(&delivery.properties, harmless(&delivery.properties))
}

/// The headers without those that would route more copies.
fn harmless(old: &BasicProperties) -> FieldTable {
    let table = old.headers().clone().unwrap_or_default();
    ["CC", "BCC", headers::DELIVERY_COUNT].into_iter().fold(table, without)
}

/// The old properties, as far as they do no harm, with these headers.
fn with_table(old: &BasicProperties, table: FieldTable) -> BasicProperties {
    plain(old).with_headers(table).with_delivery_mode(PERSISTENT)
}

/// The properties but for headers, delivery mode, expiration and user.
pub(super) fn plain(old: &BasicProperties) -> BasicProperties {
    let mut new = BasicProperties::default();
    macro_rules! keep {
        ($($get:ident => $with:ident),+) => {
            $(if let Some(value) = old.$get() { new = new.$with(value.clone()); })+
        };
    }
    keep!(
        content_type => with_content_type,
        content_encoding => with_content_encoding,
        priority => with_priority,
        correlation_id => with_correlation_id,
        reply_to => with_reply_to,
        message_id => with_message_id,
        timestamp => with_timestamp,
        kind => with_type,
        app_id => with_app_id,
        cluster_id => with_cluster_id
    );
    new
}

pub(super) fn header<'a>(properties: &'a BasicProperties, name: &str) -> Option<&'a AMQPValue> {
    properties.headers().as_ref()?.inner().get(name)
}

pub(super) fn without(table: FieldTable, name: &str) -> FieldTable {
    if !table.inner().contains_key(name) {
        return table;
    }
    let mut left = FieldTable::default();
    for (key, value) in table.inner() {
        if key.as_str() != name {
            left.insert(ShortString::from(key.as_str()), value.clone());
        }
    }
    left
}

pub(super) fn text(text: &str) -> AMQPValue {
    AMQPValue::LongString(text.into())
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_ERROR)]
}
