//! Workers that end: who is started again, how often, and what happens when that is too often.

use std::fs;
use std::time::{Duration, Instant};

use crate::support::case::{Case, QUEUES, consumer};
use crate::support::supervisor::{PATIENCE, wait_until};

/// A consumer that can do nothing before the file `mended` is there.
const BROKEN: &str =
    "command: [sh, -c, \"test -e mended || exit 1; while read -r line; do echo ack; done\"]
protocol: lines
prefetch: 5
workers: 3
";

/// Kernel ticks of processor time that a process and its reaped children have used.
fn ticks(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
    let (_, rest) = stat.rsplit_once(')').expect("a name in brackets");
    // utime, stime, cutime and cstime: fields 14 to 17, where the first of the rest is the third.
    rest.split_whitespace().skip(11).take(4).map(|field| field.parse::<u64>().unwrap()).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_crashes_too_often_gives_its_queue_up_until_a_probe_holds() {
    let mut case = Case::prepare().await;
    let restart = "restart: { backoff: 50ms, backoff_max: 400ms, reset_after: 1s, intensity: { max: 4, period: 10s } }";
    let bad = consumer("bad", "other", &format!("{BROKEN}{restart}"));
    let good = consumer(
        "worker",
        "work",
        "command: [python3, \"${CHILDREN}/ledger.py\"]\nenv: { LEDGER: ledger }\n",
    );
    case.write(&format!(
        "{QUEUES}  other: {{ dead_letter: {{ queue: dead }} }}\nconsumers:\n{bad}{good}"
    ));
    case.supervisor.start();
    let bodies = (0..10).map(|number| number.to_string());
    case.supervisor.wait_for("started: topology");
    case.outside.publish("other", bodies).await;

    case.supervisor.wait_for(
        "more than 4 restarts in 10s, at last because its process ended with exit code 1",
    );
    case.supervisor.wait_for("hint: mend what the last lines of its log name");
    case.outside.wait_for_consumers("other", 0, PATIENCE).await;
    case.outside.wait_for_depth("other", 10, PATIENCE).await;
    let started =
        |case: &Case| (0..3).map(|n| case.logged(&format!("bad[{n}]: started"))).sum::<usize>();
    // Each of the three once, and then four restarts; one may have been on its way.
    assert!(started(&case) <= 3 + 4 + 1, "{} starts", started(&case));

    // One at a time is tried, with pauses that grow, and the others are as fast as ever.
    case.supervisor.wait_for("one worker is tried again");
    let before = (Instant::now(), started(&case));
    let bodies = (0..2000).map(|number| number.to_string());
    case.outside.publish("work", bodies).await;
    case.wait_handled(2000);
    wait_until("a third probe", PATIENCE, || case.logged("one worker is tried again") >= 3);
    let probes = started(&case) - before.1;
    let most = before.0.elapsed().as_millis() / 320 + 2;
    assert!(probes as u128 <= most, "{probes} in {:?}", before.0.elapsed());
    assert_eq!(
        case.logged("bad[1]: started") + case.logged("bad[2]: started"),
        started(&case) - case.logged("bad[0]: started")
    );
    assert_eq!(case.logged("worker[0]: started"), 1);

    // Mended: the probe works at once, and all are back when it has held.
    fs::write(case.supervisor.path("mended"), "").unwrap();
    case.supervisor.wait_for("the one worker holds: all of them start again");
    case.outside.wait_for_consumers("other", 3, PATIENCE).await;
    case.outside.wait_for_depth("other", 0, PATIENCE).await;
    let books = case.stop(PATIENCE);
    assert_eq!(books.count("acked"), 2010);
    case.outside.wait_for_depth("other", 0, PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_consumer_that_is_cut_off_held_goes_back() {
    // One worker holds messages and lives; the other one crashes.
    let script = "if mkdir first; then sleep 1000; else exit 1; fi";
    let keys = format!(
        "shell: {script}\nworkers: 2\nprefetch: 2\nstop: {{ grace: 1s }}\n\
         restart: {{ backoff: 20ms, backoff_max: 10m, intensity: {{ max: 3, period: 1m }} }}\n"
    );
    let mut case = Case::run(&keys).await;
    case.send(&["a", "b", "c", "d", "e"]).await;
    case.supervisor.wait_for("it takes no more messages; one worker is tried in");
    case.outside.wait_for_consumers("work", 0, PATIENCE).await;
    case.outside.wait_for_depth("work", 5, PATIENCE).await;
    assert!(case.supervisor.children().is_empty());
    let books = case.stop(PATIENCE);
    assert_eq!(books.count("received"), books.count("released"));
}

#[tokio::test(flavor = "multi_thread")]
async fn several_workers_that_die_of_every_message_start_hardly_more_often_than_one() {
    // The defaults, twenty times as fast: ten seconds are more than three minutes.
    let script =
        "read -r line; test -e mended || exit 1; echo ack; while read -r line; do echo ack; done";
    let keys = format!(
        "shell: {script}\nprotocol: lines\nprefetch: 1\nworkers: 4\nretry: {{ delays: [50ms] }}\n\
         restart: {{ backoff: 50ms, backoff_max: 3s, reset_after: 3s, intensity: {{ max: 5, period: 3s }} }}\n"
    );
    let mut case = Case::run(&keys).await;
    let started = |case: &Case| case.logged("]: started pid=");
    wait_until("all to be there", PATIENCE, || started(&case) == 4);
    let bodies = (0..40).map(|number| number.to_string());
    case.outside.publish("work", bodies).await;
    case.supervisor.wait_for("its process ended with exit code 1");
    std::thread::sleep(Duration::from_secs(10));
    let starts = started(&case);
    assert!((6..=11).contains(&starts), "{starts} starts");
    // Mended: the first that handles a message makes way for all.
    fs::write(case.supervisor.path("mended"), "").unwrap();
    wait_until("all to be back", PATIENCE, || {
        case.supervisor.children().len() == 4 && case.unsettled() == Some(0)
    });
    let books = case.stop(PATIENCE);
    let dead = books.count("dead_lettered");
    assert_eq!(books.count("acked") + dead, 40);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_policy_decides_who_is_started_again() {
    // It acks one message and ends with the exit code that the message says.
    let script = "read -r code; echo ack; exit $$code";
    for (policy, after_0, after_3) in
        [("permanent", true, true), ("transient", false, true), ("temporary", false, false)]
    {
        for (code, again) in [("0", after_0), ("3", after_3)] {
            let keys = format!(
                "shell: {script}\nprotocol: lines\nprefetch: 1\n\
                 restart: {{ policy: {policy}, backoff: 50ms }}\n"
            );
            let mut case = Case::run(&keys).await;
            case.send(&[code]).await;
            let what = format!("its process ended with exit code {code}; ");
            case.supervisor.wait_for(&what);
            let expected = if again { "restart in" } else { "it is not started again" };
            case.supervisor.wait_for(&(what + expected));
            if again {
                wait_until("another", PATIENCE, || case.logged("worker[0]: started") == 2);
            } else {
                case.outside.wait_for_consumers("work", 0, PATIENCE).await;
                assert_eq!(case.logged("worker[0]: started"), 1);
            }
            assert_eq!(case.stop(PATIENCE).count("acked"), 1);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_ended_for_good_owing_an_answer_has_failed() {
    let keys = "shell: read -r line; exit 0\nprotocol: lines\nprefetch: 1\n\
                restart: { policy: transient, backoff: 50ms }\n";
    let mut case = Case::run(keys).await;
    case.send(&["a"]).await;
    wait_until("another", PATIENCE, || case.logged("worker[0]: started") >= 2);
    case.stop(PATIENCE);
}

/// What a consumer has cost over some time.
struct Cost {
    /// Messages that the neighbour has handled in a second.
    handled: u64,
    /// Hundredths of a per cent of one processor that the supervisor and what it reaped have used.
    processor: u64,
}

/// Looks for so long.
fn watched(case: &Case, time: Duration) -> Cost {
    let (start, handled, used) =
        (Instant::now(), case.ledger().len(), ticks(case.supervisor.pid()));
    std::thread::sleep(time);
    let millis = u64::try_from(start.elapsed().as_millis()).unwrap();
    // A hundred ticks are a second.
    let used = ticks(case.supervisor.pid()) - used;
    let handled = (case.ledger().len() - handled) as u64;
    Cost { handled: handled * 1000 / millis, processor: used * 100_000 / millis }
}

/// The real thing with the defaults, eight minutes: `make test-long`, which prints the figures. For
/// a machine that does nothing else, since it compares rates.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes eight minutes: make test-long"]
#[expect(clippy::print_stdout, reason = "the figures are what it is for")]
async fn the_true_five_minutes() {
    let mut case = Case::prepare().await;
    let good = consumer(
        "worker",
        "work",
        "command: [python3, \"${CHILDREN}/ledger.py\"]\nenv: { LEDGER: ledger, DELAY: \"0.002\" }\n",
    );
    let bad = consumer("bad", "other", &format!("{BROKEN}enabled: false"));
    let stack = |bad: &str| {
        format!("{QUEUES}  other: {{ dead_letter: {{ queue: dead }} }}\nconsumers:\n{bad}{good}")
    };
    case.write(&stack(&bad));
    case.supervisor.start();
    case.supervisor.wait_for("started: topology");
    case.outside.publish("work", (0..300_000).map(|number| number.to_string())).await;
    wait_until("work", PATIENCE, || case.ledger().len() > 100);
    let before = watched(&case, Duration::from_secs(75));

    case.write(&stack(&bad.replace("enabled: false", "enabled: true")));
    case.supervisor.wait_for("reloaded: topology");
    let beside = watched(&case, Duration::from_mins(5));
    let spawns: usize = (0..3).map(|n| case.logged(&format!("bad[{n}]: started"))).sum();

    case.write(&stack(&bad));
    wait_until("it to be gone", PATIENCE, || case.logged("1 stopped") > 0);
    let after = watched(&case, Duration::from_secs(75));

    let handled = before.handled.midpoint(after.handled);
    let processor = before.processor.midpoint(after.processor);
    let percent = |hundredths: u64| format!("{}.{:02} %", hundredths / 100, hundredths % 100);
    println!(
        "a crash loop in 5 minutes: {spawns} spawns\n\
         its neighbour: {} messages a second beside it, {handled} without it\n\
         processor of the supervisor: {} with it, {} without it",
        beside.handled,
        percent(beside.processor),
        percent(processor)
    );
    assert!(spawns <= 12, "{spawns} spawns");
    assert!(beside.handled * 100 >= handled * 97, "{} instead of {handled}", beside.handled);
    assert!(beside.processor <= processor + 100, "above one per cent");
}
