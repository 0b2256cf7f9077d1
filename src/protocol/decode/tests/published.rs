//! The output of answers: what it says, what is refused, and its limits.

use insta::assert_snapshot;

use super::{decode, table};
use crate::protocol::{Content, MAX_PUBLICATIONS, MAX_PUBLISHED_HEADERS, Output};

/// Where each message of an output goes and what it is.
pub(super) fn published(output: &Output) -> String {
    let content = |content: &Content| {
        let properties = &content.properties;
        let kind = properties.content_type().as_ref().map_or("", |kind| kind.as_str());
        let headers = properties.headers().as_ref().map_or(0, |table| table.inner().len());
        let mode = properties.delivery_mode().unwrap_or_default();
        let text =
            format!("`{}` mode {mode} headers {headers} {kind}", content.body.escape_ascii());
        text.trim_end().to_owned()
    };
    let mut all: Vec<String> = output
        .publish
        .iter()
        .map(|one| format!("{}/{} {}", one.exchange, one.routing_key, content(&one.content)))
        .collect();
    all.extend(output.reply.iter().map(|reply| format!("reply {}", content(reply))));
    all.join("; ")
}

#[test]
fn answers_with_output() {
    assert_snapshot!(table(
        r#"
        {"result":"ack","publish":[{"exchange":"x","routing_key":"k","body":"é\n"},{"body":"AP8=","encoding":"base64","routing_key":"q"}]}
        {"id":"3-42","result":"ack","publish":[{"body":{"n": 1},"headers":{"a":1,"b":{"@bytes":"AA=="}}}],"reply":{"body":[ ]}}
        {"result":"ack","reply":{"body":{},"properties":{"content_type":"x/y","delivery_mode":1,"priority":9,"expiration":"60000","timestamp":7,"type":"t"},"headers":null}}
        {"result":"nack","publish":[{"body":""}]}
        {"result":"requeue","reply":{"body":""}}
        {"extend":"1s","reply":{"body":""}}
        {"id":"3-42","result":"ack","multiple":true,"reply":{"body":""}}
        {"result":"ack","publish":{"body":""}}
        {"result":"ack","publish":["x"]}
        {"result":"ack","publish":[{"body":"","routingkey":"typo"}]}
        {"result":"ack","publish":[{"body":"","body":""}]}
        {"result":"ack","reply":"x"}
        {"result":"ack","reply":{"body":"","routing_key":"k"}}
        {"result":"ack","publish":[{"routing_key":"k"}]}
        {"result":"ack","publish":[{"body":"?","encoding":"base64"}]}
        {"result":"ack","publish":[{"body":"x","encoding":"gzip"}]}
        {"result":"ack","publish":[{"body":1,"encoding":"base64"}]}
        {"result":"ack","publish":[{"body":"\udc80"}]}
        {"result":"ack","reply":{"body":"","headers":[]}}
        {"result":"ack","reply":{"body":"","headers":{"a":{"@what":1}}}}
        {"result":"ack","reply":{"body":"","properties":{"contenttype":"x"}}}
        {"result":"ack","reply":{"body":"","properties":{"delivery_mode":3}}}
        {"result":"ack","reply":{"body":"","properties":{"expiration":"1m"}}}
        {"result":"ack","reply":{"body":"","properties":{"priority":256}}}
        "#
    ), @r#"
    {"result":"ack","publish":[{"exchange":"x","routing_key":"k","body":"é\n"},{"body":"AP8=","encoding":"base64","routing_key":"q"}]}  =>  oldest: Ack after x/k `\xc3\xa9\n` mode 2 headers 0; /q `\x00\xff` mode 2 headers 0
    {"id":"3-42","result":"ack","publish":[{"body":{"n": 1},"headers":{"a":1,"b":{"@bytes":"AA=="}}}],"reply":{"body":[ ]}}  =>  3-42: Ack after / `{\"n\": 1}` mode 2 headers 2 application/json; reply `[ ]` mode 2 headers 0 application/json
    {"result":"ack","reply":{"body":{},"properties":{"content_type":"x/y","delivery_mode":1,"priority":9,"expiration":"60000","timestamp":7,"type":"t"},"headers":null}}  =>  oldest: Ack after reply `{}` mode 1 headers 0 x/y
    {"result":"nack","publish":[{"body":""}]}  =>  FAULT Output(Stray)
    {"result":"requeue","reply":{"body":""}}  =>  FAULT Output(Stray)
    {"extend":"1s","reply":{"body":""}}  =>  FAULT Output(Stray)
    {"id":"3-42","result":"ack","multiple":true,"reply":{"body":""}}  =>  FAULT Output(Stray)
    {"result":"ack","publish":{"body":""}}  =>  FAULT Output(Shape)
    {"result":"ack","publish":["x"]}  =>  FAULT Output(Shape)
    {"result":"ack","publish":[{"body":"","routingkey":"typo"}]}  =>  FAULT Output(Shape)
    {"result":"ack","publish":[{"body":"","body":""}]}  =>  FAULT Output(Shape)
    {"result":"ack","reply":"x"}  =>  FAULT Output(Shape)
    {"result":"ack","reply":{"body":"","routing_key":"k"}}  =>  FAULT Output(Shape)
    {"result":"ack","publish":[{"routing_key":"k"}]}  =>  FAULT Output(Body)
    {"result":"ack","publish":[{"body":"?","encoding":"base64"}]}  =>  FAULT Output(Body)
    {"result":"ack","publish":[{"body":"x","encoding":"gzip"}]}  =>  FAULT Output(Body)
    {"result":"ack","publish":[{"body":1,"encoding":"base64"}]}  =>  FAULT Output(Body)
    {"result":"ack","publish":[{"body":"\udc80"}]}  =>  FAULT Output(Body)
    {"result":"ack","reply":{"body":"","headers":[]}}  =>  FAULT Output(Headers)
    {"result":"ack","reply":{"body":"","headers":{"a":{"@what":1}}}}  =>  FAULT Output(Headers)
    {"result":"ack","reply":{"body":"","properties":{"contenttype":"x"}}}  =>  FAULT Output(Properties)
    {"result":"ack","reply":{"body":"","properties":{"delivery_mode":3}}}  =>  FAULT Output(Properties)
    {"result":"ack","reply":{"body":"","properties":{"expiration":"1m"}}}  =>  FAULT Output(Properties)
    {"result":"ack","reply":{"body":"","properties":{"priority":256}}}  =>  FAULT Output(Properties)
    "#);
}

#[test]
fn output_has_limits() {
    let read = |line: String| decode(&[line.as_bytes(), b"\n"], 1 << 24).remove(0);
    let many = |count: usize| {
        let all = vec!["{\"body\":\"\"}"; count].join(",");
        read(format!("{{\"result\":\"ack\",\"publish\":[{all}]}}"))
    };
    assert!(many(MAX_PUBLICATIONS).starts_with("oldest: Ack after"));
    assert_eq!(many(MAX_PUBLICATIONS + 1), "FAULT Output(TooMany)");
    let addressed = |length: usize| {
        let key = "k".repeat(length);
        read(format!(r#"{{"result":"ack","publish":[{{"body":"","routing_key":"{key}"}}]}}"#))
    };
    assert!(addressed(255).starts_with("oldest: Ack after"));
    assert_eq!(addressed(256), "FAULT Output(Address)");
    let headed = |length: usize| {
        let value = "v".repeat(length);
        read(format!(r#"{{"result":"ack","reply":{{"body":"","headers":{{"k":"{value}"}}}}}}"#))
    };
    assert!(headed(MAX_PUBLISHED_HEADERS - 8).starts_with("oldest: Ack after"));
    assert_eq!(headed(MAX_PUBLISHED_HEADERS - 7), "FAULT Output(TooLong)");
}

/// What the cap on headers is for: whatever fits it in JSON fits a frame of 128 KiB.
#[test]
fn headers_grow_less_than_threefold() {
    for value in
        ["0", "null", "[]", "{}", "1e9", "true", "\"\"", "{\"\":0}", "[0,0,0,0,0,0]", "4294967296"]
    {
        let json = format!("[{}]", vec![value; 1000].join(","));
        let table = crate::protocol::headers_from_json(&format!("{{\"k\":{json}}}")).unwrap();
        let mut bytes = Vec::new();
        let gen_table = amq_protocol::types::generation::gen_field_table(&table);
        gen_table(Vec::<u8>::new().into()).map(|context| bytes = context.write).unwrap();
        assert!(bytes.len() < 3 * json.len(), "{value}: {} of {}", bytes.len(), json.len());
    }
}
