//! Consumers of queues in another vhost than that of the broker's address.

use std::fs;

use serde_json::{Value, json};

use crate::support::broker::{Vhost, amqp_url, fresh_vhost, manage};
use crate::support::case::{Case, QUEUES, consumer};
use crate::support::queue::Outside;
use crate::support::supervisor::{PATIENCE, wait_until};

/// A case, another vhost, and a connection of the test to it.
struct Both {
    case: Case,
    other: Vhost,
    there: Outside,
}

impl Both {
    async fn of(case: Case) -> Self {
        let other = fresh_vhost();
        let there = Outside::connect(&amqp_url(&other)).await;
        Self { case, other, there }
    }

    /// The same queues in both vhosts, and these consumers.
    fn stack(&self, consumers: &str) -> String {
        let other = self.other.name();
        let queues = QUEUES.replace('\n', "\n    ");
        let sections = format!(
            "{QUEUES}vhosts:\n  {other}:\n    manage: false\n    {queues}\nconsumers:\n{consumers}"
        );
        self.case.stack(&sections)
    }

    fn write(&self, consumers: &str) {
        self.case.supervisor.write("stack.yaml", &self.stack(consumers));
    }

    /// `here` on the queue `work` of the address's vhost, and `there` on that of the other.
    fn start(&mut self, keys: &str) {
        self.write(&format!("{}{}", self.consumer("here", keys), self.consumer("there", keys)));
        self.case.supervisor.start();
        self.case.supervisor.wait_for("started: topology");
    }

    /// A consumer that writes what it handles to a file of its name, where it is `there` from the
    /// other vhost.
    fn consumer(&self, name: &str, keys: &str) -> String {
        let vhost = if name == "there" { self.other.name() } else { self.case.vhost.name() };
        let keys = format!(
            "vhost: {vhost}\ncommand: [python3, \"${{CHILDREN}}/answer.py\"]\nenv: {{ LOG: {name} }}\nstop: {{ grace: 3s }}\n{keys}"
        );
        consumer(name, "work", &keys)
    }

    fn status(&self) -> Value {
        let said = self.case.supervisor.run(&["status", "--json"]);
        serde_json::from_str::<Value>(&said.out).expect("a report")["status"].take()
    }

    fn state(&self, consumer: &str) -> Value {
        self.status()["consumers"][consumer]["state"].take()
    }

    /// How many messages that consumer has been given.
    fn given(&self, consumer: &str) -> usize {
        let log = fs::read_to_string(self.case.supervisor.path(consumer)).unwrap_or_default();
        log.lines().count()
    }

    fn wait_given(&self, consumer: &str, count: usize) {
        wait_until(&format!("{count} at {consumer}"), PATIENCE, || self.given(consumer) == count);
    }
}

