//! What is kept and what is changed when a message is published again.

use amq_protocol::protocol::BasicProperties;
use amq_protocol::types::{AMQPValue, FieldTable};

use crate::model::{ConsumerName, Delivery, QueueName};
use crate::supervise::{
    Epitaph, failed_tries, first_address, recorded_crashes, republished, suspicious,
};

fn delivery(properties: BasicProperties) -> Delivery {
    Delivery {
        tag: 1,
        redelivered: false,
        exchange: "orders".into(),
        routing_key: "order.created".into(),
        properties,
        body: b"{}".as_slice().into(),
    }
}

fn again(delivery: &Delivery, failed: u32) -> BasicProperties {
    let consumer = ConsumerName::new("billing").unwrap();
    let queue = QueueName::new("billing").unwrap();
    let epitaph = Epitaph {
        failed,
        crashes: 0,
        reason: "failed",
        error: Some("no such customer"),
        consumer: &consumer,
        queue: &queue,
        at: "2026-01-31T12:00:00Z",
    };
    republished(delivery, &epitaph)
}

fn header(properties: &BasicProperties, name: &str) -> Option<String> {
    match properties.headers().as_ref()?.inner().get(name)? {
        AMQPValue::LongString(text) => Some(text.to_string()),
        other => Some(format!("{other:?}")),
    }
}

#[test]
fn what_would_do_harm_is_taken_off_and_kept_under_another_name() {
    let mut table = FieldTable::default();
    table.insert("CC".into(), AMQPValue::LongString("elsewhere".into()));
    table.insert("BCC".into(), AMQPValue::LongString("elsewhere".into()));
    table.insert("traceparent".into(), AMQPValue::LongString("00-ab-cd-01".into()));
    let properties = BasicProperties::default()
        .with_headers(table)
        .with_expiration("5000".into())
        .with_user_id("alice".into())
        .with_message_id("m-1".into())
        .with_priority(7)
        .with_type("order".into());
    let new = again(&delivery(properties), 1);
    assert_eq!(header(&new, "CC"), None);
    assert_eq!(header(&new, "BCC"), None);
    assert_eq!(header(&new, "traceparent").as_deref(), Some("00-ab-cd-01"));
    assert_eq!(new.expiration(), &None);
    assert_eq!(new.user_id(), &None);
    assert_eq!(header(&new, "warrener-original-expiration").as_deref(), Some("5000"));
    assert_eq!(header(&new, "warrener-original-user-id").as_deref(), Some("alice"));
    assert_eq!(new.message_id(), &Some("m-1".into()));
    assert_eq!(new.priority(), &Some(7));
    assert_eq!(new.kind(), &Some("order".into()));
    assert_eq!(new.delivery_mode(), &Some(2));
    assert_eq!(header(&new, "warrener-reason").as_deref(), Some("failed"));
    assert_eq!(header(&new, "warrener-error").as_deref(), Some("no such customer"));
}

#[test]
fn the_first_address_and_queue_survive_any_number_of_retries() {
    let mut message = delivery(BasicProperties::default());
    for failed in 1..4 {
        message.properties = again(&message, failed);
        message.exchange = String::new();
        message.routing_key = "somewhere".into();
        assert_eq!(first_address(&message), ("orders", "order.created"));
        assert_eq!(header(&message.properties, "warrener-first-queue").as_deref(), Some("billing"));
        assert_eq!(failed_tries(&message.properties, 10), failed);
    }
}

#[test]
fn a_forged_count_is_believed_only_as_far_as_the_policy_goes() {
    let with = |value: AMQPValue| {
        let mut table = FieldTable::default();
        table.insert("warrener-attempt".into(), value);
        failed_tries(&BasicProperties::default().with_headers(table), 3)
    };
    assert_eq!(with(AMQPValue::LongInt(2)), 2);
    assert_eq!(with(AMQPValue::LongLongInt(i64::MAX)), 3);
    assert_eq!(with(AMQPValue::LongInt(-5)), 0);
    assert_eq!(with(AMQPValue::LongString("2".into())), 0);
    assert_eq!(with(AMQPValue::ShortShortUInt(1)), 1);
    assert_eq!(failed_tries(&BasicProperties::default(), 3), 0);
}

#[test]
fn a_record_of_crashes_is_believed_as_far_as_one_more_try() {
    let with = |name: &str, value| {
        let mut table = FieldTable::default();
        table.insert(name.into(), value);
        BasicProperties::default().with_headers(table)
    };
    let crashed = |count| with("warrener-crashes", AMQPValue::LongInt(count));
    for (count, believed) in [(-1, 0), (0, 0), (1, 1), (2, 2), (3, 2), (i32::MAX, 2)] {
        assert_eq!(recorded_crashes(&crashed(count), 3), believed, "{count}");
        assert_eq!(suspicious(&crashed(count), 3), count > 0, "{count}");
    }
    assert_eq!(recorded_crashes(&crashed(9), 1), 0);
    let came_back = |count| with("x-delivery-count", AMQPValue::LongLongInt(count));
    assert!(!suspicious(&came_back(2), 3) && suspicious(&came_back(3), 3));
    assert!(!suspicious(&BasicProperties::default(), 1));
    // The count of the broker is of the queue that it was in.
    assert_eq!(header(&again(&delivery(came_back(7)), 1), "x-delivery-count"), None);
}

#[test]
fn crashes_are_written_where_there_are_any() {
    assert_eq!(header(&again(&delivery(BasicProperties::default()), 1), "warrener-crashes"), None);
    let consumer = ConsumerName::new("billing").unwrap();
    let queue = QueueName::new("billing").unwrap();
    let epitaph = Epitaph {
        failed: 2,
        crashes: 2,
        reason: "crashed",
        error: None,
        consumer: &consumer,
        queue: &queue,
        at: "2026-01-31T12:00:00Z",
    };
    let new = republished(&delivery(BasicProperties::default()), &epitaph);
    assert_eq!(header(&new, "warrener-crashes").as_deref(), Some("LongInt(2)"));
}
