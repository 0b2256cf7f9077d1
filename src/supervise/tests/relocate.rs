//! What a message is like while its queue is made anew, and afterwards.

use amq_protocol::protocol::BasicProperties;
use amq_protocol::types::{AMQPValue, FieldTable};

use crate::model::{Delivery, headers};
use crate::supervise::{first_address, packed, unpacked};

fn delivery(exchange: &str, properties: BasicProperties) -> Delivery {
    Delivery {
        tag: 1,
        redelivered: false,
        exchange: exchange.into(),
        routing_key: "order.created".into(),
        properties,
        body: b"{}".as_slice().into(),
    }
}

fn original() -> BasicProperties {
    let mut table = FieldTable::default();
    table.insert("CC".into(), AMQPValue::LongString("elsewhere".into()));
    table.insert("traceparent".into(), AMQPValue::LongString("00-ab-cd-01".into()));
    BasicProperties::default()
        .with_headers(table)
        .with_expiration("5000".into())
        .with_delivery_mode(1)
        .with_priority(7)
        .with_message_id("m1".into())
        .with_type("order".into())
        .with_timestamp(42)
}

#[test]
fn nothing_expires_on_the_way_and_everything_comes_back() {
    let waiting = packed(&delivery("orders", original()));
    assert_eq!((waiting.expiration(), waiting.delivery_mode()), (&None, &Some(2)));
    assert_eq!(waiting.priority(), &Some(7));
    let back = unpacked(&delivery("warrener.migrate.q.out", waiting));
    let mut table = original().headers().clone().unwrap();
    table.insert(headers::ORIGINAL_EXCHANGE.into(), AMQPValue::LongString("orders".into()));
    assert_eq!(back, original().with_headers(table));
    let back = delivery("warrener.migrate.q.back", back);
    assert_eq!(first_address(&back), ("orders", "order.created"));
    // Moved once more, it is still what it was.
    assert_eq!(unpacked(&delivery("x", packed(&back))), back.properties);
}

#[test]
fn what_only_passes_by_stays_as_it_is() {
    let mut table = FieldTable::default();
    table.insert(headers::ORIGINAL_EXCHANGE.into(), AMQPValue::LongString("orders".into()));
    let retried = BasicProperties::default().with_headers(table).with_delivery_mode(2);
    assert_eq!(unpacked(&delivery("", retried.clone())), retried);
    let bare = unpacked(&delivery("orders", BasicProperties::default()));
    assert_eq!((bare.delivery_mode(), bare.expiration()), (&None, &None));
    // One without a delivery mode has none again.
    let waiting = packed(&delivery("orders", BasicProperties::default()));
    assert_eq!(waiting.delivery_mode(), &Some(2));
    assert_eq!(unpacked(&delivery("x", waiting)), bare);
}

#[test]
fn a_user_that_the_broker_would_refuse_is_kept_as_a_header() {
    let theirs = BasicProperties::default().with_user_id("alice".into());
    for properties in [packed(&delivery("e", theirs.clone())), unpacked(&delivery("e", theirs))] {
        assert_eq!(properties.user_id(), &None);
        let table = properties.headers().as_ref().unwrap().inner();
        let user = AMQPValue::LongString("alice".into());
        assert_eq!(table.get(headers::ORIGINAL_USER_ID), Some(&user));
    }
}
