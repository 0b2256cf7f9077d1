//! What a child reads: by example, and that any message comes through whole.

use std::collections::BTreeMap;

use amq_protocol::protocol::BasicProperties;
use amq_protocol::types::{AMQPValue, DecimalValue, FieldArray, FieldTable, ShortString};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use insta::assert_snapshot;
use proptest::prelude::*;

use super::*;
use crate::model::{BodyAs, Delimiter, Epoch, WireProtocol};
use crate::protocol::{DeliveryId, Envelope, exec_environment};

const JSON: WireProtocol = WireProtocol::Json { body_as: BodyAs::String };
const EMBEDDED: WireProtocol = WireProtocol::Json { body_as: BodyAs::Json };

fn envelope<'a>(properties: &'a BasicProperties, body: &'a [u8]) -> Envelope<'a> {
    Envelope {
        id: DeliveryId { epoch: Epoch(3), tag: 42 },
        attempt: 1,
        redelivered: false,
        queue: "billing",
        exchange: "orders",
        routing_key: "order.created",
        deadline: Some("2026-01-31T12:00:00.000Z"),
        properties,
        body,
    }
}

fn try_encode(
    protocol: WireProtocol,
    properties: &BasicProperties,
    body: &[u8],
) -> Result<String, Unencodable> {
    let mut out = b"before".to_vec();
    let encoded = Encoder::new(protocol).encode(&envelope(properties, body), &mut out);
    let text = String::from_utf8(out).unwrap();
    let text = text.strip_prefix("before").expect("what was there is kept").to_owned();
    match encoded {
        Ok(()) => Ok(text),
        Err(error) => {
            assert_eq!(text, "", "an error leaves nothing behind");
            Err(error)
        }
    }
}

fn encode(protocol: WireProtocol, body: &[u8]) -> String {
    try_encode(protocol, &BasicProperties::default(), body).unwrap()
}

/// From `"properties"` on, where the examples differ.
fn end_of(protocol: WireProtocol, body: &[u8]) -> String {
    let text = encode(protocol, body);
    text[text.find("\"properties\"").unwrap()..].to_owned()
}

