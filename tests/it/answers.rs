//! What an answer can ask for beyond one message, what becomes of one that comes too late, and bodies
//! that no line carries, each on a real broker.

use std::fs;
use std::time::Duration;

use lapin::BasicProperties;
use serde_json::Value;

use crate::support::case::Case;
use crate::support::supervisor::{PATIENCE, wait_until};

/// How long a stop may take whose grace time is 3 s.
const STOPPED: Duration = Duration::from_secs(5);

const QUICK: &str = "restart: { backoff: 50ms, backoff_max: 200ms }\nstop: { grace: 3s }\n";

/// A consumer that runs this program, with more keys.
fn python(case: &mut Case, text: &str, keys: &str) {
    case.supervisor.write("child.py", text);
    case.start(&format!("command: [python3, child.py]\n{QUICK}{keys}"));
    case.supervisor.wait_for("started: topology");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_answer_can_be_for_all_older_messages() {
    let mut case = Case::prepare().await;
    // Of six messages it acks the second by itself, then all up to the fourth, and rejects the rest.
    let text = r#"
import json, sys
ids = [json.loads(sys.stdin.readline())["id"] for _ in range(6)]
print(json.dumps({"id": ids[1], "result": "ack"}))
print(json.dumps({"id": ids[3], "result": "ack", "multiple": True}))
print(json.dumps({"id": ids[5], "result": "reject", "reason": "too many", "multiple": True}), flush=True)
sys.stdin.read()
"#;
    python(&mut case, text, "prefetch: 6\n");
    case.send(&["0", "1", "2", "3", "4", "5"]).await;
    case.outside.wait_for_depth("dead", 2, PATIENCE).await;
    case.wait_settled();
    let mut dead = case.outside.take_all("dead").await;
    dead.sort_by(|one, other| one.body.cmp(&other.body));
    for (found, body) in dead.iter().zip(["4", "5"]) {
        assert_eq!(
            (found.body.as_str(), found.header("warrener-error").as_str()),
            (body, "too many")
        );
    }
    let books = case.stop(STOPPED);
    let counts = ["acked", "dead_lettered", "protocol_errors"].map(|name| books.count(name));
    assert_eq!(counts, [4, 2, 0]);
}

/// It asks for more time again and again, and has it; the one after it does not ask.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_has_as_much_time_as_is_asked_for() {
    let text = r#"
import json, os, sys, time
for line in sys.stdin:
    message = json.loads(line)
    if message["body"] == "long":
        for _ in range(8):
            time.sleep(0.5)
            print(os.environ["WORD"].replace("ID", message["id"]), flush=True)
        print("ack", message["id"], flush=True)
    else:
        time.sleep(600)
"#;
    for word in ["extend ID 2500ms", "{\"id\":\"ID\",\"extend\":\"2500ms\"}"] {
        let mut case = Case::prepare().await;
        let keys = format!("timeout: 2500ms\nprefetch: 1\nenv: {{ WORD: '{word}' }}\n");
        python(&mut case, text, &keys);
        case.send(&["long", "short"]).await;
        case.outside.wait_for_depth("dead", 1, PATIENCE).await;
        let dead = case.outside.take_all("dead").await;
        assert_eq!(dead[0].body, "short", "{word}");
        assert_eq!(dead[0].header("warrener-error"), "no answer within 2s500ms");
        let books = case.stop(STOPPED);
        let counts = ["acked", "dead_lettered", "protocol_errors"].map(|name| books.count(name));
        assert_eq!(counts, [1, 1, 0], "{word}");
        assert_eq!(case.logged("message failed"), 1, "{word}");
    }
}

/// The message was delivered again by then: the late answer is none to that, and no fault.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_comes_after_its_channel_is_lost_settles_nothing() {
    let text = r#"
import json, os, sys, time
held = []
while len(held) < 2:
    held.append(json.loads(sys.stdin.readline()))
    open("ledger", "a").write("0\n" if not held[-1]["redelivered"] else "1\n")
for message, gate in zip(held, ["late", "now"]):
    while not os.path.exists(gate):
        time.sleep(0.01)
    print("ack", message["id"], flush=True)
