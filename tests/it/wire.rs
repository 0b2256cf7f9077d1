//! The protocol with consumers behind `warrener run`, on a real broker: what they read, and what
//! their answers can ask for.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use lapin::BasicProperties;

use crate::support::broker::{amqp_url, fresh_vhost, management_url};
use crate::support::case::{Case, QUEUES, consumer};
use crate::support::queue::Outside;
use crate::support::supervisor::{PATIENCE, Supervisor, wait_until};

/// A stack file on that broker.
fn stack(url: &str, rest: &str) -> String {
    format!(
        "stack: test\nbroker: {{ url: \"{url}\", management: \"{}\" }}\n{rest}",
        management_url()
    )
}

/// Publishes bodies that may be anything to a queue.
async fn publish_bytes(outside: &Outside, queue: &str, bodies: &[Vec<u8>]) {
    for body in bodies {
        let properties = BasicProperties::default().with_delivery_mode(2);
        outside.send(("", queue), properties, body).await;
    }
    outside.confirmed().await;
}

/// The lines of a file of the supervisor's folder, sorted.
fn sorted_lines(supervisor: &Supervisor, name: &str) -> Vec<String> {
    let text = fs::read_to_string(supervisor.path(name)).unwrap_or_default();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

/// Bodies that no line-based protocol carries as they are.
fn awkward_bodies() -> Vec<Vec<u8>> {
    let mut large: Vec<u8> = (0..1 << 20).map(|n: u32| n.to_le_bytes()[1]).collect();
    large[77] = b'\n';
    vec![
        Vec::new(),
        b"\n".to_vec(),
        b"{\"length\":3}\nack".to_vec(),
        b"\0\xff\xfe\r\n".to_vec(),
        "Füße\u{2028}".into(),
        large,
        b"last".to_vec(),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_carry_any_body_with_and_without_the_kit() {
    let vhost = fresh_vhost();
    let url = amqp_url(&vhost);
    let mut supervisor = Supervisor::prepare();
    supervisor.write(
        "kit.py",
        r#"
import hashlib, os, warrener
ledger = os.open("ledger-kit", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
def handle(message):
    digest = hashlib.sha256(message.data).hexdigest()
    os.write(ledger, b"%s %d\n" % (digest.encode(), len(message.data)))
warrener.run(handle)
"#,
    );
    supervisor.write(
        "stack.yaml",
        &stack(
            &url,
            r#"
queues: { bare: {}, kit: {} }
consumers:
  bare:
    queue: bare
    protocol: frames
    discard: true
    command: [python3, "${CHILDREN}/frames.py"]
    env: { LEDGER: ledger-bare }
  kit:
    queue: kit
    protocol: frames
    discard: true
    command: [python3, kit.py]
    env: { PYTHONPATH: "${CHILDREN}/../../plugins/kits/python" }
"#,
        ),
    );
    supervisor.start();
    supervisor.wait_for("started: topology");
    let outside = Outside::connect(&url).await;
    let bodies = awkward_bodies();
    for queue in ["bare", "kit"] {
        publish_bytes(&outside, queue, &bodies).await;
        let ledger = format!("ledger-{queue}");
        wait_until("every body", PATIENCE, || {
            sorted_lines(&supervisor, &ledger).len() >= bodies.len()
        });
    }
    let found = sorted_lines(&supervisor, "ledger-bare");
    assert_eq!(found, sorted_lines(&supervisor, "ledger-kit"));
    let mut lengths: Vec<usize> = found
        .iter()
        .map(|line| line.split(' ').nth(1).expect("a length").parse().expect("a number"))
        .collect();
    lengths.sort_unstable();
    let mut expected: Vec<usize> = bodies.iter().map(Vec::len).collect();
    expected.sort_unstable();
    assert_eq!(lengths, expected);
    let mut expected: Vec<String> = bodies.iter().map(|body| sha256(&supervisor, body)).collect();
    expected.sort();
    let digests: Vec<_> =
        found.iter().map(|line| line.split(' ').next().unwrap_or_default()).collect();
    assert_eq!(digests, expected);
}

/// The SHA-256 of some bytes in hexadecimal digits, by the system's own program.
fn sha256(supervisor: &Supervisor, bytes: &[u8]) -> String {
    let path = supervisor.path("bytes");
    fs::write(&path, bytes).expect("a file");
    let output = std::process::Command::new("sha256sum").arg(&path).output().expect("coreutils");
    let text = String::from_utf8(output.stdout).expect("text");
    text.split(' ').next().expect("a digest").to_owned()
}

/// Says on demand what it is asked for by files that appear in its folder.
const READY: &str = r#"
import json, os, sys, time
def wait(name):
    while not os.path.exists(name):
        time.sleep(0.005)
if os.environ["EARLY"] == "yes":
    print("ack", flush=True)
wait(os.environ["WHEN"])
print(os.environ["WORD"], flush=True)
for line in sys.stdin:
    message = json.loads(line)
    open("ledger", "a").write(message["properties"]["message_id"] + "\n")
    print("ack", message["id"], flush=True)
"#;

fn ready(word: &str, when: &str, early: &str, limit: &str) -> String {
    format!(
        "command: [python3, ready.py]\nready: true\nstart_timeout: {limit}\n\
         restart: {{ backoff: 50ms }}\nenv: {{ WORD: '{word}', WHEN: {when}, EARLY: {early} }}\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn no_message_comes_before_the_child_is_ready() {
    for (word, early) in [("ready", "no"), ("{\"ready\":true}", "yes")] {
        let mut case = Case::prepare().await;
        case.supervisor.write("ready.py", READY);
        case.start(&ready(word, "go", early, "30s"));
        case.supervisor.wait_for("started: topology");
        case.send(&["a", "b"]).await;
        wait_until("a child", PATIENCE, || !case.supervisor.children().is_empty());
        if early == "yes" {
            case.supervisor.wait_for("an answer to a message it was not given");
        }
        // The queue has nobody who would take the messages, however long one looks.
        case.outside.wait_for_depth("work", 2, PATIENCE).await;
        assert_eq!(case.outside.consumers("work").await, Some(0));
        assert!(case.ledger().is_empty());
        case.supervisor.write("go", "");
        case.wait_handled(2);
        let books = case.stop(Duration::from_secs(10));
        assert_eq!(books.count("acked"), 2);
        assert_eq!(books.count("protocol_errors"), u64::from(early == "yes"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_that_never_is_ready_is_replaced_and_takes_over_from_nobody() {
    let mut case = Case::prepare().await;
    case.supervisor.write("ready.py", READY);
    case.supervisor.write("go", "");
    case.start(&ready("ready", "go", "no", "30s"));
    case.supervisor.wait_for("started: topology");
    case.send(&["a"]).await;
    case.wait_handled(1);
    let [old] = case.supervisor.children()[..] else { panic!("one child") };

    case.write(&format!(
        "{QUEUES}consumers:\n{}",
        consumer("worker", "work", &ready("ready", "never", "no", "300ms"))
    ));
    case.supervisor
        .wait_for("its process has not said `ready` within 300ms: the worker is replaced");
    case.supervisor.wait_for("the new version did not come up, the old one stays: its process has not said `ready` within 300ms");
    wait_until("the old child alone", PATIENCE, || case.supervisor.children() == [old]);
    case.outside.publish("work", ["x".to_owned(), "y".to_owned()]).await;
    case.wait_handled(2);
    case.stop(Duration::from_secs(10));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_that_says_stop_answers_what_it_has_and_is_replaced_at_once() {
    for word in ["stop", "{\"stop\":true}"] {
        let mut case = Case::prepare().await;
        // Each process handles five messages, then wants no more, and is in no hurry to answer.
        case.supervisor.write(
            "worker.py",
            r#"
import json, os, sys, time
held = []
for number, line in enumerate(sys.stdin, 1):
    message = json.loads(line)
    open("ledger", "a").write(message["properties"]["message_id"] + "\n")
    open("pids", "a").write("%d\n" % os.getpid())
    print("ack", message["id"], flush=True)
    if number == 5:
        print(os.environ["WORD"], flush=True)
"#,
        );
        // A pause between restarts that would be noticed, and of what it is given at once, little.
        case.start(&format!(
            "command: [python3, worker.py]\nprefetch: 3\nrestart: {{ backoff: 60s }}\nenv: {{ WORD: '{word}' }}\n"
        ));
        case.supervisor.wait_for("started: topology");
        let bodies: Vec<String> = (0..40).map(|n| n.to_string()).collect();
        case.send(&bodies.iter().map(String::as_str).collect::<Vec<_>>()).await;
        case.wait_handled(40);
        case.supervisor.wait_for("its process ended with exit code 0, as it wished");
        let pids = fs::read_to_string(case.supervisor.path("pids")).expect("a list");
        let mut shares: BTreeMap<&str, usize> = BTreeMap::new();
        for pid in pids.lines() {
            *shares.entry(pid).or_default() += 1;
        }
        // What was under way when it said so is answered as well: at most the prefetch.
        assert!(shares.len() >= 5, "{shares:?}");
        assert!(shares.values().all(|share| *share <= 8), "{shares:?}");
        let books = case.stop(Duration::from_secs(10));
        assert_eq!((books.count("acked"), books.count("protocol_errors")), (40, 0));
        assert!(case.ledger().values().all(|times| *times == 1), "{:?}", case.ledger());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_that_says_stop_and_does_nothing_is_not_started_without_end() {
    let mut case = Case::run("shell: echo stop; cat >&2\nrestart: { backoff: 200ms }\n").await;
    case.supervisor.wait_for("its process ended with exit code 0; restart in");
    case.stop(Duration::from_secs(10));
}

#[tokio::test(flavor = "multi_thread")]
async fn replies_on_descriptor_3_leave_stdout_to_the_program() {
    let mut case = Case::prepare().await;
    case.supervisor.write(
        "worker.py",
        r#"
import json, os, sys
answers = os.fdopen(3, "w", buffering=1)
for line in sys.stdin:
    message = json.loads(line)
    open("handled", "a").write("worker\n")
    print("ack", message["id"])
    print("nack", message["id"], "for show", flush=True)
    answers.write("ack %s\n" % message["id"])
"#,
    );
    case.supervisor.write(
        "kit.py",
        "import warrener\ndef handle(message):\n    print('ack', flush=True)\n    open('handled', 'a').write('kit\\n')\nwarrener.run(handle)\n",
    );
    case.supervisor.write("kit.sh", ". \"$KITS/bash/warrener.sh\"\nhandle() { echo ack; echo bash >>handled; }\nwarrener_run handle\n");
    let kits = "env: { PYTHONPATH: \"${CHILDREN}/../../plugins/kits/python\", KITS: \"${CHILDREN}/../../plugins/kits\" }\n";
    let mut consumers = String::new();
    for (name, keys) in [
        ("worker", "command: [python3, worker.py]\n"),
        ("kit", "command: [python3, kit.py]\nready: true\n"),
        ("bash", "command: [bash, kit.sh]\nready: true\nprotocol: lines\n"),
    ] {
        consumers += &consumer(name, name, &format!("{keys}replies: fd3\ndiscard: true\n{kits}"));
    }
    case.write(&format!(
        "queues: {{ worker: {{}}, kit: {{}}, bash: {{}} }}\nconsumers:\n{consumers}"
    ));
    case.supervisor.start();
    case.supervisor.wait_for("started: topology");
    for queue in ["worker", "kit", "bash"] {
        case.outside.publish(queue, ["a".to_owned(), "b".to_owned()]).await;
    }
    wait_until("six messages", PATIENCE, || sorted_lines(&case.supervisor, "handled").len() >= 6);
    case.supervisor.wait_for("for show");
    let books = case.stop(Duration::from_secs(10));
    assert_eq!((books.count("acked"), books.count("protocol_errors")), (6, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_has_programs_write_each_line_at_once() {
    // This one never flushes: behind a pipe its answers would come at its end.
    let mut case = Case::run(
        "command: [python3, \"${CHILDREN}/block_buffered.py\"]\ntty: true\nprefetch: 1\n",
    )
    .await;
    case.send(&["a", "b", "c"]).await;
    case.outside.wait_for_depth("work", 0, PATIENCE).await;
    assert_eq!(case.stop(Duration::from_secs(10)).count("acked"), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_that_sits_on_its_answers_is_told_of_early() {
    let mut case =
        Case::run("command: [python3, \"${CHILDREN}/block_buffered.py\"]\nstop: { grace: 1s }\n")
            .await;
    case.send(&["a"]).await;
    case.supervisor.wait_for("does not flush its output");
    case.supervisor.wait_for("flush=True");
    case.stop(Duration::from_secs(10));
    assert_eq!(case.logged("does not flush its output"), 1);
}
