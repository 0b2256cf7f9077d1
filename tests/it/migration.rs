//! Making queues and exchanges anew on a real broker: with messages, bindings and consumers, and
//! with a process that is killed at each step.

mod dropped;
mod failed;
mod wide;

use std::collections::BTreeSet;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use insta::assert_snapshot;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Connection, ConnectionProperties};
use reqwest::Method;
use serde_json::{Value, json};

use crate::reconcile::{api, get, queue_names};
use crate::support::queue::Outside;
use crate::support::stack::Stack;
use crate::support::supervisor::{PATIENCE, Supervisor, wait_until};

/// The steps as the log names them; `making temporary queues` comes more than once.
const STEPS: [&str; 9] = [
    "making temporary queues",
    "diverting its bindings",
    "collecting what comes in",
    "moving its messages aside",
    "making it anew",
    "moving its messages back",
    "moving back what has come in",
    "restoring its bindings",
    "removing what was temporary",
];

/// Steps that a run may not be killed at: a kill that comes late passes over the next one.
const PASSED_OVER: usize = 1;

/// Messages in the queue when its migration begins.
const COUNT: u32 = 5000;

pub(crate) fn stack() -> Stack {
    Stack::new(json!({
        "exchanges": {"orders": {"type": "topic"}, "heads": {"type": "headers"}},
        "queues": {"work": {"bind": [
            {"exchange": "orders", "key": "order.#"},
            {"exchange": "heads", "arguments": {"x-match": "all", "n": 1}},
        ]}},
    }))
}

/// The same with a consumer that writes down what it has, for supervisors.
fn consumed_stack() -> Stack {
    let mut stack = stack();
    stack.document["reconcile"] = json!({"interval": "1s"});
    stack.document["consumers"] = json!({"worker": {
        "queue": "work", "command": ["python3", "$CHILDREN/ledger.py"],
        "env": {"LEDGER": "ledger"}, "prefetch": 20, "discard": true,
    }});
    stack
}

/// The file of a stack with a consumer.
fn text(stack: &Stack) -> String {
    stack.document.to_string().replace("$CHILDREN", "${CHILDREN}")
}

/// Somebody else's binding.
pub(crate) fn bind_by_hand(stack: &Stack) {
    let bind = format!("bindings/{}/e/amq.topic/q/work", stack.vhost());
    api(Method::POST, &bind, Some(&json!({"routing_key": "theirs", "arguments": {"x": "y"}})));
}

pub(crate) fn bindings(stack: &Stack) -> BTreeSet<String> {
    let all = get(&format!("bindings/{}", stack.vhost()));
    let told = |b: &Value| {
        format!("{} → {} {} {}", b["source"], b["destination"], b["routing_key"], b["arguments"])
    };
    let all = all.as_array().expect("a list").iter();
    all.filter(|b| b["source"] != "" && !told(b).contains("warrener.lock")).map(told).collect()
}

fn queue_type(stack: &Stack) -> Value {
    let queue = get(&format!("queues/{}/work", stack.vhost()));
    queue["arguments"]["x-queue-type"].clone()
}

pub(crate) fn exchanges(stack: &Stack) -> BTreeSet<String> {
    let all = get(&format!("exchanges/{}", stack.vhost()));
    let all = all.as_array().expect("a list").iter();
    all.map(|exchange| exchange["name"].as_str().expect("a name").to_owned()).collect()
}

fn url(stack: &Stack) -> String {
    stack.document["broker"]["url"].as_str().expect("text").to_owned()
}

/// Publishes numbered messages through the exchange, confirmed, until told to stop.
struct Publisher {
    stop: Arc<AtomicBool>,
    next: Arc<AtomicU32>,
    task: tokio::task::JoinHandle<()>,
}

