//! Messages whose headers fill a frame.

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};
use serde_json::json;
use warrener::broker::amqp::encoded_size;

use super::{stack, url};
use crate::support::queue::Outside;

/// Notes for the way back would make its headers larger than a frame, for which the broker ends the
/// connection.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_whose_headers_fill_a_frame_comes_along() {
    let mut stack = stack();
    tokio::task::block_in_place(|| assert_eq!(stack.apply().code, Some(0)));
    let outside = Outside::connect(&url(&stack)).await;
    let wide = |bytes: u64| {
        let text = "x".repeat(usize::try_from(bytes).expect("a length"));
        let mut table = FieldTable::default();
        table.insert("wide".into(), AMQPValue::LongString(text.into()));
        BasicProperties::default().with_headers(table)
    };
    // Beside the 20 bytes of a frame of 128 KiB there is room for the counter of deliveries that a
    // quorum queue adds, but not for notes in the first two.
    let most = (128 << 10) - 20 - encoded_size(&wide(0));
    for (number, spare) in [60, 70, 80, 200, 1000].into_iter().enumerate() {
        let properties = wide(most - spare);
        outside.send(("orders", "order.x"), properties, number.to_string().as_bytes()).await;
    }
    outside.confirmed().await;
    stack.document["queues"]["work"]["type"] = json!("quorum");
    stack.document["queues"]["work"]["on_conflict"] = json!("migrate");
    let applied = tokio::task::block_in_place(|| stack.apply());
    assert_eq!(applied.code, Some(0), "{applied:?}");
    assert!(applied.err.contains("is moved without notes"), "{applied:?}");
    let found = outside.take_all("work").await;
    let bodies: Vec<&str> = found.iter().map(|found| found.body.as_str()).collect();
    assert_eq!(bodies, ["0", "1", "2", "3", "4"]);
    assert!(found.iter().all(|found| found.header("wide").len() > 128_000));
}
