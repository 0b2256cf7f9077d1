//! A message that kills whoever takes it is found, and harms no other.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::support::case::{Case, consumer};
use crate::support::supervisor::{PATIENCE, wait_until};

const MESSAGES: usize = 10_000;

/// How long ten thousand messages may take on a busy machine.
const LONG: Duration = Duration::from_mins(3);

/// `work` of that type, whose children really die of a body that begins with `poison`.
fn stack(kind: &str, keys: &str) -> String {
    let queues = format!(
        "queues:\n  work: {{ {kind}, dead_letter: {{ queue: dead }} }}\n  dead: {{ type: quorum }}\n"
    );
    let keys = format!(
        "command: [python3, \"${{CHILDREN}}/poison.py\"]\nprefetch: 100\n\
         env: {{ LEDGER: ledger, TRIES: tries }}\n\
         restart: {{ backoff: 50ms, backoff_max: 200ms, intensity: {{ max: 100, period: 1m }} }}\nstop: {{ grace: 5s }}\n{keys}"
    );
    format!("{queues}consumers:\n{}", consumer("worker", "work", &keys))
}

/// Publishes the messages, of which those at these places are poison.
async fn publish(case: &Case, poisons: &[usize]) {
    let bodies = (0..MESSAGES).map(|number| {
        let word = if poisons.contains(&number) { "poison" } else { "message" };
        format!("{word} {number}")
    });
    case.outside.publish("work", bodies.collect::<Vec<_>>()).await;
}

/// How often a child took each poison, by body.
fn tries(case: &Case) -> BTreeMap<String, Vec<String>> {
    let text = fs::read_to_string(case.supervisor.path("tries")).unwrap_or_default();
    let mut tries = BTreeMap::<_, Vec<_>>::new();
    for line in text.lines() {
        let (body, attempt) = line.rsplit_once(' ').expect("a body and a number");
        tries.entry(body.to_owned()).or_default().push(attempt.to_owned());
    }
    tries
}

/// All others are acked, and the poisons are dead letters that say why.
async fn only_these_are_dead(case: &mut Case, poisons: &[usize]) {
    // One that is dead without a reason is found below, and not waited for here.
    let dead = || case.vhost.messages("dead").and_then(|count| usize::try_from(count).ok());
    wait_until("all handled", LONG, || case.ledger().len() + dead().unwrap_or(0) >= MESSAGES);
    case.wait_settled();
    let dead = case.outside.take_all("dead").await;
    for dead in &dead {
        assert!(dead.body.starts_with("poison"), "an innocent one is dead: {dead:?}");
        assert_eq!(dead.header("warrener-reason"), "crashed");
        assert_eq!(dead.header("warrener-crashes"), "3");
        let expected =
            format!("crash 3 of 3: signal 11 (SIGSEGV): reading the address of {}", dead.body);
        assert_eq!(dead.header("warrener-error"), expected);
    }
    assert_eq!(dead.len(), poisons.len());
    assert_eq!(case.outside.depth("work").await, Some(0));
}