impl Publisher {
    async fn start(url: &str, first: u32, pause: Duration) -> Self {
        let connection =
            Connection::connect(url, ConnectionProperties::default()).await.expect("connects");
        let channel = connection.create_channel().await.expect("a channel");
        channel.confirm_select(ConfirmSelectOptions::default()).await.expect("confirms");
        let (stop, next) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(first)));
        let (stopped, number) = (stop.clone(), next.clone());
        let task = tokio::spawn(async move {
            let _connection = connection;
            while !stopped.load(Ordering::Relaxed) {
                let body = number.load(Ordering::Relaxed).to_string();
                let options = BasicPublishOptions { mandatory: true, ..Default::default() };
                let properties = BasicProperties::default()
                    .with_delivery_mode(2)
                    .with_message_id(body.as_str().into());
                let confirm = channel
                    .basic_publish(
                        "orders".into(),
                        "order.x".into(),
                        options,
                        body.as_bytes(),
                        properties,
                    )
                    .await
                    .expect("publishes")
                    .await
                    .expect("confirms");
                assert!(matches!(confirm, lapin::Confirmation::Ack(None)), "routed nowhere");
                number.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(pause).await;
            }
        });
        Self { stop, next, task }
    }

    /// Waits until so many more are published.
    fn more(&self, count: u32) {
        let enough = self.next.load(Ordering::Relaxed) + count;
        tokio::task::block_in_place(|| {
            wait_until("more messages", PATIENCE, || self.next.load(Ordering::Relaxed) >= enough);
        });
    }

    /// How many there are.
    async fn finish(self) -> u32 {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.expect("no message was lost");
        self.next.load(Ordering::Relaxed)
    }
}

/// Fills `work` with numbered messages through the exchange.
async fn fill(url: &str, count: u32) {
    let outside = Outside::connect(url).await;
    for number in 0..count {
        let body = number.to_string();
        let properties =
            BasicProperties::default().with_delivery_mode(2).with_message_id(body.as_str().into());
        outside.send(("orders", "order.x"), properties, body.as_bytes()).await;
    }
    outside.confirmed().await;
}

/// The numbers in the order in which they first come, and how many stand behind a greater one.
fn firsts(numbers: impl IntoIterator<Item = u32>) -> (Vec<u32>, usize) {
    let mut seen = BTreeSet::new();
    let firsts: Vec<u32> = numbers.into_iter().filter(|number| seen.insert(*number)).collect();
    let mut greatest = 0;
    let mut late = 0;
    for number in &firsts {
        late += usize::from(*number < greatest);
        greatest = greatest.max(*number);
    }
    (firsts, late)
}

