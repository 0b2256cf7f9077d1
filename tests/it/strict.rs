//! `order: strict` on a real broker: one message after the other, whatever fails and whoever dies.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::support::case::{Case, consumer};
use crate::support::supervisor::{PATIENCE, Supervisor, wait_until};

const LONG: Duration = Duration::from_mins(3);

/// What a child has written down of a message.
#[derive(Debug, PartialEq)]
struct Note {
    done: bool,
    number: usize,
    supervisor: u32,
}

struct Hosts {
    case: Case,
    others: Vec<Supervisor>,
    ledger: PathBuf,
}

impl Hosts {
    /// The stack, and so many supervisors that run it. `env` and `keys` are the consumer's.
    async fn start(kind: &str, count: usize, env: &str, keys: &str) -> Self {
        Self::of(Case::prepare().await, kind, count, env, keys)
    }

    fn of(mut case: Case, kind: &str, count: usize, env: &str, keys: &str) -> Self {
        let ledger = case.supervisor.path("ledger of all");
        let queues = format!(
            "queues:\n  work: {{ {kind}, single_active_consumer: true, dead_letter: {{ queue: dead }} }}\n  dead: {{}}\n"
        );
        let keys = format!(
            "command: [python3, \"${{CHILDREN}}/ordered.py\"]\norder: strict\n\
             env: {{ LEDGER: \"{}\", {env} }}\nstop: {{ grace: 5s }}\n\
             restart: {{ backoff: 20ms, backoff_max: 100ms, intensity: {{ max: 1000, period: 1m }} }}\n{keys}",
            ledger.display()
        );
        let sections = format!("{queues}consumers:\n{}", consumer("worker", "work", &keys));
        case.write(&sections);
        start(&mut case.supervisor);
        let others = (1..count)
            .map(|_| {
                let mut other = Supervisor::prepare();
                other.write("stack.yaml", &case.stack(&sections));
                start(&mut other);
                other
            })
            .collect();
        Self { case, others, ledger }
    }

    fn notes(&self) -> Vec<Note> {
        let text = fs::read_to_string(&self.ledger).unwrap_or_default();
        let note = |line: &str| {
            let mut words = line.split(' ');
            let done = words.next()? == "done";
            let number = words.next()?.parse().ok()?;
            Some(Note { done, number, supervisor: words.next()?.parse().ok()? })
        };
        text.lines().map(|line| note(line).expect("a note")).collect()
    }

    /// The supervisor that works, by what its child wrote last.
    fn active(&mut self) -> &mut Supervisor {
        let last = self.notes().last().expect("work").supervisor;
        let all = std::iter::once(&mut self.case.supervisor).chain(&mut self.others);
        all.into_iter().find(|one| one.pid() == last).expect("one of ours")
    }

    fn done(&self) -> usize {
        self.notes().iter().filter(|note| note.done).count()
    }

    fn stop(mut self) {
        for other in &mut self.others {
            other.signal(Signal::SIGTERM);
            assert!(other.exited(PATIENCE).success());
        }
        self.case.stop(PATIENCE);
    }
}

/// Starts it, and waits until the broker has confirmed its consumer. The count of a quorum queue has
/// the active one only.
fn start(supervisor: &mut Supervisor) {
    let consuming = |log: String| log.matches("worker[0]: consuming").count();
    let before = consuming(supervisor.log());
    supervisor.start();
    wait_until("consuming", PATIENCE, || consuming(supervisor.log()) > before);
}

/// Bodies for `ordered.py`, and the numbers of those that never succeed.
fn bodies(count: usize) -> (Vec<String>, Vec<usize>) {
    let kind = |number: usize| match number {
        number if number % 211 == 7 => "nack",
        number if number % 997 == 11 => "crash",
        number if number % 701 == 13 => "never",
        _ => "plain",
    };
    let never = (0..count).filter(|number| kind(*number) == "never").collect();
    ((0..count).map(|number| format!("{} {number}", kind(number))).collect(), never)
}