async fn one_among_ten_thousand(kind: &str, keys: &str, poisons: &[usize]) {
    let mut case = Case::prepare().await;
    case.write(&stack(kind, keys));
    case.supervisor.start();
    case.supervisor.wait_for("started: topology");
    publish(&case, poisons).await;
    only_these_are_dead(&mut case, poisons).await;
    let tries = tries(&case);
    assert_eq!(tries.len(), poisons.len(), "{tries:?}");
    for (poison, attempts) in &tries {
        assert_eq!(attempts.len(), 3, "{poison}: {attempts:?}");
    }
    let books = case.stop(PATIENCE);
    assert_eq!(books.count("acked"), (MESSAGES - poisons.len()) as u64);
    assert_eq!(books.count("dead_lettered"), poisons.len() as u64);
    // Each crash but the one in company sends the message round once; nothing else is given back.
    assert_eq!((books.count("released"), books.count("requeued")), (0, 0));
    let twice: Vec<_> = case.ledger().into_iter().filter(|(_, times)| *times > 2).collect();
    assert!(twice.is_empty(), "{twice:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_segfault_among_ten_thousand_in_a_classic_queue() {
    one_among_ten_thousand("type: classic", "", &[5_000]).await;
}

/// With a limit of one, the broker would drop whatever was given back twice.
#[tokio::test(flavor = "multi_thread")]
async fn one_segfault_among_ten_thousand_in_a_quorum_queue() {
    one_among_ten_thousand("type: quorum, delivery_limit: 1", "", &[5_000]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_poisons_in_one_batch_and_two_workers() {
    let keys = "workers: 2\nretry: { delays: [100ms, 200ms, 300ms, 400ms] }\n";
    one_among_ten_thousand("type: quorum, delivery_limit: 1", keys, &[3_000, 3_005, 7_000]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_count_survives_a_kill_of_the_supervisor() {
    for kind in ["classic", "quorum"] {
        let mut case = Case::prepare().await;
        case.write(&stack(&format!("type: {kind}"), "retry: { delays: [2s, 2s, 2s] }\n"));
        case.supervisor.start();
        case.supervisor.wait_for("started: topology");
        publish(&case, &[2_000]).await;
        // It waits for its next try, with what is known about it.
        case.outside.wait_for_depth("work.retry.2s", 1, LONG).await;
        // The original is acked before the next message goes to the next child.
        let handled = case.ledger().len();
        wait_until("work to go on", LONG, || case.ledger().len() > handled);
        case.supervisor.signal(Signal::SIGKILL);
        case.supervisor.exited(PATIENCE);
        case.supervisor.start();
        only_these_are_dead(&mut case, &[2_000]).await;
        let attempts = tries(&case).remove("poison 2000").expect("tried");
        assert_eq!(attempts.len(), 3, "{kind}: {attempts:?}");
        assert_eq!(attempts.last().map(String::as_str), Some("3"), "{kind}");
        case.supervisor.signal(Signal::SIGTERM);
        assert!(case.supervisor.exited(PATIENCE).success());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_in_the_middle_gives_the_suspects_back() {
    let mut case = Case::prepare().await;
    // The next child is far away.
    case.write(
        &stack("type: quorum", "max_crashes: 5\n").replace("50ms", "60s").replace("200ms", "60s"),
    );
    case.supervisor.start();
    case.supervisor.wait_for("started: topology");
    let bodies: Vec<_> = ["poison", "b", "c"].map(str::to_owned).into();
    case.outside.publish("work", bodies).await;
    wait_until("the crash", PATIENCE, || case.logged("signal 11 (SIGSEGV)") >= 1);
    let books = case.stop(PATIENCE);
    let (released, retried) = (books.count("released"), books.count("retried"));
    assert_eq!(released + retried + books.count("acked"), books.count("received"));
    case.outside.wait_for_depth("work", 3, PATIENCE).await;
    case.outside.wait_for_depth("dead", 0, PATIENCE).await;
}

/// The restarts that are allowed are the five of the default, and there are eighteen crashes.
#[tokio::test(flavor = "multi_thread")]
async fn many_poisons_do_not_halt_a_consumer_that_works() {
    let mut case = Case::prepare().await;
    let intensity = ", intensity: { max: 100, period: 1m }";
    let stack = stack("type: quorum", "").replace(intensity, "");
    assert!(!stack.contains("intensity"));
    case.write(&stack);
    case.supervisor.start();
    case.supervisor.wait_for("started: topology");
    let bodies = (0..300).map(|number| {
        let word = if number % 50 == 25 { "poison" } else { "message" };
        format!("{word} {number}")
    });
    case.outside.publish("work", bodies.collect::<Vec<_>>()).await;
    case.outside.wait_for_depth("dead", 6, LONG).await;
    case.wait_settled();
    assert_eq!(case.logged("it takes no more messages"), 0);
    assert_eq!(tries(&case).values().map(Vec::len).sum::<usize>(), 6 * 3);
    let books = case.stop(PATIENCE);
    assert_eq!((books.count("acked"), books.count("dead_lettered")), (294, 6));
}

#[tokio::test(flavor = "multi_thread")]
async fn code_that_dies_of_every_message_is_cut_off_until_it_is_mended() {
    // The shell reads one line and no more, so each message is alone, whatever waits behind it.
    let script = "while read -r line; do test -e mended || exit 1; echo ack; done";
    for prefetch in [1, 10] {
        let keys = format!(
            "shell: {script}\nprotocol: lines\nprefetch: {prefetch}\nmax_crashes: 2\n\
             restart: {{ backoff: 20ms, backoff_max: 300ms, reset_after: 1s, intensity: {{ max: 4, period: 10s }} }}\n"
        );
        let mut case = Case::run(&keys).await;
        let bodies = (0..20).map(|number| number.to_string());
        case.outside.publish("work", bodies.collect::<Vec<_>>()).await;
        case.supervisor.wait_for(
            "more than 8 crashes over messages that were tried alone, and none handled between, at last because its process ended with exit code 1: it takes no more messages",
        );
        case.outside.wait_for_consumers("work", 0, PATIENCE).await;
        assert_eq!(case.logged("worker[0]: started"), 9, "prefetch {prefetch}");
        // It has not changed, and the one that is tried need not die so often again.
        case.supervisor.wait_for("the worker that was tried has failed");
        case.supervisor.write("mended", "");
        case.supervisor.wait_for("the one worker holds: all of them start again");
        case.wait_settled();
        let books = case.stop(PATIENCE);
        assert_eq!(books.count("acked") + books.count("dead_lettered"), 20);
        assert!(books.count("dead_lettered") <= 5, "{books:?}");
    }
}
