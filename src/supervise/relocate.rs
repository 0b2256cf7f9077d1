//! A message on its way out of a queue that is made anew, and back into it.
//!
//! It must not expire on the way, must survive a restart of the broker while it waits, and must come
//! back as it was. It is published through exchanges that lead to one queue whatever the key, so its
//! routing key and `CC` stay and route nothing; the exchange it came from stays as a header, where
//! [`first_address`](super::first_address) finds it. The broker takes a `user_id` from nobody but
//! that user, so it becomes a header for good.

use amq_protocol::protocol::BasicProperties;
use amq_protocol::types::AMQPValue;

use super::republish::{PERSISTENT, header, plain, text, without};
use crate::model::{Delivery, headers};

/// The properties to wait with.
pub fn packed(delivery: &Delivery) -> BasicProperties {
    let old = &delivery.properties;
    let mut table = without(old.headers().clone().unwrap_or_default(), headers::DELIVERY_COUNT);
    let mut set = |name: &'static str, value: AMQPValue| {
        table.insert(name.into(), value);
    };
    if header(old, headers::ORIGINAL_EXCHANGE).is_none() {
        set(headers::ORIGINAL_EXCHANGE, text(&delivery.exchange));
    }
    if let Some(expiration) = old.expiration() {
        set(headers::MOVED_EXPIRATION, text(expiration.as_str()));
    }
    let mode = old.delivery_mode().map_or_else(String::new, |mode| mode.to_string());
    set(headers::MOVED_DELIVERY_MODE, text(&mode));
    if let Some(user) = old.user_id() {
        set(headers::ORIGINAL_USER_ID, text(user.as_str()));
    }
    plain(old).with_headers(table).with_delivery_mode(PERSISTENT)
}

/// The properties of a message whose own fill the frame in which they travel, so that there is no
/// room for notes: without those, and without what the broker would refuse or what would have it
/// expire on the way. Not one byte is added.
pub fn bare(delivery: &Delivery) -> BasicProperties {
    let old = &delivery.properties;
    let table = without(old.headers().clone().unwrap_or_default(), headers::DELIVERY_COUNT);
    let bare = plain(old).with_headers(table);
    match *old.delivery_mode() {
        Some(mode) => bare.with_delivery_mode(mode),
        None => bare,
    }
}

/// Whether a message carries the notes of [`packed`].
pub fn is_packed(delivery: &Delivery) -> bool {
    header(&delivery.properties, headers::MOVED_DELIVERY_MODE).is_some()
}

/// The properties to be back with. One that never waited stays as it is, but for what the broker
/// refuses.
pub fn unpacked(delivery: &Delivery) -> BasicProperties {
    let old = &delivery.properties;
    let mut table = without(old.headers().clone().unwrap_or_default(), headers::DELIVERY_COUNT);
    let mut new = plain(old);
    let kept = |name| match header(old, name) {
        Some(AMQPValue::LongString(text)) => {
            Some(String::from_utf8_lossy(text.as_bytes()).into_owned())
        }
        _ => None,
    };
    let expiration = kept(headers::MOVED_EXPIRATION).map(Into::into);
    if let Some(expiration) = expiration.or_else(|| old.expiration().clone()) {
        new = new.with_expiration(expiration);
    }
    let mode = match kept(headers::MOVED_DELIVERY_MODE) {
        Some(mode) => mode.parse().ok(),
        None => *old.delivery_mode(),
    };
    if let Some(mode) = mode {
        new = new.with_delivery_mode(mode);
    }
    if header(old, headers::ORIGINAL_EXCHANGE).is_none() {
        table.insert(headers::ORIGINAL_EXCHANGE.into(), text(&delivery.exchange));
    }
    if let Some(user) = old.user_id() {
        table.insert(headers::ORIGINAL_USER_ID.into(), text(user.as_str()));
    }
    for name in [headers::MOVED_EXPIRATION, headers::MOVED_DELIVERY_MODE] {
        table = without(table, name);
    }
    new.with_headers(table)
}
