//! `ack: auto` on a real broker: programs that never answer, what bounds them, and what is lost.

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

use crate::support::case::Case;
use crate::support::supervisor::{PATIENCE, wait_until};

/// Lines, for a shell script that answers nothing.
fn lines(script: &str) -> String {
    format!(
        "shell: '{script}'\nprotocol: lines\nack: auto\n\
         restart: {{ backoff: 50ms, backoff_max: 200ms }}\nstop: {{ grace: 20s }}\n"
    )
}

fn numbers(count: usize) -> Vec<String> {
    (0..count).map(|number| number.to_string()).collect()
}

/// The lines of a file that a child writes.
fn got(case: &Case, file: &str) -> Vec<String> {
    let text = fs::read_to_string(case.supervisor.path(file)).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_never_answers_has_every_message_in_order() {
    let mut case = Case::run(&lines("exec cat >> got")).await;
    case.outside.publish("work", numbers(5_000)).await;
    wait_until("all of them", PATIENCE, || got(&case, "got").len() == 5_000);
    case.wait_settled();
    assert_eq!(got(&case, "got"), numbers(5_000));
    let books = case.stop(PATIENCE);
    assert_eq!((books.count("received"), books.count("acked")), (5_000, 5_000));
    assert_eq!(books.count("protocol_errors"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_read_leaves_the_rest_with_the_broker() {
    let gate = "while [ ! -e go ]; do sleep 0.02; done; exec cat >> got";
    let mut case = Case::run(&(lines(gate) + "prefetch: 8\n")).await;
    let body = "x".repeat(64 * 1024);
    case.outside.publish("work", (0..400).map(|_| body.clone())).await;
    let unsettled = || case.unsettled().unwrap_or_default();
    wait_until("the first to be acked", PATIENCE, || (1..400).contains(&unsettled()));
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(2) {
        // The pipe holds 256 KiB, and one more message is on its way into it.
        assert!(unsettled() >= 394, "{} left", unsettled());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // A stop gives back what is not acked, and lets the rest be read.
    case.supervisor.write("go", "");
    case.wait_settled();
    let books = case.stop(PATIENCE);
    assert_eq!((books.count("acked"), got(&case, "got").len()), (400, 400));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_small_messages_no_more_is_acked_than_the_pipe_holds_and_a_little() {
    const MESSAGES: u64 = 2_000;
    let gate = "while [ ! -e go ]; do sleep 0.02; done; exec cat >> got";
    let mut case = Case::run(&(lines(gate) + "prefetch: 2000\n")).await;
    case.outside.publish("work", (0..MESSAGES).map(|number| format!("{number:01023}"))).await;
    let acked = || MESSAGES - case.unsettled().unwrap_or_default();
    wait_until("the pipe to be full", PATIENCE, || (1..MESSAGES).contains(&acked()));
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(2) {
        // 256 of them fill the pipe, and 16 follow, of which the last may be the seventeenth.
        assert!(acked() <= 256 + 17, "{} are acked", acked());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(acked() > 200, "{} are acked", acked());
    case.supervisor.write("go", "");
    case.wait_settled();
    let books = case.stop(PATIENCE);
    assert_eq!((books.count("acked"), got(&case, "got").len()), (MESSAGES, 2_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_under_load_loses_nothing() {
    let slow = "while read -r line; do echo \"$line\" >> got; sleep 0.002; done";
    let mut case = Case::run(&lines(slow)).await;
    // Some 256 of them fill the pipe.
    let body = |number: usize| format!("{number:01000}");
    case.outside.publish("work", (0..3_000).map(body)).await;
    wait_until("some", PATIENCE, || got(&case, "got").len() > 100);
    let books = case.stop(PATIENCE);
    let got = got(&case, "got");
    assert_eq!(books.count("acked"), got.len() as u64);
    case.outside.wait_for_depth("work", u32::try_from(3_000 - got.len()).unwrap(), PATIENCE).await;
    assert!(got.iter().enumerate().all(|(number, line)| *line == body(number)), "out of order");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_loses_what_was_given_and_brings_nothing_twice() {
    let poison = "while [ ! -e go ]; do sleep 0.02; done; while read -r line; do echo \"$line\" >> got; [ \"$line\" = 700 ] && kill -9 $$$$; done";
    let mut case = Case::run(&lines(poison)).await;
    case.outside.publish("work", numbers(100_000)).await;
    case.supervisor.write("go", "");
    wait_until("the last", PATIENCE * 4, || got(&case, "got").iter().any(|line| line == "99999"));
    case.wait_settled();
    let got = got(&case, "got");
    let different: BTreeSet<_> = got.iter().collect();
    assert_eq!(different.len(), got.len(), "something came twice");
    let after = got.iter().position(|line| line == "700").expect("it came") + 1;
    let next: usize = got[after].parse().unwrap();
    // Six bytes each: what lay in the pipe, and what was about to be written.
    assert!((702..70_000).contains(&next), "{next} came next");
    assert_eq!(got.len(), 100_000 - (next - 701), "more is lost than was given");
    assert_eq!(case.logged("messages are lost that its process was given"), 1);
    let books = case.stop(PATIENCE);
    assert_eq!((books.count("received"), books.count("acked")), (100_000, 100_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_a_message_runs_at_most_once_whatever_it_says() {
    let script = "read -r line; echo \"$line\" >> runs; [ \"$line\" = 3 ] && kill -SEGV $$$$; exit \"$line\"";
    let keys = format!("shell: '{script}'\nprotocol: exec\nack: auto\nworkers: 2\n");
    let mut case = Case::run(&keys).await;
    case.send(&["0\n", "1\n", "2\n", "3\n", "4\n"]).await;
    wait_until("five runs", PATIENCE, || got(&case, "runs").len() == 5);
    case.wait_settled();
    wait_until("four to fail", PATIENCE, || {
        case.logged("a message has failed that is acked already") == 4
    });
    let books = case.stop(PATIENCE);
    assert_eq!((books.count("received"), books.count("acked")), (5, 5));
    assert_eq!(case.outside.depth("dead").await, Some(0));
    let mut runs = got(&case, "runs");
    runs.sort();
    assert_eq!(runs, numbers(5));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_child_answers_is_noted_and_settles_nothing() {
    let script = "read -r a; echo nack; read -r b; echo reject; read -r c; echo requeue; \
                  read -r d; echo ack; exec cat";
    let mut case = Case::run(&lines(script)).await;
    case.send(&["a", "b", "c", "d"]).await;
    case.wait_settled();
    wait_until("two to fail", PATIENCE, || {
        case.logged("a message has failed that is acked already") == 2
    });
    let books = case.stop(PATIENCE);
    assert_eq!((books.count("acked"), books.count("protocol_errors")), (4, 0));
    assert_eq!(case.outside.depth("dead").await, Some(0));
}
