//! The protocol with consumers behind `warrener run`, on a real broker: what they read, and what
//! their answers can ask for.

use std::fs;

use lapin::BasicProperties;
use lapin::options::BasicPublishOptions;

use crate::support::broker::{amqp_url, fresh_vhost, management_url};
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
        let options = BasicPublishOptions { mandatory: true, ..Default::default() };
        let properties = BasicProperties::default().with_delivery_mode(2);
        let publish =
            outside.channel.basic_publish("".into(), queue.into(), options, body, properties);
        drop(publish.await.expect("publishes"));
    }
    let returned = outside.channel.wait_for_confirms().await.expect("confirms");
    assert!(returned.is_empty(), "messages were returned: {returned:?}");
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
