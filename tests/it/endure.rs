//! Nothing is lost, whatever is killed: ledgers counted at the end.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use warrener::sandbox::Halt;

use crate::support::broker::{amqp_url, fresh_vhost, management_url, own_node};
use crate::support::queue::Outside;
use crate::support::supervisor::{PATIENCE, Supervisor, alive, wait_until};

/// How long a test with tens of thousands of messages may take on a busy machine.
const LONG: Duration = Duration::from_mins(4);

fn stack(url: &str, management: &str, prefetch: u32, more: &str) -> String {
    format!(
        r#"
stack: test
broker: {{ url: "{url}", management: "{management}" }}
queues:
  work: {{ dead_letter: {{ queue: dead }} }}
  dead: {{}}
consumers:
  worker:
    queue: work
    command: [python3, "${{CHILDREN}}/ledger.py"]
    workers: 2
    prefetch: {prefetch}
    restart: {{ backoff: 50ms, backoff_max: 200ms, intensity: {{ max: 1000, period: 1m }} }}
    stop: {{ grace: 10s }}
{more}"#
    )
}

/// The message ids in the children's ledger: all lines, and the distinct ones.
fn ledger(path: &Path) -> (usize, BTreeSet<u32>) {
    let text = fs::read_to_string(path).unwrap_or_default();
    let ids: Vec<u32> = text.lines().map(|line| line.parse().expect("a number")).collect();
    (ids.len(), ids.into_iter().collect())
}

fn bodies(count: u32) -> impl Iterator<Item = String> {
    (0..count).map(|number| format!("{{\"number\":{number}}}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_thousand_messages_survive_children_killed_every_second() {
    const MESSAGES: u32 = 100_000;
    const PREFETCH: u32 = 100;
    let vhost = fresh_vhost();
    let url = amqp_url(&vhost);
    let mut supervisor = Supervisor::prepare();
    let path = supervisor.path("ledger");
    supervisor.write(
        "stack.yaml",
        &stack(&url, &management_url(), PREFETCH, "    env: { LEDGER: ledger }\n"),
    );
    supervisor.start();
    supervisor.wait_for("started: topology");
    let publishing = {
        let url = url.clone();
        tokio::spawn(async move {
            let outside = Outside::connect(&url).await;
            outside.publish("work", bodies(MESSAGES)).await;
        })
    };

    let mut kills = 0;
    let (mut last, mut handled) = (Instant::now(), 0);
    wait_until("all messages handled", LONG, || {
        let now = ledger(&path).1.len();
        // On a busy machine a child may not even be up after a second: each gets to work first.
        if last.elapsed() >= Duration::from_secs(1) && now > handled {
            (last, handled) = (Instant::now(), now);
            for child in supervisor.children() {
                let child = Pid::from_raw(child.cast_signed());
                kills += u32::from(kill(child, Signal::SIGKILL).is_ok());
            }
        }
        now == MESSAGES as usize
    });
    publishing.await.expect("all published");
    let outside = Outside::connect(&url).await;
    outside.wait_for_depth("work", 0, PATIENCE).await;
    supervisor.signal(Signal::SIGTERM);
    assert!(supervisor.exited(Duration::from_secs(12)).success());
    outside.wait_for_depth("work", 0, PATIENCE).await;
    outside.wait_for_depth("dead", 0, PATIENCE).await;
    let (lines, distinct) = ledger(&path);
    assert_eq!(distinct.len(), MESSAGES as usize);
    assert!(kills > 0, "it was over before anything could be killed");
    let duplicates = u32::try_from(lines).unwrap() - MESSAGES;
    assert!(duplicates <= PREFETCH * kills, "{duplicates} duplicates after {kills} kills");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_restarts_is_consumed_from_again_and_nothing_is_lost() {
    const MESSAGES: u32 = 20_000;
    let mut broker = own_node().await;
    let url = broker.amqp_url();
    let mut supervisor = Supervisor::prepare();
    let path = supervisor.path("ledger");
    let env = "    env: { LEDGER: ledger, DELAY: \"0.001\" }\n";
    supervisor.write("stack.yaml", &stack(&url, &broker.management_url(), 100, env));
    supervisor.start();
    supervisor.wait_for("started: topology");
    let outside = Outside::connect(&url).await;
    outside.publish("work", bodies(MESSAGES)).await;
    let pids = supervisor.children();

    for halt in [Halt::Kill, Halt::Graceful] {
        let before = ledger(&path).1.len();
        wait_until("progress", PATIENCE, || ledger(&path).1.len() > before);
        broker.halt(halt).await.expect("halts");
        broker.resume().await.expect("resumes");
    }
    wait_until("all messages handled", LONG, || ledger(&path).1.len() == MESSAGES as usize);
    let outside = Outside::connect(&url).await;
    outside.wait_for_depth("work", 0, PATIENCE).await;
    assert_eq!(supervisor.children(), pids, "no child was restarted for a fault of the broker");
    supervisor.signal(Signal::SIGTERM);
    assert!(supervisor.exited(Duration::from_secs(12)).success());
    outside.wait_for_depth("work", 0, PATIENCE).await;
    outside.wait_for_depth("dead", 0, PATIENCE).await;
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_under_load_loses_nothing_and_leaves_nobody() {
    const MESSAGES: u32 = 5_000;
    let vhost = fresh_vhost();
    let url = amqp_url(&vhost);
    let mut supervisor = Supervisor::prepare();
    let path = supervisor.path("ledger");
    let env = "    env: { LEDGER: ledger, DELAY: \"0.002\" }\n";
    supervisor.write("stack.yaml", &stack(&url, &management_url(), 100, env));
    supervisor.start();
    supervisor.wait_for("started: topology");
    let outside = Outside::connect(&url).await;
    outside.publish("work", bodies(MESSAGES)).await;
    wait_until("some work done", PATIENCE, || ledger(&path).1.len() > 200);
    let children = supervisor.children();
    assert_eq!(children.len(), 2);

    supervisor.signal(Signal::SIGTERM);
    assert!(supervisor.exited(Duration::from_secs(11)).success());
    assert!(!children.iter().any(|pid| alive(*pid)), "a child is left");
    // A drain answers what it holds, so what was handled and what is left add up exactly.
    let (lines, distinct) = ledger(&path);
    assert_eq!(lines, distinct.len(), "something was handled twice");
    let left = MESSAGES - u32::try_from(lines).unwrap();
    assert!(left > 0, "it was over before it could be stopped");
    outside.wait_for_depth("work", left, PATIENCE).await;
}
