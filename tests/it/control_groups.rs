//! Each worker's processes in a control group of their own, on a broker: nothing gets out of it, and
//! nothing is left of it. Where this machine lets us make none, that nothing changes without.

use std::fs;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::case::{Case, QUEUES, consumer};
use crate::support::control_groups::{Handed, folders, group_of};
use crate::support::processes::{guardians_of, processes_with};
use crate::support::supervisor::{PATIENCE, alive, wait_until};

/// What a test finds its processes by.
struct Mark(String);

impl Mark {
    fn new() -> Self {
        Self(format!("34{}{:04}", std::process::id(), fastrand::u32(..10_000)))
    }

    /// Those of whom nothing but their control group tells.
    fn escaped(&self) -> Vec<u32> {
        let found = processes_with(&format!("\00.{}\0", self.0));
        found.iter().map(|line| line.split(':').next().unwrap().parse().unwrap()).collect()
    }

    fn keys(&self, protocol: &str) -> String {
        format!(
            "command: [sh, \"${{CHILDREN}}/escapes.sh\", \"{}\"]\nprotocol: {protocol}\n",
            self.0
        )
    }
}

/// A supervisor of one consumer, in that group where there is one.
async fn started(handed: Option<&Handed>, keys: &str) -> Case {
    let mut case = Case::prepare().await;
    case.write(&format!("{QUEUES}consumers:\n{}", consumer("worker", "work", keys)));
    start(&mut case, handed);
    case
}

fn start(case: &mut Case, handed: Option<&Handed>) {
    match handed {
        Some(handed) => case.supervisor.start_through(&handed.through()),
        None => case.supervisor.start(),
    }
    case.supervisor.wait_for("started: topology");
}

fn kill_now(pid: u32) {
    kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL).unwrap();
}

/// Kills a supervisor together with its guardian, as the end of a machine's memory may.
fn kill_both(case: &mut Case) {
    let guardians = guardians_of(case.supervisor.pid());
    assert_eq!(guardians.len(), 1);
    guardians.iter().copied().for_each(kill_now);
    case.supervisor.signal(Signal::SIGKILL);
    case.supervisor.exited(PATIENCE);
}

#[tokio::test]
async fn everyone_goes_with_the_worker() {
    let Some(handed) = Handed::group(true) else { return };
    let mark = Mark::new();
    let mut case = started(Some(&handed), &mark.keys("lines")).await;
    wait_until("one that has escaped", PATIENCE, || mark.escaped().len() == 1);
    let first = mark.escaped()[0];
    let homes = handed.homes();
    assert_eq!(homes.len(), 1, "{homes:?}");
    let home = homes[0].file_name().unwrap().to_str().unwrap();
    let inside = |pid| group_of(pid).contains(&format!("/{home}/worker-0"));
    assert!(inside(first), "{}", group_of(first));
    let said = case.supervisor.run(&["status"]).out;
    assert!(said.contains(&format!("groups    {}", homes[0].display())), "{said}");

    let after = |before: u32| {
        let mut next = None;
        wait_until("another", PATIENCE, || {
            next = mark.escaped().into_iter().find(|pid| *pid != before);
            next.is_some() && !alive(before)
        });
        next.expect("another")
    };
    // At the end of the child.
    kill_now(case.supervisor.children()[0]);
    let second = after(first);
    assert!(inside(second), "{}", group_of(second));
    // At a restart, where another worker comes first.
    assert_eq!(case.supervisor.run(&["restart", "worker"]).code, Some(0));
    after(second);
    wait_until("one group", PATIENCE, || folders(&homes[0]).len() == 1);
    // At the stop.
    case.stop(PATIENCE);
    wait_until("all gone", PATIENCE, || mark.escaped().is_empty());
    wait_until("no group left", PATIENCE, || handed.homes().is_empty());
}

#[tokio::test]
async fn everyone_goes_with_the_process_of_a_message() {
    let Some(handed) = Handed::group(true) else { return };
    let mark = Mark::new();
    let mut case = started(Some(&handed), &format!("{}workers: 2\n", mark.keys("exec"))).await;
    let bodies: Vec<_> = (0..40).map(|number| number.to_string()).collect();
    case.send(&bodies.iter().map(String::as_str).collect::<Vec<_>>()).await;
    case.wait_settled();
    wait_until("all gone", PATIENCE, || mark.escaped().is_empty());
    assert_eq!(case.stop(PATIENCE).count("acked"), 40);
    wait_until("no group left", PATIENCE, || handed.homes().is_empty());
}

#[tokio::test]
async fn everyone_goes_with_a_killed_supervisor() {
    let Some(handed) = Handed::group(true) else { return };
    let mark = Mark::new();
    let mut case = started(Some(&handed), &mark.keys("lines")).await;
    wait_until("one that has escaped", PATIENCE, || mark.escaped().len() == 1);
    case.supervisor.signal(Signal::SIGKILL);
    case.supervisor.exited(PATIENCE);
    wait_until("all gone", PATIENCE, || mark.escaped().is_empty());
    wait_until("no group left", PATIENCE, || handed.homes().is_empty());
}

#[tokio::test]
async fn the_next_supervisor_ends_what_was_left_and_nothing_else() {
    let Some(handed) = Handed::group(true) else { return };
    let (mark, others) = (Mark::new(), Mark::new());
    let mut other = started(Some(&handed), &others.keys("lines")).await;
    wait_until("one of the other", PATIENCE, || others.escaped().len() == 1);
    let theirs = (handed.homes(), others.escaped());
    let mut case = started(Some(&handed), &mark.keys("lines")).await;
    wait_until("one that has escaped", PATIENCE, || mark.escaped().len() == 1);
    let (left, homes) = (mark.escaped()[0], handed.homes());
    kill_both(&mut case);
    // Somebody else's that only looks like it, and one that does not.
    let own = ["warrener.0123", "warrener.0123456789abcdeX", "payments"].map(|name| {
        let path = handed.path().join(name);
        fs::create_dir(&path).unwrap();
        path
    });
    assert!(alive(left), "it should take the group to end this one");
    start(&mut case, Some(&handed));
    case.supervisor.wait_for("ended what a supervisor that was killed had left behind");
    wait_until("the second start", PATIENCE, || case.logged("started: topology") == 2);
    assert!(!mark.escaped().contains(&left));
    assert!(theirs.0.iter().chain(&own).all(|path| path.exists()));
    assert!(homes.iter().filter(|path| path.exists()).eq(&theirs.0));
    assert_eq!(others.escaped(), theirs.1);
    case.stop(PATIENCE);
    other.stop(PATIENCE);
    wait_until("only theirs", PATIENCE, || handed.homes().len() == own.len());
}

/// The host's own tree is nobody's to divide, not even root's.
#[tokio::test]
async fn a_group_that_was_not_handed_over_is_left_alone() {
    let handed = Handed::group(false);
    let keys = "command: [cat]\nprotocol: lines\n";
    let mut case = started(handed.as_ref(), keys).await;
    case.supervisor.wait_for("worker[0]: started");
    let child = case.supervisor.children()[0];
    assert_eq!(group_of(child), group_of(case.supervisor.pid()));
    assert!(!case.supervisor.run(&["status"]).out.contains("\ngroups "));
    assert_eq!(handed.as_ref().map_or(0, |handed| handed.homes().len()), 0);
    case.stop(PATIENCE);
}
