//! What answers have published, on a real broker: the message is acked only when all of it has
//! arrived.

use std::time::Duration;

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use nix::sys::signal::Signal;

use crate::support::case::{Case, consumer};
use crate::support::frames::Method;
use crate::support::proxy::Direction;
use crate::support::queue::Found;
use crate::support::supervisor::PATIENCE;

const STOPPED: Duration = Duration::from_secs(10);

const QUEUES: &str = "queues:
  work: { dead_letter: { queue: dead } }
  dead: {}
  first: {}
  second: {}
  answers: {}
  full: { max_length: 1, overflow: reject-publish }
exchanges:
  events: { type: topic }
bindings:
  - { exchange: events, queue: first, key: done.* }
";

/// Acks each message with the output that its body is.
const OUTPUT: &str = r#"
import json, sys
for line in sys.stdin:
    message = json.loads(line)
    answer = dict(json.loads(message["body"]), id=message["id"], result="ack")
    print(json.dumps(answer), flush=True)
"#;

async fn case(keys: &str) -> Case {
    let mut case = Case::prepare().await;
    start(&mut case, keys);
    case
}

fn start(case: &mut Case, keys: &str) {
    case.supervisor.write("output.py", OUTPUT);
    let keys = format!("command: [python3, output.py]\n{keys}");
    case.write(&format!("{QUEUES}consumers:\n{}", consumer("worker", "work", &keys)));
    case.supervisor.start();
    case.supervisor.wait_for("started: topology");
}

fn asking() -> BasicProperties {
    BasicProperties::default().with_reply_to("answers".into()).with_correlation_id("c-7".into())
}

