//! Queues that a file declares otherwise under a running supervisor: made anew before anybody has
//! looked at the rest, or looked at with it where a plan would not make them anew.

use lapin::BasicProperties;
use lapin::options::QueueDeleteOptions;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::broker::{Vhost, amqp_url, fresh_vhost, manage, management_url};
use crate::support::queue::Outside;
use crate::support::supervisor::{PATIENCE, Supervisor, wait_until};

/// A supervisor of the queues `other` and `work`, which both take letters.
struct Scene {
    vhost: Vhost,
    supervisor: Supervisor,
    outside: Outside,
}

impl Scene {
    async fn begin(consumer: bool) -> Self {
        let vhost = fresh_vhost();
        let mut supervisor = Supervisor::prepare();
        supervisor.write("stack.yaml", &Self::stack(&vhost, &json!({}), consumer));
        supervisor.start();
        supervisor.wait_for("started: topology: 5 created");
        let outside = Outside::connect(&amqp_url(&vhost)).await;
        // Somebody else's binding.
        let path = format!("bindings/{}/e/amq.topic/q/work", vhost.name());
        let theirs = json!({"routing_key": "theirs", "arguments": {"x": "y"}});
        manage(Method::POST, &path, Some(theirs)).await;
        Self { vhost, supervisor, outside }
    }

    /// The file, with this said of the queue `work`.
    fn stack(vhost: &Vhost, work: &Value, consumer: bool) -> String {
        let letters = json!([{"exchange": "letters", "key": "#"}]);
        let mut work = work.clone();
        work["bind"] = letters.clone();
        let mut stack = json!({
            "stack": "test",
            "broker": {"url": amqp_url(vhost), "management": management_url()},
            "exchanges": {"letters": {"type": "topic"}},
            "queues": {"other": {"bind": letters}, "work": work},
        });
        if consumer {
            stack["consumers"] = json!({"worker": {
                "queue": "work", "command": ["python3", "$CHILDREN/ledger.py"],
                "env": {"LEDGER": "ledger"}, "prefetch": 20, "discard": true,
            }});
        }
        stack.to_string().replace("$CHILDREN", "${CHILDREN}")
    }

    fn say(&self, work: &Value, consumer: bool) {
        self.supervisor.write("stack.yaml", &Self::stack(&self.vhost, work, consumer));
    }

    /// Takes the other queue away: a look at everything finds that.
    async fn lose_other(&self) {
        let deleted =
            self.outside.channel.queue_delete("other".into(), QueueDeleteOptions::default());
        deleted.await.expect("deletes");
    }

    async fn work(&self) -> Value {
        manage(Method::GET, &format!("queues/{}/work", self.vhost.name()), None).await
    }

    /// The keys of the bindings that lead to it.
    async fn keys(&self) -> Vec<String> {
        let path = format!("queues/{}/work/bindings", self.vhost.name());
        let bindings = manage(Method::GET, &path, None).await;
        let bindings = bindings.as_array().expect("a list").iter();
        let mut keys: Vec<_> = bindings
            .filter(|binding| binding["source"] != "")
            .map(|binding| format!("{} {}", binding["routing_key"], binding["arguments"]))
            .collect();
        keys.sort();
        keys
    }

