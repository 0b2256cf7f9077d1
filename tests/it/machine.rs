//! Faults of the machine: no descriptors, no disk, no name service, no time.

use std::fs::{self, File};
use std::time::Duration;

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use rustix::process::{Resource, Rlimit, getrlimit, prlimit};

use crate::support::case::{Case, QUEUES, consumer};
use crate::support::supervisor::{PATIENCE, wait_until};

const STOPPED: Duration = Duration::from_secs(8);

fn ledger(delay: &str) -> String {
    format!(
        "command: [python3, \"${{CHILDREN}}/ledger.py\"]\nrestart: {{ backoff: 100ms, backoff_max: 300ms }}\nstop: {{ grace: 3s }}\nenv: {{ LEDGER: ledger, DELAY: \"{delay}\" }}\n"
    )
}

fn bodies(count: u32) -> Vec<String> {
    (0..count).map(|number| number.to_string()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_under_the_log_stops_no_message() {
    let mut case = Case::prepare().await;
    case.write(&format!("{QUEUES}consumers:\n{}", consumer("worker", "work", &ledger("0"))));
    let full = File::options().write(true).open("/dev/full").expect("Linux has it");
    case.supervisor.start_logging_to(full.into());
    case.outside.wait_for_consumers("work", 1, PATIENCE).await;
    case.outside.publish("work", bodies(500)).await;
    case.wait_handled(500);
    case.wait_settled();
    case.supervisor.signal(Signal::SIGTERM);
    assert!(case.supervisor.exited(STOPPED).success());
    assert!(case.ledger().values().all(|times| *times == 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_descriptors_no_message_is_taken_and_all_goes_on_when_there_are_some() {
    let mut case = Case::run(&ledger("0")).await;
    case.send(&["0"]).await;
    case.wait_handled(1);
    let pid = case.supervisor.pid();
    let supervisor = rustix::process::Pid::from_raw(pid.cast_signed()).unwrap();
    // Its own, as ours, is the most that may be set again.
    let maximum = getrlimit(Resource::Nofile).maximum;
    let limit = |most| {
        let limit = Rlimit { current: most, maximum };
        prlimit(Some(supervisor), Resource::Nofile, limit).expect("our own child").current
    };
    // As many as there are: not one more can be opened.
    let open = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count() as u64;
    let usual = limit(Some(open));
    for child in case.supervisor.children() {
        let _ = kill(Pid::from_raw(child.cast_signed()), Signal::SIGKILL);
    }
    case.supervisor.wait_for("Too many open files");
    case.outside.wait_for_consumers("work", 0, PATIENCE).await;
    case.outside.publish("work", bodies(20)).await;
    assert_eq!(case.outside.depth("work").await, Some(20), "nobody could work on them");
    limit(usual);
    case.wait_handled(20);
    case.wait_settled();
    case.stop(STOPPED);
}

/// What a paused virtual machine looks like to the broker, and to the supervisor afterwards.
#[tokio::test(flavor = "multi_thread")]
async fn after_a_pause_longer_than_the_heartbeat_it_reconnects_and_kills_nobody() {
    let (mut case, proxy) = Case::behind_proxy("?heartbeat=2").await;
    case.start(&(ledger("0.005") + "timeout: 3s\n"));
    case.supervisor.wait_for("started: topology");
    case.outside.publish("work", bodies(400)).await;
    wait_until("some progress", PATIENCE, || case.ledger().len() > 20);
    let [child] = case.supervisor.children()[..] else { panic!("one child") };
    let group = Pid::from_raw(child.cast_signed());
    // Its children stand still as well, in the middle of whatever they do.
    case.supervisor.signal(Signal::SIGSTOP);
    killpg(group, Signal::SIGSTOP).expect("our own grandchild");
    wait_until("the broker to give up", PATIENCE, || proxy.connections() == 0);
    case.supervisor.signal(Signal::SIGCONT);
    killpg(group, Signal::SIGCONT).expect("our own grandchild");
    case.wait_handled(400);
    case.wait_settled();
    assert!(case.logged("connection lost") >= 1);
    assert_eq!(case.logged("worker[0]: started"), 1, "the pause cost a child");
    let books = case.stop(STOPPED);
    assert_eq!((books.count("restarts"), books.count("dead_lettered")), (0, 0));
}

/// The time that a machine stood still is not the time of a message.
#[tokio::test(flavor = "multi_thread")]
async fn a_pause_longer_than_its_time_limit_is_not_held_against_a_message() {
    let mut case = Case::run(&(ledger("1") + "timeout: 2s\n")).await;
    wait_until("a child", PATIENCE, || !case.supervisor.children().is_empty());
    let [child] = case.supervisor.children()[..] else { panic!("one child") };
    let group = Pid::from_raw(child.cast_signed());
    case.send(&["0"]).await;
    // It is written down when work on it begins.
    case.wait_handled(1);
    case.supervisor.signal(Signal::SIGSTOP);
    killpg(group, Signal::SIGSTOP).expect("our own grandchild");
    std::thread::sleep(Duration::from_secs(3));
    case.supervisor.signal(Signal::SIGCONT);
    // The child is slow to wake.
    std::thread::sleep(Duration::from_millis(500));
    killpg(group, Signal::SIGCONT).expect("our own grandchild");
    case.wait_settled();
    let books = case.stop(STOPPED);
    assert_eq!((books.count("acked"), books.count("restarts")), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_cannot_be_resolved_or_has_moved_is_asked_for_at_every_attempt() {
    if !nix::unistd::geteuid().is_root() {
        // Only root gives a process a name service of its own.
        return;
    }
    let (mut case, _proxy) = Case::behind_proxy("").await;
    case.url = case.url.replace("127.0.0.1", "broker.test");
    case.write(&format!("{QUEUES}consumers:\n{}", consumer("worker", "work", &ledger("0"))));
    let hosts = case.supervisor.path("hosts");
    fs::write(&hosts, "127.0.0.1 localhost\n").unwrap();
    let script = "mount --bind hosts /etc/hosts && exec \"$0\" \"$@\"";
    case.supervisor.start_through(&["unshare", "--mount", "sh", "-c", script]);
    case.supervisor.wait_for("waiting for the broker");
    // Where nobody listens.
    fs::write(&hosts, "127.0.0.9 broker.test\n").unwrap();
    case.supervisor.wait_for("refused");
    fs::write(&hosts, "127.0.0.1 broker.test\n").unwrap();
    case.supervisor.wait_for("started: topology");
    case.send(&["0"]).await;
    case.wait_handled(1);
    case.stop(STOPPED);
}