fn shown(found: &Found) -> (String, String, String) {
    let text = |value: Option<&str>| value.unwrap_or_default().to_owned();
    (
        found.body.clone(),
        text(found.properties.content_type().as_ref().map(ShortString::as_str)),
        text(found.properties.correlation_id().as_ref().map(ShortString::as_str)),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn output_arrives_in_its_order_and_the_reply_with_its_correlation() {
    let mut case = case("").await;
    let body = r#"{
        "publish": [
            {"exchange": "events", "routing_key": "done.1", "body": "one", "headers": {"n": 1}},
            {"exchange": "events", "routing_key": "done.2", "body": {"n": [2]}},
            {"routing_key": "second", "body": "AP8=", "encoding": "base64",
             "properties": {"message_id": "m", "delivery_mode": 1}}
        ],
        "reply": {"body": "the answer"}
    }"#;
    case.outside.publish_with("work", [body.to_owned()], asking()).await;
    case.outside.wait_for_depth("answers", 1, PATIENCE).await;
    // The reply is last, so all else is there already.
    let answer = case.outside.take_all("answers").await;
    assert_eq!(shown(&answer[0]), ("the answer".into(), String::new(), "c-7".into()));
    let first = case.outside.take_all("first").await;
    let bodies: Vec<_> = first.iter().map(shown).collect();
    let expected = [
        ("one".into(), String::new(), String::new()),
        ("{\"n\": [2]}".into(), "application/json".into(), String::new()),
    ];
    assert_eq!(bodies, expected);
    assert_eq!(first[0].header("n"), "1");
    let second = case.outside.take_all("second").await;
    let properties = &second[0].properties;
    assert_eq!(properties.message_id().as_ref().map(ShortString::as_str), Some("m"));
    assert_eq!(*properties.delivery_mode(), Some(1));
    let books = case.stop(STOPPED);
    assert_eq!((books.count("acked"), books.count("protocol_errors")), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn output_that_does_not_arrive_makes_the_ack_a_failure() {
    let mut case = case("retry: { delays: [100ms] }\n").await;
    case.outside.publish("full", ["there is room for one".to_owned()]).await;
    let bodies = [
        r#"{"publish": [{"routing_key": "first", "body": "a"}, {"routing_key": "nowhere", "body": "b"}, {"routing_key": "second", "body": "c"}]}"#,
        r#"{"publish": [{"routing_key": "full", "body": "a"}]}"#,
        r#"{"publish": [{"exchange": "missing", "routing_key": "k\n", "body": "a"}]}"#,
        r#"{"publish": [{"routing_key": "second", "body": "good"}]}"#,
    ];
    case.send(&bodies).await;
    case.outside.wait_for_depth("dead", 3, PATIENCE).await;
    let mut errors: Vec<String> = Vec::new();
    for dead in case.outside.take_all("dead").await {
        assert_eq!(dead.header("warrener-reason"), "exhausted");
        assert_eq!(dead.header("warrener-attempt"), "2");
        errors.push(dead.header("warrener-error"));
    }
    errors.sort();
    let expected = [
        "its output to exchange `missing` with key `k\\n` was not published: ",
        "its output to queue `full` was not published: the broker refused to store it",
        "its output to queue `nowhere` was not published: no queue takes it: NO_ROUTE",
    ];
    for (error, expected) in errors.iter().zip(expected) {
        assert!(error.starts_with(expected), "{error}");
    }
    assert!(errors[0].contains("NOT_FOUND"), "{}", errors[0]);
    // What came before the fault was published at each try, what comes after it never.
    assert_eq!(case.outside.take_all("first").await.len(), 2);
    let second = case.outside.take_all("second").await;
    assert_eq!(second.iter().map(|found| found.body.as_str()).collect::<Vec<_>>(), ["good"]);
    let books = case.stop(STOPPED);
    let counts = ["acked", "retried", "dead_lettered"].map(|name| books.count(name));
    assert_eq!(counts, [1, 3, 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_acked_before_its_output_is_confirmed() {
    let (mut case, proxy) = Case::behind_proxy("").await;
    start(&mut case, "");
    // The only acks that go to the client are confirms.
    proxy.swallow(Direction::ToClient, Method::BASIC_ACK, 1);
    case.send(&[r#"{"publish": [{"routing_key": "first", "body": "a"}]}"#]).await;
    proxy.wait_seen(Direction::ToClient, Method::BASIC_ACK, 1).await;
    case.outside.wait_for_depth("first", 1, PATIENCE).await;
    case.supervisor.signal(Signal::SIGKILL);
    case.supervisor.exited(STOPPED);
    case.outside.wait_for_depth("work", 1, PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_that_nobody_asked_for_is_told_of_once() {
    let mut case = case("").await;
    let body = r#"{"reply": {"body": "anybody?"}}"#;
    case.send(&[body, body]).await;
    case.supervisor.wait_for("a reply goes nowhere: its message names no `reply_to`");
    case.outside.wait_for_depth("work", 0, PATIENCE).await;
    case.stop(STOPPED);
    assert_eq!(case.logged("a reply goes nowhere"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_python_kit_publishes_and_replies() {
    let mut case = Case::prepare().await;
    case.supervisor.write(
        "kit.py",
        r#"
import warrener
def handle(message):
    message.publish("events", "done.1", {"n": 1}, headers={"h": "x"})
    message.publish("", "second", b"\xff", message_id="m")
    message.reply("answer to " + message.body)
    if message.body == "bad":
        raise warrener.Reject("nothing of it counts")
warrener.run(handle)
"#,
    );
    let keys = "command: [python3, kit.py]\nenv: { PYTHONPATH: \"${CHILDREN}/../../plugins/kits/python\" }\n";
    case.write(&format!("{QUEUES}consumers:\n{}", consumer("worker", "work", keys)));
    case.supervisor.start();
    case.supervisor.wait_for("started: topology");
    case.outside.publish_with("work", ["bad".to_owned(), "good".to_owned()], asking()).await;
    case.outside.wait_for_depth("answers", 1, PATIENCE).await;
    case.outside.wait_for_depth("dead", 1, PATIENCE).await;
    let answer = case.outside.take_all("answers").await;
    assert_eq!(shown(&answer[0]), ("answer to good".into(), String::new(), "c-7".into()));
    let first = case.outside.take_all("first").await;
    assert_eq!(shown(&first[0]), ("{\"n\": 1}".into(), "application/json".into(), String::new()));
    assert_eq!((first.len(), first[0].header("h").as_str()), (1, "x"));
    assert_eq!(case.outside.take_all("second").await.len(), 1);
    assert_eq!(case.stop(STOPPED).count("acked"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn exec_replies_by_its_standard_output_and_reads_all_about_its_message() {
    let mut case = Case::prepare().await;
    // It reads its input first, so that the metadata has to wait: more of it than a pipe holds.
    case.supervisor.write(
        "exec.py",
        r#"
import json, os, sys
body = sys.stdin.buffer.read()
if body == b"ignore":
    print("read no more than that", end="")
    sys.exit(0)
about = json.load(os.fdopen(3))
if body == b"reject":
    print("no such thing")
    sys.exit(3)
if body == b"babble":
    print("x" * 3000)
    sys.exit(0)
assert "body" not in about and about["length"] == len(body), about.keys()
sys.stdout.write("%d %d %s" % (len(body), len(about["headers"]["long"]), about["properties"]["reply_to"]))
"#,
    );
    let keys = "protocol: exec\ncommand: [python3, exec.py]\nreply: stdout\nmetadata_fd: 3\nmax_reply: 1KiB\n";
    case.write(&format!("{QUEUES}consumers:\n{}", consumer("worker", "work", keys)));
    case.supervisor.start();
    case.supervisor.wait_for("started: topology");
    let mut headers = FieldTable::default();
    headers.insert("long".into(), AMQPValue::LongString("h".repeat(100_000).into()));
    let properties = asking().with_headers(headers);
    let bodies =
        ["b".repeat(400_000), "reject".to_owned(), "babble".to_owned(), "ignore".to_owned()];
    case.outside.publish_with("work", bodies, properties).await;
    case.outside.wait_for_depth("answers", 2, PATIENCE).await;
    case.outside.wait_for_depth("dead", 2, PATIENCE).await;
    let mut answers: Vec<_> = case.outside.take_all("answers").await.iter().map(shown).collect();
    answers.sort();
    let answer = |text: &str| (text.to_owned(), String::new(), "c-7".to_owned());
    assert_eq!(answers, ["400000 100000 answers", "read no more than that"].map(answer));
    let mut dead: Vec<_> = case
        .outside
        .take_all("dead")
        .await
        .iter()
        .map(|found| {
            format!("{}: {}", found.header("warrener-reason"), found.header("warrener-error"))
        })
        .collect();
    dead.sort();
    let expected = [
        "failed: its standard output has 3001 bytes, `max_reply` is 1024",
        "rejected: exit code 3",
    ];
    assert_eq!(dead, expected);
    case.supervisor.wait_for("no such thing");
    let books = case.stop(STOPPED);
    assert_eq!((books.count("acked"), books.count("dead_lettered")), (2, 2));
}