    /// Whether anything is left of what stands on the broker while a queue is made anew.
    async fn remains(&self) -> bool {
        let vhost = self.vhost.name();
        let queues = format!("queues/{vhost}?disable_stats=true&columns=name");
        let exchanges = manage(Method::GET, &format!("exchanges/{vhost}"), None).await;
        let queues = manage(Method::GET, &queues, None).await;
        format!("{queues}{exchanges}").contains("warrener.migrate")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_declared_otherwise_does_not_wait_for_a_look_at_the_rest() {
    let scene = Scene::begin(false).await;
    let keys = scene.keys().await;
    assert_eq!(keys.len(), 2, "{keys:?}");
    scene.lose_other().await;
    scene.say(&json!({"max_length": 7, "on_conflict": "replace"}), false);
    scene.supervisor.wait_for("reloaded: topology: 0 created, 0 updated, 1 replaced");
    assert_eq!(scene.work().await["arguments"]["x-max-length"], 7);
    assert_eq!(scene.keys().await, keys);
    assert!(!scene.remains().await);
    scene.supervisor.wait_for("the broker had drifted: topology: 2 created");

    // Nothing is done to it where nothing is to be done.
    scene.lose_other().await;
    scene.say(&json!({"max_length": 7, "on_conflict": "migrate"}), false);
    scene.supervisor.wait_for("reloaded: topology: nothing to do");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_plan_would_refuse_is_refused_after_a_look_at_the_rest() {
    let scene = Scene::begin(false).await;
    scene.outside.send(("", "work"), BasicProperties::default(), b"stays").await;
    scene.outside.confirmed().await;
    scene.outside.wait_for_depth("work", 1, PATIENCE).await;
    scene.lose_other().await;
    scene.say(&json!({"max_length": 7, "on_conflict": "replace"}), false);
    scene.supervisor.wait_for("the change is refused; everything goes on as it is");
    scene.supervisor.wait_for("+ queue other");
    scene.supervisor.wait_for("it holds 1 message, and only what is empty and unused is replaced");
    assert_eq!(scene.outside.depth("work").await, Some(1));
    assert_eq!(scene.work().await["arguments"]["x-max-length"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_has_begun_is_finished_after_a_look_at_the_rest() {
    let scene = Scene::begin(false).await;
    scene.outside.send(("", "work"), BasicProperties::default(), b"comes along").await;
    scene.outside.confirmed().await;
    scene.outside.wait_for_depth("work", 1, PATIENCE).await;
    let keys = scene.keys().await;
    let aside = json!({"alternate-exchange": "warrener.migrate.work.aside"});
    let fork = json!({"type": "fanout", "durable": true, "internal": true, "arguments": aside});
    let path = format!("exchanges/{}/warrener.migrate.work", scene.vhost.name());
    manage(Method::PUT, &path, Some(fork)).await;
    scene.lose_other().await;
    scene.say(&json!({"max_length": 9, "on_conflict": "migrate"}), false);
    scene.supervisor.wait_for("reloaded: topology: 2 created, 0 updated, 1 migrated");
    assert_eq!(scene.work().await["arguments"]["x-max-length"], 9);
    assert_eq!(scene.outside.depth("work").await, Some(1));
    assert_eq!(scene.keys().await, keys);
    assert!(!scene.remains().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn its_consumers_wait_and_its_messages_come_along() {
    let scene = Scene::begin(true).await;
    let keys = scene.keys().await;
    let publish = async |from: u32, to: u32| {
        for number in from..to {
            let body = number.to_string();
            let properties = BasicProperties::default()
                .with_delivery_mode(2)
                .with_message_id(body.as_str().into());
            scene.outside.send(("letters", "x"), properties, body.as_bytes()).await;
        }
        scene.outside.confirmed().await;
    };
    publish(0, 500).await;
    scene.lose_other().await;
    scene.say(&json!({"type": "quorum", "on_conflict": "migrate"}), true);
    scene.supervisor.wait_for("waiting while its queue is made anew");
    scene.supervisor.wait_for("reloaded: topology: 0 created, 0 updated, 1 migrated");
    scene.supervisor.wait_for("the broker had drifted: topology: 2 created");
    assert_eq!(scene.work().await["arguments"]["x-queue-type"], "quorum");
    assert_eq!(scene.keys().await, keys);
    publish(500, 520).await;
    let handled = || {
        let ledger = std::fs::read_to_string(scene.supervisor.path("ledger")).unwrap_or_default();
        ledger.lines().collect::<std::collections::BTreeSet<_>>().len()
    };
    wait_until("all to be handled", PATIENCE, || handled() == 520);
    assert!(!scene.remains().await);
}