fn start_apply(stack: &Stack) -> Child {
    Command::new(env!("CARGO_BIN_EXE_warrener"))
        .args(["apply", "stack.yaml"])
        .current_dir(stack.path("stack.yaml").parent().expect("a folder"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(stack.path("err")).expect("a file"))
        .spawn()
        .expect("it starts")
}

/// What a message is keeps: routing key, priority, expiration, headers; what would route copies
/// routes none.
#[tokio::test(flavor = "multi_thread")]
async fn a_queue_is_migrated_with_its_messages_and_all_bindings() {
    let mut stack = stack();
    tokio::task::block_in_place(|| {
        assert_eq!(stack.apply().code, Some(0));
        bind_by_hand(&stack);
        api(Method::PUT, &format!("queues/{}/elsewhere", stack.vhost()), Some(&json!({})));
    });
    let before = tokio::task::block_in_place(|| bindings(&stack));
    let outside = Outside::connect(&url(&stack)).await;
    let mut table = FieldTable::default();
    let copies = AMQPValue::FieldArray(vec![AMQPValue::LongString("elsewhere".into())].into());
    table.insert("trace".into(), AMQPValue::LongString("abc".into()));
    let properties = BasicProperties::default()
        .with_priority(3)
        .with_expiration("60000000".into())
        .with_delivery_mode(1)
        .with_user_id("guest".into())
        .with_headers(table.clone());
    let to = ("orders", "order.created");
    for number in 0..700 {
        outside.send(to, properties.clone(), number.to_string().as_bytes()).await;
    }
    // `CC` names keys, which the default exchange would take for queues.
    table.insert("CC".into(), copies);
    outside.send(to, properties.clone().with_headers(table), b"700").await;
    outside.confirmed().await;

    stack.document["queues"]["work"]["type"] = json!("quorum");
    tokio::task::block_in_place(|| {
        let refused = stack.plan();
        assert_eq!(refused.code, Some(1), "{refused:?}");
        assert!(refused.out.contains("`on_conflict: migrate` takes its messages along"));
        let refused = stack.run(&["plan", "--allow-replace", "stack.yaml"]);
        assert_eq!(refused.code, Some(1), "{refused:?}");
        assert!(refused.out.contains("hint: it holds 701 messages, and only what is empty and unused is replaced: `on_conflict: migrate`"), "{refused:?}");
        stack.document["queues"]["work"]["on_conflict"] = json!("migrate");
        let planned = stack.plan();
        assert_eq!(planned.code, Some(2), "{planned:?}");
        assert!(
            planned.out.starts_with(
                "» queue work: type classic → quorum, made anew with its messages and bindings\n"
            ),
            "{planned:?}"
        );
        let applied = stack.apply();
        assert_eq!(applied.code, Some(0), "{applied:?}");
        assert!(applied.out.ends_with("0 created, 0 updated, 1 migrated\n"), "{applied:?}");
        assert_eq!(stack.plan().code, Some(0));
        assert_eq!(queue_type(&stack), "quorum");
        assert_eq!(bindings(&stack), before);
        assert_eq!(queue_names(&stack), ["elsewhere", "work"]);
        assert!(!exchanges(&stack).iter().any(|name| name.starts_with("warrener")));
    });
    let mut found = Vec::new();
    let get = lapin::options::BasicGetOptions { no_ack: true };
    while let Some(message) = outside.channel.basic_get("work".into(), get).await.expect("gets") {
        found.push(message.delivery);
    }
    let numbers: Vec<String> =
        found.iter().map(|m| String::from_utf8_lossy(&m.data).into_owned()).collect();
    assert_eq!(numbers, (0..701).map(|n| n.to_string()).collect::<Vec<_>>());
    let first = &found[0];
    assert_eq!(first.routing_key.as_str(), "order.created");
    assert_eq!(first.properties.priority(), &Some(3));
    let expiration = first.properties.expiration().as_ref().map(ToString::to_string);
    assert_eq!(expiration.as_deref(), Some("60000000"));
    assert_eq!(first.properties.delivery_mode(), &Some(1));
    let header = |name: &str| {
        first.properties.headers().as_ref().and_then(|table| table.inner().get(name)).cloned()
    };
    assert_eq!(header("trace"), Some(AMQPValue::LongString("abc".into())));
    assert_eq!(header("warrener-original-exchange"), Some(AMQPValue::LongString("orders".into())));
    assert_eq!(header("warrener-original-user-id"), Some(AMQPValue::LongString("guest".into())));
    assert_eq!(header("warrener-moved-expiration"), None);
    assert_eq!(outside.depth("elsewhere").await, Some(0), "`CC` has routed a copy");
}

/// Killed at each step in turn, under a publisher that never rests.
#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_step_it_goes_on() {
    let mut stack = stack();
    tokio::task::block_in_place(|| {
        assert_eq!(stack.apply().code, Some(0));
        bind_by_hand(&stack);
    });
    let before = tokio::task::block_in_place(|| bindings(&stack));
    let count = COUNT;
    fill(&url(&stack), count).await;
    let publisher = Publisher::start(&url(&stack), count, Duration::from_millis(8)).await;
    stack.document["queues"]["work"] = json!({
        "type": "quorum", "on_conflict": "migrate", "bind": stack.document["queues"]["work"]["bind"],
    });
    tokio::task::block_in_place(|| {
        stack.plan();
        let mut hit = BTreeSet::new();
        for step in STEPS {
            let mut apply = start_apply(&stack);
            wait_until(step, PATIENCE, || {
                let log = std::fs::read_to_string(stack.path("err")).unwrap_or_default();
                assert!(!log.contains("error"), "{log}");
                log.contains(step) || apply.try_wait().expect("its state").is_some()
            });
            apply.kill().expect("killed");
            apply.wait().expect("dead");
            let log = std::fs::read_to_string(stack.path("err")).expect("a file");
            hit.extend(log.contains(step).then_some(step));
        }
        assert!(hit.len() >= STEPS.len() - PASSED_OVER, "{hit:?}");
        let applied = stack.apply();
        assert_eq!(applied.code, Some(0), "{applied:?}");
        assert_eq!(stack.plan().code, Some(0));
    });
    let published = publisher.finish().await;
    let left = tokio::task::block_in_place(|| {
        assert_eq!(queue_type(&stack), "quorum");
        assert_eq!(bindings(&stack), before);
        assert_eq!(queue_names(&stack), ["work"]);
        exchanges(&stack).iter().filter(|name| name.starts_with("warrener")).count()
    });
    assert_eq!(left, 0);
    let outside = Outside::connect(&url(&stack)).await;
    let numbers: Vec<u32> = outside
        .take_all("work")
        .await
        .iter()
        .map(|found| found.body.parse().expect("a number"))
        .collect();
    let (firsts, late) = firsts(numbers);
    assert_eq!(firsts.len(), published as usize, "messages were lost");
    // Those that came in the moment of the last switch.
    assert!(late <= 3, "{late} of {published} stand behind later ones");
}

