//! The kits and the demo's consumers, fed by a pipe as Warrener feeds them.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// Runs a program on that input to its end.
fn feed(command: &mut Command, input: &[u8]) -> Output {
    let mut child = command
        .env_remove("PYTHONUNBUFFERED")
        .env("PYTHONPATH", root().join("plugins/kits/python"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the interpreter is installed");
    let mut stdin = child.stdin.take().expect("it is piped");
    let input = input.to_owned();
    // From a thread: a child that answers while it reads would else block us, and we it.
    let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let mut output = child.wait_with_output().expect("the child ends");
    writer.join().expect("the writer ends");
    let answers = output.stdout.strip_prefix(b"ready\n").expect("each kit first says `ready`");
    output.stdout = answers.to_vec();
    output
}

fn python(program: &str, input: &[u8]) -> Output {
    feed(Command::new("python3").args(["-c", program]), input)
}

fn bash(program: &str, input: &[u8]) -> Output {
    let program = format!(". \"$KIT\"\n{program}");
    let kit = root().join("plugins/kits/bash/warrener.sh");
    feed(
        Command::new("bash").args(["-c", &program]).env("KIT", kit).env("LC_ALL", "C.UTF-8"),
        input,
    )
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn envelopes(bodies: &[&str]) -> Vec<u8> {
    let lines = bodies.iter().enumerate().map(|(number, body)| {
        let envelope = json!({"id": format!("1-{}", number + 1), "attempt": 1, "body": body});
        format!("{envelope}\n")
    });
    lines.collect::<String>().into_bytes()
}

#[test]
fn python_kit_answers_each_outcome() {
    let program = r#"
import sys, subprocess, warrener
def handle(message):
    print("handling", message.body)
    subprocess.run("cat; echo from a program", shell=True)
    if message.body == "reject": raise warrener.Reject("bad\nnews")
    if message.body == "retry": raise warrener.Retry("30s", "later")
    if message.body == "requeue": raise warrener.Requeue()
    if message.body == "fail": raise KeyError("ü")
    if message.body == "extend": message.extend("5m")
    if message.body == "log": warrener.log("it is", "warn")
    if message.body == "json": message.json()
warrener.run(handle)
print("after the end")
"#;
    let bodies = ["ok", "reject", "retry", "requeue", "fail", "extend", "log", "json"];
    let output = python(program, &envelopes(&bodies));
    insta::assert_snapshot!(text(&output.stdout), @r#"
    ack 1-1
    {"id": "1-2", "result": "reject", "reason": "bad\nnews"}
    {"id": "1-3", "result": "retry", "reason": "later", "delay": "30s"}
    {"id": "1-4", "result": "requeue"}
    {"id": "1-5", "result": "nack", "reason": "KeyError: '\u00fc'"}
    {"id": "1-6", "extend": "5m"}
    ack 1-6
    {"log": "it is", "level": "warn"}
    ack 1-7
    {"id": "1-8", "result": "reject", "reason": "the body is not JSON: Expecting value: line 1 column 1 (char 0)"}
    "#);
    let log = text(&output.stderr);
    assert_eq!(log.matches("handling").count(), bodies.len(), "prints are log: {log}");
    assert_eq!(log.matches("from a program").count(), bodies.len(), "its children's too: {log}");
    assert!(log.contains("Traceback") && log.contains("after the end"), "{log}");
    assert!(output.status.success());
}

#[test]
fn python_kit_takes_any_body() {
    let program = r#"
import warrener
def handle(message):
    warrener.log(ascii(message.body) + " " + ascii(sorted(message.headers)))
warrener.run(handle)
"#;
    let mut input = Vec::new();
    for envelope in [
        json!({"id": "1-1", "body": "Zoë 🌸 \u{0} \u{2028} line\nline"}),
        json!({"id": "1-2", "body": "/wAK", "encoding": "base64"}),
        json!({"id": "1-3", "body": "", "headers": {"a": {"@bytes": "AA=="}}}),
        json!({"id": "1-4", "body": "x".repeat(300_000)}),
    ] {
        writeln!(input, "{envelope}").expect("memory takes it");
    }
    // Half a message: the broker side has gone away in the middle of a line.
    input.extend(br#"{"id":"1-5","bo"#);
    let output = python(program, &input);
    let replies = text(&output.stdout);
    let replies: Vec<_> = replies.lines().map(|line| line.get(..80).unwrap_or(line)).collect();
    assert_eq!(replies.iter().filter(|line| line.starts_with("ack ")).count(), 4, "{replies:?}");
    assert!(replies[0].contains(r"Zo\\xeb \\U0001f338 \\x00 \\u2028 line\\nline"), "{replies:?}");
    assert!(replies[2].contains(r"b'\\xff\\x00\\n'"), "{replies:?}");
    assert!(output.status.success(), "{}", text(&output.stderr));
}

/// A consumer that fails hard still keeps what it has answered.
#[test]
fn python_kit_flushes_before_it_dies() {
    let program = r#"
import sys, warrener
def handle(message):
    if message.body == "die": sys.exit(7)
warrener.run(handle)
"#;
    let output = python(program, &envelopes(&["a", "b", "die", "never"]));
    assert_eq!(text(&output.stdout), "ack 1-1\nack 1-2\n");
    assert_eq!(output.status.code(), Some(7));
}

/// The reply to a message must not wait for the next one.
#[test]
fn python_kit_does_not_sit_on_an_answer() {
    use std::io::{BufRead, BufReader};
    let mut child = Command::new("python3")
        .args(["-c", "import warrener; warrener.run(lambda message: None)"])
        .env_remove("PYTHONUNBUFFERED")
        .env("PYTHONPATH", root().join("plugins/kits/python"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python is installed");
    let mut stdin = child.stdin.take().expect("it is piped");
    let mut replies = BufReader::new(child.stdout.take().expect("it is piped")).lines();
    assert_eq!(replies.next().expect("its first word").expect("in UTF-8"), "ready");
    for round in 1..=3 {
        writeln!(stdin, "{}", json!({"id": round.to_string(), "body": ""})).expect("it reads");
        let reply = replies.next().expect("it answers").expect("in UTF-8");
        assert_eq!(reply, format!("ack {round}"));
    }
    drop(stdin);
    assert!(child.wait().expect("it ends").success());
}

#[test]
fn bash_kit_answers_each_status() {
    let program = r#"
set -eu
handle() {
    echo "handling $1"
    cat
    case $1 in
        reject) reason=$'bad\nnews'; return 3 ;;
        requeue) return 4 ;;
        fail) false ;;
        *' '*|'') ;;
        code*) return "${1#code}" ;;
    esac
}
warrener_run handle
echo after the end
"#;
    let input = "ok\nreject\nrequeue\nfail\n two  words\\n \n\ncode5\ncode6\ncode7\ncut off";
    let output = bash(program, input.as_bytes());
    insta::assert_snapshot!(text(&output.stdout), @r"
    ack
    reject bad news
    requeue
    nack exit status 1
    ack
    ack
    reject
    requeue
    nack exit status 7
    ");
    let log = text(&output.stderr);
    assert!(log.contains("handling  two  words\\n \n"), "the body is as it came: {log}");
    assert!(log.contains("after the end") && !log.contains("cut off"), "{log}");
    assert!(output.status.success());
}

/// In a UTF-8 locale, bash's `read` takes a newline after a broken character for a part of it.
#[test]
fn bash_kit_counts_broken_text_as_one_message_each() {
    let output =
        bash("handle() { :; }; warrener_run handle", b"\xc3\n\xe2\x82\nz\xff\xfe\n\0\n\xc3\xa9\n");
    assert_eq!(text(&output.stdout), "ack\n".repeat(5));
}

/// The orders of the quickstart as the consumers of the quickstart see them.
fn orders() -> Vec<Value> {
    let feed = std::fs::read_to_string(root().join("topologies/quickstart/orders.jsonl"))
        .expect("the orders are shipped");
    feed.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect()
}

fn body(order: &Value) -> String {
    match &order["body"] {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[test]
fn billing_answers_every_order_for_its_reason() {
    let orders = orders();
    let created: Vec<_> = orders
        .iter()
        .filter(|order| {
            order["routing_key"].as_str().is_some_and(|k| k.starts_with("order.created."))
        })
        .collect();
    let run = |attempt: u32| {
        let mut input = Vec::new();
        for (number, order) in created.iter().enumerate() {
            let mut envelope =
                json!({"id": number.to_string(), "attempt": attempt, "body": body(order)});
            if let Some(encoding) = order.get("encoding") {
                envelope["encoding"] = encoding.clone();
            }
            writeln!(input, "{envelope}").expect("memory takes it");
        }
        let program = root().join("plugins/orders-billing/billing.py");
        let output = feed(Command::new("python3").arg(program), &input);
        assert!(output.status.success(), "{}", text(&output.stderr));
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for reply in text(&output.stdout).lines() {
            let verdict = match serde_json::from_str::<Value>(reply) {
                Ok(reply) => reply["result"].as_str().expect("a result").to_owned(),
                Err(_) => "ack".to_owned(),
            };
            *counts.entry(verdict).or_default() += 1;
        }
        assert_eq!(counts.values().sum::<usize>(), created.len(), "one answer each");
        counts
    };
    let (first, second, third) = (run(1), run(2), run(3));
    assert_eq!(first["reject"], third["reject"], "no attempt mends what is rejected");
    assert!(first["reject"] > 100, "{first:?}");
    assert!(
        first["nack"] > second["nack"] && second["nack"] > third["nack"],
        "{first:?} {second:?}"
    );
    assert!(third["nack"] > 0, "some never succeed: {third:?}");
}

#[test]
fn audit_answers_every_event() {
    let events: Vec<_> = orders()
        .iter()
        .filter(|order| order.get("encoding").is_none())
        .map(body)
        .filter(|body| !body.contains('\n'))
        .collect();
    let script = root().join("plugins/orders-audit/audit.sh");
    let input = events.join("\n") + "\n";
    let output = feed(Command::new("bash").arg(script).env("LC_ALL", "C.UTF-8"), input.as_bytes());
    assert!(output.status.success(), "{}", text(&output.stderr));
    let replies = text(&output.stdout);
    assert_eq!(replies.lines().count(), events.len());
    let empty = events.iter().filter(|event| event.is_empty()).count();
    assert_eq!(replies.matches("reject an empty event proves nothing").count(), empty);
    assert!(empty > 0);
}
