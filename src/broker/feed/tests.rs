//! Lines of a feed.

use insta::assert_snapshot;

use super::FeedLine;

#[test]
fn a_whole_line() {
    let line = r#"{"exchange":"orders","routing_key":"order.created","message_id":"m-1",
        "headers":{"a":1,"b":2.5,"c":"text","d":null,"e":[true,{"f":"g"}]},
        "body":{"id": 1.50,  "name":"Zoë"}}"#;
    let line = FeedLine::parse(line).unwrap();
    let arguments: Vec<_> =
        line.header_arguments().iter().map(|(key, value)| format!("{key}={value}")).collect();
    assert_eq!(arguments.join(" "), r#"a=1 b=2.5 c="text" e=[true,{"f":"g"}]"#);

    let message = line.into_outgoing("elsewhere");
    assert_eq!(
        (message.exchange.as_str(), message.routing_key.as_str()),
        ("orders", "order.created")
    );
    // Not parsed and written again: `1.50` keeps its zero, the blanks stay.
    assert_eq!(String::from_utf8(message.body.to_vec()).unwrap(), r#"{"id": 1.50,  "name":"Zoë"}"#);
    let properties = message.properties;
    assert_eq!(properties.content_type().as_ref().unwrap().as_str(), "application/json");
    assert_eq!(properties.message_id().as_ref().unwrap().as_str(), "m-1");
    assert_eq!(*properties.delivery_mode(), Some(2));
    assert_eq!(properties.headers().as_ref().unwrap().inner().len(), 5);
}

#[test]
fn bodies() {
    let body = |line: &str| FeedLine::parse(line).unwrap().into_outgoing("").body.to_vec();
    assert_eq!(body(r#"{"body":"plain \u0000 text\n"}"#), b"plain \0 text\n");
    assert_eq!(body(r#"{"body":""}"#), b"");
    assert_eq!(body(r#"{"body":null}"#), b"null");
    assert_eq!(body(r#"{"body":"/wAK","encoding":"base64"}"#), [0xff, 0, b'\n']);
    let plain = FeedLine::parse(r#"{"body":"x"}"#).unwrap().into_outgoing("orders");
    assert_eq!(plain.exchange, "orders");
    assert!(plain.properties.content_type().is_none());
    assert!(plain.properties.headers().is_none());
}

#[test]
fn what_is_no_message() {
    let fault = |line: &str| FeedLine::parse(line).unwrap_err().to_string();
    assert_snapshot!(fault("{"), @"EOF while parsing an object at column 1");
    assert_snapshot!(fault("{}"), @"missing field `body` at column 2");
    assert_snapshot!(
        fault(r#"{"bodyy":1}"#),
        @"unknown field `bodyy`, expected one of `exchange`, `routing_key`, `message_id`, `headers`, `encoding`, `body` at column 8"
    );
    assert_snapshot!(fault(r#"{"body":"x","encoding":"gzip"}"#), @"`encoding` can be `base64`, not `gzip`");
    assert_snapshot!(fault(r#"{"body":"?","encoding":"base64"}"#), @"`body` is not base64: Invalid symbol 63, offset 0.");
    assert_snapshot!(fault(r#"{"body":1,"encoding":"base64"}"#), @"a `body` in base64 is a string");
    let long = format!(r#"{{"body":1,"routing_key":"{}"}}"#, "k".repeat(256));
    assert_snapshot!(fault(&long), @"`routing_key` is longer than 255 bytes");
}
