//! Workers whose processes take too much memory: each alone, which the kernel refuses, and all
//! together, which takes a control group that accounts for memory. Where this machine has none, that
//! nothing changes without.

use std::fs;

use crate::support::case::{Books, Case, QUEUES, consumer};
use crate::support::control_groups::{Handed, folders};
use crate::support::supervisor::{PATIENCE, wait_until};

const LIMIT: &str = "limits: { memory: 96MiB }\nmax_crashes: 1\n";

/// What several processes take together is beyond the limit, and what each takes is not.
const TOGETHER: &str = "4 40";

/// Each alone is refused it.
const ALONE: &str = "1 120";

/// The limit holds for that.
const ENOUGH: &str = "2 20";

/// A case whose supervisor is in a group of its own where there is one, and whether that one
/// accounts for memory.
async fn started(keys: &str) -> (Case, Option<Handed>, bool) {
    let handed = Handed::group(true);
    let metered = handed.as_ref().is_some_and(Handed::meters_memory);
    tell(metered);
    let mut case = Case::prepare().await;
    let keys = format!("{LIMIT}{keys}");
    case.write(&format!("{QUEUES}consumers:\n{}", consumer("worker", "work", &keys)));
    match &handed {
        Some(handed) => case.supervisor.start_through(&handed.through()),
        None => case.supervisor.start(),
    }
    case.supervisor.wait_for("started: topology");
    (case, handed, metered)
}

#[expect(clippy::print_stderr, reason = "whoever reads the test's output is to know")]
fn tell(metered: bool) {
    if !metered {
        eprintln!("no group here accounts for memory: only that all goes without is tested");
    }
}

fn end(mut case: Case, handed: Option<Handed>) -> Books {
    let books = case.stop(PATIENCE);
    if let Some(handed) = handed {
        wait_until("no group left", PATIENCE, || handed.homes().is_empty());
    }
    books
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_holds_for_all_processes_of_a_worker_together() {
    let keys = "command: [python3, \"${CHILDREN}/eats_memory.py\"]\nprotocol: lines\nprefetch: 1\n\
                restart: { backoff: 50ms }\n";
    let (case, handed, metered) = started(keys).await;
    let said = case.supervisor.run(&["status"]).out;
    assert_eq!(said.contains("(limits memory as well)"), metered, "{said}");
    if let Some(handed) = handed.as_ref().filter(|_| metered) {
        let folder = folders(&handed.homes()[0]).remove(0);
        let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
        assert_eq!(read("memory.max").trim(), (96 << 20).to_string());
        assert_eq!(read("memory.oom.group").trim(), "1");
    }
    case.send(&[ENOUGH, ALONE, TOGETHER, ENOUGH]).await;
    case.wait_settled();
    let killed = case.logged(
        "its process ended with signal 9 (SIGKILL): it had more memory than `limits.memory`",
    );
    assert_eq!(killed > 0, metered);
    assert_eq!(case.logged("hint: `limits.memory` holds for all processes"), killed);
    let status = case.supervisor.run(&["status", "--json"]).out;
    assert_eq!(status.contains("\"oom\":"), metered, "{status}");
    let dead = case.outside.take_all("dead").await;
    let bodies: Vec<_> = dead.iter().map(|message| message.body.as_str()).collect();
    assert_eq!(bodies, if metered { vec![ALONE, TOGETHER] } else { vec![ALONE] });
    if metered {
        assert_eq!(dead[1].header("warrener-reason"), "crashed");
        let why = dead[1].header("warrener-error");
        assert!(why.contains("it had more memory than `limits.memory`"), "{why}");
    }
    let books = end(case, handed);
    assert_eq!(books.count("acked"), if metered { 2 } else { 3 });
}

/// One process after the other in one group: what was killed for is the message's alone.
#[tokio::test(flavor = "multi_thread")]
async fn a_limit_holds_for_the_processes_of_each_message() {
    let eat = "command: [sh, -c, 'python3 \"$$CHILDREN/eats_memory.py\" | grep -qx ack']\n\
               env_pass: [CHILDREN]\nprotocol: exec\n";
    let (case, handed, metered) = started(eat).await;
    case.send(&[ENOUGH, TOGETHER, ENOUGH, ENOUGH]).await;
    case.wait_settled();
    let dead = case.outside.take_all("dead").await;
    assert_eq!(dead.len(), usize::from(metered));
    if metered {
        let why = dead[0].header("warrener-error");
        assert!(why.contains("it had more memory than `limits.memory`"), "{why}");
    }
    let books = end(case, handed);
    assert_eq!(books.count("acked"), if metered { 3 } else { 4 });
}

/// Where the memory of the whole unit or machine runs out, one is chosen that has taken no more than
/// it may, and it is said that it was not killed by a person.
#[tokio::test(flavor = "multi_thread")]
async fn a_shortage_above_is_told_from_the_limit() {
    let keys = "command: [python3, \"${CHILDREN}/eats_memory.py\"]\nprotocol: lines\nprefetch: 1\n\
                restart: { backoff: 50ms }\n";
    let (case, handed, metered) = started(keys).await;
    let Some(handed) = handed.filter(|_| metered) else { return };
    fs::write(handed.homes()[0].join("memory.max"), (48 << 20).to_string()).unwrap();
    case.send(&["2 30"]).await;
    case.wait_settled();
    case.supervisor.wait_for("its process ended with signal 9 (SIGKILL): memory ran out");
    case.supervisor.wait_for("hint: memory ran out in the group of Warrener or in the machine");
    end(case, Some(handed));
}
