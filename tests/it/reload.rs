//! The file changes while everything runs: what is touched, what is not, and what is refused.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::symlink;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use lapin::options::{QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::FieldTable;
use nix::sys::signal::Signal;
use reqwest::Method;
use serde_json::json;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

use crate::support::broker::{Vhost, amqp_url, fresh_vhost, manage, management_url};
use crate::support::queue::Outside;
use crate::support::supervisor::{PATIENCE, Supervisor, wait_until};

/// A stack with the given consumers, each with a queue of its name: `(name, its DELAY)`.
fn stack(url: &str, consumers: &[(&str, &str)]) -> String {
    let management = management_url();
    let mut text =
        format!("stack: test\nbroker: {{ url: \"{url}\", management: \"{management}\" }}\n");
    text += "queues:\n";
    for (name, _) in consumers {
        let _ = writeln!(text, "  {name}: {{}}");
    }
    text += "consumers:\n";
    for (name, delay) in consumers {
        let _ = write!(
            text,
            r#"  {name}:
    queue: {name}
    command: [python3, "${{CHILDREN}}/ledger.py"]
    discard: true
    env: {{ LEDGER: ledger-{name}, DELAY: "{delay}" }}
"#
        );
    }
    text
}

/// Publishes one message to the queue and waits until its consumer has written it down.
async fn works(supervisor: &Supervisor, outside: &Outside, name: &str) {
    let path = supervisor.path(&format!("ledger-{name}"));
    let lines = || fs::read_to_string(&path).unwrap_or_default().lines().count();
    let before = lines();
    outside.publish(name, ["{}".to_owned()]).await;
    wait_until(&format!("`{name}` to work"), PATIENCE, || lines() > before);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_did_not_change_keeps_its_process() {
    let vhost = fresh_vhost();
    let url = amqp_url(&vhost);
    let mut supervisor = Supervisor::prepare();
    supervisor.write("stack.yaml", &stack(&url, &[("a", "0")]));
    supervisor.start();
    supervisor.wait_for("started: topology");
    let outside = Outside::connect(&url).await;
    works(&supervisor, &outside, "a").await;
    let [a] = supervisor.children()[..] else { panic!("one child") };

    // A queue and a consumer more.
    supervisor.write("stack.yaml", &stack(&url, &[("a", "0"), ("b", "0")]));
    supervisor.wait_for("reloaded: topology: 1 created, 0 updated; consumers: 1 started, 1 kept");
    works(&supervisor, &outside, "b").await;
    let children = supervisor.children();
    assert!(children.contains(&a), "the old child was touched");
    let b = *children.iter().find(|pid| **pid != a).expect("a second child");

    // The same text again, and the same meaning in other words: nothing happens.
    supervisor
        .write("stack.yaml", &format!("# a comment\n{}", stack(&url, &[("a", "0"), ("b", "0")])));
    supervisor.wait_for("the files say the same as before");
    assert_eq!(supervisor.children().len(), 2);

    // One consumer differs, saved by rename as editors do.
    supervisor.write("new.yaml", &stack(&url, &[("a", "0"), ("b", "0.001")]));
    fs::rename(supervisor.path("new.yaml"), supervisor.path("stack.yaml")).unwrap();
    supervisor.wait_for("reloaded: topology: nothing to do; consumers: 1 replaced, 1 kept");
    works(&supervisor, &outside, "b").await;
    wait_until("the old child of `b` to go", PATIENCE, || !supervisor.children().contains(&b));
    assert!(supervisor.children().contains(&a), "the unchanged consumer was touched");

    // Garbage is reported with its place and changes nothing.
    let before = supervisor.children();
    supervisor.write("stack.yaml", "stack: test\nqueues:\n  a: { typo: classic }\n");
    supervisor.wait_for("stack.yaml:3:8");
    supervisor.wait_for("the files cannot be used; everything goes on as it is");
    works(&supervisor, &outside, "a").await;
    assert_eq!(supervisor.children(), before);

    // A consumer less: its child goes, its queue stays.
    supervisor.write("stack.yaml", &stack(&url, &[("a", "0")]));
    supervisor.wait_for("consumers: 1 stopped, 1 kept");
    wait_until("the child of `b` to go", PATIENCE, || supervisor.children() == [a]);
    assert_eq!(outside.depth("b").await, Some(0));

    supervisor.signal(Signal::SIGTERM);
    assert!(supervisor.exited(PATIENCE).success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mounted_config_map_is_followed_through_its_links() {
    let vhost = fresh_vhost();
    let url = amqp_url(&vhost);
    let mut supervisor = Supervisor::prepare();
    // stack.yaml → ..data/stack.yaml, ..data → a folder that is swapped as a whole.
    let version = |number: u32, text: &str| {
        let folder = supervisor.path(&format!("..version-{number}"));
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("stack.yaml"), text).unwrap();
        symlink(format!("..version-{number}"), supervisor.path("..data-new")).unwrap();
        fs::rename(supervisor.path("..data-new"), supervisor.path("..data")).unwrap();
    };
    version(1, &stack(&url, &[("a", "0")]));
    symlink("..data/stack.yaml", supervisor.path("stack.yaml")).unwrap();
    supervisor.start();
    supervisor.wait_for("started: topology");

    let folder = supervisor.path("");
    let swap = |number: u32, text: &str| {
        let new = folder.join(format!("..version-{number}"));
        fs::create_dir(&new).unwrap();
        fs::write(new.join("stack.yaml"), text).unwrap();
        symlink(format!("..version-{number}"), folder.join("..data-new")).unwrap();
        fs::rename(folder.join("..data-new"), folder.join("..data")).unwrap();
        fs::remove_dir_all(folder.join(format!("..version-{}", number - 1))).unwrap();
    };
    swap(2, &stack(&url, &[("a", "0"), ("b", "0")]));
    supervisor.wait_for("consumers: 1 started, 1 kept");
    swap(3, &stack(&url, &[("a", "0"), ("b", "0"), ("c", "0")]));
    supervisor.wait_for("consumers: 1 started, 2 kept");
    let outside = Outside::connect(&url).await;
    works(&supervisor, &outside, "c").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_version_that_cannot_start_never_takes_over() {
    let vhost = fresh_vhost();
    let url = amqp_url(&vhost);
    let mut supervisor = Supervisor::prepare();
    supervisor.write("stack.yaml", &stack(&url, &[("a", "0")]));
    supervisor.start();
    supervisor.wait_for("started: topology");
    let outside = Outside::connect(&url).await;
    works(&supervisor, &outside, "a").await;
    let before = supervisor.children();

    supervisor
        .write("stack.yaml", &stack(&url, &[("a", "0")]).replace("python3", "no-such-python"));
    supervisor.wait_for("the new version did not come up, the old one stays");
    supervisor.wait_for("`no-such-python`");
    works(&supervisor, &outside, "a").await;
    assert_eq!(supervisor.children(), before);

    // Mended by a reload on request, without the watcher's help.
    supervisor.write("stack.yaml", &stack(&url, &[("a", "0.001")]));
    supervisor.signal(Signal::SIGHUP);
    supervisor.wait_for("consumers: 1 replaced");
    works(&supervisor, &outside, "a").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conflict_with_the_broker_refuses_the_whole_change() {
    let vhost = fresh_vhost();
    let url = amqp_url(&vhost);
    let mut supervisor = Supervisor::prepare();
    supervisor.write("stack.yaml", &stack(&url, &[("a", "0")]));
    supervisor.start();
    supervisor.wait_for("started: topology");
    let outside = Outside::connect(&url).await;
    works(&supervisor, &outside, "a").await;
    let before = supervisor.children();

    let changed =
        stack(&url, &[("a", "0.001"), ("b", "0")]).replace("  a: {}", "  a: { type: quorum }");
    supervisor.write("stack.yaml", &changed);
    supervisor.wait_for("the change is refused; everything goes on as it is");
    supervisor.wait_for("type is classic on the broker, quorum in stack.yaml:4:3");
    works(&supervisor, &outside, "a").await;
    assert_eq!(supervisor.children(), before);
    assert_eq!(outside.depth("b").await, None, "part of a refused change was made");
}

/// A stack that consumes nothing, with these lines more.
fn topology(url: &str, queues: &str, more: &str) -> String {
    let management = management_url();
    format!(
        "stack: test\nbroker: {{ url: \"{url}\", management: \"{management}\" }}\n\
         exchanges:\n  orders: {{ type: topic }}\nqueues:\n  other: {{}}\n{queues}{more}"
    )
}

/// A supervisor that has brought the topology about, and a view from the outside.
async fn running() -> (Vhost, Supervisor, Outside) {
    let vhost = fresh_vhost();
    let url = amqp_url(&vhost);
    let mut supervisor = Supervisor::prepare();
    supervisor.write("stack.yaml", &topology(&url, "", ""));
    supervisor.start();
    supervisor.wait_for("started: topology: 2 created");
    let outside = Outside::connect(&url).await;
    (vhost, supervisor, outside)
}

/// What is new is there before anybody has looked at the rest: what has gone meanwhile from the rest
/// is found gone, and mended, by the look that follows.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_new_does_not_wait_for_a_look_at_the_rest() {
    let (vhost, supervisor, outside) = running().await;
    let url = amqp_url(&vhost);
    let deleted = outside.channel.queue_delete("other".into(), QueueDeleteOptions::default());
    deleted.await.expect("deletes");

    let mail = "  mail: { bind: [{ exchange: orders, key: mail }] }\n";
    let more = "consumers:\n  mail: { queue: mail, command: [sed, -u, s/.*/ack/], protocol: lines, discard: true }\n";
    supervisor.write("stack.yaml", &topology(&url, mail, more));
    supervisor.wait_for("reloaded: topology: 2 created, 0 updated; consumers: 1 started");
    supervisor.wait_for("the broker had drifted: topology: 1 created");
    assert_eq!(outside.depth("other").await, Some(0));
    outside.send(("orders", "mail"), lapin::BasicProperties::default(), b"ack").await;
    outside.confirmed().await;

    // It is owned like what a plan creates: pruned when no file has it any more.
    outside.wait_for_depth("mail", 0, PATIENCE).await;
    supervisor.write("stack.yaml", &topology(&url, mail, ""));
    supervisor.wait_for("its process ended");
    outside.wait_for_consumers("mail", 0, PATIENCE).await;
    supervisor.write("stack.yaml", &(topology(&url, "", "") + "reconcile: { prune: true }\n"));
    supervisor.wait_for("2 deleted");
    assert_eq!(outside.depth("mail").await, None);
}

/// What a policy says anew holds before anybody has looked at the rest, unless somebody else has set
/// it meanwhile: then the whole is looked at, and mended.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_policy_says_does_not_wait_for_a_look_at_the_rest() {
    let (vhost, supervisor, outside) = running().await;
    let url = amqp_url(&vhost);
    let with = |most: u32| {
        let policy = "policies:\n  short: { pattern: other, definition: { max-length: MOST } }\n";
        topology(&url, "", &policy.replace("MOST", &most.to_string()))
    };
    supervisor.write("stack.yaml", &with(1));
    supervisor.wait_for("reloaded: topology: 1 created, 0 updated");
    let deleted = outside.channel.queue_delete("other".into(), QueueDeleteOptions::default());
    deleted.await.expect("deletes");
    supervisor.write("stack.yaml", &with(2));
    supervisor.wait_for("reloaded: topology: 0 created, 1 updated");
    let path = format!("policies/{}/short", vhost.name());
    let set = async || manage(Method::GET, &path, None).await["definition"].clone();
    assert_eq!(set().await, json!({"max-length": 2}));
    supervisor.wait_for("the broker had drifted: topology: 1 created");

    // Somebody else sets it, and takes the queue away again: that is found at once now.
    let other = json!({"pattern": "x", "definition": {"max-length": 9}});
    manage(Method::PUT, &path, Some(other)).await;
    let deleted = outside.channel.queue_delete("other".into(), QueueDeleteOptions::default());
    deleted.await.expect("deletes");
    supervisor.write("stack.yaml", &with(3));
    supervisor.wait_for("reloaded: topology: 1 created, 1 updated");
    assert_eq!(set().await, json!({"max-length": 3}));
}

/// What goes is gone before anybody has looked at the rest, unless a plan would keep some of it:
/// then the whole is looked at.
#[tokio::test(flavor = "multi_thread")]
async fn what_goes_does_not_wait_for_a_look_at_the_rest() {
    let (vhost, supervisor, outside) = running().await;
    let url = amqp_url(&vhost);
    let mail = "  mail: { bind: [{ exchange: orders, key: mail }] }\n";
    let with = |queues: &str| topology(&url, queues, "reconcile: { prune: true }\n");
    let lose = async || {
        let deleted = outside.channel.queue_delete("other".into(), QueueDeleteOptions::default());
        deleted.await.expect("deletes");
    };
    supervisor.write("stack.yaml", &with(mail));
    supervisor.wait_for("reloaded: topology: 2 created, 0 updated");
    lose().await;
    supervisor.write("stack.yaml", &with(""));
    supervisor.wait_for("reloaded: topology: 0 created, 0 updated, 2 deleted");
    assert_eq!(outside.depth("mail").await, None);
    supervisor.wait_for("the broker had drifted: topology: 1 created");

    // With a message in it, it stays.
    supervisor.write("stack.yaml", &with(mail));
    wait_until("the queue again", PATIENCE, || {
        supervisor.log().matches("reloaded: topology: 2 created, 0 updated").count() == 2
    });
    outside.send(("orders", "mail"), lapin::BasicProperties::default(), b"stays").await;
    outside.wait_for_depth("mail", 1, PATIENCE).await;
    lose().await;
    supervisor.write("stack.yaml", &with(""));
    supervisor.wait_for("reloaded: topology: 1 created, 0 updated");
    assert_eq!(outside.depth("other").await, Some(0), "the whole was looked at");
    assert_eq!(outside.depth("mail").await, Some(1));
}

/// What is new is owned from before it is there, also where nobody has lived to write the ledger as
/// a whole.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_new_is_owned_though_its_supervisor_was_killed_at_once() {
    let (vhost, mut supervisor, outside) = running().await;
    let url = amqp_url(&vhost);
    let added = format!("warrener.+test@{}", vhost.name());
    let is_there = async || {
        let names = manage(Method::GET, "global-parameters?columns=name", None).await;
        names.to_string().contains(&added)
    };
    assert!(!is_there().await);
    supervisor.write("stack.yaml", &topology(&url, "  mail: {}\n", ""));
    supervisor.wait_for("reloaded: topology: 1 created, 0 updated");
    supervisor.signal(Signal::SIGKILL);
    supervisor.exited(PATIENCE);
    assert!(is_there().await, "the look came before the end");
    assert_eq!(outside.depth("mail").await, Some(0));

    supervisor.write("stack.yaml", &(topology(&url, "", "") + "reconcile: { prune: true }\n"));
    supervisor.start();
    supervisor.wait_for("started: topology: 0 created, 0 updated, 1 deleted");
    assert_eq!(outside.depth("mail").await, None);
    assert!(!is_there().await, "the ledger is one again");
}

/// A way to the management API that can be shut: the port, whether it is, and how many have come to
/// it since and get no answer.
async fn gate() -> (u16, Arc<AtomicBool>, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("it is bound").port();
    let (shut, held) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
    let (is_shut, holds) = (shut.clone(), held.clone());
    let upstream = management_url().replace("http://", "");
    tokio::spawn(async move {
        let mut waiting = Vec::new();
        while let Ok((mut client, _)) = listener.accept().await {
            if is_shut.load(Ordering::SeqCst) {
                waiting.push(client);
                holds.fetch_add(1, Ordering::SeqCst);
                continue;
            }
            let mut server = TcpStream::connect(&upstream).await.expect("the API");
            tokio::spawn(async move { copy_bidirectional(&mut client, &mut server).await });
        }
    });
    (port, shut, held)
}

/// Looking may take long; whoever saves a file does not wait for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_does_not_wait_for_a_look_that_is_under_way() {
    let vhost = fresh_vhost();
    let url = amqp_url(&vhost);
    let (port, shut, held) = gate().await;
    let stack = |delay: &str| {
        stack(&url, &[("a", delay)]).replace(&management_url(), &format!("http://127.0.0.1:{port}"))
    };
    let mut supervisor = Supervisor::prepare();
    supervisor.write("stack.yaml", &stack("0"));
    supervisor.start();
    supervisor.wait_for("started: topology: 1 created");

    shut.store(true, Ordering::SeqCst);
    supervisor.write("stack.yaml", &stack("0.001"));
    supervisor.wait_for("reloaded: topology: nothing to do; consumers: 1 replaced");
    wait_until("the look that follows", PATIENCE, || held.load(Ordering::SeqCst) > 0);
    // Far sooner than that look is given up.
    let soon = std::time::Duration::from_secs(15);
    supervisor.write("stack.yaml", &stack("0.002"));
    wait_until("the second change", soon, || {
        supervisor.log().matches("consumers: 1 replaced").count() == 2
    });
}

