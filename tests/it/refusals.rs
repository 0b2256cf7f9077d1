//! A broker that says no: to a connection, to a queue, to a message. Whoever is refused waits and
//! asks again, says why, and gets no message lost; the others go on.

use std::time::{Duration, Instant};

use lapin::options::{QueueDeclareOptions, QueueDeleteOptions, QueuePurgeOptions};
use lapin::types::FieldTable;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

use crate::support::broker::{amqp_url, fresh_vhost, manage, management_url};
use crate::support::case::{Case, QUEUES, consumer};
use crate::support::supervisor::{PATIENCE, Supervisor, wait_until};

const STOPPED: Duration = Duration::from_secs(8);

fn answer() -> String {
    "command: [python3, \"${CHILDREN}/answer.py\"]\nstop: { grace: 3s }\n".to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_dead_letter_queue_keeps_the_message_where_it_was() {
    let mut case = Case::prepare().await;
    case.write(&format!(
        "queues:\n  work: {{ dead_letter: {{ queue: dead }} }}\n  dead: {{ max_length: 1, overflow: reject-publish }}\nconsumers:\n{}",
        consumer("worker", "work", &answer())
    ));
    case.supervisor.start();
    case.supervisor.wait_for("started: topology");
    case.send(&["reject", "reject"]).await;
    case.outside.wait_for_depth("dead", 1, PATIENCE).await;
    case.supervisor.wait_for("cannot move a failed message on: the broker refused to store it");
    assert_eq!(case.vhost.messages("work"), Some(1), "it is neither lost nor doubled");
    // Acks do not wait behind it.
    case.send(&["ack"; 100]).await;
    wait_until("the acks", PATIENCE, || case.vhost.messages("work") == Some(1));
    let purge = case.outside.channel.queue_purge("dead".into(), QueuePurgeOptions::default());
    purge.await.expect("purges");
    case.outside.wait_for_depth("dead", 1, PATIENCE).await;
    case.wait_settled();
    let books = case.stop(STOPPED);
    assert_eq!((books.count("acked"), books.count("dead_lettered")), (100, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_queue_that_was_deleted_is_told_of_restored_and_used() {
    let mut case = Case::run(&(answer() + "retry: { delays: [100ms] }\n")).await;
    let deleted =
        case.outside.channel.queue_delete("work.retry.100ms".into(), QueueDeleteOptions::default());
    deleted.await.expect("deletes");
    case.send(&["nack it"]).await;
    case.supervisor.wait_for("cannot move a failed message on: no queue takes it");
    case.supervisor.wait_for("the broker had drifted: topology: 1 created");
    case.outside.wait_for_depth("dead", 1, PATIENCE).await;
    let dead = case.outside.take_all("dead").await;
    assert_eq!(dead[0].header("warrener-attempt"), "2");
    let books = case.stop(STOPPED);
    assert_eq!((books.count("retried"), books.count("dead_lettered")), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_may_not_be_read_keeps_only_its_own_consumer_waiting() {
    let mut case = Case::prepare().await;
    let (user, vhost) = (format!("user-{}", case.vhost.name()), case.vhost.name().to_owned());
    for queue in ["work", "other"] {
        let options = QueueDeclareOptions { durable: true, ..Default::default() };
        let declare =
            case.outside.channel.queue_declare(queue.into(), options, FieldTable::default());
        declare.await.expect("declares");
    }
    let put = reqwest::Method::PUT;
    let made = json!({"password": "guest", "tags": ""});
    manage(put.clone(), &format!("users/{user}"), Some(made)).await;
    let may = |read: &str| json!({"configure": "^$", "write": ".*", "read": read});
    let permissions = format!("permissions/{vhost}/{user}");
    manage(put.clone(), &permissions, Some(may("^work$"))).await;

    case.url = case.url.replace("guest:guest", &format!("{user}:guest"));
    let keys = answer() + "discard: true\n";
    case.write(&format!(
        "queues: {{ work: {{}}, other: {{}} }}\nreconcile: {{ mode: off }}\nconsumers:\n{}{}",
        consumer("worker", "work", &keys),
        consumer("waits", "other", &keys)
    ));
    case.supervisor.start();
    case.supervisor.wait_for("cannot consume `other`: the broker refuses to let it be consumed");
    case.supervisor.wait_for("may the user read it?");
    case.send(&["ack"; 100]).await;
    case.outside.publish("other", ["ack".to_owned()]).await;
    wait_until("the acks", PATIENCE, || case.vhost.messages("work") == Some(0));
    assert_eq!(case.logged("cannot consume `other`"), 1, "said once, not at every attempt");
    assert_eq!(case.logged("connection lost"), 0, "a refusal cost a connection");
    manage(put, &permissions, Some(may(".*"))).await;
    wait_until("the one that waited", PATIENCE, || case.vhost.messages("other") == Some(0));
    case.stop(STOPPED);
    manage(reqwest::Method::DELETE, &format!("users/{user}"), None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vhost_that_is_full_is_named_waited_for_and_not_hammered_at() {
    let (mut case, proxy) = Case::behind_proxy("").await;
    let limit = format!("vhost-limits/{}/max-connections", case.vhost.name());
    // The connection of the test itself.
    manage(reqwest::Method::PUT, &limit, Some(json!({"value": 1}))).await;
    case.write(&format!("{QUEUES}consumers:\n{}", consumer("worker", "work", &answer())));
    case.supervisor.start();
    case.supervisor.wait_for("connection limit (1) is reached");
    let (start, before) = (Instant::now(), proxy.accepted());
    wait_until("more attempts", PATIENCE, || proxy.accepted() >= before + 3);
    assert!(start.elapsed() > Duration::from_secs(3), "it hammers at the door");
    assert!(case.supervisor.pid() > 0);
    manage(reqwest::Method::DELETE, &limit, None).await;
    case.supervisor.wait_for("started: topology");
    wait_until("consuming", PATIENCE, || case.logged("worker[0]: consuming") == 1);
    case.send(&["ack"]).await;
    case.wait_settled();
    assert_eq!(case.stop(STOPPED).count("acked"), 1);
}

/// The management API, behind a port that answers so many requests with an error of its own first.
async fn stumbling(mut times: u32) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("it is bound").port();
    let upstream = management_url().replace("http://", "");
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            if times == 0 {
                let mut server = TcpStream::connect(&upstream).await.expect("the API");
                tokio::spawn(async move { copy_bidirectional(&mut client, &mut server).await });
                continue;
            }
            times -= 1;
            let asked = client.read(&mut [0; 4096]).await;
            assert!(asked.is_ok_and(|bytes| bytes > 0), "it was asked");
            let answer = b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            client.write_all(answer).await.expect("is answered");
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread")]
async fn a_management_api_that_stumbles_is_asked_again_but_not_for_ever() {
    let vhost = fresh_vhost();
    for (times, code) in [(3, 2), (4, 1)] {
        let port = stumbling(times).await;
        let supervisor = Supervisor::prepare();
        let url = amqp_url(&vhost);
        let management = management_url()
            .replace(management_url().rsplit(':').next().expect("a port"), &port.to_string());
        supervisor.write(
            "stack.yaml",
            &format!("stack: test\nbroker: {{ url: \"{url}\", management: \"{management}\" }}\nqueues:\n  work: {{}}\n"),
        );
        let said = tokio::task::block_in_place(|| supervisor.run(&["plan", "stack.yaml"]));
        assert_eq!(said.code, Some(code), "{times}: {said:?}");
        assert_eq!(said.err.contains("the management API answers 500"), code == 1, "{said:?}");
    }
}
