//! Messages that are odd, hostile or too large: each reaches the child as it is or goes where dead
//! letters go, and none of them does harm on the way.

use std::fs;
use std::time::Duration;

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldArray, FieldTable};
use serde_json::Value;

use crate::support::case::{Case, QUEUES, consumer};
use crate::support::supervisor::{PATIENCE, wait_until};

/// How long a stop may take whose grace time is 3 s.
const STOPPED: Duration = Duration::from_secs(8);

/// Writes each message as it came to the file `seen`; then acks it, or does what its
/// `content_type` says.
const RECORDER: &str = r#"
import json, sys
seen = open("seen", "a", buffering=1)
for line in sys.stdin:
    message = json.loads(line)
    seen.write(line)
    verdict = message["properties"].get("content_type", "ack")
    print(json.dumps({"id": message["id"], "result": verdict}), flush=True)
"#;

async fn recording(more: &str) -> Case {
    let mut case = Case::prepare().await;
    case.supervisor.write("recorder.py", RECORDER);
    case.start(&format!("command: [python3, recorder.py]\nstop: {{ grace: 3s }}\n{more}"));
    case.supervisor.wait_for("started: topology");
    case
}

/// Publishes one message to an exchange, and waits for the confirm.
async fn publish(case: &Case, to: (&str, &str), properties: BasicProperties, body: &[u8]) {
    case.outside.send(to, properties, body).await;
    case.outside.confirmed().await;
}

/// What the child has been given, parsed.
fn seen(case: &Case) -> Vec<Value> {
    let text = fs::read_to_string(case.supervisor.path("seen")).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

fn text(text: &str) -> AMQPValue {
    AMQPValue::LongString(text.into())
}

fn table<const N: usize>(entries: [(&str, AMQPValue); N]) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in entries {
        table.insert(name.into(), value);
    }
    table
}

