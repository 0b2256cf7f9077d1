//! A supervisor that is stopped and killed at any moment, again and again, under a load that never
//! pauses: nothing is lost, a stop repeats nothing, a kill no more than was under way, and nothing is
//! left on the machine.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use lapin::BasicProperties;
use nix::sys::signal::Signal;

use crate::support::broker::amqp_url;
use crate::support::case::{Case, QUEUES, consumer};
use crate::support::control_groups::Handed;
use crate::support::processes::{guardians_of, processes_with};
use crate::support::queue::Outside;
use crate::support::supervisor::{PATIENCE, alive, wait_until};

/// Between two messages of the load.
const BEAT: Duration = Duration::from_millis(10);

/// So many messages, and one that is rejected.
const GOOD: u32 = 49;

const WORKERS: usize = 2;
const PREFETCH: usize = 20;
const GRACE: Duration = Duration::from_secs(10);

/// How soon everything is gone after a `kill -9`.
const GONE: Duration = Duration::from_secs(2);

/// What a kill may repeat at most: all that a worker had, and of `exec` what was running and what its
/// answers waited together for, at most a quarter of the prefetch.
const UNDER_WAY: usize = WORKERS * PREFETCH + WORKERS * (1 + PREFETCH / 4);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Stopped,
    Killed,
}

/// The queues of the load, and their consumers.
const NAMES: [&str; 2] = ["stream", "single"];

fn sections(mark: &str) -> String {
    let keys = |name: &str, command: &str, delay: &str| {
        consumer(
            name,
            name,
            &format!(
                "command: {command}\nworkers: {WORKERS}\nprefetch: {PREFETCH}\n\
                 env: {{ LEDGER: ledger, NAME: {name}, DELAY: \"{delay}\", MARK: \"{mark}\" }}\n\
                 stop: {{ grace: {}s }}\n",
                GRACE.as_secs()
            ),
        )
    };
    let queues =
        QUEUES.replace("work:", "stream:") + "  single: { dead_letter: { queue: dead } }\n";
    let stream = keys("stream", "[python3, \"${CHILDREN}/counts_runs.py\"]", "0.01");
    let single = keys("single", "[sh, \"${CHILDREN}/counts_runs.sh\"]", "0.005");
    format!("{queues}consumers:\n{stream}{single}    protocol: exec\n")
}

/// Publishes to both queues, steadily, until it is told to end; how many messages each has got. Every
/// second one is for `stream` alone.
async fn load(url: String, end: Arc<AtomicBool>) -> [u32; 2] {
    let outside = Outside::connect(&url).await;
    let mut sent = [0; 2];
    let mut beat = tokio::time::interval(BEAT);
    while !end.load(Ordering::Relaxed) {
        beat.tick().await;
        let both = sent[0] % 2 == 0;
        for (number, name) in sent.iter_mut().zip(NAMES).take(1 + usize::from(both)) {
            let properties = BasicProperties::default()
                .with_delivery_mode(2)
                .with_message_id(number.to_string().into());
            let body = if is_bad(*number) { "bad\n" } else { "good\n" };
            let body = if name == "stream" { body.trim_end() } else { body };
            outside.send(("", name), properties, body.as_bytes()).await;
            *number += 1;
        }
        if sent[0] % 100 == 0 {
            outside.confirmed().await;
        }
    }
    outside.confirmed().await;
    sent
}

fn is_bad(number: u32) -> bool {
    number % (GOOD + 1) == GOOD
}

/// What the children wrote down: in which runs each message was handled.
fn ledger(case: &Case) -> BTreeMap<(String, u32), Vec<usize>> {
    let text = fs::read_to_string(case.supervisor.path("ledger")).unwrap_or_default();
    let mut runs: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for line in text.lines() {
        let words: Vec<_> = line.split(' ').collect();
        let [name, number, run] = words[..] else { panic!("half a line: {line}") };
        let key = (name.to_owned(), number.parse().unwrap());
        runs.entry(key).or_default().push(run.parse().unwrap());
    }
    runs
}

/// Starts it in the folder, with a folder of its own for temporary files.
fn start(case: &mut Case, handed: Option<&Handed>) {
    let mut command = case.supervisor.command(&["-v", "run", "stack.yaml"]);
    if let Some(handed) = handed {
        let [shell, words @ ..] = handed.through();
        let mut through = std::process::Command::new(shell);
        through.args(words).arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => through.env(name, value),
                None => through.env_remove(name),
            };
        }
        through.current_dir(command.get_current_dir().unwrap());
        command = through;
    }
    command.env("TMPDIR", case.supervisor.path("tmp"));
    case.supervisor.start_by(command);
}

