//! Children that misbehave: each harms nobody but itself, and no message is lost to it.

mod scripted;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::support::case::{Case, QUEUES, consumer};
use crate::support::supervisor::{PATIENCE, alive, wait_until};

/// Restarts fast enough for a test.
const QUICK: &str = "restart: { backoff: 50ms, backoff_max: 200ms }\nstop: { grace: 3s }";

/// How long a stop may take whose grace time is 3 s.
const STOPPED: Duration = Duration::from_secs(4);

fn python(file: &str) -> String {
    format!("command: [python3, \"${{CHILDREN}}/{file}\"]\n{QUICK}\n")
}

fn shell(file: &str) -> String {
    format!("command: [sh, \"${{CHILDREN}}/{file}\"]\nprotocol: lines\n{QUICK}\n")
}

/// `python` with a ledger.
fn ledgered(file: &str) -> String {
    python(file) + "env: { LEDGER: ledger }\n"
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_silent_runs_out_of_time_and_is_replaced() {
    let keys = python("silent.py") + "timeout: 300ms\nretry: { delays: [100ms] }\n";
    let mut case = Case::run(&keys).await;
    wait_until("a child", PATIENCE, || !case.supervisor.children().is_empty());
    let first = case.supervisor.children();
    case.send(&["a"]).await;
    case.outside.wait_for_depth("dead", 1, PATIENCE).await;
    let dead = case.outside.take_all("dead").await;
    assert_eq!(dead[0].header("warrener-reason"), "timeout");
    assert_eq!(dead[0].header("warrener-attempt"), "2");
    assert_eq!(dead[0].header("warrener-error"), "no answer within 300ms");
    wait_until("another child", PATIENCE, || {
        case.supervisor.children().iter().any(|pid| !first.contains(pid))
    });
    case.supervisor.wait_for("is its output flushed after each answer?");
    let books = case.stop(STOPPED);
    assert_eq!((books.count("retried"), books.count("dead_lettered")), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_never_flushes_is_told_from_one_that_works() {
    let mut case = Case::run(&(python("block_buffered.py") + "timeout: 300ms\n")).await;
    case.send(&["a", "b", "c"]).await;
    case.outside.wait_for_depth("dead", 3, PATIENCE).await;
    for dead in case.outside.take_all("dead").await {
        assert_eq!(dead.header("warrener-reason"), "timeout");
    }
    case.supervisor.wait_for("no answer within 300ms: the worker is replaced");
    assert_eq!(case.stop(STOPPED).count("dead_lettered"), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_suspends_itself_is_killed_when_time_is_over() {
    let mut case = Case::run(&(python("suspended.py") + "timeout: 300ms\n")).await;
    wait_until("a child", PATIENCE, || !case.supervisor.children().is_empty());
    let [first] = case.supervisor.children()[..] else { panic!("one child") };
    case.send(&["a"]).await;
    case.outside.wait_for_depth("dead", 1, PATIENCE).await;
    // TERM does not reach it; ten seconds later KILL does.
    wait_until("its end", PATIENCE, || !alive(first));
    case.stop(STOPPED);
}

#[tokio::test(flavor = "multi_thread")]
async fn banners_and_prints_between_answers_are_log() {
    let mut case = Case::run(&shell("banner.sh")).await;
    case.send(&["one", "two", "three"]).await;
    for line in ["=== my consumer v1.2 ===", "acknowledged by the management", "working on three"] {
        case.supervisor.wait_for(&format!("worker[0] stdout: {line}"));
    }
    let books = case.stop(STOPPED);
    assert_eq!((books.count("acked"), books.count("protocol_errors")), (3, 0));
    let lines = [
        "WARN  worker[0]: three is late\n",
        r#"ERROR worker[0]: three is charged json="{\"log\":\"three is charged\",\"level\":\"error\",\"by\":\"card\"}""#,
    ];
    for line in lines {
        assert_eq!(case.logged(line), 1, "{line}: {}", case.supervisor.log());
    }
    assert_eq!(case.logged("a line on stdout that is no answer is taken as log"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_are_repeated_made_up_or_out_of_order_settle_each_message_once() {
    for (file, errors) in [("duplicates.py", 12), ("unknown_id.py", 6), ("out_of_order.py", 0)] {
        let keys = python(file).replace(".py\"", ".py\", \"3\"");
        let mut case = Case::run(&keys).await;
        case.send(&["0", "1", "2", "3", "4", "5"]).await;
        case.wait_settled();
        let books = case.stop(STOPPED);
        case.outside.wait_for_depth("work", 0, PATIENCE).await;
        case.outside.wait_for_depth("dead", 0, PATIENCE).await;
        assert_eq!(books.count("acked"), 6, "{file}");
        assert_eq!(books.count("restarts"), 0, "{file}");
        assert_eq!(case.logged("message failed"), 0, "{file}");
        // What comes after the last ack may come after the stop.
        assert!((errors - 2..=errors).contains(&(books.count("protocol_errors").cast_signed())));
        let said = match file {
            "duplicates.py" => "protocol error: a second answer to one message; the first stands",
            "unknown_id.py" => {
                "protocol error: an answer to a message it was not given id=4294967295-999999"
            }
            _ => continue,
        };
        assert!(case.logged(said) > 0, "{file}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_writes_garbage_is_replaced_and_its_messages_return() {
    let mut case = Case::run(&python("garbage.py")).await;
    case.send(&["a", "b"]).await;
    case.supervisor.wait_for("too many protocol errors in a row: the worker is replaced");
    wait_until("a second life", PATIENCE, || case.logged("worker[0]: started") >= 2);
    let books = case.stop(STOPPED);
    case.outside.wait_for_depth("work", 2, PATIENCE).await;
    assert!(books.count("protocol_errors") >= 3);
    assert_eq!(books.count("received"), books.count("released"));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_whose_line_never_ends_is_replaced() {
    let mut case = Case::run(&python("endless_line.py")).await;
    case.send(&["a"]).await;
    case.supervisor.wait_for("a line longer than `max_reply`");
    wait_until("a second life", PATIENCE, || case.logged("worker[0]: started") >= 2);
    case.stop(STOPPED);
    case.outside.wait_for_depth("work", 1, PATIENCE).await;
    assert!(case.supervisor.log().len() < 100_000, "the log swallowed the line");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_child_held_when_it_ended_has_failed() {
    for (file, exit) in [("exits_holding.py", "exit code 0"), ("half_answer.py", "exit code 0")] {
        let mut case = Case::run(&(python(file) + "max_crashes: 2\n")).await;
        case.send(&["a", "b"]).await;
        case.outside.wait_for_depth("dead", 2, PATIENCE).await;
        for dead in case.outside.take_all("dead").await {
            assert_eq!(dead.header("warrener-reason"), "crashed", "{file}");
            assert_eq!(dead.header("warrener-error"), format!("crash 2 of 2: {exit}"), "{file}");
        }
        let books = case.stop(STOPPED);
        assert_eq!((books.count("acked"), books.count("released")), (0, 0), "{file}");
        assert_eq!(books.count("dead_lettered"), 2, "{file}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_child_said_with_its_last_breath_stands() {
    let mut case = Case::run(&(ledgered("last_breath.py") + "prefetch: 5\n")).await;
    case.send(&["0", "1", "2", "3", "4"]).await;
    case.wait_handled(5);
    case.outside.wait_for_depth("work", 0, PATIENCE).await;
    let books = case.stop(STOPPED);
    case.outside.wait_for_depth("work", 0, PATIENCE).await;
    assert_eq!(books.count("acked"), 5);
    assert!(case.ledger().values().all(|times| *times == 1), "{:?}", case.ledger());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_to_what_was_not_wholly_written_settles_nothing() {
    let keys = python("answers_early.py") + "max_message: 8MiB\n";
    let mut case = Case::run(&keys).await;
    // More than a pipe holds.
    case.send(&["x".repeat(4 << 20).as_str()]).await;
    case.supervisor.wait_for("protocol error: an answer to a message it was not given");
    let books = case.stop(STOPPED);
    assert_eq!(books.count("acked"), 0);
    case.outside.wait_for_depth("work", 1, PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_closes_its_input_is_replaced_and_no_message_waits_for_it() {
    let keys = python("closes_stdin.py").replace("grace: 3s", "grace: 1s");
    let mut case = Case::run(&keys).await;
    case.send(&["0", "1", "2"]).await;
    case.supervisor.wait_for("it has closed its input");
    case.outside.wait_for_depth("work", 0, PATIENCE).await;
    wait_until("all three to be acked", PATIENCE, || case.logged("worker[0]: started") >= 3);
    let books = case.stop(STOPPED);
    let left = 3 - u32::try_from(books.count("acked")).unwrap();
    case.outside.wait_for_depth("work", left, PATIENCE).await;
    case.outside.wait_for_depth("dead", 0, PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_loop_is_slow_and_leaves_the_others_alone() {
    let mut case = Case::prepare().await;
    let bad = consumer("bad", "other", "command: [sh, \"${CHILDREN}/exits_at_once.sh\"]");
    let good = consumer("worker", "work", &ledgered("ledger.py"));
    case.write(&format!(
        "{QUEUES}  other: {{ dead_letter: {{ queue: dead }} }}\nconsumers:\n{bad}{good}"
    ));
    case.supervisor.start();
    case.supervisor.wait_for("started: topology");
    let start = Instant::now();
    case.outside.publish("other", ["waits".to_owned()]).await;
    case.supervisor.wait_for("bad[0]: no such database");
    let bodies: Vec<String> = (0..2000).map(|number| number.to_string()).collect();
    case.outside.publish("work", bodies).await;
    case.wait_handled(2000);
    wait_until("a second crash", PATIENCE, || {
        case.logged("bad[0]: its process ended with exit code 1; restart in") >= 2
    });
    let spawns = case.logged("bad[0]: started");
    // One second, two, four, eight, each a fifth less at the least.
    let most = if start.elapsed() < Duration::from_secs(5) { 3 } else { 5 };
    assert!(spawns <= most, "{spawns} in {:?}", start.elapsed());
    assert_eq!(case.logged("worker[0]: started"), 1);
    let crashes = case.logged("bad[0]: its process ended with exit code 1");
    assert!(case.logged("bad[0]: no such database") >= crashes, "its last words are not logged");
    let books = case.stop(Duration::from_secs(10));
    assert_eq!(books.count("acked"), 2000);
    case.outside.wait_for_depth("other", 1, PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_ignores_the_stop_is_killed_within_the_grace() {
    let mut case = Case::run(&shell("ignores_term.sh").replace("3s", "2s")).await;
    case.send(&["a"]).await;
    case.outside.wait_for_depth("work", 0, PATIENCE).await;
    wait_until("a child", PATIENCE, || !case.supervisor.children().is_empty());
    let children = case.supervisor.children();
    let books = case.stop(Duration::from_secs(3));
    assert!(!children.iter().any(|pid| alive(*pid)));
    assert_eq!(case.logged("its process ended with signal 9 (SIGKILL)"), 1);
    // An empty queue may mean that the message was on its way when the stop came.
    let left = 1 - u32::try_from(books.count("acked")).expect("one at most");
    case.outside.wait_for_depth("work", left, PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grandchild_that_holds_the_pipes_stops_nothing() {
    let keys = shell("grandchild.sh") + "env: { GRANDCHILD: grandchild }\n";
    let mut case = Case::run(&keys).await;
    case.send(&["a"]).await;
    case.wait_settled();
    let file = case.supervisor.path("grandchild");
    let grandchild = || fs::read_to_string(&file).ok()?.trim().parse::<u32>().ok();
    wait_until("the grandchild", PATIENCE, || grandchild().is_some());
    let books = case.stop(STOPPED);
    // It left its group and session, so it is ended by its mark, a moment after the child.
    wait_until("its end", PATIENCE, || !alive(grandchild().unwrap()));
    assert_eq!(books.count("acked"), 1);
    assert_eq!(case.logged("its process ended with exit code 0\n"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_on_stderr_is_drained_and_cut() {
    let keys = python("stderr_flood.py").replace(".py\"", ".py\", \"20\"");
    let mut case = Case::run(&keys).await;
    case.send(&["a", "b", "c"]).await;
    case.outside.wait_for_depth("work", 0, PATIENCE).await;
    let books = {
        wait_until("three messages", PATIENCE, || case.logged("worker[0]: started") == 1);
        case.stop(STOPPED)
    };
    assert_eq!(books.count("received"), books.count("acked") + books.count("released"));
    assert!(books.count("log_lines_dropped") > 10_000);
    assert!(case.supervisor.log().len() < 2_000_000, "the flood is in the log");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_never_reads_does_not_hold_up_a_stop() {
    let mut case = Case::run(&python("never_reads.py")).await;
    let bodies: Vec<String> = (0..200).map(|_| "x".repeat(16 << 10)).collect();
    case.outside.publish("work", bodies).await;
    case.outside.wait_for_depth("work", 200 - 64, PATIENCE).await;
    let books = case.stop(STOPPED);
    assert_eq!(books.count("released"), 64);
    case.outside.wait_for_depth("work", 200, PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_never_reads_runs_out_of_time_and_is_replaced() {
    let mut case = Case::run(&(python("never_reads.py") + "timeout: 500ms\nprefetch: 4\n")).await;
    let bodies: Vec<String> = (0..4).map(|_| "x".repeat(1 << 20)).collect();
    case.outside.publish("work", bodies).await;
    case.outside.wait_for_depth("dead", 1, PATIENCE).await;
    let dead = case.outside.take_all("dead").await;
    assert_eq!(dead[0].header("warrener-reason"), "timeout");
    wait_until("a second life", PATIENCE, || case.logged("worker[0]: started") >= 2);
    case.stop(Duration::from_secs(15));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loop_in_the_shell_is_a_consumer() {
    let script =
        "while IFS= read -r line; do printf '%s\\\\n' \\\"$$line\\\" >> seen; echo ack; done";
    let keys = format!("command: [bash, -c, \"{script}\"]\nprotocol: lines\nmax_message: 1KiB\n");
    let mut case = Case::run(&(keys + QUICK)).await;
    let long = "x".repeat(1025);
    case.send(&["one", "two\nlines", "  three \\n $HOME ", &long, "", "last"]).await;
    case.outside.wait_for_depth("dead", 2, PATIENCE).await;
    let seen = case.supervisor.path("seen");
    wait_until("the last one", PATIENCE, || {
        fs::read_to_string(&seen).is_ok_and(|text| text.ends_with("last\n"))
    });
    assert_eq!(fs::read_to_string(&seen).unwrap(), "one\n  three \\n $HOME \n\nlast\n");
    let dead = case.outside.take_all("dead").await;
    let mut reasons: Vec<_> = dead.iter().map(|dead| dead.header("warrener-reason")).collect();
    reasons.sort();
    assert_eq!(reasons, ["too_large", "unencodable"]);
    let books = case.stop(STOPPED);
    assert_eq!((books.count("acked"), books.count("dead_lettered")), (4, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_command_a_consumer_takes_no_message_until_there_is_one() {
    for (broken, says) in [(None, "does not exist"), (Some(0o644), "is not executable")] {
        let mut case = Case::prepare().await;
        let program = case.supervisor.path("my consumer");
        let text = "#!/bin/sh\nwhile read -r line; do echo ack; done\n";
        if let Some(mode) = broken {
            write_program(&program, text, mode);
        }
        let bad = consumer(
            "bad",
            "other",
            &format!("command: [./my consumer]\nprotocol: lines\n{QUICK}"),
        );
        let good = consumer("worker", "work", &ledgered("ledger.py"));
        case.write(&format!(
            "{QUEUES}  other: {{ dead_letter: {{ queue: dead }} }}\nconsumers:\n{bad}{good}"
        ));
        case.supervisor.start();
        case.supervisor.wait_for(&format!("my consumer` {says}"));
        case.supervisor.wait_for("started: topology");
        case.outside.publish("other", ["a".to_owned(), "b".to_owned()]).await;
        case.send(&["c"]).await;
        case.wait_handled(1);
        assert_eq!(case.outside.depth("other").await, Some(2));
        assert_eq!(case.outside.consumers("other").await, Some(0));

        write_program(&program, text, 0o755);
        case.outside.wait_for_depth("other", 0, PATIENCE).await;
        let books = case.stop(STOPPED);
        assert_eq!(books.count("acked"), 3);
    }
}

fn write_program(path: &std::path::Path, text: &str, mode: u32) {
    use std::os::unix::fs::PermissionsExt as _;
    // Whole and with its mode before it has its name, so that it is never busy or half-made.
    let new = path.with_extension("new");
    fs::write(&new, text).unwrap();
    fs::set_permissions(&new, fs::Permissions::from_mode(mode)).unwrap();
    fs::rename(new, path).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_stops_at_once() {
    let keys = python("silent.py").replace("3s", "60s");
    let mut case = Case::run(&keys).await;
    case.send(&["a"]).await;
    case.outside.wait_for_depth("work", 0, PATIENCE).await;
    let children = case.supervisor.children();
    case.supervisor.signal(Signal::SIGTERM);
    case.supervisor.wait_for("once more to stop at once");
    case.supervisor.signal(Signal::SIGTERM);
    case.supervisor.exited(Duration::from_secs(3));
    assert!(!children.iter().any(|pid| alive(*pid)));
    case.outside.wait_for_depth("work", 1, PATIENCE).await;
    case.books();
}

#[tokio::test(flavor = "multi_thread")]
async fn children_die_with_a_supervisor_that_is_killed() {
    let mut case = Case::run(&(shell("ignores_term.sh") + "workers: 3\n")).await;
    case.send(&["a"]).await;
    wait_until("three children", PATIENCE, || case.supervisor.children().len() == 3);
    let children = case.supervisor.children();
    case.supervisor.signal(Signal::SIGKILL);
    wait_until("the children's end", Duration::from_secs(2), || {
        !children.iter().any(|pid| alive(*pid))
    });
    case.supervisor.exited(PATIENCE);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_of_the_log_who_stops_reading_stops_nothing_else() {
    let mut case = Case::prepare().await;
    // Each line is a good part of what a pipe holds.
    let keys = "shell: 'while read -r line; do head -c 9000 /dev/zero | tr \\0 x >&2; echo >&2; echo ack; done'\nprotocol: lines";
    case.write(&format!("{QUEUES}consumers:\n{}", consumer("worker", "work", keys)));
    let (reader, log) = std::io::pipe().unwrap();
    case.supervisor.start_logging_to(log.into());
    let mut lines = BufReader::new(reader).lines();
    assert!(lines.any(|line| line.unwrap().contains("started: topology")));
    case.send(&["a"; 100]).await;
    case.wait_settled();
    case.supervisor.signal(Signal::SIGTERM);
    assert!(case.supervisor.exited(PATIENCE).success());
    drop(lines);
}