fn table(pairs: impl IntoIterator<Item = (&'static str, AMQPValue)>) -> FieldTable {
    pairs
        .into_iter()
        .map(|(key, value)| (ShortString::from(key), value))
        .collect::<BTreeMap<_, _>>()
        .into()
}

#[test]
fn a_message_with_everything() {
    let properties = BasicProperties::default()
        .with_content_type("application/json".into())
        .with_content_encoding("identity".into())
        .with_delivery_mode(2)
        .with_priority(5)
        .with_correlation_id("c-1".into())
        .with_reply_to("answers".into())
        .with_expiration("60000".into())
        .with_message_id("m-1".into())
        .with_timestamp(1_769_860_800)
        .with_type("order".into())
        .with_user_id("guest".into())
        .with_app_id("shop".into())
        .with_cluster_id("eu".into())
        .with_headers(table([("tenant", AMQPValue::LongString("grüße".into()))]));
    assert_snapshot!(try_encode(JSON, &properties, b"{\"n\":1}\n").unwrap(), @r#"
    {"id":"3-42","attempt":1,"redelivered":false,"queue":"billing","exchange":"orders","routing_key":"order.created","deadline":"2026-01-31T12:00:00.000Z","headers":{"tenant":"grüße"},"properties":{"content_type":"application/json","content_encoding":"identity","delivery_mode":2,"priority":5,"correlation_id":"c-1","reply_to":"answers","expiration":"60000","message_id":"m-1","timestamp":1769860800,"type":"order","user_id":"guest","app_id":"shop","cluster_id":"eu"},"body":"{\"n\":1}\n"}
    "#);
}

#[test]
fn a_message_with_nothing() {
    let properties = BasicProperties::default();
    let bare = Envelope {
        exchange: "",
        routing_key: "",
        deadline: None,
        attempt: 7,
        redelivered: true,
        ..envelope(&properties, b"")
    };
    let mut out = Vec::new();
    Encoder::new(JSON).encode(&bare, &mut out).unwrap();
    assert_snapshot!(String::from_utf8(out).unwrap(), @r#"
    {"id":"3-42","attempt":7,"redelivered":true,"queue":"billing","exchange":"","routing_key":"","headers":{},"properties":{},"body":""}
    "#);
}

#[test]
fn every_type_of_header() {
    let headers = table([
        ("bool", AMQPValue::Boolean(true)),
        ("i8", AMQPValue::ShortShortInt(-8)),
        ("u8", AMQPValue::ShortShortUInt(8)),
        ("i16", AMQPValue::ShortInt(-16)),
        ("u16", AMQPValue::ShortUInt(16)),
        ("i32", AMQPValue::LongInt(-32)),
        ("u32", AMQPValue::LongUInt(u32::MAX)),
        ("i64", AMQPValue::LongLongInt(i64::MAX)),
        ("float", AMQPValue::Float(0.1)),
        ("double", AMQPValue::Double(1.0)),
        ("nan", AMQPValue::Double(f64::NAN)),
        ("-inf", AMQPValue::Float(f32::NEG_INFINITY)),
        ("decimal", AMQPValue::DecimalValue(DecimalValue { scale: 2, value: 314 })),
        ("text", AMQPValue::LongString("a\u{2028}\"b\"\\ \u{1b}\u{7f}\u{1f600}".into())),
        ("latin", AMQPValue::LongString(vec![0xe9_u8].into())),
        ("bytes", AMQPValue::ByteArray(vec![0, 1, 2, 255].into())),
        ("time", AMQPValue::Timestamp(1_769_860_800)),
        ("void", AMQPValue::Void),
        ("@bytes", AMQPValue::LongString("no tag".into())),
        (
            "x-death",
            AMQPValue::FieldArray(FieldArray::from(vec![AMQPValue::FieldTable(table([
                ("count", AMQPValue::LongLongInt(1)),
                ("@@", AMQPValue::FieldTable(FieldTable::default())),
            ]))])),
        ),
    ]);
    let properties = BasicProperties::default().with_headers(headers);
    let text = try_encode(JSON, &properties, b"").unwrap();
    let (_, text) = text.split_once("\"headers\":").unwrap();
    let (text, _) = text.split_once(",\"properties\"").unwrap();
    assert_snapshot!(text.replace(",\"", "\n,\""), @r#"
    {"-inf":{"@double":"-inf"}
    ,"@@bytes":"no tag"
    ,"bool":true
    ,"bytes":{"@bytes":"AAEC/w=="}
    ,"decimal":{"@decimal":{"scale":2
    ,"value":314}}
    ,"double":1.0
    ,"float":0.10000000149011612
    ,"i16":-16
    ,"i32":-32
    ,"i64":9223372036854775807
    ,"i8":-8
    ,"latin":{"@string":"6Q=="}
    ,"nan":{"@double":"NaN"}
    ,"text":"a\u2028\"b\"\\ \u001b\u007f😀"
    ,"time":{"@timestamp":1769860800}
    ,"u16":16
    ,"u32":4294967295
    ,"u8":8
    ,"void":null
    ,"x-death":[{"@@@":{}
    ,"count":1}]}
    "#);
}

#[test]
fn bodies() {
    let cases: [(WireProtocol, &[u8]); 12] = [
        (JSON, b"plain"),
        (JSON, b"two\r\nlines\t\0"),
        (JSON, "gr\u{fc}\u{df}e \u{2029}\u{2030}".as_bytes()),
        (JSON, b"{\"n\":1}"),
        (JSON, b"\xff\xfe"),
        (EMBEDDED, b"{\"n\": 1.50, \"n\": 2}"),
        (EMBEDDED, b" [1,\r\n  2]\n"),
        (EMBEDDED, "{\"s\":\"\u{2028}\\n\"}".as_bytes()),
        (EMBEDDED, b"\"text\""),
        (EMBEDDED, b"text"),
        (EMBEDDED, b""),
        (EMBEDDED, b"\xff"),
    ];
    let shown: String = cases.iter().map(|(protocol, body)| end_of(*protocol, body)).collect();
    assert_snapshot!(shown, @r#"
    "properties":{},"body":"plain"}
    "properties":{},"body":"two\r\nlines\t\u0000"}
    "properties":{},"body":"grüße \u2029‰"}
    "properties":{},"body":"{\"n\":1}"}
    "properties":{},"encoding":"base64","body":"//4="}
    "properties":{},"body":{"n": 1.50, "n": 2}}
    "properties":{},"body":[1,    2]}
    "properties":{},"body":{"s":"\u2028\n"}}
    "properties":{},"body":"text"}
    "properties":{},"encoding":"text","body":"text"}
    "properties":{},"encoding":"text","body":""}
    "properties":{},"encoding":"base64","body":"/w=="}
    "#);
}