sys.stdin.read()
"#;
    let (mut case, proxy) = Case::behind_proxy("").await;
    python(&mut case, text, "prefetch: 5\n");
    case.send(&["a"]).await;
    case.wait_handled(1);
    proxy.cut();
    // The same message, as another delivery.
    case.wait_handled(2);
    case.supervisor.write("late", "");
    let stale = || {
        let said = case.supervisor.run(&["status", "--json"]);
        let report: Value = serde_json::from_str(&said.out).expect("a report");
        report["status"]["consumers"]["worker"]["stale_replies"].as_u64()
    };
    wait_until("the late answer", PATIENCE, || stale() == Some(1));
    // The broker counts what a queue holds a moment late.
    wait_until("it to be there still", PATIENCE, || case.unsettled() == Some(1));
    case.supervisor.write("now", "");
    case.wait_settled();
    let books = case.stop(STOPPED);
    let counts = ["received", "acked", "lost_to_channel", "protocol_errors", "restarts"]
        .map(|name| books.count(name));
    assert_eq!(counts, [2, 1, 1, 0, 0]);
}

/// Writes down the length and the sum of the bytes of each body that it reads, however it comes.
const SUMS: &str = r#"
import base64, json, os, sys
protocol = os.environ["PROTOCOL"]
stdin = sys.stdin.buffer
def bodies():
    if protocol == "exec":
        yield stdin.read()
    elif protocol == "json":
        for line in stdin:
            message = json.loads(line)
            body = message["body"]
            yield base64.b64decode(body) if message.get("encoding") == "base64" else body.encode()
    else:
        end = b"\n" if protocol == "lines" else b"\0"
        held = b""
        while True:
            more = os.read(0, 1 << 16)
            if not more:
                return
            *whole, held = (held + more).split(end)
            yield from whole
for body in bodies():
    open("sums", "a").write("%d %d\n" % (len(body), sum(body)))
    if protocol != "exec":
        print("ack", flush=True)
"#;