async fn failovers(kind: &str) {
    const MESSAGES: usize = 5_000;
    let mut hosts = Hosts::start(
        kind,
        2,
        "DELAY: \"0.001\"",
        "retry: { delays: [20ms, 50ms] }\ntimeout: 30s\n",
    )
    .await;
    let (bodies, never) = bodies(MESSAGES);
    hosts.case.outside.publish("work", bodies).await;
    let cuts = [Signal::SIGKILL, Signal::SIGTERM, Signal::SIGKILL, Signal::SIGTERM];
    for (number, signal) in cuts.into_iter().enumerate() {
        let enough = (number + 1) * 900;
        wait_until("the next cut", LONG, || hosts.done() >= enough);
        let active = hosts.active();
        active.signal(signal);
        active.exited(PATIENCE);
        // The other goes on by itself.
        wait_until("the other", PATIENCE, || hosts.done() > enough + 100);
        let back = if hosts.case.supervisor.is_running() {
            hosts.others.iter_mut().find(|other| !other.is_running()).expect("one is down")
        } else {
            &mut hosts.case.supervisor
        };
        start(back);
    }
    wait_until("all", LONG, || {
        hosts.notes().last().is_some_and(|note| note.done && note.number == MESSAGES - 1)
    });
    hosts.case.wait_settled();
    let notes = hosts.notes();
    for pair in notes.windows(2) {
        assert!(pair[0].number <= pair[1].number, "{pair:?} is out of order");
    }
    let mut done: Vec<_> = notes.iter().filter(|note| note.done).map(|note| note.number).collect();
    let all = done.len();
    done.dedup();
    assert!(all - done.len() <= cuts.len(), "{} were done twice", all - done.len());
    assert_eq!(done, (0..MESSAGES).filter(|number| !never.contains(number)).collect::<Vec<_>>());
    let dead = hosts.case.outside.take_all("dead").await;
    let dead: Vec<_> = dead.iter().map(|dead| dead.body.clone()).collect();
    assert_eq!(dead, never.iter().map(|number| format!("never {number}")).collect::<Vec<_>>());
    let hosts_at_work: std::collections::BTreeSet<_> =
        notes.iter().map(|note| note.supervisor).collect();
    assert!(hosts_at_work.len() >= 4, "the work never moved: {hosts_at_work:?}");
    hosts.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_that_die_and_stop_keep_the_order_of_a_classic_queue() {
    failovers("type: classic").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_that_die_and_stop_keep_the_order_of_a_quorum_queue() {
    failovers("type: quorum, delivery_limit: 100").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_connection_keeps_the_order() {
    let (case, proxy) = Case::behind_proxy("").await;
    let hosts = Hosts::of(case, "type: quorum", 2, "DELAY: \"0.3\"", "");
    let bodies = (0..12).map(|number| format!("plain {number}"));
    hosts.case.outside.publish("work", bodies).await;
    for enough in [2, 6] {
        wait_until("some", PATIENCE, || hosts.done() >= enough);
        proxy.cut();
    }
    let last = |note: &Note| note.done && note.number == 11;
    wait_until("all", LONG, || hosts.notes().iter().any(last));
    hosts.case.wait_settled();
    let notes = hosts.notes();
    let starts: Vec<_> = notes.iter().filter(|note| !note.done).map(|note| note.number).collect();
    assert!(starts.is_sorted(), "{starts:?}");
    hosts.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_message_keeps_all_others_waiting_and_then_gives_way() {
    for protocol in ["json", "exec"] {
        let mut case = Case::prepare().await;
        let script = "b=$$(cat); echo \"$$b $$WARRENER_ATTEMPT\" >> tries; test \"$$b\" != bad";
        let child = "while read -r l; do b=$${l##*body\\\":\\\"}; b=$${b%%\\\"*}; a=$${l##*attempt\\\":}; a=$${a%%,*}; \
                     echo \"$$b $$a\" >> tries; if [ \"$$b\" = bad ]; then echo nack; else echo ack; fi; done";
        let text = if protocol == "exec" { script } else { child };
        let keys = format!(
            "shell: '{text}'\nprotocol: {protocol}\norder: strict\ntimeout: 10s\nretry: {{ immediate: 1, delays: [100ms, 200ms] }}\n"
        );
        case.write(&format!(
            "queues:\n  work: {{ single_active_consumer: true, dead_letter: {{ queue: dead }} }}\n  dead: {{}}\nconsumers:\n{}",
            consumer("worker", "work", &keys)
        ));
        case.supervisor.start();
        case.supervisor.wait_for("started: topology");
        case.send(&["a", "bad", "b", "bad", "c"]).await;
        case.wait_settled();
        let tries = fs::read_to_string(case.supervisor.path("tries")).unwrap();
        let tries: Vec<_> = tries.lines().collect();
        let bad = ["bad 1", "bad 2", "bad 3", "bad 4"];
        let expected: Vec<_> =
            ["a 1"].into_iter().chain(bad).chain(["b 1"]).chain(bad).chain(["c 1"]).collect();
        assert_eq!(tries, expected, "{protocol}");
        let dead = case.outside.take_all("dead").await;
        assert_eq!(dead.len(), 2);
        assert_eq!(dead[0].header("warrener-reason"), "exhausted");
        assert_eq!(dead[0].header("warrener-attempt"), "4");
        let books = case.stop(PATIENCE);
        assert_eq!((books.count("received"), books.count("acked")), (5, 3));
        assert_eq!((books.count("retried"), books.count("requeued")), (0, 0));
        // No queue is made for delays that nobody waits for elsewhere.
        assert_eq!(case.outside.depth("work.retry.100ms").await, None);
    }
}

/// The state of the consumer.
fn state_of(host: &Supervisor) -> String {
    let said = host.run(&["status", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&said.out).unwrap_or_default();
    json["status"]["consumers"]["worker"]["state"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_host_that_gets_nothing_says_so_until_it_does() {
    for kind in ["type: classic", "type: quorum"] {
        let mut hosts = Hosts::start(kind, 2, "", "").await;
        let states = |hosts: &Hosts| [state_of(&hosts.case.supervisor), state_of(&hosts.others[0])];
        // Without a message: whoever came first is the one.
        wait_until("one that stands by", PATIENCE, || states(&hosts) == ["running", "standby"]);
        let shown = hosts.others[0].run(&["status"]).out;
        assert!(shown.contains("worker    standby"), "{shown}");
        hosts.case.supervisor.signal(Signal::SIGTERM);
        assert!(hosts.case.supervisor.exited(PATIENCE).success());
        wait_until("the other", PATIENCE, || state_of(&hosts.others[0]) == "running");
        start(&mut hosts.case.supervisor);
        wait_until("the first", PATIENCE, || states(&hosts) == ["standby", "running"]);
        hosts.stop();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_in_the_middle_gives_nothing_to_another_host_before_its_time() {
    let case = Case::prepare().await;
    let gate = case.supervisor.path("gate");
    let env = format!("GATE: \"{}\"", gate.display());
    let mut hosts = Hosts::of(case, "type: classic", 2, &env, "");
    let bodies = (0..4).map(|number| format!("plain {number}"));
    hosts.case.outside.publish("work", bodies).await;
    wait_until("the first", PATIENCE, || !hosts.notes().is_empty());
    let said = hosts.active().run(&["pause", "worker"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    wait_until("it to be paused", PATIENCE, || state_of(hosts.active()) == "paused");
    // A classic queue looks for another consumer only when something else happens to it.
    hosts.case.outside.publish("work", ["plain 4".to_owned()]).await;
    // Time enough for the other to begin, which must not.
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(hosts.notes().len(), 1, "{:?}", hosts.notes());
    fs::write(&gate, "").unwrap();
    wait_until("all", LONG, || hosts.done() == 5);
    hosts.case.wait_settled();
    let order: Vec<_> = hosts.notes().iter().map(|note| (note.number, note.done)).collect();
    let expected: Vec<_> = (0..5).flat_map(|number| [(number, false), (number, true)]).collect();
    assert_eq!(order, expected);
    let hosts_at_work: std::collections::BTreeSet<_> =
        hosts.notes().iter().map(|note| note.supervisor).collect();
    assert_eq!(hosts_at_work.len(), 2);
    hosts.stop();
}