/// In a running supervisor: its own consumers wait, those of other supervisors as well, and
/// everything is handled.
#[tokio::test(flavor = "multi_thread")]
async fn supervisors_pause_their_consumers_meanwhile() {
    let mut stack = consumed_stack();
    let mut supervisors = [Supervisor::prepare(), Supervisor::prepare()];
    tokio::task::block_in_place(|| {
        for supervisor in &mut supervisors {
            supervisor.write("stack.yaml", &text(&stack));
            supervisor.start();
            supervisor.wait_for("started: topology");
        }
        bind_by_hand(&stack);
    });
    let before = tokio::task::block_in_place(|| bindings(&stack));
    let publisher = Publisher::start(&url(&stack), 0, Duration::from_millis(4)).await;
    stack.document["queues"]["work"]["type"] = json!("quorum");
    stack.document["queues"]["work"]["on_conflict"] = json!("migrate");
    tokio::task::block_in_place(|| {
        let handled = |s: &Supervisor| {
            std::fs::read_to_string(s.path("ledger")).unwrap_or_default().lines().count()
        };
        wait_until("some to be handled", PATIENCE, || supervisors.iter().all(|s| handled(s) > 10));
        for supervisor in &supervisors {
            supervisor.write("stack.yaml", &text(&stack));
        }
        for supervisor in &supervisors {
            supervisor.wait_for("waiting while its queue is made anew");
        }
        let reloaded = |s: &Supervisor| {
            let log = s.log();
            log.contains("reloaded: topology") || log.contains("consuming again")
        };
        wait_until("both to go on", PATIENCE * 3, || supervisors.iter().all(reloaded));
        assert_eq!(queue_type(&stack), "quorum");
        assert_eq!(bindings(&stack), before);
    });
    publisher.more(20);
    let published = publisher.finish().await;
    tokio::task::block_in_place(|| {
        let handled = || {
            let ledgers = supervisors.iter().map(|supervisor| {
                std::fs::read_to_string(supervisor.path("ledger")).unwrap_or_default()
            });
            let numbers: BTreeSet<String> = ledgers
                .flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>())
                .collect();
            numbers.len()
        };
        wait_until("all to be handled", PATIENCE, || handled() == published as usize);
        let migrated = supervisors.iter().filter(|s| s.log().contains("1 migrated")).count();
        assert_eq!(migrated, 1, "one of them has done it");
    });
}