fn acks(count: usize) -> impl Iterator<Item = String> {
    std::iter::repeat_n("ack".to_owned(), count)
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_of_a_consumer_is_in_its_vhost() {
    let mut both = Both::of(Case::prepare().await).await;
    both.start("retry: { delays: [100ms] }\n");
    for at in [&both.case.outside, &both.there] {
        at.publish("work", ["ack", "once more", "nack no", "reject never"].map(String::from)).await;
    }
    both.case.outside.wait_for_depth("dead", 2, PATIENCE).await;
    both.there.wait_for_depth("dead", 2, PATIENCE).await;
    for at in [&both.case.outside, &both.there] {
        let mut dead: Vec<_> = at.take_all("dead").await.into_iter().collect();
        dead.sort_by(|one, other| one.body.cmp(&other.body));
        let reasons: Vec<_> = dead.iter().map(|dead| dead.header("warrener-reason")).collect();
        assert_eq!(reasons, ["exhausted", "rejected"]);
    }
    // Each message once, and two of them twice.
    assert_eq!((both.given("here"), both.given("there")), (6, 6));
    let up = json!({"consume": {"state": "up"}, "publish": {"state": "up"}});
    let (here, there) = (both.case.vhost.name(), both.other.name());
    assert_eq!(both.status()["connections"], json!({here: up, there: up}));
    let books = both.case.stop(PATIENCE);
    assert_eq!((books.count("retried"), books.count("dead_lettered")), (4, 4));
    assert_eq!(both.other.messages("work.retry.100ms"), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vhost_that_is_cut_off_leaves_the_others_alone() {
    let (case, proxy) = Case::behind_proxy("").await;
    let mut both = Both::of(case).await;
    both.start("");
    wait_until("both", PATIENCE, || both.case.logged("consuming") == 2);
    proxy.refuse_named(Some(both.other.name()));
    wait_until("the loss", PATIENCE, || both.state("there") == "waiting");
    both.there.publish("work", acks(20)).await;
    both.case.outside.publish("work", acks(20)).await;
    both.wait_given("here", 20);
    let connections = &both.status()["connections"];
    assert_eq!(connections[both.case.vhost.name()]["consume"]["state"], "up");
    assert_eq!(connections[both.other.name()]["consume"]["state"], "down");
    assert_eq!((both.state("here"), both.given("there")), (json!("running"), 0));
    proxy.refuse_named(None);
    both.wait_given("there", 20);
    wait_until("it to run", PATIENCE, || both.state("there") == "running");
    // Those of the one vhost were never lost.
    let lost = |vhost: &str| {
        let log = both.case.supervisor.log();
        let lines = log.lines().filter(|line| line.contains("connection lost"));
        lines.filter(|line| line.contains(vhost)).count()
    };
    assert_eq!((lost(both.case.vhost.name()), lost(both.other.name())), (0, 2));
    both.case.stop(PATIENCE);
}

#[tokio::test(flavor = "multi_thread")]
async fn consumers_of_a_missing_vhost_are_down_and_come_back() {
    let mut both = Both::of(Case::prepare().await).await;
    both.start("");
    wait_until("both", PATIENCE, || both.case.logged("consuming") == 2);
    let path = format!("vhosts/{}", both.other.name());
    manage(reqwest::Method::DELETE, &path, None).await;
    wait_until("it to be down", PATIENCE, || both.state("there") == "down");
    let why = both.status()["consumers"]["there"]["why"].take();
    let why = why.as_str().expect("a reason");
    assert!(why.contains("NOT_ALLOWED") && why.contains(both.other.name()), "{why}");
    both.case.outside.publish("work", acks(5)).await;
    both.wait_given("here", 5);
    assert_eq!(both.state("here"), "running");
    // A second start finds it as it is now, and runs what can be run.
    both.case.stop(PATIENCE);
    both.case.supervisor.start();
    wait_until("a second start", PATIENCE, || both.case.logged("started: topology") == 2);
    wait_until("the one that can", PATIENCE, || both.state("here") == "running");
    wait_until("the one that cannot", PATIENCE, || both.state("there") == "down");
    manage(reqwest::Method::PUT, &path, None).await;
    wait_until("both to run", PATIENCE, || both.state("there") == "running");
    let there = Outside::connect(&amqp_url(&both.other)).await;
    there.publish("work", acks(5)).await;
    both.wait_given("there", 5);
    both.case.stop(PATIENCE);
}

/// Each says why it is away itself, whatever is heard of the other meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn what_keeps_one_vhost_away_is_not_said_of_another() {
    let (case, proxy) = Case::behind_proxy("").await;
    let mut both = Both::of(case).await;
    both.start("");
    wait_until("both", PATIENCE, || both.case.logged("consuming") == 2);
    proxy.refuse_named(Some(both.case.vhost.name()));
    wait_until("the loss", PATIENCE, || both.state("here") == "waiting");
    manage(reqwest::Method::DELETE, &format!("vhosts/{}", both.other.name()), None).await;
    wait_until("the refusal", PATIENCE, || both.state("there") == "down");
    // Whichever of them was tried last.
    let status = both.status();
    let said = |consumer: &str| {
        let shown = &status["consumers"][consumer];
        let why = shown["why"].as_str().unwrap_or_default();
        (shown["state"].as_str().unwrap_or_default(), why.contains(both.other.name()))
    };
    assert_eq!((said("here"), said("there")), (("waiting", false), ("down", true)), "{status}");
    proxy.refuse_named(None);
    wait_until("it to be back", PATIENCE, || both.state("here") == "running");
    assert_eq!(both.state("there"), "down");
    both.case.stop(PATIENCE);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_moves_to_another_vhost_and_back() {
    let mut both = Both::of(Case::prepare().await).await;
    let home = both.consumer("here", "");
    let away = home.replace(both.case.vhost.name(), both.other.name());
    both.write(&home);
    both.case.supervisor.start();
    wait_until("it to run", PATIENCE, || both.case.logged("consuming") == 1);
    let connections = |both: &Both| {
        let connections = both.status()["connections"].take();
        connections.as_object().expect("connections").len()
    };
    assert_eq!(connections(&both), 1);
    both.case.outside.publish("work", acks(3)).await;
    both.wait_given("here", 3);
    both.write(&away);
    both.case.supervisor.wait_for("1 replaced");
    both.there.publish("work", acks(3)).await;
    both.case.outside.publish("work", acks(3)).await;
    both.wait_given("here", 6);
    assert_eq!((connections(&both), both.case.unsettled()), (2, Some(3)));
    // Nobody needs the other one's connections any more.
    both.write(&home);
    both.wait_given("here", 9);
    wait_until("the goodbye", PATIENCE, || connections(&both) == 1);
    both.case.stop(PATIENCE);
    assert!(!both.case.supervisor.log().contains("connection lost"));
}

#[tokio::test(flavor = "multi_thread")]
async fn exec_pools_and_dedupe_work_there() {
    let mut both = Both::of(Case::prepare().await).await;
    let vhost = both.other.name();
    let once = format!(
        "vhost: {vhost}\nprotocol: exec\nshell: \"cat >> once; echo >> once\"\ndedupe: {{ by: message_id, window: 10m }}\n"
    );
    let pool = format!(
        "vhost: {vhost}\ncommand: [python3, \"${{CHILDREN}}/ledger.py\"]\nenv: {{ LEDGER: ledger, DELAY: \"0.05\" }}\nprefetch: 1\ndiscard: true\nworkers: {{ min: 1, max: 3, backlog: 5, cool_down: 1s }}\n"
    );
    both.write(&format!("{}{}", consumer("once", "work", &once), consumer("pool", "dead", &pool)));
    both.case.supervisor.start();
    wait_until("both", PATIENCE, || both.case.logged("consuming") == 2);
    // Each publish numbers from 0.
    both.there.publish("work", ["a", "b"].map(String::from)).await;
    wait_until("both to be handled", PATIENCE, || both.given("once") == 2);
    both.there.publish("work", ["c", "d", "e"].map(String::from)).await;
    wait_until("the new one", PATIENCE, || both.given("once") == 3);
    both.there.publish("dead", acks(60)).await;
    both.case.wait_handled(60);
    both.case.supervisor.wait_for("3 workers instead of");
    wait_until("all of it", PATIENCE, || both.other.messages("work") == Some(0));
    let books = both.case.stop(PATIENCE);
    assert_eq!((books.count("duplicates"), books.count("acked")), (2, 63));
}