/// Wherever among others it stands: they are looked at in blocks.
#[test]
fn every_character_that_is_escaped() {
    let special = (0..0x80_u8).map(char::from).chain(['\u{2028}', '\u{2029}', '\u{2030}']);
    for special in special {
        for before in 0..40 {
            let text = "x".repeat(before) + &special.to_string() + &"y".repeat(40 - before);
            let mut out = Vec::new();
            json::string(&text, &mut out);
            let read: String = serde_json::from_slice(&out).expect("a JSON string");
            assert_eq!(read, text);
            let bare = |byte: &u8| *byte < 0x20 || *byte == 0x7f;
            assert!(!out.iter().any(bare), "{special:?} stands for itself");
            let written = str::from_utf8(&out).expect("text");
            assert!(!written.contains(['\u{2028}', '\u{2029}']), "{special:?} stands for itself");
        }
    }
}

#[test]
fn lines_are_the_body_and_the_delimiter() {
    let newline = WireProtocol::Lines { delimiter: Delimiter::Newline };
    let nul = WireProtocol::Lines { delimiter: Delimiter::Nul };
    assert_eq!(encode(newline, b"one"), "one\n");
    assert_eq!(encode(newline, b""), "\n");
    assert_eq!(encode(nul, b"two\nlines"), "two\nlines\0");
    assert_eq!(encode(WireProtocol::Exec, b"two\nlines\0"), "two\nlines\0");
    for (protocol, body, shown) in [(newline, "two\nlines", "a newline"), (nul, "a\0b", "a NUL")] {
        let error = try_encode(protocol, &BasicProperties::default(), body.as_bytes()).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("the body contains {shown}, which ends a message in protocol `lines`")
        );
    }
}