/// A mebibyte with a newline, a NUL, bytes that are no text, and none of these.
fn large() -> [Vec<u8>; 4] {
    [Some(b'\n'), Some(0), Some(0xff), None].map(|odd| {
        let mut body: Vec<u8> =
            (0..1 << 20).map(|nth: u32| b'a' + nth.to_le_bytes()[1] % 26).collect();
        if let Some(odd) = odd {
            // In the middle, at the end, and where a buffer may end.
            for at in [0, 1 << 16, 700_001, (1 << 20) - 1] {
                body[at] = odd;
            }
        }
        body
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mebibyte_of_anything_comes_whole_or_not_at_all() {
    // What no message of that protocol can hold.
    let refusing =
        [("json", None), ("lines", Some("a newline")), ("nul", Some("a NUL")), ("exec", None)];
    for (protocol, refused) in refusing {
        let mut case = Case::prepare().await;
        let name = if protocol == "nul" { "lines\ndelimiter: nul" } else { protocol };
        let keys = format!("protocol: {name}\nenv: {{ PROTOCOL: {protocol} }}\n");
        python(&mut case, SUMS, &keys);
        for body in large() {
            let properties = BasicProperties::default().with_delivery_mode(2);
            case.outside.send(("", "work"), properties, &body).await;
        }
        case.outside.confirmed().await;
        let dead = u32::from(refused.is_some());
        case.outside.wait_for_depth("dead", dead, PATIENCE).await;
        case.wait_settled();
        let held_back = match refused {
            Some("a newline") => Some(0),
            Some(_) => Some(1),
            None => None,
        };
        let mut expected: Vec<String> = large()
            .iter()
            .enumerate()
            .filter(|(nth, _)| Some(*nth) != held_back)
            .map(|(_, body)| {
                let sum: u64 = body.iter().map(|byte| u64::from(*byte)).sum();
                format!("{} {sum}", body.len())
            })
            .collect();
        let sums = fs::read_to_string(case.supervisor.path("sums")).expect("they were seen");
        let mut sums: Vec<&str> = sums.lines().collect();
        sums.sort_unstable();
        expected.sort_unstable();
        assert_eq!(sums, expected, "{protocol}");
        for found in case.outside.take_all("dead").await {
            assert_eq!(found.header("warrener-reason"), "unencodable", "{protocol}");
            assert_eq!(found.body.len(), 1 << 20, "{protocol}");
        }
        if let Some(refused) = refused {
            let why = format!(
                "reason=unencodable words=\"the body contains {refused}, which ends a message in protocol `lines`\""
            );
            case.supervisor.wait_for(&why);
        }
        let books = case.stop(STOPPED);
        let counts = ["acked", "dead_lettered", "protocol_errors"].map(|name| books.count(name));
        assert_eq!(counts, [4 - u64::from(dead), u64::from(dead), 0], "{protocol}");
        assert_eq!(case.logged("message failed"), dead as usize, "{protocol}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_json_can_be_embedded() {
    let mut case = Case::prepare().await;
    let text = r#"
import json, sys
for line in sys.stdin:
    message = json.loads(line)
    open("seen", "a").write(json.dumps([message["body"], message.get("encoding")]) + "\n")
    print("ack", flush=True)
"#;
    python(&mut case, text, "body_as: json\n");
    case.send(&["{\"n\": 1.50,\n \"s\": \"x\"}", "no json", "[]"]).await;
    case.wait_settled();
    let seen = fs::read_to_string(case.supervisor.path("seen")).expect("they were seen");
    let expected = "[{\"n\": 1.5, \"s\": \"x\"}, null]\n[\"no json\", \"text\"]\n[[], null]\n";
    assert_eq!(seen, expected);
    assert_eq!(case.stop(STOPPED).count("acked"), 3);
}

/// Each is a protocol error by itself, and the good answer after it starts the count anew.
#[tokio::test(flavor = "multi_thread")]
async fn a_bad_line_settles_nothing_and_is_forgiven_by_a_good_one() {
    let mut case = Case::prepare().await;
    let text = r#"
import json, sys
out = sys.stdout.buffer
bad = [
    b'{"id":"ID","result":"ack"',
    b'{"id":"ID","result":"acked"}',
    b'{"id":"ID","result":"ack","x":"\xff"}',
    b'{"id":9007199254740993,"result":"ack"}',
    b'{"id":"ID","result":"ack","result":"nack"}',
    b'{"id":"ID","result":"ack","x":' + b"[" * 70 + b"]" * 70 + b"}",
    b'{"result":"reject","multiple":true}',
    b'{"id":"ID","result":"nack","publish":[{"routing_key":"dead","body":""}]}',
    b"requeue ID please",
    b"ack ID please",
    b"retry ID soon",
    # No answers at all: lines of its own, or nothing.
    b"ack now please",
    b"Ack ID",
    b'{"level":"info","id":"ID"}',
    b"   ",
]
for line, ugly in zip(sys.stdin, bad):
    identity = json.loads(line)["id"].encode()
    out.write(ugly.replace(b"ID", identity) + b"\n")
    out.write(b'{"id":"' + identity + b'","result":"ack","more":{"unknown":1}}\r\n')
    out.flush()
sys.stdin.read()
"#;
    python(&mut case, text, "prefetch: 1\n");
    let bodies: Vec<String> = (0..15).map(|number| number.to_string()).collect();
    case.outside.publish("work", bodies).await;
    case.wait_settled();
    let books = case.stop(STOPPED);
    let counts = ["acked", "dead_lettered", "requeued", "protocol_errors", "restarts"]
        .map(|name| books.count(name));
    assert_eq!(counts, [15, 0, 0, 11, 0], "{}", case.supervisor.log());
    assert_eq!(case.logged("protocol error: "), 11);
    assert_eq!(case.logged("worker[0] stdout: "), 3, "{}", case.supervisor.log());
    assert!(case.supervisor.log().contains("\u{fffd}"), "the line is shown");
}

/// Messages that lie in its pipe, of which it has not read a byte, cannot be what it means.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_to_what_was_not_read_settles_nothing() {
    let text = r#"
import json, os, sys, time
def wait(name):
    while not os.path.exists(name):
        time.sleep(0.01)
wait("early")
print("ack\nack", flush=True)
wait("go")
for line in sys.stdin:
    open("ledger", "a").write(json.loads(line)["properties"]["message_id"] + "\n")
    print("ack", flush=True)
"#;
    let mut case = Case::prepare().await;
    python(&mut case, text, "prefetch: 5\n");
    case.send(&["a", "b", "c", "d", "e"]).await;
    case.outside.wait_for_depth("work", 0, PATIENCE).await;
    let given = || {
        let said = case.supervisor.run(&["status", "--json"]);
        let report: Value = serde_json::from_str(&said.out).expect("a report");
        report["status"]["consumers"]["worker"]["in_flight"].as_u64()
    };
    wait_until("all to be in the pipe", PATIENCE, || given() == Some(5));
    case.supervisor.write("early", "");
    wait_until("both early answers", PATIENCE, || {
        case.logged("protocol error: an answer to a message it was not given") == 2
    });
    assert_eq!(given(), Some(5));
    case.supervisor.write("go", "");
    case.wait_settled();
    let books = case.stop(STOPPED);
    let counts = ["acked", "protocol_errors", "restarts"].map(|name| books.count(name));
    assert_eq!((counts, case.ledger().len()), ([5, 2, 0], 5));
}