fn plain() -> BasicProperties {
    BasicProperties::default().with_delivery_mode(2)
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_message_is_it_comes_to_the_child_as_it_is() {
    let mut case = recording("").await;
    let gzip = b"\x1f\x8b\x08\0\0\0\0\0\0\x03 not really";
    let ancient = i64::from(i32::MAX);
    let odd: [(BasicProperties, &[u8]); 8] = [
        (plain(), b""),
        (plain(), b"a\nb\0c"),
        (plain().with_content_encoding("gzip".into()), gzip),
        (plain().with_headers(table([("traceparent", text("not a trace"))])), b"trace"),
        // Far ahead of any clock.
        (plain().with_timestamp(9_999_999_999), b"future"),
        (plain().with_message_id("twin".into()), b"twin 1"),
        (plain().with_message_id("twin".into()), b"twin 2"),
        (plain().with_headers(table([("n", AMQPValue::LongLongInt(ancient << 31))])), b"wide"),
    ];
    for (properties, body) in &odd {
        publish(&case, ("", "work"), properties.clone(), body).await;
    }
    wait_until("all to be seen", PATIENCE, || seen(&case).len() == odd.len());
    let books = case.stop(STOPPED);
    assert_eq!((books.count("acked"), books.count("protocol_errors")), (odd.len() as u64, 0));
    let seen = seen(&case);
    let bodies: Vec<_> = seen.iter().map(|message| message["body"].as_str().unwrap()).collect();
    let packed = "H4sIAAAAAAAAAyBub3QgcmVhbGx5";
    assert_eq!(bodies, ["", "a\nb\0c", packed, "trace", "future", "twin 1", "twin 2", "wide"]);
    assert_eq!(seen[2]["encoding"], "base64", "nothing is unpacked");
    assert_eq!(seen[2]["properties"]["content_encoding"], "gzip");
    assert_eq!(seen[3]["headers"]["traceparent"], "not a trace");
    assert_eq!(seen[4]["properties"]["timestamp"], 9_999_999_999_u64);
    assert_eq!(seen[7]["headers"]["n"], ancient << 31);
    assert!(seen[0]["properties"].get("message_id").is_none());
    case.outside.wait_for_depth("dead", 0, PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_largest_body_passes_and_one_byte_more_is_seen_by_no_child() {
    // From 4.0 the broker itself takes no more than 16 MiB.
    let mut case = recording("prefetch: 2\ntimeout: 20s\nmax_message: 15MiB\n").await;
    let limit = 15 << 20;
    publish(&case, ("", "work"), plain(), &vec![b'x'; limit]).await;
    publish(&case, ("", "work"), plain(), &vec![b'x'; limit + 1]).await;
    case.outside.wait_for_depth("dead", 1, PATIENCE).await;
    case.wait_settled();
    let dead = case.outside.take_all("dead").await;
    assert_eq!(dead[0].body.len(), limit + 1, "it is kept whole");
    assert_eq!(dead[0].header("warrener-reason"), "too_large");
    let books = case.stop(STOPPED);
    assert_eq!((books.count("acked"), books.count("dead_lettered")), (1, 1));
    let lengths: Vec<_> = seen(&case).iter().map(|m| m["body"].as_str().unwrap().len()).collect();
    assert_eq!(lengths, [limit]);
}

/// What routes, expires or is refused once more must not come along when a message is published
/// again.
#[tokio::test(flavor = "multi_thread")]
async fn a_retry_copies_no_message_lets_none_expire_and_is_not_refused() {
    let mut case = Case::prepare().await;
    case.supervisor.write("recorder.py", RECORDER);
    let keys =
        "command: [python3, recorder.py]\nretry: { delays: [1500ms] }\nstop: { grace: 3s }\n";
    case.write(&format!(
        "{QUEUES}  copies: {{}}\nconsumers:\n{}",
        consumer("worker", "work", keys)
    ));
    case.supervisor.start();
    case.supervisor.wait_for("started: topology");
    let copies = || {
        let mut list = FieldArray::default();
        list.push(text("copies"));
        AMQPValue::FieldArray(list)
    };
    let nacked = || plain().with_content_type("nack".into());
    let copied = nacked().with_headers(table([
        ("CC", copies()),
        ("BCC", copies()),
        ("warrener-attempt", AMQPValue::LongLongInt(-7)),
    ]));
    publish(&case, ("", "work"), copied, b"copied").await;
    // It would expire in the pause before the second try; its user is not who publishes it again.
    let expiring = nacked().with_expiration("1000".into()).with_user_id("guest".into());
    publish(&case, ("", "work"), expiring, b"expiring").await;
    case.outside.wait_for_depth("dead", 2, PATIENCE).await;
    let books = case.stop(STOPPED);
    assert_eq!((books.count("retried"), books.count("dead_lettered")), (2, 2));
    // A queue gets one copy, however often it is named; this one is of the first publish.
    assert_eq!(case.outside.depth("copies").await, Some(1));
    let mut tries: Vec<_> = seen(&case)
        .iter()
        .map(|message| format!("{} {}", message["body"].as_str().unwrap(), message["attempt"]))
        .collect();
    tries.sort();
    assert_eq!(tries, ["copied 1", "copied 2", "expiring 1", "expiring 2"]);
    let dead = case.outside.take_all("dead").await;
    let dead = dead.iter().find(|dead| dead.body == "expiring").expect("it did not expire");
    assert_eq!(dead.header("warrener-original-user-id"), "guest");
    assert_eq!(dead.header("warrener-original-expiration"), "1000");
    assert_eq!(dead.header("warrener-attempt"), "2");
    assert!(dead.properties.expiration().is_none() && dead.properties.user_id().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_routing_key_or_reason_cannot_write_into_a_terminal_or_the_log() {
    let keys = "protocol: exec\nshell: 'printf %s \"$$WARRENER_ROUTING_KEY\" > key; printf \"\\033[31mred\\nforged: line\" >&2; exit 3'\nstop: { grace: 3s }\n";
    let mut case = Case::prepare().await;
    case.write(&format!(
        "exchanges: {{ any: {{ type: fanout }} }}\nqueues:\n  work: {{ bind: [{{ exchange: any }}], dead_letter: {{ queue: dead }} }}\n  dead: {{}}\nconsumers:\n{}",
        consumer("worker", "work", keys)
    ));
    case.supervisor.start();
    case.supervisor.wait_for("started: topology");
    let hostile = "\u{1b}[2J\n../../etc/passwd; $(touch owned) `touch owned`";
    publish(&case, ("any", hostile), plain(), b"x").await;
    case.outside.wait_for_depth("dead", 1, PATIENCE).await;
    case.stop(STOPPED);
    assert_eq!(fs::read_to_string(case.supervisor.path("key")).unwrap(), hostile);
    assert!(!case.supervisor.path("owned").exists(), "a routing key was executed");
    let log = case.supervisor.log();
    assert!(log.contains("red"), "the words of the child are in the log");
    assert!(!log.contains('\u{1b}'), "an escape sequence reached the log");
    assert!(!log.lines().any(|line| line.starts_with("forged: line")), "a line was forged");
}

/// Headers travel in one frame, which has a largest size: there may be no room for the reason.
#[tokio::test(flavor = "multi_thread")]
async fn headers_that_fill_a_frame_do_not_keep_a_message_from_the_dead_letters() {
    let retry = "retry: { delays: [100ms] }\n";
    // The last has room for our words, and none for what the broker would add after the pause.
    for (verdict, retry, left) in [("reject", "", 100), ("nack", retry, 100), ("nack", retry, 700)]
    {
        let mut case = recording(retry).await;
        // RabbitMQ's frames have 128 KiB unless it is told otherwise.
        let filling = "x".repeat((128 << 10) - left);
        let full = plain().with_content_type(verdict.into());
        let full = full.with_headers(table([("filling", text(&filling))]));
        publish(&case, ("", "work"), full, b"full").await;
        publish(&case, ("", "work"), plain(), b"next").await;
        case.outside.wait_for_depth("dead", 1, PATIENCE).await;
        case.wait_settled();
        let dead = case.outside.take_all("dead").await;
        assert_eq!(dead[0].header("filling"), filling);
        let books = case.stop(STOPPED);
        assert_eq!((books.count("acked"), books.count("dead_lettered")), (1, 1));
        assert_eq!(case.logged("connection lost"), 0, "a connection was lost to it");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_of_thousands_of_deaths_is_carried_along() {
    let mut case = recording("").await;
    let mut deaths = FieldArray::default();
    for number in 0..1500 {
        deaths.push(AMQPValue::FieldTable(table([
            ("queue", text(&format!("a queue {number}"))),
            ("count", AMQPValue::LongLongInt(number)),
        ])));
    }
    let headers = table([("x-death", AMQPValue::FieldArray(deaths))]);
    publish(&case, ("", "work"), plain().with_headers(headers.clone()), b"ack").await;
    let reject = plain().with_headers(headers).with_content_type("reject".into());
    publish(&case, ("", "work"), reject, b"reject").await;
    case.outside.wait_for_depth("dead", 1, PATIENCE).await;
    case.wait_settled();
    assert_eq!(seen(&case)[0]["headers"]["x-death"].as_array().unwrap().len(), 1500);
    let books = case.stop(STOPPED);
    assert_eq!((books.count("acked"), books.count("dead_lettered")), (1, 1));
}