#[test]
fn frames_are_a_line_the_body_and_a_newline() {
    assert_snapshot!(encode(WireProtocol::Frames, b"{\n}"), @r#"
    {"id":"3-42","attempt":1,"redelivered":false,"queue":"billing","exchange":"orders","routing_key":"order.created","deadline":"2026-01-31T12:00:00.000Z","headers":{},"properties":{},"length":3}
    {
    }
    "#);
    assert!(encode(WireProtocol::Frames, b"").ends_with(",\"length\":0}\n\n"));
    let deep = (0..=MAX_HEADER_NESTING)
        .fold(AMQPValue::Void, |value, _| AMQPValue::FieldArray(vec![value].into()));
    let properties = BasicProperties::default().with_headers(table([("deep", deep)]));
    let refused = try_encode(WireProtocol::Frames, &properties, b"never seen");
    assert_eq!(refused, Err(Unencodable::HeadersTooDeep));
}

#[test]
fn headers_nest_so_deep_and_no_deeper() {
    let nested = |levels: usize| {
        let value = (0..levels).fold(AMQPValue::Void, |value, level| match level % 2 {
            0 => AMQPValue::FieldArray(vec![value].into()),
            _ => AMQPValue::FieldTable(table([("t", value)])),
        });
        let properties = BasicProperties::default().with_headers(table([("deep", value)]));
        try_encode(JSON, &properties, b"")
    };
    assert!(nested(MAX_HEADER_NESTING).is_ok());
    assert_eq!(nested(MAX_HEADER_NESTING + 1), Err(Unencodable::HeadersTooDeep));
}

#[test]
fn headers_that_are_refused() {
    let refused: String = [
        "[]",
        "{\"a\":1,\"a\":2}",
        "{\"n\":9223372036854775808}",
        "{\"@bytes\":\"AA==\"}",
        "{\"x\":{\"@bytes\":\"?\"}}",
        "{\"x\":{\"@bytes\":\"AA==\",\"more\":1}}",
        "{\"x\":{\"more\":1,\"@bytes\":\"AA==\"}}",
        "{\"x\":{\"@nonsense\":1}}",
        "{\"x\":{\"@double\":\"1.5\"}}",
    ]
    .map(|text| format!("{text}  =>  {}\n", headers_from_json(text).unwrap_err()))
    .concat();
    assert_snapshot!(refused, @r#"
    []  =>  invalid type: sequence, expected a value that AMQP headers can hold at line 1 column 0
    {"a":1,"a":2}  =>  the key `a` stands twice at line 1 column 10
    {"n":9223372036854775808}  =>  invalid value: integer `9223372036854775808`, expected a 64-bit integer at line 1 column 24
    {"@bytes":"AA=="}  =>  headers must be an object, not one tagged value
    {"x":{"@bytes":"?"}}  =>  bad base64: Invalid symbol 63, offset 0. at line 1 column 19
    {"x":{"@bytes":"AA==","more":1}}  =>  `@bytes` must be the only key of its object; write `@@bytes` for a key that begins with `@` at line 1 column 28
    {"x":{"more":1,"@bytes":"AA=="}}  =>  `@bytes` must be the only key of its object; write `@@bytes` for a key that begins with `@` at line 1 column 31
    {"x":{"@nonsense":1}}  =>  unknown tag `@nonsense`: there are `@bytes`, `@string`, `@timestamp`, `@decimal` and `@double`; write `@@nonsense` for a key that begins with `@` at line 1 column 17
    {"x":{"@double":"1.5"}}  =>  invalid value: string "1.5", expected `NaN`, `inf` or `-inf` at line 1 column 22
    "#);
    assert!(headers_from_json(&format!("{{\"{}\":1}}", "k".repeat(256))).is_err());
    assert!(headers_from_json(&format!("{{\"@@{}\":1}}", "k".repeat(254))).is_ok());
}

#[test]
fn the_environment_of_exec() {
    let properties =
        BasicProperties::default().with_message_id("m-1".into()).with_content_type("a\0b".into());
    let shown: Vec<String> = exec_environment(&envelope(&properties, b"body"))
        .into_iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    assert_snapshot!(shown.join("\n"), @r#"
    WARRENER_ID=3-42
    WARRENER_QUEUE=billing
    WARRENER_EXCHANGE=orders
    WARRENER_ROUTING_KEY=order.created
    WARRENER_ATTEMPT=1
    WARRENER_REDELIVERED=false
    WARRENER_MESSAGE_ID=m-1
    WARRENER_DEADLINE=2026-01-31T12:00:00.000Z
    "#);
}

/// Values that come back exactly: integers in the narrower of the two widths, no NaN (which is
/// unlike itself).
fn value() -> impl Strategy<Value = AMQPValue> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(AMQPValue::Boolean),
        any::<i32>().prop_map(AMQPValue::LongInt),
        (i64::from(i32::MAX) + 1..).prop_map(AMQPValue::LongLongInt),
        (i64::MIN..i64::from(i32::MIN)).prop_map(AMQPValue::LongLongInt),
        any::<f64>().prop_filter("unlike itself", |n| !n.is_nan()).prop_map(AMQPValue::Double),
        (any::<u8>(), any::<u32>())
            .prop_map(|(scale, value)| { AMQPValue::DecimalValue(DecimalValue { scale, value }) }),
        any::<String>().prop_map(|text| AMQPValue::LongString(text.into())),
        any::<Vec<u8>>().prop_map(|bytes| AMQPValue::LongString(bytes.into())),
        any::<Vec<u8>>().prop_map(|bytes| AMQPValue::ByteArray(bytes.into())),
        any::<u64>().prop_map(AMQPValue::Timestamp),
        Just(AMQPValue::Void),
    ];
    leaf.prop_recursive(4, 24, 5, |value| {
        prop_oneof![
            prop::collection::vec(value.clone(), 0..5)
                .prop_map(|values| AMQPValue::FieldArray(values.into())),
            headers(value).prop_map(AMQPValue::FieldTable),
        ]
    })
}

fn headers(value: impl Strategy<Value = AMQPValue>) -> impl Strategy<Value = FieldTable> {
    let key = prop_oneof![
        "[a-z@\u{2028}\"]{0,3}",
        prop::sample::select(vec!["@bytes", "@@bytes", "@", "@double"]).prop_map(str::to_owned),
    ];
    prop::collection::btree_map(key.prop_map(ShortString::from), value, 0..5)
        .prop_map(FieldTable::from)
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        any::<Vec<u8>>(),
        any::<String>().prop_map(String::into_bytes),
        "[\n\r\u{2028}\u{2029}\u{2027}\"\\\\\u{0}-\u{1f}é]{0,20}".prop_map(String::into_bytes),
        "[ \r\n]{0,2}(\\{\"[a-z\u{2028}]{0,3}\":[ \r\n]{0,2}[0-9]{1,3}\\}|[0-9]{1,3})[ \r\n]{0,2}"
            .prop_map(String::into_bytes),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn headers_come_back_as_they_were(headers in headers(value())) {
        let mut out = Vec::new();
        table::table(&headers, MAX_HEADER_NESTING, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        prop_assert_eq!(headers_from_json(&text).unwrap(), headers, "{}", text);
    }

    #[test]
    fn a_message_is_one_line_and_comes_through_whole(
        body in body(),
        headers in headers(value()),
        routing_key: String,
        embedded: bool,
    ) {
        let properties = BasicProperties::default().with_headers(headers.clone());
        let envelope = Envelope { routing_key: &routing_key, ..envelope(&properties, &body) };
        let mut out = Vec::new();
        let protocol = if embedded { EMBEDDED } else { JSON };
        Encoder::new(protocol).encode(&envelope, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();

        let line = text.strip_suffix('\n').unwrap();
        let cut = line.contains(['\n', '\r', '\u{2028}', '\u{2029}']);
        prop_assert!(!cut, "a line reader would cut {:?}", line);

        let message: serde_json::Value = serde_json::from_str(line).unwrap();
        prop_assert_eq!(message["routing_key"].as_str(), Some(routing_key.as_str()));
        prop_assert_eq!(headers_from_json(&message["headers"].to_string()).unwrap(), headers);
        let as_text = || message["body"].as_str().unwrap();
        match message.get("encoding").map(|encoding| encoding.as_str().unwrap()) {
            Some("base64") => {
                prop_assert!(std::str::from_utf8(&body).is_err());
                prop_assert_eq!(STANDARD.decode(as_text()).unwrap(), body);
            }
            Some("text") => {
                prop_assert!(serde_json::from_slice::<serde_json::Value>(&body).is_err());
                prop_assert_eq!(as_text().as_bytes(), body);
            }
            None if embedded => {
                let value: serde_json::Value = serde_json::from_slice(&body).unwrap();
                prop_assert_eq!(&message["body"], &value);
            }
            None => prop_assert_eq!(as_text().as_bytes(), body),
            Some(other) => prop_assert!(false, "encoding {}", other),
        }
    }

    #[test]
    fn frames_can_be_cut_apart_again(bodies in prop::collection::vec(body(), 1..5)) {
        let properties = BasicProperties::default();
        let mut out = Vec::new();
        for body in &bodies {
            let encoder = Encoder::new(WireProtocol::Frames);
            encoder.encode(&envelope(&properties, body), &mut out).unwrap();
        }
        let mut rest = out.as_slice();
        for body in &bodies {
            let end = rest.iter().position(|&byte| byte == b'\n').unwrap();
            let line: serde_json::Value = serde_json::from_slice(&rest[..end]).unwrap();
            let length = usize::try_from(line["length"].as_u64().unwrap()).unwrap();
            rest = &rest[end + 1..];
            prop_assert_eq!(&rest[..length], body.as_slice());
            prop_assert_eq!(rest[length], b'\n');
            rest = &rest[length + 1..];
        }
        prop_assert_eq!(rest, b"");
    }
}