/// The same as with `apply`, with a consumer that works before and after: whatever supervisor comes
/// next goes on where the last one was killed.
#[tokio::test(flavor = "multi_thread")]
async fn a_supervisor_killed_at_any_step_is_followed_by_one_that_goes_on() {
    let mut stack = consumed_stack();
    tokio::task::block_in_place(|| {
        // Without its consumer, so that the queue can be filled.
        let consumers = stack.document["consumers"].take();
        assert_eq!(stack.apply().code, Some(0));
        stack.document["consumers"] = consumers;
        bind_by_hand(&stack);
    });
    let before = tokio::task::block_in_place(|| bindings(&stack));
    fill(&url(&stack), COUNT).await;
    let publisher = Publisher::start(&url(&stack), COUNT, Duration::from_millis(8)).await;
    let mut supervisor = Supervisor::prepare();
    supervisor.write("stack.yaml", &text(&stack));
    let handled = |supervisor: &Supervisor| {
        let ledger = std::fs::read_to_string(supervisor.path("ledger")).unwrap_or_default();
        ledger.lines().map(|line| line.parse().expect("a number")).collect::<Vec<u32>>()
    };
    tokio::task::block_in_place(|| {
        supervisor.start();
        wait_until("some to be handled", PATIENCE, || handled(&supervisor).len() > 10);
        stack.document["queues"]["work"]["type"] = json!("quorum");
        stack.document["queues"]["work"]["on_conflict"] = json!("migrate");
        supervisor.write("stack.yaml", &text(&stack));
        let (mut said, mut hit) = (0, BTreeSet::new());
        for (number, step) in STEPS.iter().enumerate() {
            if number > 0 {
                supervisor.start();
            }
            wait_until(step, PATIENCE * 2, || {
                let log = supervisor.log();
                let new = &log[said..];
                new.contains(step) || (number > 0 && new.contains("started: topology"))
            });
            supervisor.signal(nix::sys::signal::Signal::SIGKILL);
            supervisor.exited(PATIENCE);
            let log = supervisor.log();
            hit.extend(log[said..].contains(step).then_some(*step));
            said = log.len();
        }
        assert!(hit.len() >= STEPS.len() - PASSED_OVER, "{hit:?}");
        supervisor.start();
        wait_until("the migration", PATIENCE * 2, || {
            supervisor.log()[said..].contains("started: topology")
        });
        assert_eq!(queue_type(&stack), "quorum");
        assert_eq!(bindings(&stack), before);
        assert!(!exchanges(&stack).iter().any(|name| name.starts_with("warrener")));
    });
    let published = publisher.finish().await;
    tokio::task::block_in_place(|| {
        wait_until("all to be handled", PATIENCE * 4, || {
            handled(&supervisor).into_iter().collect::<BTreeSet<_>>().len() == published as usize
        });
    });
    let (_, late) = firsts(handled(&supervisor));
    assert!(late <= 3, "{late} of {published} were handled after later ones");
}

/// A policy that would empty the temporary queues is seen before anything is begun.
#[test]
fn a_policy_that_would_lose_messages_is_refused() {
    let mut stack = stack();
    assert_eq!(stack.apply().code, Some(0));
    let policy =
        json!({"pattern": ".*", "apply-to": "queues", "definition": {"message-ttl": 1000}});
    api(Method::PUT, &format!("policies/{}/short", stack.vhost()), Some(&policy));
    let before = bindings(&stack);
    stack.document["queues"]["work"]["type"] = json!("quorum");
    stack.document["queues"]["work"]["on_conflict"] = json!("migrate");
    let refused = stack.apply();
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert_snapshot!(refused.out, @r"
    » queue work: type classic → quorum, made anew with its messages and bindings
    0 to create, 0 to update, 0 in conflict, 1 to migrate
    » queue work
      not done: the policy `short` would set `message-ttl` on the temporary queue `warrener.migrate.work.old`, and messages could be lost (stack.yaml:15:5)
      hint: have its pattern leave out names that begin with `warrener.migrate.`: write `^(?!warrener\.migrate\.)` in front
    0 created, 0 updated, 1 not done
    ");
    assert_eq!((queue_names(&stack), bindings(&stack)), (vec!["work".to_owned()], before));

    // As the hint says.
    let pattern = r"^(?!warrener\.migrate\.).*";
    let policy =
        json!({"pattern": pattern, "apply-to": "queues", "definition": {"message-ttl": 1000}});
    api(Method::PUT, &format!("policies/{}/short", stack.vhost()), Some(&policy));
    let done = stack.apply();
    assert_eq!(done.code, Some(0), "{done:?}");
    assert_eq!(queue_type(&stack), json!("quorum"));
}
