//! A running supervisor, steered over its socket.

mod clients;
mod places;

use std::time::Duration;

use insta::assert_snapshot;
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::support::case::{Case, QUEUES, consumer};
use crate::support::stack::Said;
use crate::support::supervisor::{PATIENCE, wait_until};

const ACKS: &str = "command: [python3, \"${CHILDREN}/ledger.py\"]\nenv: { LEDGER: ledger }\n\
                    stop: { grace: 5s }\n";

/// A command's whole output, and its exit code; what differs each time is taken out.
fn shown(said: &Said) -> String {
    let mut text = format!("{}{}", said.out, said.err);
    for (pattern, word) in [
        (r"\b\d+[dhms]( \d+[dhms])?\b", "TIME"),
        (r"process \d+", "process N"),
        (r"\b[0-9a-f]{12}\b", "DIGEST"),
    ] {
        text = regex::Regex::new(pattern).unwrap().replace_all(&text, word).into_owned();
    }
    format!("{text}[{}]", said.code.unwrap_or(-1))
}

fn status(case: &Case) -> Value {
    let said = case.supervisor.run(&["status", "--json"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    serde_json::from_str(&said.out).unwrap()
}

fn worker(case: &Case) -> Value {
    status(case)["status"]["consumers"]["worker"].clone()
}

fn wait_for_worker(case: &Case, what: &str, fits: impl Fn(&Value) -> bool) {
    let mut last = Value::Null;
    let mut look = || {
        last = worker(case);
        fits(&last)
    };
    wait_until(what, PATIENCE, &mut look);
}

fn pids(worker: &Value) -> Vec<u64> {
    let workers = worker["workers"].as_array().unwrap().iter();
    workers.filter_map(|one| one["pid"].as_u64()).collect()
}

#[tokio::test]
async fn the_status_of_one_that_runs() {
    let mut case = Case::prepare().await;
    case.write(&format!(
        "{QUEUES}consumers:\n{}{}",
        consumer("worker", "work", &format!("{ACKS}workers: 2\n")),
        consumer("broken", "dead", "command: [no-such-program]\ndiscard: true\n")
    ));
    case.supervisor.start();
    case.supervisor.wait_for("started: topology");
    wait_for_worker(&case, "both to run", |one| {
        one["state"] == "running"
            && one["workers"].as_array().is_some_and(|all| {
                all.len() == 2 && all.iter().all(|worker| worker["state"] == "running")
            })
    });
    wait_until("the publisher", PATIENCE, || {
        status(&case)["status"]["connections"][case.vhost.name()]["publish"]["state"] == "up"
    });
    let said = case.supervisor.run(&["status"]);
    let text =
        regex::Regex::new(r"(PATH) \(.*").unwrap().replace_all(&shown(&said), "$1 …").into_owned();
    let text = regex::Regex::new(r"\d+\n").unwrap().replace_all(&text, "N\n").into_owned();
    assert_snapshot!(text, @r"
    test      up TIME, process N, warrener 0.1.N
    files     DIGEST, in force for TIME
    broker    consume up, publish up
    topology  as the files say (looked TIME ago); this supervisor applies

    consumer  state    workers  in flight  in/s  out/s  acked  retried  back  dead  restarts
    broken    down         0/1          0     0      0      0        0     0     0         N
    worker    running      2/2          0     0      0      0        0     0     0         N

    broken: down: the program `no-such-program` is in no folder of PATH …
    [0]
    ");
    case.send(&["one", "two", "three"]).await;
    case.wait_settled();
    wait_for_worker(&case, "the counts", |one| one["settled"]["acked"] == 3);
    let report = status(&case);
    assert_eq!(report["stack"], "test");
    assert_eq!(report["pid"], case.supervisor.pid());
    assert!(report["rates"]["worker"]["settled"].as_f64().unwrap() > 0.0, "{report}");
    assert_eq!(case.stop(PATIENCE).count("acked"), 3);
}

#[tokio::test]
async fn a_paused_consumer_takes_nothing_until_it_is_resumed_and_a_reload_is_no_resume() {
    let mut case = Case::run(ACKS).await;
    case.send(&["one"]).await;
    case.wait_handled(1);
    case.wait_settled();
    let before = pids(&worker(&case));
    assert_snapshot!(shown(&case.supervisor.run(&["pause", "worker"])), @r"
    worker: paused
    [0]
    ");
    wait_for_worker(&case, "paused", |one| one["state"] == "paused");
    case.send(&["two", "three"]).await;
    // Another spec: its workers are replaced, and the new ones are paused as well.
    case.write(&format!(
        "{QUEUES}consumers:\n{}",
        consumer("worker", "work", &format!("{ACKS}prefetch: 3\n"))
    ));
    let reloaded = case.supervisor.run(&["reload"]);
    assert_eq!(reloaded.code, Some(0), "{reloaded:?}");
    wait_for_worker(&case, "the old one gone", |one| {
        let now = pids(one);
        now.len() == 1 && now.iter().all(|pid| !before.contains(pid))
    });
    let after = pids(&worker(&case));
    assert_eq!(worker(&case)["state"], "paused");
    assert_eq!(case.ledger().len(), 1, "it has taken a message");
    assert_snapshot!(shown(&case.supervisor.run(&["resume", "worker"])), @r"
    worker: takes messages again
    [0]
    ");
    case.wait_settled();
    assert_eq!(pids(&worker(&case)), after, "its processes stay");
    assert_eq!(case.stop(PATIENCE).count("acked"), 3);
}

#[tokio::test]
async fn what_is_held_by_one_that_is_paused_is_answered() {
    let mut case = Case::run(
        "command: [python3, \"${CHILDREN}/ledger.py\"]\nprefetch: 2\nenv: { LEDGER: ledger, DELAY: \"1\" }\n",
    )
    .await;
    case.send(&["a", "b", "c", "d"]).await;
    wait_for_worker(&case, "two in flight", |one| one["in_flight"] == 2);
    assert_snapshot!(shown(&case.supervisor.run(&["pause", "worker"])), @r"
    worker: paused; 2 messages that it holds are still to be answered
    [0]
    ");
    wait_for_worker(&case, "both answered", |one| one["in_flight"] == 0);
    let counts = worker(&case);
    let taken = counts["received"].as_u64().unwrap();
    assert_eq!(counts["settled"]["acked"], taken);
    assert!(taken < 4, "it went on taking messages");
    case.supervisor.run(&["resume", "worker"]);
    case.wait_settled();
    assert_eq!(case.stop(PATIENCE).count("acked"), 4);
}

#[tokio::test]
async fn one_can_be_scaled_by_hand_until_the_file_says_otherwise() {
    let mut case = Case::run(&format!("{ACKS}workers: 2\n")).await;
    let running = |count: usize| {
        move |one: &Value| {
            let all = one["workers"].as_array().unwrap();
            all.len() == count && all.iter().all(|worker| worker["state"] == "running")
        }
    };
    wait_for_worker(&case, "two", running(2));
    let before = pids(&worker(&case));
    assert_snapshot!(shown(&case.supervisor.run(&["scale", "worker", "4"])), @r"
    worker: 4 workers
    [0]
    ");
    wait_for_worker(&case, "four", running(4));
    assert!(before.iter().all(|pid| pids(&worker(&case)).contains(pid)));
    assert_eq!(worker(&case)["scaled"], 4);
    assert_snapshot!(shown(&case.supervisor.run(&["scale", "worker", "1"])), @r"
    worker: 1 worker
    [0]
    ");
    wait_for_worker(&case, "one", running(1));
    // The file says the same as before.
    assert_eq!(case.supervisor.run(&["reload"]).code, Some(0));
    assert_eq!(worker(&case)["scaled"], 1);
    assert_snapshot!(shown(&case.supervisor.run(&["scale", "worker", "file"])), @r"
    worker: as many workers as the file says
    [0]
    ");
    wait_for_worker(&case, "two again", running(2));
    case.supervisor.run(&["scale", "worker", "1"]);
    wait_for_worker(&case, "one again", running(1));
    case.write(&format!(
        "{QUEUES}consumers:\n{}",
        consumer("worker", "work", &format!("{ACKS}workers: 3\n"))
    ));
    case.supervisor.run(&["reload"]);
    wait_for_worker(&case, "as the file says", running(3));
    assert_eq!(worker(&case)["scaled"], Value::Null);
    assert_snapshot!(shown(&case.supervisor.run(&["scale", "worker", "0"])), @r"
    error: invalid value '0' for '<WORKERS>': a number from 1 to 1024, or `file` (to have none at work, use `warrener pause`)

    For more information, try '--help'.
    [64]
    ");
    case.stop(PATIENCE);
}

#[tokio::test]
async fn a_restart_replaces_the_processes_and_loses_nothing() {
    let mut case = Case::run(&format!("{ACKS}workers: 2\nprefetch: 10\n")).await;
    let bodies: Vec<String> = (0..500).map(|number| number.to_string()).collect();
    let bodies: Vec<&str> = bodies.iter().map(String::as_str).collect();
    wait_for_worker(&case, "both", |one| pids(one).len() == 2);
    let before = pids(&worker(&case));
    case.send(&bodies).await;
    assert_snapshot!(shown(&case.supervisor.run(&["restart", "worker"])), @r"
    worker: its workers are being replaced, one by one
    [0]
    ");
    wait_for_worker(&case, "two others", |one| {
        let now = pids(one);
        now.len() == 2 && now.iter().all(|pid| !before.contains(pid))
    });
    case.wait_settled();
    let books = case.stop(PATIENCE);
    assert_eq!((books.count("acked"), case.ledger().len()), (500, 500));
}

#[tokio::test]
async fn a_reload_says_what_has_become_of_it() {
    let mut case = Case::run(ACKS).await;
    let mut all = shown(&case.supervisor.run(&["reload"]));
    let mut next = |case: &Case, sections: &str| {
        case.write(sections);
        all += "\n\n";
        all += &shown(&case.supervisor.run(&["reload"]));
    };
    let with = |keys: &str| format!("{QUEUES}consumers:\n{}", consumer("worker", "work", keys));
    next(&case, &with(&format!("{ACKS}prefetch: 7\n")));
    next(&case, &with(&format!("{ACKS}prefitch: 7\n")));
    next(&case, &with("command: [./no-such-program]\n"));
    // Whoever asks again may have mended what the file does not show.
    next(&case, &with("command: [./no-such-program]\n"));
    case.write(&with("command: [./no-such-program]\n# and nothing else\n"));
    let again = "the files say the same as before, of which not all is done: reloaded: topology: \
                 nothing to do; consumers: 1 refused";
    case.supervisor.wait_for(again);
    // A queue that exists with other arguments.
    let queues = QUEUES.replace("dead: {}", "dead: { max_length: 5 }");
    next(&case, &format!("{queues}consumers:\n{}", consumer("worker", "work", ACKS)));
    let cwd = case.supervisor.path("").display().to_string();
    let all = all.replace(cwd.trim_end_matches('/'), "CWD");
    assert_snapshot!(all, @r"
    unchanged: the files say the same as before
    [0]

    applied: reloaded: topology: nothing to do; consumers: 1 replaced
    [0]

    error[E0102]: there is no key `prefitch` here
      --> stack.yaml:12:5
       |
    12 |     prefitch: 7
       |     ^^^^^^^^
       |
       = hint: did you mean `prefetch`?

    error: the files cannot be used; everything goes on as it is
    [1]

    partly applied: reloaded: topology: nothing to do; consumers: 1 refused
    error: the old version of `worker` stays: the program `CWD/./no-such-program` does not exist
    hint: a path is looked for from the consumer's `cwd`, `CWD`
    [3]

    partly applied: reloaded: topology: nothing to do; consumers: 1 refused
    error: the old version of `worker` stays: the program `CWD/./no-such-program` does not exist
    hint: a path is looked for from the consumer's `cwd`, `CWD`
    [3]

    error: 1 resource is in conflict with the files; nothing was changed
    ! queue dead: x-max-length is absent on the broker, 5 in stack.yaml:5:3
      hint: let the file say what the broker has, or make it anew with its bindings: `on_conflict: migrate` takes its messages along, `--allow-replace` needs it empty
    0 to create, 0 to update, 1 in conflict

    the change is refused; everything goes on as it is
    [1]
    ");
    case.stop(PATIENCE);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_while_the_broker_is_away_goes_on_by_itself() {
    let (mut case, proxy) = Case::behind_proxy("").await;
    case.start(ACKS);
    case.supervisor.wait_for("started: topology");
    proxy.refuse(true);
    proxy.cut();
    case.write(&format!(
        "{QUEUES}  more: {{}}\nconsumers:\n{}",
        consumer("worker", "work", &format!("{ACKS}prefetch: 7\n"))
    ));
    let said = case.supervisor.run(&["reload"]);
    assert_eq!(said.code, Some(3), "{said:?}");
    assert!(said.out.starts_with("waiting: the files are in order"), "{said:?}");
    proxy.refuse(false);
    case.supervisor.wait_for("reloaded: topology");
    case.stop(PATIENCE);
}

#[tokio::test]
async fn a_drain_answers_what_is_held_and_ends() {
    let mut case = Case::run(
        "command: [python3, \"${CHILDREN}/ledger.py\"]\nprefetch: 5\nenv: { LEDGER: ledger, DELAY: \"0.2\" }\n",
    )
    .await;
    case.send(&["a", "b", "c", "d", "e", "f", "g", "h"]).await;
    wait_for_worker(&case, "some in flight", |one| one["in_flight"] == 5);
    let said = case.supervisor.run(&["drain"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.out.starts_with("ended: stack `test`, "), "{said:?}");
    assert!(case.supervisor.exited(Duration::from_secs(5)).success());
    let books = case.books();
    assert_eq!(books.count("received"), books.count("acked") + books.count("released"));
    // All that its process had been given is answered; what came after goes back.
    assert!(books.count("acked") >= 5, "{books:?}");
    assert_eq!(books.count("lost_to_channel"), 0);
    assert!(!case.supervisor.socket().exists());
}

#[tokio::test]
async fn who_is_not_there_is_said() {
    let mut case = Case::run(ACKS).await;
    let mut all = shown(&case.supervisor.run(&["pause", "wroker"]));
    all += "\n\n";
    all += &shown(&case.supervisor.run(&["restart", "elsewhere"]));
    case.supervisor.signal(Signal::SIGKILL);
    case.supervisor.exited(PATIENCE);
    for command in ["status", "reload", "drain", "top"] {
        all += "\n\n";
        all += &shown(&case.supervisor.run(&[command]));
    }
    let socket = case.supervisor.socket().display().to_string();
    assert_snapshot!(all.replace(&socket, "SOCKET"), @r"
    error: the supervisor runs no consumer `wroker`
      hint: did you mean `worker`?
    [1]

    error: the supervisor runs no consumer `elsewhere`
      hint: it runs `worker`
    [1]

    error: no supervisor listens on `SOCKET`
      hint: `warrener run FILE` starts one; it answers the user who has started it, and root
    [4]

    error: no supervisor listens on `SOCKET`
      hint: `warrener run FILE` starts one; it answers the user who has started it, and root
    [4]

    error: no supervisor listens on `SOCKET`
      hint: `warrener run FILE` starts one; it answers the user who has started it, and root
    [4]

    error: this is no terminal
      hint: `warrener status` shows it once, `--json` for programs
    [1]
    ");
}