/// Ends it at some moment; how it ended, and how long that took.
fn end(case: &mut Case, mark: &str) -> (End, Duration) {
    let guardians = guardians_of(case.supervisor.pid());
    let said = case.supervisor.log().len();
    let signal = if fastrand::u8(..4) == 0 { Signal::SIGKILL } else { Signal::SIGTERM };
    let start = Instant::now();
    case.supervisor.signal(signal);
    let status = case.supervisor.exited(GRACE + Duration::from_secs(1));
    let took = start.elapsed();
    let end = match status.signal() {
        None => {
            assert!(status.success(), "{status}");
            End::Stopped
        }
        // It had not begun to listen, and not to say anything.
        Some(_) if signal == Signal::SIGTERM && case.supervisor.log().len() == said => End::Killed,
        Some(number) => {
            assert_eq!(number, signal as i32);
            assert_eq!(signal, Signal::SIGKILL);
            End::Killed
        }
    };
    let gone = || processes_with(mark).is_empty();
    if end == End::Stopped {
        assert!(gone(), "a stop has left somebody: {:?}", processes_with(mark));
    } else {
        wait_until("the end of its processes", GONE, gone);
    }
    wait_until("its guardian's end", PATIENCE, || !guardians.iter().any(|pid| alive(*pid)));
    (end, took)
}

#[expect(clippy::print_stdout, reason = "the figures are what the long one is for")]
async fn stops(count: usize) {
    let handed = Handed::group(true);
    let mut case = Case::prepare().await;
    let mark = format!("stops-{}-{:08x}", std::process::id(), fastrand::u32(..));
    case.write(&sections(&mark));
    fs::create_dir(case.supervisor.path("tmp")).unwrap();
    let said = case.supervisor.run(&["apply", "stack.yaml"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    let over = Arc::new(AtomicBool::new(false));
    let publishing = tokio::spawn(load(amqp_url(&case.vhost), over.clone()));

    let (mut ends, mut longest) = (Vec::new(), Duration::ZERO);
    for run in 0..count {
        case.supervisor.write("run", &format!("{run}\n"));
        start(&mut case, handed.as_ref());
        tokio::time::sleep(Duration::from_millis(fastrand::u64(..1200))).await;
        let (end, took) = end(&mut case, &mark);
        ends.push(end);
        longest = longest.max(took);
    }
    over.store(true, Ordering::Relaxed);
    let sent = publishing.await.expect("all published");

    // The last one works off what is left.
    case.supervisor.write("run", &format!("{count}\n"));
    start(&mut case, handed.as_ref());
    ends.push(End::Stopped);
    for name in NAMES {
        let nothing = || case.vhost.messages(name) == Some(0);
        wait_until("all to be settled", Duration::from_mins(5), nothing);
    }
    case.stop(GRACE);

    let ledger = ledger(&case);
    let mut repeated = vec![0; ends.len()];
    for (message, runs) in &ledger {
        for run in &runs[..runs.len() - 1] {
            assert_eq!(ends[*run], End::Killed, "a stop had {message:?} handled again: {runs:?}");
            repeated[*run] += 1;
        }
    }
    let most = repeated.iter().copied().max().unwrap_or_default();
    assert!(most <= UNDER_WAY, "{most} messages were handled again after one kill");
    for (name, sent) in NAMES.into_iter().zip(sent) {
        let missing: Vec<_> =
            (0..sent).filter(|number| !ledger.contains_key(&(name.to_owned(), *number))).collect();
        assert!(missing.is_empty(), "`{name}` has lost {missing:?}");
    }
    // Those that were rejected, once for each time that they were handled at most.
    let mut dead: BTreeMap<(String, u32), usize> = BTreeMap::new();
    for message in case.outside.take_all("dead").await {
        let number = message.properties.message_id().as_ref().unwrap().as_str().parse().unwrap();
        let name = message.header("warrener-consumer");
        *dead.entry((name, number)).or_default() += 1;
    }
    let bad: Vec<_> = ledger.keys().filter(|(_, number)| is_bad(*number)).cloned().collect();
    assert!(dead.keys().eq(&bad), "{dead:?} are dead letters, and not {bad:?}");
    assert!(dead.iter().all(|(message, times)| *times <= ledger[message].len()), "{dead:?}");

    let left = |name: &str| fs::read_dir(case.supervisor.path(name)).unwrap().count();
    assert_eq!(left("tmp"), 0, "temporary files are left");
    assert!(!case.supervisor.socket().exists());
    if let Some(handed) = &handed {
        wait_until("no group left", PATIENCE, || handed.homes().is_empty());
    }
    let killed = ends.iter().filter(|end| **end == End::Killed).count();
    println!(
        "{count} ends under load, {killed} of them kills: {} and {} messages, {} dead letters, \
         0 lost, 0 repeated by stops, {} by kills ({most} by one at most), the longest stop {longest:.1?}",
        sent[0],
        sent[1],
        dead.len(),
        repeated.iter().sum::<usize>()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_ends_under_load_lose_nothing_and_leave_nobody() {
    stops(20).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes twelve minutes: make test-long"]
async fn five_hundred_ends_under_load_lose_nothing_and_leave_nobody() {
    stops(500).await;
}