/// What is there already takes a look, and where it is not as declared, nothing at all is done.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_new_in_the_file_alone_is_looked_at_first() {
    let (vhost, supervisor, outside) = running().await;
    let url = amqp_url(&vhost);
    for (queue, durable) in [("same", true), ("another", false)] {
        let options = QueueDeclareOptions { durable, ..QueueDeclareOptions::default() };
        let declared = outside.channel.queue_declare(queue.into(), options, FieldTable::default());
        declared.await.expect("declares");
    }

    supervisor.write("stack.yaml", &topology(&url, "  same: {}\n  new: {}\n", ""));
    supervisor.wait_for("reloaded: topology: 1 created, 0 updated");
    supervisor.write(
        "stack.yaml",
        &topology(&url, "  same: {}\n  new: {}\n  another: {}\n  newer: {}\n", ""),
    );
    supervisor.wait_for("the change is refused; everything goes on as it is");
    assert_eq!(outside.depth("newer").await, None, "part of a refused change was made");
}

/// What stands half written for a moment may be valid and mean something else: here, a consumer
/// less.
#[tokio::test(flavor = "multi_thread")]
async fn of_forty_saves_in_place_no_half_file_is_ever_in_force() {
    let vhost = fresh_vhost();
    let url = amqp_url(&vhost);
    let mut supervisor = Supervisor::prepare();
    let whole = stack(&url, &[("a", "0"), ("b", "0")]);
    let half = whole.split("  b:\n    queue").next().expect("the file without its end").to_owned();
    supervisor.write("stack.yaml", &whole);
    supervisor.start();
    supervisor.wait_for("started: topology");
    let outside = Outside::connect(&url).await;
    works(&supervisor, &outside, "a").await;
    works(&supervisor, &outside, "b").await;
    let before = supervisor.children();
    let pause = |millis| std::thread::sleep(std::time::Duration::from_millis(millis));
    let mut longest = std::time::Duration::ZERO;
    for save in 0..40 {
        let begun = std::time::Instant::now();
        supervisor.write("stack.yaml", "");
        supervisor.write("stack.yaml", &half);
        pause(10);
        supervisor.write("stack.yaml", &format!("{whole}# save {save}\n"));
        longest = longest.max(begun.elapsed());
        // From one after the other to each for itself.
        pause(save * 5);
    }
    supervisor.wait_for("the files say the same as before");
    works(&supervisor, &outside, "a").await;
    works(&supervisor, &outside, "b").await;
    // On a machine so busy that a save takes longer, half a file is what there was for that time.
    if longest < std::time::Duration::from_millis(100) {
        assert_eq!(supervisor.children(), before, "a process was touched");
        let log = supervisor.log();
        let read = log.contains("reloaded: ") || log.contains("cannot be used");
        assert!(!read, "half a file was read");
    }
    supervisor.signal(Signal::SIGTERM);
    assert!(supervisor.exited(PATIENCE).success());
}
